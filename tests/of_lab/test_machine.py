"""The lab's dealings with the machine: control groups, images, preconditions, one command line."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest

from lab import cgroups
from lab import cli
from lab import host
from lab import images
from lab import kolla
from lab import layout
from lab import nodes
from lab import releases
from lab import upstream
from lab.unfit import UnfitError

FIRST = """30 20 0:25 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
31 30 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:27 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
33 30 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
SECOND = "30 20 0:25 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_first_version_hierarchies_are_mounted_alike():
    """Controllers that share a hierarchy on the machine share it in a node; a named one stays named; the empty unified one is left out."""
    found = cgroups.hierarchies(FIRST)
    assert [("cpu,cpuacct", "cpu,cpuacct"), ("systemd", "none,name=systemd")] == [(h.name, h.options) for h in found]


def test_second_version_is_one_hierarchy():
    """A machine with the second version only has exactly one."""
    assert [(2, "/sys/fs/cgroup")] == [(h.version, str(h.mount_point)) for h in cgroups.hierarchies(SECOND)]


@pytest.mark.parametrize(("share", "granted"), [("600000\n", True), ("0\n", False), (None, True)])
def test_refused_real_time_is_noticed(monkeypatch, tmp_path, share, granted):
    """The kernel says what the manager's group got; one without such limits grants it to every root."""
    monkeypatch.setattr(cgroups, "hierarchies", lambda: [cgroups.Hierarchy(tmp_path, 1, "cpu")])
    group = tmp_path / cgroups.lab_group(layout.state()) / layout.MANAGER.name
    group.mkdir(parents=True)
    if share is not None:
        (group / "cpu.rt_runtime_us").write_text(share)
    assert cgroups.grants_real_time(layout.state(), layout.MANAGER.name) is granted


def test_labs_in_two_places_have_two_groups(tmp_path):
    """The group's name follows the state directory, so that two labs never touch each other's processes."""
    names = {cgroups.lab_group(layout.State(path)) for path in (layout.DEFAULT_STATE, tmp_path / "a", tmp_path / "b")}
    assert len(names) == 3


@pytest.fixture
def image(tmp_path):
    """An image of each release, built from nothing but an empty virtual environment."""
    state = layout.State(tmp_path)
    built = {}
    for release in releases.RELEASES.values():
        (release.venv(state) / "etc/nova").mkdir(parents=True)
        (release.venv(state) / "etc/nova/api-paste.ini").write_text("[composite:osapi_compute]\n")
        content = images.layer(release, state)
        built[release.name] = images.archive(release, "nova-api", "30.0.0", "registry.example/nova-api:1", content)
        assert content == images.layer(release, state)
    return built


def test_an_image_is_what_docker_saves(image):
    """The archive's manifest, configuration and layer belong together; the labels tell release and version."""
    with tarfile.open(fileobj=io.BytesIO(image["2025.1"])) as archive:
        [manifest] = json.load(archive.extractfile("manifest.json"))
        raw = archive.extractfile(manifest["Config"]).read()
        layer = archive.extractfile(manifest["Layers"][0]).read()
    assert manifest["Config"] == f"{hashlib.sha256(raw).hexdigest()}.json"
    config = json.loads(raw)
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert config["config"]["Labels"]["de.osism.release.openstack"] == "2025.1"
    with tarfile.open(fileobj=io.BytesIO(layer)) as content:
        names = content.getnames()
        assert content.getmember("etc/nova/api-paste.ini").linkname == "/var/lib/kolla/venv/etc/nova/api-paste.ini"
        assert "2025.1-" in content.getmember("var/lib/kolla/venv").linkname
    assert len(set(names)) == len(names)


def test_the_release_decides_the_image(image):
    """The same service of two releases is two images: the image decides which code runs."""
    assert image["2024.2"] != image["2025.1"]


def test_a_missing_image_fails_as_a_pull_does(tmp_path):
    """Nothing in the registry directory: the pull fails and names the reference; no command runs on the node."""
    state = layout.State(tmp_path)
    state.versions.write_text(json.dumps({name: dict.fromkeys(releases.IMAGES, "1.0") for name in releases.RELEASES}))

    def run(*_words, **_options):
        pytest.fail("the node was asked")

    with pytest.raises(
        kolla.PullError,
        match=r"manifest for registry\.osism\.tech/kolla/release/2025\.1/nova-api:1\.0\.20260814 not found",
    ):
        kolla.pull(run, "lab-control-0", "nova-api", releases.TARGET, state=state)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("geteuid", lambda: 1000, "needs root"),
        ("_memory_available", lambda: 2 * host.GIB, "2.0 GiB are available"),
    ],
)
def test_an_unfit_machine_is_one_sentence(monkeypatch, tmp_path, name, value, sentence):
    """What is missing is said in one sentence, and nothing is touched."""
    monkeypatch.setattr(host.os, "geteuid", lambda: 0)
    monkeypatch.setattr(host, "_memory_available", lambda: 32 * host.GIB)
    monkeypatch.setattr(host.os if name == "geteuid" else host, name, value)
    state = layout.State(tmp_path / "state")
    with pytest.raises(UnfitError, match=sentence):
        host.check(state)
    assert not state.root.exists()


def test_a_full_disk_is_one_sentence(monkeypatch, tmp_path):
    """Too little disk is said with both numbers and the variable that moves the lab."""
    monkeypatch.setattr(host.os, "geteuid", lambda: 0)
    monkeypatch.setattr(host, "_memory_available", lambda: 32 * host.GIB)
    usage = type("Usage", (), {"free": host.GIB})
    monkeypatch.setattr(host.shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(UnfitError, match=rf"needs 6 GiB .* 1\.0 GiB are free \(set {layout.STATE_VARIABLE}"):
        host.check(layout.State(tmp_path))


def test_a_dead_node_is_named(tmp_path):
    """A command in a node that does not run tells how to start the lab."""
    with pytest.raises(nodes.NodeError, match="lab-control-0 does not run; start the lab with: rehearse-lab up"):
        nodes.command(layout.State(tmp_path), "lab-control-0", ["true"])


@pytest.mark.parametrize("argv", [[], ["fly"], ["exec", "nowhere", "--", "true"], ["exec", "lab-manager"]])
def test_usage_errors_end_with_64(argv, capsys):
    """A wrong command line ends with 64 and says what is wrong."""
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 64
    assert "rehearse-lab: " in capsys.readouterr().err


def test_status_of_no_lab(monkeypatch, tmp_path, capsys):
    """Where no lab runs, `status` says so and ends with 1."""
    monkeypatch.setenv(layout.STATE_VARIABLE, str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert cli.main(["status"]) == 1
    assert capsys.readouterr().out == "the lab is down\n"


def _environment(venv, monkeypatch, text=None):
    """An environment that holds only the places that are changed."""
    monkeypatch.delenv(upstream.VARIABLE, raising=False)
    (venv / "bin").mkdir()
    (venv / "bin/python").symlink_to("/usr/bin/true")  # the fragments are no programs to compile
    paths = [venv / "lib/python3.11/site-packages" / each.file for each in upstream.CHANGES]
    for path, each in zip(paths, upstream.CHANGES, strict=True):
        path.parent.mkdir(parents=True)
        path.write_text(f"before\n{each.old}after\n" if text is None else text)
    return paths


def test_upstream_is_changed_where_it_is_said_and_only_once(tmp_path, monkeypatch):
    """Only the named places change, and a second time nothing does."""
    paths = _environment(tmp_path, monkeypatch)
    for _ in range(2):
        upstream.change(tmp_path)
        for path, each in zip(paths, upstream.CHANGES, strict=True):
            assert path.read_text() == f"before\n{each.new}after\n"


def test_unknown_code_is_not_changed_blindly(tmp_path, monkeypatch):
    """A release whose code is another is named instead of being left as it is unnoticed."""
    _environment(tmp_path, monkeypatch, "nothing known\n")
    with pytest.raises(UnfitError, match=r"adapt that"):
        upstream.change(tmp_path)
