"""results.json holds what the judge said, without loss and without secrets."""

from __future__ import annotations

import dataclasses
import json

import pytest

from rehearsal.recording import stretch
from rehearsal.report.resultsjson import to_json
from rehearsal.report.resultsjson import without_secrets
from tests.made import results as made


def test_every_field_of_every_part_stands_in_the_file():
    """Names, numbers, lists and words are there as the judge said them; None stays null."""
    results = made.full()
    written = json.loads(to_json(results))
    names = {field.name for field in dataclasses.fields(results)} - {"shown"}
    assert {"schema", *names, *results.shown} == {*written}
    assert [dataclasses.asdict(each) for each in results.of("flows")] == written["flows"]
    assert [dataclasses.asdict(each) for each in results.checks] == written["checks"]
    assert [list(each) for each in results.clock_pairs] == written["clock_pairs"]
    assert results.outcome.value == written["outcome"]
    assert [each.budget and each.budget.longest_ns for each in results.matrix] == [
        each["budget"] and each["budget"]["longest_ns"] for each in written["matrix"]
    ]


PLACES = (stretch.CONTROL, stretch.BETWEEN, stretch.step("before"), stretch.step(""), stretch.migration("before"))


@pytest.mark.parametrize("place", PLACES)
def test_a_place_in_the_run_is_told_from_every_other(place):
    """The time before the first step, the time between steps, and steps and migrations of any name stay apart."""
    results = made.full()
    loss = dataclasses.replace(results.matrix[0], stretch=place)
    written = json.loads(to_json(dataclasses.replace(results, matrix=[loss])))["matrix"][0]["stretch"]
    assert {"kind": place.kind.value, "name": place.name} == written


def test_secrets_disappear_and_everything_else_stays_of_its_type():
    """A recording of an older version may hold what is hidden today."""
    results = made.full()
    assert results == without_secrets(results)
    told = dataclasses.replace(results, sentence="password=hunter2hunter2", plan={"db_password": "x7", "n": [1, (2,)]})
    hidden = without_secrets(told)
    assert "hunter2" not in hidden.sentence
    assert {"db_password": "[redacted]", "n": [1, [2]]} == hidden.plan
    assert results.windows == hidden.windows
