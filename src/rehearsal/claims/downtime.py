"""What a loss costs against a budget: the rule by which the judge fills the matrix, and the claim that a suite makes of it.

ok: even the possible fits, and nothing longer can have passed unseen. fail: even the certain does not fit. Otherwise
unknown, with what would decide. The rule holds no constant of its own: the plan decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.figures import say
from rehearsal.figures import words
from rehearsal.figures.expectation import Expectation
from rehearsal.figures.expectation import NotObserved
from rehearsal.figures.length import Budget
from rehearsal.figures.length import Length
from rehearsal.figures.length import longest
from rehearsal.figures.outcome import Outcome
from rehearsal.outage import OPEN_NS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.judging.losses import Loss

_WORDS = {"down": "down", "degraded": "slow"}
_FINEST_NS = 2_000_000  # no probe samples faster


@dataclass(frozen=True, slots=True)
class Watched:
    """How well one service (or one canary) was watched during one step."""

    samples: int
    failed: int
    slow: int
    floor_ns: int | None  # None: nobody knows what could have passed unseen
    uncovered_ns: int
    blind_ns: int  # of the best lane: late ticks and ticks that never came
    blind_counted_ns: int  # spans in which the prober itself could not see, outside of what is charged anyway
    period_ns: int
    length_ns: int
    sampled_ever: bool = True
    moved: bool = False  # live migrations cover all of it
    left_ns: int = 0  # how long what began before may have gone on in it unseen


@dataclass(frozen=True, slots=True)
class Lost:
    """What was lost: the lengths of its windows, all of them together, and how many outages they were."""

    kind: str
    lengths: tuple[Length, ...]
    total: Length
    count: int

    @property
    def longest(self) -> Length:
        """How long the longest window was."""
        return longest(self.lengths)

    @property
    def noun(self) -> str:
        """What it is called."""
        return "outage" if self.kind == "down" else "slow spell"

    @property
    def nouns(self) -> str:
        """How many they are."""
        return words.plural(self.count, self.noun)


def judged(  # noqa: PLR0913 - keyword-only, each a fact of its own
    lost: Lost,
    watched: Watched,
    *,
    budget: Budget | None,
    allowed_anyway: Budget | None,
    resolution_ns: int,
    blind_share: float,
) -> tuple[Outcome, str]:
    """Judge what was lost against a budget, and say why in a sentence.

    `allowed_anyway`: where no budget speaks of slow answers, what may be down may also be slow. `resolution_ns`: what
    a budget of zero is measured with. `blind_share`: up to which share of the step blindness is not counted.
    """
    limit = budget or (allowed_anyway if lost.count else None) or Budget(OPEN_NS, None, None, "")
    over = _over(limit, lost)
    if over and budget is not None:
        return Outcome.FAIL, over
    if over or (lost.count and limit.longest_ns == OPEN_NS):
        speaks = "no budget speaks of slow answers" if allowed_anyway else "the plan sets no budget"
        return Outcome.UNKNOWN, f"{lost.nouns}, {words.between(lost.total, limit.total_ns)} in total, and {speaks}"
    if watched.moved and not lost.count:
        return Outcome.OK, "covered by live migrations, which are judged by themselves"
    doubt = (
        _unwatched(watched)
        or _undecided(limit, lost, watched.period_ns)
        or _unseen(limit, lost, watched, resolution_ns)
        or _blind(limit, lost, watched, blind_share)
    )
    return (Outcome.UNKNOWN, doubt) if doubt else (Outcome.OK, _well(lost, watched, limit))


def _unwatched(watched: Watched) -> str:
    """Return how nobody watched; empty if somebody did from the first to the last moment."""
    if not watched.sampled_ever or (watched.floor_ns is None and not watched.samples):
        return "never sampled"
    if watched.uncovered_ns:
        return f"not measured for {words.at_most(watched.uncovered_ns)} of this step"
    return ""


def _unseen(limit: Budget, lost: Lost, watched: Watched, resolution_ns: int) -> str:
    """Return what could have passed unseen that is not allowed; empty if nothing could."""
    if watched.floor_ns is None:
        return "nothing is known after the last good sample"
    if watched.left_ns and limit.longest_ns == 0:
        return f"{words.article(lost.noun)} that began before may have continued, and none is allowed"
    finest = limit.longest_ns or resolution_ns
    if watched.floor_ns <= finest:
        return ""
    zero = f", and {words.exactly(finest)} is the resolution that a budget of zero needs"
    allowed = f"; the budget is {words.exactly(finest)}" if limit.longest_ns else zero
    unseen = f"{lost.noun} of up to {words.at_most(watched.floor_ns, finest)} could have passed unseen"
    return f"{words.article(unseen)}{allowed}"


def _blind(limit: Budget, lost: Lost, watched: Watched, blind_share: float) -> str:
    blind = watched.blind_counted_ns
    left = OPEN_NS if limit.total_ns is None else limit.total_ns - (lost.total.possible_ns or 0)
    if blind > left and blind > blind_share * watched.length_ns:
        return f"the prober was blind for {words.at_most(blind, left)}, longer than the budget leaves"
    return ""


def _over(limit: Budget, lost: Lost) -> str:
    """Return why a budget is certainly exceeded; empty if it is not."""
    certain = lost.longest.certain_ns
    source = f" ({limit.source})" if limit.source else ""
    if limit.longest_ns == 0 and lost.count:
        return f"{lost.nouns}, {words.between(lost.total, limit.total_ns)} in total; none is allowed{source}"
    if certain > limit.longest_ns:
        which = f"the longest of {lost.nouns}" if lost.count > 1 else words.article(lost.noun)
        return f"{which} lasted at least {words.at_least(certain, limit.longest_ns)}; the budget is {words.exactly(limit.longest_ns)}{source}"
    if limit.total_ns is not None and lost.total.certain_ns > limit.total_ns:
        lasted = f"lasted at least {words.at_least(lost.total.certain_ns, limit.total_ns)} in total"
        return f"{lost.nouns} {lasted}; the budget is {words.exactly(limit.total_ns)}{source}"
    if limit.count is not None and lost.count > limit.count:
        return f"{lost.nouns}; the budget is {limit.count}{source}"
    return ""


def _undecided(limit: Budget, lost: Lost, period_ns: int) -> str:
    """Return why the bounds do not support a verdict, and what would; empty if they do."""
    if any(length.is_open for length in lost.lengths):
        return f"the recording began or ended in the middle of the {lost.noun}"
    for length in lost.lengths:
        if length.against(budget_ns=limit.longest_ns) is Outcome.UNKNOWN:
            return _sample_faster(f"{words.article(lost.noun)} lasted", length, limit.longest_ns, period_ns)
    total, allowed = lost.total, limit.total_ns
    if allowed is not None and total.against(budget_ns=allowed) is Outcome.UNKNOWN:
        return _sample_faster(f"{lost.nouns} lasted in total", total, allowed, period_ns)
    return ""


def _sample_faster(what: str, length: Length, budget_ns: int, period_ns: int) -> str:
    """Bounds are about two periods apart; they decide once they are closer than the point is to the budget."""
    needed = abs(budget_ns - length.point_ns) // 2
    if needed >= period_ns:
        advice = "faster sampling would not decide: requests failed late, or only a slower lane saw it"
    elif needed >= _FINEST_NS:
        advice = f"sampling every {words.at_least(needed)} would decide"
    else:
        advice = "no sampling rate could settle this"
    return f"{what} {words.between(length, budget_ns)}; the budget is {words.exactly(budget_ns)}: {advice}"


def outside(lost: Lost, watched: Watched, budget: Budget | None, *, before: bool) -> tuple[Outcome, str]:
    """Judge what was lost while no step was running.

    What happened before the first step is the control: it shows what the cloud does by itself, and is nobody's fault.
    Later, the plan's budgets, which speak of steps, are taken as an alarm: an outage that certainly exceeds them fails.
    Slow answers and uncertain lengths outside of steps are shown and decide nothing, but for outages without an end.
    """
    told = _well(lost, watched, budget) if watched.samples or watched.floor_ns is not None else "never sampled"
    over = _over(budget, lost) if budget is not None and lost.kind == "down" and not before else ""
    if over:
        return Outcome.FAIL, over
    if lost.kind == "down" and any(length.is_open for length in lost.lengths):
        return Outcome.UNKNOWN, "the recording began or ended in the middle of an outage"
    return Outcome.OK, f"control, not judged: {told}" if before else told


def _well(lost: Lost, watched: Watched, limit: Budget | None) -> str:
    longest_ns, total_ns = (limit.longest_ns, limit.total_ns) if limit else (None, None)
    beyond = say.beyond(watched.floor_ns, longest_ns)
    if lost.count > 1:
        together = f"{words.between(lost.total, total_ns)} in total"
        return f"{lost.nouns}, the longest {words.between(lost.longest, longest_ns)}, {together}{beyond}"
    if lost.count:
        return f"one {lost.noun}, {words.between(lost.longest, longest_ns)}{beyond}"
    bad = "failed" if lost.kind == "down" else "slow"
    floor = words.at_most(watched.floor_ns or 0, longest_ns)
    seen = watched.failed if lost.kind == "down" else watched.slow
    if seen:
        earlier = f"{words.plural(seen, f'{bad} sample')} of what began before are charged where it began"
        return f"no {lost.noun} began here; {earlier}"
    return f"no {bad} sample among {words.number(watched.samples)}; no {lost.noun} longer than {floor}"


# --- the claim of a suite ----------------------------------------------------------------------------------------------


def within_budget(losses: Iterable[Loss], step: str, service: str, kind: str) -> Expectation:
    """The service was down (or slow: `kind` degraded) during the step no longer than its budget allows."""
    found = next((loss for loss in losses if (loss.step, loss.service, loss.kind) == (step, service, kind)), None)
    if found is None:
        raise NotObserved(f"nothing was recorded about {service} being {_WORDS[kind]} during step {step}")
    if found.outcome is Outcome.UNKNOWN:
        raise NotObserved(f"{service} during step {step}: {found.reason}")
    longest_ns, total_ns = (found.budget.longest_ns, found.budget.total_ns) if found.budget else (None, None)
    most, total = say.between(found.longest, longest_ns), say.between(found.total, total_ns)
    lost = f"{found.count} times, longest {most}, in total {total}"
    return Expectation(
        f"{_WORDS[kind]}: {allowed(found.budget)}",
        f"{_WORDS[kind]} {lost}{say.beyond(found.floor_ns, longest_ns)}",
        holds=found.outcome is Outcome.OK,
        service=service,
    )


def is_open(losses: Iterable[Loss], step: str) -> bool:
    """Return whether something that began during the step still goes on where the recording ends."""
    return any(loss.step == step and loss.count > 0 and loss.longest.is_open for loss in losses)


def allowed(budget: Budget | None) -> str:
    """Return a budget in words, with its source."""
    return "no longer than the plan allows" if budget is None else f"{say.allowed(budget)} (source: {budget.source})"
