from __future__ import annotations

import errno
import socket
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.probe import icmp
from rehearsal.probe.icmp import EchoSocket
from rehearsal.probe.icmp import Heard
from rehearsal.probe.icmp import IcmpProbe
from rehearsal.probe.schedule import Schedule
from rehearsal.probe.spec import ProbeSpec
from rehearsal.sampleclass import SampleClass
from rehearsal.samples import BLIND
from tests import wrong_rules
from tests.probe.taking import MS
from tests.probe.taking import Kept

TOKEN = b"the run!"


class Wire:
    """Stands where the socket stands and remembers what was sent."""

    identifier = 77

    def __init__(self, error=None):
        self.sent = []
        self.error = error

    def send(self, address, seq, probe, size_bytes):
        if self.error:
            raise OSError(self.error, "no")
        self.sent.append((address, seq, icmp._MARK.pack(TOKEN, probe, seq).ljust(size_bytes, b"r")))


def probing(wire=None, **changes):
    spec = ProbeSpec(
        probe=4,
        name="c0 icmp",
        lane="icmp",
        service="canary",
        target="192.0.2.7",
        period_ns=20 * MS,
        deadline_ns=changes.pop("deadline_ns", 1000 * MS),
        soft_ns=changes.pop("soft_ns", 0),
        settings={"address": "192.0.2.7"},
    )
    kept, wire = Kept(), wire or Wire()
    schedule = Schedule.starting(probe=4, period_ns=20 * MS, now_ns=time.monotonic_ns())
    return IcmpProbe(spec, schedule, kept, wire), kept, wire


def reply(payload, *, source="192.0.2.7", sequence=0, arrived=None):
    return Heard(source, sequence, payload, arrived or time.monotonic_ns())


def test_a_fitting_reply_is_good():
    """A reply with sequence, payload and source of an open sample is good, timed by the kernel."""
    probe, kept, wire = probing()
    probe.tick(0, time.monotonic_ns())
    arrived = time.monotonic_ns() + 5
    probe.hear(reply(wire.sent[0][2], arrived=arrived), TOKEN)
    assert kept.classes == [SampleClass.OK]
    assert kept.rows[0].done == arrived


@pytest.mark.parametrize(
    "spoil",
    [
        lambda payload: payload[:-1],
        lambda payload: payload + b"x",
        lambda payload: payload[:-1] + b"x",
        lambda payload: b"another." + payload[8:],
        lambda payload: payload[:8] + b"\x00\x09" + payload[10:],
        lambda payload: b"",
    ],
)
def test_trap_28_a_reply_with_another_payload_is_ignored(spoil):
    """Identifier and sequence fit, the payload does not: the host is not alive."""
    probe, kept, wire = probing()
    probe.tick(0, time.monotonic_ns())
    heard = reply(spoil(wire.sent[0][2]))
    assert wrong_rules.same_identifier_and_sequence(Wire.identifier, 0, Wire.identifier, heard.sequence)
    probe.hear(heard, TOKEN)
    assert kept.rows == []
    probe.pending.expire(time.monotonic_ns() + 2000 * MS)
    assert kept.classes == [SampleClass.NO_REPLY]


def test_trap_28_a_reply_with_another_sequence_is_ignored():
    """The payload fits, the sequence number in the head does not."""
    probe, kept, wire = probing()
    probe.tick(0, time.monotonic_ns())
    probe.hear(reply(wire.sent[0][2], sequence=1), TOKEN)
    assert kept.rows == []


def test_trap_29_a_late_reply_inside_the_deadline_is_good_and_one_after_it_is_not():
    """That there is no answer yet is no loss; a reply after the deadline is counted, not turned into a success."""
    probe, kept, wire = probing(soft_ns=500 * MS)
    sent = time.monotonic_ns()
    for seq in range(3):
        probe.tick(seq, sent)
    probe.hear(reply(wire.sent[0][2], sequence=0, arrived=sent + 400 * MS), TOKEN)
    probe.hear(reply(wire.sent[1][2], sequence=1, arrived=sent + 800 * MS), TOKEN)
    assert kept.classes == [SampleClass.OK, SampleClass.SLOW_OK]
    assert wrong_rules.no_answer_yet(kept.rows[0].sent, 20 * MS, kept.rows[0].done)
    probe.pending.expire(sent + 1500 * MS)
    probe.hear(reply(wire.sent[2][2], sequence=2, arrived=sent + 1600 * MS), TOKEN)
    assert kept.classes == [SampleClass.OK, SampleClass.SLOW_OK, SampleClass.NO_REPLY]
    assert kept.rows[2].done - kept.rows[2].sent == 1000 * MS
    assert probe.pending.late == 1


def test_double_replies_are_counted_apart():
    """Duplicates, usual in a migration, are neither samples nor late replies."""
    probe, kept, wire = probing()
    probe.tick(0, time.monotonic_ns())
    for _ in range(3):
        probe.hear(reply(wire.sent[0][2]), TOKEN)
    assert len(kept.rows) == 1
    assert (probe.pending.duplicates, probe.pending.late) == (2, 0)


def test_what_the_prober_cannot_send_is_its_own_fault():
    """A full buffer of the prober's host says nothing about the canary; an unreachable neighbour does."""
    probe, kept, _ = probing(Wire(errno.ENOBUFS))
    probe.tick(0, time.monotonic_ns())
    assert kept.classes == [SampleClass.LOCAL_FAULT]
    probe, kept, _ = probing(Wire(errno.EHOSTUNREACH))
    probe.tick(0, time.monotonic_ns())
    assert kept.classes == [SampleClass.UNREACHABLE]


def test_a_late_tick_is_flagged():
    """A sample sent more than a period after it was due is flagged BLIND, good or not."""
    probe, kept, wire = probing()
    probe.tick(0, time.monotonic_ns() - 30 * MS)
    probe.hear(reply(wire.sent[0][2]), TOKEN)
    assert kept.rows[0].flags & BLIND


@given(st.integers(-(10**18), 10**18), st.integers(10**9, 10**15))
def test_trap_23_a_step_of_the_wall_clock_moves_no_sample(step, now):
    """Whatever the wall clock does between arrival and reading, the moment is never after the reading."""
    wall = 1_800_000_000_000_000_000
    moment = icmp.arrived_ns(wall, wall + step, now)
    assert moment <= now
    assert moment >= now - 60_000_000_000
    assert icmp.arrived_ns(wall, wall + 3_000, now) == now - 3_000
    assert icmp.arrived_ns(wall, wall - 3_600_000_000_000, now) == now


@given(st.sampled_from([socket.AF_INET, socket.AF_INET6]), st.binary(max_size=120), st.integers(0, 65535))
def test_any_packet_is_parsed_or_ignored(family, data, identifier):
    """No packet that a stranger sends can crash the prober."""
    heard = icmp.parse(family, data, "192.0.2.1", identifier, 1)
    assert heard is None or heard.sequence in range(65536)


def test_an_error_that_quotes_our_request_is_understood():
    """A router that says unreachable is believed if it quotes our own echo request."""
    request = struct.pack("!BBHHH", 8, 0, 0, 77, 5) + b"payload"
    quoted = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, 1, 0, bytes(4), socket.inet_aton("192.0.2.7")) + request
    packet = struct.pack("!BBHHH", 3, 1, 0, 0, 0) + quoted
    heard = icmp.parse(socket.AF_INET, packet, "192.0.2.254", 77, 9)
    assert heard == Heard("192.0.2.7", 5, b"", 9, "192.0.2.254 says unreachable, code 1")
    assert icmp.parse(socket.AF_INET, packet, "192.0.2.254", 78, 9) is None
    probe, kept, _ = probing()
    probe.tick(5, time.monotonic_ns())
    probe.hear(Heard("192.0.2.7", 5, b"", time.monotonic_ns(), heard.error), TOKEN)
    assert kept.classes == [SampleClass.UNREACHABLE]
    assert "192.0.2.254 says unreachable" in kept.messages


@given(st.binary(max_size=99))
def test_the_checksum_is_the_internets(data):
    """A packet with its checksum in place sums to zero."""
    data += b"\0" * (len(data) % 2)
    assert icmp.checksum(data + struct.pack("!H", icmp.checksum(data))) == 0


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_loopback_answers(family):
    """A real socket gets its own replies, with the kernel's time stamps, and no echo of its requests."""
    address = "127.0.0.1" if family == socket.AF_INET else "::1"
    try:
        echo = EchoSocket(family, TOKEN)
        echo.send(address, 1, 4, 56)
    except OSError as error:
        pytest.skip(f"ICMP is not permitted here: {error}")
    for turn in range(50):  # the kernel begins to stamp some time after it was asked to
        before = time.monotonic_ns()
        payload = echo.send(address, 0x10002 + turn, 4, 56)
        time.sleep(0.05)
        heard = [each for each in echo.hear() if each.payload == payload]
        assert [(each.source, each.sequence, each.error) for each in heard] == [(address, 2 + turn, "")]
        if heard[0].arrived_ns - before < 45 * MS:
            break
    else:
        pytest.fail("no reply was stamped by the kernel before it was read")
    echo.sock.close()


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_trap_23_a_real_reply_keeps_its_moment_when_the_wall_clock_is_set(step_s, monkeypatch):
    """The clock is set by an hour while a reply waits in the socket; it is timed within its true limits."""
    try:
        echo = EchoSocket(socket.AF_INET, TOKEN)
        before = time.monotonic_ns()
        payload = echo.send("127.0.0.1", 1, 4, 56)
    except OSError as error:
        pytest.skip(f"ICMP is not permitted here: {error}")
    time.sleep(0.05)
    wall_ns = time.time_ns
    monkeypatch.setattr(icmp.time, "time_ns", lambda: wall_ns() + step_s * 1_000_000_000)
    [heard] = [each for each in echo.hear() if each.payload == payload]
    echo.sock.close()
    assert before <= heard.arrived_ns <= time.monotonic_ns()
