"""HAProxy's configuration: which API servers stand behind a virtual address. Pure; what is no such line is passed over.

kolla-ansible writes a pair of `frontend` and `backend` for every service, older releases a single `listen`; both are read.
Secrets in the file (the password of the statistics page) are not kept.
"""

from __future__ import annotations

import contextlib
import ipaddress
from dataclasses import dataclass
from dataclasses import field

_SECTIONS = frozenset(
    {"global", "defaults", "frontend", "backend", "listen", "peers", "resolvers", "userlist", "cache"}
)
_HEARD = frozenset({"frontend", "backend", "listen"})
_EVERYWHERE = frozenset({"", "*", "0.0.0.0", "::"})


@dataclass(frozen=True, slots=True)
class Server:
    """One API server as HAProxy reaches it. `address` is numeric; `tls`: HAProxy speaks TLS to it."""

    name: str
    address: str
    port: int
    tls: bool

    @property
    def url(self) -> str:
        """Where it answers."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


@dataclass(slots=True)
class Section:
    """One `frontend`, `backend` or `listen`: where it listens, what it passes requests to, and its own servers."""

    kind: str
    name: str
    binds: list[tuple[str, int]] = field(default_factory=list)
    passes_to: str = ""
    servers: list[Server] = field(default_factory=list)


def read(text: str) -> tuple[Section, ...]:
    """Return the sections of a configuration, several files one after the other."""
    sections: list[Section] = []
    current: Section | None = None
    for raw in text.splitlines():
        words = raw.split("#", 1)[0].split()
        if not words:
            continue
        if words[0] in _SECTIONS and not raw[:1].isspace():
            current = Section(words[0], words[1]) if words[0] in _HEARD and len(words) > 1 else None
            if current is not None:
                sections.append(current)
        elif current is not None:
            _take(current, words)
    return tuple(sections)


def _take(section: Section, words: list[str]) -> None:
    match words:
        case ["bind", places, *_]:
            for place in places.split(","):
                found = _place(place)
                if found is not None:
                    section.binds.append(found)
        case ["default_backend", name, *_]:
            section.passes_to = name
        case ["server", name, place, *options]:
            found = _place(place)
            if found is not None and _is_numeric(found[0]):
                section.servers.append(Server(name, str(ipaddress.ip_address(found[0])), found[1], "ssl" in options))


def _place(text: str) -> tuple[str, int] | None:
    """Return address and port of `10.0.0.1:80`, `[fd00::1]:80`, `ipv4@10.0.0.1:80`, `*:80`; None for anything else."""
    address, colon, port = text.rpartition(":")
    address = address.rpartition("@")[2].strip("[]")
    if not colon or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 2**16:
        return None
    return address, int(port)


def _is_numeric(address: str) -> bool:
    with contextlib.suppress(ValueError):
        found = ipaddress.ip_address(address)
        return not (found.is_unspecified or found.is_multicast)
    return False


def servers_behind(sections: tuple[Section, ...], address: str, port: int) -> tuple[Server, ...]:
    """Return the servers behind an address and port, in the order of the file; none if nothing listens there.

    A section that listens on every address counts where none listens on exactly this one.
    """
    exact = [section for section in sections if any(_same(bind, address, port) for bind in section.binds)]
    loose = [section for section in sections if any(at in _EVERYWHERE and of == port for at, of in section.binds)]
    found: dict[Server, None] = {}
    for section in exact or loose:
        found.update(dict.fromkeys(section.servers))
        for other in sections:
            if section.passes_to and other.name == section.passes_to and other.kind in {"backend", "listen"}:
                found.update(dict.fromkeys(other.servers))
    return tuple(found)


def _same(bind: tuple[str, int], address: str, port: int) -> bool:
    if bind[1] != port:
        return False
    try:
        return ipaddress.ip_address(bind[0]) == ipaddress.ip_address(address)
    except ValueError:
        return False
