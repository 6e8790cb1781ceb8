"""The verdict, and one sentence for it. Worst wins."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from rehearsal.figures import say
from rehearsal.figures import words
from rehearsal.figures.outcome import Outcome
from rehearsal.figures.outcome import worst
from rehearsal.judging.sums import worst_loss
from rehearsal.recording.stretch import CONTROL

if TYPE_CHECKING:
    from rehearsal.judging.course import Check
    from rehearsal.judging.course import Step
    from rehearsal.judging.differences import Difference
    from rehearsal.judging.inside import GuestFigure
    from rehearsal.judging.losses import Loss
    from rehearsal.judging.moves import Canary
    from rehearsal.judging.moves import Migration
    from rehearsal.judging.quality import Quality
    from rehearsal.judging.rooms import Finding
    from rehearsal.judging.rooms import Rooms


@dataclass(frozen=True, slots=True)
class Judged:
    """Everything that was judged, before it becomes one verdict."""

    steps: list[Step]
    checks: list[Check]
    matrix: list[Loss]
    migrations: list[Migration]
    canaries: list[Canary]
    differences: list[Difference]
    quality: Quality
    guests: list[GuestFigure] = field(default_factory=list)


def outcome(found: list[Finding], judged: Judged, rooms: Rooms) -> Outcome:
    """Return the verdict: the worst of everything; without a single step it is unknown.

    Where a part of the findings is missing, what it would have told of counts all the same, as far as it failed.
    """
    seen = [*(finding.outcome for finding in found), *(step.outcome for step in judged.steps)]
    if rooms.failed():
        parts = (judged.matrix, judged.migrations, judged.canaries, judged.guests)
        seen += [each.outcome for part in parts for each in part if each.outcome is Outcome.FAIL]
        seen.append(Outcome.UNKNOWN)
    return worst(seen)


def sentence(verdict: Outcome, found: list[Finding], judged: Judged) -> str:
    """Return the verdict in one sentence."""
    bad = [finding for finding in found if finding.outcome is verdict]
    if verdict is Outcome.OK:
        return _all_well(judged)
    if not bad:
        return "Nothing was recorded that allows a verdict."
    first = bad[0].sentence.rstrip(".")
    others = f" ({words.plural(len(bad) - 1, 'further finding')})" if len(bad) > 1 else ""
    return f"{first}{others}." if verdict is Outcome.FAIL else f"Undecided: {first[0].lower()}{first[1:]}{others}."


def _all_well(judged: Judged) -> str:
    parts = [f"all {words.plural(len(judged.steps), 'step')} succeeded"]
    longest = worst_loss([loss for loss in judged.matrix if loss.stretch != CONTROL], "down")
    parts.append("no outage was seen" if longest is None else f"the longest outage lasted {_longest(longest)}")
    if judged.migrations:
        parts.append(f"{words.plural(len(judged.migrations), 'live migration')} succeeded")
    if judged.checks:
        parts.append(f"{words.plural(len(judged.checks), 'check')} passed")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _longest(loss: Loss) -> str:
    """Return how long an outage lasted, whose it was and when, and its budget: `about 2 s (1.9 to 2.1 s; nova, ...)`."""
    budget_ns = loss.budget.longest_ns if loss.budget else None
    between, shown = words.between(loss.longest, budget_ns), say.bounded(loss.longest, budget_ns)
    budget = f"; budget {words.exactly(budget_ns)}" if budget_ns is not None else ""
    length = [between] if shown.open else [f"about {shown.point}", between]
    details = "; ".join([*length[1:], f"{loss.service} {loss.stretch.when}"])
    return f"{length[0]} ({details}{budget})"
