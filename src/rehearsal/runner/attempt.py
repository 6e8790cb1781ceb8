"""One attempt at a run: what was ordered, what is known of the cloud and of earlier attempts, and the recording of it.

What was recorded is the only state: a resumed run reads it back (`past`) and repeats nothing that was finished. What cannot
be recorded (a full disk) ends neither a step's command nor the clean-up; nothing new is begun, and the run cannot pass.
"""

from __future__ import annotations

import platform
from contextlib import contextmanager
from typing import TYPE_CHECKING

import rehearsal
from rehearsal import plan as plans
from rehearsal.claims.outcomes import OWN
from rehearsal.cloud import options as target_options
from rehearsal.figures.outcome import Outcome
from rehearsal.outside.redact import redact
from rehearsal.plan.changes import changes
from rehearsal.recording.events import Note
from rehearsal.recording.events import PhaseBegan
from rehearsal.recording.events import PhaseEnded
from rehearsal.recording.events import RunBegan
from rehearsal.recording.events import RunEnded
from rehearsal.recording.journal import Journal
from rehearsal.runner import stepshell
from rehearsal.runner import suites
from rehearsal.runner.ownsuite import OwnSuite
from rehearsal.runner.past import read_past
from rehearsal.runner.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterator
    from collections.abc import Sequence

    from rehearsal.cloud.target import Target
    from rehearsal.plan import PlanSpec
    from rehearsal.plan import StepSpec
    from rehearsal.recording.events import Event
    from rehearsal.recording.rundir import RunDirectory
    from rehearsal.runner.orders import Orders


NOT_RECORDED = "recording"
"""RunEnded.reason of a run whose recording has a hole."""


class Stopped(Exception):  # noqa: N818 - the run stopped as it should
    """The run stops here. `reason` as in RunEnded; `sentence` for people; the first of `next_commands` continues."""

    def __init__(self, reason: str, sentence: str, next_commands: tuple[str, ...] = ()) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence
        self.next_commands = next_commands


class Attempt:
    """What all who take part in an attempt share. `target` changes when a step changes what the cloud claims to be.

    `listeners` hear every event after it was written.
    """

    def __init__(self, run: RunDirectory, plan: PlanSpec | None, target: Target, orders: Orders) -> None:
        self.run = run
        self._plan = plan
        self.target = target
        self.orders = orders
        self.past = read_past(run)
        self.listeners: list[Callable[[Event], object]] = []
        self.not_recorded = ""  # why the first event that could not be written was not
        self._journal = Journal(run.runner_journal)

    @property
    def plan(self) -> PlanSpec:
        """The plan; only a suite that is run by itself can be without one."""
        assert self._plan is not None
        return self._plan

    def begin(self) -> None:
        """Record what is begun, and with what."""
        number = self.past.attempts + 1
        if number == 1:
            self.target.save(self.run.target_from)
        self.target.save(self.run.target)
        say(
            f"run {self.run.run}, attempt {number}: {self._plan.title if self._plan else 'no plan'}, in {self.run.path}"
        )
        parts = self.orders.parts
        self.record(
            run_began(
                self.run,
                self._plan,
                self.target,
                mode=self.orders.mode,
                attempt=number,
                argv=self.orders.argv,
                parts=parts,
                rates=self.orders.rates_for(self.plan) if "probes" in parts else {},
            )
        )
        self._tell_edits()
        if self.orders.own:
            self.record(self.orders.own.event)
            say(f"own claims: {self.orders.own.sentence}")
        for part in sorted(self.orders.without):
            self.note("warning", f"Without {part}, as requested: what that would have shown is not proven.")

    def _tell_edits(self) -> None:
        """Say what is another in the plan than in the attempt before: what happened under that one stays its own."""
        edited = (
            changes(plans.recorded(self.past.plan), plans.recorded(redact(self.plan.model_dump(mode="json"))))
            if self.past.attempts
            else []
        )
        if edited:
            self.note(
                "warning",
                f"The plan was edited since the last attempt: {'; '.join(edited)}. "
                "What happened before is judged by the plan that was in force then.",
            )

    def record(self, event: Event) -> None:
        """Write one event of the runner. If it cannot be written that is said once, and `must_record` then stops the run."""
        try:
            self._journal.write(event)
        except OSError as error:
            self._lose(str(error))
        for listener in self.listeners:
            listener(event)

    def _lose(self, why: str) -> None:
        if not self.not_recorded:
            self.not_recorded = why
            say(
                f"error: {self._journal.path} cannot be written: {why}. What happens now is not recorded; the run cannot pass."
            )

    @property
    def own(self) -> OwnSuite:
        """The operator's own claims, as this attempt checks them."""
        return OwnSuite(self.orders.own, self.run, self.record)

    def gates_after(self, step: StepSpec) -> list[str]:
        """Return the suites after a step: the plan's, and own claims alone where none of them takes those along."""
        alone = not any(self.own.due(suite, step) for suite in step.gates) and self.own.due(OWN, step)
        return [*step.gates, *([OWN] if alone else [])]

    def must_record(self) -> None:
        """Raise Stopped if something could not be recorded: nothing more is begun that nobody could prove."""
        if self.not_recorded:
            raise self.unrecorded()

    def unrecorded(self) -> Stopped:
        """Return the end of a run whose recording has a hole."""
        return Stopped(
            NOT_RECORDED,
            f"The run could not be recorded completely in {self.run.path}: {self.not_recorded}. No further step was started. "
            "Free some disk space there, then resume.",
            (self.resume_command,),
        )

    def note(self, level: str, text: str) -> None:
        """Record and show something that the reader of the report should know."""
        self.record(Note(level, text))
        say(f"{level}: {text}")

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Record a phase; its outcome is unknown if it did not come to its end."""
        say(f"── {name}")
        self.record(PhaseBegan(name))
        try:
            yield
        except BaseException:
            self.record(PhaseEnded(name, Outcome.UNKNOWN))
            raise
        self.record(PhaseEnded(name, Outcome.OK))

    def end(self, stopped: Stopped | None) -> None:
        """Record how it ended; nothing is recorded after that. A recording with a hole has not finished."""
        if stopped is None and self.not_recorded:
            stopped = self.unrecorded()
        self.record(RunEnded(stopped.reason if stopped else "finished", stopped.sentence if stopped else ""))
        try:
            self._journal.close()
        except OSError as error:
            self._lose(str(error))

    @property
    def resume_command(self) -> str:
        """What to type to go on."""
        mode = " --mode production" if self.orders.mode == "production" else ""
        return f"rehearse run --resume {self.run.path}{mode}"

    @property
    def environment(self) -> dict[str, str]:
        """What steps and suites need in order to see the same cloud."""
        return target_options.as_environment(self.orders.options)


def run_began(  # noqa: PLR0913 - all by keyword
    run: RunDirectory,
    plan: PlanSpec | None,
    target: Target,
    *,
    mode: str,
    attempt: int,
    argv: Sequence[str],
    parts: Sequence[str] = (),
    rates: dict[str, float] | None = None,
) -> RunBegan:
    """Return the event that names the program, the machine, the plan and the cloud. `rates`: Hz by lane."""
    return RunBegan(
        run=run.run,
        mode=mode,
        attempt=attempt,
        argv=list(argv),
        version=rehearsal.__version__,
        revision=suites.revision(),
        host=platform.node(),
        boot_id=stepshell.boot_id(),
        plan=plan.model_dump(mode="json") if plan else {},
        plan_sha256=plans.sha256(run.plan) if plan else "",
        target=target.to_dict(),
        utc_offset=stepshell.utc_offset(),
        parts=list(parts),
        rates=rates or {},
    )
