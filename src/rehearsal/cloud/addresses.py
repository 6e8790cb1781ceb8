"""The numeric addresses behind an endpoint: names are resolved here, once, and never in the path of a probe."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from rehearsal.cloud.target import Target

_FAMILIES = {socket.AF_INET: 4, socket.AF_INET6: 6}


def host_of(url: str) -> str:
    """Return the host that a URL names; empty if it names none, or is no URL."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def addresses_of(target: Target, url: str) -> tuple[str, ...]:
    """Return the numeric addresses behind an endpoint, one of each family at most, IPv4 first; none if nothing resolves.

    What the configuration says about a VIP comes before what its name resolves to.
    """
    host = host_of(url)
    found: dict[int, str] = {}
    for vip in target.vips:
        if host in {vip.name, vip.address}:
            found.setdefault(6 if ":" in vip.address else 4, vip.address)
    try:
        resolved = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except (OSError, UnicodeError):
        resolved = []
    for family, _, _, _, place in resolved:
        if family in _FAMILIES:
            found.setdefault(_FAMILIES[family], str(place[0]))
    return tuple(found[family] for family in sorted(found))


def address_of(target: Target, url: str) -> str:
    """Return the first address behind an endpoint; empty if there is none."""
    return next(iter(addresses_of(target, url)), "")
