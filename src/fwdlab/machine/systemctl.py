"""A small systemd for each machine: it keeps the services of its units running and answers `systemctl`.

Units are read when they are started, so `daemon-reload` has nothing to do. A service of Type=forking counts
as running from the end of its command until it is stopped. Dependencies between units are not followed; User,
DynamicUser and sandboxing are not honoured: everything runs as the node's root.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from fwdlab.machine import units
from fwdlab.machine.scripts import LOGS, SOCKET
from fwdlab.machine.units import UnitError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fwdlab.machine.ports import Machine, Process
    from fwdlab.machine.units import Command, Unit

_UNIT_PATHS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_BURST, _BURST_SECONDS = 5, 10.0  # systemd's DefaultStartLimitBurst and -IntervalSec
_ONESHOT_SECONDS = 90.0


@dataclass
class _Service:
    unit: Unit
    state: Literal["inactive", "activating", "active", "failed"] = "inactive"
    process: Process | None = None
    task: asyncio.Task[None] | None = None
    result: str = ""
    starts: deque[float] = field(default_factory=lambda: deque(maxlen=_BURST))
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What `systemctl` prints and exits with."""

    code: int = 0
    out: str = ""
    err: str = ""


class UnitManager:
    """The services of one machine; `warn` is told what is asked for and not done."""

    def __init__(self, machine: Machine, warn: Callable[[str], None]) -> None:
        self._machine = machine
        self._warn = warn
        self._services: dict[str, _Service] = {}
        self._server: asyncio.Server | None = None
        self._verbs: dict[str, Callable[..., Awaitable[Reply]]] = {
            "enable": self._enable,
            "disable": self._disable,
            "start": self._start,
            "stop": self._stop,
            "restart": self._restart,
            "is-active": self._is_active,
            "status": self._status,
        }

    async def listen(self) -> None:
        """Answer `systemctl` inside the machine.

        Raises:
            OSError: when the socket cannot be made.
        """
        self._server = await asyncio.start_unix_server(self._serve, sock=await self._machine.listen(SOCKET))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            reply = await self._call(json.loads(await reader.readline()))
            writer.write(json.dumps(asdict(reply)).encode() + b"\n")
            await writer.drain()
        except (ConnectionError, ValueError) as error:
            self._warn(f"systemctl: {error}")
        finally:
            writer.close()

    def states(self) -> tuple[tuple[str, str], ...]:
        """Every service that was ever started, with its state."""
        return tuple((name, service.state) for name, service in sorted(self._services.items()))

    async def _call(self, arguments: Sequence[str]) -> Reply:
        """Do what `systemctl ARGUMENTS` does."""
        verb, *named = [word for word in arguments if not word.startswith("-")] or [""]
        options = {word for word in arguments if word.startswith("-")}
        if verb == "daemon-reload":
            return Reply()
        if verb not in self._verbs:
            self._warn(f"systemctl {verb} is unknown to the lab")
            return Reply(1, err=f"systemctl: the lab does not know '{verb}'\n")
        code, out, err = 0, "", ""
        for name in named:
            full = name if "." in name.rpartition("/")[2] else f"{name}.service"
            reply = await self._verbs[verb](full, now="--now" in options)
            code, out, err = code or reply.code, out + reply.out, err + reply.err
        return Reply(code, "" if options & {"-q", "--quiet"} else out, err)

    async def _find(self, name: str) -> str | None:
        """The text of a unit file, None when there is none."""
        for path in _UNIT_PATHS:
            with contextlib.suppress(OSError):
                return (await self._machine.read(f"{path}/{name}")).decode("utf-8", "replace")
        return None

    def _state(self, name: str) -> str:
        return self._services[name].state if name in self._services else "inactive"

    async def _enable(self, name: str, *, now: bool) -> Reply:
        if await self._find(name) is None:
            return Reply(1, err=f"Failed to enable unit: Unit file {name} does not exist.\n")
        return await self._start(name) if now else Reply()

    async def _disable(self, name: str, *, now: bool) -> Reply:
        if await self._find(name) is None:
            return Reply(1, err=f"Failed to disable unit: Unit file {name} does not exist.\n")
        return await self._stop(name) if now else Reply()

    async def _is_active(self, name: str, **_: bool) -> Reply:
        state = self._state(name)
        return Reply(0 if state == "active" else 3, f"{state}\n")

    async def _status(self, name: str, **_: bool) -> Reply:
        service = self._services.get(name)
        if service is None:
            if await self._find(name) is None:
                return Reply(4, err=f"Unit {name} could not be found.\n")
            return Reply(3, f"○ {name}\n     Active: inactive (dead)\n")
        pid = f"\n   Main PID: {service.process.pid}" if service.process and service.state == "active" else ""
        text = f"● {name} - {service.unit.description}\n     Active: {service.state} {service.result}{pid}\n"
        return Reply(0 if service.state == "active" else 3, text)

    async def _start(self, name: str, **_: bool) -> Reply:
        if self._state(name) in {"active", "activating"}:
            return Reply()
        text = await self._find(name)
        if text is None:
            return Reply(5, err=f"Failed to start {name}: Unit {name} not found.\n")
        try:
            unit = units.parse(name, text)
        except (UnitError, ValueError) as error:
            self._warn(f"{name} was not started: {error}")
            return Reply(1, err=f"Failed to start {name}: {error}\n")
        if unit.ignored:
            self._warn(f"{name}: not honoured: {', '.join(unit.ignored)}")
        service = self._services[name] = _Service(unit, "activating")
        started: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        service.task = asyncio.create_task(self._supervise(service, started))
        # The task ends without an answer only when it is cancelled.
        either: list[asyncio.Future[Any]] = [started, service.task]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if started.done() and started.result():
            return Reply()
        return Reply(1, err=f"Job for {name} failed: {service.result}. See 'journalctl -u {name}'.\n")

    async def _stop(self, name: str, **_: bool) -> Reply:
        service = self._services.get(name)
        if service is None:
            if await self._find(name) is None:
                return Reply(5, err=f"Failed to stop {name}: Unit {name} not loaded.\n")
            return Reply()
        if service.task is not None:
            service.task.cancel()
            await asyncio.gather(service.task, return_exceptions=True)
            service.task = None
        process = service.process if service.process and not service.process.ended.done() else None
        if process is not None:
            service.environment["MAINPID"] = str(process.pid)
        if process is not None or (service.unit.ends and service.state == "active"):
            for command in service.unit.stop:
                with contextlib.suppress(OSError):
                    await self._once(service, command)
        if process is not None:
            await self._machine.kill(process, signal.SIGTERM)
            done, _ended = await asyncio.wait([process.ended], timeout=service.unit.stop_seconds)
            if not done:
                await self._machine.kill(process, signal.SIGKILL)
        elif service.unit.pid_file:
            await self._machine.run(["/bin/sh", "-c", 'kill $(cat "$0")', service.unit.pid_file])
        service.state, service.result, service.process = "inactive", "", None
        return Reply()

    async def _restart(self, name: str, **_: bool) -> Reply:
        if name in self._services:
            await self._stop(name)
        return await self._start(name)

    async def _supervise(self, service: _Service, started: asyncio.Future[bool]) -> None:
        """Run the service until it is stopped, fails, or ends for good."""
        try:
            while True:
                service.starts.append(asyncio.get_running_loop().time())
                code = await self._life(service, started)
                again = _restarts(service.unit.restart, code)
                if not again or self._too_often(service):
                    break
                service.state = "activating"
                await asyncio.sleep(service.unit.restart_seconds)
            if code is None or code:
                service.state = "failed"
            elif not service.unit.stays:
                service.state = "inactive"
        except OSError as error:
            service.state, service.result = "failed", str(error)
        finally:
            if not started.done():
                started.set_result(service.state in {"active", "inactive"})

    def _too_often(self, service: _Service) -> bool:
        starts = service.starts
        full = len(starts) == _BURST and asyncio.get_running_loop().time() - starts[0] < _BURST_SECONDS
        if full:
            service.result = "start-limit-hit"
        return full

    async def _life(self, service: _Service, started: asyncio.Future[bool]) -> int | None:
        """One run of the service: its exit code, None when it did not get as far."""
        unit = service.unit
        service.environment = await self._environment(unit)
        if unit.directories:
            async with asyncio.timeout(_ONESHOT_SECONDS):
                await self._machine.run(["mkdir", "-p", *unit.directories])
        first = [*unit.before, *unit.start, *unit.after] if unit.ends else unit.before
        for command in first:
            if not await self._once(service, command):
                return None
        if unit.ends:
            service.state = "active"
            return 0
        service.process = await self._spawn(service, unit.start[0])
        service.state, service.result = "active", ""
        for command in unit.after:
            await self._once(service, command)
        if not started.done():
            started.set_result(True)
        code = await asyncio.shield(service.process.ended)
        service.result = f"exit code {code}"
        return code

    async def _environment(self, unit: Unit) -> dict[str, str]:
        own = {name: self._machine.environment[name] for name in ("PATH", "LANG")} | dict(unit.environment)
        for path, optional in unit.environment_files:
            try:
                own |= units.parse_environment_file((await self._machine.read(path)).decode())
            except OSError as error:
                if not optional:
                    raise OSError(f"EnvironmentFile {path}: {error}") from error
        return own

    async def _spawn(self, service: _Service, command: Command) -> Process:
        return await self._machine.start(
            units.expand(command, service.environment, service.unit.name),
            log=f"{LOGS}/{service.unit.name}.log",
            environment=service.environment,
            directory=service.unit.directory,
        )

    async def _once(self, service: _Service, command: Command) -> bool:
        """Run a command to its end; whether that counts as success."""
        try:
            process = await self._spawn(service, command)
        except FileNotFoundError:
            if command.tolerant:
                return True
            raise
        try:
            async with asyncio.timeout(_ONESHOT_SECONDS):
                code = await asyncio.shield(process.ended)
        except BaseException:
            await self._machine.kill(process, signal.SIGKILL)
            raise
        service.result = f"{command.argv[0]} exited with {code}"
        return code == 0 or command.tolerant

    async def close(self) -> None:
        """Let go of everything; the processes end with the node."""
        if self._server is not None:
            self._server.close()
        tasks = [service.task for service in self._services.values() if service.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _restarts(policy: str, code: int | None) -> bool:
    if policy == "always":
        return True
    if policy == "on-failure":
        return code is None or code != 0
    if policy in {"on-abnormal", "on-abort"}:
        return code is not None and code < 0
    return policy == "on-success" and code == 0
