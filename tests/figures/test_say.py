"""One length, one text: the same digits in every sentence, table and suite, and no bound that is rounded to the wrong side."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from hypothesis import assume
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.claims import downtime
from rehearsal.figures import say
from rehearsal.figures import words
from rehearsal.figures.length import Budget
from rehearsal.figures.length import Length
from rehearsal.figures.outcome import Outcome
from rehearsal.judging.losses import Loss
from rehearsal.recording.stretch import step
from rehearsal.report import printed
from rehearsal.report import render
from rehearsal.report.sections import matrix
from tests.made import results as made

ROOT = Path(__file__).parents[2]
S = 1_000_000_000
NS = st.integers(0, 20_000 * S) | st.integers(0, 2 * S) | st.integers(0, 200_000_000)
NUMBER = re.compile(r"(?:([\d,]+) min )?(\d+)(?:\.(\d+))?(?: (ms|s|min))?")


@st.composite
def any_length(draw):
    certain, point, possible = sorted(draw(st.tuples(NS, NS, NS)))
    return Length(certain, point, draw(st.sampled_from([possible, possible, None])))


def digits(text):
    """All figures of a text, in order, as they are spelled, without their units."""
    plain = text.replace("\u00a0", " ").replace("\u202f", "")
    return re.findall(r"\d+(?:\.\d+)?", plain)


def ns_of(text):
    """The nanoseconds that a figure of seconds stands for."""
    plain = text.replace("\u00a0", " ").replace("\u202f", "")
    if found := re.fullmatch(r"(\d+)(?:\.(\d+))? ms", plain):
        return int(found[1]) * 1_000_000 + int((found[2] or "").ljust(6, "0"))
    if found := re.fullmatch(r"(\d+) h", plain):
        return int(found[1]) * 3600 * S
    found = re.fullmatch(r"(?:(\d+) min ?)?(?:(\d+)(?:\.(\d+))?(?: s)?)?", plain)
    assert found, text
    return int(found[1] or 0) * 60 * S + int(found[2] or 0) * S + int((found[3] or "").ljust(9, "0"))


@given(length=any_length(), budget_ns=NS | st.none())
def test_the_sentence_and_the_table_have_the_same_digits(length, budget_ns):
    """What a sentence says of a length is what the table shows of it."""
    shown, said = printed.bounded(length, budget_ns), words.between(length, budget_ns)
    if length.is_open:
        assert digits(shown.point) == digits(shown.span)
        assert digits(said) == (digits(shown.span) if length.certain_ns else [])
    elif length.certain_ns == length.possible_ns:
        assert digits(said) == digits(shown.span)[-len(digits(said)) :]
    elif length.certain_ns:
        assert digits(said) == digits(shown.span)
    else:
        assert digits(said) == digits(shown.span)[1:]


@given(length=any_length(), budget_ns=NS | st.none())
def test_no_sentence_puts_a_bound_on_the_wrong_side(length, budget_ns):
    """At least is never more than is certain, at most never less than is possible, and neither crosses the budget."""
    said = words.between(length, budget_ns)
    low, _, high = said.removeprefix("at most ").partition(" to ")
    if said == "an unknown time":
        shown = [(0, length.certain_ns)]
        assert (0, None) == (length.certain_ns, length.possible_ns)
    elif said.startswith("at least "):
        shown = [(ns_of(said.removeprefix("at least ")), length.certain_ns)]
        assert shown[0][0] <= length.certain_ns
    elif high:
        shown = [(ns_of(low), length.certain_ns), (ns_of(high), length.possible_ns)]
        assert shown[0][0] <= length.certain_ns
        assert shown[1][0] >= length.possible_ns
    else:
        shown = [(ns_of(low), length.possible_ns)]
        assert shown[0][0] >= length.possible_ns
    if budget_ns is not None:
        assert all((told > budget_ns) == (exact > budget_ns) for told, exact in shown)


@given(ns=NS, limit_ns=NS | st.none())
def test_bounds_alone_are_rounded_to_their_own_side(ns, limit_ns):
    """Also latencies and lags, which are upper bounds: none is shown shorter than it was."""
    low, high = ns_of(words.at_least(ns, limit_ns)), ns_of(words.at_most(ns, limit_ns))
    assert low <= ns <= high
    assert ns_of(say.about(ns)) >= ns
    assert ns == ns_of(words.exactly(ns))
    if limit_ns is not None:
        assert (low > limit_ns) == (ns > limit_ns)
        assert (high > limit_ns) == (ns > limit_ns)


@given(longest=any_length(), total=any_length(), floor_ns=NS, budget_s=st.sampled_from([0.5, 1.0, 5.0, 60.0, 3600.0]))
def test_a_loss_has_one_text_in_the_suite_in_junit_and_on_the_page(longest, total, floor_ns, budget_s):
    """The suite's claim, the case of a CI system and the cell of the matrix have the same digits for the same lengths."""
    assume(longest.certain_ns and total.certain_ns)
    budget = Budget(round(budget_s * S), None, None, "contract")
    loss = Loss(step("nova"), "nova", "down", 2, longest, total, 100, 3, floor_ns, 0, budget, Outcome.FAIL, "why")
    claim = downtime.within_budget([loss], "nova", "nova", "down")
    cell = matrix.shown(loss)
    assert cell.longest is not None
    assert cell.total is not None
    on_the_page = [*digits(cell.longest.span), *digits(cell.total.span)]
    lost, _, missing = claim.observed.removeprefix("down 2 times").partition(";")
    assert digits(lost) == on_the_page
    assert digits(missing) == digits(cell.floor)
    (case,) = matrix.SECTION.cases(dataclasses.replace(made.empty(), matrix=[loss]))
    told, missing, *_ = case.detail.replace("[", "").replace("]", "").split(";")
    assert digits(missing) == digits(cell.floor)
    assert digits(told) == [
        *digits(cell.longest.point), *digits(cell.longest.span), *digits(cell.total.point), *digits(cell.total.span)
    ]  # fmt: skip


def test_an_upper_bound_is_never_rounded_down_on_the_page(tmp_path):
    """The whole rendered page shows 10.214 s possible as no less than that, wherever it names it."""
    length = Length(9_906_000_000, 10_050_000_000, 10_214_000_000)
    loss = Loss(
        step("nova"), "nova", "down", 1, length, length, 100, 3, 50, 0, None, Outcome.UNKNOWN, words.between(length)
    )
    page = render(dataclasses.replace(made.empty(), matrix=[loss], services=["nova"]), tmp_path)
    assert "10.22" in page
    assert "10.21" not in page.replace("10.214", "")
    assert "9.91" not in page
