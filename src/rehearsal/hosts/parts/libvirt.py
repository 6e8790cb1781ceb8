"""A compute node's libvirt daemon: whether it answers where it listens, and whether the other nodes' daemons do, seen from here."""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from rehearsal.figures.expectation import Expectation
from rehearsal.figures.expectation import NotObserved
from rehearsal.hosts.look import Look
from rehearsal.hosts.look import part
from rehearsal.hosts.parts.docker import containers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rehearsal.hosts.view import HostView

LIBVIRT_PORTS = (16509, 16514)
"""kolla's libvirtd listens on 16509 (TCP) or on 16514 (TLS) for live migrations."""
LIBVIRT_TIMEOUT_S = 5.0
TLS_ALERT = b"\x15"
"""The first byte of a TLS record that is an alert; a handshake begins with 0x16 (RFC 8446, 5.1)."""
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True)
class PeerView:
    """Whether another host's libvirt daemon answers at this address (`said` is empty if so)."""

    address: str
    said: str


@dataclass(frozen=True)
class LibvirtView:
    """Where the host's libvirt daemon listens (`address port number`), and whether it answers (`own` is empty if so).

    `peers`: other compute nodes, seen from this host.
    """

    listens: tuple[str, ...]
    own: str
    peers: dict[str, PeerView] = field(default_factory=dict)

    def listens_at(self, address: str) -> bool:
        """Return whether it listens at this address; a migration network of its own is not where the inventory points."""
        return any(where.split(" ")[0] in {address, "0.0.0.0", "::"} for where in self.listens)


@part
def libvirt(look: Look) -> LibvirtView | None:
    """Return where libvirt listens and whether it answers; None if this is no compute node."""
    own = listening()
    if not own and not any(container.name == "nova_libvirt" for container in look.show(containers) or []):
        return None
    said = "" if own else f"nothing listens on port {LIBVIRT_PORTS[0]} or {LIBVIRT_PORTS[1]}"
    for address, port in own:
        said = said or ask_libvirt(ANY_ADDRESS.get(address, address), port)
    port = own[0][1] if own else LIBVIRT_PORTS[0]
    peers = {
        host: PeerView(address, ask_libvirt(address, port))
        for host, address in sorted((look.arguments.get("peers") or {}).items())
    }
    return LibvirtView(tuple(f"{address} port {port}" for address, port in own), said, peers)


def listening() -> list[tuple[str, int]]:
    """Return the addresses on which something listens on libvirt's ports."""
    found = []
    for path, family in (("/proc/net/tcp", socket.AF_INET), ("/proc/net/tcp6", socket.AF_INET6)):
        try:
            lines = Path(path).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            local, state = line.split()[1], line.split()[3]
            address, port = local.split(":")
            if state != "0A" or int(port, 16) not in LIBVIRT_PORTS:
                continue
            words = [struct.pack("=I", int(address[at : at + 8], 16)) for at in range(0, len(address), 8)]
            text = socket.inet_ntop(family, b"".join(words))
            found.append((text, int(port, 16)))
    return sorted(set(found))


def ask_libvirt(address: str, port: int) -> str:
    """Return an empty string if a libvirt daemon answers there, else what happened.

    Over TCP it is asked which ways to authenticate it knows (libvirt's remote protocol: program 0x20008086, version 1,
    procedure 66 AUTH_LIST), which changes nothing and needs no login. Over TLS its half of a handshake is answer enough.
    """
    question = struct.pack(">7I", 28, 0x20008086, 1, 66, 0, 1, 0)
    if port == LIBVIRT_PORTS[1]:
        question = client_hello()
    try:
        with socket.create_connection((address, port), LIBVIRT_TIMEOUT_S) as connection:
            connection.settimeout(LIBVIRT_TIMEOUT_S)
            connection.sendall(question)
            answer = connection.recv(4)
    except OSError as error:
        return f"{address} port {port}: {error}"
    if port == LIBVIRT_PORTS[1] and answer[:1] == TLS_ALERT:
        return f"{address} port {port}: refuses the TLS handshake with an alert; look at libvirt's certificate and key"
    return "" if answer else f"{address} port {port}: closed without an answer"


def client_hello() -> bytes:
    """Return the opening bytes of a TLS handshake, made by Python's own ssl without a network."""
    import ssl  # noqa: PLC0415 - only where TLS is used

    outgoing = ssl.MemoryBIO()
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    settings.check_hostname = False
    settings.verify_mode = ssl.CERT_NONE
    talk = settings.wrap_bio(ssl.MemoryBIO(), outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        talk.do_handshake()
    return outgoing.read()


def libvirt_trouble(view: HostView) -> str:
    """Return in words what keeps nova-compute from its libvirt on this node, as the checks of libvirt see it; else ""."""
    container = view.containers.get("nova_libvirt")
    if container is not None and container.status != "running":
        return "nova_libvirt does not run"
    seen = view.get(libvirt)
    return "libvirt does not answer" if seen is not None and seen.own else ""


def takes_migrations(views: Mapping[str, HostView], host: str) -> Expectation:
    """The libvirt daemon of this node answers, to itself and to every other compute node that tried."""
    view = views[host]
    view.must_show("containers")
    own = view.shown(libvirt)
    if own is None:
        raise NotObserved(f"{host}: there is neither a container nova_libvirt nor anything on libvirt's ports")
    container = view.containers.get("nova_libvirt")
    if container is not None and container.status != "running":
        raise NotObserved(f"{host}: nova_libvirt does not run; see the check of its state")
    complaints = [f"seen from {host}: {own.own}"] if own.own else []
    tried = 0
    for name, other in sorted(views.items()):
        theirs = other.get(libvirt)
        seen = theirs.peers.get(host) if theirs else None
        if name == host or seen is None:
            continue
        if not own.own and not own.listens_at(seen.address):
            continue  # it listens on a migration network that the inventory does not tell: only its own answer counts
        tried += 1
        complaints += [f"seen from {name}: {seen.said}"] if seen.said else []
    expected = f"libvirt on {host} answers itself and {tried} other compute nodes"
    return Expectation(
        expected,
        "; ".join(complaints) or f"it answers at {', '.join(own.listens)}",
        holds=not complaints,
        host=host,
        container="nova_libvirt",
        service="nova",
    )
