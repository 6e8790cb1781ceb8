"""Tests of the beacon: the very program that runs in guests, on this machine's loopback."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal import beacon
from rehearsal.lanes.rates import USUAL

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterator

BOOT = "0c0ffee0-0000-4000-8000-000000000000"


def test_a_beacon_keeps_the_rates_that_it_is_given() -> None:
    """The rates of the guest's own lanes become its periods; what they do not concern stays."""
    usual = beacon.BeaconSettings()
    assert usual == usual.at_rates({name: usual_rate.hz for name, usual_rate in USUAL.items()})
    rare = usual.at_rates({"guest-beat": 10, "guest-write": 0.5, "guest-peer": 2})
    assert (rare.beat_ms, rare.write_ms, rare.peer_ms) == (100, 2000, 500)
    assert (rare.pause_limit_ms, rare.metadata_ms) == (usual.pause_limit_ms, usual.metadata_ms)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[tuple[int, int]]:
    (tmp_path / "data").write_bytes(b"0123456789abcdef" * 4096)
    (tmp_path / "data.sha256").write_text("made-at-first-boot\n")
    (tmp_path / "boots").write_text("3\n")
    echo, facts = free_port(), free_port()
    program = str(resources.files(beacon) / "in_guest.py")
    words = [str(number) for number in (echo, facts, 5, 20, 400, 5000, 20, 300, 0)]
    peers = ["itself=127.0.0.1", "other=127.0.0.9"]
    process = subprocess.Popen([sys.executable, "-I", "-S", program, str(tmp_path), *words, *peers])
    (tmp_path / "pid").write_text(str(process.pid))
    ends_s = time.monotonic() + 20
    while time.monotonic() < ends_s:
        try:
            beacon.hear("127.0.0.1", facts, timeout_s=5)
            break
        except beacon.BeaconSilentError:
            time.sleep(0.05)
    yield echo, facts
    process.kill()
    process.wait(10)


def test_it_tells_its_boot_its_beats_its_writes_and_its_file(ports: tuple[int, int]) -> None:
    """The facts are those of this machine and this file."""
    first = beacon.hear("127.0.0.1", ports[1])
    time.sleep(0.2)
    second = beacon.hear("127.0.0.1", ports[1])

    assert Path("/proc/sys/kernel/random/boot_id").read_text().strip() == first.boot_id
    assert first.facts["boots"] == 3
    assert first.facts["file_sha256_made"] == "made-at-first-boot"
    assert len(first.facts["file_sha256"]) == 64
    assert second.facts["beats"] > first.facts["beats"]
    assert second.facts["writes"] > first.facts["writes"]
    assert second.uptime_s > first.uptime_s


def test_a_changed_file_shows(ports: tuple[int, int], tmp_path: Path) -> None:
    """A file that is not what it was has another checksum."""
    before = beacon.hear("127.0.0.1", ports[1]).facts["file_sha256"]
    with (tmp_path / "data").open("r+b") as file:
        file.seek(40000)
        file.write(b"!")

    assert beacon.hear("127.0.0.1", ports[1]).facts["file_sha256"] != before


def test_a_lost_file_is_told(ports: tuple[int, int], tmp_path: Path) -> None:
    """Without its file the beacon answers, with no checksum and a reason."""
    (tmp_path / "data").unlink()
    facts = beacon.hear("127.0.0.1", ports[1]).facts

    assert facts["file_sha256"] == ""
    assert facts["message"]


def test_tcp_and_udp_are_echoed_and_a_client_that_does_not_read_is_dropped(ports: tuple[int, int]) -> None:
    """Flows are echoed while another client floods without reading."""
    with socket.create_connection(("127.0.0.1", ports[0]), 5) as greedy:
        greedy.settimeout(0.5)
        with pytest.raises(OSError):  # noqa: PT011, PT012 - a reset or a full buffer, as it comes
            for _ in range(2000):
                greedy.sendall(b"x" * 65536)
        with socket.create_connection(("127.0.0.1", ports[0]), 5) as flow:
            flow.sendall(b"still here\n")
            assert flow.recv(100) == b"still here\n"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        datagram.settimeout(5)
        datagram.sendto(b"counter 1", ("127.0.0.1", ports[0]))
        assert datagram.recv(100) == b"counter 1"


def test_peers_are_asked_on_schedule_and_answers_count_by_address(ports: tuple[int, int], tmp_path: Path) -> None:
    """A peer's gap is seen; an answer from another address than the one asked is none."""
    time.sleep(0.3)
    pid = int((tmp_path / "pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.8)
    os.kill(pid, signal.SIGCONT)
    time.sleep(0.3)
    itself, other = beacon.hear("127.0.0.1", ports[1]).facts["peers"]

    assert itself["name"] == "itself"
    assert itself["answered"] > 5
    assert any(600 <= length_ms <= 3000 for _, length_ms in itself["gap_list"])
    assert other["sent"] == itself["sent"]
    assert other["answered"] == 0
    assert other["gaps"] == 0
    assert other["silent_ms"] == -1


def test_silence_is_one_sentence_within_its_time() -> None:
    """A port that nobody serves, and one that never answers, are told within the time given."""
    with pytest.raises(beacon.BeaconSilentError, match="cannot be reached"):
        beacon.hear("127.0.0.1", free_port(), timeout_s=2)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        began_s = time.monotonic()
        with pytest.raises(beacon.BeaconSilentError, match="did not answer within"):
            beacon.hear("127.0.0.1", mute.getsockname()[1], timeout_s=0.3)
        assert time.monotonic() - began_s < 5


@given(st.binary(max_size=200))
def test_whatever_answers_is_parsed_or_refused(answer: bytes) -> None:
    """An answer of any kind is refused with the one error, never with another."""
    with pytest.raises(beacon.BeaconSilentError):
        beacon.parse(answer)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: st.dictionaries(st.text(max_size=9), inner),
        max_leaves=9,
    )
)
def test_json_that_is_no_beacons_is_refused(value: object) -> None:
    """JSON without a boot id and an uptime is not a beacon's."""
    with pytest.raises(beacon.BeaconSilentError):
        beacon.parse(json.dumps(value).encode())


times = st.integers(0, 10**12)


@given(st.lists(times, min_size=6, max_size=6).map(sorted), st.integers(0, 10**11), st.integers(0, 10**12))
def test_the_time_that_a_guest_stood_still_lies_within_the_bounds(
    moments: list[int], still_ns: int, boot_ns: int
) -> None:
    """Whenever the guest looked at its clock between question and answer, the true pause lies within the bounds."""
    asked_1, looked_1, told_1, asked_2, looked_2, told_2 = moments
    asked_2, looked_2, told_2 = asked_2 + still_ns, looked_2 + still_ns, told_2 + still_ns
    before = beacon.Heard({"boot_id": BOOT, "uptime_s": (boot_ns + looked_1) / 1e9}, asked_1, told_1)
    after = beacon.Heard({"boot_id": BOOT, "uptime_s": (boot_ns + looked_2 - still_ns) / 1e9}, asked_2, told_2)

    at_least, at_most = beacon.stood_still_s(before, after)

    assert at_least <= still_ns / 1e9 + 1e-6
    assert still_ns / 1e9 <= at_most + 1e-6


def heard(uptime_s: float, **facts: object) -> beacon.Heard:
    return beacon.Heard({"boot_id": BOOT, "uptime_s": uptime_s, **facts}, 0, 0)


def test_what_a_guest_noticed_between_two_answers() -> None:
    """Counts are differences, lengths are those that began since, and a changed file is told."""
    before = heard(
        10, pauses=1, pause_list=[[3, 900]], stalls=0, stall_list=[], writes=40, write_errors=0, file_sha256="a"
    )
    after = heard(
        20, pauses=3, pause_list=[[3, 900], [11, 150], [12, 120]], stalls=0, stall_list=[], writes=80, write_errors=1, file_sha256="b"
    )  # fmt: skip

    assert beacon.between(before, after) == {
        "pauses": 2,
        "pauses_longest_ms": 150,
        "stalls": 0,
        "stalls_longest_ms": 0,
        "writes": 40,
        "write_errors": 1,
        "peers": {},
        "asks": {},
        "file_intact": False,
    }
    assert beacon.between(heard(1, pauses=0), heard(2, pauses=1))["pauses_longest_ms"] is None
    assert beacon.between(heard(1), heard(2))["file_intact"] is None


def test_what_became_of_peers_between_two_answers() -> None:
    """Questions and gaps of a peer are differences; a gap counts if it ended since."""
    old = {"name": "b", "sent": 10, "answered": 9, "gaps": 1, "gap_list": [[2.0, 400]]}
    new = {"name": "b", "sent": 110, "answered": 100, "gaps": 2, "gap_list": [[2.0, 400], [9.5, 900]]}
    noticed = beacon.between(heard(10, peers=[old]), heard(20, peers=[new]))

    assert noticed["peers"] == {
        "b": {"asked": 100, "answered": 91, "gaps": 1, "lost_there": 0, "lost_back": 0, "longest_ms": 900}
    }


def asked(asked: int, ok: int, **more: object) -> dict[str, object]:
    return {"metadata": {"asked": asked, "ok": ok, "what": "it", **more}}


def test_runs_of_failed_questions_have_bounds_and_belong_to_where_they_ended() -> None:
    """A run that ended since counts from the last good question before it to the first good answer after it."""
    first, second = [2.0, 7.0, 7.0, 13.0, 1], [42.0, 47.0, 57.0, 63.5, 3]
    before = heard(40, asks=asked(8, 7, windows=[first]))
    after = heard(70, asks=asked(14, 10, windows=[first, second], open=[]))
    found = beacon.asks_between(before, after)["metadata"]
    assert (found.asked, found.failed, found.runs, found.open) == (6, 3, 1, False)
    assert (found.at_least_ms, found.at_most_ms) == (5000, 21500)
    still = heard(80, asks=asked(16, 10, windows=[first, second], open=[63.0, 68.0, 78.0, -1, 3]))
    found = beacon.asks_between(after, still)["metadata"]
    assert (found.runs, found.open, found.at_most_ms) == (1, True, 17000)
    quiet = beacon.asks_between(before, heard(41, asks=asked(9, 8, windows=[first], open=[])))["metadata"]
    assert (quiet.runs, quiet.at_most_ms) == (0, 0)


def test_what_never_answered_lost_nothing_and_an_old_beacon_knows_no_length() -> None:
    """Without one good answer there is nothing to lose; a beacon that only counts gives counts."""
    never = beacon.asks_between(heard(1, asks=asked(1, 0)), heard(9, asks=asked(5, 0, windows=[], open=[])))["metadata"]
    assert (never.ever, never.failed, never.runs) == (False, 4, 0)
    old = beacon.asks_between(heard(1, metadata_asked=3, metadata_ok=3), heard(9, metadata_asked=9, metadata_ok=7))
    assert (old["metadata"].asked, old["metadata"].failed, old["metadata"].at_most_ms) == (6, 2, None)
    assert beacon.asks_between(heard(1), heard(2)) == {}


def test_the_shells_beacon_knows_the_longest_run_only() -> None:
    """Its longest run counts where it grew; its bounds are as wide as a question may take."""
    before = heard(10, asks=asked(4, 4, runs=0, longest_ms=0, failing_ms=0))
    after = heard(90, asks=asked(20, 16, runs=1, longest_ms=21000, failing_ms=0))
    found = beacon.asks_between(before, after)["metadata"]
    assert (found.runs, found.at_least_ms, found.at_most_ms) == (1, 16000, 26000)
    found = beacon.asks_between(after, heard(99, asks=asked(22, 17, runs=1, longest_ms=21000, failing_ms=6000)))[
        "metadata"
    ]
    assert (found.runs, found.at_least_ms, found.at_most_ms, found.open) == (1, 1000, 11000, True)


whatever = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=6,
)
keys = [
    "asked",
    "ok",
    "runs",
    "windows",
    "open",
    "longest_ms",
    "failing_ms",
    "name",
    "sent",
    "answered",
    "gap_list",
    "what",
]
told_of_one = st.dictionaries(st.sampled_from(keys), whatever) | whatever


@given(
    st.dictionaries(st.sampled_from(["metadata", "dns"]), told_of_one) | whatever,
    st.lists(told_of_one, max_size=2) | whatever,
    whatever,
)
def test_what_a_guest_tells_is_never_trusted_to_have_a_shape(asks: object, peers: object, number: object) -> None:
    """A guest may tell what it likes: between two answers there is then nothing, not an error."""
    facts = {"asks": asks, "peers": peers, "pause_list": number, "pauses": number, "pause_longest_ms": number}
    facts |= {"metadata_asked": number}
    beacon.between(heard(1, **facts), heard(2, **facts))
    beacon.between(heard(1), heard(2, **facts))


# --- the very program, with a metadata service and a resolver on loopback ------------------------------------------

WRAPPER = """
import builtins, socket, sys
real_connect, real_open, kind = socket.create_connection, builtins.open, socket.socket
def create_connection(address, *more):
    return real_connect(("127.0.0.1", METADATA) if address[0] == "169.254.169.254" else address, *more)
class Socket(kind):
    def connect(self, address):
        return super().connect(("127.0.0.1", RESOLVER) if address == ("192.0.2.53", 53) else address)
def open(path, *more, **options):
    return real_open(RESOLV_CONF if path == "/etc/resolv.conf" else "/nowhere" if "systemd" in str(path) else path, *more, **options)
socket.create_connection, socket.socket, builtins.open = create_connection, Socket, open
exec(compile(real_open(PROGRAM).read(), "beacon", "exec"))
"""


class Surroundings:
    """A metadata service and a resolver that can be switched off."""

    def __init__(self) -> None:
        self.metadata, self.resolver, self.rcode = True, True, 3
        self.asked_for: set[bytes] = set()
        self.web = socket.create_server(("127.0.0.1", 0))
        self.names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.names.bind(("127.0.0.1", 0))
        for work in (self._serve, self._resolve):
            threading.Thread(target=work, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.web.accept()
            except OSError:
                return
            with connection:
                self.asked_for.add(connection.recv(4096).split(b"\r\n")[0])
                body = b'{"uuid": "x"}' if self.metadata else b"{}"
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + body)

    def _resolve(self) -> None:
        while True:
            try:
                question, sender = self.names.recvfrom(512)
            except OSError:
                return
            self.asked_for.add(question[12:])
            if self.resolver:
                self.names.sendto(question[:2] + bytes([0x81, 0x80 | self.rcode]) + question[4:], sender)

    def close(self) -> None:
        self.web.close()
        self.names.close()


@pytest.fixture
def surrounded(tmp_path: Path) -> Iterator[tuple[Surroundings, int]]:
    (tmp_path / "data").write_bytes(b"x" * 4096)
    (tmp_path / "resolv.conf").write_text("search lab.example\nnameserver 127.0.0.53\nnameserver 192.0.2.53\n")
    around = Surroundings()
    values = {
        "METADATA": around.web.getsockname()[1],
        "RESOLVER": around.names.getsockname()[1],
        "RESOLV_CONF": str(tmp_path / "resolv.conf"),
        "PROGRAM": str(resources.files(beacon) / "in_guest.py"),
    }
    program = "".join(f"{name} = {value!r}\n" for name, value in values.items()) + WRAPPER
    facts = free_port()
    words = [str(number) for number in (free_port(), facts, 20, 50, 400, 5000, 20, 300, 100)]
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", program, str(tmp_path), *words])
    yield around, facts
    process.kill()
    process.wait(10)
    around.close()


def wait_for(port: int, holds: Callable[[dict[str, Any]], bool]) -> beacon.Heard:
    """Ask until what a beacon tells about its questions is so."""
    ends_s = time.monotonic() + 20
    while True:
        try:
            told = beacon.hear("127.0.0.1", port)
        except beacon.BeaconSilentError:
            if time.monotonic() > ends_s:
                raise
        else:
            if holds(told.facts["asks"]) or time.monotonic() > ends_s:
                return told
        time.sleep(0.05)


def test_a_guest_sees_what_its_metadata_service_and_its_resolver_do(surrounded: tuple[Surroundings, int]) -> None:
    """Both are asked on their own; a wrong answer and a missing one are runs; an answer that there is no such name is none."""
    around, port = surrounded
    before = wait_for(port, lambda asks: asks["metadata"]["ok"] > 1 and asks["dns"]["ok"] > 1)
    assert before.facts["asks"]["dns"]["what"].endswith(".lab.example at 192.0.2.53")
    assert b"GET /openstack/latest/meta_data.json HTTP/1.0" in around.asked_for
    assert any(b"\x03lab\x07example\x00\x00\x01\x00\x01" in asked for asked in around.asked_for)
    assert [before.facts["asks"][name]["open"] for name in ("metadata", "dns")] == [[], []]

    around.metadata, around.rcode = False, 2
    wait_for(port, lambda asks: all((asks[name]["open"] or [0])[-1] >= 3 for name in asks))
    around.metadata, around.rcode = True, 0
    after = wait_for(port, lambda asks: asks["metadata"]["runs"] == 1 and asks["dns"]["runs"] == 1)

    for name in ("metadata", "dns"):
        found = beacon.asks_between(before, after)[name]
        assert (found.ever, found.runs, found.open) == (True, 1, False)
        assert 3 <= found.failed < found.asked
        [(last_good, first_bad, last_bad, first_good, failed)] = after.facts["asks"][name]["windows"]
        assert last_good < first_bad < last_bad < first_good
        assert failed == found.failed
        assert 0 < (found.at_most_ms or 0) < 20000


def test_without_a_resolver_no_question_is_asked(surrounded: tuple[Surroundings, int], tmp_path: Path) -> None:
    """Where DHCP gave no resolver, nothing is said about one."""
    (tmp_path / "resolv.conf").write_text("# nothing\n")
    _, port = surrounded
    told = wait_for(port, lambda asks: asks["metadata"]["ok"] > 2)
    later = wait_for(port, lambda asks: asks["metadata"]["ok"] > told.facts["asks"]["metadata"]["ok"])
    assert later.facts["asks"]["dns"]["asked"] == told.facts["asks"]["dns"]["asked"]
    assert not later.facts["asks"]["dns"]["what"]


def test_datagrams_come_back_with_the_count_of_what_arrived(ports: tuple[int, int]) -> None:
    """Who asks for it, by a space at the end or by a bare number, gets the count of its own datagrams."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        for talk in (one, two):
            talk.settimeout(5)
            talk.connect(("127.0.0.1", ports[0]))
        one.send(b"rehearse 7 ")
        assert one.recv(100) == b"rehearse 7 1"
        two.send(b"rehearse 8 ")
        assert two.recv(100) == b"rehearse 8 1"
        one.send(bytes(7) + b"\x09")
        assert one.recv(100) == bytes(7) + b"\x09" + bytes(7) + b"\x02"


def test_the_script_fits_into_user_data_and_both_shells_read_it(tmp_path: Path) -> None:
    """The user data is a script that a cloud takes and that a POSIX shell reads."""
    peers = (("canary-some-longer-host.example.com", "192.168.213.101"), ("a b;$(rm)'\"", "192.168.213.102"))
    for kind in ("auto", "shell"):
        text = beacon.user_data(beacon.BeaconSettings(kind=kind, peers=peers))
        script = tmp_path / "user-data"
        script.write_text(text)

        assert len(text.encode()) < beacon.USER_DATA_LIMIT_BYTES
        assert text.startswith("#!/bin/sh\n")
        assert not re.search("@[A-Z_]+@", text)
        assert 'peers="canary-some-longer-host.example.com=192.168.213.101 a_b___rm___=192.168.213.102"' in text
        assert subprocess.run(["sh", "-n", str(script)], check=False, timeout=30).returncode == 0
