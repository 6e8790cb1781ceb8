"""What the running lab is, and that it comes and goes without a trace. The lab that is up is only looked at."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lab import catalogue
from lab import cgroups
from lab import fabric
from lab import kolla
from lab import layout
from lab import lifecycle
from lab import nodes
from lab import releases
from tests.on_lab.lab_nodes import LAB
from tests.on_lab.lab_nodes import ROOT
from tests.on_lab.lab_nodes import lab
from tests.on_lab.lab_nodes import sh

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

NODES = [node.name for node in layout.NODES]


def test_status_of_a_healthy_lab():
    """`rehearse-lab status` says healthy and ends with 0."""
    assert lab("status").stdout == "healthy\n"


def test_up_on_a_running_lab_changes_nothing():
    """A second `up` says that the lab runs, restarts no container, and ends with 0."""
    before = {node: kolla.container_states(nodes.run, node) for node in NODES}
    done = lab("up")
    after = {node: kolla.container_states(nodes.run, node) for node in NODES}
    assert "the lab is running" in done.stdout
    for node in set(NODES) - {layout.MANAGER.name}:
        assert {n: c.started_at for n, c in before[node].items()} == {n: c.started_at for n, c in after[node].items()}


def test_exec_passes_output_and_exit_code():
    """`exec` is the command: its output, its input, its exit code, its working directory."""
    command = [*LAB, "exec", layout.MANAGER.name, "--", "sh", "-c", "cat; pwd; exit 7"]
    done = subprocess.run(command, cwd=ROOT, input="said\n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "said\n/\n")


def test_the_prober_runs_when_it_is_due():
    """The manager got its share of real time, also if another lab was there a moment before: without it a prober waits for its turn."""
    lab("exec", layout.MANAGER.name, "--", "chrt", "--fifo", "1", "true")


@pytest.mark.parametrize("node", layout.GROUPS["compute"])
def test_only_the_bridge_answers_for_a_tunnels_address(node):
    """An uplink of Open vSwitch has no address, so the kernel must not answer for the bridge's there: the tunnel would end nowhere."""
    for uplink in (layout.TUNNEL_INTERFACE, layout.PROVIDER_INTERFACE):
        assert sh(node, f"ip -o -4 address show dev {uplink}") == ""
        assert sh(node, f"sysctl -n net.ipv4.conf.{uplink}.arp_ignore").strip() == "1"


@pytest.mark.parametrize("node", NODES)
def test_a_node_is_a_machine_of_its_own(node):
    """Own name, own processes, own files; no default route, no nameserver; the machine's services are not there."""
    assert sh(node, "hostname").strip() == node
    assert "default" not in sh(node, "ip route; ip -6 route")
    assert "nameserver" not in sh(node, "grep -v '^#' /etc/resolv.conf || true")
    assert sh(node, "cat /proc/1/comm").strip() == "dumb-init"
    assert sh(node, "touch /usr/bin/mine 2>&1 || true").strip().endswith("Read-only file system")


@pytest.mark.parametrize("node", sorted(set(NODES) - {layout.MANAGER.name}))
def test_docker_reads_like_a_kolla_host(node):
    """Every container has an image of the registry with OSISM's tag, and its labels agree with it."""
    names = {container.name for container in catalogue.CONTAINERS}
    versions = releases.load_versions(layout.state())
    for name, state in kolla.container_states(nodes.run, node).items():
        assert name in names
        release = releases.RELEASES[state.labels["de.osism.release.openstack"]]
        assert state.image == releases.reference(release, catalogue.container(name).image, versions)
        assert state.labels["de.osism.version"] == release.osism


def test_the_image_decides_which_code_runs():
    """nova-compute's process runs from the virtual environment that its image names."""
    node = layout.COMPUTES[0].name
    [state] = [s for n, s in kolla.container_states(nodes.run, node).items() if n == "nova_compute"]
    release = state.labels["de.osism.release.openstack"]
    found = sh(node, "docker exec nova_compute readlink /var/lib/kolla/venv").strip()
    assert found == str(releases.RELEASES[release].venv(layout.state()))


def test_the_vip_has_a_certificate_of_the_labs_own_authority():
    """Without the authority's certificate curl refuses both VIPs; with it the name is good."""
    for name in (layout.INTERNAL_NAME, layout.EXTERNAL_NAME):
        assert sh(
            layout.MANAGER.name,
            f"curl -s --cacert /etc/ssl/certs/ca-certificates.crt https://{name}:5000/v3 | head -c 20",
        ).startswith('{"version"')
        refused = sh(layout.MANAGER.name, f"curl -s --cacert /dev/null https://{name}:5000/v3 || echo $?")
        assert refused.strip() in {"60", "77"}


def test_the_operator_reaches_every_node():
    """The operator's key on the manager opens every node, host keys are known, and docker answers without sudo."""
    for node in NODES:
        command = (
            f"ssh -o BatchMode=yes -o StrictHostKeyChecking=yes {node} docker version --format '{{{{.Server.Os}}}}'"
        )
        done = lab("exec", "--operator", layout.MANAGER.name, "--", "sh", "-c", command)
        assert done.stdout.strip() == "linux"


def test_the_machine_shows_nothing_of_the_lab():
    """No interface, mount or Docker socket of the lab is in the machine's own namespaces."""
    assert not {"brm", "brp", "brt", "mgmt", "prov", "tun"} & {path.name for path in Path("/sys/class/net").iterdir()}
    mounts = Path("/proc/self/mountinfo").read_text()
    assert str(layout.state().root) not in mounts


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Another state directory with the real lab's environments, so that nothing here touches the real lab."""
    real = layout.state()
    # Below /var/lib, since a node has a /tmp of its own.
    root = Path(f"/var/lib/rehearse-lab-test-{os.getpid()}")
    root.mkdir()
    (root / "venvs").symlink_to(real.venvs)
    monkeypatch.setenv(layout.STATE_VARIABLE, str(root))
    state = layout.state()
    yield state
    lifecycle.down(state, lambda _text: None)
    subprocess.run(["/usr/bin/rm", "-rf", str(root)], check=True)


def traces(state):
    """What is left of a lab: processes, control groups, directories."""
    left = [f"process {pid}" for pid in cgroups.processes(state)]
    for hierarchy in cgroups.hierarchies():
        group = hierarchy.mount_point / cgroups.lab_group(state)
        left += [str(group)] if group.exists() else []
    return left + [str(path) for path in (state.run, state.nodes) if path.exists()]


@pytest.mark.parametrize("after_s", [0.3, 2.0, 6.0])
def test_down_after_a_killed_up_leaves_nothing(elsewhere, after_s):
    """`up` killed with -9 at any moment: `down` removes every process, control group and file of the nodes."""
    up = subprocess.Popen([*LAB, "up"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after_s)
    up.send_signal(signal.SIGKILL)
    up.wait()
    assert lab("down").returncode == 0
    assert traces(elsewhere) == []


def test_a_dead_node_comes_back_with_its_disk(elsewhere):
    """A node whose keeper was killed is started again: same files, connected again, dockerd up."""
    from lab import credentials
    from lab import host

    elsewhere.log.mkdir(exist_ok=True)
    credentials.create(elsewhere)
    assert host.missing_packages() == []
    for name in (layout.FABRIC, *NODES):
        nodes.start(elsewhere, name)
    fabric.connect(elsewhere)
    node = layout.COMPUTES[1]
    nodes.run(node.name, ["sh", "-c", "echo kept > /etc/kept"])
    os.kill(nodes.keeper_pid(elsewhere, node.name), signal.SIGKILL)
    while nodes.keeper_pid(elsewhere, node.name) is not None:
        time.sleep(0.05)
    nodes.start(elsewhere, node.name)
    fabric.connect(elsewhere)
    nodes.start_daemons(elsewhere, node.name)
    assert nodes.run(node.name, ["cat", "/etc/kept"]).stdout == "kept\n"
    assert nodes.run(layout.CONTROL.name, ["ping", "-c", "1", "-W", "2", node.management]).returncode == 0
    lifecycle.down(elsewhere, lambda _text: None)
    assert traces(elsewhere) == []
