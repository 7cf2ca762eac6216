"""What the probe asks of jump boxes: tests of paths, and single commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from fwdctl.channel import Request
from fwdctl.errors import FwdctlError
from fwdctl.probe.judge import judge, skipped
from fwdctl.probe.parse import IncompleteError, parse
from fwdctl.probe.script import rounds, script
from fwdctl.probe.stage import Stage
from fwdctl.threads import each_to_its_end

if TYPE_CHECKING:
    from fwdctl.deployment import Box
    from fwdctl.jump.session import Session
    from fwdctl.probe.model import Path, PathResult

BOX_OVERHEAD = 30.0
"""Seconds that a box may need beyond its checks before its run counts as hung."""
LABELS = 3
"""Paths that a line of progress names."""
RETRY_PAUSE = 2.0
"""Seconds before a path that failed is asked again: after a change, Azure and the forwarders need some."""
HURRY = 2.0
"""Seconds for a first look in an explanation; within the hub, a connection needs milliseconds."""


class BoxClient:
    """Jump boxes of one deployment, left as they were found. Use as a context manager.

    `open_session` is `Session` but for the box and `may_start`. Only `boxes` may be started; any other is
    asked while it runs. `timeout` is for one connection.
    """

    def __init__(
        self,
        open_session: Callable[..., Session],
        boxes: Sequence[Box],
        timeout: float,
        sleep: Callable[[float], None],
    ) -> None:
        self._open = open_session
        self._timeout = timeout
        self._sleep = sleep
        self._sessions = {box.name: open_session(box, may_start=True) for box in boxes}
        self._to_leave = list(self._sessions.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        each_to_its_end(lambda session: session.leave(failed=kind is not None), self._to_leave)

    def starts(self, box: Box) -> bool:
        """Whether a box is started when it does not run."""
        return box.name in self._sessions

    def admit(self, box: Box) -> None:
        """Start one more box, and leave it as it was found.

        Raises:
            FwdctlError: it does not start.
        """
        session = self._open(box, may_start=True)
        self._to_leave.append(session)
        session.run(Request(("true",), timeout=BOX_OVERHEAD, idempotent=True))
        self._sessions[box.name] = session

    def ask(self, box: Box, command: str) -> str:
        """What a shell command prints; empty where that is not known.

        Raises:
            FwdctlError: the box does not run, does not start, or refuses exec.
        """
        request = Request(("/bin/sh", "-c", command), timeout=BOX_OVERHEAD, idempotent=True)
        outcome = self._session(box).run(request, doing=f"Asking the forwarders from {box}")
        return "" if outcome.inconclusive else outcome.stdout.decode("utf-8", "replace")

    def test(self, paths: Sequence[Path], retries: int = 0, *, hurry: bool = False) -> list[PathResult]:
        """Test paths of one box in one exec; those that fail, some more times.

        With `hurry` a connection is awaited for HURRY seconds only; one that was made gets the full time.

        Raises:
            FwdctlError: as `ask`.
        """
        seconds = min(HURRY, self._timeout) if hurry else self._timeout
        results = self._test_once(paths, "Testing", seconds)
        slow = any(s.connected and not s.answered for r in results for s in r.observation.samples)
        if slow and seconds < self._timeout:
            results = self._test_once(paths, "Testing", self._timeout)
        for _ in range(retries):
            failed = [result for result in results if result.verdict == "fail"]
            again = iter(self._once_more(failed))
            results = [next(again) if result.verdict == "fail" else result for result in results]
        return results

    def _once_more(self, failed: Sequence[PathResult]) -> list[PathResult]:
        """Paths that failed, asked again; where the box does not answer this time, the first answer stays."""
        if not failed:
            return []
        self._sleep(RETRY_PAUSE)
        try:
            again = self._test_once([result.path for result in failed], "Testing once more:", self._timeout)
        except FwdctlError:
            return list(failed)
        return [
            replace(new, earlier=(*old.earlier, old.seen)) if new.verdict in {"pass", "fail"} else old
            for old, new in zip(failed, again, strict=True)
        ]

    def _test_once(self, paths: Sequence[Path], doing: str, seconds: float) -> list[PathResult]:
        if all(path.skip for path in paths):
            return [skipped(path, path.skip) for path in paths]
        labels = ", ".join(path.label for path in paths[:LABELS])
        more = f" and {len(paths) - LABELS} more" if len(paths) > LABELS else ""
        doing = f"{doing} {labels}{more} from {paths[0].box}"
        results = self._test(paths, doing, seconds, python=False)
        lacking = [result.path for result in results if result.observation.lacks_tool]
        again = iter(self._test(lacking, doing, seconds, python=True) if lacking else ())
        return [next(again) if result.observation.lacks_tool else result for result in results]

    def _test(self, paths: Sequence[Path], doing: str, seconds: float, *, python: bool) -> list[PathResult]:
        command = ("/bin/sh", "-c", script(paths, seconds, python=python))
        request = Request(command, timeout=BOX_OVERHEAD + (1 + rounds(paths)) * seconds, idempotent=True)
        stage = Stage(paths)

        def shown(printed: bytes) -> str:
            under_test = stage.hear(printed)
            return under_test and f"Testing {under_test}, from {paths[0].box.name}"

        outcome = self._session(paths[0].box).run(request, doing=doing, stage=shown)
        if outcome.inconclusive:
            return [skipped(path, f"{outcome.detail}; try again", "inconclusive") for path in paths]
        try:
            observed = parse(outcome.stdout.decode("utf-8", "replace"), len(paths))
        except IncompleteError as error:
            reason = f"the box's report is incomplete: {error}"
            return [skipped(path, reason, "inconclusive") for path in paths]
        return [judge(path, each) for path, each in zip(paths, observed, strict=True)]

    def _session(self, box: Box) -> Session:
        return self._sessions.get(box.name) or self._open(box, may_start=False)
