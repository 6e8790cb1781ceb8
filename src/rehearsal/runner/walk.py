"""From step to step: each carried out once, observed before and after, and followed by its gate.

A step that an earlier attempt began is waited for, and repeated only if it was not seen to end well.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.figures import say as lengths
from rehearsal.recording import private
from rehearsal.recording.events import StepBegan
from rehearsal.recording.events import StepEnded
from rehearsal.recording.stretch import Look
from rehearsal.recording.stretch import Side
from rehearsal.runner import gates
from rehearsal.runner import steps as commands
from rehearsal.runner.attempt import Stopped
from rehearsal.runner.interrupts import Interrupted
from rehearsal.runner.orders import confirm_hold
from rehearsal.runner.output import cleaned_into
from rehearsal.runner.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from rehearsal.plan import StepSpec
    from rehearsal.runner.attempt import Attempt
    from rehearsal.runner.guests import Guests
    from rehearsal.runner.snapshots import Facts
    from rehearsal.runner.watch import Watch

_OSISM_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Walk:
    """Takes an attempt from step to step. `migrate` is called with the occasion where a step asks for live migrations."""

    attempt: Attempt
    watch: Watch
    guests: Guests
    facts: Facts
    migrate: Callable[[str], None]

    def along(self, chosen: tuple[StepSpec, ...]) -> None:
        """Carry out the steps in order. Raises Stopped, NotConfirmed, Interrupted."""
        for number, step in enumerate(chosen, start=1):
            self.attempt.must_record()
            if self.attempt.past.step_done(step.id):
                self._pass_by(step)
            else:
                say(f"── step {number} of {len(chosen)}: {step.id}: {step.title}")
                self._carry_out(step)
            if step.migrate:
                self.migrate(step.migrate)

    def _pass_by(self, step: StepSpec) -> None:
        past = self.attempt.past
        still_open = [suite for suite in self.attempt.gates_after(step) if not past.gate_passed(step.gate(suite))]
        if not still_open or "suites" in self.attempt.orders.without:
            say(f"step {step.id} is done")
            return
        say(f"step {step.id} is done; re-running its gate")
        self.facts.of_hosts(Look(Side.AFTER, step.id))
        self._ask(step, still_open)

    def _carry_out(self, step: StepSpec) -> None:
        if step.hold:
            confirm_hold(step, self.attempt.orders)
        end = self._finish_old(step)
        if end is None:
            if self.attempt.gates_after(step):  # where nothing is claimed, nothing needs to be compared
                self.facts.of_hosts(Look(Side.BEFORE, step.id), fresh=False)
            self.watch.focus(self.attempt.plan.focus_of(step))
            end = self._command(step)
        self.watch.look_after()
        if self.attempt.gates_after(step):
            settled_s = time.monotonic() + self.attempt.plan.settle_s
            self.guests.listen()
            self.facts.of_hosts(Look(Side.AFTER, step.id))
            self.watch.wait(settled_s - time.monotonic())
        self.watch.focus(())
        self.facts.of_configuration()
        if end.rc != 0:
            self._failed(step, end)
        if "suites" not in self.attempt.orders.without:
            self._ask(step, self.attempt.gates_after(step))

    def _command(self, step: StepSpec) -> commands.StepEnd:
        attempt = self.attempt
        number = self._number(step)
        files = commands.step_files(attempt.run, step.id, number)
        say(f"$ {shlex.join(step.command)}")
        attempt.record(
            StepBegan(
                step.id, step.title, list(step.services), list(step.command), number, attempt.run.relative(files.log)
            )
        )
        attempt.must_record()
        began = time.monotonic()
        try:
            end = self._started(step, files)
        except Interrupted as interrupt:
            attempt.record(StepEnded(step.id, number, None, f"interrupted ({interrupt.name})"))
            raise
        attempt.record(StepEnded(step.id, number, end.rc, end.note))
        took = time.monotonic() - began
        say(
            f"step {step.id}: exit code {'not seen' if end.rc is None else end.rc} after {lengths.lasted(took)} {end.note}".rstrip()
        )
        return end

    def _number(self, step: StepSpec) -> int:
        """Return the number of this attempt at a step: each is carried out once in an attempt at the run."""
        return self.attempt.past.step_attempts.get(step.id, 0) + 1

    def _started(self, step: StepSpec, files: commands.StepFiles) -> commands.StepEnd:
        try:
            process = commands.start(step, files, self.attempt.target, self.attempt.environment, self.attempt.plan)
        except OSError as error:
            return commands.StepEnd(127, f"it cannot be started: {error}")
        return commands.follow(files, process, self.watch.look_after)

    def _finish_old(self, step: StepSpec) -> commands.StepEnd | None:
        """Wait for what an earlier runner started and did not see end. None: the step must be carried out (again)."""
        past = self.attempt.past
        if step.id not in past.open_steps:
            return None
        number = past.step_attempts.get(step.id, 0)
        end = commands.wait_for_old(commands.step_files(self.attempt.run, step.id, number))
        note = "its end was seen by a later attempt of the runner" if end.rc is not None else end.note
        self.attempt.record(StepEnded(step.id, number, end.rc, note))
        if end.rc == 0:
            say(f"step {step.id} succeeded while the runner was not running")
            return end
        say(f"step {step.id}: {end.note or f'it ended with exit code {end.rc}'}; running it again")
        if step.command[0].rpartition("/")[2] == "osism":
            self._wait_for_osism()
        return None

    def _wait_for_osism(self) -> None:
        """Wait for tasks that OSISM's workers still carry out: the command that asked for them may be gone, they are not."""
        run = self.attempt.run
        log = run.logs / "osism-wait.log"
        say("waiting for tasks that OSISM's workers may still be running (osism wait)")
        try:
            with cleaned_into(log) as output:
                code = subprocess.run(
                    ["osism", "wait"],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    umask=private.operators_umask(),
                    timeout=_OSISM_WAIT_S,
                    check=False,
                ).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            self.attempt.note("warning", f"`osism wait` could not tell whether tasks still run: {error}.")
            return
        if code != 0:
            self.attempt.note("warning", f"`osism wait` exited with {code}: a task failed; see {run.relative(log)}.")

    def _failed(self, step: StepSpec, end: commands.StepEnd) -> None:
        log = commands.step_files(self.attempt.run, step.id, self._number(step)).log
        how = end.note or f"exit code {end.rc}"
        sentence = f"Step {step.id} failed: {how}. Log: {log}"
        if not self.attempt.orders.keep_going:
            raise Stopped("step", sentence, (self.attempt.resume_command,))
        self.attempt.note("warning", f"{sentence} (continuing: --keep-going)")

    def _ask(self, step: StepSpec, suites: list[str]) -> None:
        for suite in suites:
            if not gates.ask(self.attempt, step.gate(suite), expect=step.release, step=step):
                self.facts.forget()
