"""What explains the verdict: one sentence for everything that is not ok. A run that did not come to its end is never ok."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from rehearsal.figures import words
from rehearsal.figures.outcome import Outcome
from rehearsal.judging import course
from rehearsal.judging import damage
from rehearsal.judging import plans
from rehearsal.judging import trust
from rehearsal.judging.charging import budgets
from rehearsal.judging.differences import strange
from rehearsal.judging.differences import unchanged
from rehearsal.judging.observing import unobserved
from rehearsal.judging.rooms import LOG
from rehearsal.judging.sentences import SENTENCES
from rehearsal.judging.sentences import finding
from rehearsal.recording.stretch import CONTROL
from rehearsal.recording.stretch import POSTFLIGHT
from rehearsal.recording.stretch import PREFLIGHT
from rehearsal.recording.stretch import Gate
from rehearsal.recording.stretch import Phase
from rehearsal.recording.stretch import migration
from rehearsal.recording.stretch import step as step_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rehearsal.judging.inside import GuestFigure
    from rehearsal.judging.losses import Loss
    from rehearsal.judging.moves import Canary
    from rehearsal.judging.rooms import Finding
    from rehearsal.judging.rooms import Rooms
    from rehearsal.judging.summary import Judged
    from rehearsal.recording.history import History


def findings(history: History, judged: Judged, rooms: Rooms) -> list[Finding]:
    """Return one sentence for everything that is not ok, failures first; then what a reader should know anyway."""
    parts: dict[str, Callable[[], list[Finding]]] = {
        "how the run ended": lambda: _of_the_end(history),
        "the plan": lambda: _of_the_plan(history),
        "the steps": lambda: _of_steps(judged),
        "the gates": lambda: _of_gates(history, judged),
        "the losses": lambda: _of_losses(judged),
        "the live migrations": lambda: [*_of_migrations(judged), *_of_missing_migrations(history, judged)],
        "the canaries": lambda: [*_of_canaries(judged), *_of_guests(judged)],
        "the differences": lambda: _of_differences(history, judged),
        "the prober": lambda: _of_the_prober(history, judged),
        "the calibration": lambda: trust.findings(history),
        "the recording": lambda: damage.findings(history),
        "the phases": lambda: _of_phases(history),
        "what was not observed": lambda: unobserved.findings(history),
        "repeated steps": lambda: _of_repeated_steps(judged),
    }
    found = [
        each
        for what, part in parts.items()
        for each in rooms.rows(f"findings: {what}", f"what follows from {what}", part)
    ]
    return sorted(found, key=lambda each: each.outcome.rank)


def of_rooms(rooms: Rooms) -> list[Finding]:
    """Return a finding for each part of the judge that raised: nothing is known of what it should have said."""
    return [
        finding("judge.broken", Outcome.UNKNOWN, f"judge:{each.room}", what=each.what, why=each.why, log=LOG)
        for each in rooms.broken
    ]


def _of_migrations(judged: Judged) -> list[Finding]:
    return [
        finding(
            "migration.not-passed",
            each.outcome,
            migration(each.id).subject,
            canary=each.canary,
            source=each.source,
            occasion=each.occasion,
            reason=each.reason,
        )
        for each in judged.migrations
        if each.outcome is not Outcome.OK
    ]


def _of_canaries(judged: Judged) -> list[Finding]:
    return [
        finding("canary.not-passed", each.outcome, f"canary:{each.name}", canary=each.name, reason=each.reason)
        for each in judged.canaries
        if each.outcome is not Outcome.OK and not _is_told(each, judged)
    ]


def _of_guests(judged: Judged) -> list[Finding]:
    return [
        finding(
            "guest.not-passed",
            Outcome.FAIL,
            f"canary:{each.canary}",
            canary=each.canary,
            reason=each.reason,
            during=_between(each),
        )
        for each in judged.guests
        if each.outcome is Outcome.FAIL and not (each.figure == "boot" and _restart_is_told(each, judged))
    ]


def _of_phases(history: History) -> list[Finding]:
    return [
        finding("phase.incomplete", course.outcome_of(outcome), f"phase:{phase}", phase=phase.capitalize())
        for phase, _, ended_ns, outcome in history.phases
        if ended_ns is not None and outcome != Outcome.OK and phase in {Phase.CANARIES, Phase.CLEAN_UP}
    ]


def _of_repeated_steps(judged: Judged) -> list[Finding]:
    return [
        finding("step.repeated", Outcome.OK, step_of(step.id).subject, step=step.id, attempts=step.attempts)
        for step in judged.steps
        if step.attempts > 1 and step.outcome is Outcome.OK
    ]


def _of_the_end(history: History) -> list[Finding]:
    last = history.last
    found = [finding("run.rebooted", Outcome.UNKNOWN, "run")] if history.rebooted else []
    if last.ended_ns is None:
        return [*found, finding("run.not-ended", Outcome.UNKNOWN, "run")]
    if last.reason == "finished":
        return found
    known = f"run.{last.reason}" in SENTENCES
    said = last.detail.strip().rstrip(".")
    detail = ("" if known else f" ({last.reason})") + (f": {said}" if said else "")
    detail = detail.removeprefix(": It was interrupted")  # what remains is the signal's name
    return [
        *found,
        finding(f"run.{last.reason}" if known else "run.ended-early", Outcome.UNKNOWN, "run", detail=detail),
    ]


def _of_the_plan(history: History) -> list[Finding]:
    return [
        finding("plan.edited", Outcome.OK, "plan", attempt=attempt, edits=words.listed(edited))
        for attempt, edited in plans.edits(history)
    ]


def _of_steps(judged: Judged) -> list[Finding]:
    bad = [step for step in judged.steps if step.outcome is not Outcome.OK]
    not_run = [step.id for step in bad if not step.attempts]
    found = [
        finding(
            "step.not-passed", step.outcome, step_of(step.id).subject, step=step.id, reason=step.note or "not proven"
        )
        for step in bad
        if step.attempts
    ]
    if not_run:
        count, steps = words.plural(len(not_run), "step"), words.listed(not_run)
        found.append(finding("step.not-run", Outcome.UNKNOWN, step_of(not_run[0]).subject, count=count, steps=steps))
    return found


def _of_gates(history: History, judged: Judged) -> list[Finding]:
    """The gates before and after; those of steps speak through their steps."""
    found = []
    for gate, shown in ((Gate(PREFLIGHT), "Pre-flight"), (Gate(POSTFLIGHT), "Post-flight")):
        name = str(gate)
        outcome, sentence = course.gate(history, name, judged.checks)
        if outcome is Outcome.UNKNOWN and not any(check.gate == name for check in judged.checks):
            if gate.suite == POSTFLIGHT and history.last.reason != "finished":
                continue  # it was never reached, and the end says why
            sentence = "it was not run"
        if outcome is not Outcome.OK:
            found.append(finding("gate.not-passed", outcome, gate.subject, gate=shown, reason=sentence))
    return found


def _of_losses(judged: Judged) -> list[Finding]:
    found: list[Finding] = []
    unwatched: list[str] = []
    for loss in judged.matrix:
        if loss.outcome is Outcome.OK:
            continue
        if _is_unwatched(loss):
            unwatched.append(loss.service)
            continue
        during = loss.stretch.when
        kind = "" if loss.kind == "down" else " (slow answers)"
        found.append(
            finding(
                "service.over-budget",
                loss.outcome,
                loss.stretch.subject,
                service=loss.service,
                kind=kind,
                when=during,
                reason=loss.reason,
            )
        )
    for service in dict.fromkeys(unwatched):
        cells = [loss for loss in judged.matrix if loss.service == service and loss.kind == "down"]
        empty = [loss.stretch.title for loss in cells if _is_unwatched(loss) and loss.stretch != CONTROL]
        where = "" if len(empty) == len(cells) else f" during {words.listed(empty)}"
        found.append(
            finding("service.never-sampled", Outcome.UNKNOWN, f"service:{service}", service=service, when=where)
        )
    return found


def _is_unwatched(loss: Loss) -> bool:
    return not loss.samples and not loss.count and loss.floor_ns is None


def _is_told(canary: Canary, judged: Judged) -> bool:
    """True if the matrix already says what is wrong with a canary."""
    return any(
        loss.service == budgets.CANARIES
        and loss.outcome is canary.outcome
        and loss.reason.startswith(f"{canary.name}: ")
        for loss in judged.matrix
    )


def _restart_is_told(figure: GuestFigure, judged: Judged) -> bool:
    """True if the canary or one of its migrations already says that it was booted again."""
    return any(each.name == figure.canary and each.outcome is Outcome.FAIL for each in judged.canaries) or any(
        each.canary == figure.canary and each.outcome is Outcome.FAIL for each in judged.migrations
    )


def _between(figure: GuestFigure) -> str:
    return f" (during {figure.during})" if figure.during else ""


def _of_missing_migrations(history: History, judged: Judged) -> list[Finding]:
    made = {migration.occasion for migration in judged.migrations}
    run = {step.id for step in judged.steps if step.rc == 0}
    wanted = [step.migrate for step in plans.specs(history) if step.migrate and step.id in run]
    if history.last.reason != "finished":
        return []
    return [
        finding("migration.missing", Outcome.UNKNOWN, "migrations", occasion=occasion)
        for occasion in dict.fromkeys(wanted)
        if occasion not in made
    ]


def _of_differences(history: History, judged: Judged) -> list[Finding]:
    found = []
    lost = [each for each in judged.differences if each.change == "lost" and not each.expected]
    if lost:
        names = words.listed([f"{each.kind} {each.name}" for each in lost])
        found.append(finding("differences.lost", Outcome.FAIL, "differences", names=names))
    odd = strange(history)
    if odd:
        found.append(finding("differences.image-changed", Outcome.FAIL, "differences", names=words.listed(odd)))
    kept = unchanged(history)
    if kept:
        names = words.listed([f"{name} ({image})" for name, image in kept])
        found.append(finding("differences.image-unchanged", Outcome.FAIL, "differences", names=names))
    return found


def _of_the_prober(history: History, judged: Judged) -> list[Finding]:
    if not history.prober_runs:
        return [finding("prober.none", Outcome.UNKNOWN, "prober")]
    if judged.quality.prober_stopped or history.last.ended_ns is None:
        return []
    found = []
    for run, after in itertools.zip_longest(history.prober_runs, history.prober_runs[1:]):
        if run.stopped is not None:
            continue
        died = words.duration(run.last_beat_ns - history.began_ns)
        if after is None:
            found.append(finding("prober.died", Outcome.UNKNOWN, "prober", after=died))
        else:
            gap = words.duration(after.started_ns - run.last_beat_ns)
            found.append(finding("prober.restarted", Outcome.UNKNOWN, "prober", after=died, gap=gap))
    return found
