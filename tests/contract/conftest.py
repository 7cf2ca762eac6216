"""What several files of tests are given."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING

import pytest

from support.fake_arm import CONTAINERS, container_group, fake_arm
from support.probe_world import CURL, GETENT, World, forwarders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    from support.aci_exec_server import aci_exec_server  # skips where there is no PTY

    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "stty", "dd", "base64", "cksum", "mkdir", "sleep", "cat", "bash"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    for name, text in (("curl", CURL), ("getent", GETENT)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    with fake_arm() as arm, aci_exec_server() as shells:
        shells.environ.update(PATH=str(tools), SERVERS="2", MODE="well", DEAD="-")
        monkeypatch.setattr("fwdctl.azure.credential.log_in", lambda *_: arm.login())
        ticket = shells.ticket()
        for box in ("ci-hub", "ci-spoke"):
            arm.on(
                "POST",
                f"{CONTAINERS}/{box}/containers/jump/exec",
                {"webSocketUri": ticket.uri, "password": ticket.password},
            )
            arm.on("GET", f"{CONTAINERS}/{box}", container_group(box))
        empty = io.TextIOWrapper(io.BytesIO())
        world = World(arm, shells, empty, empty, tmp_path)
        forwarders(world)
        yield world
