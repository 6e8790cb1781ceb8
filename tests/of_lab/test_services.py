"""The lab's catalogue, releases and configurations: what can be known without starting anything."""

from __future__ import annotations

import configparser
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import catalogue
from lab import configs
from lab import kolla
from lab import layout
from lab import releases
from lab.configs.files import ini
from lab.credentials import KEYS
from lab.credentials import PASSWORDS
from lab.credentials import Credentials

RELEASES = sorted(releases.RELEASES)
# kolla-ansible gives these no health check.
WITHOUT_HEALTH_CHECK = {"cron", "kolla_toolbox", "keepalived", "ovn_controller", "ovn_nb_db", "ovn_sb_db", "ovn_northd"}
SECRETS = Credentials(
    {
        **{name: f"secret-of-{name}" for name in PASSWORDS},
        **{f"{key}_{half}": f"{key} {half}\n" for key in KEYS for half in ("private", "public")},
    },
    "CA\n",
    "CERTIFICATE AND KEY\n",
)
VERSIONS = {release: dict.fromkeys(releases.IMAGES, "1.2.3") for release in RELEASES}


def placed():
    """Every container on every node and release."""
    for release in RELEASES:
        for container in catalogue.containers(release):
            for node in container.nodes:
                yield pytest.param(release, container, node, id=f"{release}-{node}-{container.name}")


def files_of(release, container, node):
    return configs.rendered(container, layout.node(node), releases.RELEASES[release], SECRETS)


def parsed(text):
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser


def test_container_names_are_unique():
    """No two containers of the catalogue have the same name."""
    names = [container.name for container in catalogue.CONTAINERS]
    assert sorted(set(names)) == sorted(names)


def test_services_are_the_roles_of_the_plan():
    """The catalogue covers every role that the upgrade plan walks."""
    assert {container.service for container in catalogue.CONTAINERS} == {
        "common", "loadbalancer", "memcached", "mariadb", "rabbitmq", "openvswitch", "ovn",
        "keystone", "placement", "glance", "neutron", "nova",
    }  # fmt: skip


def test_images_are_known():
    """Every container's image has a version source, and every image is used."""
    assert {container.image for container in catalogue.CONTAINERS} == set(releases.IMAGES)


def test_health_checks_are_where_kolla_has_them():
    """Exactly kolla's containers without a health check have none."""
    assert {c.name for c in catalogue.CONTAINERS if c.health is None} == WITHOUT_HEALTH_CHECK


def test_metadata_is_a_container_of_its_own_from_2025_1_on():
    """On 2024.2 nova_api serves the metadata; on 2025.1 nova_metadata does."""
    assert "nova_metadata" not in {c.name for c in catalogue.containers("2024.2")}
    assert "nova_metadata" in {c.name for c in catalogue.containers("2025.1")}


@pytest.mark.parametrize(("release", "container", "node"), list(placed()))
def test_config_json_starts_the_command(release, container, node):
    """config.json holds the release's command with nothing left to fill in, and names only files that are there."""
    files = files_of(release, container, node)
    description = json.loads(files["config.json"])
    assert "{" not in description["command"]
    sources = {item["source"].removeprefix("/var/lib/kolla/config_files/") for item in description["config_files"]}
    assert sources == set(files) - {"config.json"}


@pytest.mark.parametrize(("release", "container", "node"), list(placed()))
def test_docker_run_holds_no_secret(monkeypatch, release, container, node):
    """`docker inspect` shows no password: secrets are in files only."""
    monkeypatch.setattr(releases, "load_versions", lambda _state: VERSIONS)
    argv = kolla.run_arguments(container, node, releases.RELEASES[release], state=layout.State(layout.DEFAULT_STATE))
    assert not [word for word in argv if "secret-of-" in word]
    volumes = [value for flag, value in itertools.pairwise(argv) if flag == "--volume"]
    assert all(len(volume.split(":")) in {2, 3} and not volume.startswith(":") for volume in volumes)
    assert argv[-1].startswith(f"registry.osism.tech/{releases.RELEASES[release].namespace}/{container.image}:")


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("node", layout.GROUPS["compute"])
def test_computes_have_no_database(release, node):
    """A nova-compute that sees a database misjudges its upgrade level: it gets no connection."""
    for name in ("nova_compute", "neutron_ovn_metadata_agent"):
        for text in files_of(release, catalogue.container(name), node).values():
            assert "mysql" not in text


@pytest.mark.parametrize("release", RELEASES)
def test_nova_pins_its_rpc_automatically(release):
    """[upgrade_levels] compute is auto everywhere, as kolla-ansible has it."""
    for name in ("nova_api", "nova_conductor", "nova_scheduler", "nova_compute"):
        container = catalogue.container(name)
        text = files_of(release, container, container.nodes[0])["nova.conf"]
        assert parsed(text)["upgrade_levels"]["compute"] == "auto"


def test_every_api_has_tls_on_both_vips():
    """HAProxy terminates TLS on the internal and the external VIP for every API; metadata is internal only."""
    files = files_of("2024.2", catalogue.container("haproxy"), layout.CONTROL.name)
    text = "\n".join(files.values())
    for name, port in layout.API_PORTS.items():
        assert f"bind {layout.INTERNAL_VIP}:{port} ssl" in text
        assert (f"bind {layout.EXTERNAL_VIP}:{port} ssl" in text) == (name != "nova_metadata")


def test_haproxy_has_the_settings_of_kolla_ansible():
    """Checks, retries and timeouts are kolla-ansible's: the outages that a user sees depend on them."""
    files = files_of("2024.2", catalogue.container("haproxy"), layout.CONTROL.name)
    for line in ("retries 3", "option redispatch", "timeout connect 10s", "timeout server 1m", "timeout queue 1m"):
        assert f"    {line}\n" in files["haproxy.cfg"]
    servers = [line for text in files.values() for line in text.splitlines() if line.strip().startswith("server lab-")]
    assert servers
    assert all(line.endswith("check inter 2000 rise 2 fall 5") for line in servers)


def test_uwsgi_serves_the_module_of_the_release():
    """Keystone leaves its script for a module in 2025.1; nova and glance leave eventlet's server for uWSGI."""
    keystone = catalogue.container("keystone")
    node = layout.CONTROL.name
    assert "wsgi-file" in files_of("2024.2", keystone, node)["keystone-uwsgi.ini"]
    assert "module = keystone.wsgi.api:application" in files_of("2025.1", keystone, node)["keystone-uwsgi.ini"]
    for name in ("nova_api", "glance_api"):
        container = catalogue.container(name)
        assert f"{container.config_dir}-uwsgi.ini" not in files_of("2024.2", container, node)
        assert f"{container.config_dir}-uwsgi.ini" in files_of("2025.1", container, node)


def test_libvirt_hosts_differ():
    """Every node sees the same hardware; libvirt migrates only between hosts with different UUIDs."""
    container = catalogue.container("nova_libvirt")
    texts = {
        files_of("2024.2", container, node)["libvirtd.conf"].split("host_uuid")[1].split("\n")[0]
        for node in container.nodes
    }
    assert len(container.nodes) == len(texts)


def test_tags_are_osism_s():
    """A tag is the service's version and the date of the build; the namespace carries the release from OSISM 10 on."""
    versions = {"2024.2": {"nova-api": "30.0.0"}, "2025.1": {"nova-api": "31.0.1"}}
    expected = "registry.osism.tech/kolla/release/nova-api:30.0.0.20251130"
    assert expected == releases.reference(releases.DEPLOYED, "nova-api", versions)
    expected = "registry.osism.tech/kolla/release/2025.1/nova-api:31.0.1.20260814"
    assert expected == releases.reference(releases.TARGET, "nova-api", versions)


@pytest.mark.parametrize(
    ("image", "variable"),
    [
        ("cron", "kolla_cron_version"),
        ("kolla-toolbox", "kolla_common_version"),
        ("mariadb-server", "kolla_mariadb_version"),
        ("nova-compute", "kolla_nova_version"),
        ("nova-libvirt", "kolla_nova_libvirt_version"),
        ("neutron-metadata-agent", "kolla_neutron_version"),
        ("openvswitch-vswitchd", "kolla_openvswitch_version"),
        ("ovn-northd", "kolla_ovn_version"),
    ],
)
def test_version_variables_are_osism_s(image, variable):
    """The variable that holds an image's tag is the one in OSISM's defaults."""
    assert variable == releases.version_variable(image)


@given(
    epoch=st.sampled_from(["", "1:", "20:"]),
    numbers=st.lists(st.integers(0, 9999), min_size=1, max_size=6),
    rest=st.sampled_from(["", "-1", "-1+deb12u4", "+dfsg1-1", "pl1-162", "~rc1-2"]),
)
def test_upstream_version_has_at_most_three_components(epoch, numbers, rest):
    """Epoch, revision and further components of a Debian version never get into a tag."""
    expected = ".".join(map(str, numbers[:3]))
    assert expected == releases.upstream_version(f"{epoch}{'.'.join(map(str, numbers))}{rest}")


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,10}", fullmatch=True),
        st.booleans() | st.integers() | st.from_regex(r"[a-z:/.@]{1,20}", fullmatch=True),
        min_size=1,
    )
)
def test_ini_reads_back(options):
    """What `ini` writes, an INI parser reads."""
    read = parsed(ini({"section": options}))["section"]
    assert {
        key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in options.items()
    } == dict(read)


def test_locks_hold_one_release_each():
    """Each lock names every OpenStack project once, with hashes, and no address of an index."""
    for release in releases.RELEASES.values():
        text = release.lock.read_text()
        locked = releases.locked_versions(text)
        assert {"keystone", "glance", "nova", "neutron", "openstack-placement", "pyuwsgi"} <= set(locked)
        assert text.count("--hash=sha256:") >= len(locked)
        assert "http" not in text.replace("httplib2", "")


def test_the_target_is_newer():
    """Every OpenStack service of the target has a higher version than the deployed one."""
    old, new = (releases.locked_versions(release.lock.read_text()) for release in (releases.DEPLOYED, releases.TARGET))
    for project in ("keystone", "glance", "nova", "neutron", "openstack-placement"):
        assert tuple(map(int, old[project].split("."))) < tuple(map(int, new[project].split(".")))


def test_every_node_finds_every_name():
    """There is no nameserver: /etc/hosts has the nodes and both VIPs."""
    for node in layout.NODES:
        text = layout.hosts_file(node.name)
        for name in (*(other.name for other in layout.NODES), layout.INTERNAL_NAME, layout.EXTERNAL_NAME):
            assert name in text.split()
