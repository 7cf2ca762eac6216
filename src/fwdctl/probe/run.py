"""Test the paths: boxes side by side, one exec each; explain what failed while the boxes still run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from typing import TYPE_CHECKING

from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.jump.boxes import side_by_side
from fwdctl.jump.session import Session
from fwdctl.probe.boxes import BoxClient
from fwdctl.probe.judge import skipped
from fwdctl.probe.model import Broken, PathResult
from fwdctl.probe.plan import plan_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwdctl.azure.clients import Clients
    from fwdctl.deployment import Deployment
    from fwdctl.output import Progress
    from fwdctl.probe.evidence import Evidence
    from fwdctl.probe.model import Path
    from fwdctl.runtime import Runtime


@dataclass(frozen=True)
class Options:
    """How to probe.

    Attributes:
        which: `hub`, `spoke`, `all` or a spoke's name.
        samples: fresh connections for each path, 0 for as many as the targets suggest.
        timeout: seconds for one connection.
        retries: times that a path which fails is asked again, after a few seconds.
        keep_running: leave boxes running that were started.
        ports: those that are tested; all that are forwarded where none is named.
    """

    which: str
    samples: int = 0
    timeout: float = 5.0
    retries: int = 1
    keep_running: bool = False
    ports: tuple[int, ...] = ()


def probe(
    runtime: Runtime, clients: Clients, deployment: Deployment, options: Options, progress: Progress
) -> list[PathResult]:
    """Results in the order of the plan.

    Raises:
        FwdctlError: nothing could be tested at all: no login, no such box or group, no start.
    """
    parts = plan_parts(deployment.at(options.ports), options.which, options.samples)
    paths = [path for _, own in parts for path in own]
    boxes = list(dict.fromkeys(path.box for path in paths if path.box.group))
    open_session = partial(
        Session, runtime, clients, deployment, progress=progress, keep_running=options.keep_running
    )

    @cache
    def evidence(part: Deployment) -> Evidence:  # imported where it is needed: most probes pass without
        from fwdctl.probe.evidence import Evidence

        return Evidence.of(client, clients, part)

    with BoxClient(open_session, boxes, options.timeout, runtime.sleep) as client:
        test = partial(_test, client, paths, options.retries)
        if any(path.is_counted for path in paths):
            from fwdctl.probe.counters import count_targets

            # Targets are known where there is one part only.
            results = count_targets(evidence(parts[0][0]), paths, test)
        else:
            results = test()
        if any(result.verdict == "fail" or result.lacks_servers for result in results):
            from fwdctl.probe.hops import explain

            progress.step("Looking for what is broken")
            left = iter(results)
            results = [
                result
                for part, own in parts
                for result in explain(evidence(part), list(islice(left, len(own))))
            ]
    return results


def _test(client: BoxClient, paths: Sequence[Path], retries: int) -> list[PathResult]:
    """Test all paths, each box's in one exec; a box that cannot be asked makes its own paths untested."""

    def one(own: Sequence[Path]) -> list[PathResult] | FwdctlError:
        try:
            return client.test(own, retries)
        except FwdctlError as error:
            if error.exit_code is ExitCode.INTERRUPTED:
                raise
            return error

    boxes = dict.fromkeys(path.box for path in paths)
    by_box = [[path for path in paths if path.box == box] for box in boxes]
    outcomes = side_by_side(one, by_box)
    errors = [outcome for outcome in outcomes if isinstance(outcome, FwdctlError)]
    if errors and len(errors) == sum(not all(path.skip for path in own) for own in by_box):
        raise errors[0]
    results = {
        result.path: result
        for own, outcome in zip(by_box, outcomes, strict=True)
        for result in (_untested(own, outcome) if isinstance(outcome, FwdctlError) else outcome)
    }
    return [results[path] for path in paths]


def _untested(paths: Sequence[Path], error: FwdctlError) -> list[PathResult]:
    broken = Broken("box", error.code.upper(), error.message, error.suggestion)
    return [replace(skipped(path, error.message, "inconclusive"), broken=broken) for path in paths]


def exit_code(results: Sequence[PathResult]) -> ExitCode:
    """4 when any path is broken, else 5 when any is inconclusive or nothing was tested, else 0."""
    verdicts = {result.verdict for result in results}
    if "fail" in verdicts:
        return ExitCode.BROKEN
    if "inconclusive" in verdicts or "pass" not in verdicts:
        return ExitCode.INCONCLUSIVE
    return ExitCode.OK
