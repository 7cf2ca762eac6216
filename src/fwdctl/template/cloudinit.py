"""Render both cloud-inits from their templates and the parameters; refuse what a machine would not run."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.template.parameters.file import read_text

if TYPE_CHECKING:
    from pathlib import Path

    from fwdctl.template.files import Template
    from fwdctl.template.parameters import Parameters

LARGEST = 65_535
"""Bytes of customData before base64 (Microsoft Learn, virtual machines, custom-data)."""

FIRST_LINE = "#cloud-config"
HASH_LINE = "# fwdctl-config-hash: "
_MARKER = re.compile(r"@@[A-Z0-9_]+@@")


@dataclass(frozen=True)
class CloudInit:
    """One rendered cloud-init.

    Attributes:
        text: what the machine reads.
        config_hash: 16 hex digits that change with the template, the configuration or the program.
    """

    text: str
    config_hash: str

    @property
    def encoded(self) -> str:
        """Base64, as ARM's customData wants it."""
        return _base64(self.text)


@dataclass(frozen=True)
class Rendered:
    forwarder: CloudInit
    onprem: CloudInit

    def environment(self) -> dict[str, str]:
        """The values of the azd environment that carry them to the template."""
        return {"CLOUD_INIT_FWD": self.forwarder.encoded, "CLOUD_INIT_ONPREM": self.onprem.encoded}


def render(template: Template, parameters: Parameters) -> Rendered:
    """Render both cloud-inits; the same input gives the same bytes.

    Raises:
        FwdctlError: a file is missing (3); or it has carriage returns, does not start with `#cloud-config`,
            is not YAML, lacks a marker or has an unknown one, or the result is too large (2).
    """
    folder = template.cloud_init
    return Rendered(
        forwarder=_render(
            folder / "forwarder.yaml",
            folder / "forwarder" / "agent.py",
            forwarder_config(parameters),
            ("@@CONFIG_B64@@", "@@AGENT_B64@@"),
        ),
        onprem=_render(
            folder / "onprem-server.yaml",
            folder / "onprem-server" / "server.py",
            server_config(parameters),
            ("@@SERVER_CONFIG_B64@@", "@@SERVER_B64@@"),
        ),
    )


def forwarder_config(parameters: Parameters) -> dict[str, Any]:
    """`/etc/fwdctl/forwarder.json` without its hash, and without what the agent has no use for."""
    hub = parameters.hub
    unused = {"identity_header"}
    return {
        "version": 1,
        "healthPort": parameters.forwarder.health_port,
        "inbound": [str(hub.shared_subnet_prefix), str(hub.jump_subnet_prefix)],
        "forwards": [
            forward.model_dump(mode="json", by_alias=True, exclude=unused) for forward in parameters.forwards
        ],
    }


def server_config(parameters: Parameters) -> dict[str, Any]:
    """`/etc/fwdctl/server.json` without its hash; every server listens on all of the ports."""
    return {"version": 1, "ports": sorted({server.port for server in parameters.corp.servers})}


def _render(file: Path, program_file: Path, config: dict[str, Any], markers: tuple[str, str]) -> CloudInit:
    text, program = _read(file), _read(program_file)
    _check_start(file, text)
    config_hash = _hash(text, _json(config), program)
    values = {
        "@@CONFIG_HASH@@": config_hash,
        markers[0]: _base64(_json({**config, "hash": config_hash})),
        markers[1]: _base64(program),
    }
    _check_markers(file, text, values)
    rendered = _MARKER.sub(lambda found: values[found[0]], text)
    _check_yaml(file, rendered)
    if (size := len(rendered.encode())) > LARGEST:
        problem = f"rendered to {size:,} bytes; Azure takes at most {LARGEST:,}"
        raise _invalid(file, problem, f"Shorten {program_file.name} or the list of forwards.")
    return CloudInit(rendered, config_hash)


def _read(file: Path) -> str:
    text = read_text(file)
    before, ended, _ = text.partition("\r")
    if ended:
        line = before.count("\n") + 1
        problem = f"line {line} ends with a carriage return (CRLF), which breaks it on a Linux machine"
        suggestion = (
            "Save it with LF line ends; with git: `git config core.autocrlf input`, then check it out again."
        )
        raise _invalid(file, problem, suggestion)
    return text


def _check_start(file: Path, text: str) -> None:
    lines = text.split("\n", 2)
    if lines[0] != FIRST_LINE:
        problem = f"the first line is not {FIRST_LINE}, so cloud-init would ignore the file"
        raise _invalid(file, problem, f"Make {FIRST_LINE} the first line, with nothing before or after it.")
    if lines[1:2] != [f"{HASH_LINE}@@CONFIG_HASH@@"]:
        problem = "the second line is not the one that the template reads the configuration's hash from"
        raise _invalid(file, problem, f"Make it `{HASH_LINE}@@CONFIG_HASH@@`.")


def _check_markers(file: Path, text: str, values: dict[str, str]) -> None:
    found = set(_MARKER.findall(text))
    if unknown := sorted(found - values.keys()):
        raise _invalid(file, f"{unknown[0]} is not a known marker", f"Known: {', '.join(sorted(values))}.")
    if missing := sorted(values.keys() - found):
        problem = f"{missing[0]} is missing, so the machine would not get it"
        raise _invalid(file, problem, f"Put {missing[0]} back.")


def _check_yaml(file: Path, rendered: str) -> None:
    import yaml

    try:
        document = yaml.safe_load(rendered)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        problem = getattr(error, "problem", None) or "unreadable"
        raise _invalid(file, f"{where}not YAML: {problem}", "Correct that place.") from error
    if not isinstance(document, dict):
        raise _invalid(file, "is not a YAML mapping", "Start with a key such as write_files:.")


def _invalid(file: Path, problem: str, suggestion: str) -> FwdctlError:
    return FwdctlError("cloud_init_invalid", f"{file}: {problem}.", suggestion, exit_code=ExitCode.USAGE)


def _json(config: dict[str, Any]) -> str:
    return json.dumps(config, separators=(",", ":"), sort_keys=True)


def _hash(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode()
        digest.update(len(content).to_bytes(8, "big") + content)  # so that no two splits look alike
    return digest.hexdigest()[:16]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
