"""HAProxy's own table of proxies and servers, and whether every server is up."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.figures.expectation import Expectation
from rehearsal.figures.expectation import NotObserved
from rehearsal.hosts.engine import connected
from rehearsal.hosts.look import Look
from rehearsal.hosts.look import part
from rehearsal.hosts.parts.docker import running

if TYPE_CHECKING:
    from rehearsal.hosts.view import HostView

STATS_TIMEOUT_S = 5.0
_UP = ("UP", "OPEN", "no check")


@dataclass(frozen=True)
class ProxyView:
    """One row of HAProxy's table: `server` is FRONTEND, BACKEND or a server's name."""

    proxy: str
    server: str
    status: str
    check: str = ""


@part
def haproxy(look: Look) -> list[ProxyView]:
    """Return the rows of the table, from the socket inside the container."""
    rows: list[ProxyView] = []
    for container in running(look, "haproxy"):
        with connected(f"/proc/{container.pid}/root/var/lib/kolla/haproxy/haproxy.sock", STATS_TIMEOUT_S) as connection:
            connection.sendall(b"show stat\n")
            text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        rows += [
            ProxyView(row["pxname"], row["svname"], row["status"], row.get("check_status") or "")
            for row in csv.DictReader(io.StringIO(text.lstrip("# ")))
        ]
    return rows


def servers_up(view: HostView) -> Expectation:
    """HAProxy on this host holds every server of every proxy to be up; backups that wait are up too."""
    view.must_show("containers")
    servers = [row for row in view.shown(haproxy) if row.server not in {"FRONTEND", "BACKEND"}]
    if not servers:
        raise NotObserved(f"{view.host}: HAProxy lists no server")
    down = [
        f"{row.proxy}/{row.server} {row.status}{f' ({row.check})' if row.check else ''}"
        for row in servers
        if not row.status.startswith(_UP)
    ]
    services = sorted({each.split("/")[0].removesuffix("_back").removesuffix("_external") for each in down})
    return Expectation(
        f"{len(servers)} of {len(servers)} servers up",
        ", ".join(down) or f"{len(servers)} of {len(servers)} servers up",
        holds=not down,
        host=view.host,
        container="haproxy",
        service=", ".join(services),
    )
