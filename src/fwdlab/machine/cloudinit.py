"""The part of cloud-init that machines of the lab need: `#cloud-config` and shell scripts as customData.

As in cloud-init, `bootcmd` comes first, then `write_files`, deferred ones after everything else but `runcmd`;
all commands of `runcmd` make up one shell script, so that a `cd` holds for the next one and a failure does
not stop the rest. Nothing is installed: `packages` is recorded.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import gzip
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import yaml

if TYPE_CHECKING:
    from fwdlab.nodes.nodes import Node

OUTPUT = "/var/log/cloud-init-output.log"
_SCRIPTS = "/var/lib/cloud/instance/scripts"
_SECONDS = 600.0
_HONOURED = {"write_files", "bootcmd", "runcmd"}
_RECORDED = {
    "packages", "package_update", "package_upgrade", "package_reboot_if_required", "ssh_authorized_keys",
    "users", "ssh_pwauth", "disable_root", "final_message", "timezone", "locale", "ntp", "output", "groups",
    "hostname", "fqdn", "preserve_hostname", "manage_etc_hosts", "swap", "growpart", "apt", "yum_repos",
}  # fmt: skip


class CloudInitError(Exception):
    """customData that cloud-init would refuse."""


@dataclass(frozen=True)
class FileToWrite:
    """One entry of `write_files`."""

    path: str
    content: bytes
    mode: int
    append: bool
    defer: bool


@dataclass(frozen=True)
class Configuration:
    """customData, understood.

    Attributes:
        files: in order.
        bootcmd: shell script, empty for none.
        runcmd: shell script, empty for none.
        warnings: what is not honoured.
    """

    files: tuple[FileToWrite, ...] = ()
    bootcmd: str = ""
    runcmd: str = ""
    warnings: tuple[str, ...] = ()


@dataclass
class Outcome:
    """How far cloud-init got on a machine.

    Attributes:
        state: `none` without customData.
        errors: what went wrong; a machine of Azure still counts as provisioned then.
        warnings: what is not honoured.
    """

    state: Literal["none", "running", "done", "error"] = "none"
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def parse(custom_data: str) -> Configuration:
    """Understand customData.

    Args:
        custom_data: base64 as in the ARM document; empty for none.

    Raises:
        CloudInitError: not base64, not YAML, an entry of a wrong shape, or a kind that the lab cannot run.
    """
    try:
        raw = base64.b64decode(custom_data, validate=True)
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    except (binascii.Error, OSError, EOFError, UnicodeDecodeError) as error:
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
        if key in _HONOURED:
            continue
        if key == "packages":
            found.append(f"packages are not installed: {', '.join(map(str, _list(config, key)))}")
        elif key in _RECORDED:
            found.append(f"{key} is not honoured in the lab")
        else:
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
        for step in _decoders(str(entry.get("encoding", "text/plain")), str(entry["path"])):
            raw = base64.b64decode(raw) if step == "b64" else gzip.decompress(raw)
        mode = entry.get("permissions", "0644")
        return FileToWrite(
            str(entry["path"]),
            raw,
            mode if isinstance(mode, int) else int(str(mode), 8),
            bool(entry.get("append", False)),
            bool(entry.get("defer", False)),
        )
    except (binascii.Error, OSError, EOFError, ValueError) as error:
        raise CloudInitError(f"write_files[{number}] {entry['path']}: {error}") from error


def _decoders(encoding: str, path: str) -> tuple[str, ...]:
    known = {
        ("gz", "gzip"): ("gz",),
        ("gz+base64", "gzip+base64", "gz+b64", "gzip+b64"): ("b64", "gz"),
        ("b64", "base64"): ("b64",),
        ("text/plain", ""): (),
    }
    for names, steps in known.items():
        if encoding.lower() in names:
            return steps
    raise CloudInitError(f"{path}: unknown encoding {encoding}")


def _script(commands: list[Any], key: str) -> str:
    """One shell script: strings as they are, lists with every argument quoted."""
    if not commands:
        return ""
    lines = ["#!/bin/sh"]
    for number, command in enumerate(commands):
        if isinstance(command, list):
            lines.append(" ".join("'" + str(word).replace("'", "'\\''") + "'" for word in command))
        elif isinstance(command, str):
            lines.append(command)
        elif command is not None:
            raise CloudInitError(f"{key}[{number}] is neither a string nor a list")
    return "\n".join(lines) + "\n"


async def run(node: Node, custom_data: str, outcome: Outcome) -> None:
    """Do to a machine what its customData says; `outcome` follows.

    Args:
        node: the machine.
        custom_data: base64.
        outcome: changed while cloud-init runs.
    """
    if not custom_data:
        return
    outcome.state = "running"
    try:
        config = parse(custom_data)
        outcome.warnings += config.warnings
        for warning in config.warnings:
            await _note(node, f"warning: {warning}")
        await _execute(node, "bootcmd", config.bootcmd, outcome)
        for file in (f for f in config.files if not f.defer):
            await node.write(file.path, file.content, file.mode, append=file.append)
        for file in (f for f in config.files if f.defer):
            await node.write(file.path, file.content, file.mode, append=file.append)
        await _execute(node, "runcmd", config.runcmd, outcome)
    except (TimeoutError, CloudInitError, OSError) as error:
        outcome.errors.append(str(error) or type(error).__name__)
        await _note(node, f"error: {error}")
    outcome.state = "error" if outcome.errors else "done"
    await _note(node, f"Cloud-init of the lab finished: {outcome.state}")


async def _note(node: Node, text: str) -> None:
    try:
        await node.write(OUTPUT, f"{text}\n".encode(), append=True)
    except OSError as error:
        # The machine is gone; whoever removed it knows.
        if not isinstance(error, ConnectionError):
            raise


async def _execute(node: Node, name: str, script: str, outcome: Outcome) -> None:
    if not script:
        return
    path = f"{_SCRIPTS}/{name}"
    await node.write(path, script.encode(), 0o700)
    output = await node.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        process, _ = await node.spawn([path], files=(nothing, output, output))
    finally:
        os.close(output)
        os.close(nothing)
    code = await asyncio.wait_for(asyncio.shield(process.ended), _SECONDS)
    if code:
        outcome.errors.append(f"{name} ended with {code}")
