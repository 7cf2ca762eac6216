"""Test the paths: boxes side by side, one exec each; explain what failed; leave the boxes as found."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fwdctl.channel import Request
from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.jump.boxes import side_by_side
from fwdctl.jump.session import Session
from fwdctl.probe.judge import judge, skipped
from fwdctl.probe.model import Broken, PathResult
from fwdctl.probe.parse import IncompleteError, parse
from fwdctl.probe.plan import plan
from fwdctl.probe.script import script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwdctl.azure.clients import Clients
    from fwdctl.deployment import Box, Deployment
    from fwdctl.output import Progress
    from fwdctl.probe.model import Path
    from fwdctl.runtime import Runtime

BOX_OVERHEAD = 30.0
"""Seconds that a box may need beyond its checks before its run counts as hung."""


@dataclass(frozen=True)
class Options:
    """How to probe.

    Attributes:
        which: `hub`, `spoke`, `all` or a spoke's name.
        samples: fresh connections for each path, 0 for as many as the targets suggest.
        timeout: seconds for one connection.
        keep_running: leave boxes running that were started.
        meanwhile: called once for each box, while it works.
    """

    which: str
    samples: int = 0
    timeout: float = 5.0
    keep_running: bool = False
    meanwhile: Callable[[], None] = lambda: None


Explain = Callable[["Prober", list["PathResult"]], "list[PathResult]"]


class Prober:
    """One probe of one deployment; `run` may be called once."""

    def __init__(
        self, runtime: Runtime, arm: Clients, deployment: Deployment, options: Options, progress: Progress
    ) -> None:
        self.runtime = runtime
        self.arm = arm
        self.deployment = deployment
        self.options = options
        self.progress = progress
        self._sessions: dict[str, Session] = {}

    def run(self, explain: Explain) -> list[PathResult]:
        """Results in the order of the plan.

        Args:
            explain: asked while the boxes still run, if a path needs explaining.

        Raises:
            FwdctlError: nothing could be tested at all: no login, no such box or group, no start.
        """
        paths = plan(self.deployment, self.options.which, self.options.samples)
        boxes = list(dict.fromkeys(path.box for path in paths))
        with ExitStack() as stack:
            for box in boxes:
                self._sessions[box.name] = stack.enter_context(self._session(box))
            by_box = [[path for path in paths if path.box is box] for box in boxes]
            outcomes = side_by_side(self._box, by_box)
            errors = [outcome for outcome in outcomes if isinstance(outcome, FwdctlError)]
            if len(errors) == len(outcomes):
                raise errors[0]
            results = [
                result
                for own, outcome in zip(by_box, outcomes, strict=True)
                for result in (_untested(own, outcome) if isinstance(outcome, FwdctlError) else outcome)
            ]
            if any(_needs_explaining(result) for result in results):
                results = explain(self, results)
        return results

    def _session(self, box: Box, *, may_start: bool = True) -> Session:
        return Session(
            self.runtime,
            self.arm,
            self.deployment,
            box,
            self.progress,
            may_start=may_start,
            keep_running=self.options.keep_running,
        )

    def _box(self, paths: Sequence[Path]) -> list[PathResult] | FwdctlError:
        try:
            return self.test(paths)
        except FwdctlError as error:
            if error.exit_code is ExitCode.INTERRUPTED:
                raise
            return error

    def ask(self, box: Box, command: str) -> str:
        """What a shell command prints in a box that runs; empty where that is not known.

        Raises:
            FwdctlError: the box does not run, or refuses exec.
        """
        session = self._sessions.get(box.name) or self._session(box, may_start=False)
        request = Request(("/bin/sh", "-c", command), timeout=BOX_OVERHEAD, idempotent=True)
        outcome = session.run(request)
        return "" if outcome.inconclusive else outcome.stdout.decode("utf-8", "replace")

    def test(self, paths: Sequence[Path]) -> list[PathResult]:
        """Test paths of one box in one exec.

        Raises:
            FwdctlError: the box does not run, does not start, or refuses exec.
        """
        if all(path.skip for path in paths):
            return [skipped(path, path.skip) for path in paths]
        results = self._test(paths, python=False)
        lacking = any(result.sight.lacks_tool for result in results)
        return self._test(paths, python=True) if lacking else results

    def _test(self, paths: Sequence[Path], *, python: bool) -> list[PathResult]:
        box = paths[0].box
        session = self._sessions.get(box.name) or self._session(box, may_start=False)
        command = ("/bin/sh", "-c", script(paths, self.options.timeout, python=python))
        limit = BOX_OVERHEAD + 3 * self.options.timeout
        outcome = session.run(Request(command, timeout=limit, idempotent=True))
        if outcome.inconclusive:
            return [skipped(path, f"{outcome.detail}; try again", "inconclusive") for path in paths]
        try:
            sights = parse(outcome.stdout.decode("utf-8", "replace"), len(paths))
        except IncompleteError as error:
            return [
                skipped(path, f"the box's report is incomplete: {error}", "inconclusive") for path in paths
            ]
        return [judge(path, sight) for path, sight in zip(paths, sights, strict=True)]


def _untested(paths: Sequence[Path], error: FwdctlError) -> list[PathResult]:
    broken = Broken("box", error.code.upper(), error.message, error.suggestion)
    return [replace(skipped(path, error.message, "inconclusive"), broken=broken) for path in paths]


def _needs_explaining(result: PathResult) -> bool:
    return result.verdict == "fail" or lacks_servers(result)


def lacks_servers(result: PathResult) -> bool:
    """Whether a path works, but fewer servers than expected said who they are."""
    found = len(result.servers)
    return result.verdict == "pass" and 0 < found < result.path.expected


def exit_code(results: Sequence[PathResult]) -> ExitCode:
    """4 when any path is broken, else 5 when any is inconclusive or nothing was tested, else 0."""
    verdicts = {result.verdict for result in results}
    if "fail" in verdicts:
        return ExitCode.BROKEN
    if "inconclusive" in verdicts or "pass" not in verdicts:
        return ExitCode.INCONCLUSIVE
    return ExitCode.OK
