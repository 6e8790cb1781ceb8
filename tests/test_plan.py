"""Plans: strictness with file, line and remedy; expansion for one cloud."""

from __future__ import annotations

import dataclasses

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rehearsal import plan as plans
from rehearsal.cli.inspect import plan_lines
from rehearsal.target import discover
from tests.target.repository import make_repository

PLAN = """\
name: small
title: Small
from_release: "2024.2"
to_release: "2025.1"
services: [nova]
defaults:
  nova: {longest_s: 1}
  canaries: {longest_s: 1}
steps:
  - id: one
    title: First
    command: [echo, one]
  - id: two
    for_each: compute
    title: On {host}
    command: [echo, "{host}", "{address}"]
    containers: [nova_compute]
    migrate: mixed
    migrate_after: first
"""


def read(tmp_path, text):
    path = tmp_path / "plan.yml"
    path.write_text(text)
    return plans.load_plan(path)


def mistakes(tmp_path, text):
    with pytest.raises(plans.PlanError) as caught:
        read(tmp_path, text)
    return caught.value.mistakes


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("    title: First\n", "    titel: First\n", 11, ["steps[0].titel is no known key", "command"]),
        ("title: Small\n", "title: Small\ntitle: Other\n", 3, ["'title' stands twice", "line 2"]),
        ('from_release: "2024.2"', "from_release: 2024.2", 3, ["from_release", "quotes", "'2024.2'"]),
        ("services: [nova]", "services: nova", 5, ["services"]),
        ("{longest_s: 1}\n  canaries", "{longest_s: -1}\n  canaries", 7, ["defaults.nova.longest_s"]),
        ("  nova: {longest_s: 1}\n", "  nova: {longest: 1}\n", 7, ["longest is no known key", "slow_total_s"]),
        ("  nova: {longest_s: 1}\n", "", 6, ["no budget for 'nova'"]),
        (
            "  canaries: {longest_s: 1}\n",
            "  canaries: {longest_s: 1}\n  novo: {longest_s: 1}\n",
            9,
            ["'novo' is no service"],
        ),
        ("id: two", "id: one", 13, ["'one' stands twice"]),
        ("id: two", "id: Two Words", 13, ["steps[1].id", "small letters"]),
        ("[nova_compute]", "[nova_computer]", 17, ["'nova_computer' in containers is unknown"]),
        ("command: [echo, one]", 'command: [echo, "{hst}"]', 12, ["{hst} stands for nothing"]),
        ("command: [echo, one]", 'command: [echo, "{host}"]', 12, ["{host} stands for nothing"]),
        ("command: [echo, one]", "command: []", 12, ["steps[0].command"]),
        ("    command: [echo, one]\n", "", 10, ["steps[0].command is missing"]),
        ('[echo, "{host}", "{address}"]', "[echo]", 16, ["does not name {host}"]),
        ("migrate_after: first", "migrate_after: second", 19, ["migrate_after"]),
        ("title: Small", "title: [", 4, ["no valid YAML"]),
        ("    title: First\n", "    title: First\n    gates: [inflihgt]\n", 12, ["'inflihgt' in gates"]),
        ("title: Small\n", "title: Small\nrates:\n  icmp: 20\n  icpm: 20\n", 5, ["'icpm' is no lane", "vip-new"]),
        ("title: Small\n", "title: Small\nrates: {icmp: 0}\n", 3, ["0.0 is no rate for icmp", "1/600"]),
        ("title: Small\n", 'title: Small\nrates: {icmp: "20"}\n', 3, ["rates.icmp", "'20'"]),
        ("title: Small\n", "title: Small\nfocus_most: -1\n", 3, ["focus_most"]),
        ("    title: First\n", "    title: First\n    focus: [novo]\n", 12, ["'novo' in focus is unknown", "nova"]),
    ],
)
def test_a_mistake_is_named(tmp_path, old, new, line, words):
    """Each mistake is named with its line, and with what would be right."""
    assert old in PLAN
    found = mistakes(tmp_path, PLAN.replace(old, new))
    told = "\n".join(map(str, found))
    assert [] == [word for word in words if word not in told], told
    assert line in {mistake.line for mistake in found}, told
    assert all(str(tmp_path / "plan.yml") == mistake.file and mistake.remedy for mistake in found)


def test_all_mistakes_at_once(tmp_path):
    """Several mistakes of one kind are all named by one reading."""
    found = mistakes(tmp_path, PLAN.replace("title: First", "titel: First").replace('"2024.2"', "2024.2"))
    assert len(found) >= 3


def test_no_file_and_no_mapping(tmp_path):
    """A plan that is not there, or is no mapping, is named in one sentence."""
    assert "A plan is a mapping" in str(mistakes(tmp_path, "- a\n")[0])
    with pytest.raises(plans.PlanError, match="There is no such plan"):
        plans.find(str(tmp_path / "none.yml"))


@given(st.text(max_size=200))
def test_any_text_is_a_plan_or_a_plan_error(tmp_path_factory, text):
    """No text makes reading raise anything but PlanError."""
    path = tmp_path_factory.mktemp("plan") / "plan.yml"
    path.write_text(text)
    with pytest.raises(plans.PlanError):
        plans.load_plan(path)


def test_for_each_host(tmp_path):
    """A step for each host of a group becomes one step per host; the migration comes after the one that was named."""
    target = discover(make_repository(tmp_path))
    plan = plans.expand(read(tmp_path, PLAN), target)
    assert ["one", "two-compute-0", "two-compute-1"] == [step.id for step in plan.steps]
    assert ["echo", "compute-1", "127.0.0.12"] == plan.steps[2].command
    assert ["compute-0"] == plan.steps[1].hosts
    assert ["", "mixed", ""] == [step.migrate for step in plan.steps]


@pytest.mark.parametrize(("after", "occasions"), [("each", ["mixed", "mixed"]), ("last", ["", "mixed"])])
def test_migrations_after(tmp_path, after, occasions):
    """Migrations come after each repetition or after the last one, as the step says."""
    plan = read(tmp_path, PLAN.replace("migrate_after: first", f"migrate_after: {after}"))
    steps = plans.expand(plan, discover(make_repository(tmp_path))).steps
    assert occasions == [step.migrate for step in steps[1:]]


def test_the_wrong_cloud(tmp_path):
    """A plan for other releases, an empty group and an unknown variable are refused, all at once."""
    target = discover(make_repository(tmp_path))
    other = dataclasses.replace(
        target, release=dataclasses.replace(target.release, openstack="2023.2"), groups={**target.groups, "compute": ()}
    )
    with pytest.raises(plans.PlanError) as caught:
        plans.expand(read(tmp_path, PLAN), other, {"nonsense": "1"})
    told = str(caught.value)
    for words in ("the cloud claims 2023.2", "compute, which has none", "no variable 'nonsense'"):
        assert words in told


def test_docker_templates_are_left_alone(tmp_path):
    """Double braces are no placeholders."""
    text = PLAN.replace("[echo, one]", "[echo, '{{.State.Health}}', '{to_release}']")
    plan = plans.expand(read(tmp_path, text), discover(make_repository(tmp_path)))
    assert ["echo", "{{.State.Health}}", "2025.1"] == plan.steps[0].command


def test_an_expanded_plan_can_be_read_again(tmp_path):
    """What an expanded plan is written as leads to the same plan."""
    plan = plans.expand(read(tmp_path, PLAN), discover(make_repository(tmp_path)))
    assert plan == read(tmp_path, yaml.safe_dump(plan.model_dump(mode="json", exclude_unset=True)))


def test_bundled_plans_fit(tmp_path):
    """Every bundled plan can be read, and the version upgrade fits a small cloud with its host names."""
    for path in plans.bundled().values():
        plans.load_plan(path)
    plan = plans.expand(plans.load_plan(plans.find("version-upgrade")), discover(make_repository(tmp_path)))
    ids = [step.id for step in plan.steps]
    assert (
        ids.index("common")
        < ids.index("mariadb")
        < ids.index("keystone")
        < ids.index("neutron")
        < ids.index("nova-control")
    )
    assert ["nova-compute-0", "nova-compute-1", "nova-finish"] == ids[ids.index("nova-control") + 1 :][:3]
    assert "mixed" == next(step for step in plan.steps if step.id == "nova-compute-0").migrate
    assert "10.2.0" in " ".join(plan.steps[0].command)
    text = "\n".join(plan_lines(plan))
    assert "may cost nova" in text
    assert "(source: default)" in text


def test_budgets(tmp_path):
    """A step's own budget comes before the plan's default; nothing else has one."""
    plan = read(
        tmp_path, PLAN.replace("    migrate: mixed\n", "    disturbs: {nova: {longest_s: 9}}\n    migrate: mixed\n")
    )
    assert 9 == plans.budget(plan, plan.steps[1], "nova").longest_s
    assert 1 == plans.budget(plan, plan.steps[0], "nova").longest_s
    assert plans.budget(plan, plan.steps[0], "glance") is None
