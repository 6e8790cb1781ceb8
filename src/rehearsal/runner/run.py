"""The course of a run: gate, canaries, baseline, step after step, gate, clean-up; each with what it leaves in the journal.

Invariant: whatever ends the run (a gate, the operator, an error), samples are drained, canaries removed and the end is
recorded.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import sys
import traceback
from typing import TYPE_CHECKING
from typing import Any

from rehearsal import witness
from rehearsal.canaries import domainjob
from rehearsal.canaries.ledger import Ledger
from rehearsal.cloud.connection import CloudError
from rehearsal.cloud.connection import connect
from rehearsal.figures import say as lengths
from rehearsal.figures.outcome import Outcome
from rehearsal.hosts import backends
from rehearsal.hosts import ssh
from rehearsal.outside.terminal import shown
from rehearsal.recording.events import PhaseBegan
from rehearsal.recording.events import PhaseEnded
from rehearsal.recording.stretch import AFTER
from rehearsal.recording.stretch import BEFORE
from rehearsal.recording.stretch import POSTFLIGHT
from rehearsal.recording.stretch import PREFLIGHT
from rehearsal.recording.stretch import Gate
from rehearsal.recording.stretch import Phase
from rehearsal.recording.stretch import Side
from rehearsal.recording.stretch import migrations
from rehearsal.runner import gates
from rehearsal.runner import selftest
from rehearsal.runner.attempt import Attempt
from rehearsal.runner.attempt import Stopped
from rehearsal.runner.guests import Guests
from rehearsal.runner.interrupts import Interrupted
from rehearsal.runner.orders import NotConfirmed
from rehearsal.runner.orders import chosen_steps
from rehearsal.runner.overview import Overview
from rehearsal.runner.progress import live
from rehearsal.runner.progress import say
from rehearsal.runner.snapshots import Facts
from rehearsal.runner.walk import Walk
from rehearsal.runner.watch import Watch
from rehearsal.witness import Witness

if TYPE_CHECKING:
    from rehearsal.cloud.target import Target
    from rehearsal.plan import PlanSpec
    from rehearsal.recording.rundir import RunDirectory
    from rehearsal.runner.interrupts import Interrupts
    from rehearsal.runner.orders import Orders


class Course:
    """One attempt at a run, from its begin to its end."""

    def __init__(
        self, run: RunDirectory, plan: PlanSpec, target: Target, orders: Orders, interrupts: Interrupts
    ) -> None:
        self.attempt = Attempt(run, plan, target, orders)
        self.interrupts = interrupts
        self.connection: Any = None
        self.ssh = ssh.Ssh(target)
        self.watch = Watch(run, self.attempt.record, self.attempt.past.probes, orders.rates_for(plan))
        self.guests = Guests(run.run, self.attempt.record, self.watch, Ledger(run.run, run.made))
        self.guests.number = self.attempt.past.migration_count
        self.facts = Facts(self.attempt, self.ssh)
        self.witness = Witness(run.witness_journal, self.attempt.note)
        chosen = chosen_steps(plan, orders)
        self.overview = Overview(plan, chosen, lambda: self.watch.probes, run.path / "samples" / "prober.smp")
        self.attempt.listeners += [self.witness.heard, self.overview.heard]

    def go(self) -> Stopped | None:
        """Carry out the run. Returns why it stopped early, or None if it came to its end. Everything is recorded."""
        with live(self.overview.lines):
            return self._go()

    def _go(self) -> Stopped | None:
        stopped: Stopped | None = None
        again = (self.attempt.resume_command,)
        _log_libraries(self.attempt.run)
        try:
            self.attempt.begin()
            self._forward()
            self.attempt.must_record()
        except Stopped as stop:
            stopped = stop
        except Interrupted as interrupt:
            stopped = Stopped("interrupted", f"It was interrupted ({interrupt.name}).", again)
        except NotConfirmed as refusal:
            stopped = Stopped("hold", str(refusal), again)
        except Exception as error:  # noqa: BLE001 - whatever it is, canaries must go and the end must be recorded
            stopped = Stopped("error", f"{type(error).__name__}: {error} ({self._keep_traceback()}).", again)
        with self.interrupts.held():
            self._wind_up(stopped)
        if self.attempt.not_recorded and stopped is None:
            stopped = self.attempt.unrecorded()
        return stopped

    def _forward(self) -> None:
        attempt, without = self.attempt, self.attempt.orders.without
        attempt.must_record()
        self._calibrate()
        self._watch_hosts()
        self._connect()
        chosen = chosen_steps(attempt.plan, attempt.orders)
        begun = bool(attempt.past.step_attempts)
        if begun:
            say("resuming after steps have already run: skipping the pre-flight gate")
        elif "suites" not in without and not attempt.past.gate_passed(Gate(PREFLIGHT)):
            with attempt.phase(Phase.PREFLIGHT):
                gates.ask(attempt, Gate(PREFLIGHT), expect="from")
        self._raise_watch()
        if not begun:
            self._migrate(Side.BEFORE)
        self._baseline(again=begun)
        with attempt.phase(Phase.STEPS):
            Walk(attempt, self.watch, self.guests, self.facts, self._migrate).along(chosen)
        if chosen[-1].id != attempt.plan.steps[-1].id:
            attempt.note(
                "warning", f"Stopped after step {chosen[-1].id}, as requested (--until): the rest is not proven."
            )
            return
        self._migrate(Side.AFTER)
        with attempt.phase(Phase.POSTFLIGHT):
            self.facts.of_hosts(AFTER)
            self.facts.of_cloud(AFTER, self.connection)
            if "suites" not in without:
                gates.ask(attempt, Gate(POSTFLIGHT), expect="to")

    def _calibrate(self) -> None:
        """Prove the measuring instrument before anything is decided with it, once a run."""
        attempt = self.attempt
        if "calibration" not in attempt.orders.parts or attempt.past.calibrated:
            return
        with attempt.phase(Phase.CALIBRATION):
            found = selftest.calibration(attempt.run)
            attempt.record(found)
            say(f"calibration: {Outcome(found.outcome).shown}: {found.sentence}")
            if found.outcome == Outcome.OK:
                return
            again = attempt.resume_command
            raise Stopped(
                "calibration",
                f"The prober cannot be trusted on this machine now: {found.sentence}. Nothing was upgraded. "
                "Wait until the machine is idle (`rehearse calibrate` shows each known outage), then resume.",
                (again, f"{again} --without calibration"),
            )

    def _watch_hosts(self) -> None:
        target = self.attempt.target
        if "witness" in self.attempt.orders.without or not target.hosts:
            return
        commands = {host.name: self.ssh.alone(host, witness.COMMAND) for host in target.hosts}
        self.witness.start(commands, [vip.address for vip in target.vips])
        say(f"witness: one process on each of {len(commands)} hosts, which queries the host's HAProxy once a second")

    def _connect(self) -> None:
        if not self.attempt.target.cloud:
            return
        try:
            self.connection = connect(self.attempt.target)
        except CloudError as error:
            self.attempt.note("error", f"The cloud's API cannot be used: {error}")

    def _raise_watch(self) -> None:
        attempt, without = self.attempt, self.attempt.orders.without
        target, services = attempt.target, attempt.plan.services
        with attempt.phase(Phase.CANARIES):
            if "probes" not in without:
                self.watch.start(target, self.connection, services, backends.find(target, services, self.ssh))
            if "canaries" in without:
                return
            wish = attempt.orders.wish
            beacon = wish.beacon.at_rates(attempt.orders.rates_for(attempt.plan))
            self.guests.put_up(self.connection, dataclasses.replace(wish, beacon=beacon))
            if "writes" not in without:
                self.guests.let_write(target, services)

    def _migrate(self, occasion: str) -> None:
        attempt = self.attempt
        if {"canaries", "migrations"} & attempt.orders.without or attempt.past.phase_done(migrations(occasion)):
            return
        with attempt.phase(migrations(occasion)):
            account = functools.partial(domainjob.completed, self.ssh, attempt.target)
            self.guests.migrate_all(self.connection, occasion, account)

    def _baseline(self, *, again: bool) -> None:
        with self.attempt.phase(Phase.BASELINE):
            if not again:
                self.facts.of_hosts(BEFORE)
                self.facts.of_cloud(BEFORE, self.connection)
            seconds = self.attempt.plan.baseline_s if "probes" not in self.attempt.orders.without else 0
            if seconds:
                say(f"baseline: {lengths.exact_s(seconds)} without any change")
            self.watch.wait(seconds)

    def _wind_up(self, stopped: Stopped | None) -> None:
        """Bring everything to its end, each part on its own, so that a failure of one does not keep the others."""
        attempt = self.attempt
        if stopped is not None:
            say(f"stopping: {stopped.sentence}")
        attempt.record(PhaseBegan(Phase.CLEAN_UP))
        outcome = Outcome.OK
        for work in (self._remove_canaries, self.watch.stop, self._stop_witness, self.ssh.close):
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the others must still be done
                outcome = Outcome.UNKNOWN
                attempt.note("error", f"Clean-up: {type(error).__name__}: {error} ({self._keep_traceback()})")
        attempt.record(PhaseEnded(Phase.CLEAN_UP, outcome))
        attempt.end(stopped)

    def _remove_canaries(self) -> None:
        orders = self.attempt.orders
        self.watch.leave_all("the canary is removed")
        if "canaries" in orders.without:
            return
        if orders.keep_canaries:
            remove = f"rehearse clean {self.attempt.run.run}"
            self.attempt.note("info", f"Canaries are kept, as requested; remove them with: {remove}")
            return
        self.guests.remove(self.connection)

    def _stop_witness(self) -> None:
        if cost := self.witness.stop():
            say(cost)

    def _keep_traceback(self) -> str:
        """Tracebacks are for a file, not for the operator's terminal; return in words which."""
        path = self.attempt.run.logs / "runner-error.log"
        try:
            with path.open("a") as log:
                log.write(shown(traceback.format_exc()) + "\n")
        except OSError as error:
            return f"no traceback: {error}"
        return f"traceback in {path}"


def _log_libraries(run: RunDirectory) -> None:
    """What libraries have to say belongs into a file, not between the lines of the run."""
    keeper = _Keeper(run.logs / "libraries.log", delay=True)
    keeper.setFormatter(_Redacting("%(asctime)s %(name)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, logging.FileHandler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(keeper)


class _Keeper(logging.FileHandler):
    """A full disk is told by the run itself; logging's own traceback would only hide that."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


class _Redacting(logging.Formatter):
    """Libraries may quote what they sent."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))
