"""The catalogue of findings: every sentence has one home, a stable id, and the fields that its room gives."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

import rehearsal
from rehearsal.figures.outcome import Outcome
from rehearsal.judging.judge import judge
from rehearsal.judging.sentences import SENTENCES
from rehearsal.judging.sentences import finding
from rehearsal.recording import events
from rehearsal.recording import history
from tests.made.synthetic import Scenario
from tests.made.synthetic import write_run

SRC = Path(rehearsal.__file__).parent
REASONS = ("interrupted", "calibration", "gate", "step", "hold", "recording", "error")


def calls():
    """Return every call of `finding` or `_unseen`, and every making of a Finding, as (module, node)."""
    for path in sorted((SRC / "judging").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield path.stem, node


def fields_of(sentence):
    return {name for _, name, _, _ in string.Formatter().parse(SENTENCES[sentence]) if name}


def test_every_id_is_stable_in_shape_and_unique():
    """`subject.what`, in small letters; no two entries of the table have one id."""
    (table,) = (
        node.value
        for node in ast.parse((SRC / "judging" / "sentences.py").read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
    )
    ids = [key.value for key in table.keys]
    assert sorted(set(ids)) == sorted(ids)
    assert [] == [each for each in ids if not re.fullmatch(r"[a-z]+\.[a-z]+(-[a-z]+)*", each)]


def test_no_finding_is_made_outside_of_the_catalogue():
    """Only `sentences` makes one."""
    assert ["sentences"] == [module for module, node in calls() if node.func.id == "Finding"]


def test_every_sentence_is_used_with_its_fields():
    """A room names an id of the catalogue and gives exactly the fields of its template."""
    used = set()
    for module, node in calls():
        if node.func.id in {"finding", "_unseen"} and module != "sentences":
            ids = [each.value for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant)]
            given = {keyword.arg for keyword in node.keywords if keyword.arg}
            for sentence in ids:
                if sentence in SENTENCES:
                    used.add(sentence)
                    assert fields_of(sentence) == given, sentence
    by_reason = {f"run.{reason}" for reason in REASONS}
    chosen = {"calibration.missing", "calibration.skipped"}
    assert set(SENTENCES) == used | by_reason | chosen


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(),
        Scenario(end_reason="interrupted"),
        Scenario(runner_dies_s=100.0),
        Scenario(more=((100.0, events.Note("error", "Something.")),)),
    ],
)
def test_findings_of_runs_have_ids(scenario, tmp_path):
    """Whatever a run is found to be, each finding has an id of the catalogue."""
    found = judge(history.load(write_run(tmp_path / "run", scenario))).findings
    assert all(each.id in SENTENCES for each in found)
    assert len(found) > 0 or scenario == Scenario()


@pytest.mark.parametrize("reason", REASONS)
def test_every_end_has_a_sentence(reason):
    """With and without a detail."""
    assert finding(f"run.{reason}", Outcome.UNKNOWN, "run", detail="").sentence.endswith(".")
