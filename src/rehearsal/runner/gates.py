"""Gates: a suite decides whether the run goes on, or is run by itself and recorded like a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.claims.outcomes import OWN
from rehearsal.figures.outcome import Outcome
from rehearsal.figures.outcome import worst
from rehearsal.recording.events import GateDecided
from rehearsal.recording.stretch import INFLIGHT
from rehearsal.recording.stretch import Gate as Place
from rehearsal.runner import suites
from rehearsal.runner.attempt import Stopped
from rehearsal.runner.interrupts import Interrupted
from rehearsal.runner.past import IN_SPITE
from rehearsal.runner.past import STOPPED
from rehearsal.runner.past import WENT_ON
from rehearsal.runner.progress import say
from rehearsal.runner.progress import working

if TYPE_CHECKING:
    from rehearsal.plan import StepSpec
    from rehearsal.runner.attempt import Attempt
    from rehearsal.runner.suites import Gate


def alone(attempt: Attempt, suite: str, *, expect: str) -> Outcome:
    """Run one suite by itself, recorded like a run; return the gate's outcome."""
    outcome, stopped = Outcome.UNKNOWN, None
    attempt.begin()
    attempt.note("info", f"Only the {suite} suite was run; no step was carried out.")
    try:
        with attempt.phase(suite), working(f"suite {suite}"):
            gate = decide(attempt, Place(suite), expect=expect)
        outcome = gate.outcome
        stopped = Stopped("gate", gate.sentence) if outcome != Outcome.OK else None
    except Interrupted as interrupt:
        stopped = Stopped("interrupted", f"It was interrupted ({interrupt.name}).")
        say("interrupted")
    attempt.end(stopped)
    return worst([outcome, *([Outcome.UNKNOWN] if attempt.not_recorded else [])])


def ask(attempt: Attempt, place: Place, *, expect: str, step: StepSpec | None = None) -> bool:
    """Run a suite and record what it decides; return whether everything holds.

    `expect`: the release that is expected, "from" or "to". Raises Stopped if not everything holds and the operator did not
    order to go on in spite of it.
    """
    gate = decide(attempt, place, expect=expect, step=step)
    if gate.outcome != Outcome.OK and not attempt.orders.keep_going:
        raise Stopped("gate", _sentence(gate), _next_commands(attempt, step))
    if gate.outcome != Outcome.OK:
        say(f"gate {place}: continuing despite it (--keep-going)")
    return gate.outcome == Outcome.OK


def decide(attempt: Attempt, place: Place, *, expect: str, step: StepSpec | None = None) -> Gate:
    """Run a suite and record what it found and what becomes of the run."""
    name, suite = str(place), place.suite
    environment = {**attempt.environment, "REHEARSE_EXPECT": expect}
    if step is not None:
        environment["REHEARSE_STEP"] = step.id
    if suite == OWN:
        gate = attempt.own.alone(suite, name, environment, step)
    else:
        say(f"gate {name}: running suite {suite}")
        jobs = attempt.orders.jobs if suite != INFLIGHT else 0
        gate = suites.run_suite(
            attempt.run, suite=suite, gate=name, environment=environment, record=attempt.record, jobs=jobs
        )
        gate = attempt.own.beside(suite, gate, environment, step)
    suites.tell(gate)
    if gate.outcome == Outcome.OK:
        attempt.record(GateDecided(name, gate.outcome, WENT_ON, gate.sentence))
    elif not attempt.orders.keep_going:
        attempt.record(GateDecided(name, gate.outcome, STOPPED, gate.sentence))
    else:
        attempt.record(GateDecided(name, gate.outcome, IN_SPITE, f"{gate.sentence} (--keep-going)"))
    return gate


def _sentence(gate: Gate) -> str:
    bad = next((check for check in gate.checks if check.outcome == gate.outcome), None)
    failed = gate.outcome is Outcome.FAIL
    which = "First failure" if failed else "First undecided check"
    first = f" {which}: {bad.claim.rstrip('.')} ({suites.place_of(bad) or bad.suite})." if bad else ""
    how = "FAILED" if failed else f"is {gate.outcome.shown}"
    return f"Gate {gate.name} {how}: {gate.sentence}.{first} Log: {gate.log}"


def _next_commands(attempt: Attempt, step: StepSpec | None) -> tuple[str, ...]:
    again = attempt.resume_command
    if step is None:
        return (again,)
    ids = [each.id for each in attempt.plan.steps]
    following = ids[ids.index(step.id) + 1 :]
    return (again, f"{again} --from {following[0]}") if following else (again,)
