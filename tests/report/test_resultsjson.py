"""results.json holds what the judge said, without loss."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal.judging import results
from rehearsal.judging import stretch
from rehearsal.report.resultsjson import SCHEMA
from rehearsal.report.resultsjson import ResultsFileError
from rehearsal.report.resultsjson import from_json
from rehearsal.report.resultsjson import to_json

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FACTS = st.dictionaries(st.text(max_size=5), PLAIN, max_size=3)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
st.register_type_strategy(float, FLOATS)


def several(kind, **fields):
    return st.lists(st.builds(kind, **fields), max_size=2)


ANY_RESULTS = st.builds(
    results.Results,
    findings=several(results.Finding),
    target=FACTS,
    plan=FACTS,
    steps=several(results.Step),
    matrix=several(results.Loss),
    windows=several(results.Window),
    strips=several(results.Strip),
    migrations=several(results.Migration),
    canaries=several(results.Canary),
    checks=several(results.Check),
    not_proven=several(results.Gap),
    differences=several(results.Difference),
    quality=st.builds(results.Quality),
)


@given(ANY_RESULTS)
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_whatever_the_judge_says_comes_back(made):
    """Every field of every part, with its type: tuples stay tuples, outcomes stay outcomes, None stays None."""
    assert from_json(to_json(made)) == made


def a_result():
    return results.Results(
        run="r", mode="rehearsal", outcome=results.Outcome.OK, sentence="Fine.", findings=[], began_ns=1, ended_ns=2,
        clock_pairs=[(1, 2)], target={}, plan={}, from_release="a", to_release="b", phases=[("steps", 1, None)], steps=[],
        services=[], matrix=[], windows=[], strips=[], migrations=[], canaries=[], checks=[], not_proven=[], differences=[],
        quality=results.Quality(0, 0, 0, None, None, [], 0.0, 0.0, 0, 0, prober_stopped=True), notes=[], provenance={}, end_reason="",
    )  # fmt: skip


def test_keys_of_tomorrow_are_ignored():
    """A file of a later version, with more in it, can still be read."""
    data = json.loads(to_json(a_result()))
    data["something_new"] = 1
    data["quality"]["something_new"] = 1
    assert from_json(json.dumps(data)) == a_result()


def test_fields_that_an_older_file_lacks_take_their_defaults():
    """A file of an earlier version lacks fields that were added since."""
    data = json.loads(to_json(a_result()))
    del data["quality"]["remarks"]
    assert from_json(json.dumps(data)) == a_result()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": 99}',
        '{"schema": 1}',
        f'{{"schema": {SCHEMA}}}',
        f'{{"schema": {SCHEMA}, "run": 1, "phases": [[1]]}}',
    ],
)
def test_a_file_that_does_not_fit_says_what_to_do(text):
    """One sentence with the command that writes it again."""
    with pytest.raises(ResultsFileError, match="rehearse report"):
        from_json(text)


PLACES = (stretch.CONTROL, stretch.BETWEEN, stretch.step("before"), stretch.step(""), stretch.migration("before"))


@pytest.mark.parametrize("place", PLACES)
def test_a_place_in_the_run_comes_back_as_what_it_is(place):
    """The time before the first step, the time between steps, and steps and migrations of any name stay apart."""
    nothing = results.Length(0, 0, 0)
    loss = results.Loss(place, "nova", "down", 0, nothing, nothing, 1, 0, 1, 0, None, results.Outcome.OK, "", left_ns=7)
    made = dataclasses.replace(a_result(), matrix=[loss])
    back = from_json(to_json(made))
    assert back == made
    assert [other for other in PLACES if other == back.matrix[0].stretch] == [place]


def test_a_file_with_labels_for_places_is_not_guessed_at():
    """The older schema had the word before for a step of that name and for the time before all steps: it is written again."""
    data = json.loads(to_json(a_result()))
    with pytest.raises(ResultsFileError, match="rehearse report"):
        from_json(json.dumps(data | {"schema": 1}))
    labelled = {"step": "before", "service": "nova", "kind": "down"}
    with pytest.raises(ResultsFileError, match="rehearse report"):
        from_json(json.dumps(data | {"matrix": [labelled]}))
    with pytest.raises(ResultsFileError, match="rehearse report"):
        from_json(json.dumps(data | {"matrix": [labelled | {"stretch": {"kind": "tomorrow", "name": ""}}]}))


def test_every_part_is_a_dataclass_that_json_knows():
    """What is added to results must be of a kind that comes back."""
    for name, kind in vars(results).items():
        if isinstance(kind, type) and kind.__module__ == results.__name__:
            assert dataclasses.is_dataclass(kind), name
