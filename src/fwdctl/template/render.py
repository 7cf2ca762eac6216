"""What a deployment would give the forwarders, from a parameters file; and what can be checked of it here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fwdctl.errors import FwdctlError, UsageError
from fwdctl.template import cloudinit, parameters
from fwdctl.template.parameters import ParametersError

if TYPE_CHECKING:
    from fwdctl.template.files import Template

NO_HASH = "the deployment makes it"
PLACEHOLDER = "192.0.2.1"
"""Stands for a target's name in rules: the agent resolves it (RFC 5737: an address for documentation)."""
SECONDS = 30.0
# By the template's own programs, so that the rules are those which an agent writes while all targets are up.
_PLAN = """
import sys
sys.path.insert(0, sys.argv[1])
from configuration import parse_text
from rules import plan_rules, restore_text
try:
    config = parse_text(sys.stdin.read())
except ValueError as error:
    sys.exit(str(error))
targets = {forward.name: list(forward.targets) for forward in config.forwards}
print(restore_text(plan_rules(config, targets, targets, (config.health_port,)), {}, set()), end="")
"""
_NAME = re.compile(r"(--to-destination |-d )[^\s:/]*[A-Za-z][^\s:/]*")
_NO_RIGHTS = re.compile("permission denied|not permitted|you must be root", re.IGNORECASE)


@dataclass(frozen=True)
class Check:
    """One check; `detail` says what is wrong, or why it was not made."""

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    detail: str = ""
    suggestion: str = ""


@dataclass(frozen=True)
class Rendering:
    """What forwarders would get; each part is made when it is asked for.

    Raises:
        FwdctlError: parameters or a cloud-init are wrong (exit code 2), or a file is missing (3).
    """

    template: Template
    file: Path
    environment: Mapping[str, str]

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """The user data, as modules/forwarder.bicep makes it."""
        found = parameters.load(self.file, self.template.compiled, self.environment)
        hub = found.hub
        inbound = (hub.shared_subnet_prefix, hub.jump_subnet_prefix, hub.nat_subnet_prefix)
        probes_only = {"identity_header", "host_names"}
        forwards = [
            each.model_dump(mode="json", by_alias=True, exclude=probes_only) for each in found.forwards
        ]
        for forward in forwards:
            forward["serverName"] = forward["serverName"] or ""
        return {
            "hash": NO_HASH,
            "version": 1,
            "healthPort": found.forwarder.health_port,
            "inbound": list(map(str, filter(None, inbound))),
            "forwards": forwards,
        }

    @cached_property
    def rules(self) -> str:
        """What the agent gives to iptables-restore while every target is up."""
        folder = self.template.cloud_init / "forwarder"
        done = _run(sys.executable, "-IB", "-c", _PLAN, str(folder), text=json.dumps(self.configuration))
        if done.returncode:
            raise UsageError(
                "configuration_refused",
                f"The agent refuses the configuration: {done.stderr.strip().splitlines()[-1]}.",
                f"Correct {self.file}.",
            )
        return done.stdout

    @cached_property
    def cloud_inits(self) -> cloudinit.Rendered:
        return cloudinit.render(self.template)


def checks(rendering: Rendering) -> Iterator[Check]:
    """Everything that can be checked without Azure, and what was not."""
    valid = True
    for name, make in (
        ("parameters", lambda: rendering.configuration),
        ("configuration", lambda: rendering.rules),
        ("cloud-init", lambda: rendering.cloud_inits),
    ):
        if name == "configuration" and not valid:
            yield Check(name, "skipped", "the parameters are wrong")
            continue
        made = list(_made(name, make))
        valid = valid and all(check.outcome == "passed" for check in made)
        yield from made
    if "cloud_inits" in vars(rendering):
        inits = rendering.cloud_inits
        for file, text in (("forwarder", inits.forwarder.text), ("onprem-server", inits.onprem.text)):
            yield _schema(f"cloud-init schema of {file}.yaml", text)
    if "rules" in vars(rendering):
        yield _restore_test(rendering.rules)
    yield Check("SSH key", "skipped", "`azd provision` finds it, or makes one")
    yield Check("Azure", "skipped", "only a deployment shows quota, names, permissions and routes")


def _made(name: str, make: Callable[[], object]) -> Iterator[Check]:
    """One check for what can be made; one for each problem where it cannot."""
    try:
        make()
    except ParametersError as error:
        for problem in error.problems:
            yield Check(name, "failed", f"{problem.path}: {problem.text}", problem.suggestion)
    except FwdctlError as error:
        yield Check(name, "failed", error.message, error.suggestion)
    else:
        yield Check(name, "passed")


def _schema(name: str, text: str) -> Check:
    program = shutil.which("cloud-init")
    if program is None:
        return Check(name, "skipped", "cloud-init is not installed here")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "user-data"
        file.write_text(text, encoding="utf-8")
        return _ran(name, partial(_run, program, "schema", "--config-file", str(file)))


def _restore_test(rules: str) -> Check:
    name, program = "iptables-restore --test", shutil.which("iptables-restore")
    if program is None:
        return Check(name, "skipped", "iptables is not installed here")
    return _ran(
        name, partial(_run, program, "--test", "--noflush", "--counters", text=_with_addresses(rules))
    )


def _with_addresses(rules: str) -> str:
    return _NAME.sub(rf"\g<1>{PLACEHOLDER}", rules)


def _ran(name: str, run: Callable[[], subprocess.CompletedProcess[str]]) -> Check:
    try:
        done = run()
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(name, "skipped", f"it cannot be run: {error}")
    said = " ".join(f"{done.stdout} {done.stderr}".split())
    if done.returncode == 0:
        return Check(name, "passed")
    if _NO_RIGHTS.search(said):
        return Check(name, "skipped", "it needs root")
    return Check(name, "failed", said, "Report this: the template should not lead there.")


def _run(*command: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=SECONDS, check=False)
