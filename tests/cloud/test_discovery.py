"""What is discovered from a configuration repository, and how each mistake in one is named."""

from __future__ import annotations

import json

import pytest

from rehearsal.cloud import Target
from rehearsal.cloud import discover
from rehearsal.outside.redact import redact_text
from tests.made.repository import FILES
from tests.made.repository import make_repository


def test_whole_repository_has_no_problem(tmp_path):
    """A complete repository leads to a target without problems."""
    target = discover(make_repository(tmp_path))
    assert () == target.problems
    assert ["manager-0", "control-0", "compute-0", "compute-1"] == [host.name for host in target.hosts]
    assert "127.0.0.10" == target.host("control-0").address
    assert ("control-0",) == target.groups["nova-api"]
    assert ("compute-0", "compute-1", "control-0") == tuple(sorted(target.groups["ovn-controller"]))
    assert ("2024.2", "9.5.0", "kolla/release") == (
        target.release.openstack, target.release.osism, target.release.namespace,
    )  # fmt: skip
    assert "https://api.example.test:8774/v2.1" == target.endpoint("nova", "public").url
    assert ("glance", "keystone", "neutron", "nova", "placement") == target.services


def test_target_survives_its_file(tmp_path):
    """A target read back from its file equals the one that was written."""
    target = discover(make_repository(tmp_path))
    target.save(tmp_path / "target.json")
    assert target == Target.load(tmp_path / "target.json")


def test_no_password_is_in_a_target(tmp_path):
    """The password of secure.yml is neither in the target nor in anything that is redacted."""
    target = discover(make_repository(tmp_path))
    assert "sesame" not in json.dumps(target.to_dict())
    assert "sesame" not in redact_text("it said sesame-open-4711 aloud")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"environments/manager/configuration.yml": "x: 1\n"}, ["manager_version is not set"]),
        ({"environments/manager/configuration.yml": None}, ["configuration.yml is missing", "manager_version"]),
        ({"environments/kolla/configuration.yml": "a: 1\n"}, ["kolla_internal_vip_address is not set"]),
        ({"environments/openstack/secure.yml": None}, ["password of cloud admin"]),
        (
            {"environments/openstack/secure.yml": "$ANSIBLE_VAULT;1.1;AES256\n3633\n"},
            ["is encrypted as a whole", "password of cloud admin", "--clouds"],
        ),
        (
            {
                "environments/openstack/secure.yml": "clouds:\n  admin:\n    auth:\n      password: !vault |\n"
                "        $ANSIBLE_VAULT;1.1;AES256\n        3633\n"
            },
            ["password of cloud admin"],
        ),
        ({"environments/openstack/clouds.yml": "clouds:\n  site: {auth: {}}\n"}, ["Which cloud is meant?", "site"]),
        ({"inventory/host_vars/compute-1.yml": "ansible_host: 127.0.0.11\n"}, ["same address 127.0.0.11"]),
        ({"inventory/host_vars/compute-1.yml": None}, ["compute-1 has no ansible_host"]),
        (
            {"inventory/20-roles": FILES["inventory/20-roles"].replace("site-compute", "site-computes")},
            ["site-computes"],
        ),
        ({"inventory/10-custom": "[broken\n" + FILES["inventory/10-custom"]}, ["10-custom:1", "no group header"]),
        ({"environments/kolla/configuration.yml": "a: [1\n"}, ["configuration.yml:2", "no valid YAML"]),
        (
            {"environments/manager/configuration.yml": "manager_version: 9.5.0\nopenstack_version: 2024.2\n"},
            ["openstack_version is set although"],
        ),
        ({"inventory/group_vars/all/kolla.yml": "docker_namespace: kolla/release/2025.1\n"}, ["images of OSISM 9.5.0"]),
        ({"inventory/group_vars/all/kolla.yml": "a: 1\n"}, ["docker_namespace is not set"]),
    ],
)
def test_a_mistake_is_named_with_file_and_remedy(tmp_path, changes, words):
    """Each mistake leads to a sentence that names it, and never to an exception."""
    target = discover(make_repository(tmp_path, changes))
    told = "\n".join(map(str, target.problems))
    assert [] == [word for word in words if word not in told], told
    assert all(problem.file and problem.remedy for problem in target.problems)


def test_every_problem_is_named_at_once(tmp_path):
    """Several mistakes are all named by one discovery."""
    changes = {"environments/manager/configuration.yml": "x: 1\n", "environments/openstack/clouds.yml": None}
    told = "\n".join(map(str, discover(make_repository(tmp_path, changes, versions=None)).problems))
    for word in ("manager_version", "clouds.yaml is missing", "versions of the cloud's images"):
        assert word in told


def test_an_empty_directory_is_no_target(tmp_path):
    """Where there is nothing, every necessary thing is named and nothing is raised."""
    options = make_repository(tmp_path, dict.fromkeys(FILES), versions=None)
    (tmp_path / "configuration").mkdir()
    target = discover(options)
    assert () == target.hosts
    assert len(target.errors) >= 5


def test_the_namespace_may_be_a_template(tmp_path):
    """A namespace that names the OpenStack release is filled in."""
    changes = {
        "inventory/group_vars/all/kolla.yml": 'docker_namespace: "kolla/release/{{ openstack_version }}"\n',
        "environments/manager/configuration.yml": "manager_version: 10.2.0\n",
    }
    target = discover(make_repository(tmp_path, changes, versions='openstack_version: "2025.1"\n'))
    assert "kolla/release/2025.1" == target.release.namespace
    assert () == target.problems


def test_one_address_for_both_vips(tmp_path):
    """Without an external VIP the internal one serves both."""
    changes = {"environments/kolla/configuration.yml": "kolla_internal_vip_address: 127.0.0.9\n"}
    target = discover(make_repository(tmp_path, changes))
    assert ["127.0.0.9", "127.0.0.9"] == [vip.address for vip in target.vips]
