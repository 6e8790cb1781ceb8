"""HAProxy's backends and servers, by its own table."""

from __future__ import annotations

import contextlib
import csv
import io
import time
from typing import TYPE_CHECKING

from rehearsal.hosts.engine import Absent
from rehearsal.hosts.engine import connected
from rehearsal.hosts.engine import root_of
from rehearsal.witness.on_host.talk import ABSENT_S
from rehearsal.witness.on_host.talk import LOCAL_TIMEOUT_S
from rehearsal.witness.on_host.talk import tell
from rehearsal.witness.on_host.talk import wall_ns

if TYPE_CHECKING:
    from rehearsal.witness.on_host.talk import Sight

HAPROXY_SOCKET = "var/lib/kolla/haproxy/haproxy.sock"
PROXY_PERIOD_S = 1.0


def proxy_states(text: str) -> dict[tuple[str, str], dict[str, str]]:
    """Return {(proxy, server or BACKEND): {status, check, addr}} of `show stat`. Raises ValueError if it is not one.

    `UP 1/5` is UP with checks that begin to fail: what counts is whether requests are sent there.
    """
    rows = csv.reader(io.StringIO(text.lstrip("# ")))
    head = next(rows, [])
    place = {name: number for number, name in enumerate(head)}
    try:
        columns = [place[name] for name in ("pxname", "svname", "status")]
    except KeyError as error:
        raise ValueError(f"HAProxy's table has no column {error}") from error
    check, address = place.get("check_status"), place.get("addr")
    found = {}
    for row in rows:
        if len(row) <= max(columns) or row[columns[1]] == "FRONTEND":
            continue
        proxy, server, status = (row[column][:200] for column in columns)
        found[proxy, server] = {
            "status": (status.split() or [""])[0] if status != "no check" else "UP",
            "check": row[check].lstrip("* ")[:20] if check is not None and len(row) > check else "",
            "addr": row[address][:100] if address is not None and len(row) > address else "",
        }
    return found


class Proxies:
    """HAProxy's backends and servers, once a second; only changes are told."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight
        self._path = ""
        self._known: dict[tuple[str, str], dict[str, str]] | None = None
        self._asked_ns = 0
        self._seen_once = False
        self.due = 0.0

    def look_again(self) -> None:
        """Its container changed: its files are elsewhere now."""
        self._path = ""
        self.due = min(self.due, time.monotonic() + 0.2)

    def tick(self) -> None:
        """Ask once."""
        self.due = time.monotonic() + PROXY_PERIOD_S
        try:
            if not self._path:
                self._path = root_of("haproxy", LOCAL_TIMEOUT_S) + HAPROXY_SOCKET
            asked_ns = wall_ns()
            states = proxy_states(self._ask())
        except Absent:
            if self._seen_once:
                self._sight("haproxy", "blind", "there is no container haproxy now")
            else:
                self._sight("haproxy", "absent", "")
                self.due = time.monotonic() + ABSENT_S
        except (OSError, ValueError) as error:
            self._path = ""
            self._sight("haproxy", "blind", str(error) or type(error).__name__)
        else:
            self._compare(states, asked_ns)

    def _ask(self) -> str:
        with contextlib.closing(connected(self._path, LOCAL_TIMEOUT_S)) as connection:
            # Type 6: backends (2) and servers (4); frontends have no state that matters here.
            connection.sendall(b"show stat -1 6 -1\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode(errors="replace")

    def _compare(self, states: dict[tuple[str, str], dict[str, str]], asked_ns: int) -> None:
        self._sight("haproxy", "watching", "")
        known, before_ns = self._known, self._asked_ns
        if known is None or set(known) != set(states):
            rows = [[proxy, server, each["status"], each["addr"]] for (proxy, server), each in sorted(states.items())]
            tell("proxies", wall_ns=asked_ns, rows=rows)
        for key, each in sorted(states.items()):
            before = (known or {}).get(key)
            if before is not None and before["status"] != each["status"]:
                tell(
                    "proxy",
                    proxy=key[0],
                    server=key[1],
                    status=each["status"],
                    before=before["status"],
                    check=each["check"],
                    after_wall_ns=before_ns,
                    wall_ns=asked_ns,
                )
        self._known, self._asked_ns, self._seen_once = states, asked_ns, True
