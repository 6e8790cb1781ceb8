"""Tests of the beacon: the very program that runs in guests, on this machine's loopback."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal import beacon

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOT = "0c0ffee0-0000-4000-8000-000000000000"


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


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_whatever_answers_is_parsed_or_refused(answer: bytes) -> None:
    """An answer of any kind is refused with the one error, never with another."""
    with pytest.raises(beacon.BeaconSilentError):
        beacon.parse(answer)


@settings(deadline=None)
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


@settings(deadline=None)
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
        "metadata_asked": 0,
        "metadata_failed": 0,
        "file_intact": False,
    }
    assert beacon.between(heard(1, pauses=0), heard(2, pauses=1))["pauses_longest_ms"] is None
    assert beacon.between(heard(1), heard(2))["file_intact"] is None


def test_what_became_of_peers_between_two_answers() -> None:
    """Questions and gaps of a peer are differences; a gap counts if it ended since."""
    old = {"name": "b", "sent": 10, "answered": 9, "gaps": 1, "gap_list": [[2.0, 400]]}
    new = {"name": "b", "sent": 110, "answered": 100, "gaps": 2, "gap_list": [[2.0, 400], [9.5, 900]]}
    noticed = beacon.between(heard(10, peers=[old]), heard(20, peers=[new]))

    assert noticed["peers"] == {"b": {"asked": 100, "answered": 91, "gaps": 1, "longest_ms": 900}}


def test_the_script_fits_into_user_data_and_both_shells_read_it(tmp_path: Path) -> None:
    """The user data is a script under 16 KiB that a POSIX shell reads."""
    peers = (("canary-some-longer-host.example.com", "192.168.213.101"), ("a b;$(rm)'\"", "192.168.213.102"))
    for kind in ("auto", "shell"):
        text = beacon.user_data(beacon.BeaconSettings(kind=kind, peers=peers))
        script = tmp_path / "user-data"
        script.write_text(text)

        assert len(text.encode()) < 16384
        assert text.startswith("#!/bin/sh\n")
        assert not re.search("@[A-Z_]+@", text)
        assert 'peers="canary-some-longer-host.example.com=192.168.213.101 a_b___rm___=192.168.213.102"' in text
        assert subprocess.run(["sh", "-n", str(script)], check=False, timeout=30).returncode == 0
