"""Only what was declared is asked: addresses that are allowed from the start, and later; IPv6 like IPv4."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import time
from dataclasses import replace

import pytest

from rehearsal.lanes import declare
from rehearsal.lanes.rates import rates_of
from rehearsal.prober.client import ProberError
from rehearsal.recording import events
from rehearsal.recording.journal import read
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.samples import samples_by_probe


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 on its loopback")


def numbered(specs, first):
    return [replace(spec, probe=number) for number, spec in enumerate(specs, start=first)]


def test_an_address_is_allowed_later(tmp_path, prober, echo):
    """A canary's address is refused until it is allowed; only it is then, and the journal says why."""
    running = prober(allowed=["192.0.2.1/32"])
    icmp, tcp = numbered(declare.canary_probes("c0", "127.0.0.1", echo.port), 1)
    for spec in (icmp, tcp):
        with pytest.raises(ProberError, match=r"127\.0\.0\.1 is not among the addresses that may be probed"):
            running.declare(spec)
    running.allow("127.0.0.1", "canary c0")
    running.declare(tcp)
    other = numbered(declare.canary_probes("c1", "127.0.0.2", echo.port), 5)[1]
    with pytest.raises(ProberError, match=r"127\.0\.0\.2 is not among"):
        running.declare(other)
    running.period(tcp.probe, 100_000_000)
    running.stop()
    told = [record.event for record in read(tmp_path / "journal" / "prober.jsonl").records]
    assert [("127.0.0.1", "canary c0")] == [(e.address, e.why) for e in told if isinstance(e, events.AddressAllowed)]
    assert [tcp.name] == [e.name for e in told if isinstance(e, events.ProbeDeclared) and e.lane != "control"]


def test_nothing_is_asked_unless_it_is_allowed(prober, echo):
    """A prober that was told of no address asks none."""
    running = prober(allowed=[])
    icmp, tcp = numbered(declare.canary_probes("c0", "127.0.0.1", echo.port), 1)
    for spec in (icmp, tcp):
        with pytest.raises(ProberError, match=r"127\.0\.0\.1 is not among the addresses that may be probed"):
            running.declare(spec)


def test_one_address_is_allowed_and_no_network(prober):
    """An order to allow more than one unicast address is refused."""
    running = prober(allowed=["192.0.2.1/32"])
    nets = ("10.0.0.0/8", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "a.example", "", 7)
    for address in nets:
        with pytest.raises(ProberError, match="address"):
            running.allow(address, "why not")


@needs_ipv6
def test_ipv6_is_asked_like_ipv4(tmp_path, prober):
    """New, kept and API-server lanes, an established flow and ICMPv6, all to ::1: good answers, and the names say so."""

    class Nova(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = json.dumps({"version": {"id": "v2.1"}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6
        daemon_threads = True
        request_queue_size = 128  # five, as usual, are soon full where the machine is busy

        def handle_error(self, *_):
            """The prober closes with RST: no error here."""

    def echoing(listener):
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(4096):
                connection.sendall(data)

    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    threading.Thread(target=echoing, args=(listener,), daemon=True).start()
    with Server(("::1", 0), Nova) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = declare.Where("nova", f"http://[::1]:{server.server_port}", "::1")
        specs = declare.shallow_probes(replace(where, vip="public v6"))
        fast = rates_of({"backend-new": 10, "backend-reused": 10})
        specs += declare.shallow_probes(replace(where, server="control-0"), fast)
        specs = numbered([*specs, *declare.canary_probes("c0", "::1", listener.getsockname()[1])], 1)
        running = prober(allowed=["::1/128"])
        for spec in specs:
            running.declare(spec)
        time.sleep(0.8)
        assert running.stop() == 0
        server.shutdown()
    listener.close()
    assert [spec.name for spec in specs] == [
        "nova public v6 new", "nova public v6 reused", "nova backend control-0 new v6", "nova backend control-0 reused v6",
        "c0 icmp v6", "c0 tcp v6",
    ]  # fmt: skip
    found = samples_by_probe(tmp_path)
    for spec in specs:
        assert {SampleClass(number) for number in set(found[spec.probe]["sample_class"].tolist())} == {
            SampleClass.OK
        }, spec.name
        assert len(found[spec.probe]), spec.name
