"""A plan that was edited before `--resume`: it is told, and what happened before is judged by the plan of its time."""

from __future__ import annotations

import copy
import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal.figures.outcome import Outcome
from rehearsal.judging import plans
from rehearsal.judging.judge import judge
from rehearsal.plan import recorded
from rehearsal.plan.changes import changes
from rehearsal.recording import events
from rehearsal.recording.history import load
from tests.judging.test_inside import report
from tests.made.damaging import told_otherwise
from tests.made.small_run import Small
from tests.made.synthetic import Scenario
from tests.made.synthetic import ScriptedMigration
from tests.made.synthetic import ScriptedStep
from tests.made.synthetic import Trouble
from tests.made.synthetic import _began
from tests.made.synthetic import default_steps
from tests.made.synthetic import plan_of
from tests.made.synthetic import write_run

NUMBERS = itertools.count()
RESUMED_S = 165.0
LATE = ScriptedMigration("m1", "canary-0", 152, 158)


def container(name, image):
    return {"name": name, "image": f"registry/kolla/{name}:{image}", "image_id": image, "started_at": "then",
            "labels": {"de.osism.release.openstack": "2024.2"}}  # fmt: skip


def looks(after):
    before = events.HostFacts("before", "control-0", [container("nova_api", "old"), container("keystone", "old")])
    return ((60.0, before), (164.0, dataclasses.replace(before, label="after", containers=after)))


def edited(plan, path, value):
    """A copy of the plan with one thing changed; a step is named by its id."""
    plan = copy.deepcopy(plan)
    place = plan
    for key in path[:-1]:
        place = (
            next(step for step in place if step["id"] == key) if isinstance(place, list) else place.setdefault(key, {})
        )
    place[path[-1]] = value
    return plan


# What happened before the plan was edited, and an edit that would excuse it.
EXCUSES = {
    "a migration that took too long": (
        {"migrations": (LATE,), "troubles": (Trouble("canary-0", 152.5, 158.5),)}, ("migration", "longest_s"), 60.0),
    "a gate that failed": (
        {"steps": (default_steps()[0], dataclasses.replace(default_steps()[1], gate=("fail",)))},
        ("steps", "nova", "gates"), []),
    "a container that nothing replaces": (
        {"more": looks([container("nova_api", "old"), container("keystone", "new")]),
         "steps": (ScriptedStep("nova", 110, 150, ("nova",), ("nova_api",)),)},
        ("steps", "nova", "containers"), ["nova_api", "keystone"]),
    "an image that was kept": (
        {"more": looks([container("nova_api", "old"), container("keystone", "new")])},
        ("steps", "nova", "retag"), False),
    "a guest's pause": (
        {"migrations": (LATE,), "more": (report(150), report(160, pauses=1, pause_longest_ms=9_000.0))},
        ("guests", "pause_s"), 60.0),
    "a step that failed": (
        {"steps": (default_steps()[0], dataclasses.replace(default_steps()[1], rc=3))}, ("steps",), []),
}  # fmt: skip


def resumed(tmp_path_factory, fields, edit=None):
    """A run that was resumed with nothing left to do, with its plan as it was, or edited."""
    script = Scenario(**{"http_hz": 2.0, "deep_hz": 0.0, "icmp_hz": 20.0, "tcp_hz": 0.0, **fields})
    plan = plan_of(script) if edit is None else edited(plan_of(script), *edit)
    again = dataclasses.replace(_began(script), attempt=2, plan=plan)
    script = dataclasses.replace(script, more=(*script.more, (RESUMED_S, again)))
    return judge(load(write_run(tmp_path_factory.mktemp(f"run{next(NUMBERS)}"), script)))


@pytest.mark.parametrize("what", EXCUSES)
def test_an_edit_excuses_nothing_that_happened_before_it(tmp_path_factory, what):
    """The failures of the run are the same with and without the edit, and the edit is told."""
    fields, path, value = EXCUSES[what]
    plain = resumed(tmp_path_factory, fields)
    results = resumed(tmp_path_factory, fields, (path, value))
    assert Outcome.FAIL is plain.outcome is results.outcome
    failures = [[finding for finding in each.findings if finding.outcome is Outcome.FAIL] for each in (plain, results)]
    assert failures[0] == failures[1]
    (told,) = [finding for finding in results.findings if finding.subject == "plan"]
    assert "edited before attempt 2" in told.sentence
    assert not [finding for finding in plain.findings if finding.subject == "plan"]


@settings(max_examples=10, deadline=None)
@given(
    before_s=st.sampled_from([0.5, 2.0, 30.0]),
    after_s=st.sampled_from([0.5, 2.0, 30.0]),
    lasted_s=st.sampled_from([1.0, 5.0, 20.0]),
)
def test_a_step_is_judged_by_the_budget_of_its_time(tmp_path_factory, before_s, after_s, lasted_s):
    """Whatever the budget becomes afterwards: the cell is as if nobody had edited it."""
    first, second = default_steps()
    second = dataclasses.replace(second, disturbs={"nova": {"longest_s": before_s, "source": "plan"}})
    fields = {"steps": (first, second), "troubles": (Trouble("nova", 115, 115 + lasted_s),), "http_hz": 10.0}
    plain = resumed(tmp_path_factory, fields)
    budget = {"nova": {"longest_s": after_s, "source": "plan"}}
    results = resumed(tmp_path_factory, fields, (("steps", "nova", "disturbs"), budget))
    assert plain.matrix == results.matrix
    assert plain.outcome is results.outcome


def test_what_ran_under_the_edited_plan_is_judged_by_it(tmp_path):
    """The first migration by the old plan, the second by the new one."""
    moves = (ScriptedMigration("m1", "canary-0", 30, 36), ScriptedMigration("m2", "canary-0", 160, 166, source="compute-1", host_after="compute-0", target="compute-0"))  # fmt: skip
    script = Scenario(
        migrations=moves, troubles=(Trouble("canary-0", 31, 34.5), Trouble("canary-0", 161, 164.5)), tcp_hz=0.0
    )
    again = dataclasses.replace(
        _began(script), attempt=2, plan=edited(plan_of(script), ("migration", "longest_s"), 1.0)
    )
    history = load(write_run(tmp_path, dataclasses.replace(script, more=((155.0, again),))))
    outcomes = [(each.outcome, each.budget.longest_ns) for each in judge(history).migrations]
    assert outcomes == [(Outcome.OK, 5_000_000_000), (Outcome.FAIL, 1_000_000_000)]
    assert [epoch.attempt for epoch in plans.epochs(history)] == [1, 2]


def test_a_step_that_an_edit_takes_out_is_listed(tmp_path):
    """It never ran: no failure, but the run does not prove it, and says so."""
    first, second = default_steps()
    script = Scenario(steps=(first,))
    whole = plan_of(Scenario(steps=(first, second)))
    run_dir = write_run(
        tmp_path, dataclasses.replace(script, more=((50.0, dataclasses.replace(_began(script), attempt=2)),))
    )
    told_otherwise(
        run_dir / "journal" / "runner.jsonl",
        lambda event: (
            dataclasses.replace(event, plan=whole)
            if getattr(event, "attempt", 0) == 1 and hasattr(event, "plan")
            else event
        ),
    )
    results = judge(load(run_dir))
    assert [gap.why for gap in results.not_proven if gap.what == "Step nova"] == [
        "it never ran, and was taken out of the plan before attempt 2"
    ]


# --- what is told


def changed(before, after):
    return changes(recorded(before), recorded(after))


PLAIN = plan_of(Scenario())
LEAVES = [
    (("settle_s",), st.floats(0, 100)),
    (("defaults", "nova", "longest_s"), st.floats(0, 100)),
    (("migration", "total_s"), st.floats(0, 100) | st.none()),
    (("guests", "pause_s"), st.floats(0, 100) | st.none()),
    (("steps", "nova", "timeout_s"), st.floats(1, 100)),
    (("steps", "nova", "gates"), st.lists(st.sampled_from(["inflight", "preflight"]), unique=True)),
    (("steps", "nova", "disturbs"), st.dictionaries(st.sampled_from(["nova", "glance"]), st.just({"longest_s": 3.0}))),
    (("services",), st.just(["nova"])),
]


@given(data=st.data())
def test_every_edit_is_told_and_nothing_else(data):
    """A change of any value names its place; an equal plan, or one of a program that knew fewer keys, has none."""
    path, values = data.draw(st.sampled_from(LEAVES))
    after = edited(PLAIN, path, data.draw(values))
    found = changed(PLAIN, after)
    assert not changed(after, after)
    assert found == [] or any(path[-1] in text for text in found)
    assert bool(found) == bool(changed(after, PLAIN))
    explicit = edited(PLAIN, ("steps", "nova", "gates"), ["inflight"])
    assert changed(PLAIN, explicit) == []  # as it is by default


def test_steps_that_come_go_and_change_places_are_told():
    """By their ids."""
    steps = PLAIN["steps"]
    new = {**steps[0], "id": "glance"}
    assert changed(PLAIN, {**PLAIN, "steps": [steps[0], new, steps[1]]}) == ["step glance was added"]
    assert changed(PLAIN, {**PLAIN, "steps": [steps[1]]}) == ["step keystone was removed"]
    assert changed(PLAIN, {**PLAIN, "steps": steps[::-1]}) == ["the order of the steps was changed"]


def test_the_runner_tells_of_an_edit_when_it_resumes(tmp_path, capsys):
    """On the terminal and in a note; a run that is resumed with its own plan is told nothing."""
    small = Small(tmp_path, {"one": "exit 0", "two": "exit 1"})
    assert small.go() is not None
    small.go()
    assert not [note for note in small.events(events.Note) if "edited" in note.text]
    small.run.plan.write_text(small.run.plan.read_text().replace("longest_s: 1", "longest_s: 60"))
    capsys.readouterr()
    small.go()
    (note,) = [note for note in small.events(events.Note) if "edited" in note.text]
    assert "defaults.nova.longest_s 1 became 60" in note.text
    assert "defaults.nova.longest_s 1 became 60" in capsys.readouterr().out
