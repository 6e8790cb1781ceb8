"""Lengths: one order, one sum, one verdict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rehearsal.figures.length import NOTHING
from rehearsal.figures.length import Length
from rehearsal.figures.length import longest
from rehearsal.figures.length import together
from rehearsal.figures.outcome import Outcome

NS = st.integers(min_value=0, max_value=10**13)


@st.composite
def any_length(draw):
    certain, point, possible = sorted(draw(st.tuples(NS, NS, NS)))
    return Length(certain, point, draw(st.sampled_from([possible, possible, None])))


@given(certain=NS, width=NS, budget=NS)
def test_trap_42_a_budget_inside_the_bounds_is_unknown(certain, width, budget):
    """A verdict that the resolution does not support is unknown; there are no grace constants."""
    outcome = Length.between(certain, certain + width).against(budget_ns=budget)
    assert (certain > budget) == (outcome is Outcome.FAIL)
    assert (certain + width <= budget) == (outcome is Outcome.OK)


@given(certain=NS, budget=NS)
def test_an_open_end_is_never_ok(certain, budget):
    """An outage that the recording does not see the end of cannot pass."""
    assert Length(certain, certain, None).against(budget_ns=budget) is not Outcome.OK


@given(one=any_length(), other=any_length(), budget=NS)
def test_a_shorter_length_never_hides_that_a_longer_one_is_not_ok(one, other, budget):
    """If the longest of lengths fits a budget, all of them do."""
    if longest([one, other]).against(budget_ns=budget) is Outcome.OK:
        assert {Outcome.OK} == {one.against(budget_ns=budget), other.against(budget_ns=budget)}


def test_what_most_likely_was_longer_is_longer():
    """An open length beats every number, then the likely decides, then the possible, then the certain."""
    ordered = [
        NOTHING, Length(0, 2, 10), Length(0, 4, 19), Length(5, 5, 10), Length(9, 9, 9), Length(8, 9, 10), Length(0, 0, None), Length(1, 1, None)
    ]  # fmt: skip
    assert ordered == sorted(ordered[place] for place in (3, 0, 6, 1, 7, 5, 2, 4))


@given(lengths=st.lists(any_length()))
def test_a_sum_holds_the_sum_of_every_truth_within_the_bounds(lengths):
    """Bounds are added to bounds; one open length leaves the sum open, and nothing is the sum of none."""
    total = together(lengths)
    assert sum(each.certain_ns for each in lengths) == total.certain_ns
    assert any(each.is_open for each in lengths) == total.is_open
    assert total.certain_ns <= total.point_ns
    assert total.is_open or total.possible_ns == sum(each.possible_ns for each in lengths)
    assert total.certain_ns >= longest(lengths).certain_ns
    assert NOTHING == longest([])


@given(truths=st.lists(st.tuples(any_length(), st.floats(0, 1)), min_size=1))
def test_the_bounds_of_the_longest_hold_for_the_longest_truth(truths):
    """Wherever each truth lies within its own bounds, the greatest of them lies within those of the longest."""
    lasted = [
        one.certain_ns + round(share * ((one.certain_ns + 10 if one.is_open else one.possible_ns) - one.certain_ns))
        for one, share in truths
    ]
    found = longest([one for one, _ in truths])
    assert found.certain_ns <= max(lasted)
    assert found.is_open or max(lasted) <= found.possible_ns


def test_of_bounds_alone_the_middle_is_most_likely():
    """Without an upper bound it is the lower one: more is not known."""
    assert Length(2, 3, 5) == Length.between(2, 5)
    assert Length(2, 2, None) == Length.between(2, None)
    assert (3, 0) == (Length.between(2, 5).doubt_ns, Length.between(2, None).doubt_ns)
