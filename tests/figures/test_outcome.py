"""Three outcomes become one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.figures.outcome import Outcome
from rehearsal.figures.outcome import worst


def test_no_evidence_is_unknown() -> None:
    """An empty list of verdicts is no pass."""
    assert worst([]) is Outcome.UNKNOWN


@given(st.lists(st.sampled_from(Outcome), min_size=1))
def test_the_worst_wins(outcomes: list[Outcome]) -> None:
    """Fail beats unknown beats ok, in any order and number."""
    order = [Outcome.FAIL, Outcome.UNKNOWN, Outcome.OK]
    assert worst(outcomes) is min(outcomes, key=order.index)


@pytest.mark.parametrize(("outcome", "code"), [(Outcome.OK, 0), (Outcome.FAIL, 1), (Outcome.UNKNOWN, 2)])
def test_exit_codes(outcome: Outcome, code: int) -> None:
    """Scripts tell the three outcomes apart."""
    assert outcome.exit_code == code
