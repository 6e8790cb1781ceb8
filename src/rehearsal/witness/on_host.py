"""Tells what happens on a host while it happens. This file travels to the host over SSH and runs there with its python3, as root.

It only reads: Docker's events, HAProxy's own table, OVN's southbound database, the addresses that the host holds. It needs
nothing but the standard library of Python 3.8 or newer. One process, no threads, no files.

Standard input: the settings as one JSON line, then a line now and then (`{"ping": n}`,
`{"servers": [...], "routers": [...]}`). It ends when standard input ends, when standard output breaks, and when nothing
was heard for SILENCE_S: whatever becomes of the other side or of the network in between, nothing stays behind.

Standard output: one JSON object a line, `k` is its kind; times are this host's wall clock (ns), ordering within the host only.
What cannot be watched is told as a `sight` with its reason: `watching`, `absent` (it is not on this host) or `blind`.
"""

from __future__ import annotations

import contextlib
import csv
import http.client
import io
import json
import os
import resource
import selectors
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterator

DOCKER_SOCKET = "/var/run/docker.sock"
HAPROXY_SOCKET = "var/lib/kolla/haproxy/haproxy.sock"
SOUTHBOUND_SOCKETS = ("run/ovn/ovnsb_db.sock", "var/run/ovn/ovnsb_db.sock", "run/openvswitch/ovnsb_db.sock")
ACTIONS = ("start", "restart", "die", "stop", "kill", "oom", "pause", "unpause", "health_status")
SILENCE_S = 60
PROXY_PERIOD_S = 1.0
RETRY_S = 1.0
ABSENT_S = 60.0
"""How often to look for what this host does not have; that its container starts is seen at once."""
LOCAL_TIMEOUT_S = 2.0
"""A daemon on this host that does not answer its own socket for so long is told as blind."""
LONGEST_MESSAGE_BYTES = 16 * 1024 * 1024


class Gone(Exception):  # noqa: N818 - an end, no error
    """Nobody listens any more."""


class Absent(Exception):  # noqa: N818 - a fact, no error
    """There is no such container on this host."""


def wall_ns() -> int:
    """Return this host's wall clock."""
    return time.time_ns()


def tell(kind: str, **facts: Any) -> None:
    """Say one thing. Raises Gone."""
    line = json.dumps({"k": kind, **facts}, separators=(",", ":")).encode() + b"\n"
    try:
        while line:
            line = line[os.write(1, line) :]
    except OSError as error:
        raise Gone from error


# --- Docker ----------------------------------------------------------------------------------------------------------


class DockerConnection(http.client.HTTPConnection):
    """HTTP to Docker's own socket: there is no need for its command line program."""

    def connect(self) -> None:
        """Connect to the socket on this host."""
        self.sock = connected(DOCKER_SOCKET)


def connected(path: str) -> socket.socket:
    """Return a connection to a local socket. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(LOCAL_TIMEOUT_S)
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def docker(path: str) -> Any:
    """Return what Docker answers to a GET, decoded. Raises Absent (404), OSError."""
    connection = DockerConnection("docker")
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()
    if answer.status == 404:
        raise Absent(path)
    if answer.status != 200:
        raise OSError(f"Docker answers {answer.status} to {path}")
    return json.loads(body.decode())


def docker_event(line: bytes) -> dict[str, Any] | None:
    """Return what one line of Docker's event stream says about a container; None if it says nothing that matters."""
    try:
        event = json.loads(line.strip(b"\x1e\r\n "))
        action = str(event["Action"])
        attributes = event["Actor"].get("Attributes") or {}
        word, _, health = action.partition(":")
        if event.get("Type", "container") != "container" or word not in ACTIONS:
            return None
        return {
            "name": str(attributes.get("name", ""))[:200],
            "id": str(event["Actor"].get("ID", ""))[:64],
            "action": word,
            "wall_ns": int(event["timeNano"]),
            "image": str(attributes.get("image", ""))[:300],
            "exit_code": int(attributes["exitCode"]) if attributes.get("exitCode") else None,
            "signal": str(attributes.get("signal", ""))[:20],
            "health": health.strip()[:20],
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


class Containers:
    """Docker's events, and at each (re)connection what runs: what happened in a gap shows in when containers started."""

    def __init__(self, sight: Sight, changed: Callable[[str], None]) -> None:
        self._sight = sight
        self._changed = changed
        self._buffer = b""
        self.socket: socket.socket | None = None

    def connect(self) -> None:
        """Subscribe first, then look: nothing falls in between. Raises OSError."""
        filters = json.dumps({"type": ["container"], "event": list(ACTIONS)}, separators=(",", ":"))
        quoted = "".join(c if c.isalnum() else f"%{ord(c):02X}" for c in filters)
        stream = connected(DOCKER_SOCKET)
        try:
            self._buffer = self._opened(stream, quoted)
            rows = self._rows()
        except OSError:
            stream.close()
            raise
        stream.setblocking(False)
        self.socket = stream
        self._sight("docker", "watching", "")
        tell("containers", wall_ns=wall_ns(), rows=rows)
        self._take(b"")

    @staticmethod
    def _opened(stream: socket.socket, filters: str) -> bytes:
        """Ask for the events; return what follows the answer's head."""
        # HTTP/1.0: the answer is not chunked and ends with the connection.
        stream.sendall(f"GET /events?filters={filters} HTTP/1.0\r\n\r\n".encode())
        heard = b""
        while b"\r\n\r\n" not in heard:
            part = stream.recv(65536)
            if not part:
                raise OSError("Docker closed the stream of its events")
            heard += part
        head, _, rest = heard.partition(b"\r\n\r\n")
        if head.split(b" ", 2)[1:2] != [b"200"]:
            raise OSError("Docker refuses to stream its events: {}".format(head[:80].decode(errors="replace")))
        return rest

    @staticmethod
    def _rows() -> list[dict[str, Any]]:
        rows = []
        for row in docker("/containers/json?all=1"):
            try:
                seen = docker("/containers/{}/json".format(row["Id"]))
            except Absent:
                continue  # it was removed between the two questions
            state = seen["State"]
            rows.append(
                {
                    "name": seen["Name"].lstrip("/"),
                    "id": seen["Id"],
                    "status": state["Status"],
                    "started_at": state["StartedAt"],
                    "finished_at": state["FinishedAt"],
                    "health": (state.get("Health") or {}).get("Status") or "none",
                }
            )
        return sorted(rows, key=lambda each: str(each["name"]))

    def read(self) -> None:
        """Take what Docker says now. Raises OSError if the stream has ended."""
        assert self.socket is not None
        try:
            part = self.socket.recv(65536)
        except BlockingIOError:
            return
        if not part:
            raise OSError("Docker closed the stream of its events")
        self._take(part)

    def _take(self, part: bytes) -> None:
        *lines, self._buffer = (self._buffer + part).split(b"\n")
        if len(self._buffer) > LONGEST_MESSAGE_BYTES:
            raise OSError("Docker's stream of events cannot be read")
        for line in lines:
            event = docker_event(line)
            if event is not None:
                tell("container", **event)
                self._changed(event["name"])

    def close(self) -> None:
        """Forget the connection."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def root_of(container: str) -> str:
    """Return where the files of a running container can be read. Raises Absent, OSError (it does not run)."""
    state = docker(f"/containers/{container}/json")["State"]
    if state["Status"] not in {"running", "paused"} or not state.get("Pid"):
        raise ConnectionError("its container does not run ({})".format(state["Status"]))
    return "/proc/{}/root/".format(state["Pid"])


# --- HAProxy -----------------------------------------------------------------------------------------------------------


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
                self._path = root_of("haproxy") + HAPROXY_SOCKET
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
        with contextlib.closing(connected(self._path)) as connection:
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


# --- OVN ---------------------------------------------------------------------------------------------------------------


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
            root = root_of("ovn_sb_db")
            path = next((root + each for each in SOUTHBOUND_SOCKETS if Path(root + each).exists()), "")
            if not path:
                raise ConnectionError("its socket is not there")
            self.socket = connected(path)
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
        try:
            part = self.socket.recv(65536)
        except BlockingIOError:
            return
        if not part:
            raise OSError("the database closed the connection")
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


# --- addresses ---------------------------------------------------------------------------------------------------------


def netlink(groups: int) -> socket.socket:
    """Return a socket to the kernel's routing messages (rtnetlink(7))."""
    connection = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    connection.settimeout(LOCAL_TIMEOUT_S)
    connection.bind((0, groups))
    return connection


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and payload of each netlink message (netlink(7)); what is cut short ends it."""
    while len(data) >= 16:
        size, kind = struct.unpack_from("=IH", data)
        if size < 16 or size > len(data):
            return
        yield kind, data[16:size]
        data = data[(size + 3) & ~3 :]


def addresses_in(payload: bytes) -> set[bytes]:
    """Return the packed addresses that one RTM_NEWADDR message holds (IFA_ADDRESS 1, IFA_LOCAL 2)."""
    found, at = set(), 8
    while at + 4 <= len(payload):
        size, kind = struct.unpack_from("=HH", payload, at)
        if size < 4:
            break
        if kind in {1, 2}:
            found.add(payload[at + 4 : at + size])
        at += (size + 3) & ~3
    return found


def held_addresses() -> set[bytes]:
    """Return every address of this host, packed. Raises OSError."""
    found: set[bytes] = set()
    with contextlib.closing(netlink(0)) as connection:
        # RTM_GETADDR 22, NLM_F_REQUEST | NLM_F_DUMP
        connection.send(struct.pack("=IHHIIBBBBi", 24, 22, 0x301, 1, 0, 0, 0, 0, 0, 0))
        while True:
            for kind, payload in messages(connection.recv(1 << 20)):
                if kind == 3:  # NLMSG_DONE
                    return found
                if kind == 2:
                    raise OSError("the kernel does not tell its addresses")
                found |= addresses_in(payload)


class Addresses:
    """Whether this host holds the virtual addresses: told at the beginning and when it changes."""

    def __init__(self, sight: Sight, wanted: list[str]) -> None:
        self._sight = sight
        self._wanted = {}
        for text in wanted:
            with contextlib.suppress(OSError, ValueError):
                family = socket.AF_INET6 if ":" in text else socket.AF_INET
                self._wanted[text] = socket.inet_pton(family, text)
        self._held: dict[str, bool] = {}
        self.socket: socket.socket | None = None
        self.due = 0.0 if self._wanted else float("inf")

    def tick(self) -> None:
        """Subscribe if it is not subscribed."""
        self.due = time.monotonic() + RETRY_S
        try:
            if self.socket is None:
                self.socket = netlink(0x10 | 0x100)  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
                self.socket.setblocking(False)
            self._compare()
            self.due = float("inf")
        except OSError as error:
            self.close()
            self._sight("vip", "blind", str(error))

    def read(self) -> None:
        """Take what the kernel says. Raises OSError."""
        assert self.socket is not None
        try:
            part = self.socket.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            part = b""  # some were lost: look
        if not part or any(packed in part for packed in self._wanted.values()):
            self._compare()

    def _compare(self) -> None:
        held = held_addresses()
        self._sight("vip", "watching", "")
        for text, packed in sorted(self._wanted.items()):
            now = packed in held
            if self._held.get(text) != now:
                tell("vip", address=text, held=now, first=text not in self._held, wall_ns=wall_ns())
            self._held[text] = now

    def close(self) -> None:
        """Forget the subscription."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None


# --- the whole ---------------------------------------------------------------------------------------------------------


class Sight:
    """What can be seen, told when it changes."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, str]] = {}

    def __call__(self, part: str, state: str, why: str) -> None:
        """Tell whether a part is watched."""
        if self._last.get(part) != (state, why):
            self._last[part] = state, why
            tell("sight", part=part, state=state, why=why[:300], wall_ns=wall_ns())


class Witness:
    """The loop: whoever has something to say is heard, what is due is done."""

    def __init__(self, settings: dict[str, Any], read: Callable[[], bytes]) -> None:
        self._sight = Sight()
        self._read = read
        self._heard = b""
        self._containers = Containers(self._sight, self._changed)
        self._containers_due = 0.0
        self._proxies = Proxies(self._sight)
        self._southbound = Southbound(self._sight, settings)
        self._addresses = Addresses(self._sight, [str(each) for each in settings.get("vips") or []])

    def _changed(self, container: str) -> None:
        if container == "haproxy":
            self._proxies.look_again()
        if container == "ovn_sb_db" and self._southbound.socket is None:
            self._southbound.due = min(self._southbound.due, time.monotonic() + 0.2)

    def run(self) -> None:
        """Watch until the other side is gone."""
        while True:
            with contextlib.closing(selectors.DefaultSelector()) as selector:
                selector.register(0, selectors.EVENT_READ, None)
                streams = (self._containers, self._southbound, self._addresses)
                for part in streams:
                    if part.socket is not None:
                        selector.register(part.socket, selectors.EVENT_READ, part)
                due = [self._proxies.due, self._southbound.due, self._addresses.due]
                due += [self._containers_due] if self._containers.socket is None else []
                ready = selector.select(max(0.0, min(min(due) - time.monotonic(), 5.0)))
            for key, _ in ready:
                if key.data is None:
                    if not self._listen():
                        return
                else:
                    self._hear(key.data)
            self._do_what_is_due()

    def _listen(self) -> bool:
        part = self._read()
        *lines, self._heard = (self._heard + part).split(b"\n")
        for line in lines:
            signal.alarm(SILENCE_S)
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                order = json.loads(line)
                if "ping" in order:
                    used = resource.getrusage(resource.RUSAGE_SELF)
                    cpu_ns = round((used.ru_utime + used.ru_stime) * 1e9)
                    tell("pong", n=order["ping"], wall_ns=wall_ns(), cpu_ns=cpu_ns, rss_bytes=used.ru_maxrss * 1024)
                if "servers" in order:
                    self._southbound.want(order)
        return bool(part)

    def _hear(self, part: Any) -> None:
        name = {self._containers: "docker", self._southbound: "ovn", self._addresses: "vip"}[part]
        try:
            part.read()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            part.close()
            self._sight(name, "blind", str(error) or type(error).__name__)
            if part is self._containers:
                self._containers_due = time.monotonic() + RETRY_S
            else:
                part.due = time.monotonic() + RETRY_S

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        if self._containers.socket is None and now >= self._containers_due:
            self._containers_due = now + RETRY_S
            try:
                self._containers.connect()
            except (OSError, Absent, ValueError, KeyError, TypeError) as error:
                self._containers.close()
                self._sight("docker", "blind", str(error) or type(error).__name__)
        for part in (self._proxies, self._southbound, self._addresses):
            if now >= part.due:
                part.tick()


def main() -> None:
    """Read the settings, tell who is here, watch."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SILENCE_S)  # kills, also in the middle of a call that hangs
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return
        line += byte
    boot = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    try:
        tell("hello", wall_ns=wall_ns(), boot_id=boot, pid=os.getpid())
        Witness(json.loads(line), lambda: os.read(0, 65536)).run()
        used = resource.getrusage(resource.RUSAGE_SELF)
        tell("bye", cpu_ns=round((used.ru_utime + used.ru_stime) * 1e9), rss_bytes=used.ru_maxrss * 1024)
    except Gone:
        sys.exit(1)


if __name__ == "__main__":
    main()
