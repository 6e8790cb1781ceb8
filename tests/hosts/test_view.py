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
from rehearsal.hosts import observe_host
from rehearsal.hosts import view as hostview
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
    "fact_cache": {"ages_s": {"a": 1.5}},
    "errors": {"haproxy": "OSError: no socket"},
}


def test_an_answer_becomes_a_view():
    """Known keys are kept, new ones are ignored, and a part that was not seen says so when it is asked for."""
    view = hostview.parse_view("a", ANSWER)
    assert "r/kolla/nova-api:1" == view.containers["nova_api"].image
    assert {"a": 1.5} == view.fact_ages_s
    assert view.libvirt is not None
    assert "no" == view.libvirt.peers["b"].said
    assert view.libvirt.listens_at("10.0.0.1")
    view.must_show("containers")
    with pytest.raises(NotObserved, match="a: haproxy could not be observed: OSError: no socket"):
        view.must_show("haproxy")


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
    assert view.error or "containers" in answer


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
    command = hostview.look_command({"b": "127.0.0.1"}).replace("sudo -n python3", sys.executable)
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    answer = json.loads(done.stdout)
    assert {"containers", "images", "disks", "haproxy", "libvirt", "fact_cache", "errors"} <= set(answer)
    assert answer["memory"]["MemTotal"] > 0


@pytest.mark.parametrize(
    ("check", "inside", "healthy"),
    [
        ({"Test": ["CMD-SHELL", "healthcheck_port nova 5672"]}, "/bin/sh -c healthcheck_port nova 5672", True),
        ({"Test": ["CMD", "healthcheck_curl", "http://a b"]}, "healthcheck_curl http://a b", True),
        ({"Test": ["CMD-SHELL", "fail"]}, "/bin/sh -c fail", False),
        ({"Test": ["CMD-SHELL", "hang"], "Timeout": 300_000_000}, "/bin/sh -c hang", False),
        ({"Test": ["NONE"]}, "", False),
        ({}, "", False),
    ],
)
def test_a_new_container_is_asked_its_own_check(tmp_path, monkeypatch, check, inside, healthy):
    """The container's own words run inside of it, within its own time limit; a container without a check proves nothing."""
    program = tmp_path / "docker"
    program.write_text(
        f'#!/bin/sh\necho "$*" > {tmp_path}/asked\ncase "$*" in *fail) exit 1;; *hang) exec sleep 9;; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert healthy == observe_host.ask_health("c1", {"Healthcheck": check} if check else {})
    asked = tmp_path / "asked"
    assert (f"exec c1 {inside}\n" if inside else None) == (asked.read_text() if asked.exists() else None)


def test_only_undecided_containers_are_asked_and_only_if_told_to(monkeypatch):
    """A container that Docker calls healthy or unhealthy stays what Docker calls it."""
    rows = {
        name: {
            "Id": name, "Name": f"/{name}", "Image": "sha256:1", "Created": "",
            "Config": {"Image": "i"},
            "State": {"Status": "running", "ExitCode": 0, "StartedAt": "", "Health": {"Status": name, "Log": []}},
        }
        for name in ("healthy", "unhealthy", "starting")
    }  # fmt: skip
    answers = {"/containers/json?all=1": list(rows.values())} | {f"/containers/{n}/json": rows[n] for n in rows}
    asked: list[str] = []
    monkeypatch.setattr(observe_host, "docker", answers.__getitem__)
    monkeypatch.setattr(observe_host, "ask_health", lambda name, _config: not asked.append(name))
    assert ["healthy", "starting", "unhealthy"] == [each["health"] for each in observe_host.containers()]
    assert [] == asked
    found = {each["name"]: each for each in observe_host.containers(ask=True)}
    assert (["starting"], "healthy", observe_host.ASKED) == (
        asked,
        found["starting"]["health"],
        found["starting"]["health_said"],
    )
    assert "unhealthy" == found["unhealthy"]["health"]


def test_a_daemon_that_listens_and_says_nothing_does_not_answer(monkeypatch):
    """A connection that the kernel accepts is not an answer of the daemon behind it."""
    import socket

    monkeypatch.setattr(observe_host, "LIBVIRT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert f"127.0.0.1 port {port}: timed out" == observe_host.ask_libvirt("127.0.0.1", port)
    assert "refused" in observe_host.ask_libvirt("127.0.0.1", port)


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        (b"\x16\x03\x03\x00", True),
        (b"\x15\x03\x03\x00", False),
        (b"\x15", False),
        (b"", False),
    ],
)
def test_a_tls_alert_is_not_an_answer_of_libvirt(monkeypatch, said, answers):
    """A daemon whose certificate nobody accepts refuses the handshake: the port speaks, and no migration gets through."""
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(observe_host, "LIBVIRT_PORTS", (1, port))

        def serve():
            talk, _ = server.accept()
            with talk:
                talk.recv(4096)
                talk.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        told = observe_host.ask_libvirt("127.0.0.1", port)
        thread.join()
    assert answers == (told == "")
    assert ("alert" in told) == said.startswith(b"\x15")


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


def test_the_ssh_configuration_knows_hosts_by_name(tmp_path):
    """A host's key is kept under its name, because an address may have belonged to another host before."""
    hostview.write_ssh_config(tmp_path / "config", "dragon", "/key", [Host("control-0", "10.0.0.10", ())])
    text = (tmp_path / "config").read_text()
    assert "Host control-0\n  HostName 10.0.0.10\n  HostKeyAlias control-0\n" in text
    assert "  User dragon\n  IdentityFile /key\n" in text


def test_disks_are_looked_at_without_docker(monkeypatch, tmp_path):
    """No socket of Docker: it is Docker that is named, and the file systems are told all the same."""
    monkeypatch.setattr(observe_host, "DOCKER_SOCKET", str(tmp_path / "docker.sock"))
    monkeypatch.setattr(observe_host, "DOCKER_FOLDER", str(tmp_path))
    found = observe_host.main({})
    assert found["errors"]["containers"].startswith(f"OSError: {observe_host.DOCKER_DEAD} {tmp_path}/docker.sock")
    assert "disks" not in found["errors"]
    assert found["disks"]
    assert found["disks"][0]["holds_images"]
    assert hostview.parse_view("a", found).docker_is_dead


def test_the_moment_of_the_last_health_check_is_told(monkeypatch):
    """Docker's log says when a check began; only so can one be told that is older than the container's start."""
    row = {
        "Id": "1", "Name": "/x", "Image": "i", "Created": "c",
        "Config": {"Image": "r", "Labels": None},
        "State": {"Status": "running", "ExitCode": 0, "StartedAt": "s", "Pid": 1, "Health": {"Status": "healthy", "Log": [
            {"Start": "2026-11-24T06:00:00Z", "Output": ""}, {"Start": "2026-11-24T06:00:30Z", "Output": ""}]}},
    }  # fmt: skip
    monkeypatch.setattr(
        observe_host, "docker", {"/containers/json?all=1": [row], "/containers/1/json": row}.__getitem__
    )
    assert ["2026-11-24T06:00:30Z"] == [each["checked_at"] for each in observe_host.containers()]
