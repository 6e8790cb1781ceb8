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
from rehearsal.judging.rooms import Finding
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
    from rehearsal.judging.rooms import Rooms
    from rehearsal.judging.summary import Judged
    from rehearsal.recording.history import History

_ENDS = {
    "interrupted": "the run was interrupted",
    "calibration": "the run stopped before anything was upgraded",
    "gate": "the run stopped at a gate",
    "step": "the run stopped because a step did not end well",
    "hold": "the run stopped at a hold point that nobody confirmed",
    "recording": "the recording has a hole",
    "error": "the run ended with an error of its own",
}


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
        finding
        for what, part in parts.items()
        for finding in rooms.rows(f"findings: {what}", f"what follows from {what}", part)
    ]
    return sorted(found, key=lambda finding: finding.outcome.rank)


def of_rooms(rooms: Rooms) -> list[Finding]:
    """Return a finding for each part of the judge that raised: nothing is known of what it should have said."""
    return [
        Finding(
            Outcome.UNKNOWN,
            f"judge:{each.room}",
            f"Not judged: {each.what}. {each.why}. Everything else was judged; the details are in {LOG}.",
        )
        for each in rooms.broken
    ]


def _of_migrations(judged: Judged) -> list[Finding]:
    return [
        Finding(
            each.outcome,
            migration(each.id).subject,
            f"Live migration of {each.canary} from {each.source} ({each.occasion}): {each.reason}.",
        )
        for each in judged.migrations
        if each.outcome is not Outcome.OK
    ]


def _of_canaries(judged: Judged) -> list[Finding]:
    return [
        Finding(each.outcome, f"canary:{each.name}", f"{each.name}: {each.reason}.")
        for each in judged.canaries
        if each.outcome is not Outcome.OK and not _is_told(each, judged)
    ]


def _of_guests(judged: Judged) -> list[Finding]:
    return [
        Finding(Outcome.FAIL, f"canary:{each.canary}", f"{each.canary}, from inside: {each.reason}{_between(each)}.")
        for each in judged.guests
        if each.outcome is Outcome.FAIL and not (each.figure == "boot" and _restart_is_told(each, judged))
    ]


def _of_phases(history: History) -> list[Finding]:
    return [
        Finding(course.outcome_of(outcome), f"phase:{phase}", f"{phase.capitalize()} did not end well.")
        for phase, _, ended_ns, outcome in history.phases
        if ended_ns is not None and outcome != Outcome.OK and phase in {Phase.CANARIES, Phase.CLEAN_UP}
    ]


def _of_repeated_steps(judged: Judged) -> list[Finding]:
    return [
        Finding(Outcome.OK, step_of(step.id).subject, f"Step {step.id} needed {step.attempts} attempts.")
        for step in judged.steps
        if step.attempts > 1 and step.outcome is Outcome.OK
    ]


def _of_the_end(history: History) -> list[Finding]:
    last = history.last
    rebooted = (
        "The machine was rebooted during the run: nothing was measured meanwhile, and how long that was is known only by "
        "its wall clock. What was recorded before and after is judged, each on its own clock."
    )
    found = [Finding(Outcome.UNKNOWN, "run", rebooted)] if history.rebooted else []
    if last.ended_ns is None:
        text = "The run has not ended: it still runs, or its runner was killed."
        return [*found, Finding(Outcome.UNKNOWN, "run", text)]
    if last.reason == "finished":
        return found
    why = _ENDS.get(last.reason, f"the run ended early ({last.reason})")
    detail = last.detail.strip().rstrip(".")
    if last.reason == "interrupted" and detail.startswith("It was interrupted"):
        why, detail = detail.replace("It", "the run", 1), ""
    text = f"{why}: {detail}" if detail else why
    return [*found, Finding(Outcome.UNKNOWN, "run", f"{text[0].upper()}{text[1:]}.")]


def _of_the_plan(history: History) -> list[Finding]:
    return [
        Finding(
            Outcome.OK,
            "plan",
            f"The plan was edited before attempt {attempt}: {words.listed(edited)}. "
            "What happened before is judged by the plan that was followed then.",
        )
        for attempt, edited in plans.edits(history)
    ]


def _of_steps(judged: Judged) -> list[Finding]:
    bad = [step for step in judged.steps if step.outcome is not Outcome.OK]
    not_run = [step.id for step in bad if not step.attempts]
    found = [
        Finding(step.outcome, step_of(step.id).subject, f"Step {step.id}: {step.note or 'not proven'}.")
        for step in bad
        if step.attempts
    ]
    if not_run:
        found.append(Finding(Outcome.UNKNOWN, step_of(not_run[0]).subject, f"{_did_not_run(not_run)}."))
    return found


def _did_not_run(steps: list[str]) -> str:
    return f"{words.plural(len(steps), 'step')} did not run: {words.listed(steps)}"


def _of_gates(history: History, judged: Judged) -> list[Finding]:
    """The gates before and after; those of steps speak through their steps."""
    found = []
    for gate, shown in ((Gate(PREFLIGHT), "Pre-flight"), (Gate(POSTFLIGHT), "Post-flight")):
        name = str(gate)
        outcome, sentence = course.gate(history, name, judged.checks)
        if outcome is Outcome.UNKNOWN and not any(check.gate == name for check in judged.checks):
            if gate.suite == POSTFLIGHT and history.last.reason != "finished":
                continue  # it was never reached, and the end says why
            sentence = "it was not asked"
        if outcome is not Outcome.OK:
            found.append(Finding(outcome, gate.subject, f"{shown}: {sentence}."))
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
            Finding(
                loss.outcome,
                loss.stretch.subject,
                f"{loss.service}{kind} {during}: {loss.reason}.",
            )
        )
    for service in dict.fromkeys(unwatched):
        cells = [loss for loss in judged.matrix if loss.service == service and loss.kind == "down"]
        empty = [loss.stretch.title for loss in cells if _is_unwatched(loss) and loss.stretch != CONTROL]
        where = "" if len(empty) == len(cells) else f" during {words.listed(empty)}"
        found.append(Finding(Outcome.UNKNOWN, f"service:{service}", f"{service} was never sampled{where}."))
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
        Finding(
            Outcome.UNKNOWN, "migrations", f"No canary was migrated on the occasion “{occasion}”, which the plan wants."
        )
        for occasion in dict.fromkeys(wanted)
        if occasion not in made
    ]


def _of_differences(history: History, judged: Judged) -> list[Finding]:
    found = []
    lost = [each for each in judged.differences if each.change == "lost" and not each.expected]
    if lost:
        names = words.listed([f"{each.kind} {each.name}" for each in lost])
        found.append(Finding(Outcome.FAIL, "differences", f"Lost since before the upgrade: {names}."))
    odd = strange(history)
    if odd:
        names = words.listed(odd)
        found.append(
            Finding(Outcome.FAIL, "differences", f"Another image, though no step of the plan replaces it: {names}.")
        )
    kept = unchanged(history)
    if kept:
        names = words.listed([f"{name} ({image})" for name, image in kept])
        found.append(
            Finding(Outcome.FAIL, "differences", f"Still the image from before, though its step is done: {names}.")
        )
    return found


def _of_the_prober(history: History, judged: Judged) -> list[Finding]:
    if not history.prober_runs:
        return [Finding(Outcome.UNKNOWN, "prober", "No prober ran: nothing was measured.")]
    if judged.quality.prober_stopped or history.last.ended_ns is None:
        return []
    found = []
    for run, after in itertools.zip_longest(history.prober_runs, history.prober_runs[1:]):
        if run.stopped is not None:
            continue
        died = f"The prober died {words.duration(run.last_beat_ns - history.began_ns)} into the run"
        if after is None:
            text = f"{died}; nothing is known after that."
        else:
            gap = words.duration(after.started_ns - run.last_beat_ns)
            text = f"{died} and was started again; nothing is known of the {gap} between."
        found.append(Finding(Outcome.UNKNOWN, "prober", text))
    return found
