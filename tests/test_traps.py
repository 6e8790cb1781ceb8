"""The table of traps (docs/traps.md): 42 ways in which measurements of an upgrade went wrong elsewhere, each with the tests that spring it.

A test of a trap is called `test_trap_NN_...`, wherever it lives. It shows what the wrong rule says on its facts (from
`tests/made/wrong_rules.py`, or by the library that behaves so), and then what ours says. This table is complete by a test.
"""

from __future__ import annotations

import ast
import inspect
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.claims import downtime as rules
from rehearsal.figures import fewruns
from rehearsal.figures import length
from rehearsal.figures.length import Length
from rehearsal.figures.outcome import Outcome
from rehearsal.judging.judge import judge
from rehearsal.recording.history import load
from rehearsal.recording.journal import Journal
from rehearsal.report.resultsjson import to_json
from tests.made import wrong_rules
from tests.made.synthetic import Scenario
from tests.made.synthetic import Trouble
from tests.made.synthetic import write_run

TABLE = Path(__file__).parents[1] / "docs" / "traps.md"
TRAPS = {int(row[1]): row[2] for row in re.finditer(r"^\| (\d+) \| (.+?) \|", TABLE.read_text(), re.MULTILINE)}
NOT_CONCERNED = {
    20: "there is no baseline that could ratchet: every budget comes from the plan, with its source, and a reset is an "
    "edit of that file. When budgets are taken from earlier rehearsals, this trap needs its test",
}
SHOWN_BY_A_LIBRARY = {
    10: "statuses_of_urllib3",
    11: "status_of_glance_by_sdk",
    12: "ask_twice",
    32: "mixed up",
    33: "truncated",
}
"""Where the wrong rule is not one of `wrong_rules`: a word of the test that shows it."""


def trap_tests() -> dict[int, list[tuple[str, str]]]:
    """Return the tests of each trap: where they are, and their source."""
    found: dict[int, list[tuple[str, str]]] = {}
    for path in sorted(Path(__file__).parent.rglob("test_*.py")):
        source = path.read_text()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef) and (match := re.match(r"test_trap_(\d\d)_", node.name)):
                text = ast.get_source_segment(source, node) or ""
                found.setdefault(int(match[1]), []).append((f"{path.name}::{node.name}", text))
    return found


def test_the_table_is_complete():
    """Each of the 42 traps has a test or a reason why it does not concern this product; none has both."""
    assert sorted(TRAPS) == list(range(1, 43))
    assert sorted([*trap_tests(), *NOT_CONCERNED]) == sorted(TRAPS)


@pytest.mark.parametrize("number", sorted(set(TRAPS) - set(NOT_CONCERNED)))
def test_the_trap_is_sprung(number):
    """At least one test of each trap asserts what the wrong rule says on the same facts."""
    sources = [source for _, source in trap_tests()[number]]
    word = SHOWN_BY_A_LIBRARY.get(number, "wrong_rules.")
    assert any("assert" in source and word in source for source in sources)


def test_no_wrong_rule_is_idle():
    """A wrong rule that no test confronts would prove nothing."""
    text = "".join(source for tests in trap_tests().values() for _, source in tests)
    rules_here = [name for name, each in vars(wrong_rules).items() if inspect.isfunction(each) and name[0] != "_"]
    assert [name for name in rules_here if f"wrong_rules.{name}(" not in text and name != "failed"] == []


# --- traps that have no better home ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "least"), [(0.95, 59), (0.99, 299)])
def test_trap_18_a_percentile_of_few_runs_is_refused(share, least):
    """A P95 needs 59 values, a P99 299, and four runs say what four can say."""
    assert wrong_rules.rank_of_few([0.0, 0.0, 1.0, 3.0], share) == 3.0
    assert fewruns.least_runs(share) == least
    assert fewruns.all_well(4) == "4 of 4 say with 95 % confidence that at least 47 % of such would succeed"


@pytest.mark.parametrize(
    ("count", "percent"),
    [(3, 37), (4, 47), (5, 55), (6, 61), (8, 69), (10, 74), (15, 82), (20, 86), (30, 90), (59, 95), (299, 99)],
)
def test_trap_18_the_largest_of_few_covers_what_is_printed(count, percent):
    """The maximum of n covers the quantile 0.05^(1/n), as in the table of the method."""
    assert round(fewruns.covered(count) * 100) == percent


@given(count=st.integers(1, 400), share=st.sampled_from([0.5, 0.9, 0.95]))
def test_trap_18_a_quantile_is_told_exactly_when_the_largest_covers_it(count, share):
    """So many values are enough if and only if even the largest would be a bound."""
    assert (count >= fewruns.least_runs(share)) == (fewruns.covered(count) >= share)


def test_trap_19_nothing_covers_nothing():
    """Of no runs there is no figure and no sentence."""
    assert wrong_rules.missing_is_a_number(fewruns.covered(0)) == 2.718
    assert fewruns.covered(0) is None
    assert fewruns.all_well(0) == ""


def test_trap_32_thresholds_are_given_by_name():
    """A budget that is mixed up with a length would pass silently; it cannot be given without its name."""

    def mixed_up(budget_ns, certain_ns, possible_ns):  # the order in which somebody remembers it
        return Length.between(certain_ns, possible_ns).against(budget_ns=budget_ns)

    assert mixed_up(9, 1, 2) is Outcome.OK
    assert mixed_up(1, 2, 9) is Outcome.FAIL
    with pytest.raises(TypeError):
        Length.between(1, 2).against(9)
    thresholds = {"budget_ns", "resolution_ns", "blind_share", "allowed_anyway"}
    for module in (length, Length, rules):
        for _, function in inspect.getmembers(module, inspect.isfunction):
            for parameter in inspect.signature(function).parameters.values():
                if (
                    parameter.name in thresholds
                    and function.__module__ in {length.__name__, rules.__name__}
                    and function.__name__[0] != "_"
                ):
                    assert parameter.kind is parameter.KEYWORD_ONLY, f"{function.__name__}({parameter.name})"


def test_trap_33_judging_changes_nothing_and_can_be_repeated(tmp_path):
    """A recording is the same to the byte after it was judged; a copy gives the same verdict, a truncated one does not."""
    run_dir = write_run(tmp_path / "run", Scenario(troubles=(Trouble("nova", 120, 127),)))
    before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
    told = to_json(judge(load(run_dir)))
    assert {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()} == before
    copy = shutil.copytree(run_dir, tmp_path / "copy")
    assert to_json(judge(load(copy))) == told
    truncated = copy / "samples" / "prober.smp"
    truncated.write_bytes(b"")
    assert to_json(judge(load(copy))) != told
    assert judge(load(copy)).outcome is Outcome.UNKNOWN
    journal = run_dir / "journal" / "runner.jsonl"
    Journal(journal).close()  # a writer that begins anew
    assert journal.read_bytes() == before[journal]
