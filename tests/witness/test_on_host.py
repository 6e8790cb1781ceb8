"""The half of the witness that runs on hosts: its parsers with lines recorded on a cloud, its parts with the real daemons."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.hosts import engine
from rehearsal.recording import events
from rehearsal.witness import lines
from rehearsal.witness.on_host import dockerevents as containers
from rehearsal.witness.on_host import netlink
from rehearsal.witness.on_host import proxies
from rehearsal.witness.on_host import southbound
from rehearsal.witness.on_host import talk

DATA = Path(__file__).parent.parent / "data" / "witness"


@pytest.fixture
def told(monkeypatch):
    """Everything that is told, as (kind, facts)."""
    found = []
    for module in (talk, containers, proxies, southbound, netlink):
        monkeypatch.setattr(module, "tell", lambda kind, **facts: found.append((kind, facts)))
    return found


def kinds(told, kind):
    return [facts for each, facts in told if each == kind]


def within(seconds, turn, done):
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, f"not within {seconds} s"
        with contextlib.suppress(BlockingIOError):
            turn()
        time.sleep(0.01)


# --- Docker ----------------------------------------------------------------------------------------------------------


def test_dockers_lines_are_read_as_they_come():
    """Starts, ends with their exit codes, health; what health checks do is no event."""
    recorded = (DATA / "docker-events.jsonl").read_bytes().splitlines()
    read = [containers.docker_event(line) for line in recorded]
    said = [(each["action"], each["name"], each["exit_code"], each["health"]) for each in read if each]
    assert ("start", "nova_cell_discover_hosts", None, "") in said
    assert ("die", "nova_cell_discover_hosts", 0, "") in said
    assert ("health_status", "nova_compute", None, "healthy") in said
    assert len([each for each in read if each is None]) == 3
    assert all(each["wall_ns"] > 1_795_000_000 * 10**9 for each in read if each)


@given(st.one_of(st.binary(max_size=200), st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["Action", "Actor", "timeNano", "Attributes", "Type", "exitCode"]), inner, max_size=4)).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_any_line_of_docker_is_read_or_passed_over(line):
    """Nothing that Docker may say ends the watch."""
    event = containers.docker_event(line)
    assert event is None or event["action"] in containers.ACTIONS


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """A daemon that answers as Docker does: one stream of events, one container."""
    path = str(tmp_path / "docker.sock")
    monkeypatch.setattr(engine, "DOCKER_SOCKET", path)
    seen = {"Id": "a1", "Name": "/nova_api", "State": {"Status": "running", "StartedAt": "2026-11-26T13:46:01.07Z", "FinishedAt": "0001-01-01T00:00:00Z", "Health": {"Status": "healthy"}}}  # fmt: skip
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    streams = []

    def answer(connection):
        asked = connection.recv(65536)
        if b"/events" in asked:
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n")
            streams.append(connection)
            return
        body = json.dumps([{"Id": "a1"}] if b"/containers/json" in asked else seen).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        connection.close()

    def serve():
        with contextlib.suppress(OSError):
            while True:
                answer(server.accept()[0])

    threading.Thread(target=serve, daemon=True).start()
    yield streams
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    for stream in streams:
        stream.close()


def test_events_are_told_as_they_come_and_a_daemon_that_ends_is_told(docker, told):
    """What runs is told first; half a line waits for its other half; the end of the stream is an error."""
    changed = []
    watched = containers.Containers(talk.Sight(), changed.append)
    watched.connect()
    assert kinds(told, "containers")[0]["rows"][0]["name"] == "nova_api"
    line = (DATA / "docker-events.jsonl").read_bytes().splitlines()[0] + b"\n"
    docker[0].sendall(line[:100])
    time.sleep(0.05)
    watched.read()
    assert kinds(told, "container") == []
    docker[0].sendall(line[100:])
    within(5, watched.read, lambda: kinds(told, "container"))
    assert changed == [kinds(told, "container")[0]["name"]]
    docker[0].shutdown(socket.SHUT_RDWR)
    with pytest.raises(OSError, match="closed the stream"):
        within(5, watched.read, lambda: False)
    watched.close()


# --- HAProxy ---------------------------------------------------------------------------------------------------------


def test_haproxys_table_is_read_as_recorded():
    """Backends and servers; a check that begins to fail does not yet take a server out."""
    states = proxies.proxy_states((DATA / "haproxy-show-stat.csv").read_text())
    assert len(states) == 29
    assert states["keystone_back", "BACKEND"]["status"] == "UP"
    assert states["neutron_server_back", "lab-control-0"] == {
        "status": "UP",
        "check": "L7TOUT",
        "addr": "10.77.0.10:9696",
    }


@given(st.text(max_size=400))
def test_any_text_is_a_table_or_an_error(text):
    """A table is one with its head; nothing else is raised."""
    for head in ("", "# pxname,svname,status\n"):
        with contextlib.suppress(ValueError):
            assert all(len(key) == 2 for key in proxies.proxy_states(head + text))


@pytest.fixture
def short_path():
    """A directory whose name leaves room for a socket's: the kernel allows 107 characters in all."""
    with tempfile.TemporaryDirectory(prefix="w") as path:
        yield Path(path)


@pytest.mark.skipif(not shutil.which("haproxy"), reason="there is no haproxy here")
def test_a_real_haproxys_server_that_goes_down_is_told_once(short_path, monkeypatch, told):
    """The table first, then only what changes, between the look before and the look after."""
    stats = short_path / proxies.HAPROXY_SOCKET
    stats.parent.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as backend, socket.create_server(("127.0.0.1", 0)) as front:
        port = front.getsockname()[1]
        front.close()
        config = short_path / "haproxy.cfg"
        config.write_text(
            f"global\n  stats socket {stats} mode 660 level admin\ndefaults\n  mode tcp\n  timeout connect 1s\n"
            "  timeout client 1s\n  timeout server 1s\n"
            f"listen nova_api\n  bind 127.0.0.1:{port}\n"
            f"  server one 127.0.0.1:{backend.getsockname()[1]} check inter 50 rise 1 fall 2\n"
        )
        daemon = subprocess.Popen(["haproxy", "-db", "-q", "-f", str(config)], stderr=subprocess.DEVNULL)
        try:
            monkeypatch.setattr(proxies, "root_of", lambda _name, _timeout_s: f"{short_path}/")
            watched = proxies.Proxies(talk.Sight())
            within(20, watched.tick, lambda: kinds(told, "proxies"))
            assert ["nova_api", "one", "UP"] in [row[:3] for row in kinds(told, "proxies")[0]["rows"]]
            backend.close()
            within(20, watched.tick, lambda: len(kinds(told, "proxy")) >= 2)
        finally:
            daemon.kill()
            daemon.wait()
    assert [(each["server"], each["before"], each["status"]) for each in kinds(told, "proxy")] == [
        ("BACKEND", "UP", "DOWN"), ("one", "UP", "DOWN"),
    ]  # fmt: skip
    assert all(each["after_wall_ns"] < each["wall_ns"] for each in kinds(told, "proxy"))
    watched.tick()
    watched.tick()
    assert [each["state"] for each in kinds(told, "sight") if each["part"] == "haproxy"][-1] == "blind"


# --- OVN -------------------------------------------------------------------------------------------------------------


@given(st.lists(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5) | st.lists(st.none(), max_size=2), max_size=3), max_size=4), st.lists(st.integers(0, 200), max_size=4))  # fmt: skip
def test_a_stream_of_json_is_the_same_however_it_is_cut(values, cuts):
    """Whole values are given out as soon as they are whole, and none twice."""
    text = "".join(json.dumps(value) for value in values)
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    found, rest = [], ""
    for low, high in itertools.pairwise(edges):
        whole, rest = southbound.json_values(rest + text[low:high])
        found += whole
    assert found == values
    assert rest == ""


SCHEMA = Path("/usr/share/ovn/ovn-sb.ovsschema")


@pytest.mark.skipif(not (shutil.which("ovsdb-server") and SCHEMA.exists()), reason="there is no OVN database here")
def test_a_real_southbound_database_tells_where_ports_are_bound(tmp_path, monkeypatch, told):
    """Only the wanted server's port and the wanted router's gateway; a chassis that leaves; ports that move."""
    database, where = tmp_path / "sb.db", tmp_path / "run" / "ovn" / "ovnsb_db.sock"
    where.parent.mkdir(parents=True)
    subprocess.run(["ovsdb-tool", "create", str(database), str(SCHEMA)], check=True)
    server = subprocess.Popen(
        ["ovsdb-server", str(database), f"--remote=punix:{where}", f"--unixctl={tmp_path}/ctl", "-vconsole:off"]
    )
    try:
        within(20, lambda: None, where.exists)

        def transact(*operations):
            order = json.dumps(["OVN_Southbound", *operations])
            done = subprocess.run(
                ["ovsdb-client", "transact", f"unix:{where}", order], check=True, capture_output=True, text=True
            )
            assert "error" not in done.stdout, done.stdout

        def insert(table, named, **row):
            return {"op": "insert", "table": table, "uuid-name": named, "row": row}

        encap = {"type": "geneve", "ip": "192.0.2.1", "chassis_name": "c"}
        transact(
            insert("Encap", "e1", **encap),
            insert("Encap", "e2", **{**encap, "ip": "192.0.2.2"}),
            insert("Chassis", "c1", name="uuid-1", hostname="compute-0", encaps=["named-uuid", "e1"]),
            insert("Chassis", "c2", name="uuid-2", hostname="compute-1", encaps=["named-uuid", "e2"]),
            insert("Datapath_Binding", "d", tunnel_key=1),
            *(
                insert("Port_Binding", f"p{number}", logical_port=f"port-{number}", type="", tunnel_key=number,
                       datapath=["named-uuid", "d"], chassis=["named-uuid", "c1"], up=True,
                       external_ids=["map", [["neutron:device_id", device], ["neutron:cidrs", "x"]]])
                for number, device in ((1, "server-1"), (2, "server-2"))
            ),
            *(
                insert("Port_Binding", f"r{number}", logical_port=f"{kind}-{number}", type=kind, tunnel_key=number,
                       datapath=["named-uuid", "d"], **({} if kind == "patch" else {"chassis": ["named-uuid", "c1"]}),
                       external_ids=["map", [["neutron:router_name", router]]])
                for number, kind, router in (
                    (3, "patch", "router-1"), (4, "chassisredirect", "router-1"), (5, "chassisredirect", "router-2")
                )
            ),
        )  # fmt: skip
        monkeypatch.setattr(southbound, "root_of", lambda _name, _timeout_s: f"{tmp_path}/")
        watched = southbound.Southbound(talk.Sight(), {})
        watched.tick()
        within(20, watched.read, lambda: kinds(told, "chassis-list"))
        assert kinds(told, "chassis-list")[0]["names"] == ["compute-0", "compute-1"]
        watched.want({"servers": ["server-1"], "routers": ["router-1"]})
        within(20, watched.read, lambda: kinds(told, "port") and kinds(told, "gateway"))
        two = "compute-1"
        rows = subprocess.run(
            ["ovsdb-client", "dump", f"unix:{where}", "OVN_Southbound", "Chassis", "_uuid", "hostname", "-f", "csv"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        uuid = next(row.split(",")[0] for row in rows.splitlines() if two in row)
        move = {"op": "update", "table": "Port_Binding", "where": [], "row": {"chassis": ["uuid", uuid]}}
        transact(move)
        within(20, watched.read, lambda: len(kinds(told, "port")) == 2 and len(kinds(told, "gateway")) == 2)
        transact({"op": "delete", "table": "Chassis", "where": [["hostname", "==", "compute-0"]]})
        within(20, watched.read, lambda: kinds(told, "chassis"))
        watched.close()
    finally:
        server.kill()
        server.wait()
    first, moved = kinds(told, "port")
    assert (first["server_id"], first["chassis"], first["first"]) == ("server-1", "compute-0", True)
    assert (moved["port"], moved["before"], moved["chassis"], moved["first"]) == (
        "port-1",
        "compute-0",
        "compute-1",
        False,
    )
    assert [(each["name"], each["present"]) for each in kinds(told, "chassis")] == [("compute-0", False)]
    first, moved = kinds(told, "gateway")
    assert (first["port"], first["first"]) == ("chassisredirect-4", True)
    assert (moved["before"], moved["chassis"]) == ("compute-0", "compute-1")


# --- addresses -------------------------------------------------------------------------------------------------------


def test_the_addresses_of_this_machine_are_known():
    """The kernel is asked itself; loopback is everywhere."""
    held = netlink.held_addresses()
    assert socket.inet_aton("127.0.0.1") in held
    assert socket.inet_aton("192.0.2.77") not in held


@given(st.binary(max_size=300))
def test_any_message_of_the_kernel_is_read_to_its_end(data):
    """Lengths that lie do not lead out of the message."""
    for _, payload in netlink.messages(data):
        netlink.addresses_in(payload)


# --- what arrives ----------------------------------------------------------------------------------------------------


@given(st.one_of(st.binary(max_size=300), st.dictionaries(st.sampled_from(["k", "n", "name", "rows", "wall_ns", "part", "state", "why", "action", "pid"]), st.sampled_from(["pong", "sight", "container", "containers", "proxies", "vip", "blind", 1, -1, None, [], [[]], [{}], 1 << 70, True]), max_size=8).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_whatever_a_host_says_is_read(line):
    """A host can be broken or lie; the witness goes on."""
    said = lines.read_line("one", line)
    assert isinstance(said, events.Event | lines.Pong | lines.Hello | lines.Bye | lines.Strange)


def test_what_a_host_says_arrives_as_it_was_said(docker, told):
    """Every kind of line is one kind of record, with the host's name."""
    watched = containers.Containers(talk.Sight(), lambda _name: None)
    watched.connect()
    watched.close()
    said = [json.dumps({"k": kind, **facts}).encode() for kind, facts in told]
    sight, seen = (lines.read_line("one", line) for line in said)
    assert (sight.host, sight.part, sight.state) == ("one", "docker", "watching")
    assert (seen.host, seen.rows[0]["name"], seen.rows[0]["health"]) == ("one", "nova_api", "healthy")
    line = (DATA / "docker-events.jsonl").read_bytes().splitlines()[0]
    event = lines.read_line("one", json.dumps({"k": "container", **containers.docker_event(line)}).encode())
    assert isinstance(event, events.ContainerChanged)
    gateway = b'{"k":"gateway","port":"p","first":true,"before":"","chassis":"b","wall_ns":5}'
    assert lines.read_line("one", gateway) == events.GatewayMoved("one", "p", "", "b", wall_ns=5, first=True)
    port = b'{"k":"port","port":"p","server_id":"s","first":false,"before":"a","chassis":"b","up":true,"wall_ns":5}'
    assert lines.read_line("one", port) == events.PortMoved("one", "p", "s", "a", "b", up=True, wall_ns=5)
