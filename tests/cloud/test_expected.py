"""Which containers a release expects where."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal.cloud import discover
from rehearsal.cloud import expected
from rehearsal.cloud.target import Host
from rehearsal.cloud.target import Release
from rehearsal.cloud.target import Target
from tests.made.repository import make_repository


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


def test_every_rule_of_the_table_can_be_worked_out():
    """Every rule names a variable that the table has, so that no typing error switches a container off."""
    table = expected._table()
    assert {"cinder_enabled_backends"} == expected._without_default()
    assert set(table["features"]).isdisjoint(name.removeprefix("enable_") for name in table["variables"])
    for release in RELEASES:
        rules = expected.Rules(cloud(), release)
        assert [] == [name for name in table["variables"] if rules.value(name) is None]


# --- kolla's rules, role by role -------------------------------------------------------------------------------------

RELEASES = ("2024.1", "2024.2", "2025.1", "2025.2", "2026.1")
GROUPS = sorted({group for row in expected._rows() for group in (*row.groups, row.within) if group})


def cloud(enabled=(), settings=(), computes=1, release="2025.1"):
    """One host that is in every group, and computes that are in ovn-controller as well."""
    names = [f"compute-{at}" for at in range(computes - 1)]
    hosts = [Host("node", "192.0.2.1", tuple(GROUPS))]
    hosts += [Host(name, f"192.0.2.{at}", ("ovn-controller",)) for at, name in enumerate(names, 2)]
    groups = dict.fromkeys(GROUPS, ("node",)) | {"ovn-controller": ("node", *names)}
    claimed = Release(release, "10.2.0", "registry.osism.tech", f"kolla/release/{release}")
    return Target(
        "", "", "", "", "", "", "", tuple(hosts), groups, (), (), claimed, dict(enabled), dict(settings)
    )  # fmt: skip


def on_node(target, *, doubtful=False):
    return {
        each.container
        for each in expected.expected_containers(target)
        if each.host == "node" and bool(each.doubt) == doubtful
    }


def ml2(flags, *others):
    return flags["plugin"] not in {"ovn", *others}


KOLLA = {
    # role nova-cell and nova
    "nova_novncproxy": lambda v, _: v["nova"] and v["console"] == "novnc",
    "nova_spicehtml5proxy": lambda v, _: v["nova"] and v["console"] == "spice",
    "nova_serialproxy": lambda v, _: v["nova"] and v["nova_serialconsole_proxy"],
    "nova_libvirt": lambda v, _: v["nova"] and v["virt"] in {"kvm", "qemu"},
    "nova_metadata": lambda v, r: v["nova"] and r >= "2025.1",
    "nova_super_conductor": lambda v, _: v["nova"] and v["cells"],
    "nova_compute": lambda v, _: v["nova"] and not v["nova_fake"],
    # role neutron
    "neutron_openvswitch_agent": lambda v, _: v["neutron"] and v["plugin"] == "openvswitch",
    "neutron_linuxbridge_agent": lambda v, r: v["neutron"] and v["plugin"] == "linuxbridge" and r < "2025.1",
    "neutron_dhcp_agent": lambda v, _: v["neutron"] and ml2(v),
    "neutron_l3_agent": lambda v, _: v["neutron"] and ml2(v),
    "neutron_metadata_agent": lambda v, _: v["neutron"] and ml2(v),
    "neutron_ovn_metadata_agent": lambda v, _: v["neutron"] and v["plugin"] == "ovn",
    "neutron_ovn_maintenance_worker": lambda v, r: v["neutron"] and v["plugin"] == "ovn" and r >= "2025.2",
    "neutron_rpc_server": lambda v, r: v["neutron"] and r >= "2025.2",
    "neutron_sriov_agent": lambda v, _: v["neutron"] and v["neutron_sriov"],
    "neutron_tls_proxy": lambda v, r: v["neutron"] and v["tls"] and r < "2025.2",
    "neutron_ovn_vpn_agent": lambda v, r: (
        v["neutron"] and v["neutron_vpnaas"] and v["plugin"] == "ovn" and r >= "2026.1"
    ),
    "neutron_bgp_dragent": lambda v, _: v["neutron"] and v["neutron_bgp_dragent"],
    # roles ovn-controller, ovn-db, openvswitch, octavia
    "ovn_controller": lambda v, _: v["neutron"] and v["plugin"] == "ovn",
    "ovn_northd": lambda v, _: v["neutron"] and v["plugin"] == "ovn",
    "ovn_sb_db_relay_1": lambda v, r: v["neutron"] and v["plugin"] == "ovn" and r >= "2025.1",
    "openvswitch_db": lambda v, r: v["neutron"] and (r >= "2025.1" or v["plugin"] != "linuxbridge"),
    "octavia_driver_agent": lambda v, _: v["octavia"] and v["plugin"] == "ovn",
    # roles glance, placement, cinder, iscsi, multipathd, designate
    "glance_tls_proxy": lambda v, r: v["tls"] and r < "2026.1",
    "placement_api": lambda v, _: v["nova"] or v["zun"],
    "cinder_api": lambda v, _: v["cinder"],
    "iscsid": lambda v, _: v["cinder"] and v["cinder_backend_lvm"],
    "tgtd": lambda v, _: v["cinder"] and v["cinder_backend_lvm"],
    "multipathd": lambda v, _: v["multipathd"],
    "designate_sink": lambda v, _: v["designate"] and v["sink"],
    "designate_backend_bind9": lambda v, _: v["designate"] and v["backend"] == "bind9",
    # roles masakari, hacluster, watcher, etcd, letsencrypt, loadbalancer
    "masakari_api": lambda v, _: v["masakari"],
    "masakari_hostmonitor": lambda v, _: v["masakari"],
    "hacluster_corosync": lambda v, _: v["masakari"],
    "hacluster_pacemaker_remote": lambda v, _: v["masakari"],
    "watcher_api": lambda v, _: v["watcher"],
    "etcd": lambda v, _: v["etcd"],
    "letsencrypt_lego": lambda v, _: v["letsencrypt"],
    "haproxy_ssh": lambda v, _: v["letsencrypt"],
    "proxysql": lambda v, _: v["proxysql"],
    # roles mariadb, redis, valkey, common, fluentd
    "mariadb_clustercheck": lambda v, r: r == "2024.1" or (r < "2025.2" and not v["proxysql"]),
    "redis": lambda _, r: r < "2025.2",
    "valkey_server": lambda _, r: r >= "2025.2",
    "cron": lambda *_: True,
    "kolla_toolbox": lambda *_: True,
    "fluentd": lambda v, _: v["fluentd"],
    # role ironic
    "ironic_api": lambda v, _: v["ironic"],
    "ironic_inspector": lambda v, r: v["ironic"] and r < "2025.2" and (r < "2025.1" or v["ironic_inspector"]),
    "ironic_dnsmasq": lambda v, _: v["ironic"] and v["ironic_dnsmasq"],
    "ironic_pxe_filter": lambda v, r: v["ironic"] and v["ironic_pxe_filter"] and r >= "2025.2",
    "nova_compute_ironic": lambda v, _: v["nova"] and v["ironic"],
}
SWITCHES = (
    "nova", "neutron", "cinder", "octavia", "zun", "cells", "nova_fake", "nova_serialconsole_proxy", "neutron_sriov",
    "neutron_vpnaas", "neutron_bgp_dragent", "cinder_backend_lvm", "multipathd", "designate", "masakari", "watcher",
    "etcd", "letsencrypt", "proxysql", "fluentd", "ironic", "ironic_inspector", "ironic_dnsmasq", "ironic_pxe_filter",
)  # fmt: skip
SETTINGS = {
    "plugin": ("neutron_plugin_agent", ["ovn", "openvswitch", "linuxbridge"]),
    "console": ("nova_console", ["novnc", "spice", "none"]),
    "virt": ("nova_compute_virt_type", ["kvm", "qemu", "vmware"]),
    "backend": ("designate_backend", ["bind9", "no", "infoblox"]),
    "tls": ("kolla_enable_tls_backend", [True, False]),
    "sink": ("designate_enable_notifications_sink", [True, False]),
}
SPELLINGS = {True: ["yes", "true", True, 1, "True", "on"], False: ["no", "false", False, 0, "False", "off"]}


@given(data=st.data(), release=st.sampled_from(RELEASES))
@settings(max_examples=200)
def test_containers_are_those_of_kollas_rules(data, release):
    """Whatever is switched on, in whichever spelling: a container is expected exactly when its role in kolla runs it."""
    enabled = {name: data.draw(st.booleans(), name) for name in SWITCHES}
    chosen = {short: data.draw(st.sampled_from(values), short) for short, (_, values) in SETTINGS.items()}
    written = {
        SETTINGS[short][0]: data.draw(st.sampled_from(SPELLINGS[value])) if isinstance(value, bool) else value
        for short, value in chosen.items()
    }
    target = cloud(enabled, written, release=release)
    values = enabled | chosen
    if release < "2026.1" or not enabled["cinder_backend_lvm"]:
        assert not [each for each in expected.expected_containers(target) if each.doubt]
    found = on_node(target)
    assert {name for name, rule in KOLLA.items() if rule(values, release)} == found & set(KOLLA)


@given(unknown=st.sampled_from(sorted(expected._table()["variables"])), release=st.sampled_from(RELEASES))
def test_a_value_that_cannot_be_worked_out_is_never_a_default(unknown, release):
    """A container is expected without a doubt only if it would be whatever the unknown variable is."""
    known = expected.Rules(cloud(), release).value(unknown)
    others = [not known] if isinstance(known, bool) else ["openvswitch", "spice", "haproxy", "infoblox", "5000"]
    sure = on_node(cloud(settings={unknown: None}, release=release))
    maybe = on_node(cloud(settings={unknown: None}, release=release), doubtful=True)
    for value in (known, *others):
        found = on_node(cloud(settings={unknown: value}, release=release))
        assert sure <= found
        if unknown not in {"ovn_sb_db_relay_count", "ovn_sb_db_relay_compute_per_relay"}:
            assert found <= sure | maybe
    told = "\n".join(expected.doubts(cloud(settings={unknown: None}, release=release)))
    assert (unknown in told) or not maybe
    for name in maybe:
        assert name in told


@pytest.mark.parametrize(("computes", "relays"), [(1, 1), (49, 1), (50, 1), (51, 2), (100, 2), (101, 3), (501, 11)])
def test_one_relay_for_each_fifty_hosts(computes, relays):
    """Kolla runs one relay of the southbound database for each fifty hosts with ovn-controller; they are one kind."""
    target = cloud(computes=computes)
    wanted = {f"ovn_sb_db_relay_{at}" for at in range(1, relays + 1)}
    assert wanted == {name for name in on_node(target) if "relay" in name}
    own = [each for each in expected.expected_containers(target) if expected.stem(each.container) == "ovn_sb_db_relay"]
    assert wanted == {each.container for each in own}
    assert {"ovn_sb_db_relay"} == {expected.stem(name) for name in wanted}
    assert "nova_compute_2" == expected.stem("nova_compute_2")
    assert "ovn_sb_db_relay_1" not in on_node(cloud(computes=computes, release="2024.2"))


@pytest.mark.parametrize("value", ["no", "false", False, "{unknown}"])
def test_without_health_checks_none_is_expected(value):
    """`enable_container_healthchecks: "no"`: no container has one; a single container's switch counts for it alone."""
    off = cloud(enabled={"container_healthchecks": False}) if value != "{unknown}" else cloud(
        settings={"enable_container_healthchecks": None}
    )  # fmt: skip
    assert not any(each.health for each in expected.expected_containers(off))
    assert ("enable_container_healthchecks" in "".join(expected.doubts(off))) == (value == "{unknown}")
    one = cloud(settings={"nova_ssh_enable_healthchecks": "no"})
    has = {each.container: each.health for each in expected.expected_containers(one)}
    assert (False, True) == (has["nova_ssh"], has["nova_api"])


def test_an_enabled_service_without_a_row_is_told():
    """What is switched on and not known is told by its name; what is off, or only a feature, is not."""
    target = cloud(
        enabled={"swift": True, "freezer": False, "neutron_qos": True, "ceph_rgw": True, "horizon_heat": True}
    )
    assert ("swift",) == expected.unknown_services(target)
    assert ["enable_swift is on"] == [each.partition(",")[0] for each in expected.doubts(target)]
    assert "swift" == expected.service_of("swift_proxy_server", ("swift",))
    assert "" == expected.service_of("swiftly", ("swift",))


CONFIGURATIONS = {
    "neutron_plugin_agent: openvswitch\n": (
        {"neutron_openvswitch_agent", "neutron_l3_agent", "neutron_dhcp_agent", "neutron_metadata_agent"},
        {"ovn_controller", "ovn_northd", "ovn_nb_db", "ovn_sb_db", "neutron_ovn_metadata_agent"},
    ),
    'kolla_enable_tls_backend: "yes"\n': ({"glance_tls_proxy", "neutron_tls_proxy"}, set()),
    'enable_masakari: "yes"\nenable_etcd: "yes"\nenable_multipathd: "yes"\nenable_watcher: "yes"\n': (
        {"masakari_api", "masakari_engine", "masakari_hostmonitor", "masakari_instancemonitor", "hacluster_corosync",
         "hacluster_pacemaker", "hacluster_pacemaker_remote", "etcd", "multipathd", "watcher_api"},
        set(),
    ),
    "nova_console: spice\n": ({"nova_spicehtml5proxy"}, {"nova_novncproxy"}),
    "nova_console: none\n": (set(), {"nova_spicehtml5proxy", "nova_novncproxy"}),
    "keystone_tag: x\n": ({"mariadb_clustercheck"}, {"proxysql"}),
    'enable_proxysql: "true"\n': ({"proxysql"}, {"mariadb_clustercheck"}),
}  # fmt: skip


@pytest.mark.parametrize("lines", CONFIGURATIONS)
def test_the_configuration_reaches_the_expectation(tmp_path, lines):
    """What the repository sets decides, whether it is a switch or another variable of kolla's."""
    options = make_repository(tmp_path)
    path = options.configuration / "environments" / "kolla" / "configuration.yml"
    path.write_text(path.read_text() + lines)
    names = {each.container for each in expected.expected_containers(discover(options))}
    wanted, unwanted = CONFIGURATIONS[lines]
    assert wanted <= names
    assert set() == unwanted & names


def test_a_pin_is_expected_where_it_stands(tmp_path):
    """A pinned tag is what the container must have been made from: OSISM takes it before the release's own."""
    options = make_repository(tmp_path, {"environments/kolla/images.yml": 'nova_tag: "2024.2"\nglance_api_tag: x\n'})
    images = {each.container: each.image for each in expected.expected_containers(discover(options))}
    assert ("2024.2", "x") == (images["nova_api"].rpartition(":")[2], images["glance_api"].rpartition(":")[2])
    assert images["nova_libvirt"].endswith(":9.0.0.20250901")


def test_what_the_configuration_does_not_tell_is_said(tmp_path):
    """A template over facts of a running host makes the containers doubtful, and a warning names both."""
    options = make_repository(tmp_path)
    path = options.configuration / "environments" / "kolla" / "configuration.yml"
    path.write_text(path.read_text() + 'neutron_plugin_agent: "{{ ansible_facts.plugin }}"\nenable_swift: "yes"\n')
    target = discover(options)
    doubtful = {each.container for each in expected.expected_containers(target) if each.doubt}
    assert {"ovn_controller", "neutron_l3_agent", "neutron_openvswitch_agent"} <= doubtful
    told = [each.sentence for each in target.problems if "neutron_plugin_agent" in each.sentence]
    assert told
    assert "ovn_controller" in told[0]
    assert any("enable_swift is on" in each.sentence for each in target.problems)


@given(
    name=st.from_regex(r"[a-z]{2,8}(-[a-z]{2,8}){0,2}", fullmatch=True),
    registry=st.sampled_from(["mirror.example:5000", "registry.osism.tech", "[2001:db8::1]:5000", "quay.io", ""]),
    path=st.lists(st.from_regex(r"[a-z0-9.]{1,8}", fullmatch=True), max_size=4),
    tag=st.sampled_from([":2025.1", "@sha256:" + 64 * "a", ":2025.1@sha256:" + 64 * "a", ""]),
)
def test_an_image_is_kollas_by_its_labels(name, registry, path, tag):
    """No address, namespace or tag of a mirror hides a container of kolla's."""
    image = "/".join([*([registry] if registry else []), *path, name]) + tag
    assert expected.is_kollas(image, {"kolla_version": "20.1.0"})
    assert expected.is_kollas(image, {"de.osism.release.openstack": "2025.1"})
    assert not expected.is_kollas(image, {"org.opencontainers.image.version": "1"})
    manager = "/".join([*([registry] if registry else []), *path, "kolla-ansible"]) + tag
    assert not expected.is_kollas(manager, {"de.osism.release.openstack": "2025.1"})


@pytest.mark.parametrize("switch", ["ceph_rgw", "ceph_rgw_keystone", "ceph_rgw_loadbalancer", "mariabackup"])
def test_a_switch_without_containers_of_its_own_is_no_unknown_service(switch):
    """What only registers something in another service is not told as a service whose containers are not known."""
    assert () == expected.unknown_services(SimpleNamespace(enabled={switch: True}))
    assert ("an_odd_service",) == expected.unknown_services(
        SimpleNamespace(enabled={switch: True, "an_odd_service": True})
    )
