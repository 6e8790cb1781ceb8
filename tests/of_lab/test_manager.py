"""The manager's repository, images and commands look like OSISM's, at either release."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile

import pytest
import yaml

from lab import kolla
from lab import layout
from lab.manager import compose
from lab.manager import configuration
from lab.manager import interface
from lab.manager import layers
from lab.manager import setup
from lab.manager import update
from lab.manager import wrapper
from lab.manager.release import RELEASES
from lab.manager.release import UnknownReleaseError
from lab.manager.release import osism_release
from tests.of_lab.recorded_nodes import MEASURED
from tests.of_lab.recorded_nodes import SECRETS
from tests.of_lab.recorded_nodes import write_cloud
from tests.of_lab.recorded_nodes import write_state

OLD, NEW = osism_release("9.5.0"), osism_release("10.2.0")


@pytest.fixture(scope="module")
def repository():
    return configuration.render(OLD, SECRETS, "CA")


def test_every_yaml_file_can_be_read(repository):
    """Each YAML file of the repository is a mapping."""
    for name, text in repository.items():
        if name.endswith(".yml"):
            assert isinstance(yaml.safe_load(text), dict), name


def test_the_repository_names_its_release_and_nothing_that_a_stable_release_forbids(repository):
    """``manager_version`` is the release; ``openstack_version`` and ``ceph_version`` are not set."""
    values = yaml.safe_load(repository["environments/manager/configuration.yml"])
    assert "9.5.0" == values["manager_version"]
    assert not {"openstack_version", "ceph_version"} & values.keys()


@pytest.mark.parametrize(("osism", "namespace"), [(OLD, "kolla/release"), (NEW, "kolla/release/2025.1")])
def test_the_namespace_is_that_of_the_release(osism, namespace):
    """Images of OSISM 10 lie below the OpenStack release, those of OSISM 9 do not."""
    text = configuration.render(osism, SECRETS, "CA")["inventory/group_vars/all/kolla.yml"]
    assert {"docker_namespace": namespace} == yaml.safe_load(text)


def test_passwords_are_in_secret_files_only(repository):
    """No password stands outside the files that OSISM keeps passwords in."""
    allowed = {f"environments/{name}" for name in ("secrets.yml", "kolla/secrets.yml", "manager/secrets.yml")}
    allowed |= {f"environments/openstack/{name}" for name in ("secure.yml", "secrets.yml")}
    found = {name for name, text in repository.items() if "secret-" in text}
    assert allowed == found


def test_versions_cover_every_image():
    """The file on /interface has a tag for every image, and the release's name."""
    for osism in RELEASES.values():
        values = yaml.safe_load(interface.versions(osism, MEASURED)["kolla-ansible.yml"])
        assert osism.release.name == values["openstack_version"]
        assert f"1.2.3.{osism.release.date}" == values["kolla_nova_version"]


def test_the_merged_inventory_has_the_clouds_groups(tmp_path):
    """After a sync every group of the layout has exactly the layout's hosts."""
    from lab.plays import inventory

    _, merged = write_cloud(tmp_path, "9.5.0")
    read = inventory.read(merged / "hosts.yml")
    assert {group: set(hosts) for group, hosts in layout.GROUPS.items()} == {
        group: set(read.groups[group]) for group in layout.GROUPS
    }


def test_images_are_reproducible_and_labelled(tmp_path):
    """An image's archive is the same every time, and its labels name the OSISM and the OpenStack release."""
    state = write_state(tmp_path / "state")
    assert len(RELEASES) * len(layers.CONTAINERS) == layers.build(state, MEASURED)
    assert 0 == layers.build(state, MEASURED)
    archive = kolla.archive_path(state, layers.reference(NEW, "kolla-ansible")).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        (manifest,) = json.load(tar.extractfile("manifest.json"))
        config = json.load(tar.extractfile(manifest["Config"]))
        layer = io.BytesIO(tar.extractfile("layer/layer.tar").read())
    assert [layers.reference(NEW, "kolla-ansible")] == manifest["RepoTags"]
    assert ("10.2.0", "2025.1") == tuple(
        config["config"]["Labels"][name] for name in ("org.opencontainers.image.version", "de.osism.release.openstack")
    )
    with tarfile.open(fileobj=layer) as tar:
        names = tar.getnames()
        assert str(NEW.venv(state)) == tar.getmember("venv").linkname
    assert {"run.sh", "entrypoint.sh", "ansible/plays/lab/plays/kolla_ansible.py"} <= set(names)


def test_images_yml_decides_what_the_manager_runs(tmp_path):
    """The references come from ``environments/manager/images.yml``: a repository without "make sync" stays behind."""
    repository, _ = write_cloud(tmp_path, "9.5.0")
    path = repository / "environments/manager/configuration.yml"
    path.write_text(path.read_text().replace("9.5.0", "10.2.0"))
    assert "10.2.0" == setup.configured_version(repository)
    assert layers.reference(OLD, "kolla-ansible") == layers.configured(repository)["kolla-ansible"]
    (repository / "environments/manager/images.yml").write_text(configuration.manager_images(NEW))
    assert layers.references(NEW) == {"openstackclient": layers.reference(NEW, "openstackclient")} | layers.configured(
        repository
    )


def test_scripts_bring_the_repository_to_the_next_release(tmp_path):
    """``set-manager-version.sh`` changes release and images together, and refuses a release that is not there."""
    repository, _ = write_cloud(tmp_path, "9.5.0")
    script = (repository / "scripts/set-manager-version.sh").read_text().replace("/opt/configuration", str(repository))
    subprocess.run(["bash", "-c", script, "x", "10.2.0"], check=True)
    assert "10.2.0" == setup.configured_version(repository)
    assert layers.reference(NEW, "osismclient") == layers.configured(repository)["osismclient"]
    refused = subprocess.run(["bash", "-c", script, "x", "11.0.0"], check=False, capture_output=True, text=True)
    assert 1 == refused.returncode
    assert "OSISM 11.0.0 is not available here" in refused.stderr


def test_make_sync_follows_the_manager_version(tmp_path):
    """``make sync`` brings the manager's images to the release that the repository names."""
    repository, _ = write_cloud(tmp_path, "9.5.0")
    path = repository / "environments/manager/configuration.yml"
    path.write_text(path.read_text().replace("9.5.0", "10.2.0"))
    subprocess.run(["make", "-C", str(repository), "sync"], check=True, capture_output=True)
    assert layers.reference(NEW, "osismclient") == layers.configured(repository)["osismclient"]


def test_an_unknown_release_is_refused(tmp_path, capsys):
    """``osism update manager`` to a release that the lab does not carry fails with one sentence and changes nothing."""
    repository, _ = write_cloud(tmp_path, "9.5.0")
    path = repository / "environments/manager/configuration.yml"
    path.write_text(path.read_text().replace("9.5.0", "8.1.0"))

    def run(*_arguments, **_options):
        raise AssertionError("nothing may be run")

    assert 2 == update.update(run, repository, layout.State(tmp_path))
    assert "8.1.0" in capsys.readouterr().out
    with pytest.raises(UnknownReleaseError, match=r"carries 9\.5\.0, 10\.2\.0"):
        osism_release("8.1.0")


def test_a_missing_manager_image_fails_like_a_pull(tmp_path):
    """Without the image in the registry the update stops before any container is touched."""
    with pytest.raises(kolla.PullError, match="manifest unknown"):
        compose.pull(lambda *_a, **_k: None, layers.references(NEW), layout.State(tmp_path))


def test_the_manager_runs_osisms_containers(tmp_path):
    """Container names, queues and mounts are those of OSISM's compose file."""
    state = layout.State(tmp_path)
    argv = compose.arguments("kolla-ansible", "image", state)
    assert argv[argv.index("--name") + 1] == "kolla-ansible"
    assert ["-Q", "kolla-ansible"] == argv[argv.index("-Q") : argv.index("-Q") + 2]
    assert "/opt/configuration:/opt/configuration" in argv
    assert "/run/docker.sock:/run/docker.sock" in compose.arguments("osismclient", "image", state)


def test_commands_on_the_manager_are_valid_shell(tmp_path):
    """``osism``, ``openstack`` and the update are scripts that bash can read."""
    wrapper.install(tmp_path, layout.State(tmp_path / "state"))
    for path in (tmp_path / "usr-local/bin").iterdir():
        subprocess.run(["bash", "-n", str(path)], check=True)
        assert path.stat().st_mode & 0o111
