from __future__ import annotations

import socket
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.prober.echo import icmp
from rehearsal.prober.echo.icmp import EchoSocket
from rehearsal.prober.echo.icmp import Heard
from tests.prober.taking import MS

WALL = 1_800_000_000_000_000_000
HOST, ROUTER = socket.inet_aton("192.0.2.7"), socket.inet_aton("192.0.2.254")


def request(echo, sequence, payload=b"payload"):
    """Return an echo request of this socket."""
    packet = echo.head() + struct.pack("!H", sequence) + payload
    if echo.family == socket.AF_INET:
        packet = packet[:2] + struct.pack("!H", icmp.checksum(packet)) + packet[4:]
    return packet


def opened(family=socket.AF_INET):
    try:
        return EchoSocket(family)
    except OSError as error:
        pytest.skip(f"ICMP is not permitted here: {error}")


@given(
    waited=st.integers(0, 50_000_000_000),
    step=st.integers(-(10**18), 10**18),
    is_after=st.booleans(),
    now=st.integers(10**14, 10**15),
)
def test_trap_23_a_step_of_the_wall_clock_moves_no_sample(waited, step, is_after, now):
    """Whatever the wall clock does between two readings, the moment is none after the reading, and none too early."""
    before, after = WALL, WALL + step
    arrived = now - waited
    stamp = arrived + (after if is_after else before)
    moment = icmp.arrived_ns(stamp, before, after, now)
    assert arrived <= moment <= now
    assert icmp.arrived_ns(arrived + before, before, before, now) == arrived


@given(st.sampled_from([socket.AF_INET, socket.AF_INET6]), st.binary(max_size=120), st.integers(0, 65535))
def test_any_packet_is_parsed_or_ignored(family, data, identifier):
    """No packet that a stranger sends can crash the prober."""
    heard = icmp.parse(family, data, bytes(4 if family == socket.AF_INET else 16), identifier, (1, 1))
    assert heard is None or heard.sequence in range(65536)


def test_an_error_that_quotes_our_request_is_understood():
    """A router that says unreachable is believed if it quotes our own echo request."""
    request = struct.pack("!BBHHH", 8, 0, 0, 77, 5) + b"payload"
    quoted = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, 1, 0, bytes(4), HOST) + request
    packet = struct.pack("!BBHHH", 3, 1, 0, 0, 0) + quoted
    heard = icmp.parse(socket.AF_INET, packet, ROUTER, 77, (9, 8))
    assert heard == Heard(HOST, 5, b"", 9, 8, "192.0.2.254 says unreachable, code 1")
    assert icmp.parse(socket.AF_INET, packet, ROUTER, 78, (9, 8)) is None


@given(st.binary(max_size=99))
def test_the_checksum_is_the_internets(data):
    """A packet with its checksum in place sums to zero."""
    data += b"\0" * (len(data) % 2)
    assert icmp.checksum(data + struct.pack("!H", icmp.checksum(data))) == 0


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_loopback_answers(family):
    """A real socket gets its own replies, with the kernel's time stamps, and no echo of its requests."""
    address = "127.0.0.1" if family == socket.AF_INET else "::1"
    echo = opened(family)
    for turn in range(50):  # the kernel begins to stamp some time after it was asked to
        before = time.monotonic_ns()
        echo.sock.sendto(request(echo, 2 + turn), (address, 0))
        time.sleep(0.05)
        heard = list(echo.hear())
        assert [each[:3] for each in heard] == [(socket.inet_pton(family, address), 2 + turn, b"payload")]
        assert before - 10 * MS < heard[0].from_ns <= heard[0].arrived_ns  # also if it was not stamped
        if heard[0].arrived_ns - before < 45 * MS:
            assert heard[0].from_ns == heard[0].arrived_ns
            break
    else:
        pytest.fail("no reply was stamped by the kernel before it was read")
    assert not list(echo.hear())
    echo.sock.close()


def test_a_reply_that_was_not_stamped_may_have_come_since_the_last_reading(monkeypatch):
    """A stamp that is made by the reading says nothing about the arrival but that it was before."""
    echo = opened()
    list(echo.hear())
    emptied = time.monotonic_ns()
    time.sleep(0.02)
    monkeypatch.setattr(icmp.Inbox, "receive", lambda inbox, fd, left=[1]: left.pop() if left else 0)
    packet = struct.pack("!BBHHH", 0, 0, 0, echo.identifier, 5) + b"payload"
    if echo.raw:
        packet = bytes([0x45]) + bytes(19) + packet
    monkeypatch.setattr(icmp.Inbox, "taken", lambda *_: [(packet, HOST, time.time_ns(), 0)])
    [heard] = echo.hear()
    echo.sock.close()
    assert heard.from_ns <= emptied
    assert heard.arrived_ns >= emptied + 20 * MS


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_trap_23_a_real_reply_keeps_its_moment_when_the_wall_clock_is_set(step_s, monkeypatch):
    """The clock is set by an hour while a reply waits in the socket; it is timed within its true limits."""
    echo = opened()
    before = time.monotonic_ns()
    echo.sock.sendto(request(echo, 1), ("127.0.0.1", 0))
    time.sleep(0.05)
    offset_ns = icmp.clock_offset_ns
    monkeypatch.setattr(icmp, "clock_offset_ns", lambda: offset_ns() + step_s * 1_000_000_000)
    [heard] = echo.hear()
    echo.sock.close()
    assert before <= heard.arrived_ns <= time.monotonic_ns()


def test_what_is_longer_than_a_row_is_cut_off_and_all_of_it_is_read():
    """More replies than one call takes, and data longer than expected: everything is read, nothing is kept for later."""
    echo = opened()
    for sequence in range(150):
        echo.sock.sendto(request(echo, sequence, b"x" * 1000), ("127.0.0.1", 0))
    time.sleep(0.1)
    heard = list(echo.hear())
    echo.sock.close()
    assert [each.sequence for each in heard] == list(range(150))
    assert all(0 < len(each.payload) < 1000 for each in heard)
