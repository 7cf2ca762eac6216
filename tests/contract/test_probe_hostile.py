"""What comes from outside reaches no terminal as it is, in any format of a real probe."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from support.local_box import program

if TYPE_CHECKING:
    from support.probe_world import World

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the fake service needs a PTY")

EVIL = "a\x1b[31m\x1b]0;title\x07\r\x7f\x9b2J\u202e\u200f[bold]b[/]"
SHOWN = r"a\x1b[31m\x1b]0;title\x07\x0d\x7f\x9b2J\u202e\u200f[bold]b[/]".replace(r"\x0d", r"\r")
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]")
FORMATS = ["table", "json", "junit"]


def printed(world: World) -> str:
    """All that was printed, which no terminal may obey."""
    world.arm.any_call = True  # explanations ask for more than this group has, some in the background
    text = world.stdout.decode() + world.stderr
    assert OBEYED.findall(text) == [], text
    return text


def checked(world: World, fmt: str) -> str:
    printed(world)
    if fmt == "json":
        return json.dumps(json.loads(world.stdout), ensure_ascii=False)
    if fmt == "junit":
        return "".join(ET.fromstring(world.stdout).itertext())  # noqa: S314 - our own text
    return world.stdout.decode()


def curl(world: World, header: str, status: str = "@200 0.001 0.002 10.1.17.4", said: str = "") -> None:
    octal = "".join(f"\\{byte:03o}" for byte in f"HTTP/1.1 200 OK\r\n{header}\r\n\r\n".encode())
    words = "".join(f"\\{byte:03o}" for byte in said.encode())
    program(world.cwd / "tools", "curl", f"printf '{octal}'; printf '{words}'; printf '\\n{status}'")


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_servers_header(world: World, fmt: str) -> None:
    curl(world, f"X-Served-By: {EVIL}")
    assert world.run("probe", "spoke", "-o", fmt) == 0
    assert SHOWN.replace("\\", "\\\\" if fmt == "json" else "\\") in checked(world, fmt)


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_redirection(world: World, fmt: str) -> None:
    curl(world, "Location: http://evil\x1bM\x07\u202e.example/")
    world.run("probe", "spoke", "-o", fmt)
    assert "TARGET_REDIRECTS" in checked(world, fmt)


@pytest.mark.parametrize("fmt", FORMATS)
def test_what_a_tool_says(world: World, fmt: str) -> None:
    curl(world, "", "@000 0.0 0.0 ", f"curl: (7) {EVIL} refused\n")
    assert world.run("probe", "spoke", "--retries", "0", "-o", fmt) == 4
    assert "refused" in checked(world, fmt)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("evil", [EVIL, f"{EVIL}\x00"])
def test_names_of_the_topology(world: World, fmt: str, evil: str) -> None:
    world.topology["forwards"][0]["name"] = evil
    world.topology["spokes"][0]["name"] = evil
    world.topology["spokes"][0]["privateEndpoint"]["name"] = evil
    world.topology["resourceGroup"] = "rg-dev"
    assert world.run("probe", "spoke", "-o", fmt) == 0
    checked(world, fmt)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("key", ["hostName", "zone", "jump"])
def test_other_values_of_a_spoke(world: World, fmt: str, key: str) -> None:
    world.topology["spokes"][0][key] = EVIL
    world.run("probe", "spoke", "--retries", "0", "-o", fmt)
    printed(world)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("key", ["check", "checkPath", "identityHeader", "serverName", "balance"])
def test_other_values_of_a_forward(world: World, fmt: str, key: str) -> None:
    world.topology["forwards"][0][key] = EVIL
    world.run("probe", "all", "--retries", "0", "-o", fmt)
    printed(world)


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_resource_group(world: World, fmt: str) -> None:
    world.topology["resourceGroup"] = EVIL
    world.run("probe", "spoke", "-o", fmt)
    printed(world)
