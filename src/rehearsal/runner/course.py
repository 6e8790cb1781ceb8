"""The course of a run: gate, canaries, baseline, step after step, gate, clean-up; each with what it leaves in the journal.

Invariant: whatever ends the run (a gate, the operator, an error), samples are drained, canaries removed and the end is
recorded. What was recorded is the only state: a resumed run reads it back (`past`) and repeats nothing that was finished.
"""

from __future__ import annotations

import dataclasses
import logging
import platform
import shlex
import subprocess
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING
from typing import Any

import rehearsal
from rehearsal import hosts
from rehearsal import plan as plans
from rehearsal import witness
from rehearsal.cloud import CloudError
from rehearsal.cloud import connect
from rehearsal.events import CloudFacts
from rehearsal.events import GateDecided
from rehearsal.events import Note
from rehearsal.events import PhaseBegan
from rehearsal.events import PhaseEnded
from rehearsal.events import RunBegan
from rehearsal.events import RunEnded
from rehearsal.events import StepBegan
from rehearsal.events import StepEnded
from rehearsal.journal import Journal
from rehearsal.redact import redact_text
from rehearsal.runner import backends
from rehearsal.runner import steps as commands
from rehearsal.runner import stepshell
from rehearsal.runner import suites
from rehearsal.runner import trust
from rehearsal.runner.guests import Guests
from rehearsal.runner.interrupts import Interrupted
from rehearsal.runner.orders import NotConfirmed
from rehearsal.runner.orders import chosen_steps
from rehearsal.runner.orders import confirm_hold
from rehearsal.runner.past import Past
from rehearsal.runner.past import read_past
from rehearsal.runner.progress import say
from rehearsal.runner.watch import Watch
from rehearsal.target import discover
from rehearsal.target import options as target_options
from rehearsal.verdict import Outcome
from rehearsal.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rehearsal.events import Event
    from rehearsal.events import HostFacts
    from rehearsal.plan import PlanSpec
    from rehearsal.plan import StepSpec
    from rehearsal.runner.interrupts import Interrupts
    from rehearsal.runner.orders import Orders
    from rehearsal.runner.rundir import RunDirectory
    from rehearsal.runner.suites import Gate
    from rehearsal.target.model import Target

WENT_ON, STOPPED, IN_SPITE = "went on", "stopped", "went on in spite of it"
_OSISM_WAIT_S = 3600.0
_STILL_TRUE_S = 30.0
"""Between two steps nothing happens but gates: what was seen after one is what there is before the next."""


class Stopped(Exception):  # noqa: N818 - the run stopped as it should
    """The run stops here. `reason` as in RunEnded; `sentence` for people; `next_command` continues."""

    def __init__(self, reason: str, sentence: str, next_commands: tuple[str, ...] = ()) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence
        self.next_commands = next_commands


class Course:
    """One attempt at a run."""

    def __init__(
        self, run: RunDirectory, plan: PlanSpec, target: Target, orders: Orders, interrupts: Interrupts
    ) -> None:
        self.run = run
        self.plan = plan
        self.target = target
        self.orders = orders
        self.interrupts = interrupts
        self.past = read_past(run) if run.runner_journal.exists() else Past()
        self.journal = Journal(run.runner_journal)
        self.connection: Any = None
        self.watch = Watch(run, self.record, self.past.probes, orders.rates_for(plan))
        self.guests = Guests(run.run, self.record, self.watch)
        self.guests.number = self.past.migration_count
        self.ssh = hosts.Ssh(target)
        self.witness = Witness(run.witness_journal, self.note)
        self._seen: tuple[float, list[HostFacts]] | None = None

    # --- recording ---------------------------------------------------------------------------------------------------

    def record(self, event: Event) -> None:
        """Write one event of the runner."""
        self.journal.write(event)
        self.witness.heard(event)

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

    # --- the whole ---------------------------------------------------------------------------------------------------

    def go(self) -> Stopped | None:
        """Carry out the run. Returns why it stopped early, or None if it came to its end. Everything is recorded."""
        stopped: Stopped | None = None
        _log_libraries(self.run)
        self._begin()
        try:
            self._forward()
        except Stopped as stop:
            stopped = stop
        except Interrupted as interrupt:
            stopped = Stopped("interrupted", f"It was interrupted ({interrupt.name}).", (self._resume_command(),))
        except NotConfirmed as refusal:
            stopped = Stopped("hold", str(refusal), (self._resume_command(),))
        except Exception as error:  # noqa: BLE001 - whatever it is, canaries must go and the end must be recorded
            path = self.run.logs / "runner-error.log"
            with path.open("a") as log:
                log.write(traceback.format_exc() + "\n")
            stopped = Stopped(
                "error", f"{type(error).__name__}: {error} (traceback in {path}).", (self._resume_command(),)
            )
        with self.interrupts.held():
            self._wind_up(stopped)
        return stopped

    def _begin(self) -> None:
        attempt = self.past.attempts + 1
        if attempt == 1:
            self.target.save(self.run.target_from)
        self.target.save(self.run.target)
        say(f"run {self.run.run}, attempt {attempt}: {self.plan.title}, in {self.run.path}")
        self.record(
            RunBegan(
                run=self.run.run,
                mode=self.orders.mode,
                attempt=attempt,
                argv=list(self.orders.argv),
                version=rehearsal.__version__,
                revision=suites.revision(),
                host=platform.node(),
                boot_id=stepshell.boot_id(),
                plan=self.plan.model_dump(mode="json"),
                plan_sha256=plans.sha256(self.run.plan),
                target=self.target.to_dict(),
                utc_offset=stepshell.utc_offset(),
                parts=self.orders.parts,
                rates=self.orders.rates_for(self.plan) if "probes" in self.orders.parts else {},
            )
        )
        for part in sorted(self.orders.without):
            self.note("warning", f"Without {part}, as ordered: what they would have shown is not proven.")

    def _connect(self) -> None:
        if not self.target.cloud:
            return
        try:
            self.connection = connect(self.target)
        except CloudError as error:
            self.note("error", f"The cloud's API cannot be used: {error}")

    def _calibrate(self) -> None:
        """Prove the measuring instrument before anything is decided with it, once a run."""
        if "calibration" not in self.orders.parts or self.past.calibrated:
            return
        with self.phase("calibration"):
            found = trust.calibration(self.run)
            self.record(found)
            say(f"calibration: {Outcome(found.outcome).shown}: {found.sentence}")
            if found.outcome == Outcome.OK:
                return
            again = self._resume_command()
            raise Stopped(
                "calibration",
                f"The prober on this machine cannot be trusted now: {found.sentence}. Nothing was upgraded. "
                "Let the machine come to rest, see `rehearse calibrate`, and go on.",
                (again, f"{again} --without calibration"),
            )

    def _forward(self) -> None:
        self._calibrate()
        self._watch_hosts()
        self._connect()
        chosen = chosen_steps(self.plan, self.orders)
        begun = bool(self.past.step_attempts)
        if begun:
            say("steps were begun before: the pre-flight gate is not asked again")
        elif "suites" not in self.orders.without and not self.past.gate_passed("preflight"):
            with self.phase("preflight"):
                self._gate("preflight", "preflight", expect="from")
        self._raise_watch()
        if not begun:
            self._migrate("before")
        self._baseline(again=begun)
        with self.phase("steps"):
            self._walk(chosen)
        if chosen[-1].id != self.plan.steps[-1].id:
            self.note("warning", f"Ended after step {chosen[-1].id}, as ordered (--until): the rest is not proven.")
            return
        self._migrate("after")
        with self.phase("postflight"):
            self._facts("after")
            self._cloud_facts("after")
            if "suites" not in self.orders.without:
                self._gate("postflight", "postflight", expect="to")

    def _watch_hosts(self) -> None:
        if "witness" in self.orders.without or not self.target.hosts:
            return
        commands = {host.name: self.ssh.alone(host, witness.COMMAND) for host in self.target.hosts}
        self.witness.start(commands, [vip.address for vip in self.target.vips])
        say(f"witness: one process on each of {len(commands)} hosts; a host's HAProxy is asked once a second")

    def _stop_witness(self) -> None:
        if cost := self.witness.stop():
            say(cost)

    def _raise_watch(self) -> None:
        with self.phase("canaries"):
            if "probes" not in self.orders.without:
                found = backends.find(self.target, self.plan.services, self.ssh)
                self.watch.start(self.target, self.connection, self.plan.services, found)
            if "canaries" not in self.orders.without:
                wish = self.orders.wish
                beacon = wish.beacon.at_rates(self.orders.rates_for(self.plan))
                self.guests.put_up(self.connection, dataclasses.replace(wish, beacon=beacon))
                if "writes" not in self.orders.without:
                    self.guests.let_write(self.target, self.plan.services)

    def _baseline(self, *, again: bool) -> None:
        with self.phase("baseline"):
            if not again:
                self._facts("before")
                self._cloud_facts("before")
            seconds = self.plan.baseline_s if "probes" not in self.orders.without else 0
            if seconds:
                say(f"baseline: {seconds:.0f} s in which nothing is changed")
            self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        shown = time.monotonic()
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(1.0, left))
            self.watch.look_after()
            if time.monotonic() - shown >= 20:
                shown = time.monotonic()
                say(f"… {left:.0f} s to go")

    def _migrate(self, occasion: str) -> None:
        if {"canaries", "migrations"} & self.orders.without or self.past.phase_done(f"migrations-{occasion}"):
            return
        with self.phase(f"migrations-{occasion}"):
            self.guests.migrate_all(self.connection, occasion, self.target)

    # --- steps -------------------------------------------------------------------------------------------------------

    def _walk(self, chosen: tuple[StepSpec, ...]) -> None:
        for number, step in enumerate(chosen, start=1):
            gates_open = [suite for suite in step.gates if not self.past.gate_passed(self._gate_name(step, suite))]
            if self.past.step_done(step.id):
                if gates_open and "suites" not in self.orders.without:
                    say(f"step {step.id} is done; its gate is asked again")
                    self._facts(f"step:{step.id}:after")
                    self._step_gates(step, gates_open)
                else:
                    say(f"step {step.id} is done")
            else:
                say(f"── step {number} of {len(chosen)}: {step.id}: {step.title}")
                self._step(step)
            if step.migrate:
                self._migrate(step.migrate)

    def _step(self, step: StepSpec) -> None:
        if step.hold:
            confirm_hold(step, self.orders)
        end = self._finish_old(step)
        if end is None:
            if step.gates:  # where nothing is claimed, nothing needs to be compared
                self._facts(f"step:{step.id}:before", fresh=False)
            self.watch.focus(self.plan.focus_of(step))
            end = self._command(step)
        self.watch.look_after()
        if step.gates:
            settled_s = time.monotonic() + self.plan.settle_s
            self.guests.listen()
            self._facts(f"step:{step.id}:after")
            self._wait(settled_s - time.monotonic())
        self.watch.focus(())
        self._look_again()
        if end.rc != 0:
            self._step_failed(step, end)
        if "suites" not in self.orders.without:
            self._step_gates(step, step.gates)

    def _command(self, step: StepSpec) -> commands.StepEnd:
        number = self.past.step_attempts.get(step.id, 0) + 1
        self.past.step_attempts[step.id] = number
        attempt = commands.attempt_files(self.run, step.id, number)
        say(f"$ {shlex.join(step.command)}")
        self.record(
            StepBegan(
                step.id, step.title, list(step.services), list(step.command), number, self.run.relative(attempt.log)
            )
        )
        began = time.monotonic()
        try:
            process = commands.start(step, attempt, self.target, self._environment())
            end = commands.follow(attempt, process, self.watch.look_after)
        except Interrupted as interrupt:
            self.record(StepEnded(step.id, number, None, f"interrupted ({interrupt.name})"))
            raise
        except OSError as error:
            end = commands.StepEnd(127, f"it cannot be started: {error}")
        self.record(StepEnded(step.id, number, end.rc, end.note))
        took = time.monotonic() - began
        say(
            f"step {step.id}: exit code {'not seen' if end.rc is None else end.rc} after {took:.1f} s {end.note}".rstrip()
        )
        return end

    def _finish_old(self, step: StepSpec) -> commands.StepEnd | None:
        """Wait for what an earlier runner started and did not see end. None: the step must be carried out (again)."""
        number = self.past.step_attempts.get(step.id, 0)
        if step.id not in self.past.open_steps:
            return None
        attempt = commands.attempt_files(self.run, step.id, number)
        end = commands.wait_for_old(attempt)
        note = "its end was seen by a later attempt of the runner" if end.rc is not None else end.note
        self.record(StepEnded(step.id, number, end.rc, note))
        if end.rc == 0:
            say(f"step {step.id} ended well while no runner was there")
            return end
        say(f"step {step.id}: {end.note or f'it ended with exit code {end.rc}'}; it is carried out again")
        if step.command[0].rpartition("/")[2] == "osism":
            self._wait_for_osism()
        return None

    def _wait_for_osism(self) -> None:
        """Wait for tasks that OSISM's workers still carry out: the command that asked for them may be gone, they are not."""
        log = self.run.logs / "osism-wait.log"
        say("waiting for tasks that OSISM's workers may still carry out (osism wait)")
        try:
            with log.open("ab") as output:
                code = subprocess.run(
                    ["osism", "wait"],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    timeout=_OSISM_WAIT_S,
                    check=False,
                ).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            self.note("warning", f"`osism wait` could not tell whether tasks still run: {error}.")
            return
        if code != 0:
            self.note("warning", f"`osism wait` ended with {code}: a task failed; see {self.run.relative(log)}.")

    def _step_failed(self, step: StepSpec, end: commands.StepEnd) -> None:
        log = commands.attempt_files(self.run, step.id, self.past.step_attempts.get(step.id, 1)).log
        how = end.note or f"exit code {end.rc}"
        sentence = f"Step {step.id} did not end well: {how}. Log: {log}"
        if self.orders.keep_going:
            self.note("error", f"{sentence} (went on: --keep-going)")
            return
        raise Stopped("step", sentence, (self._resume_command(),))

    def _step_gates(self, step: StepSpec, names: list[str]) -> None:
        for suite in names:
            self._gate(suite, self._gate_name(step, suite), step=step, expect="to" if step.retag else "from")

    @staticmethod
    def _gate_name(step: StepSpec, suite: str) -> str:
        return f"step:{step.id}" if suite == "inflight" else f"step:{step.id}:{suite}"

    # --- gates -------------------------------------------------------------------------------------------------------

    def _gate(self, suite: str, name: str, *, expect: str, step: StepSpec | None = None) -> None:
        environment = {**self._environment(), "REHEARSE_EXPECT": expect}
        if step is not None:
            environment["REHEARSE_STEP"] = step.id
        say(f"gate {name}: suite {suite} begins")
        jobs = self.orders.jobs if suite != "inflight" else 0
        gate = suites.run_suite(
            self.run, suite=suite, gate=name, environment=environment, record=self.record, jobs=jobs
        )
        suites.tell(gate)
        if gate.outcome == Outcome.OK:
            self.record(GateDecided(name, gate.outcome, WENT_ON, gate.sentence))
            return
        self._seen = None  # what the gate found may have happened since: the next step is not to be charged with it
        if self.orders.keep_going:
            self.record(GateDecided(name, gate.outcome, IN_SPITE, f"{gate.sentence} (--keep-going)"))
            say(f"gate {name}: going on in spite of it (--keep-going)")
        else:
            self.record(GateDecided(name, gate.outcome, STOPPED, gate.sentence))
            raise Stopped("gate", self._gate_sentence(gate), self._after_gate(step))

    @staticmethod
    def _gate_sentence(gate: Gate) -> str:
        bad = next((check for check in gate.checks if check.outcome == gate.outcome), None)
        first = f" First: {bad.claim.rstrip('.')} ({suites.place_of(bad) or bad.suite})." if bad else ""
        return f"Gate {gate.name} is {gate.outcome.shown}: {gate.sentence}.{first} Log: {gate.log}"

    def _after_gate(self, step: StepSpec | None) -> tuple[str, ...]:
        again = self._resume_command()
        if step is None:
            return (again,)
        ids = [each.id for each in self.plan.steps]
        following = ids[ids.index(step.id) + 1 :]
        return (again, f"{again} --from {following[0]}") if following else (again,)

    def _resume_command(self) -> str:
        mode = " --mode production" if self.orders.mode == "production" else ""
        return f"rehearse run --resume {self.run.path}{mode}"

    def _environment(self) -> dict[str, str]:
        return target_options.as_environment(self.orders.options)

    # --- facts -------------------------------------------------------------------------------------------------------

    def _facts(self, label: str, *, fresh: bool = True) -> None:
        """Record what runs on the hosts. Without `fresh`, what was seen within the last seconds will do."""
        now = time.monotonic()
        if fresh or self._seen is None or now - self._seen[0] > _STILL_TRUE_S:
            self._seen = (now, hosts.container_facts(self.target, label, ssh=self.ssh))
        for facts in self._seen[1]:
            self.record(dataclasses.replace(facts, label=label))
            if facts.error:
                say(f"warning: {facts.host} was not observed ({label}): {facts.error}")

    def _cloud_facts(self, label: str) -> None:
        if self.connection is None:
            self.record(CloudFacts(label, error="there is no connection to the cloud's API"))
            return
        from rehearsal.cloudfacts import cloud_facts  # noqa: PLC0415 - only a run with a cloud needs it

        facts = cloud_facts(self.connection, label)
        self.record(facts)
        if facts.error:
            say(f"warning: not everything in the cloud was observed ({label}): {facts.error[:300]}")

    def _look_again(self) -> None:
        """A step may have changed what the cloud claims to be: versions, namespace, hosts."""
        found = discover(dataclasses.replace(self.orders.options, online=False))
        if not found.hosts:
            return  # a repository in the middle of being changed
        found = dataclasses.replace(found, endpoints=self.target.endpoints)
        if found.release != self.target.release:
            say(f"the cloud now claims OpenStack {found.release.openstack} (OSISM {found.release.osism})")
            self.note(
                "info",
                f"The configuration now names OpenStack {found.release.openstack}, namespace {found.release.namespace}.",
            )
        self.target = found
        found.save(self.run.target)

    # --- the end -----------------------------------------------------------------------------------------------------

    def _wind_up(self, stopped: Stopped | None) -> None:
        """Bring everything to its end, each part on its own, so that a failure of one does not keep the others."""
        if stopped is not None:
            say(f"stopping: {stopped.sentence}")
        self.record(PhaseBegan("clean-up"))
        outcome = Outcome.OK
        for work in (self._remove_canaries, self.watch.stop, self._stop_witness, self.ssh.close):
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the others must still be done
                outcome = Outcome.UNKNOWN
                with (self.run.logs / "runner-error.log").open("a") as log:
                    log.write(traceback.format_exc() + "\n")
                self.note("error", f"Clean-up: {type(error).__name__}: {error} (traceback in logs/runner-error.log)")
        self.record(PhaseEnded("clean-up", outcome))
        self.record(RunEnded(stopped.reason if stopped else "finished", stopped.sentence if stopped else ""))
        self.journal.close()

    def _remove_canaries(self) -> None:
        self.watch.leave_all("the canary is removed")
        if "canaries" in self.orders.without:
            return
        if self.orders.keep_canaries:
            self.note("info", f"Canaries are kept, as ordered; remove them with: rehearse clean {self.run.run}")
            return
        self.guests.remove(self.connection)


def _log_libraries(run: RunDirectory) -> None:
    """What libraries have to say belongs into a file, not between the lines of the run."""
    keeper = logging.FileHandler(run.logs / "libraries.log", delay=True)
    keeper.setFormatter(_Redacting("%(asctime)s %(name)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, logging.FileHandler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(keeper)


class _Redacting(logging.Formatter):
    """Libraries may quote what they sent."""

    def format(self, record: logging.LogRecord) -> str:
        return redact_text(super().format(record))
