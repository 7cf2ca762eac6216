"""Carry out turns: one forwarder at a time, while all others are healthy. Nothing is kept but in Azure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fwdctl.azure.errors import ArmFailure
from fwdctl.errors import ExitCode, FwdctlError, InconclusiveError
from fwdctl.forwarders import user_data
from fwdctl.forwarders.plan import Ended, Step, Turn, fault_elsewhere, lacking, open_to, served
from fwdctl.forwarders.setup import draining
from fwdctl.forwarders.views import unknowns
from fwdctl.jump.boxes import NOT_NOW

if TYPE_CHECKING:
    from fwdctl.azure.scale_sets import Action
    from fwdctl.forwarders.fleet import Fleet, Watch
    from fwdctl.progress import Progress
    from fwdctl.runtime import Runtime

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0
"""Seconds between two looks at the forwarders; each costs a dozen requests."""
BLIND = 120.0
"""Seconds for which looks may fail, before that stops a rollout."""
DRAINED = 120.0
"""Seconds until the load balancer must have noticed a drain: user data every 5 s, then two probes."""
ANSWERS = 120.0
"""Seconds in which an agent should answer after the model was applied, which may restart the machine."""
IDLE_LOOKS = 2
"""Looks in a row that find no open connection end a drain early."""
GIVE_BACK = 30.0
"""Seconds to go on trying to undo a drain while Azure is busy with the machine."""


@dataclass(eq=False)
class Rollout:
    """Carries out turns.

    Attributes:
        fleet: how the forwarders are before the first turn.
        again: the command that goes on where this one stops.
        patience: seconds until a forwarder must be healthy after a restart.
    """

    runtime: Runtime
    watch: Watch
    fleet: Fleet
    progress: Progress
    again: str
    patience: float
    ended: list[Ended] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._setup, self._scale_set = self.fleet.setup, self.watch.scale_set
        self._forwards, self._expected = served(self.fleet), self.fleet.setup
        self._number = ""
        self._is_drained = self._is_renewed = False
        self._idle_looks = 0
        self._open: int | None = None

    def carry_out(self, turns: Sequence[Turn], *, alone: bool) -> FwdctlError | None:
        """All turns, until one fails: that error. `alone` says whether the only forwarder may go down.

        Raises:
            KeyboardInterrupt: Ctrl-C, after a drain was undone.
        """
        dead = sorted({name for each in self.fleet.instances for name in each.health} - self._forwards)
        if dead and turns:
            text = f"No forwarder takes connections for {', '.join(dead)}; that is not waited for"
            self.progress.warning(text)
        try:
            for turn in turns:
                if not turn.is_harmless:
                    self._check_watchable(alone=alone)
                self._turn(turn)
                self.ended.append(Ended(turn, self._open))
        except FwdctlError as error:
            return error
        except KeyboardInterrupt:
            self.progress.note(f"Interrupted; `{self.again}` goes on where this stopped")
            raise
        return None

    def _check_watchable(self, *, alone: bool) -> None:
        for error in unknowns(self.fleet):
            raise error
        if len(self.fleet.instances) == 1 and not alone:
            raise FwdctlError(
                "single_forwarder",
                "There is one forwarder only: while it is down, no connection works.",
                "Raise forwarder.instanceCount and run `azd provision`, or add --allow-interruption.",
                exit_code=ExitCode.BROKEN,
            )

    def _turn(self, turn: Turn) -> None:
        """All steps of a turn; a forwarder that was drained gets its own user data back, whatever happens."""
        self._number, self._is_renewed, self._open = turn.instance, False, None
        is_restart = Step.restart in turn.steps  # which brings no other programs
        self._expected = replace(self._setup, programs="") if is_restart else self._setup
        try:
            if not turn.is_harmless:
                self._begin()
            for step in turn.steps:
                self._step(step, turn.drain)
        except BaseException:
            if self._is_drained:
                self._give_back()
            raise

    def _begin(self) -> None:
        """Look whether this forwarder may go down now."""
        off = self._wait("its turn", self._off, 0.0)
        if off:
            start = self._scale_set.typed("start", self._number)
            raise self._stopped(f"{off}; start it with `{start}`")

    def _step(self, step: Step, drain: float) -> None:
        match step:
            case Step.hand_on:
                self._hand_on()
            case Step.drain if not self._is_renewed:
                self._drain(drain)
            case Step.upgrade:
                self._act("manualupgrade", "updated to the model")
                # Where that brought a newer image, it booted with the model's programs already.
                self._wait("it answers", self._unrenewed, ANSWERS)
            case Step.reimage if not self._is_renewed:
                self._act("reimage", "reimaged")
            case Step.restart:
                self._act("restart", "restarted")
            case Step.wait:
                self._await()

    # -- steps

    def _hand_on(self) -> None:
        outcome = user_data.give(self._scale_set, self._number, self._setup.user_data)
        self._is_drained = False
        if outcome == "handed":
            self.progress.done(f"Forwarder {self._number} has the scale set's user data")

    def _drain(self, seconds: float) -> None:
        self._is_drained, self._idle_looks = True, 0
        wanted = draining(self._setup.user_data)
        user_data.give(self._scale_set, self._number, wanted)
        still = self._wait("the load balancer notices the drain", self._taken, DRAINED)
        if still:
            raise self._stopped(f"it is still sent connections for {still}, {DRAINED:.0f} s after its drain")
        self._wait("its connections end", self._still_open, seconds)
        open_now = self._look().at(self._number).open
        self._open = open_now
        told = "an unknown number of" if open_now is None else str(open_now)
        self.progress.done(f"Forwarder {self._number} is drained, {told} connections still open")

    def _act(self, action: Action, done: str) -> None:
        began = self.runtime.clock()

        def tick() -> None:
            text = f"Forwarder {self._number} is being {done}"
            self.progress.step(text, self.runtime.clock() - began)

        tick()
        self._scale_set.act(self._number, action, tick)
        self.progress.done(f"Forwarder {self._number} is {done}")

    def _await(self) -> None:
        began = self.runtime.clock()
        for check in (self._lacking, self._refused):
            left = self.patience - (self.runtime.clock() - began)
            why = self._wait("it is healthy", check, left)
            if why:
                raise self._stopped(f"after {self.patience:.0f} s, {why}")
        self.progress.done(f"Forwarder {self._number} is healthy and carries connections")

    def _give_back(self) -> None:
        """Undo a drain after all, so that the forwarder does what the others do."""
        deadline = self.runtime.clock() + GIVE_BACK
        while True:
            try:
                user_data.give(self._scale_set, self._number, self._setup.user_data)
            except FwdctlError as error:
                busy = isinstance(error, ArmFailure) and error.status == NOT_NOW
                if busy and self.runtime.clock() < deadline:
                    self.runtime.sleep(1.0)
                    continue
                text = f"Forwarder {self._number} is still drained: {error.message} Run `{self.again}`."
                self.progress.warning(text)
            else:
                self.progress.note(f"Forwarder {self._number} has its own user data back")
            return

    # -- what is waited for; each says what is still missing

    def _off(self, fleet: Fleet) -> str:
        power = fleet.at(self._number).power
        return "" if power in {"", "running"} else f"it is {power}"

    def _taken(self, fleet: Fleet) -> str:
        return open_to(fleet.at(self._number), self._forwards)

    def _still_open(self, fleet: Fleet) -> str:
        count = fleet.at(self._number).open
        self._idle_looks = self._idle_looks + 1 if count == 0 else 0
        if self._idle_looks >= IDLE_LOOKS:
            return ""
        return f"{'some' if count is None else count} are open"

    def _unrenewed(self, fleet: Fleet) -> str:
        instance = fleet.at(self._number)
        self._is_renewed = instance.report is not None and instance.programs == self._setup.programs
        return "" if instance.report is not None else "its agent does not answer"

    def _lacking(self, fleet: Fleet) -> str:
        return lacking(replace(fleet, setup=self._expected), self._number, self._forwards)

    def _refused(self, fleet: Fleet) -> str:
        return self.watch.refused(fleet.at(self._number), self._forwards)

    def _wait(self, what: str, missing: Callable[[Fleet], str], seconds: float) -> str:
        """Look again and again until nothing is missing; what still is after so many seconds.

        Raises:
            FwdctlError: another forwarder is not healthy any more, twice in a row.
        """
        began, pause, before = self.runtime.clock(), FIRST_PAUSE, False
        while True:
            fleet = self._look()
            elsewhere = fault_elsewhere(fleet, self._number, self._forwards)
            if elsewhere and before:
                raise self._stopped(elsewhere)
            before = bool(elsewhere)
            why = missing(fleet)
            spent = self.runtime.clock() - began
            if not before and (not why or spent >= seconds):
                return why
            text = f"Forwarder {self._number}: waiting until {what}" + (f" ({why})" if why else "")
            self.progress.step(text, spent)
            self.runtime.sleep(min(pause, max(FIRST_PAUSE, seconds - spent)))
            pause = min(LONGEST_PAUSE, pause * 1.3)

    def _look(self) -> Fleet:
        """The forwarders as they are now; a look that fails is repeated for a while."""
        deadline = self.runtime.clock() + BLIND
        while True:
            try:
                fleet = self.watch.look()
                problems = unknowns(fleet)
                if not problems:
                    return fleet
                problem = problems[0]
            except FwdctlError as error:
                problem = error
            if self.runtime.clock() >= deadline:
                text = f"Stopped at forwarder {self._number}, whose state is not known: {problem.message}"
                advice = f"Run `{self.again}` when that can be read again; it goes on where it stopped."
                raise InconclusiveError("rollout_blind", text, advice)
            self.progress.step(f"Looking again: {problem.message}")
            self.runtime.sleep(FIRST_PAUSE)

    def _stopped(self, why: str) -> FwdctlError:
        return FwdctlError(
            "rollout_stopped",
            f"Stopped at forwarder {self._number}: {why}.",
            f"See `fwdctl forwarder status`; `{self.again}` goes on where it stopped, "
            "once all others are healthy.",
            exit_code=ExitCode.BROKEN,
        )
