"""Three outcomes become one; a length is judged against a budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.figures.outcome import Outcome
from rehearsal.figures.outcome import against_budget
from rehearsal.figures.outcome import worst

LENGTHS = st.integers(min_value=0, max_value=10**13)


def test_no_evidence_is_unknown() -> None:
    """An empty list of verdicts is no pass."""
    assert worst([]) is Outcome.UNKNOWN


@given(st.lists(st.sampled_from(Outcome), min_size=1))
def test_the_worst_wins(outcomes: list[Outcome]) -> None:
    """Fail beats unknown beats ok, in any order and number."""
    order = [Outcome.FAIL, Outcome.UNKNOWN, Outcome.OK]
    assert worst(outcomes) is min(outcomes, key=order.index)


@given(certain=LENGTHS, width=LENGTHS, budget=LENGTHS)
def test_trap_42_a_budget_inside_the_bounds_is_unknown(certain: int, width: int, budget: int) -> None:
    """A verdict that the resolution does not support is unknown; there are no grace constants."""
    outcome = against_budget(certain, certain + width, budget_ns=budget)
    assert (outcome is Outcome.FAIL) == (certain > budget)
    assert (outcome is Outcome.OK) == (certain + width <= budget)


@given(certain=LENGTHS, budget=LENGTHS)
def test_an_open_end_is_never_ok(certain: int, budget: int) -> None:
    """An outage that the recording does not see the end of cannot pass."""
    assert against_budget(certain, None, budget_ns=budget) is not Outcome.OK


@pytest.mark.parametrize(("outcome", "code"), [(Outcome.OK, 0), (Outcome.FAIL, 1), (Outcome.UNKNOWN, 2)])
def test_exit_codes(outcome: Outcome, code: int) -> None:
    """Scripts tell the three outcomes apart."""
    assert outcome.exit_code == code
