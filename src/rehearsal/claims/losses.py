"""Claims about what a step cost the users of a service, as the recording says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.expectation import Expectation
from rehearsal.expectation import NotObserved
from rehearsal.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.results import Budget
    from rehearsal.results import Length
    from rehearsal.results import Loss

_WORDS = {"down": "down", "degraded": "slow"}


def within_budget(losses: Iterable[Loss], step: str, service: str, kind: str) -> Expectation:
    """The service was down (or slow: `kind` degraded) during the step no longer than its budget allows."""
    found = next((loss for loss in losses if (loss.step, loss.service, loss.kind) == (step, service, kind)), None)
    if found is None:
        raise NotObserved(f"nothing was recorded about {service} being {_WORDS[kind]} during step {step}")
    if found.outcome is Outcome.UNKNOWN:
        raise NotObserved(f"{service} during step {step}: {found.reason}")
    return Expectation(
        f"{_WORDS[kind]} {allowed(found.budget)}",
        f"{_WORDS[kind]} {found.count} times, longest {_bounds(found.longest)}, in total {_bounds(found.total)}",
        holds=found.outcome is Outcome.OK,
        service=service,
    )


def is_open(losses: Iterable[Loss], step: str) -> bool:
    """Return whether something that began during the step still goes on where the recording ends."""
    return any(loss.step == step and loss.count > 0 and loss.longest.possible_ns is None for loss in losses)


def allowed(budget: Budget | None) -> str:
    """Return a budget in words, with its source."""
    if budget is None:
        return "no longer than the plan allows"
    parts = [f"at most {budget.longest_ns / 1e9:g} s at a time"]
    parts += [f"{budget.total_ns / 1e9:g} s in total"] if budget.total_ns is not None else []
    parts += [f"{budget.count} times"] if budget.count is not None else []
    return f"{', '.join(parts)} (source: {budget.source})"


def _bounds(length: Length) -> str:
    most = "an unknown time" if length.possible_ns is None else f"{length.possible_ns / 1e9:.2f} s"
    return f"{length.certain_ns / 1e9:.2f} s to {most}"
