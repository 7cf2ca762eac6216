"""systemd unit files, as far as a service of the lab needs them (systemd.service(5)). Pure."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS = re.compile(r"([0-9.]+)\s*(us|ms|s|sec|seconds?|m|min|minutes?|h|hours?)?")
_FACTORS = {"u": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class UnitError(Exception):
    """A unit that cannot be run here, and why."""


@dataclass(frozen=True)
class Command:
    """One command line; `tolerant` when its failure does not count (prefix `-`)."""

    argv: tuple[str, ...]
    tolerant: bool = False


@dataclass(frozen=True)
class Unit:
    """A service unit.

    Attributes:
        name: with `.service`.
        stop_seconds: patience after SIGTERM.
        remain: RemainAfterExit.
        pid_file: where a forking service writes its process number.
        environment_files: paths and whether they may be missing.
        directories: to make before the start (StateDirectory and its kin).
        ignored: settings that the lab does not know.
    """

    name: str
    description: str = ""
    kind: str = "simple"
    before: tuple[Command, ...] = ()
    start: tuple[Command, ...] = ()
    after: tuple[Command, ...] = ()
    stop: tuple[Command, ...] = ()
    restart: str = "no"
    restart_seconds: float = 0.1
    stop_seconds: float = 10.0
    remain: bool = False
    pid_file: str = ""
    directory: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    environment_files: tuple[tuple[str, bool], ...] = ()
    directories: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def ends(self) -> bool:
        """Whether its command ends before it counts as started."""
        return self.kind in {"oneshot", "forking"}

    @property
    def stays(self) -> bool:
        """Whether it counts as running after that."""
        return self.kind == "forking" or (self.kind == "oneshot" and self.remain)


_DIRECTORIES = {
    "StateDirectory": "/var/lib",
    "RuntimeDirectory": "/run",
    "LogsDirectory": "/var/log",
    "CacheDirectory": "/var/cache",
    "ConfigurationDirectory": "/etc",
}
_KNOWN = {
    "Type", "ExecStart", "ExecStartPre", "ExecStartPost", "ExecReload", "ExecStop", "Restart", "RestartSec",
    "TimeoutStopSec", "TimeoutSec", "TimeoutStartSec", "RemainAfterExit", "WorkingDirectory", "Environment",
    "EnvironmentFile", "PIDFile", "StandardOutput", "StandardError", "SyslogIdentifier", *_DIRECTORIES,
}  # fmt: skip
# Known, and without effect: everything runs as the node's root.
_SANDBOX = {
    "AmbientCapabilities", "CapabilityBoundingSet", "DynamicUser", "LockPersonality",
    "MemoryDenyWriteExecute", "NoNewPrivileges", "PrivateDevices", "PrivateTmp", "ProtectClock",
    "ProtectControlGroups", "ProtectHome", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules",
    "ProtectKernelTunables", "ProtectProc", "ProtectSystem", "ReadWritePaths", "RestrictAddressFamilies",
    "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "SystemCallArchitectures",
    "SystemCallErrorNumber", "SystemCallFilter", "UMask",
}  # fmt: skip
_TYPES = {"simple", "exec", "oneshot", "forking", "notify", "idle"}


def parse(name: str, text: str) -> Unit:
    """Read a service unit.

    Raises:
        UnitError: no ExecStart, a Type that the lab cannot supervise, a broken quotation.
    """
    sections = _sections(text)
    service = sections.get("Service", {})

    def last(key: str, default: str) -> str:
        return (service.get(key) or [default])[-1]

    kind = last("Type", "simple" if service.get("ExecStart") else "oneshot")
    if kind not in _TYPES:
        raise UnitError(f"Type={kind} is not supported in the lab")
    if not service.get("ExecStart"):
        raise UnitError("Service has no ExecStart= setting")
    directories = tuple(
        f"{base}/{part}"
        for key, base in _DIRECTORIES.items()
        for value in service.get(key, [])
        for part in value.split()
    )
    return Unit(
        name=name,
        description=(sections.get("Unit", {}).get("Description") or [name])[-1],
        kind=kind,
        before=_commands(service, "ExecStartPre"),
        start=_commands(service, "ExecStart"),
        after=_commands(service, "ExecStartPost"),
        stop=_commands(service, "ExecStop"),
        restart=last("Restart", "no"),
        restart_seconds=seconds(last("RestartSec", "0.1")),
        stop_seconds=seconds(last("TimeoutStopSec", last("TimeoutSec", "10"))) or 10.0,
        remain=last("RemainAfterExit", "no").lower() in {"yes", "true", "1", "on"},
        pid_file=last("PIDFile", ""),
        directory=last("WorkingDirectory", "/").lstrip("-").replace("~", "/root") or "/",
        environment=_environment(service.get("Environment", [])),
        environment_files=tuple(
            (value.lstrip("-"), value.startswith("-")) for value in service.get("EnvironmentFile", [])
        ),
        directories=directories,
        ignored=tuple(sorted(key for key in service if key not in _KNOWN | _SANDBOX)),
    )


def seconds(text: str) -> float:
    """A time span as systemd writes it, e.g. `2`, `500ms`, `1min 30s`."""
    if text.strip() in {"infinity", ""}:
        return 0.0
    total = 0.0
    for number, unit in _SECONDS.findall(text):
        key = "ms" if unit == "ms" else (unit[:1] or "s")
        total += float(number) * _FACTORS[key]
    return total


def _sections(text: str) -> dict[str, dict[str, list[str]]]:
    sections: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] = {}
    for line in re.sub(r"\\\n", " ", text).splitlines():
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if stripped.startswith("[") and stripped.endswith("]"):
            current = sections.setdefault(stripped[1:-1], {})
            continue
        key, _, value = stripped.partition("=")
        values = current.setdefault(key.strip(), [])
        if value.strip():
            values.append(value.strip())
        else:
            values.clear()  # an empty assignment takes back what stood before
    return sections


def _commands(service: dict[str, list[str]], key: str) -> tuple[Command, ...]:
    commands = []
    for value in service.get(key, []):
        prefix = value[: len(value) - len(value.lstrip("-+!:@|"))]
        if "@" in prefix:
            raise UnitError(f"{key}: the prefix @ is not supported in the lab")
        try:
            argv = tuple(shlex.split(value[len(prefix) :]))
        except ValueError as error:
            raise UnitError(f"{key}: {error}") from error
        if not argv:
            raise UnitError(f"{key}: no command")
        commands.append(Command(argv, tolerant="-" in prefix))
    return tuple(commands)


def _environment(values: list[str]) -> dict[str, str]:
    found = {}
    for value in values:
        for word in shlex.split(value):
            name, _, content = word.partition("=")
            found[name] = content
    return found


def parse_environment_file(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and stripped[0] not in "#;" and "=" in stripped:
            name, _, value = stripped.partition("=")
            words = shlex.split(value, comments=False) if value.strip() else [""]
            found[name.strip()] = " ".join(words)
    return found


def expand(command: Command, environment: Mapping[str, str], unit: str) -> tuple[str, ...]:
    """The command's words with variables and the specifiers %n, %N and %% replaced.

    A word that is nothing but `$NAME` becomes as many words as the value has.
    """
    words: list[str] = []
    for word in command.argv:
        text = word.replace("%%", "\0").replace("%n", unit).replace("%N", unit.rpartition(".")[0])
        text = text.replace("\0", "%").replace("$$", "\1")
        alone = re.fullmatch(r"\$(\w+)", text)
        if alone:
            words += environment.get(alone[1], "").split()
            continue
        words.append(_VARIABLE.sub(lambda m: environment.get(m[1] or m[2], ""), text).replace("\1", "$"))
    return tuple(words)
