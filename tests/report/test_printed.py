"""Figures never tell another story than the nanoseconds behind them."""

# ruff: noqa: RUF001 - the dash between two bounds is an en dash

from __future__ import annotations

import re

import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.figures.length import Budget
from rehearsal.figures.length import Length
from rehearsal.report import printed

S = 1_000_000_000
NS = st.integers(min_value=0, max_value=20_000 * S)


@st.composite
def lengths(draw):
    certain, point, possible = sorted(draw(st.tuples(NS, NS, NS)))
    return Length(certain, point, draw(st.sampled_from([possible, possible, None])))


def read(text):
    """The nanoseconds that a shown figure stands for."""
    found = re.fullmatch(r"(?:≥ )?(?:([\d\u202f]+) min )?(\d+)(?:\.(\d+))?(?: s)?", text.replace("\u00a0", " "))
    assert found, text
    minutes, whole, fraction = found.groups()
    return int((minutes or "0").replace("\u202f", "")) * 60 * S + int(whole) * S + int((fraction or "0").ljust(9, "0"))


def parts(shown):
    low, _, high = shown.span.partition("–")
    return read(low.strip()), read(shown.point), None if shown.open else read(high)


@pytest.mark.parametrize(
    ("length", "budget_ns", "text"),
    [
        (Length(3_050_000_000, 3_120_000_000, 3_214_000_000), None, "3.12 s [3.05–3.22 s]"),
        (Length(0, 41_000_000, 62_300_000), None, "0.041 s [0–0.063 s]"),
        (Length(0, 0, 0), None, "0 s [0–0 s]"),
        (Length(1_004_000_000, 1_050_000_000, 1_100_000_000), S, "1.050 s [1.004–1.100 s]"),
        (Length(900_000_000, 950_000_000, 999_999_999), S, "0.95 s [0.90–1.00 s]"),
        (Length(900_000_000, 950_000_000, 1_000_000_001), S, "0.95 s [0.90–1.01 s]"),
        (Length(S + 1, S + 1, S + 1), S, "1.000000001 s [1.000000001–1.000000001 s]"),
        (Length(125_300_000_000, 125_340_000_000, 125_390_000_000), None, "125.3 s [125.3–125.4 s]"),
        (Length(1_240 * S, 1_241 * S, 1_242 * S), None, "20 min 41 s [20 min 40 s–20 min 42 s]"),
        (Length(3_050_000_000, 4_000_000_000, None), None, "≥ 3.05 s [3.05 s – open]"),
    ],
)
def test_lengths_are_shown_with_their_bounds(length, budget_ns, text):
    assert str(printed.bounded(length, budget_ns)).replace("\u00a0", " ") == text


@given(lengths())
def test_shown_bounds_contain_the_exact_ones(length):
    certain, _, possible = parts(printed.bounded(length))
    assert certain <= length.certain_ns
    assert length.possible_ns is None or possible >= length.possible_ns


@given(lengths(), NS)
@example(Length(S + 1, S + 1, S + 1), S)
@example(Length(S, S, S), S)
def test_no_figure_is_rounded_across_its_budget(length, budget_ns):
    certain, point, possible = parts(printed.bounded(length, budget_ns))
    assert (certain > budget_ns) == (length.certain_ns > budget_ns)
    if length.possible_ns is not None:
        assert (point > budget_ns) == (length.point_ns > budget_ns)
        assert (possible > budget_ns) == (length.possible_ns > budget_ns)


@given(lengths(), NS)
def test_shown_figures_keep_their_order(length, budget_ns):
    certain, point, possible = parts(printed.bounded(length, budget_ns))
    assert certain <= point
    assert possible is None or point <= possible


@given(NS, NS)
def test_a_floor_is_rounded_up_and_never_across_its_budget(floor_ns, budget_ns):
    shown = read(printed.at_most(floor_ns, budget_ns))
    assert shown >= floor_ns
    assert (shown > budget_ns) == (floor_ns > budget_ns)


@given(NS)
def test_a_budget_is_shown_with_all_its_digits(budget_ns):
    text = printed.exactly(budget_ns)
    shown = int(text.removesuffix("\u00a0min").replace("\u202f", "")) * 60 * S if text.endswith("min") else read(text)
    assert shown == budget_ns


@given(
    st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True), st.floats(min_value=0.001, max_value=0.999)
)
def test_a_share_is_never_rounded_to_all_or_nothing(part, limit):
    shown = float(printed.share(part).removesuffix("\u00a0%"))
    assert 0 < shown < 100
    judged = float(printed.share(part, limit).removesuffix("\u00a0%"))
    assert (judged > limit * 100) == (part > limit) or abs(part - limit) < 1e-9


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0.0 s"),
        (4_240_000_000, "4.2 s"),
        (9_960_000_000, "10 s"),
        (59_600_000_000, "1 min 00 s"),
        (702 * S, "11 min 42 s"),
        (21_720 * S, "6 h 02 min"),
        (3_599_600_000_000, "1 h 00 min"),
    ],
)
def test_durations(ns, text):
    assert printed.duration(ns).replace("\u00a0", " ") == text


def test_numbers_have_thin_spaces_between_thousands():
    assert printed.count(21_600) == "21\u202f600"


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        (Budget(S, None, None, "default"), "≤ 1 s"),
        (Budget(500_000_000, 5 * S, 3, "plan"), "≤ 0.5 s, total ≤ 5 s, at most 3"),
        (Budget(0, None, 0, "plan"), "none allowed, at most 0"),
        (Budget(120 * S, None, None, "contract"), "≤ 2 min"),
    ],
)
def test_budgets_say_what_they_allow(budget, text):
    assert printed.allowed(budget).replace("\u00a0", " ") == text
