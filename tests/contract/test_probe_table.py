"""What `fwdctl probe` prints on a terminal.

The box is a real shell behind the exec protocol; its curl and getent are told what to say.
"""

from __future__ import annotations

import io
import os
import re
from typing import TYPE_CHECKING

import pytest

from support.fake_arm import NETWORK
from support.probe_world import broken, one_dead_target

if TYPE_CHECKING:
    from support.probe_world import World

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the fake service needs a PTY")


class Terminal(io.TextIOWrapper):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def told_on(world: World, stream: type[io.TextIOWrapper], columns: str) -> str:
    """What is printed after the table."""
    world.stream = stream
    world.environ = {"COLUMNS": columns, "TERM": "dumb", "NO_COLOR": "1"}
    assert world.run("probe", "spoke") == 4
    return world.stdout.decode().partition("BROKEN")[2]


def test_a_terminal_gets_lines_that_fit_and_a_command_that_can_be_copied(world: World) -> None:
    broken(world)
    state = {"privateLinkServiceConnectionState": {"status": "Disconnected"}}
    endpoint = {"properties": {"privateLinkServiceConnections": [{"properties": state}]}}
    world.arm.on("GET", f"{NETWORK}/privateEndpoints/pep", endpoint)
    typed = ["az network private-endpoint delete -g rg-dev -n pep", "azd provision --no-state"]
    text = told_on(world, Terminal, "50")
    lines = text.splitlines()
    assert max(map(len, lines)) <= 50
    command = text.partition("Next: ")[2]
    assert command.count(" \\\n") == len(command.splitlines()) - len(typed) > 0
    assert [" ".join(line.split()) for line in command.replace(" \\\n", " ").splitlines()] == typed
    whole = told_on(world, io.TextIOWrapper, "50")
    assert whole.endswith(f"\n  Next: {typed[0]}\n        {typed[1]}\n")


def test_an_endpoint_that_is_gone_is_named(world: World) -> None:
    broken(world)
    world.arm.fail("GET", f"{NETWORK}/privateEndpoints/pep", 404, "ResourceNotFound")
    assert "spoke/web at the endpoint (PE_MISSING)" in told_on(world, Terminal, "200")


def test_the_way_to_a_service_of_azure_has_no_balancer_and_no_forwarder(world: World) -> None:
    broken(world)
    world.topology["spokes"][0]["zone"] = "privatelink.vaultcore.azure.net"
    world.arm.fail("GET", f"{NETWORK}/privateEndpoints/pep", 404, "ResourceNotFound")
    assert "  box ─ name ─ ✗ endpoint ─ target\n" in told_on(world, Terminal, "200")


def test_what_is_not_known_is_said_in_words(world: World) -> None:
    broken(world)
    world.arm.fail("GET", f"{NETWORK}/privateEndpoints/pep", 403, "AuthorizationFailed")
    assert "spoke/web at a segment that is not known (PATH_UNEXPLAINED)" in told_on(world, Terminal, "200")


def test_advice_in_words_has_no_backslashes(world: World) -> None:
    broken(world)
    text = told_on(world, Terminal, "50")
    assert "Check the servers" in text
    assert "\\" not in text
    assert max(map(len, text.splitlines())) <= 50


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_terminal_of_80_columns_keeps_the_header_on_one_line(world: World, encoding: str) -> None:
    one_dead_target(world)
    world.stream = Terminal
    world.environ = {"COLUMNS": "80", "TERM": "xterm"}
    assert world.run("probe", "all", encoding=encoding) == 0
    lines = world.stdout.decode(encoding).splitlines()
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    assert plain[0].split() == ["PATH", "VERDICT", "WHY"]
    assert max(map(len, plain)) <= 80
    sign = "✓" if encoding == "utf-8" else "+"
    assert f"\x1b[32m{sign} PASS\x1b[0m" in lines[1]
    assert "\x1b[33m! WARN\x1b[0m" in "".join(lines)
