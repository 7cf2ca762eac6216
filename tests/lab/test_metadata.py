"""169.254.169.254 with real packets: every machine reads its own, while it runs, whatever security groups say."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from support.bench import seed_bench
from support.inside import Scenario, run_inside
from support.seed_topology import NETWORK

if TYPE_CHECKING:
    from pathlib import Path

    from support.bench import Bench

pytestmark = pytest.mark.lab

ADDRESS = "http://169.254.169.254/metadata/instance"
GROUP = f"{NETWORK}/networkSecurityGroups/closed"
DENY_ALL = {
    "securityRules": [
        {
            "name": f"deny-{direction}",
            "properties": {
                "priority": 100,
                "direction": direction,
                "access": "Deny",
                "protocol": "*",
                "sourceAddressPrefix": "*",
                "sourcePortRange": "*",
                "destinationAddressPrefix": "*",
                "destinationPortRange": "*",
            },
        }
        for direction in ("Inbound", "Outbound")
    ]
}
ASK = f"curl -sS -m 3 -H Metadata:true '{ADDRESS}%s'"


async def user_data(bench: Bench, node: str) -> bytes:
    text = await bench.ok(node, ASK % "/compute/userData?api-version=2021-01-01&format=text")
    return base64.b64decode(text, validate=True)


async def each_machine_reads_its_own(directory: Path) -> None:
    async with seed_bench(directory) as bench:

        async def give(**data: bytes) -> None:
            specs = (
                replace(spec, user_data=base64.b64encode(data.get(spec.name, b"")).decode())
                for spec in bench.source.current.nodes
            )
            await bench.change(nodes=tuple(specs))

        await give(fwd000000=b"one", onprem65=b"two")
        names = ("fwd000000", "fwd000001", "onprem65")
        assert [await user_data(bench, name) for name in names] == [b"one", b"", b"two"]
        uptime = "cat /proc/1/stat | cut -d' ' -f22"
        before = await bench.ok("fwd000000", uptime)
        await give(fwd000000=b"x" * 65536)
        assert await user_data(bench, "fwd000000") == b"x" * 65536
        assert await bench.ok("fwd000000", uptime) == before
        found = json.loads(await bench.ok("onprem66", ASK % "?api-version=2021-02-01"))
        assert found["compute"]["resourceId"].endswith("/virtualMachines/onprem66")
        status = f"curl -sS -m 3 -o /dev/null -w '%{{http_code}}' '{ADDRESS}?api-version=2021-02-01'"
        assert await bench.ok("fwd000000", status) == "400"
        assert await bench.ok("ci-spoke1", f"{status} -H Metadata:true") == "404"  # a container


async def who_asks_too_often_is_refused_for_a_while(directory: Path) -> None:
    async with seed_bench(directory) as bench:
        url = f"'{ADDRESS}?api-version=2021-02-01'"
        codes = f"for i in 1 2 3 4 5 6 7 8; do curl -s -m 3 -o /dev/null -w '%{{http_code}} ' {url}; done"
        told = (await bench.ok("onprem65", codes.replace("curl", "curl -H Metadata:true"))).split()
        assert (told[0], told[-1], set(told)) == ("200", "429", {"200", "429"})
        await asyncio.sleep(1)
        assert json.loads(await bench.ok("onprem65", ASK % "?api-version=2021-02-01"))["compute"]


async def no_security_group_closes_it(directory: Path) -> None:
    async with seed_bench(directory) as bench:
        group = {"id": GROUP, "type": "Microsoft.Network/networkSecurityGroups", "properties": DENY_ALL}
        current = bench.source.current
        assert await bench.servers("fwd000000", "http://192.168.42.65:8000/", 1) == {"onprem65": 1}
        await bench.change(
            documents={**current.documents, GROUP.lower(): group},
            nodes=tuple(replace(spec, security_group_id=GROUP) for spec in current.nodes),
        )
        assert await user_data(bench, "fwd000000") == b""
        assert await bench.servers("fwd000000", "http://192.168.42.65:8000/", 1) == {"-": 1}


@pytest.mark.parametrize(
    "scenario",
    [each_machine_reads_its_own, who_asks_too_often_is_refused_for_a_while, no_security_group_closes_it],
    ids=lambda scenario: scenario.__name__,
)
def test_metadata(scenario: Scenario) -> None:
    run_inside(scenario)
