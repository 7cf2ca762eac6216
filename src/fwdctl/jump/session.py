"""Commands in a jump box that is left as it was found."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from fwdctl.azure.errors import ArmFailure
from fwdctl.errors import FwdctlError, InconclusiveError, MissingError, StoppedError
from fwdctl.jump.boxes import NOT_NOW, containers_of, start_box, stop_box
from fwdctl.threads import side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from fwdctl.azure.clients import Clients
    from fwdctl.azure.containers import Group
    from fwdctl.channel import Channel, Outcome, Request, Ticket
    from fwdctl.deployment import Box, Deployment
    from fwdctl.progress import Progress
    from fwdctl.runtime import Runtime

EXEC_PATIENCE = 20.0
"""Seconds that exec may be refused after a start, until the container is up."""
LIFE = "/tmp/fwdctl-life"  # noqa: S108 - in the box
"""What a box's first process reads; infra/modules/jump-box.bicep."""
RENEWAL = 120.0
"""Seconds between two signs that somebody works with a box; without one it lasts for 300 s at least."""
TELLING = 20.0
"""Seconds that such a sign may take."""


@dataclass(eq=False)
class Session:
    """Commands in a box that is started when needed and left as it was found.

    It asks for the exec at once, so that a box that runs costs no extra request; a refusal starts it. While
    the session lasts the box is told so now and then: when it hears nothing for some minutes, it ends itself.

    Attributes:
        may_start: whether the box is started when it does not run.
        keep_running: leave it running if it was started here.
    """

    runtime: Runtime
    clients: Clients
    deployment: Deployment
    box: Box
    progress: Progress
    may_start: bool = field(default=True, kw_only=True)
    keep_running: bool = field(default=False, kw_only=True)
    _started: bool = field(default=False, init=False)
    _starting: bool = field(default=False, init=False)
    _cancelled: threading.Event = field(default_factory=threading.Event, init=False)
    _renewing: threading.Thread | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._containers = containers_of(self.clients, self.deployment, self.box)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave(failed=error is not None)

    def leave(self, *, failed: bool) -> None:
        """Leave the box as it was found, or running where that is wanted and nothing has failed."""
        if self._started and self.keep_running and not failed:
            self.stay()
        self._cancelled.set()
        if not self._started or self.keep_running:
            return
        self.progress.step(f"Stopping {self.box}")
        change = stop_box(self.runtime, self._containers, self.box, lambda: self._starting)
        if change.outcome in {"failed", "still starting"}:
            self.progress.warning(
                f"{self.box} may still run and cost money: {change.detail} "
                f"Stop it with `fwdctl jump stop {self.box.name}`."
            )

    def run(
        self,
        request: Request,
        output: Callable[[str, bytes], None] | None = None,
        doing: str = "",
        stage: Callable[[bytes], str] | None = None,
    ) -> Outcome:
        """Run a command in the box.

        `doing` says what it does, once it may run; `stage` turns what it prints into how far it is.

        Raises:
            FwdctlError: the box is missing, does not start, or refuses exec.
        """

        def watch(printed: bytes) -> None:
            if stage is not None:
                self.progress.detail(stage(printed))

        def admitted() -> Ticket:
            ticket = self.ticket()
            if output is not None:
                self.progress.clear()  # the command has the screen from here on
            if doing:
                self.progress.step(doing)
            watch(b"")
            return ticket

        return self._channel(admitted).run(request, output, watch)

    def _channel(self, admitted: Callable[[], Ticket]) -> Channel:
        from fwdctl.channel import Channel
        from fwdctl.channel.socket import connect

        return Channel(admitted, lambda ticket: connect(ticket, self.runtime.environ), self._cancelled.is_set)

    def ticket(self, *, columns: int = 200, rows: int = 50) -> Ticket:
        """Begin an exec, starting the box first if it does not run."""
        from fwdctl.channel import Ticket

        deadline: float | None = None
        while True:
            box = self.box if self.box.container else self._ready()
            try:
                ticket = Ticket(*self._containers.exec(box.group, box.container, columns=columns, rows=rows))
            except ArmFailure as error:
                if error.status not in {400, NOT_NOW} and error.code != "resource_not_found":
                    raise
                self._ready()  # may start the box, and that has a limit of its own
                deadline = deadline or self.runtime.clock() + EXEC_PATIENCE
                if self.runtime.clock() >= deadline:
                    raise self._refused(error) from error
                self.runtime.sleep(0.3)
            else:
                self._renew()
                return ticket

    def stay(self) -> None:
        """Let the box run for its whole lifetime, though nobody works with it; warn where that fails."""
        from fwdctl.channel import Request

        try:
            outcome = self.run(Request(_shell(f"echo stay >{LIFE}"), timeout=TELLING, idempotent=True))
            problem = (
                "" if outcome.status == 0 else outcome.detail or outcome.stderr.decode("utf-8", "replace")
            )
        except FwdctlError as error:
            problem = error.message
        if problem:
            self.progress.warning(
                f"{self.box} may end by itself after some minutes: "
                f"it could not be told to stay: {problem.strip().rstrip('.')}."
            )

    def _renew(self) -> None:
        if self._renewing is None:
            self._renewing = threading.Thread(target=self._keep_alive, name="fwdctl-renewal", daemon=True)
            self._renewing.start()

    def _keep_alive(self) -> None:
        """Tell the box now and then that somebody works with it, as long as that is so."""
        from fwdctl.channel import Request, Ticket

        def admitted() -> Ticket:
            return Ticket(*self._containers.exec(self.box.group, self.box.container, columns=80, rows=24))

        channel = self._channel(admitted)
        while not self._cancelled.wait(RENEWAL):
            with suppress(FwdctlError, StoppedError):  # there is a next time
                channel.run(
                    Request(_shell(f"[ -s {LIFE} ] || echo renew >{LIFE}"), timeout=TELLING, idempotent=True)
                )

    def _ready(self) -> Box:
        """Make sure that the box runs; its container's name is then known."""
        try:
            group = self._containers.get(self.box.group)
        except ArmFailure as error:
            if error.code != "resource_not_found":
                raise
            raise MissingError(
                "jump_missing",
                f"Jump box {self.box} does not exist.",
                "Run `azd provision --no-state`.",
            ) from error
        if not group.running:
            if not self.may_start:
                raise MissingError(
                    "jump_not_running",
                    f"Jump box {self.box} does not run; its state is {group.state or group.provisioning}.",
                    f"Start it: `fwdctl jump start {self.box.name}`, or use --start.",
                )
            # Whoever started a box that is just starting wants to keep it.
            self._started = self._started or group.state != "Pending"
            group = self._start(group)
        self.box = replace(self.box, container=group.container or self.box.container)
        return self.box

    def _start(self, before: Group) -> Group:
        """Start the box. Ctrl-C in between leaves `_starting` set: Azure may have heard of the start."""
        self._starting = True
        try:
            group = start_box(
                self.runtime, self._containers, self.box, before, self.progress, self._cancelled.is_set
            )
        except Exception:
            self._starting = False
            raise
        self._starting = False
        return group

    def _refused(self, error: ArmFailure) -> FwdctlError:
        name = self.box.name
        return InconclusiveError(
            "exec_refused",
            f"Jump box {name} ({self.box.group}) runs but refuses exec: {error.arm_message}",
            f"Run `fwdctl jump stop {name}` and `fwdctl jump start {name}`, then try again.",
        )


def stay(
    runtime: Runtime, clients: Clients, deployment: Deployment, boxes: Sequence[Box], progress: Progress
) -> None:
    """Let boxes that run go on for their whole lifetime."""

    def one(box: Box) -> None:
        with Session(runtime, clients, deployment, box, progress, may_start=False) as session:
            session.stay()

    side_by_side(one, boxes)


def _shell(command: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", command)
