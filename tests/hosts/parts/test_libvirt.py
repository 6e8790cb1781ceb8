"""A libvirt daemon: it answers itself and the other nodes, and a port that listens is not yet an answer."""

from __future__ import annotations

import dataclasses

import pytest

from rehearsal.figures.expectation import NotObserved
from rehearsal.hosts.parts import libvirt
from rehearsal.hosts.parts.docker import ContainerView
from rehearsal.hosts.parts.libvirt import LibvirtView
from rehearsal.hosts.parts.libvirt import PeerView
from rehearsal.hosts.view import HostView


def libvirts(own="", seen_by_b="", listens=("10.0.0.1 port 16509",)):
    a = HostView("a", seen={"libvirt": LibvirtView(tuple(listens), own, {"b": PeerView("10.0.0.2", "")})})
    b = HostView(
        "b", seen={"libvirt": LibvirtView(("10.0.0.2 port 16509",), "", {"a": PeerView("10.0.0.1", seen_by_b)})}
    )
    return {"a": a, "b": b}


def test_libvirt_answers():
    """A daemon that does not answer itself or another node is named; a migration network apart counts only itself."""
    judge = libvirt.takes_migrations
    assert judge(libvirts(), "a").holds
    assert judge(libvirts(), "b").holds
    dead = libvirts(own="10.0.0.1 port 16509: timed out", seen_by_b="10.0.0.1 port 16509: timed out")
    assert ("a", "nova_libvirt", False) == (judge(dead, "a").host, judge(dead, "a").container, judge(dead, "a").holds)
    assert "seen from a: 10.0.0.1" in judge(dead, "a").observed
    assert "seen from b: 10.0.0.1" in judge(dead, "a").observed
    assert judge(dead, "b").holds
    assert not judge(libvirts(seen_by_b="refused"), "a").holds
    assert judge(libvirts(seen_by_b="refused", listens=("192.168.9.1 port 16509",)), "a").holds
    stopped = ContainerView("nova_libvirt", "c1", "i", "sha256:a", "exited", "2026-11-24T06:00:00.123Z")
    for odd in (HostView("a"), dataclasses.replace(dead["a"], containers={"nova_libvirt": stopped})):
        with pytest.raises(NotObserved):
            judge({"a": odd}, "a")
    troubles = [libvirt.libvirt_trouble(each) for each in (HostView("a"), libvirts()["a"], dead["a"], odd)]
    assert ["", "", "libvirt does not answer", "nova_libvirt does not run"] == troubles


def test_a_daemon_that_listens_and_says_nothing_does_not_answer(monkeypatch):
    """A connection that the kernel accepts is not an answer of the daemon behind it."""
    import socket

    monkeypatch.setattr(libvirt, "LIBVIRT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert f"127.0.0.1 port {port}: timed out" == libvirt.ask_libvirt("127.0.0.1", port)
    assert "refused" in libvirt.ask_libvirt("127.0.0.1", port)


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
        monkeypatch.setattr(libvirt, "LIBVIRT_PORTS", (1, port))

        def serve():
            talk, _ = server.accept()
            with talk:
                talk.recv(4096)
                talk.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        told = libvirt.ask_libvirt("127.0.0.1", port)
        thread.join()
    assert answers == (told == "")
    assert ("alert" in told) == said.startswith(b"\x15")
