"""Creates nodes, by way of a small process that they are forked from."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fwdlab.errors import LabError
from fwdlab.nodes import wire
from fwdlab.nodes.nodes import PATH, PLATFORM_ADDRESS, Node
from fwdlab.nodes.peer import Peer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

_START_SECONDS = 10.0
# Directories that nodes need to see although they may lie below an emptied one: the Python installation.
_KEEP = sorted({sys.base_prefix, str(Path(sys.executable).resolve().parent.parent)})


class Nursery:
    """Creates nodes by way of the zygote.

    Args:
        run_dir: an existing directory of the lab; nodes mount over an empty directory in it, which shows
            nothing to the host.
    """

    def __init__(self, run_dir: Path) -> None:
        self._scratch = run_dir / "node"
        self._scratch.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._peer: Peer | None = None

    def start(self) -> None:
        """Start the zygote."""
        here, there = wire.pair()
        source = str(Path(__file__).resolve().parents[2])
        program = (
            f"import sys; sys.path.insert(0, {source!r}); from fwdlab.nodes.zygote import main;"
            f" main({there.fileno()})"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", program],
            stdin=subprocess.DEVNULL,
            pass_fds=(there.fileno(),),
            env={"PATH": PATH},
            cwd="/",
        )
        there.close()
        self._peer = Peer(here, lambda _message: None)

    async def create(
        self,
        name: str,
        *,
        private_files: bool = True,
        files: Mapping[str, str] | None = None,
        programs: Mapping[str, str] | None = None,
        sysctls: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Node:
        """Make a node.

        Args:
            name: host name.
            private_files: False for one that keeps the lab's view of the file system.
            files: first content of files below /etc, by path.
            programs: scripts below /usr/local, by path.
            sysctls: by path below /proc/sys.
            environment: added to what every program in it gets.

        Raises:
            LabError: `node_failed` with the step that the kernel refused.
        """
        if self._peer is None:
            raise LabError("lab_closed", "the lab's data plane does not run")
        here, there = wire.pair()
        settings = {
            "name": name[:64],
            "private_files": private_files,
            "scratch": str(self._scratch),
            "files": dict(files or {}),
            "programs": dict(programs or {}),
            "keep": _KEEP,
            "sysctls": dict(sysctls or {}),
        }
        try:
            answer, _ = await self._peer.ask({"node": settings}, (there.fileno(),))
        except OSError as error:
            here.close()
            raise LabError("node_failed", f"{name}: {error}") from error
        finally:
            there.close()
        return await _adopt(name, answer["pid"], here, environment or {})

    def close(self) -> None:
        """End the zygote; nodes that are left die with it."""
        if self._peer:
            self._peer.close()
            self._peer = None
        if self._process:
            self._process.kill()
            self._process.wait(5)
            self._process = None
        with contextlib.suppress(OSError):
            self._scratch.rmdir()


async def _adopt(name: str, pid: int, end: socket.socket, environment: Mapping[str, str]) -> Node:
    loop = asyncio.get_running_loop()
    first: asyncio.Future[dict[str, Any]] = loop.create_future()
    events: list[Callable[[dict[str, Any]], None]] = []

    def on_event(message: dict[str, Any]) -> None:
        if not first.done():
            first.set_result(message)
        elif events:
            events[0](message)

    peer = Peer(end, on_event)
    pidfd = os.pidfd_open(pid)
    try:
        _require_ready(name, await asyncio.wait_for(first, _START_SECONDS))
        network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except BaseException:
        peer.close()
        os.close(pidfd)
        raise
    own = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "HOSTNAME": name, **environment}
    node = Node(name, pid, pidfd, own, network, peer)
    events.append(node.on_event)
    return node


def _require_ready(name: str, message: dict[str, Any]) -> None:
    if "ready" not in message:
        raise LabError("node_failed", f"{name}: {message.get('error', 'its first process ended')}")


def etc_files(name: str) -> dict[str, str]:
    """What every node finds in /etc instead of the host's files."""
    return {
        "/etc/resolv.conf": f"nameserver {PLATFORM_ADDRESS}\noptions timeout:2 attempts:2\n",
        "/etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n",
        "/etc/hostname": f"{name}\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
        "/etc/environment": "",
    }
