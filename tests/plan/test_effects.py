"""What a step may do: every kind of effect, and what follows from it for gates and judge."""

from __future__ import annotations

import pytest

from rehearsal.cloud import expected
from rehearsal.plan import Effects
from rehearsal.plan import StepSpec
from rehearsal.plan import effects as effects_of_steps
from rehearsal.plan.effects import HOSTS
from rehearsal.plan.effects import NAMED

GROUPS = {"manager": ["manager"], "compute": ["compute-0", "compute-1"], "control": ["control-0"]}


def step(name="one", **does):
    return StepSpec(id=name, title="A step", command=["true"], **does)


def effects(*steps):
    return Effects.of(steps, GROUPS)


def row(name, **values):
    return {"id": name, "name": name, **values}


def test_a_step_replaces_its_containers_where_it_says_and_nothing_else():
    may = effects(step(containers=["nova_api"], hosts=["control"]))
    assert may.replaces("nova_api", "control-0")
    assert may.retags("nova_api", "control-0")
    assert may.may_restart("nova_api", "control-0")
    assert not may.replaces("nova_api", "compute-0")
    assert not may.replaces("nova_scheduler", "control-0")
    assert may.replaces("nova_api")  # somewhere


def test_without_hosts_everywhere_and_without_retag_no_tag_is_demanded():
    may = effects(step(containers=["nova_compute"], retag=False))
    assert may.replaces("nova_compute", "anywhere")
    assert not may.retags("nova_compute", "anywhere")


def test_one_of_several_of_a_kind_stands_for_all():
    assert effects(step(containers=["ovn_sb_db_relay_1"])).replaces("ovn_sb_db_relay_2", "control-0")


@pytest.mark.parametrize("role", ["keystone", "nova"])
def test_a_role_is_every_container_of_it(role):
    may = effects(step(roles=[role]))
    assert expected.containers_of(role)
    assert all(may.replaces(container, "control-0") for container in expected.containers_of(role))
    assert not may.replaces("haproxy", "control-0")


def test_what_may_restart_need_not_and_keeps_its_image():
    may = effects(step(restarts=["rabbitmq"], hosts=["control"]))
    assert may.may_restart("rabbitmq", "control-0")
    assert not may.may_restart("rabbitmq", "compute-0")
    assert not may.replaces("rabbitmq", "control-0")


def test_a_host_that_reboots_is_silent_and_starts_all_its_containers_anew():
    may = effects(step(reboots=["compute"]))
    assert may.silences("compute-1")
    assert may.may_restart("nova_libvirt", "compute-1")
    assert not may.replaces("nova_libvirt", "compute-1")
    assert not may.silences("control-0")
    assert not may.may_restart("haproxy", "control-0")


def test_a_host_is_out_until_it_is_brought_in():
    out, back = step("out", takes_out=["compute-1"]), step("back", brings_in=["compute-1"])
    may = effects(step(), out, step("between"), back)
    assert frozenset() == may.out_before() == may.out_after("one") == may.out_after("back") == may.out_after()
    assert {"compute-1"} == may.out_after("out") == may.out_after("between")


def test_a_host_that_is_only_brought_in_was_out_before():
    may = effects(step("one"), step("two", brings_in=["compute-9"]))
    assert {"compute-9"} == may.out_before() == may.out_after("one")
    assert frozenset() == may.out_after("two")


LOST = [
    ("agents", row("OVN Controller agent on compute-1", alive=True)),
    ("services", row("nova-compute on compute-1.example.com", state="up", status="enabled")),
    ("hypervisors", row("compute-1", state="up", status="enabled")),
]


@pytest.mark.parametrize(("kind", "lost"), LOST)
def test_what_a_host_that_is_out_had_is_no_loss(kind, lost):
    may = effects(step(takes_out=["compute-1"]))
    assert may.explain(kind, lost, None)
    assert not effects(step()).explain(kind, lost, None)
    assert not effects(step(takes_out=["compute-0"])).explain(kind, lost, None)
    assert not effects(step(reboots=["compute-1"])).explain(kind, lost, None)  # it is back afterwards
    assert not may.explain("servers", row("web", host="compute-1"), None)  # a server is lost wherever it was


def test_a_service_that_is_down_or_switched_off_belongs_to_a_host_that_is_out():
    may = effects(step(takes_out=["compute-1"]))
    before = row("nova-compute on compute-1", state="up", status="enabled", zone="nova")
    assert may.explain("services", before, before | {"state": "down", "status": "disabled"})
    assert not may.explain("services", before, before | {"zone": "other"})
    assert not may.explain("services", row("nova-compute on compute-0", state="up"), row("x", state="down"))


def test_what_a_host_brings_in_is_new():
    may = effects(step(brings_in=["compute-9"]))
    assert may.explain("agents", None, row("OVN Controller agent on compute-9"))
    assert not may.explain("agents", None, row("OVN Controller agent on compute-8"))
    assert not may.explain("servers", None, row("web"))


def test_servers_move_away_from_where_the_step_says():
    may = effects(step(moves_servers=["compute-1"]))
    web = row("web", host="compute-1", status="ACTIVE")
    assert may.explain("servers", web, web | {"host": "compute-0"})
    assert not may.explain("servers", web, web | {"host": "compute-0", "status": "ERROR"})
    assert not may.explain("servers", web | {"host": "compute-0"}, web)


def test_services_are_touched_by_name_or_by_budget_and_the_manager_by_its_update():
    may = effects(step(services=["nova"], disturbs={"canaries": {"longest_s": 1}}), step("two", updates_manager=True))
    assert [True, True, False] == [may.concern(name) for name in ("nova", "canaries", "glance")]
    assert may.updates_manager("manager")
    assert not may.updates_manager("control-0")
    assert not effects(step()).updates_manager("manager")


def test_every_key_that_names_something_is_told_to_people():
    """`rehearse plan` shows each effect; a key that nobody is told of would be found here."""
    for key, of in NAMED.items():
        named = {"hosts": "compute-0", "containers": "nova_api", "roles": "nova"}[of.kind]
        told = step(**{key: [named], "containers": ["nova_api"]} if key == "hosts" else {key: [named]}).told()
        assert any(named in line for line in told), key
    assert {"hosts", "reboots", "moves_servers", "takes_out", "brings_in"} == set(HOSTS)


def test_what_a_command_pulls():
    pulled, limit = effects_of_steps.pulled_roles, effects_of_steps.limit
    assert ("glance", "nova") == pulled(["osism", "apply", "-a", "pull", "nova,glance"])
    assert () == pulled(["osism", "apply", "-a", "upgrade", "nova"]) == pulled(["sh", "-c", "osism apply -a pull nova"])
    assert "compute-0" == limit(["osism", "apply", "-a", "pull", "nova", "-l", "compute-0"])
