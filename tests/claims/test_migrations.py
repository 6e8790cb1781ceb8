"""A live migration has one verdict: what the suite says of it and what the report says of it are the same."""

from __future__ import annotations

import dataclasses
import functools

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal.claims import comparisons
from rehearsal.figures.expectation import NotObserved
from rehearsal.figures.outcome import Outcome
from rehearsal.judging import moves
from rehearsal.judging.charging.troubles import groups_of
from rehearsal.judging.losses import strictness
from rehearsal.judging.observing.observation import observe
from rehearsal.recording import events
from rehearsal.recording.history import load
from tests.made.synthetic import Scenario
from tests.made.synthetic import ScriptedMigration
from tests.made.synthetic import write_run

ENDS = st.builds(
    events.MigrationEnded,
    migration=st.just("m1"),
    canary=st.just("canary-0"),
    status=st.sampled_from(["completed", "error", "cancelled", ""]),
    host_after=st.sampled_from(["compute-0", "compute-1", "compute-2", ""]),
    server_status=st.sampled_from(["ACTIVE", "ERROR", ""]),
    boot_id_before=st.sampled_from(["one", ""]),
    boot_id_after=st.sampled_from(["one", "another", ""]),
    total_s=st.just(5.0),
    detail=st.sampled_from(["", "nova did not answer"]),
)


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    """A run whose migration was watched well: only what nova and the guest said of it is left to judge."""
    script = Scenario(migrations=(ScriptedMigration("m1", "canary-0", 155, 160),), http_hz=1.0, deep_hz=0.0)
    history = load(write_run(tmp_path_factory.mktemp("moved"), script))
    observation = observe(history)
    return history, observation, groups_of(observation, history, functools.partial(strictness, history))


def of_the_suite(ended, began):
    try:
        return Outcome.OK if comparisons.migrated(ended, began).holds else Outcome.FAIL
    except NotObserved:
        return Outcome.UNKNOWN


@settings(max_examples=400, deadline=None)
@given(ended=ENDS | st.none(), target=st.sampled_from(["compute-1", ""]))
def test_suite_and_report_agree_on_every_end(observed, ended, target):
    """Whatever was seen or not seen of its end: pass, fail and unknown are the same in both."""
    history, observation, groups = observed
    (run,) = history.migrations
    began = dataclasses.replace(run.began, target=target)
    told = {id(run.began): began, id(run.ended): ended}
    records = (dataclasses.replace(each, event=told.get(id(each.event), each.event)) for each in history.records)
    seen = dataclasses.replace(history, records=tuple(each for each in records if each.event is not None))
    (reported,) = moves.migrations(seen, observation, groups)
    assert of_the_suite(ended, began) is reported.outcome


def test_a_status_that_was_not_seen_is_unknown_and_no_failure():
    """Nova did not answer at the end: everything else is well, and nothing is known of the migration itself."""
    began = events.MigrationBegan("m1", "canary-0", "s", "a", "b", "mixed")
    with pytest.raises(NotObserved, match="its status was not seen"):
        comparisons.migrated(events.MigrationEnded("m1", "canary-0", "", "b", "ACTIVE", "x", "x", 9.0), began)
