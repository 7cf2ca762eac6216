"""Test the paths: boxes side by side, one exec each; explain what failed while the boxes still run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.jump.session import Session
from fwdctl.probe.boxes import BoxClient
from fwdctl.probe.counters import count_targets
from fwdctl.probe.evidence import Evidence
from fwdctl.probe.hops import explain, look_ahead
from fwdctl.probe.hops.commands import bare, in_subscription
from fwdctl.probe.judge import skipped
from fwdctl.probe.model import Broken, Options, Path, PathResult
from fwdctl.probe.plan import plan
from fwdctl.threads import side_by_side

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients
    from fwdctl.azure.credential import Login
    from fwdctl.deployment import Deployment
    from fwdctl.progress import Progress
    from fwdctl.runtime import Runtime


OF_THE_BOX = {"jump_missing", "jump_start_failed", "jump_start_timeout", "exec_refused"}
"""Errors that say something of a box, so that its paths are untested, whichever were asked for."""


def probe(
    runtime: Runtime, clients: Clients, deployment: Deployment, options: Options, progress: Progress
) -> list[PathResult]:
    """Results in the order of the plan.

    Raises:
        FwdctlError: nothing could be tested at all: no login, no such box or group, no start.
    """
    parts = plan(deployment.at(options.ports), options.which, options.samples)
    paths = [path for _, own in parts for path in own]
    boxes = list(dict.fromkeys(path.box for path in paths if path.box.group))
    open_session = partial(
        Session, runtime, clients, deployment, progress=progress, keep_running=options.keep_running
    )

    with BoxClient(open_session, boxes, options.timeout, runtime.sleep) as client:
        asked = [(Evidence.of(client, clients, part, options, progress.note), own) for part, own in parts]
        for evidence, own in asked:
            if options.explain:
                look_ahead(evidence, own)
            if options.hub == "always":
                evidence.wake_hub()
        test = partial(_test, client, deployment, paths, options.retries)
        is_counted = any(path.is_counted for path in paths)
        # Targets are known where there is one part only.
        results = count_targets(asked[0][0], paths, test) if is_counted else test()
        if options.explain:
            results = _explained(asked, results, progress)
    return as_evidence([_typed_anywhere(result, clients.login) for result in results])


def _explained(
    asked: Sequence[tuple[Evidence, list[Path]]], results: Sequence[PathResult], progress: Progress
) -> list[PathResult]:
    """The results of all parts, each with its own evidence."""
    if any(result.verdict == "fail" or result.lacks_servers for result in results):
        progress.step("Looking for what is broken")
    left = iter(results)
    found = [
        result
        for evidence, own in asked
        for result in explain(evidence, list(islice(left, len(own))), progress.detail)
    ]
    for message in dict.fromkeys(text for evidence, _ in asked for text in evidence.unread):
        progress.warning(f"The forwarders were not all looked at: {message}")
    return found


def _typed_anywhere(result: PathResult, login: Login) -> PathResult:
    """A result whose commands name their subscription where az would not mean it."""

    def one(broken: Broken) -> Broken:
        suggestion = in_subscription(broken.suggestion, login.subscription_id, login.active)
        return replace(broken, suggestion=suggestion)

    broken, warnings = result.broken and one(result.broken), tuple(map(one, result.warnings))
    return replace(result, broken=broken, warnings=warnings) if result.causes else result


def as_evidence(results: Sequence[PathResult]) -> list[PathResult]:
    """The results, where a direct test that fails is evidence only if its forward works all the same."""
    works = {r.path.forward for r in results if r.path.origin != "target" and r.verdict == "pass"}
    return [
        replace(result, is_evidence=True)
        if (result.path.origin, result.verdict) == ("target", "fail") and result.path.forward in works
        else result
        for result in results
    ]


def _test(client: BoxClient, deployment: Deployment, paths: Sequence[Path], retries: int) -> list[PathResult]:
    """Test all paths, each box's in one exec; a box that cannot be asked makes its own paths untested.

    Raises:
        FwdctlError: no box can be asked, for a reason that is not the box's, such as a missing permission.
    """

    def one(own: Sequence[Path]) -> list[PathResult] | FwdctlError:
        try:
            return client.test(own, retries)
        except FwdctlError as error:
            return error

    boxes = dict.fromkeys(path.box for path in paths)
    by_box = [[path for path in paths if path.box == box] for box in boxes]
    outcomes = side_by_side(one, by_box)
    errors = [outcome for outcome in outcomes if isinstance(outcome, FwdctlError)]
    asked = sum(not all(path.skip for path in own) for own in by_box)
    if errors and len(errors) == asked and not all(error.code in OF_THE_BOX for error in errors):
        raise errors[0]
    results = {
        result.path: result
        for own, outcome in zip(by_box, outcomes, strict=True)
        for result in (_untested(deployment, own, outcome) if isinstance(outcome, FwdctlError) else outcome)
    }
    return [results[path] for path in paths]


def _untested(deployment: Deployment, paths: Sequence[Path], error: FwdctlError) -> list[PathResult]:
    broken = Broken("box", error.code.upper(), error.message, bare(error.suggestion, deployment))
    return [replace(skipped(path, error.message, "inconclusive"), broken=broken) for path in paths]


def exit_code(results: Sequence[PathResult], *, strict: bool = False) -> ExitCode:
    """4 when any path is broken, else 5 when any is inconclusive or nothing was tested, else 0.

    With `strict`, a warning is 4 as well.
    """
    verdicts = {result.verdict for result in results if not result.is_evidence}
    if "fail" in verdicts or (strict and any(result.word == "warn" for result in results)):
        return ExitCode.BROKEN
    if "inconclusive" in verdicts or "pass" not in verdicts:
        return ExitCode.INCONCLUSIVE
    return ExitCode.OK
