"""A small systemd for each machine: it keeps the services of its units running and answers `systemctl`.

Units are read when they are started, so `daemon-reload` has nothing to do. Dependencies between units are not
followed; User, DynamicUser and sandboxing are not honoured: everything runs as the node's root.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from fwdlab.machine import units
from fwdlab.machine.scripts import LOGS, SOCKET
from fwdlab.machine.units import UnitError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fwdlab.machine.units import Command, Unit
    from fwdlab.nodes.nodes import Node, Process

_UNIT_PATHS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_BURST, _BURST_SECONDS = 5, 10.0  # systemd's DefaultStartLimitBurst and -IntervalSec
_ONESHOT_SECONDS = 90.0

State = Literal["inactive", "activating", "active", "failed"]


@dataclass
class _Service:
    unit: Unit
    state: State = "inactive"
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
    """The services of one machine.

    Args:
        node: the machine.
        log: told of settings that are not honoured.
    """

    def __init__(self, node: Node, log: Callable[[str], None]) -> None:
        self._node = node
        self._log = log
        self._services: dict[str, _Service] = {}
        self._enabled: set[str] = set()
        self._masked: set[str] = set()
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Answer `systemctl` inside the machine.

        Raises:
            OSError: when the socket cannot be made.
        """
        self._server = await asyncio.start_unix_server(self._serve, sock=await self._node.listen(SOCKET))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            reply = await self.call(json.loads(await reader.readline()))
            writer.write(
                json.dumps({"code": reply.code, "out": reply.out, "err": reply.err}).encode() + b"\n"
            )
            await writer.drain()
        except (ConnectionError, ValueError) as error:
            self._log(f"{self._node.name}: systemctl: {error}")
        finally:
            writer.close()

    def states(self) -> tuple[tuple[str, str], ...]:
        """Every service that was ever started, with its state."""
        return tuple((name, service.state) for name, service in sorted(self._services.items()))

    async def call(self, arguments: Sequence[str]) -> Reply:
        """Do what `systemctl ARGUMENTS` does."""
        words = [word for word in arguments if not word.startswith("-")]
        options = {word for word in arguments if word.startswith("-")}
        if not words or words[0] in {"daemon-reload", "daemon-reexec", "reset-failed", "preset"}:
            return Reply() if words else Reply(out=self._list())
        verb, *named = words
        if verb in {"list-units", "list-unit-files"}:
            return Reply(out=self._list())
        action = getattr(self, "_do_" + verb.replace("-", "_"), None)
        if action is None:
            return Reply(1, err=f"systemctl: the lab does not know '{verb}'\n")
        code, out, err = 0, "", ""
        for name in named:
            full = name if "." in name.rpartition("/")[2] else f"{name}.service"
            reply: Reply = await action(full, options)
            code, out, err = code or reply.code, out + reply.out, err + reply.err
        if options & {"-q", "--quiet"}:
            out = ""
        return Reply(code, out, err)

    def _list(self) -> str:
        return "".join(
            f"{name} loaded {state} {s.unit.description}\n"
            for name, state in self.states()
            for s in [self._services[name]]
        )

    async def _find(self, name: str) -> str | None:
        """The text of a unit file, None when there is none."""
        for path in _UNIT_PATHS:
            with contextlib.suppress(OSError):
                return (await self._node.read(f"{path}/{name}")).decode("utf-8", "replace")
        return None

    async def _do_enable(self, name: str, options: set[str]) -> Reply:
        if await self._find(name) is None:
            return Reply(1, err=f"Failed to enable unit: Unit file {name} does not exist.\n")
        self._enabled.add(name)
        return await self._do_start(name, options) if "--now" in options else Reply()

    async def _do_disable(self, name: str, options: set[str]) -> Reply:
        if await self._find(name) is None:
            return Reply(1, err=f"Failed to disable unit: Unit file {name} does not exist.\n")
        self._enabled.discard(name)
        return await self._do_stop(name, options) if "--now" in options else Reply()

    async def _do_mask(self, name: str, options: set[str]) -> Reply:
        self._masked.add(name)
        return (
            await self._do_stop(name, options) if "--now" in options and name in self._services else Reply()
        )

    async def _do_unmask(self, name: str, _options: set[str]) -> Reply:
        self._masked.discard(name)
        return Reply()

    async def _do_is_enabled(self, name: str, _options: set[str]) -> Reply:
        return Reply(0, "enabled\n") if name in self._enabled else Reply(1, "disabled\n")

    async def _do_is_active(self, name: str, _options: set[str]) -> Reply:
        state = self._services[name].state if name in self._services else "inactive"
        return Reply(0 if state == "active" else 3, f"{state}\n")

    async def _do_is_failed(self, name: str, _options: set[str]) -> Reply:
        state = self._services[name].state if name in self._services else "inactive"
        return Reply(0 if state == "failed" else 1, f"{state}\n")

    async def _do_status(self, name: str, _options: set[str]) -> Reply:
        service = self._services.get(name)
        if service is None:
            if await self._find(name) is None:
                return Reply(4, err=f"Unit {name} could not be found.\n")
            return Reply(3, f"○ {name}\n     Active: inactive (dead)\n")
        pid = f"\n   Main PID: {service.process.pid}" if service.process and service.state == "active" else ""
        text = f"● {name} - {service.unit.description}\n     Active: {service.state} {service.result}{pid}\n"
        return Reply(0 if service.state == "active" else 3, text)

    async def _do_show(self, name: str, _options: set[str]) -> Reply:
        service = self._services.get(name)
        state = service.state if service else "inactive"
        pid = service.process.pid if service and service.process and state == "active" else 0
        return Reply(0, f"Id={name}\nActiveState={state}\nMainPID={pid}\n")

    async def _do_start(self, name: str, _options: set[str]) -> Reply:
        service = self._services.get(name)
        if service is not None and service.state in {"active", "activating"}:
            return Reply()
        if name in self._masked:
            return Reply(1, err=f"Failed to start {name}: Unit {name} is masked.\n")
        text = await self._find(name)
        if text is None:
            return Reply(5, err=f"Failed to start {name}: Unit {name} not found.\n")
        try:
            unit = units.parse(name, text)
        except UnitError as error:
            return Reply(1, err=f"Failed to start {name}: {error}\n")
        if unit.ignored:
            self._log(f"{self._node.name}: {name}: not honoured: {', '.join(unit.ignored)}")
        service = self._services[name] = _Service(unit)
        return await self._start(service)

    async def _start(self, service: _Service) -> Reply:
        unit = service.unit
        service.state = "activating"
        started: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        service.task = asyncio.create_task(self._supervise(service, started))
        # The task ends without an answer only when it is cancelled.
        either: list[asyncio.Future[Any]] = [started, service.task]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if started.done() and started.result():
            return Reply()
        return Reply(
            1, err=f"Job for {unit.name} failed: {service.result}. See 'journalctl -u {unit.name}'.\n"
        )

    async def _do_stop(self, name: str, _options: set[str]) -> Reply:
        service = self._services.get(name)
        if service is None:
            if await self._find(name) is None:
                return Reply(5, err=f"Failed to stop {name}: Unit {name} not loaded.\n")
            return Reply()
        await self._stop(service)
        return Reply()

    async def _do_restart(self, name: str, options: set[str]) -> Reply:
        if name in self._services:
            await self._stop(self._services[name])
        return await self._do_start(name, options)

    async def _do_try_restart(self, name: str, options: set[str]) -> Reply:
        active = name in self._services and self._services[name].state == "active"
        return await self._do_restart(name, options) if active else Reply()

    async def _do_reload(self, name: str, _options: set[str]) -> Reply:
        service = self._services.get(name)
        if service is None or service.state != "active":
            return Reply(1, err=f"{name} is not active, cannot reload.\n")
        main = str(service.process.pid) if service.process else ""
        for command in service.unit.reload:
            if not await self._once(service, command, {"MAINPID": main}):
                return Reply(1, err=f"Job for {name} failed: {service.result}.\n")
        return Reply()

    async def _do_kill(self, name: str, _options: set[str]) -> Reply:
        service = self._services.get(name)
        if service is not None and service.process is not None:
            await self._node.kill(service.process, signal.SIGTERM)
        return Reply()

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
            elif not (service.unit.kind == "oneshot" and service.unit.remain):
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
            await self._node.run(["mkdir", "-p", *unit.directories])
        for command in unit.before:
            if not await self._once(service, command):
                return None
        if unit.kind == "oneshot":
            for command in unit.start:
                if not await self._once(service, command):
                    return None
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
        own = {k: v for k, v in self._node.environment.items() if k in {"PATH", "LANG"}} | dict(
            unit.environment
        )
        for path, optional in unit.environment_files:
            try:
                own |= units.parse_environment_file((await self._node.read(path)).decode())
            except OSError as error:
                if not optional:
                    raise OSError(f"EnvironmentFile {path}: {error}") from error
        return own

    async def _spawn(
        self, service: _Service, command: Command, extra: dict[str, str] | None = None
    ) -> Process:
        environment = service.environment | (extra or {})
        path = f"{LOGS}/{service.unit.name}.log"
        output = await self._node.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            process, _ = await self._node.spawn(
                units.expand(command, environment, service.unit.name),
                files=(nothing, output, output),
                environment=environment,
                directory=service.unit.directory,
            )
        finally:
            os.close(output)
            os.close(nothing)
        return process

    async def _once(self, service: _Service, command: Command, extra: dict[str, str] | None = None) -> bool:
        """Run a command to its end; whether that counts as success."""
        process = await self._spawn(service, command, extra)
        try:
            code = await asyncio.wait_for(asyncio.shield(process.ended), _ONESHOT_SECONDS)
        except BaseException:
            await self._node.kill(process, signal.SIGKILL)
            raise
        service.result = f"{command.argv[0]} exited with {code}"
        return code == 0 or command.tolerant

    async def _stop(self, service: _Service) -> None:
        if service.task is not None:
            service.task.cancel()
            await asyncio.gather(service.task, return_exceptions=True)
            service.task = None
        process = service.process
        if process is not None and not process.ended.done():
            for command in service.unit.stop:
                with contextlib.suppress(OSError):
                    await self._once(service, command, {"MAINPID": str(process.pid)})
            await self._node.kill(process, signal.SIGTERM)
            done, _ = await asyncio.wait([process.ended], timeout=service.unit.stop_seconds)
            if not done:
                await self._node.kill(process, signal.SIGKILL)
        service.state, service.result, service.process = "inactive", "", None

    async def close(self) -> None:
        """Let go of everything; the processes end with the node."""
        if self._server is not None:
            self._server.close()
        tasks = [service.task for service in self._services.values() if service.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _restarts(policy: str, code: int | None) -> bool:
    failed = code is None or code != 0
    return {
        "always": True,
        "on-failure": failed,
        "on-success": not failed,
        "on-abnormal": code is not None and code < 0,
        "on-abort": code is not None and code < 0,
    }.get(policy, False)
