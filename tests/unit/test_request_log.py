"""The request log: nothing that was answered is lost, however long the lab runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from fwdlab.arm.log import RequestLog

if TYPE_CHECKING:
    from pathlib import Path


def test_every_line_since_the_start_is_told(tmp_path: Path) -> None:
    async def scene() -> None:
        log = RequestLog(tmp_path / "requests.jsonl")
        for number in range(3000):
            log.request(method="GET", path=f"/é{number}", query="", status=200, seconds=0.001)
        log.event("proxy", host="h")
        lines = log.tail()
        assert [line["n"] for line in lines] == list(range(1, 3002))
        assert lines[7]["path"] == "/é7"
        assert log.tail(after=2999) == lines[2999:]
        assert log.tail(after=3001) == []
        assert await log.wait(3000, 1) == lines[3000:]
        log.close()

    asyncio.run(scene())


def test_the_file_is_private(tmp_path: Path) -> None:
    async def scene() -> None:
        RequestLog(tmp_path / "requests.jsonl").close()

    asyncio.run(scene())
    assert (tmp_path / "requests.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("refusal", ["No space left on device", ""])
def test_a_full_disk_loses_lines_and_no_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    """The kernel takes what fits of a line, and refuses the next write only."""
    log = RequestLog(tmp_path / "log")
    log.event("one")
    real = log._file

    class Full:
        def write(self, data: bytes) -> int:
            taken = real.write(data[:5])
            if refusal:
                raise OSError(28, refusal)
            return taken

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

    monkeypatch.setattr(log, "_file", Full())
    log.event("two")
    monkeypatch.setattr(log, "_file", real)
    log.event("three")
    assert [line["event"] for line in log.tail()] == ["one", "three"]
    assert [line["event"] for line in log.tail(after=1)] == ["three"]
    log.close()
