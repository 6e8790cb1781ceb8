"""Gates: a suite decides whether the run goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.figures.outcome import Outcome
from rehearsal.recording.events import GateDecided
from rehearsal.recording.stretch import INFLIGHT
from rehearsal.runner import suites
from rehearsal.runner.attempt import Stopped
from rehearsal.runner.past import IN_SPITE
from rehearsal.runner.past import STOPPED
from rehearsal.runner.past import WENT_ON
from rehearsal.runner.progress import say

if TYPE_CHECKING:
    from rehearsal.plan import StepSpec
    from rehearsal.recording.stretch import Gate
    from rehearsal.runner.attempt import Attempt
    from rehearsal.runner.suites import GateResult


def ask(attempt: Attempt, place: Gate, *, expect: str, step: StepSpec | None = None) -> bool:
    """Run a gate's suite and record what it decides; return whether everything holds.

    `expect`: the release that is expected, "from" or "to". Raises Stopped if not everything holds and the operator did not
    order to go on in spite of it.
    """
    environment = {**attempt.environment, "REHEARSE_EXPECT": expect}
    if step is not None:
        environment["REHEARSE_STEP"] = step.id
    name, suite = str(place), place.suite
    say(f"gate {name}: suite {suite} begins")
    jobs = attempt.orders.jobs if suite != INFLIGHT else 0
    gate = suites.run_suite(
        attempt.run, suite=suite, gate=name, environment=environment, record=attempt.record, jobs=jobs
    )
    suites.tell(gate)
    if gate.outcome == Outcome.OK:
        attempt.record(GateDecided(name, gate.outcome, WENT_ON, gate.sentence))
        return True
    if not attempt.orders.keep_going:
        attempt.record(GateDecided(name, gate.outcome, STOPPED, gate.sentence))
        raise Stopped("gate", _sentence(gate), _next_commands(attempt, step))
    attempt.record(GateDecided(name, gate.outcome, IN_SPITE, f"{gate.sentence} (--keep-going)"))
    say(f"gate {name}: going on in spite of it (--keep-going)")
    return False


def _sentence(gate: GateResult) -> str:
    bad = next((check for check in gate.checks if check.outcome == gate.outcome), None)
    first = f" First: {bad.claim.rstrip('.')} ({suites.place_of(bad) or bad.suite})." if bad else ""
    return f"Gate {gate.name} is {gate.outcome.shown}: {gate.sentence}.{first} Log: {gate.log}"


def _next_commands(attempt: Attempt, step: StepSpec | None) -> tuple[str, ...]:
    again = attempt.resume_command
    if step is None:
        return (again,)
    ids = [each.id for each in attempt.plan.steps]
    following = ids[ids.index(step.id) + 1 :]
    return (again, f"{again} --from {following[0]}") if following else (again,)
