"""Claims about what a step cost the users of a service, as the recording says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.figures import say
from rehearsal.figures.expectation import Expectation
from rehearsal.figures.expectation import NotObserved
from rehearsal.figures.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.figures.length import Budget
    from rehearsal.judging.losses import Loss

_WORDS = {"down": "down", "degraded": "slow"}


def within_budget(losses: Iterable[Loss], step: str, service: str, kind: str) -> Expectation:
    """The service was down (or slow: `kind` degraded) during the step no longer than its budget allows."""
    found = next((loss for loss in losses if (loss.step, loss.service, loss.kind) == (step, service, kind)), None)
    if found is None:
        raise NotObserved(f"nothing was recorded about {service} being {_WORDS[kind]} during step {step}")
    if found.outcome is Outcome.UNKNOWN:
        raise NotObserved(f"{service} during step {step}: {found.reason}")
    longest_ns, total_ns = (found.budget.longest_ns, found.budget.total_ns) if found.budget else (None, None)
    longest, total = say.between(found.longest, longest_ns), say.between(found.total, total_ns)
    lost = f"{found.count} times, longest {longest}, in total {total}"
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
