"""Places in a run: one value each, and the text that journals have for them."""

from __future__ import annotations

import pytest

from rehearsal.recording.stretch import AFTER
from rehearsal.recording.stretch import BEFORE
from rehearsal.recording.stretch import BETWEEN
from rehearsal.recording.stretch import CONTROL
from rehearsal.recording.stretch import INFLIGHT
from rehearsal.recording.stretch import POSTFLIGHT
from rehearsal.recording.stretch import PREFLIGHT
from rehearsal.recording.stretch import Gate
from rehearsal.recording.stretch import Look
from rehearsal.recording.stretch import Side
from rehearsal.recording.stretch import is_gate_of
from rehearsal.recording.stretch import look_of
from rehearsal.recording.stretch import migration
from rehearsal.recording.stretch import migrations
from rehearsal.recording.stretch import step


@pytest.mark.parametrize(
    ("look", "label", "when"),
    [
        (BEFORE, "before", "before the first step"),
        (AFTER, "after", "after the last step"),
        (Look(Side.BEFORE, "nova"), "step:nova:before", "before nova"),
        (Look(Side.AFTER, "a:b"), "step:a:b:after", "after a:b"),
    ],
)
def test_a_look_is_written_and_read_the_same(look, label, when):
    """What a journal says of when something was seen is the value that was written."""
    assert (label, look, when) == (str(look), look_of(label), look.when)


@pytest.mark.parametrize("label", ["", "postflight", "during", "step:nova", "nova:before", "step:nova:inflight"])
def test_a_label_of_a_suites_own_is_no_look_of_the_runner(label):
    """It is neither before nor after anything."""
    assert look_of(label) is None


@pytest.mark.parametrize(
    ("gate", "name"),
    [
        (Gate(PREFLIGHT), "preflight"),
        (Gate(POSTFLIGHT), "postflight"),
        (Gate(INFLIGHT, "nova"), "step:nova"),
        (Gate(POSTFLIGHT, "nova"), "step:nova:postflight"),
    ],
)
def test_a_gate_has_the_name_that_journals_have(gate, name):
    """Old recordings are read by it."""
    assert name == str(gate)
    assert f"gate:{name}" == gate.subject
    assert (gate.step == "nova") == is_gate_of(name, "nova")
    assert not is_gate_of(name, "nov")


def test_what_a_finding_is_about():
    """A step and a migration are named; the rest is the run."""
    places = (step("nova"), migration("m1"), CONTROL, BETWEEN)
    assert ["step:nova", "migration:m1", "run", "run"] == [place.subject for place in places]
    assert ["nova", "during m1", "before the first step", "outside of steps"] == [place.title for place in places]
    assert [True, True, False, False] == [place.is_doing for place in places]
    assert migrations("mixed") == "migrations-mixed"
