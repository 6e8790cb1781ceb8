"""Which containers a release expects where."""

from __future__ import annotations

import dataclasses

import pytest

from rehearsal import expected
from rehearsal.target import discover
from tests.target.repository import make_repository


def test_names_and_places(tmp_path):
    """On a small cloud every service's containers are expected where kolla puts them, with their own tags."""
    target = discover(make_repository(tmp_path))
    found = {(item.host, item.container): item.image for item in expected.expected_containers(target)}
    assert "registry.osism.tech/kolla/release/nova-compute:30.0.0.20250901" == found["compute-0", "nova_compute"]
    assert "registry.osism.tech/kolla/release/nova-libvirt:9.0.0.20250901" == found["compute-1", "nova_libvirt"]
    assert "registry.osism.tech/kolla/release/glance-api:2024.2" == found["control-0", "glance_api"]
    assert ("manager-0", "cron") in found
    assert ("manager-0", "nova_compute") not in found
    names = {container for _, container in found}
    assert not names & {
        "cinder_api",
        "horizon",
        "redis",
        "grafana",
        "proxysql",
        "fluentd",
        "nova_metadata",
        "octavia_api",
    }


def test_releases_differ(tmp_path):
    """nova_metadata and the OVN relay exist since 2025.1."""
    target = discover(make_repository(tmp_path))
    later = dataclasses.replace(target.release, openstack="2025.1")
    names = {item.container for item in expected.expected_containers(target, later)}
    assert {"nova_metadata", "ovn_sb_db_relay_1"} <= names


def test_configuration_decides(tmp_path):
    """What the configuration enables is expected, what it disables is not."""
    target = discover(make_repository(tmp_path))
    changed = dataclasses.replace(
        target, enabled={**target.enabled, "proxysql": True, "keepalived": False, "nova_ssh": False}
    )
    names = {item.container for item in expected.expected_containers(changed)}
    assert "proxysql" in names
    assert not names & {"keepalived", "nova_ssh"}


@pytest.mark.parametrize("release", ["2024.1", "2024.2", "2025.1", "2025.2"])
def test_ceilometer_on_computes_needs_no_health_check(tmp_path, release):
    """Kolla took the health check of ceilometer_compute away in the stable branches as well."""
    target = discover(make_repository(tmp_path))
    groups = {**target.groups, "ceilometer-compute": ("compute-0",)}
    changed = dataclasses.replace(
        target,
        enabled={**target.enabled, "ceilometer": True},
        groups=groups,
        hosts=tuple(
            dataclasses.replace(each, groups=(*each.groups, "ceilometer-compute")) if each.name == "compute-0" else each
            for each in target.hosts
        ),
    )
    later = dataclasses.replace(target.release, openstack=release)
    found = [each for each in expected.expected_containers(changed, later) if each.container == "ceilometer_compute"]
    assert [("compute-0", False)] == [(each.host, each.health) for each in found]


def test_leftovers_are_known():
    """Kolla's one-shot containers are told from services."""
    assert expected.is_leftover("nova_api_bootstrap")
    assert expected.is_leftover("bootstrap_keystone")
    assert expected.is_leftover("nova_cell_online_data_migrations")
    assert not any(expected.is_leftover(name) for name in expected.container_names())


def test_every_flag_of_the_table_is_known():
    """Every condition names a flag of the table or a release, so that no typing error switches a container off."""
    table = expected._table()
    flags = set(table["flags"])
    conditions = {word for row in expected._rows() for word in row.conditions} | {
        value for value in table["flags"].values() if isinstance(value, str)
    }
    named = {word.removeprefix("not ") for word in conditions if not word.startswith(("since ", "until "))}
    assert set() == named - flags
    assert set() == {role for role in expected.roles() if role not in flags}
