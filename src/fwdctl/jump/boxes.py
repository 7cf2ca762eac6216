"""Jump boxes: which, status, start, stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fwdctl.azure.containers import Containers, Group
from fwdctl.azure.errors import ArmFailure
from fwdctl.errors import FwdctlError, InconclusiveError, MissingError, StoppedError, UsageError
from fwdctl.threads import side_by_side

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients
    from fwdctl.deployment import Box, Deployment
    from fwdctl.progress import Progress
    from fwdctl.runtime import Runtime

START_TIMEOUT = 300.0
"""Seconds; a start in a virtual network takes 30-120 s as a rule."""
SETTLING = 10.0
"""Seconds after a start was asked for in which Azure may still tell the state of before."""
STOP_PATIENCE = 20.0
"""Seconds to go on asking for a stop while the service says that the box is between two states."""
NOT_NOW = 409
WHOSE = {"hub": " of the hub", "spoke": " of a spoke", "all": ""}
"""Whose box is missing, by the word for those that were asked for."""
LONGEST_PAUSE = 2.0
"""Seconds between two looks at a box that starts."""
TICK = 0.5
"""Longest sleep at a stretch, in seconds."""
ENDED = frozenset({"Stopped", "Succeeded", "Failed"})


@dataclass(frozen=True)
class Status:
    """A box and what Azure says of it; `group` is None where it does not exist."""

    box: Box
    group: Group | None

    @property
    def state(self) -> str:
        """Running, Stopped, … or Missing."""
        if self.group is None:
            return "Missing"
        return self.group.state or self.group.provisioning or "Unknown"


@dataclass(frozen=True)
class Change:
    """What start or stop did; `detail` and `error` say why it failed."""

    box: Box
    outcome: Literal[
        "started", "already running", "stopped", "already stopped", "still starting", "missing", "failed"
    ]
    detail: str = ""
    error: FwdctlError | None = None


def select(deployment: Deployment, which: str) -> tuple[Box, ...]:
    """The boxes that a word means: `hub`, `spoke` (all spokes), `all`, or the name of a spoke or box.

    Raises:
        FwdctlError: `unknown_box` (exit code 2), or the deployment has no such box (3).
    """
    spokes = [spoke for part in deployment.parts for spoke in part.spokes]
    groups = {"hub": deployment.hub_boxes, "spoke": deployment.spoke_boxes, "all": deployment.boxes}
    if which in groups:
        boxes = groups[which]
    else:
        named = [spoke.box for spoke in spokes if spoke.name == which]
        boxes = tuple(box for box in deployment.boxes if box.name == which or box in named)
        if not boxes and not named:
            names = [*groups, *(box.name for box in deployment.boxes), *(spoke.name for spoke in spokes)]
            raise UsageError(
                "unknown_box", f"There is no jump box '{which}'.", f"Use {', '.join(dict.fromkeys(names))}."
            )
    if not boxes:
        raise _no_box(deployment, which)
    return boxes


def _no_box(deployment: Deployment, which: str) -> FwdctlError:
    whose = WHOSE.get(which, f" of spoke '{which}'")
    suggestion = "Run a container group in a subnet of its network, or check the resource group."
    if deployment.by_azd:
        suggestion = "Run `azd provision --no-state`."
        if deployment.complete:  # the environment says that there is none
            suggestion = 'Write "jump": true in infra/main.parameters.json and run `azd provision`.'
    return MissingError(
        "no_jump_box",
        f"No jump box{whose} was found in resource group '{deployment.resource_group}'.",
        suggestion,
    )


def containers_of(clients: Clients, deployment: Deployment, box: Box) -> Containers:
    """The container groups among which a box is."""
    return Containers(clients, deployment.resource_group).at(box.resource_group, box.subscription_id)


def select_one(deployment: Deployment, which: str) -> Box:
    """Exactly one box; a spoke that is called `spoke` is meant by that word.

    Raises:
        FwdctlError: as `select`, and where several are meant (exit code 2).
    """
    boxes = select(deployment, which)
    named = [box for box in boxes if box.name == which]
    if len(named) != 1 and len(boxes) != 1:
        raise UsageError(
            "several_boxes",
            f"'{which}' means {len(boxes)} jump boxes: {', '.join(box.name for box in boxes)}.",
            "Name one of them.",
        )
    return (named or list(boxes))[0]


def status(clients: Clients, deployment: Deployment, boxes: Iterable[Box]) -> list[Status]:
    """What Azure says of each box."""

    def one(box: Box) -> Status:
        try:
            return Status(box, containers_of(clients, deployment, box).get(box.group))
        except ArmFailure as error:
            if error.code != "resource_not_found":
                raise
            return Status(box, None)

    return side_by_side(one, boxes)


def start(
    runtime: Runtime, clients: Clients, deployment: Deployment, boxes: Iterable[Box], progress: Progress
) -> list[Change]:
    """Start boxes side by side and wait until they run; a failure is a `failed` change.

    Raises:
        KeyboardInterrupt: Ctrl-C, after a word about each box whose start may go on.
    """
    under_way: dict[str, Box] = {}
    interrupted = threading.Event()

    def one(box: Box) -> Change:
        try:
            containers = containers_of(clients, deployment, box)
            group = containers.get(box.group)
            if group.running:
                progress.skipped(f"{box} runs already")
                return Change(box, "already running")
            under_way[box.name] = box
            start_box(runtime, containers, box, group, progress, interrupted.is_set)
        except FwdctlError as error:
            if interrupted.is_set():
                raise
            under_way.pop(box.name, None)
            progress.failed(f"{box}: {error.message}")
            return Change(box, "failed", error.message, error)
        under_way.pop(box.name)
        progress.done(f"{box} runs")
        return Change(box, "started")

    try:
        return side_by_side(one, boxes)
    except KeyboardInterrupt:
        interrupted.set()
        for box in list(under_way.values()):
            progress.warning(
                f"{box} may still start and cost money. Stop it with `fwdctl jump stop {box.name}`."
            )
        raise


def stop(runtime: Runtime, clients: Clients, deployment: Deployment, boxes: Iterable[Box]) -> list[Change]:
    """Stop boxes side by side. Already stopped, missing and still starting are outcomes, not failures."""

    def one(box: Box) -> Change:
        return stop_box(runtime, containers_of(clients, deployment, box), box)

    return side_by_side(one, boxes)


def stop_box(
    runtime: Runtime, containers: Containers, box: Box, starting: Callable[[], bool] = lambda: False
) -> Change:
    """Stop a box; while a start of ours is under way, it is not taken for stopped."""
    deadline = runtime.clock() + STOP_PATIENCE
    while True:
        try:
            doubtful = starting()  # asked before the state, which may be older
            group = containers.get(box.group)
            if group.state in ENDED:
                if doubtful and runtime.clock() < deadline:
                    runtime.sleep(1.0)
                    continue
                return Change(box, "already stopped", group.reason if group.state == "Failed" else "")
            containers.stop(box.group)
        except ArmFailure as error:
            if error.code == "resource_not_found":
                return Change(box, "missing")
            if error.status != NOT_NOW:
                return Change(box, "failed", error.message, error)
            if runtime.clock() >= deadline:
                return Change(box, "still starting", error.arm_message)
            runtime.sleep(1.0)
        except FwdctlError as error:
            return Change(box, "failed", error.message, error)
        else:
            return Change(box, "stopped")


def start_box(  # noqa: PLR0917 - what a start consists of
    runtime: Runtime,
    containers: Containers,
    box: Box,
    before: Group,
    progress: Progress,
    cancelled: Callable[[], bool] = lambda: False,
) -> Group:
    """Start a box, or wait for one that starts already, until it runs or `cancelled` says to end the wait.

    `before` is its group as it was last seen.
    """
    began = runtime.clock()
    pause = 0.1

    def tick() -> None:
        if cancelled():
            raise StoppedError
        progress.step(f"Starting {box}", runtime.clock() - began)

    tick()
    _ask_for_start(containers, box)
    tick()
    while True:
        group = containers.get(box.group)
        if group.running:
            return group
        spent = runtime.clock() - began
        if _ended(group, before, settled=spent > SETTLING):
            why = group.reason or f"its state is {group.state or group.provisioning}"
            raise _start_failed(containers, box, why)
        if spent > START_TIMEOUT:
            raise InconclusiveError(
                "jump_start_timeout",
                f"Jump box {box} does not run after {START_TIMEOUT:.0f} s.",
                f"Look at it: `{containers.typed('show', box.group)}`; "
                f"stop it with `fwdctl jump stop {box.name}`.",
            )
        _rest(runtime, pause, tick)
        pause = min(LONGEST_PAUSE, pause * 1.5)


def _rest(runtime: Runtime, seconds: float, tick: Callable[[], None]) -> None:
    while seconds > 0:
        runtime.sleep(min(seconds, TICK))
        seconds -= TICK
        tick()


def _ask_for_start(containers: Containers, box: Box) -> None:
    try:
        containers.start(box.group)
    except ArmFailure as error:
        if error.code != "arm_refused":
            raise  # no permission, no such box, no answer: nothing that the box's events could explain
        if error.status != NOT_NOW or error.arm_code != "ContainerGroupTransitioning":
            raise _start_failed(containers, box, error.arm_message) from error


def _ended(group: Group, before: Group, *, settled: bool) -> bool:
    """Whether a start has failed."""
    if group.provisioning in {"Pending", "Creating"}:
        return False
    new = (group.state, group.provisioning) != (before.state, before.provisioning)
    return (new or settled) and (group.state in ENDED or group.provisioning == "Failed")


def _start_failed(containers: Containers, box: Box, why: str) -> FwdctlError:
    return InconclusiveError(
        "jump_start_failed",
        f"Jump box {box} did not start: {why.rstrip('.')}.",
        f"See its events and image: `{containers.typed('show', box.group)}`.",
    )
