"""What cloud-init does at a machine's first boot, as far as the lab needs it: cloud-config and shell scripts.

As in cloud-init, `bootcmd` comes first, then `write_files`, deferred ones after everything else but `runcmd`;
all commands of `runcmd` make up one shell script, so that a `cd` holds for the next one and a failure does
not stop the rest. Nothing is installed: `packages` is recorded.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwdlab.machine.ports import Machine

OUTPUT = "/var/log/cloud-init-output.log"
_SCRIPTS = "/var/lib/cloud/instance/scripts"
_SECONDS = 600.0
_HONOURED = {"write_files", "bootcmd", "runcmd"}
_RECORDED = {
    "packages", "package_update", "package_upgrade", "package_reboot_if_required", "ssh_authorized_keys",
    "users", "ssh_pwauth", "disable_root", "final_message", "timezone", "locale", "ntp", "output", "groups",
    "hostname", "fqdn", "preserve_hostname", "manage_etc_hosts", "swap", "growpart", "apt", "yum_repos",
}  # fmt: skip


_DECODERS: dict[str, tuple[Callable[[bytes], bytes], ...]] = {
    "": (),
    "text/plain": (),
    **dict.fromkeys(("b64", "base64"), (base64.b64decode,)),
    **dict.fromkeys(("gz", "gzip"), (gzip.decompress,)),
    **dict.fromkeys(("gz+b64", "gzip+b64", "gz+base64", "gzip+base64"), (base64.b64decode, gzip.decompress)),
}


class CloudInitError(Exception):
    """customData that cloud-init would refuse."""


@dataclass(frozen=True)
class FileToWrite:
    path: str
    content: bytes
    mode: int
    append: bool
    defer: bool


@dataclass(frozen=True)
class Configuration:
    """customData, understood: files in order, two shell scripts (empty for none), what is not honoured."""

    files: tuple[FileToWrite, ...] = ()
    bootcmd: str = ""
    runcmd: str = ""
    warnings: tuple[str, ...] = ()


@dataclass
class Outcome:
    """How far cloud-init got on a machine.

    `none` is without customData. A machine of Azure counts as provisioned in spite of errors.
    """

    state: Literal["none", "running", "done", "error"] = "none"
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


def parse(custom_data: str) -> Configuration:
    """Understand customData, base64 as in the ARM document; empty for none.

    Raises:
        CloudInitError: not base64, not YAML, an entry of a wrong shape, or a kind that the lab cannot run.
    """
    try:
        raw = base64.b64decode(custom_data, validate=True)
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    except (OSError, EOFError, ValueError) as error:
        raise CloudInitError(f"customData is neither text nor gzip in base64: {error}") from error
    if not text.strip():
        return Configuration()
    if text.startswith("#!"):
        return Configuration(runcmd=text)
    first = text.splitlines()[0].strip()
    if first != "#cloud-config":
        if first.startswith(
            ("#cloud-config-archive", "#include", "## template", "Content-Type:", "MIME-Version:")
        ):
            raise CloudInitError(f"customData that begins with '{first}' is not supported in the lab")
        return Configuration(warnings=("Unhandled non-multipart (text/x-not-multipart) userdata",))
    try:
        config = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise CloudInitError(f"customData is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise CloudInitError("customData holds no mapping")
    return Configuration(
        tuple(_file(entry, number) for number, entry in enumerate(_list(config, "write_files"))),
        _script(_list(config, "bootcmd"), "bootcmd"),
        _script(_list(config, "runcmd"), "runcmd"),
        tuple(_warnings(config)),
    )


def _warnings(config: dict[str, Any]) -> list[str]:
    found = []
    for key in config:
        if key == "packages":
            found.append(f"packages are not installed: {', '.join(map(str, _list(config, key)))}")
        elif key in _RECORDED:
            found.append(f"{key} is not honoured in the lab")
        elif key not in _HONOURED:
            found.append(f"{key} is unknown to the lab's cloud-init")
    return found


def _list(config: dict[str, Any], key: str) -> list[Any]:
    value = config.get(key) or []
    if not isinstance(value, list):
        raise CloudInitError(f"{key} is not a list")
    return value


def _file(entry: Any, number: int) -> FileToWrite:
    if not isinstance(entry, dict) or not str(entry.get("path", "")).startswith("/"):
        raise CloudInitError(f"write_files[{number}] has no absolute path")
    content = entry.get("content", "")
    raw = content if isinstance(content, bytes) else str(content).encode()
    try:
        for step in _DECODERS[str(entry.get("encoding", "text/plain")).lower()]:
            raw = step(raw)
        mode = entry.get("permissions", "0644")
        return FileToWrite(
            str(entry["path"]),
            raw,
            mode if isinstance(mode, int) else int(str(mode), 8),
            bool(entry.get("append", False)),
            bool(entry.get("defer", False)),
        )
    except KeyError as error:
        raise CloudInitError(
            f"write_files[{number}] {entry['path']}: unknown encoding {error.args[0]}"
        ) from error
    except (OSError, EOFError, ValueError) as error:
        raise CloudInitError(f"write_files[{number}] {entry['path']}: {error}") from error


def _script(commands: list[Any], key: str) -> str:
    """One shell script: strings as they are, lists with every argument quoted."""
    if not commands:
        return ""
    lines = ["#!/bin/sh"]
    for number, command in enumerate(commands):
        if isinstance(command, list):
            lines.append(shlex.join(str(word) for word in command))
        elif isinstance(command, str):
            lines.append(command)
        elif command is not None:
            raise CloudInitError(f"{key}[{number}] is neither a string nor a list")
    return "\n".join(lines) + "\n"


async def run(machine: Machine, custom_data: str, outcome: Outcome) -> None:
    """Do to a machine what its customData (base64) says; `outcome` follows."""
    if not custom_data:
        return
    outcome.state = "running"
    try:
        config = parse(custom_data)
        outcome.warnings += config.warnings
        for warning in config.warnings:
            await _note(machine, f"warning: {warning}")
        await _execute(machine, "bootcmd", config.bootcmd, outcome)
        for file in sorted(config.files, key=lambda each: each.defer):
            await machine.write(file.path, file.content, file.mode, append=file.append)
        await _execute(machine, "runcmd", config.runcmd, outcome)
    except (CloudInitError, OSError) as error:
        outcome.errors.append(str(error) or type(error).__name__)
        await _note(machine, f"error: {error}")
    outcome.state = "error" if outcome.errors else "done"
    await _note(machine, f"Cloud-init of the lab finished: {outcome.state}")


async def _note(machine: Machine, text: str) -> None:
    with contextlib.suppress(ConnectionError):  # the machine is gone; whoever removed it knows
        await machine.write(OUTPUT, f"{text}\n".encode(), append=True)


async def _execute(machine: Machine, name: str, script: str, outcome: Outcome) -> None:
    if not script:
        return
    path = f"{_SCRIPTS}/{name}"
    await machine.write(path, script.encode(), 0o700)
    process = await machine.start([path], log=OUTPUT)
    async with asyncio.timeout(_SECONDS):
        code = await asyncio.shield(process.ended)
    if code:
        outcome.errors.append(f"{name} ended with {code}")
