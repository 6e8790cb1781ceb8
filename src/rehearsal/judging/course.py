"""How the run went: steps, their gates, and the claims that were checked.

A gate is judged from the records of its checks: a gate without records is unknown. A suite that was repeated counts as
it went the last time.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.claims.outcomes import checks_of
from rehearsal.claims.outcomes import trouble_of
from rehearsal.figures import words
from rehearsal.figures.outcome import Outcome
from rehearsal.figures.outcome import worst
from rehearsal.judging import plans
from rehearsal.recording import events
from rehearsal.recording.stretch import is_gate_of

if TYPE_CHECKING:
    from rehearsal.plan import StepSpec
    from rehearsal.recording.history import History
    from rehearsal.recording.history import StepRun
    from rehearsal.recording.history import SuiteRun


@dataclass(frozen=True, slots=True)
class Step:
    """A step as it went. `outcome`: of its command and its gate; `rc` None: not seen."""

    id: str
    title: str
    services: list[str]
    began_ns: int | None
    ended_ns: int | None
    rc: int | None
    attempts: int
    outcome: Outcome
    note: str
    log: str
    command: str


@dataclass(frozen=True, slots=True)
class Check:
    """A claim and what became of it."""

    id: str
    node_id: str
    suite: str
    gate: str
    outcome: Outcome
    claim: str
    expected: str
    observed: str
    repeat: str
    host: str
    container: str
    service: str
    duration_s: float
    remedy: str = ""


def checks(history: History) -> list[Check]:
    """Return every claim with its last result, failures first, then unknown."""
    newest: dict[tuple[str, str], int] = {}
    for run in history.suites:
        newest[run.event.gate, run.event.suite] = run.began_ns
    last: dict[tuple[str, str, str], Check] = {}
    for moment, event in history.of(events.CheckDone):
        if moment >= newest.get((event.gate, event.suite), 0):
            last[event.gate, event.check, event.node_id] = _check(event)
    for moment, listed in history.of(events.ClaimsListed):
        if moment >= newest.get((listed.gate, listed.suite), 0):
            for unreached in checks_of([listed]):  # the suite died before it came to them
                last.setdefault((unreached.gate, unreached.check, unreached.node_id), _check(unreached))
    return sorted(last.values(), key=lambda check: check.outcome.rank)


def _check(event: events.CheckDone) -> Check:
    told_already = not event.detail or (event.observed and event.observed in event.detail)
    observed = event.observed if told_already else "; ".join(filter(None, (event.observed, event.detail)))
    return Check(
        id=event.check,
        node_id=event.node_id,
        suite=event.suite,
        gate=event.gate,
        outcome=outcome_of(event.outcome),
        claim=event.claim,
        expected=event.expected,
        observed=observed,
        repeat=event.repeat,
        host=event.host,
        container=event.container,
        service=event.service,
        duration_s=event.duration_s,
        remedy=event.remedy,
    )


def outcome_of(word: str) -> Outcome:
    """Return the outcome that a journal names; a word that nobody knows proves nothing."""
    try:
        return Outcome(word)
    except ValueError:
        return Outcome.UNKNOWN


def gate(history: History, name: str, checked: list[Check]) -> tuple[Outcome, str]:
    """Return a gate's outcome and a sentence.

    It is judged by its checks. How its suites ended and what was decided then can only make it worse: a suite that broke
    may have left checks out, and a decision stands for checks of which the record was lost.
    """
    mine = [check for check in checked if check.gate == name]
    trouble = _trouble(history, name, mine)
    if not mine:
        return Outcome.UNKNOWN, trouble or "its gate has no record of any check"
    outcome = worst(check.outcome for check in mine)
    decided = _decided(history, name)
    if decided.rank < outcome.rank:
        return decided, f"its gate was decided {decided.shown}, and no check on record says why"
    if outcome is Outcome.OK:
        return (Outcome.UNKNOWN, trouble) if trouble else (outcome, f"{words.plural(len(mine), 'check')} passed")
    bad = [check for check in mine if check.outcome is outcome]
    first = told(bad[0])
    return (
        outcome,
        f"{len(bad)} of {words.plural(len(mine), 'check')} {'failed' if outcome is Outcome.FAIL else 'unknown'}: {first}",
    )


def _newest(history: History, name: str) -> dict[str, SuiteRun]:
    return {run.event.suite: run for run in history.suites if run.event.gate == name}


def _trouble(history: History, name: str, checked: list[Check]) -> str:
    """Return how a suite of a gate ended that leaves it undecided; empty if none did."""
    found = [
        trouble_of(suite, run.rc, passed=all(check.outcome is Outcome.OK for check in checked if check.suite == suite))
        for suite, run in _newest(history, name).items()
    ]
    return "; ".join(filter(None, found))


def _decided(history: History, name: str) -> Outcome:
    """Return what was decided at a gate, when its suites ran the last time; ok if nothing is on record."""
    begun_ns = max((run.began_ns for run in _newest(history, name).values()), default=0)
    decisions = [event for at_ns, event in history.of(events.GateDecided) if event.gate == name and at_ns >= begun_ns]
    return outcome_of(decisions[-1].outcome) if decisions else Outcome.OK


def told(check: Check) -> str:
    """Return a check as a sentence fragment: where, what was expected, what was seen."""
    where = " ".join(filter(None, [check.host, check.container or check.service]))
    seen = (
        f"expected {check.expected}, observed {check.observed}" if check.expected and check.observed else check.observed
    )
    claim = check.claim.rstrip(".")
    return f"{claim}{f' ({where})' if where else ''}{f': {seen}' if seen else ''}"


def steps(history: History, checked: list[Check]) -> list[Step]:
    """Return every step of the plan in order, also those that did not run, and steps that only the journal names."""
    runs: dict[str, list[StepRun]] = {}
    for run in history.steps:
        runs.setdefault(run.step, []).append(run)
    # A step that was repeated counts as it went the last time, by the plan that was followed then.
    last = {step.id: step for step in plans.specs(history)}
    asked = _asked(history, checked)
    return [_step(spec, runs.get(spec.id, []), history, checked, asked) for spec in last.values()]


def _asked(history: History, checked: list[Check]) -> list[str]:
    """Return the gates that a suite ran for, or that a check names, in order."""
    return list(dict.fromkeys([*(run.event.gate for run in history.suites), *(check.gate for check in checked)]))


def _gates_of(step: StepSpec, asked: list[str]) -> list[str]:
    """Return the gates that the step's plan wanted, and those that a later plan wanted of it and were asked."""
    wanted = (str(step.gate(suite)) for suite in step.gates)
    later = (name for name in asked if is_gate_of(name, step.id))
    return list(dict.fromkeys([*wanted, *later]))


def _step(
    spec: StepSpec,
    runs: list[StepRun],
    history: History,
    checked: list[Check],
    asked: list[str],
) -> Step:
    title, services = spec.title or spec.id, list(spec.services)
    if not runs:
        command = shlex.join(spec.command)
        return Step(spec.id, title, services, None, None, None, 0, Outcome.UNKNOWN, "it did not run", "", command)
    last = runs[-1]
    outcomes: list[tuple[Outcome, str]] = [_command(last)]
    if last.ended_ns is not None:
        outcomes += [gate(history, name, checked) for name in _gates_of(spec, asked)]
    outcome = worst(each for each, _ in outcomes)
    notes = [text for each, text in outcomes if each is outcome and (text and outcome is not Outcome.OK)]
    if len(runs) > 1:
        notes.append(f"attempt {len(runs)}; before: {'; '.join(_ended(run) for run in runs[:-1])}")
    if last.note:
        notes.append(last.note)
    return Step(
        id=spec.id,
        title=last.event.title or title,
        services=list(last.event.services) or services,
        began_ns=last.began_ns,
        ended_ns=last.ended_ns,
        rc=last.rc,
        attempts=len(runs),
        outcome=outcome,
        note="; ".join(dict.fromkeys(notes)),
        log=last.event.log,
        command=shlex.join(last.event.argv),
    )


def _command(run: StepRun) -> tuple[Outcome, str]:
    if run.rc is None:
        return Outcome.UNKNOWN, "its end was not seen"
    if run.rc != 0:
        return Outcome.FAIL, f"its command ended with exit code {run.rc}"
    return Outcome.OK, ""


def _ended(run: StepRun) -> str:
    return "its end was not seen" if run.rc is None else f"exit code {run.rc}"
