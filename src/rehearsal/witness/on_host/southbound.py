"""OVN's southbound database: chassis, and where ports and gateways are bound."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple

from rehearsal.hosts.engine import Absent
from rehearsal.hosts.engine import connected
from rehearsal.hosts.engine import root_of
from rehearsal.witness.on_host.talk import ABSENT_S
from rehearsal.witness.on_host.talk import LOCAL_TIMEOUT_S
from rehearsal.witness.on_host.talk import LONGEST_MESSAGE_BYTES
from rehearsal.witness.on_host.talk import RETRY_S
from rehearsal.witness.on_host.talk import received
from rehearsal.witness.on_host.talk import tell
from rehearsal.witness.on_host.talk import wall_ns

if TYPE_CHECKING:
    import socket

    from rehearsal.witness.on_host.talk import Sight

SOUTHBOUND_SOCKETS = ("run/ovn/ovnsb_db.sock", "var/run/ovn/ovnsb_db.sock", "run/openvswitch/ovnsb_db.sock")


def json_values(buffer: str) -> tuple[list[Any], str]:
    """Return the whole JSON values at the beginning of a stream without separators, and the rest. Raises ValueError.

    What begins like a value may still be on its way; what cannot begin one is an error.
    """
    found, decoder = [], json.JSONDecoder()
    rest = buffer.lstrip()
    while rest:
        if rest[0] not in '{["':
            raise ValueError("not a stream of JSON objects")
        try:
            value, end = decoder.raw_decode(rest)
        except ValueError:
            break
        found.append(value)
        rest = rest[end:].lstrip()
    return found, rest


def pairs(value: Any) -> dict[str, str]:
    """Return an OVSDB map (`["map", [[key, value], ...]]`) as a dictionary; empty for anything else."""
    if isinstance(value, list) and len(value) == 2 and value[0] == "map" and isinstance(value[1], list):
        return {str(pair[0]): str(pair[1]) for pair in value[1] if isinstance(pair, list) and len(pair) == 2}
    return {}


def optional(value: Any) -> Any:
    """Return an OVSDB value that may be missing (`["set", []]`): None if it is; of `["uuid", x]`, x."""
    if isinstance(value, list) and len(value) == 2:
        if value[0] == "set":
            return optional(value[1][0]) if isinstance(value[1], list) and value[1] else None
        return value[1]
    return value


class Bound(NamedTuple):
    """A port as the southbound database has it. `server_id`: empty for a router's port; `chassis`: the row's uuid."""

    port: str
    kind: str
    server_id: str
    chassis: str | None
    up: bool | None


def wanted_ports(settings: dict[str, Any]) -> list[list[str]]:
    """Return by which pairs of Neutron's external_ids the ports of these servers and routers are found."""
    servers = [["neutron:device_id", str(each)] for each in settings.get("servers") or []]
    return servers + [["neutron:router_name", str(each)] for each in settings.get("routers") or []]


class Southbound:
    """OVN's chassis, and on which of them the ports of given servers and the gateways of given routers are bound.

    The database sends changes only. monitor_cond (ovsdb-server(7), 4.1.12): a port is wanted if its `neutron:device_id` is
    one of the servers, or its `neutron:router_name` one of the routers.
    """

    def __init__(self, sight: Sight, settings: dict[str, Any]) -> None:
        self._sight = sight
        self._wanted = wanted_ports(settings)
        self._buffer = ""
        self._chassis: dict[str, str] | None = None
        self._ports: dict[str, Bound] = {}
        self._seen_once = False
        self.socket: socket.socket | None = None
        self.due = 0.0

    def _where(self) -> list[Any]:
        return [["external_ids", "includes", ["map", [pair]]] for pair in self._wanted] or [False]

    def tick(self) -> None:
        """Connect if it is not connected."""
        self.due = time.monotonic() + RETRY_S
        if self.socket is not None:
            self.due = float("inf")
            return
        try:
            root = root_of("ovn_sb_db", LOCAL_TIMEOUT_S)
            path = next((root + each for each in SOUTHBOUND_SOCKETS if Path(root + each).exists()), "")
            if not path:
                raise ConnectionError("its socket is not there")
            self.socket = connected(path, LOCAL_TIMEOUT_S)
            self._buffer = ""
            tables = {
                "Chassis": [{"columns": ["name", "hostname"]}],
                "Port_Binding": [
                    {"columns": ["logical_port", "type", "chassis", "up", "external_ids"], "where": self._where()}
                ],
            }
            self._say("monitor_cond", ["OVN_Southbound", "witness", tables], "begin")
            self.socket.setblocking(False)
            self.due = float("inf")
        except Absent:
            if self._seen_once:
                self._sight("ovn", "blind", "there is no container ovn_sb_db now")
            else:
                self._sight("ovn", "absent", "")
                self.due = time.monotonic() + ABSENT_S
        except OSError as error:
            self.close()
            self._sight("ovn", "blind", str(error) or type(error).__name__)

    def _say(self, method: str, params: Any, number: Any) -> None:
        if self.socket is not None:
            self.socket.sendall(json.dumps({"method": method, "params": params, "id": number}).encode())

    def want(self, settings: dict[str, Any]) -> None:
        """Watch the ports of these servers and the gateways of these routers from now on."""
        self._wanted = wanted_ports(settings)
        with contextlib.suppress(OSError):  # a broken connection shows when it is read
            self._say(
                "monitor_cond_change", ["witness", "witness", {"Port_Binding": [{"where": self._where()}]}], "servers"
            )

    def read(self) -> None:
        """Take what the database says now. Raises OSError, ValueError."""
        assert self.socket is not None
        part = received(self.socket, "the database closed the connection")
        messages, self._buffer = json_values(self._buffer + part.decode(errors="replace"))
        if len(self._buffer) > LONGEST_MESSAGE_BYTES:
            raise ValueError("what the database says cannot be read")
        for message in messages:
            self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        if message.get("method") == "echo" and self.socket is not None:
            answer = {"result": message.get("params"), "error": None, "id": message.get("id")}
            self.socket.sendall(json.dumps(answer).encode())
        elif message.get("method") == "update2":
            self._update(message["params"][1], first=False)
        elif message.get("id") == "begin":
            if message.get("error"):
                raise ValueError("the database refuses: {}".format(json.dumps(message["error"])[:200]))
            self._sight("ovn", "watching", "")
            self._seen_once = True
            self._update(message["result"], first=True)

    def _update(self, tables: dict[str, Any], *, first: bool) -> None:
        now_ns = wall_ns()
        chassis = {} if first or self._chassis is None else dict(self._chassis)
        for key, change in (tables.get("Chassis") or {}).items():
            row = change.get("initial") or change.get("insert") or change.get("modify")
            if row is None:
                chassis.pop(key, None)
            else:
                chassis[key] = str(row.get("hostname") or row.get("name") or chassis.get(key, ""))
        before = self._chassis
        self._chassis = chassis
        if before is None or first:
            tell("chassis-list", wall_ns=now_ns, names=sorted(set(chassis.values())))
        if before is not None:
            had, has = set(before.values()), set(chassis.values())
            for name in sorted(had ^ has):
                tell("chassis", name=name, present=name in has, wall_ns=now_ns)
        for key, change in (tables.get("Port_Binding") or {}).items():
            self._port(key, change, now_ns)

    def _port(self, key: str, change: dict[str, Any], now_ns: int) -> None:
        row = change.get("initial") or change.get("insert") or change.get("modify")
        if row is None:
            self._ports.pop(key, None)
            return
        old = self._ports.get(key)
        new = Bound(
            str(row.get("logical_port") or (old.port if old else "")),
            str(row.get("type", old.kind if old else "")),
            pairs(row.get("external_ids")).get("neutron:device_id") or (old.server_id if old else ""),
            optional(row["chassis"]) if "chassis" in row else old.chassis if old else None,
            optional(row["up"]) if "up" in row else old.up if old else None,
        )
        self._ports[key] = new
        hosts = self._chassis or {}
        facts = {
            "port": new.port,
            "first": old is None,
            "before": hosts.get(old.chassis or "", "") if old else "",
            "chassis": hosts.get(new.chassis or "", ""),
            "wall_ns": now_ns,
        }
        if new.server_id:
            if old is None or (old.chassis, old.up) != (new.chassis, new.up):
                tell("port", server_id=new.server_id, up=new.up, **facts)
        elif new.kind == "chassisredirect" and (old is None or old.chassis != new.chassis):
            tell("gateway", **facts)

    def close(self) -> None:
        """Forget the connection; what was known stays, so that a change meanwhile is seen."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None
