"""Plays do what kolla-ansible does, in its order, and stop where it stops."""

from __future__ import annotations

import contextlib

import pytest

from lab import releases
from lab.plays import kolla_ansible
from lab.plays.play import FAILED
from lab.plays.play import OK
from lab.plays.play import UNREACHABLE
from lab.plays.play import PlayEnded
from tests.of_lab.recorded_nodes import MEASURED
from tests.of_lab.recorded_nodes import RecordedNodes
from tests.of_lab.recorded_nodes import site

CONTROL, COMPUTE_0, COMPUTE_1 = "lab-control-0", "lab-compute-0", "lab-compute-1"
NEW = "1.2.3.20260814"


def play(root, role, action="upgrade", limit="", **more):
    """Apply a role on recorded nodes; returns exit code, log of deeds, and what was printed."""
    made, nodes, said = site(root, role, action, limit, **more)
    with contextlib.suppress(PlayEnded):
        kolla_ansible.role_function(role, action)(made)
    return made.play.recap(), nodes.log, said


def deeds(log, *kinds):
    """Deeds without their host, reduced to some kinds."""
    return [line.split(" ", 1)[1] for line in log if line.split(" ")[1] in kinds]


def test_keystone_expands_before_and_contracts_after_its_containers(tmp_path):
    """Keystone: expand, migrate, ssh, fernet, keystone, contract; triggers are allowed meanwhile and not longer."""
    code, log, _ = play(tmp_path, "keystone")
    assert OK == code
    assert [
        "exec mariadb mariadb --user root --socket /run/mysqld/mysqld.sock --execute 'SET GLOBAL log_bin_trust_function_creators = 1'",
        "task keystone-manage db_sync --expand",
        "task keystone-manage db_sync --migrate",
        f"recreate keystone_ssh {NEW}",
        f"recreate keystone_fernet {NEW}",
        f"recreate keystone {NEW}",
        "task keystone-manage db_sync --contract",
        "exec mariadb mariadb --user root --socket /run/mysqld/mysqld.sock --execute 'SET GLOBAL log_bin_trust_function_creators = 0'",
    ] == deeds(log, "exec", "task", "recreate")


def test_a_failed_migration_replaces_nothing(tmp_path):
    """When the database command fails, no container is replaced and the exit code is 2."""
    nodes = RecordedNodes(answers={"db_sync --migrate": (1, "OperationalError: no")})
    code, log, said = play(tmp_path, "keystone", nodes=nodes)
    assert FAILED == code
    assert [] == deeds(log, "recreate")
    assert any("OperationalError: no" in line for line in said)


def test_placement_migrates_data_after_the_container(tmp_path):
    """Placement: schema, container, online data migrations."""
    _, log, _ = play(tmp_path, "placement")
    assert [
        "task placement-manage db sync",
        f"recreate placement_api {NEW}",
        "task placement-manage db online_data_migrations",
    ] == deeds(log, "task", "recreate")


def test_glance_syncs_in_one_go_by_default(tmp_path):
    """Glance without rolling upgrade: sync and metadefs beside the running service, then the container."""
    _, log, _ = play(tmp_path, "glance")
    assert [
        "task glance-manage db sync",
        "task glance-manage db load_metadefs",
        f"recreate glance_api {NEW}",
    ] == deeds(log, "task", "recreate", "stop")


def test_glance_rolls_when_it_is_told_to(tmp_path):
    """Glance with rolling upgrade: stopped for expand and migrate, contract after the new container."""
    _, log, _ = play(tmp_path, "glance", extra={"glance_enable_rolling_upgrade": "yes"})
    assert [
        "stop glance_api",
        "task glance-manage db expand",
        "task glance-manage db migrate",
        f"recreate glance_api {NEW}",
        "task glance-manage db contract",
    ] == deeds(log, "task", "recreate", "stop")


@pytest.mark.parametrize("pending", [False, True])
def test_neutron_stops_for_contract_only_when_there_is_something_to_contract(tmp_path, pending):
    """Neutron: expand, containers, contract; the servers are stopped when offline migrations are pending."""
    nodes = RecordedNodes(answers={"has_offline_migrations": (int(pending), "")})
    code, log, _ = play(tmp_path, "neutron", nodes=nodes)
    assert OK == code
    contract = ["task neutron-db-manage --subproject neutron upgrade --contract"]
    if pending:
        contract = ["stop neutron_server", *contract, f"recreate neutron_server {NEW}"]
    assert [
        "task neutron-db-manage --subproject neutron upgrade --expand",
        f"recreate neutron_server {NEW}",
        f"recreate neutron_ovn_metadata_agent {NEW}",
        f"recreate neutron_ovn_metadata_agent {NEW}",
        *contract,
    ] == deeds(log, "task", "recreate", "stop")


def test_nova_goes_through_all_its_plays(tmp_path):
    """Nova: databases, check, global services, cells and computes, restarts that release the pins, online migrations."""
    code, log, _ = play(tmp_path, "nova")
    assert OK == code
    assert [
        f"{CONTROL} task nova-manage api_db sync",
        f"{CONTROL} task nova-manage db sync",
        f"{CONTROL} task nova-status upgrade check",
        f"{CONTROL} recreate nova_scheduler {NEW}",
        f"{CONTROL} recreate nova_api {NEW}",
        f"{CONTROL} recreate nova_metadata {NEW}",
        f"{CONTROL} recreate nova_conductor {NEW}",
        f"{CONTROL} recreate nova_novncproxy {NEW}",
        *(
            f"{host} recreate {name} {NEW}"
            for name in ("nova_ssh", "nova_libvirt", "nova_compute")
            for host in (COMPUTE_0, COMPUTE_1)
        ),
        f"{CONTROL} restart nova_conductor",
        f"{COMPUTE_0} restart nova_compute",
        f"{COMPUTE_1} restart nova_compute",
        f"{CONTROL} restart nova_novncproxy",
        f"{CONTROL} restart nova_scheduler",
        f"{CONTROL} restart nova_api",
        f"{CONTROL} task nova-manage db online_data_migrations",
        f"{CONTROL} task nova-manage db online_data_migrations",
    ] == [line for line in log if line.split(" ")[1] in {"task", "recreate", "restart"}]


def test_nova_on_one_host_touches_that_host_only(tmp_path):
    """``-l lab-compute-0`` replaces and restarts that host's containers and runs no database command."""
    code, log, said = play(tmp_path, "nova", limit=COMPUTE_0)
    assert OK == code
    assert {COMPUTE_0} == {line.split(" ")[0] for line in log}
    assert [
        f"recreate nova_ssh {NEW}",
        f"recreate nova_libvirt {NEW}",
        f"recreate nova_compute {NEW}",
        "restart nova_compute",
    ] == deeds(log, "task", "recreate", "restart")
    assert "skipping: no hosts matched" in said


@pytest.mark.parametrize(("status", "code"), [(0, OK), (1, OK), (2, FAILED), (255, FAILED)])
def test_nova_status_may_warn_but_not_fail(tmp_path, status, code):
    """``nova-status upgrade check`` may answer 0 or 1; anything else ends the play before a container is touched."""
    nodes = RecordedNodes(answers={"nova-status": (status, "")})
    result, log, _ = play(tmp_path, "nova", nodes=nodes)
    assert code == result
    assert bool(deeds(log, "recreate")) == (code == OK)


def test_a_lost_compute_does_not_stop_the_others(tmp_path):
    """A compute that cannot be reached is left out; the rest is upgraded and the exit code is 4."""
    code, log, said = play(tmp_path, "nova", nodes=RecordedNodes(unreachable={COMPUTE_1}))
    assert UNREACHABLE == code
    assert f"{COMPUTE_0} recreate nova_compute {NEW}" in log
    assert f"{CONTROL} task nova-manage db online_data_migrations" in log
    assert any(line.startswith(f"fatal: [{COMPUTE_1}]: UNREACHABLE!") for line in said)


def test_rabbitmq_is_stopped_in_good_order(tmp_path):
    """RabbitMQ: feature flags, stop_app, container, wait; and no minor release is skipped."""
    _, log, _ = play(tmp_path, "rabbitmq")
    assert [
        "exec rabbitmq rabbitmqctl version",
        "exec rabbitmq rabbitmqctl enable_feature_flag all",
        "exec rabbitmq rabbitmqctl stop_app",
        "recreate rabbitmq 3.10.8.20260814",
        "exec rabbitmq rabbitmqctl await_startup --timeout 60",
    ] == deeds(log, "exec", "recreate")


def test_rabbitmq_refuses_to_skip_a_release(tmp_path):
    """A broker two minor releases behind is left alone, with the release that must come first in the message."""
    nodes = RecordedNodes(answers={"rabbitmqctl version": (0, "3.8.9\n")})
    code, log, said = play(tmp_path, "rabbitmq", nodes=nodes)
    assert FAILED == code
    assert [] == deeds(log, "recreate")
    assert any("first upgrade to 3.9" in line for line in said)


def test_the_switch_waits_for_its_database(tmp_path):
    """Open vSwitch: the database's container, its answer, the switch's container, host by host at the same time."""
    _, log, _ = play(tmp_path, "openvswitch", limit=COMPUTE_0)
    assert [
        f"recreate openvswitch_db {NEW}",
        "exec openvswitch_db ovs-vsctl --no-wait show",
        f"recreate openvswitch_vswitchd {NEW}",
    ] == deeds(log, "exec", "recreate")


def test_ovn_controllers_come_before_the_databases(tmp_path):
    """OVN: every controller first, then northbound, southbound, northd."""
    _, log, _ = play(tmp_path, "ovn")
    assert ["ovn_controller", "ovn_controller", "ovn_nb_db", "ovn_sb_db", "ovn_northd"] == [
        line.split(" ")[1] for line in deeds(log, "recreate")
    ]


def test_nothing_is_replaced_twice(tmp_path):
    """A second upgrade finds every container as it should be and replaces none."""
    made, nodes, _ = site(tmp_path, "placement")
    kolla_ansible.role_function("placement", "upgrade")(made)
    nodes.log.clear()
    again, _, _ = site(tmp_path / "again", "placement", nodes=nodes)
    kolla_ansible.role_function("placement", "upgrade")(again)
    assert [] == deeds(nodes.log, "recreate", "restart")


def test_a_stopped_container_is_started_again(tmp_path):
    """A container that is stopped is replaced although its image is right."""
    made, nodes, _ = site(tmp_path, "memcached")
    nodes.containers[(CONTROL, "memcached")] = releases.reference(releases.TARGET, "memcached", MEASURED)
    nodes.images[CONTROL].add(releases.reference(releases.TARGET, "memcached", MEASURED))
    nodes.stopped.add((CONTROL, "memcached"))
    kolla_ansible.role_function("memcached", "deploy")(made)
    assert [f"recreate memcached {NEW}"] == deeds(nodes.log, "recreate")


def test_pull_fetches_and_restarts_nothing(tmp_path):
    """``-a pull`` loads each image of the role on each of its hosts and touches no container."""
    code, log, _ = play(tmp_path, "nova", "pull")
    assert OK == code
    assert {"pull"} == {line.split(" ")[1] for line in log}
    assert 1 == sum("nova-api" in line for line in log)
    assert 2 == sum("nova-compute" in line for line in log)


def test_a_missing_image_fails_like_a_pull(tmp_path):
    """An image that the registry lacks fails with "manifest unknown" and exit code 2, and nothing is replaced."""
    made, nodes, said = site(tmp_path, "memcached")
    for path in made.state.registry.rglob("memcached/*.tar"):
        path.unlink()
    kolla = kolla_ansible.role_function("memcached", "upgrade")
    with pytest.raises(PlayEnded):
        kolla(made)
    assert FAILED == made.play.recap()
    assert any("manifest unknown" in line for line in said)
    assert [] == deeds(nodes.log, "recreate")


@pytest.mark.parametrize(("role", "action"), [("cinder", "upgrade"), ("nova", "dance")])
def test_what_is_not_known_is_not_done(role, action):
    """A role or action that the container does not have has no function."""
    assert kolla_ansible.role_function(role, action) is None


@pytest.mark.parametrize("name", ["environments/.lock", "environments/kolla/.lock"])
def test_a_locked_repository_forbids_plays(tmp_path, name):
    """Either lock file forbids plays, with a sentence that says so."""
    assert kolla_ansible.locked(tmp_path) is None
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    assert "locked" in kolla_ansible.locked(tmp_path)
