"""Plans: strictness with file, line and remedy; expansion for one cloud."""

from __future__ import annotations

import dataclasses
import json
import types

import pytest
import yaml
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal import plan as plans
from rehearsal.cli.inspect import plan_lines
from rehearsal.cloud import discover
from tests.made.repository import make_repository

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
        ("command: [echo, one]", 'command: [echo, "{hst}"]', 12, ["{hst} is not defined"]),
        ("command: [echo, one]", 'command: [echo, "{host}"]', 12, ["{host} is not defined"]),
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
        (
            "    title: First\n",
            "    title: First\n    restarts: [rabbitmp]\n",
            12,
            ["'rabbitmp' in restarts is unknown"],
        ),
        ("    title: First\n", "    title: First\n    roles: [novo]\n", 12, ["'novo' in roles is unknown"]),
        ("    title: First\n", "    title: First\n    reboots: compute\n", 12, ["steps[0].reboots"]),
        ("    title: First\n", '    title: First\n    takes_out: ["{host}"]\n', 12, ["{host} is not defined"]),
        (
            "    title: First\n",
            "    title: First\n    takes_out: [a]\n    brings_in: [a]\n",
            13,
            ["a would be out and in"],
        ),
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


@pytest.mark.parametrize(
    ("key", "names", "words"),
    [
        ("reboots", "[compute-9]", "reboots: 'compute-9' is neither a host nor a group"),
        ("hosts", "[computes]", "hosts: 'computes' is neither a host nor a group"),
        ("takes_out", "[compute]", "takes_out: 'compute' is a group. Name hosts, or use for_each and {host}."),
        ("brings_in", "[compute]", "brings_in: 'compute' is a group"),
        ("reboots", "[compute, compute-0]", ""),
        ("takes_out", "[compute-9]", ""),
        ("brings_in", "[compute-9]", ""),
        ("moves_servers", '["{host}"]', ""),
    ],
)
def test_hosts_that_a_step_acts_on_are_those_of_the_cloud(tmp_path, key, names, words):
    """Named with file and line before the run; a host that is out by now, or not in yet, is no mistake."""
    text = PLAN.replace("    containers: [nova_compute]\n", f"    {key}: {names}\n")
    plan, target = read(tmp_path, text), discover(make_repository(tmp_path))
    if not words:
        steps = plans.expand(plan, target, path=tmp_path / "plan.yml").steps
        assert ["compute-0"] == getattr(steps[1], key) or "{" not in names
        return
    with pytest.raises(plans.PlanError) as caught:
        plans.expand(plan, target, path=tmp_path / "plan.yml")
    (mistake,) = caught.value.mistakes
    assert (str(tmp_path / "plan.yml"), 17) == (mistake.file, mistake.line)
    assert words in str(mistake)
    plans.expand(plan, target)  # after the first step the cloud may be another one


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
    assert "budget nova" in text
    assert "(source: default)" in text


def test_budgets(tmp_path):
    """A step's own budget comes before the plan's default; nothing else has one."""
    plan = read(
        tmp_path, PLAN.replace("    migrate: mixed\n", "    disturbs: {nova: {longest_s: 9}}\n    migrate: mixed\n")
    )
    assert 9 == plan.budget_of("two", "nova").longest_s
    assert 1 == plan.budget_of("one", "nova").longest_s
    assert plan.budget_of("one", "glance") is None


# --- plans that were recorded


def test_a_recorded_plan_is_read_as_it_was_followed(tmp_path):
    plan = read(tmp_path, PLAN)
    assert plan == plans.recorded(plan.model_dump(mode="json"))


@given(
    st.dictionaries(st.sampled_from([*plans.PlanSpec.model_fields, "later"]), st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from([*plans.StepSpec.model_fields, "longest_s", "nova", "later"]), inner),
        max_leaves=8,
    ))
)  # fmt: skip
def test_any_recorded_plan_can_be_read(data):
    """Whatever version wrote it: what is not known is left out, and what is there has its type."""
    plan = plans.recorded(data)
    assert all(isinstance(step, plans.StepSpec) and isinstance(step.id, str) for step in plan.steps)
    assert all(budget.longest_s >= 0 for budget in (*plan.defaults.values(), plan.migration))
    assert plan == plans.recorded(plan.model_dump(mode="json"))


def test_what_another_version_wrote_is_kept_as_far_as_it_is_known():
    """A newer one's keys, an older one's lack of some, a step that nobody would accept today."""
    plan = plans.recorded(
        {
            "name": "old",
            "services": ["nova"],
            "defaults": {"nova": {"longest_s": 3, "later": 1}, "glance": {"total_s": 1}},
            "steps": [
                {"id": "one", "containers": ["nova_api"], "disturbs": {"nova": {"longest_s": 9, "count": -1}}},
                7,
            ],
            "later": {},
        }
    )
    assert ["one"] == [step.id for step in plan.steps]
    assert ["nova_api"] == plan.steps[0].containers
    assert ["inflight"] == plan.steps[0].gates
    assert [9.0, None] == [plan.budget_of("one", "nova").longest_s, plan.budget_of("one", "nova").count]
    assert 3.0 == plan.budget_of("", "nova").longest_s
    assert plan.budget_of("one", "glance") is None
    assert (5.0, "default") == (plan.migration.longest_s, plan.migration.source)
    assert [] == plans.recorded({}).steps


# --- what could not be reported ------------------------------------------------------------------------------------------

NOT_LENGTHS = st.one_of(
    st.sampled_from(
        [".inf", "-.inf", ".nan", "-1", "-0.001", "1e-12", "1.0e+400", "0x" + "f" * 5000, "9" * 400, "1.e+18", "true"]
    ),
    st.floats(min_value=4e7, allow_infinity=False).map(lambda value: f"{value:.1f}"),
    st.floats(max_value=0, exclude_max=True, allow_infinity=False)
    .map(lambda value: f"{value:.6f}")
    .filter(lambda text: float(text) < 0),
)
LENGTHS = ["longest_s", "total_s", "slow_longest_s", "slow_total_s", "resolution_s"]


@given(st.sampled_from(LENGTHS), NOT_LENGTHS)
@settings(max_examples=150, deadline=None)
def test_a_budget_that_cannot_be_told_is_refused(tmp_path_factory, key, value):
    """No infinity, no NaN, nothing negative, nothing longer than a year: with line and remedy."""
    budget = f"{{longest_s: {value}}}" if key == "longest_s" else f"{{longest_s: 1, {key}: {value}}}"
    found = mistakes(tmp_path_factory.mktemp("plan"), PLAN.replace("  nova: {longest_s: 1}", f"  nova: {budget}"))
    assert [7] == [mistake.line for mistake in found]
    assert found[0].sentence.startswith(f"defaults.nova.{key}: ")
    assert found[0].remedy.startswith("It is ")
    assert len(str(found[0])) < 400


@given(
    st.sampled_from(
        [
            "baseline_s",
            "settle_s",
            "blind_share",
            "focus_most",
            "migration: {longest_s",
            "guests: {pause_s",
            "rates: {icmp",
        ]
    ),
    st.sampled_from([".inf", ".nan", "-1", "-.inf", "9" * 400, "0x" + "f" * 5000, "1.0e+308"]),
)
@settings(deadline=None)
def test_no_other_number_of_a_plan_is_beyond_telling(tmp_path_factory, key, value):
    line = f"{key}: {value}" + ("}" if "{" in key else "")
    found = mistakes(tmp_path_factory.mktemp("plan"), PLAN.replace("title: Small\n", f"title: Small\n{line}\n"))
    assert {3} == {mistake.line for mistake in found}


@given(
    st.one_of(
        st.text("abc-09", min_size=121, max_size=400).map("a".__add__),
        st.just(""),
        st.sampled_from(["before", "after", "a_b", "a.b", "A", "../a", "a/b", "-a"]),
    )
)
@settings(deadline=None)
def test_an_id_that_no_file_or_report_could_bear_is_refused(tmp_path_factory, name):
    """Too long, empty, with parts of a path, or what the report calls something else."""
    found = mistakes(tmp_path_factory.mktemp("plan"), PLAN.replace("id: one", f"id: {json.dumps(name)}"))
    assert [10] == [mistake.line for mistake in found]
    assert found[0].remedy


@pytest.mark.parametrize("occasion", ["before", "after"])
def test_an_occasion_that_every_run_has_is_refused(tmp_path, occasion):
    """Its migrations would be taken for those before, or after, all steps."""
    found = mistakes(tmp_path, PLAN.replace("migrate: mixed", f"migrate: {occasion}"))
    assert [18] == [mistake.line for mistake in found]


@given(
    st.text("abz09", min_size=1, max_size=4),
    st.text("_.", min_size=1, max_size=2),
    st.text("_.", min_size=1, max_size=2),
    st.booleans(),
)
@settings(deadline=None)
def test_hosts_whose_names_differ_only_by_what_an_id_loses(tmp_path_factory, stem, one, other, shout):
    """The ids of their steps would be the same: one step's files, gates and losses would be taken for the other's."""
    tmp_path = tmp_path_factory.mktemp("plan")
    names = [f"{stem}{one}x", f"{stem}{other}x".upper() if shout else f"{stem}{other}x"]
    spec = read(tmp_path, PLAN)
    hosts = [types.SimpleNamespace(name=name, address="192.0.2.1", user="", detour=()) for name in names]
    fake = types.SimpleNamespace(
        in_group=lambda _: hosts, release=types.SimpleNamespace(openstack="2024.2"), configuration="/c", namespace_file="/n",
        hosts=hosts, groups={},
        operator_user="dragon", operator_key="/k",
    )  # fmt: skip
    with pytest.raises(plans.PlanError) as caught:
        plans.expand(spec, fake, path=tmp_path / "plan.yml")
    assert [(str(tmp_path / "plan.yml"), 13)] == [(each.file, each.line) for each in caught.value.mistakes]
    assert names[0] in str(caught.value)
    assert "for_each" in caught.value.mistakes[0].remedy


def test_a_host_whose_name_makes_a_step_of_the_plan(tmp_path):
    """`two` for each of compute1 and a step `two-compute1` would be one."""
    target = discover(make_repository(tmp_path))
    hosts = [host.name for host in target.in_group("compute")]
    spec = read(tmp_path, PLAN.replace("id: one", f"id: two-{hosts[0]}"))
    with pytest.raises(plans.PlanError, match=f"Two steps would have the id 'two-{hosts[0]}'"):
        plans.expand(spec, target)


def test_services_that_cannot_be_told_apart(tmp_path):
    for names, words in (
        ("[nova, Nova]", "told apart"),
        ("[nova, nova]", "told apart"),
        ("[nova, canaries]", "is reserved for"),
        ('[nova, "a/b"]', "no name"),
    ):
        told = "\n".join(
            str(each) for each in mistakes(tmp_path, PLAN.replace("services: [nova]", f"services: {names}"))
        )
        assert ":5: services" in told
        assert words in told


@given(
    st.sampled_from(["title: First", "command: [echo, one]"]),
    st.sampled_from(["\\ud800", "\\0", "\\x1b", "\\udfff", "\\x07"]),
)
@settings(deadline=None)
def test_a_text_that_cannot_be_written_is_refused(tmp_path_factory, where, character):
    key, _, _ = where.partition(":")
    text = f'"a{character}b"' if key == "title" else f'[echo, "a{character}b"]'
    found = mistakes(tmp_path_factory.mktemp("plan"), PLAN.replace(where, f"{key}: {text}"))
    assert [11 if key == "title" else 12] == [mistake.line for mistake in found]
    assert "cannot be written" in found[0].sentence


def test_aliases_that_make_a_plan_endless(tmp_path):
    """Told at once instead of filling the memory."""
    bomb = "\n".join(f"  - &a{number} [{', '.join([f'*a{number - 1}'] * 9)}]" for number in range(1, 12))
    (told,) = mistakes(tmp_path, f"x:\n  - &a0 [1]\n{bomb}\n")
    assert "aliases counted" in told.sentence


def test_what_is_filled_in_is_checked_as_well(tmp_path):
    """The run's own copy of the plan must be readable when it is resumed."""
    text = PLAN.replace("title: First", "title: '{long}'").replace(
        "services: [nova]", "services: [nova]\nvariables: {long: x}"
    )
    target = discover(make_repository(tmp_path))
    spec = read(tmp_path, text)
    with pytest.raises(plans.PlanError, match=r"plan.yml:11: Step one: title, filled in: .*300"):
        plans.expand(spec, target, {"long": "x" * 301}, path=tmp_path / "plan.yml")
    with pytest.raises(plans.PlanError, match="cannot be written"):
        plans.expand(spec, target, {"long": "\ud800"}, path=tmp_path / "plan.yml")
