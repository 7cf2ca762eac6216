"""A data plane with the seed's topology, for scenarios inside the lab's namespaces."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from typing import TYPE_CHECKING

from fwdlab.fabric.dataplane import DataPlane

from .seed_topology import Source, snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from fwdlab.machine.ports import Completed

BY_NAME = "http://onprem-server.corp.internal:8000/"


class Bench:
    def __init__(self, plane: DataPlane, source: Source) -> None:
        self.plane = plane
        self.source = source
        self.log: list[str] = []

    async def sh(self, node: str, command: str, seconds: float = 20) -> Completed:
        return await self.plane.run(node, ["/bin/sh", "-c", command], seconds=seconds)

    async def ok(self, node: str, command: str) -> str:
        done = await self.sh(node, command)
        assert done.returncode == 0, (node, command, done)
        return done.stdout.decode()

    async def fetch(self, node: str, url: str = BY_NAME, times: int = 1) -> list[dict[str, str]]:
        """Answers of fresh connections; one that failed is an empty one."""
        command = f"for i in $(seq {times}); do curl -sS -m 1 {url} || echo '{{}}'; done"
        return [json.loads(line) for line in (await self.sh(node, command)).stdout.decode().splitlines()]

    async def servers(self, node: str, url: str = BY_NAME, times: int = 12) -> Counter[str]:
        return Counter(answer.get("server", "-") for answer in await self.fetch(node, url, times))

    async def until(self, true: Callable[[], bool], what: str, seconds: float = 15) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"{what}: {self.plane.health()} {self.plane.status()} {self.log}"
            await asyncio.sleep(0.02)

    async def until_up(self, count: int = 3) -> None:
        await self.until(
            lambda: sum(h.state == "Up" for h in self.plane.health()) == count, f"{count} healthy"
        )
        booted = lambda: all(n.state != "booting" for n in self.plane.status())  # noqa: E731
        await self.until(booted, "booted")
        await self.plane.settled(self.source.current.revision)

    async def change(self, **fields: object) -> None:
        await self.plane.settled(self.source.change(**fields))


@contextlib.asynccontextmanager
async def seed_bench(directory: Path, spokes: Iterable[int] = (1,)) -> AsyncIterator[Bench]:
    source = Source(snapshot(spokes))
    log: list[str] = []
    plane = DataPlane(run_dir=directory / "run", log=log.append)
    bench = Bench(plane, source)
    bench.log = log
    await plane.start(source)
    try:
        await plane.settled(1)
        await bench.until_up()
        yield bench
    finally:
        await plane.close()
