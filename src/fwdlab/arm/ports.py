"""What the control plane asks of the data plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fwdlab.model import ProbeHealth


class Terminal(Protocol):
    """A process with a terminal inside a node."""

    async def read(self) -> bytes:
        """What it printed; empty at its end."""

    async def write(self, data: bytes) -> None: ...

    async def wait(self) -> int:
        """Its exit status."""

    async def close(self) -> None:
        """End it and all it started."""


class DataPlane(Protocol):
    """The network and machines that follow the store."""

    async def settled(self, revision: int) -> None:
        """Return when the kernel reflects at least this revision of the store; LabError when it cannot."""

    def health(self) -> tuple[ProbeHealth, ...]:
        """What the platform's probes say now."""

    async def open_terminal(
        self, node: str, argv: Sequence[str], *, rows: int, cols: int, environment: Mapping[str, str]
    ) -> Terminal:
        """Start a process with a terminal in a node; LabError when there is no such node or program."""

    async def logs(self, node: str, container: str) -> str:
        """What the process of a container has printed; LabError when there is no such node."""
