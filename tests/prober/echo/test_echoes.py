from __future__ import annotations

import errno
import socket
import struct
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.lanes.spec import ProbeSpec
from rehearsal.prober.echo import echoes as room
from rehearsal.prober.echo import icmp
from rehearsal.prober.echo import mmsg
from rehearsal.prober.echo.echoes import Echoes
from rehearsal.prober.echo.icmp import Heard
from rehearsal.prober.loop import Loop
from rehearsal.recording import events
from rehearsal.recording.journal import read
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.sampleflags import BLIND
from rehearsal.recording.samples import samples_by_probe
from tests.made import wrong_rules
from tests.prober.taking import MS
from tests.prober.taking import Kept

S = 1000 * MS
PERIOD, DEADLINE = 20 * MS, 1000 * MS
TOKEN = b"the run!"
FAMILIES = [socket.AF_INET, socket.AF_INET6]


class Wire:
    """Stands where the socket of an address family stands; what is sent stays here, what arrives is put here."""

    identifier = 77
    drops = 0

    def __init__(self, family):
        self.family = family
        self.sent = []
        self.waiting = []
        self.sock = self

    def fileno(self):
        return self.family

    def head(self):
        return icmp.EchoSocket.head(self)

    def make_room(self, size_bytes):
        pass

    def hear(self):
        heard, self.waiting = self.waiting, []
        return heard


class Kit:
    """All ICMP probes of a process, whose packets go nowhere."""

    def __init__(self, patch):
        self.kept = Kept()
        self.echoes = Echoes(Loop(), self.kept, TOKEN)
        self.wires = {family: Wire(family) for family in FAMILIES}
        self.echoes._sockets.update(self.wires)
        self.refusals = {}  # place in a round: errno
        self.before_sending = lambda: None
        patch.setattr(mmsg.Outbox, "send", lambda outbox, *which: self._send(outbox, *which))  # noqa: PLW0108 - bound

    def _send(self, outbox, fd, first, count):
        self.before_sending()
        if first in self.refusals:
            return 0, self.refusals[first]
        until = min([first + count, *(place for place in self.refusals if place > first)])
        for place in range(first, until):
            name, _, pieces = outbox._kept[3 * place : 3 * place + 3]
            packet = b"".join(buffer.raw[begin : begin + length] for buffer, begin, length in pieces)
            self.wires[fd].sent.append((name.raw, packet))
        return until - first, 0

    def declare(self, number, **changes):
        self.echoes.declare(spec(number, **changes), changes.get("seq", 0))

    def tick(self, seq, due=None):
        for group in list(self.echoes._groups):
            group.tick(seq, time.monotonic_ns() if due is None else due)

    def replies(self, family=socket.AF_INET, arrived=None):
        """Return what the targets would answer to everything that was sent so far."""
        arrived = time.monotonic_ns() if arrived is None else arrived
        at, length = (4, 4) if family == socket.AF_INET else (8, 16)
        return [
            Heard(name[at : at + length], struct.unpack_from("!H", packet, 6)[0], packet[8:], arrived, arrived)
            for name, packet in self.wires[family].sent
        ]

    def hear(self, *heard, family=socket.AF_INET):
        self.wires[family].waiting += heard
        self.echoes.read()


def spec(number, **changes):
    changes.pop("seq", None)
    values = {
        "probe": number,
        "name": f"c{number}",
        "lane": "icmp",
        "service": "canary",
        "target": "x",
        "period_ns": PERIOD,
        "deadline_ns": DEADLINE,
        "settings": {"address": f"192.0.2.{number}", **changes.pop("settings", {})},
    }
    return ProbeSpec(**{**values, **changes})


@pytest.fixture
def kit(monkeypatch):
    return Kit(monkeypatch)


def named(kept):
    return {(row.probe, row.seq): SampleClass(row.sample_class).name for row in kept.rows}


# --- which replies are believed ----------------------------------------------------------------------------------------


def test_replies_that_fit_are_good_each_with_its_own_moment(kit):
    """A reply with sequence, payload and source of an open sample is good, timed by the kernel however late it is read."""
    for number in (1, 2, 3):
        kit.declare(number)
    kit.tick(0)
    base = time.monotonic_ns()
    time.sleep(0.01)
    kit.hear(*(heard._replace(arrived_ns=base + place) for place, heard in enumerate(kit.replies())))
    assert named(kit.kept) == {(1, 0): "OK", (2, 0): "OK", (3, 0): "OK"}
    assert [row.done for row in kit.kept.rows] == [base, base + 1, base + 2]
    assert kit.echoes.in_flight() == 0


@given(place=st.integers(0, 55), bit=st.integers(0, 7))
def test_trap_28_a_reply_with_any_other_bit_of_payload_is_ignored(place, bit):
    """Identifier and sequence fit, one bit of the payload does not: the host is not alive."""
    with pytest.MonkeyPatch.context() as patch:
        kit = Kit(patch)
        kit.declare(1)
        kit.tick(0)
        [heard] = kit.replies()
        payload = bytearray(heard.payload)
        payload[place] ^= 1 << bit
        assert wrong_rules.same_identifier_and_sequence(77, heard.sequence, 77, heard.sequence)
        kit.hear(heard._replace(payload=bytes(payload)))
        assert kit.kept.rows == []
        kit.echoes.expire(time.monotonic_ns() + 2 * DEADLINE)
        assert named(kit.kept) == {(1, 0): "NO_REPLY"}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda heard: heard._replace(payload=heard.payload[:-1]),
        lambda heard: heard._replace(payload=heard.payload + b"r"),
        lambda heard: heard._replace(payload=b""),
        lambda heard: heard._replace(sequence=heard.sequence ^ 1),
        lambda heard: heard._replace(source=socket.inet_aton("192.0.2.2")),
        lambda heard: heard._replace(source=socket.inet_pton(socket.AF_INET6, "2001:db8::1")),
    ],
)
def test_trap_28_a_reply_of_another_length_number_or_source_is_ignored(kit, spoil):
    """The payload fits, but there is more or less of it, or head or sender say something else."""
    kit.declare(1)
    kit.declare(2)
    kit.tick(0)
    kit.hear(spoil(kit.replies()[0]))
    assert kit.kept.rows == []
    assert kit.echoes.in_flight() == 2


def test_a_reply_of_another_round_or_probe_stands_for_no_other(kit):
    """Each reply answers its own sample, whatever order they come in."""
    kit.declare(1)
    kit.declare(2)
    for tick in range(3):
        kit.tick(tick)
    replies = kit.replies()
    kit.hear(replies[5], replies[0])
    assert named(kit.kept) == {(2, 2): "OK", (1, 0): "OK"}


def test_trap_29_a_late_reply_inside_the_deadline_is_good_and_one_after_it_is_not(kit):
    """That there is no answer yet is no loss; a reply after the deadline is counted, not turned into a success."""
    kit.declare(1, soft_ns=500 * MS)
    for tick in range(3):
        kit.tick(tick)
    sent = time.monotonic_ns()
    first, second, third = kit.replies()
    kit.hear(
        first._replace(arrived_ns=sent + 400 * MS, from_ns=sent + 400 * MS),
        second._replace(arrived_ns=sent + 800 * MS, from_ns=sent + 800 * MS),
    )
    assert kit.kept.classes == [SampleClass.OK, SampleClass.SLOW_OK]
    assert not any(row.flags & BLIND for row in kit.kept.rows)
    assert wrong_rules.no_answer_yet(kit.kept.rows[0].sent, PERIOD, kit.kept.rows[0].done)
    kit.echoes.expire(sent + 1500 * MS)
    kit.hear(third._replace(arrived_ns=sent + 1600 * MS, from_ns=sent + 1600 * MS))
    assert kit.kept.classes == [SampleClass.OK, SampleClass.SLOW_OK, SampleClass.NO_REPLY]
    assert DEADLINE <= kit.kept.rows[2].done - kit.kept.rows[2].sent < DEADLINE + 10 * MS
    assert (kit.echoes.late, kit.echoes.duplicates) == (1, 0)


@given(
    took=st.integers(0, 3 * DEADLINE),
    read_late=st.integers(0, 5 * DEADLINE),
    soft=st.sampled_from([0, 100 * MS, 500 * MS]),
)
def test_b6_the_moment_of_reading_makes_no_reply_lost_or_slow(took, read_late, soft):
    """However late it is read: a reply that arrived before its deadline is good, and slow only if it was slow."""
    with pytest.MonkeyPatch.context() as patch:
        kit = Kit(patch)
        kit.declare(1, soft_ns=soft)
        kit.tick(0)
        sent = next(iter(kit.echoes._rounds.values())).sent_ns
        left = next(iter(kit.echoes._rounds.values())).left_ns
        [heard] = kit.replies(arrived=sent + took)
        kit.wires[socket.AF_INET].waiting.append(heard)
        kit.echoes.expire(sent + took + read_late)
        if took >= left - sent + DEADLINE:
            kit.echoes.expire(left + DEADLINE)
            assert named(kit.kept) == {(1, 0): "NO_REPLY"}
            assert kit.echoes.late == 1
        else:
            assert named(kit.kept) == {(1, 0): "SLOW_OK" if took > soft > 0 else "OK"}
            assert kit.kept.rows[0].done == sent + took


def test_b6_a_reply_without_a_stamp_of_its_own_may_have_come_before_it_was_read(kit):
    """What arrived at an unknown moment since the last reading is neither lost nor slow by the prober's own fault."""
    kit.declare(1, soft_ns=50 * MS)
    kit.declare(2, soft_ns=50 * MS)
    kit.tick(0)
    sent = time.monotonic_ns()
    late, slow = kit.replies(arrived=sent)
    kit.hear(
        late._replace(arrived_ns=sent + 2 * DEADLINE, from_ns=sent),
        slow._replace(arrived_ns=sent + 90 * MS, from_ns=sent + 60 * MS),
    )
    assert kit.kept.classes == [SampleClass.SLOW_OK, SampleClass.SLOW_OK]
    assert [row.flags for row in kit.kept.rows] == [BLIND, 0]


def test_b6_a_prober_that_is_stopped_while_it_sends_waits_the_whole_deadline(kit):
    """The deadline counts from when the requests had left, and what left late says so."""
    kit.declare(1, deadline_ns=30 * MS, soft_ns=20 * MS)
    kit.before_sending = lambda: time.sleep(0.04)
    kit.tick(0)
    left = time.monotonic_ns()
    kit.echoes.expire(left)
    [heard] = kit.replies(arrived=left + MS)
    kit.hear(heard)
    assert kit.kept.classes == [SampleClass.SLOW_OK]
    assert kit.kept.rows[0].flags == BLIND


def test_late_and_double_replies_are_counted_apart(kit):
    """Duplicates, usual in a migration, are neither samples nor late replies."""
    kit.declare(1)
    kit.declare(2)
    kit.tick(0)
    first, second = kit.replies()
    kit.hear(first, first)
    kit.hear(first)
    kit.echoes.expire(time.monotonic_ns() + 2 * DEADLINE)
    kit.hear(second, first)
    assert named(kit.kept) == {(1, 0): "OK", (2, 0): "NO_REPLY"}
    assert (kit.echoes.duplicates, kit.echoes.late) == (3, 1)


# --- what is sent ------------------------------------------------------------------------------------------------------


@given(
    family=st.sampled_from(FAMILIES),
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=5),
    skip=st.integers(0, 2**40),
)
def test_every_request_is_well_formed_and_like_no_other(family, sizes, skip):
    """Head, checksum, size and payload are right for each, and no two payloads of a run are the same."""
    with pytest.MonkeyPatch.context() as patch:
        kit = Kit(patch)
        kit.echoes._number = skip
        address = "192.0.2.{}" if family == socket.AF_INET else "2001:db8::{}"
        for number, size in enumerate(sizes, start=1):
            kit.declare(number, settings={"address": address.format(number), "size_bytes": size})
        for tick in range(3):
            kit.tick(tick)
        sent = kit.wires[family].sent
        assert len({packet for _, packet in sent}) == len(sent) == 3 * len(sizes)
        for _, packet in sent:
            kind, code, _, identifier, _ = struct.unpack_from("!BBHHH", packet)
            assert (kind, code, identifier) == (8 if family == socket.AF_INET else 128, 0, 77)
            if family == socket.AF_INET:
                assert icmp.checksum(packet) == 0
        expected = sorted(min(max(size, room.LEAST_BYTES), room.MOST_BYTES) for size in sizes) * 3
        assert sorted(len(packet) - 8 for _, packet in sent) == sorted(expected)
        assert {socket.inet_ntop(family, heard.source) for heard in kit.replies(family)} == {
            address.format(number) for number in range(1, len(sizes) + 1)
        }
        kit.hear(*kit.replies(family), family=family)
        assert set(kit.kept.classes) == {SampleClass.OK}


def test_what_the_prober_cannot_send_is_its_own_fault(kit):
    """A full buffer of the prober's host says nothing about the canary, an unreachable neighbour does; others go on."""
    for number in (1, 2, 3, 4):
        kit.declare(number)
    kit.refusals = {1: errno.ENOBUFS, 2: errno.EHOSTUNREACH}
    kit.tick(0)
    kit.hear(*kit.replies())
    assert named(kit.kept) == {(1, 0): "OK", (2, 0): "LOCAL_FAULT", (3, 0): "UNREACHABLE", (4, 0): "OK"}


def test_an_error_on_the_way_is_believed_if_it_quotes_an_open_request(kit):
    """A router's word about a request makes that sample UNREACHABLE, and no other."""
    kit.declare(1)
    kit.declare(2)
    kit.tick(0)
    first, _ = kit.replies()
    word = "192.0.2.254 says unreachable, code 1"
    now = time.monotonic_ns()
    kit.hear(Heard(socket.inet_aton("192.0.2.9"), first.sequence, b"", now, now, word))
    kit.hear(Heard(first.source, first.sequence ^ 1, b"", now, now, word))
    assert kit.kept.rows == []
    kit.hear(*[Heard(first.source, first.sequence, b"", now, now, word)] * 2)
    assert named(kit.kept) == {(1, 0): "UNREACHABLE"}
    assert kit.kept.messages == word


def test_a_late_tick_is_flagged(kit):
    """A sample sent more than a period after it was due is flagged BLIND, good or not."""
    kit.declare(1)
    kit.tick(0, time.monotonic_ns() - 30 * MS)
    kit.hear(*kit.replies())
    assert kit.kept.rows[0].flags & BLIND


def test_trap_26_after_a_stall_a_few_rounds_are_sent_late_and_the_rest_is_counted(kit):
    """2 s late, whole rounds are given up and counted for each probe, the rest is sent and flagged BLIND."""
    loop = kit.echoes.loop
    for number in range(1, 4):
        kit.declare(number)
    [group] = kit.echoes._groups
    group.schedule.due_ns = time.monotonic_ns() - 2 * S
    loop._ticks = [(group.schedule.due_ns, 1, group)]
    loop._fire_ticks()
    kit.echoes.cancel()
    assert len(kit.kept.rows) + loop.dropped == 3 * group.schedule.seq
    assert loop.dropped > 90 * 3
    assert all(row.flags & BLIND for row in kit.kept.rows if row.seq < group.schedule.seq - 2)


def test_few_phases_hold_many_probes_and_kinds_share_them(kit):
    """Probes fire together, at most so many in one phase; those of another size or family join the same moment."""
    for number in range(1, 71):
        kit.declare(number)
    kit.declare(71, settings={"size_bytes": 100})
    kit.declare(72, settings={"address": "2001:db8::1"})
    kit.declare(73, period_ns=3 * PERIOD)
    sizes = sorted((len(group.members), group.number) for group in kit.echoes._groups)
    assert sizes == [(1, 0), (1, 2), (1, 2), (6, 2), (32, 0), (32, 1)]
    phases = {group.schedule.due_ns % PERIOD for group in kit.echoes._groups if group.schedule.period_ns == PERIOD}
    assert len(phases) == 3


# --- nothing is lost, doubled or forgotten -----------------------------------------------------------------------------

HAPPENINGS = st.one_of(
    st.tuples(st.just("tick"), st.integers(1, 6), st.just(0)),
    st.tuples(st.just("hear"), st.integers(0, 200), st.integers(-100, 2500)),
    st.tuples(st.just("error"), st.integers(0, 200), st.just(0)),
    st.tuples(st.just("expire"), st.integers(0, 3000), st.just(0)),
    st.tuples(st.just("retire"), st.integers(1, 8), st.just(0)),
    st.tuples(st.just("declare"), st.integers(1, 8), st.integers(0, 2)),
    st.tuples(st.just("period"), st.integers(1, 8), st.integers(1, 3)),
)


@given(happenings=st.lists(HAPPENINGS, max_size=40), first=st.integers(0, 2**31))
def test_every_sample_that_was_sent_is_recorded_once(happenings, first):  # noqa: C901
    """Whatever is late, lost, doubled, retired or changed: each sample sent is recorded once, and numbers go on."""
    with pytest.MonkeyPatch.context() as patch:
        kit = Kit(patch)
        following = {}
        running = set()
        for what, one, two in happenings:
            if what == "tick":
                for group in list(kit.echoes._groups):
                    now = time.monotonic_ns()
                    group.schedule.due_ns = now - one * group.schedule.period_ns
                    for seq, due in group.schedule.take(now)[0]:
                        group.tick(seq, due)
            elif what in {"hear", "error"} and kit.replies():
                heard = kit.replies()[one % len(kit.replies())]
                arrived = heard.arrived_ns + two * MS
                error = "no" if what == "error" else ""
                kit.hear(heard._replace(arrived_ns=arrived, from_ns=arrived, error=error))
            elif what == "expire":
                kit.echoes.expire(time.monotonic_ns() + one * MS)
            elif what == "retire" and one in running:
                following[one] = kit.echoes.retire(one)[1]
                running.discard(one)
            elif what == "declare" and one not in running:
                size = {"size_bytes": 56 + 8 * two}
                kit.echoes.declare(spec(one, settings=size), following.get(one, first))
                running.add(one)
            elif what == "period":
                kit.echoes.period(one, two * PERIOD)
        for number in running:
            following[number] = kit.echoes.retire(number)[1]
        kit.echoes.cancel()
        keys = [(row.probe, row.seq) for row in kit.kept.rows]
        assert len(keys) == len(set(keys)) == len(kit.wires[socket.AF_INET].sent)
        assert kit.echoes.in_flight() == 0
        assert all(first <= seq < following[probe] for probe, seq in keys)
        assert all(row.sent <= row.done for row in kit.kept.rows)


def test_rounds_that_are_long_over_are_forgotten(kit):
    """A prober that runs for days keeps only what can still be answered, late or twice."""
    kit.declare(1)
    kit.tick(0)
    kit.hear(*kit.replies())
    kit.tick(1)
    kit.echoes.expire(time.monotonic_ns() + S)
    assert len(kit.echoes._rounds) == 2
    kit.echoes.expire(time.monotonic_ns() + 60 * S)
    assert not kit.echoes._rounds
    assert not kit.echoes._open


def test_what_is_in_flight_when_the_prober_stops_is_cancelled(kit):
    """It is neither good nor lost; what has arrived by then counts."""
    kit.declare(1)
    kit.declare(2)
    kit.tick(0)
    kit.wires[socket.AF_INET].waiting = kit.replies()[:1]
    kit.echoes.cancel()
    assert named(kit.kept) == {(1, 0): "OK", (2, 0): "CANCELLED_BY_STOP"}


# --- on the machine itself ---------------------------------------------------------------------------------------------


@pytest.mark.realtime
def test_many_probes_on_loopback_are_all_answered(tmp_path, prober):
    """Fifty-five targets at 50 Hz are all answered, come and go, and every sample has its own number."""
    try:
        icmp.EchoSocket(socket.AF_INET).sock.close()
    except OSError as error:
        pytest.skip(f"ICMP is not permitted here: {error}")
    running = prober()
    specs = [spec(number, deadline_ns=2 * S, settings={"address": f"127.0.7.{number}"}) for number in range(1, 56)]
    for each in specs:
        running.declare(each)
    until = time.monotonic() + 20
    while len(samples_by_probe(tmp_path).get(55, ())) < 50 and time.monotonic() < until:
        time.sleep(0.2)
    running.declare(replace(specs[0], probe=61, name="late", settings={"address": "127.0.7.61"}))
    time.sleep(0.5)
    running.retire(55)
    running.period(1, 50 * MS)
    time.sleep(0.7)
    running.stop()
    found = samples_by_probe(tmp_path)
    for number in [*range(1, 56), 61]:
        samples = found[number]
        assert set(samples["sample_class"].tolist()) == {int(SampleClass.OK)}
        assert (np.diff(samples["seq"].astype(int)) >= 1).all()
    assert len(found[2]) > 50
    assert np.diff(found[1]["due"])[-1] == 50 * MS
    assert found[55]["sent"].max() < found[54]["sent"].max() - 400 * MS
    beats = [
        r.event for r in read(tmp_path / "journal" / "prober.jsonl").records if isinstance(r.event, events.ProberBeat)
    ]
    assert sum(beat.late + beat.duplicates for beat in beats) == 0
