"""The load balancers' health probes, sent from 168.63.129.16 as the platform does.

Interval, threshold, port and path are the template's. One difference to Azure, which waits for the first
interval: the first verdict comes from quick probes, so that a lab is green as soon as its machines are. Until
then the state is `NA`, and a member without a verdict gets no flow.

Reason codes: load-balancer-manage-health-status.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from fwdlab.model import PLATFORM_ADDRESS, ProbeHealth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fwdlab.fabric.plan import HealthKey
    from fwdlab.fabric.wanted import Probe
    from fwdlab.nodes.node import Node

QUICK_SECONDS = 0.1
"""Pause between probes until the first success, for one interval at most."""
_TIMEOUT_SECONDS = 5.0
_HEAD_LIMIT = 16384
_OK = 200
_SUCCESS = "Up_Probe_Success"


@dataclass(frozen=True)
class Verdict:
    """State of one member and how many results in a row speak against it."""

    state: Literal["Up", "Down", "NA"] = "NA"
    reason: str = "NA"
    against: int = 0


def judge(verdict: Verdict, reason: str, threshold: int, *, quick: bool) -> Verdict:
    """The verdict after one more probe, which ended with `reason`; `threshold` results in a row change it.

    `quick` is the time of the first verdict: a success counts at once, a failure not yet.
    """
    seen: Literal["Up", "Down"] = "Up" if reason == _SUCCESS else "Down"
    if verdict.state == "NA":
        return Verdict() if quick and seen == "Down" else Verdict(seen, reason)
    against = 0 if seen == verdict.state else verdict.against + 1
    if against == 0 or against >= threshold:
        return Verdict(seen, reason)
    other = "Unhealthy" if verdict.state == "Up" else "Healthy"
    return Verdict(verdict.state, f"{verdict.state}_Probe_Approaching{other}Threshold", against)


class HealthProbes:
    """Sends probes from the fabric's namespace and keeps verdicts; `changed` is called when one changes."""

    def __init__(self, node: Node, changed: Callable[[], None]) -> None:
        self._node = node
        self._changed = changed
        self._tasks: dict[tuple[Probe, str, str], asyncio.Task[None]] = {}
        self.verdicts: dict[HealthKey, ProbeHealth] = {}

    def follow(self, probes: Iterable[Probe], incarnations: dict[str, str]) -> None:
        """Probe these members from now on.

        `incarnations` says by network number and address which boot of a node is there: a new one starts
        without a verdict.
        """
        wanted = {
            (_alone(probe), address, incarnations[f"{probe.network}/{address}"]): probe
            for probe in probes
            for address in probe.addresses
            if f"{probe.network}/{address}" in incarnations
        }
        for key in self._tasks.keys() - wanted.keys():
            self._tasks.pop(key).cancel()
            self.verdicts.pop(_health_key(*key[:2]), None)
        for key in wanted.keys() - self._tasks.keys():
            probe, address, _ = key
            self._note(probe, address, Verdict())
            self._tasks[key] = asyncio.create_task(self._watch(probe, address))

    def _note(self, probe: Probe, address: str, verdict: Verdict) -> None:
        key = _health_key(probe, address)
        before = self.verdicts.get(key)
        self.verdicts[key] = ProbeHealth(
            probe.load_balancer_id, probe.name, address, verdict.state, verdict.reason
        )
        if before is not None and before.state != verdict.state:
            self._changed()

    async def _watch(self, probe: Probe, address: str) -> None:
        loop = asyncio.get_running_loop()
        verdict = Verdict()
        begin = loop.time()
        while True:
            started = loop.time()
            quick = verdict.state == "NA" and started - begin < probe.interval
            limit = min(_TIMEOUT_SECONDS, probe.interval, 1.0 if quick else _TIMEOUT_SECONDS)
            reason = await self._look(probe, address, limit)
            verdict = judge(verdict, reason, probe.threshold, quick=quick)
            self._note(probe, address, verdict)
            pause = QUICK_SECONDS if verdict.state == "NA" else probe.interval
            await asyncio.sleep(max(0.0, started + pause - loop.time()))

    async def _look(self, probe: Probe, address: str, limit: float) -> str:
        """Azure's reason code for what one probe found."""
        try:
            async with asyncio.timeout(limit):
                return await self._probe(probe, address)
        except TimeoutError:
            reason = "Down_Probe_HttpNoResponse"
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            reason = "Down_Probe_HttpEndpointUnreachable"
        return "Down_Probe_TcpProbeTimeout" if probe.kind == "Tcp" else reason

    async def _probe(self, probe: Probe, address: str) -> str:
        made = await self._node.socket(socket.SOCK_STREAM, PLATFORM_ADDRESS, mark=probe.network)
        try:
            await asyncio.get_running_loop().sock_connect(made, (address, probe.port))
        except BaseException:
            made.close()
            raise
        if probe.kind == "Tcp":
            made.close()
            return _SUCCESS
        context = _no_verification() if probe.kind == "Https" else None
        reader, writer = await asyncio.open_connection(
            sock=made, ssl=context, server_hostname="" if context else None, limit=_HEAD_LIMIT
        )
        try:
            request = f"GET {probe.path} HTTP/1.1\r\nHost: {address}:{probe.port}\r\n"
            writer.write((request + "User-Agent: Load Balancer Agent\r\nConnection: close\r\n\r\n").encode())
            await writer.drain()
            status = int((await reader.readuntil(b"\r\n")).split()[1])
        except IndexError as error:
            raise ValueError("no status line") from error
        finally:
            writer.transport.abort()
        return _SUCCESS if status == _OK else "Down_Probe_HttpStatusCodeError"

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _alone(probe: Probe) -> Probe:
    """A probe without its members, so that one more member does not restart the others."""
    return replace(probe, addresses=())


def _health_key(probe: Probe, address: str) -> HealthKey:
    return (probe.load_balancer_id.lower(), probe.name.lower(), address)


def _no_verification() -> ssl.SSLContext:
    """Azure's probes do not verify certificates (load-balancer-custom-probe-overview)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
