"""What a host answers becomes a view, and whatever is no answer becomes a host that was not seen."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.cloud import Host
from rehearsal.figures.expectation import NotObserved
from rehearsal.hosts import look
from rehearsal.hosts import view as hostview
from rehearsal.hosts.parts.disks import disks
from rehearsal.hosts.parts.factcache import fact_cache
from rehearsal.hosts.parts.haproxy import haproxy
from rehearsal.hosts.parts.libvirt import libvirt
from rehearsal.recording import events

ANSWER = {
    "containers": [
        {
            "name": "nova_api",
            "id": "c1",
            "image": "r/kolla/nova-api:1",
            "image_id": "sha256:a",
            "status": "running",
            "started_at": "2026-11-24T06:00:00Z",
            "something": "new",
        }
    ],
    "images": [{"reference": "r/kolla/nova-api:1", "id": "sha256:a", "labels": {}}],
    "libvirt": {"listens": ["0.0.0.0 port 16509"], "own": "", "peers": {"b": {"address": "10.0.0.2", "said": "no"}}},
    "fact_cache": {"a": 1.5},
    "errors": {"haproxy": "OSError: no socket"},
}


def test_an_answer_becomes_a_view():
    """Known keys are kept, new ones are ignored, and a part that was not seen says so when it is asked for."""
    view = hostview.parse_view("a", ANSWER)
    assert "r/kolla/nova-api:1" == view.containers["nova_api"].image
    assert {"a": 1.5} == view.shown(fact_cache)
    daemon = view.shown(libvirt)
    assert daemon is not None
    assert "no" == daemon.peers["b"].said
    assert daemon.listens_at("10.0.0.1")
    view.must_show("containers")
    with pytest.raises(NotObserved, match="a: haproxy could not be observed: OSError: no socket"):
        view.shown(haproxy)
    with pytest.raises(NotObserved, match="a: disks was not looked at"):
        view.shown(disks)
    assert view.get(haproxy) is None


def test_an_unreachable_host_is_not_an_empty_one():
    """What testinfra raises, a bad exit code and a torn answer all become a host that was not seen."""

    def unreachable(command):
        raise RuntimeError(
            SimpleNamespace(stderr="Warning: x\nssh: connect to host 10.0.0.1 port 22: No route to host\n")
        )

    said = "it cannot be reached over SSH: ssh: connect to host 10.0.0.1 port 22: No route to host"
    assert {"error": said} == hostview.look(unreachable, {})
    assert "status 124" in hostview.read_answer(124, "", "")["error"]
    assert "sudo: a password is required" in hostview.read_answer(1, "", "x\nsudo: a password is required\n")["error"]
    assert "cannot be read" in hostview.read_answer(0, '{"containers": [', "")["error"]
    view = hostview.parse_view("a", {"error": "no route"})
    with pytest.raises(NotObserved):
        view.must_show("containers")


@given(
    st.text(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["containers", "images", "libvirt", "errors", "x"]), inner)
        ),
        max_leaves=10,
    ).map(json.dumps)
)
def test_no_answer_breaks_the_reader(text):
    """Whatever a host prints, the result is a view or a reason."""
    answer = hostview.read_answer(0, text, "")
    view = hostview.parse_view("a", answer)
    assert view.error or "containers" in answer or "containers" in answer["errors"]


def test_recorded_containers_are_read_back():
    """What the runner recorded before a step can be compared with a view; a host that was not seen proves nothing."""
    recorded = events.HostFacts("step:nova:before", "a", containers=ANSWER["containers"])
    assert "c1" == hostview.recorded_containers(recorded)["nova_api"].id
    with pytest.raises(NotObserved):
        hostview.recorded_containers(events.HostFacts("step:nova:before", "a", error="no route"))


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_every_compute_node_is_tried_by_others(count):
    """Each node tries at most eight others, never itself, and each is tried as often as the others."""
    computes = {f"c{number:02d}": f"10.0.0.{number}" for number in range(count)}
    tried = [peer for host in computes for peer in hostview.peers_of(host, computes)]
    expected = min(hostview.MOST_PEERS, count - 1)
    assert all(host not in hostview.peers_of(host, computes) for host in computes)
    assert all(expected == tried.count(host) for host in computes)
    assert {} == hostview.peers_of("control-0", computes)


def test_the_look_is_one_command_that_any_shell_runs():
    """The program travels inside the command, runs with nothing but python3, and prints one JSON object."""
    command = hostview.look_command({"b": "127.0.0.1"}).replace("sudo -n python3", f"{sys.executable} -I -S")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    answer = json.loads(done.stdout)
    assert {"containers", "images", "disks", "haproxy", "libvirt", "fact_cache"} <= {*answer, *answer["errors"]}
    assert not hostview.parse_view("a", answer).error
    assert len(command) < 32_000  # it travels as one argument; Linux takes 128 KiB at most


def test_hosts_are_looked_at_side_by_side():
    """All hosts are looked at, each with its own peers, and the answers come back under their names."""
    seen = {}

    def run_for(name):
        def run(command):
            seen[name] = command
            return SimpleNamespace(rc=0, stdout=json.dumps(ANSWER), stderr="")

        return run

    answers = hostview.look_at_all(
        {name: run_for(name) for name in ("a", "b", "m")}, {"a": "10.0.0.1", "b": "10.0.0.2"}
    )
    assert ["a", "b", "m"] == sorted(answers)
    assert '{"b": "10.0.0.2"}' in seen["a"]
    assert '{"peers": {}, ' in seen["m"]


def test_a_second_look_is_at_containers_alone():
    """What changes while one waits is looked at anew; the other parts stay as they were seen, or unseen."""
    asked = []
    new = {"containers": [{**ANSWER["containers"][0], "id": "c2"}], "images": [], "errors": {}}

    def run(command):
        asked.append(command)
        return SimpleNamespace(rc=0, stdout=json.dumps(new), stderr="")

    view = hostview.look_again(run, hostview.parse_view("a", ANSWER))
    assert '"ask_health": true, "parts": ["containers", "images"]' in asked[0]
    assert "c2" == view.containers["nova_api"].id
    assert {"a": 1.5} == view.shown(fact_cache)
    assert {"haproxy": "OSError: no socket"} == view.errors


@pytest.mark.parametrize(("wanted", "shown"), [((), {"disks", "libvirt"}), (("disks",), {"disks"})])
def test_only_the_parts_that_are_wanted_are_looked_at(wanted, shown):
    """A part that nobody asked for costs the host nothing."""
    seen = look.look({"parts": list(wanted)})
    assert shown == {"disks", "libvirt"} & {*seen, *seen["errors"]}


def test_the_ssh_configuration_knows_hosts_by_name(tmp_path):
    """A host's key is kept under its name, because an address may have belonged to another host before."""
    hostview.write_ssh_config(tmp_path / "config", "dragon", "/key", [Host("control-0", "10.0.0.10", ())])
    text = (tmp_path / "config").read_text()
    assert "Host control-0\n  HostName 10.0.0.10\n  HostKeyAlias control-0\n" in text
    assert "  User dragon\n  IdentityFile /key\n" in text
