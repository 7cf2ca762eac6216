"""Creates nodes, by way of a small process that they are forked from."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fwdlab.errors import LabError
from fwdlab.model import PLATFORM_ADDRESS
from fwdlab.nodes import fork_server
from fwdlab.nodes.node import Children, Node

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Directories that nodes need to see although they may lie below an emptied one: the Python installation.
_KEEP = sorted({sys.base_prefix, str(Path(sys.executable).resolve().parent.parent)})


class NodeFactory:
    """Creates nodes by way of the fork server.

    Args:
        run_dir: a directory of the lab; nodes mount over an empty directory in it, which shows nothing to the
            host.
    """

    def __init__(self, run_dir: Path) -> None:
        self._scratch = run_dir / "node"
        self._scratch.mkdir(parents=True, exist_ok=True)
        self._process = 0
        self._children: Children | None = None

    def start(self) -> None:
        """Use the fork server that this process has started."""
        self._process, end = fork_server.take()
        self._children = Children(end)

    async def create(
        self,
        name: str,
        *,
        private_files: bool = True,
        programs: Mapping[str, str] | None = None,
        sysctls: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        name_servers: Sequence[str] = (),
    ) -> Node:
        """Make a node.

        Args:
            name: host name.
            private_files: False for one that keeps the lab's view of the file system.
            programs: scripts by path, below /usr/local.
            sysctls: values by path below /proc/sys.
            environment: added to what every program in it gets.
            name_servers: in the place of the platform's.

        Raises:
            LabError: `node_failed` with the step that the kernel refused.
        """
        if self._children is None:
            raise LabError("lab_closed", "The lab's data plane does not run.")
        settings = {
            "name": name[:64],
            "private_files": private_files,
            "scratch": str(self._scratch),
            "files": _etc_files(name, name_servers or [PLATFORM_ADDRESS]),
            "programs": dict(programs or {}),
            "keep": _KEEP,
            "sysctls": dict(sysctls or {}),
        }
        try:
            answer, _ = await self._children.fork_server.ask({"op": "create", **settings})
        except OSError as error:
            raise _failed(name, error) from error
        return Node(name, answer["pid"], self._children, environment or {})

    def close(self) -> None:
        """End the fork server; nodes that are left die with it."""
        if self._children:
            self._children.fork_server.close()
            self._children = None
        if self._process:
            os.kill(self._process, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):  # the kernel has collected it
                os.waitpid(self._process, 0)
            self._process = 0
        with contextlib.suppress(OSError):
            self._scratch.rmdir()


def _failed(name: str, error: OSError) -> LabError:
    return LabError("node_failed", f"The node {name} cannot be made: {error.strerror or error}.")


def _etc_files(name: str, name_servers: Sequence[str]) -> dict[str, str]:
    """What every node finds in /etc instead of the host's files."""
    asked = "".join(f"nameserver {address}\n" for address in name_servers)
    return {
        "/etc/resolv.conf": f"{asked}options timeout:2 attempts:2\n",
        "/etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n",
        "/etc/hostname": f"{name}\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
        "/etc/environment": "",
    }
