"""The lane icmp: echo requests in rounds, one for each probe of a group, replies believed only if everything fits.

What wakes a process costs more than what it then does for a packet. So probes of one kind do not fire at phases of their
own but together, and replies are read when many may wait, at the latest after a tenth of a second; the kernel's stamps
say when they arrived.

A reply counts only if identifier, sequence number, source address and every byte of the payload match an open sample:
matching on identifier and sequence number alone has reported dead hosts alive. Requests of a round differ in the probe's
number alone. They carry the number of the round, which is never used twice, and its complement, so that the checksum is
the same in every round.

Invariant: every sample that was sent leaves here exactly once, answered, failed, given up or cancelled.
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import os
import socket
import struct
from dataclasses import dataclass
from dataclasses import field
from time import monotonic_ns
from typing import TYPE_CHECKING

from rehearsal.lanes.spec import family_of
from rehearsal.lanes.spec import numeric_address
from rehearsal.prober.echo import icmp
from rehearsal.prober.echo.mmsg import Outbox
from rehearsal.prober.schedule import Schedule
from rehearsal.recording.events import SampleDetail
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.sampleflags import BLIND

if TYPE_CHECKING:
    from rehearsal.lanes.spec import ProbeSpec
    from rehearsal.prober.echo.mmsg import Buffer
    from rehearsal.prober.loop import Loop
    from rehearsal.prober.sink import Recorder

MOST_TOGETHER = 32  # the last of them leaves a third of a millisecond after the first
READ_NS = 90_000_000  # so long replies may wait to be read,
READ_AT_ONCE = 96  # or until so many requests were sent: reading more at once would make the next group late
_KEPT_NS = 10_000_000_000  # rounds that are over, to tell a double reply from a late one
_WHO = struct.Struct("!8sQ")  # token of the run, number of the probe
_ROUND = struct.Struct("!HQQH")  # sequence number; round, its complement, the sequence number's complement
_WHO_END = _WHO.size
_ROUND_END = _WHO_END + _ROUND.size - 2
_NUMBER = struct.Struct("!Q")
_ONES = (1 << 64) - 1
_HEAD_BYTES = 8  # of an ICMP message; its last two are the sequence number
LEAST_BYTES, MOST_BYTES = _ROUND_END, 8192


def size_of(spec: ProbeSpec) -> int:
    """Return the length of the data of an echo request of this probe."""
    return min(max(int(spec.settings.get("size_bytes", 56)), LEAST_BYTES), MOST_BYTES)


@dataclass(frozen=True, slots=True)
class Kind:
    """What the probes of a group have in common."""

    family: socket.AddressFamily
    period_ns: int
    deadline_ns: int
    soft_ns: int
    size_bytes: int

    @classmethod
    def of(cls, spec: ProbeSpec) -> Kind:
        """Return the kind of a probe."""
        family = family_of(numeric_address(spec))
        return cls(family, spec.period_ns, spec.deadline_ns, spec.soft_ns, size_of(spec))


@dataclass(slots=True, eq=False)
class Member:
    """A probe in its group: with tick `k` of the group, its sample `k + offset` is sent."""

    spec: ProbeSpec
    address: bytes
    offset: int = 0


@dataclass(slots=True, eq=False)
class Round:
    """One sample of each member of a group; `waiting` for a reply are those whose payloads begin like this."""

    kind: Kind
    tick: int
    sequence: int
    mark: bytes
    due_ns: int
    sent_ns: int
    left_ns: int  # when the last of them had left
    flags: int
    waiting: dict[bytes, Member]
    given_up: set[bytes] = field(default_factory=set)


class Group:
    """Probes of one kind that fire together."""

    def __init__(self, number: int, kind: Kind, echoes: Echoes) -> None:
        self.number, self.kind = number, kind
        self.schedule = Schedule.starting(probe=number, period_ns=kind.period_ns, now_ns=monotonic_ns())
        self.members: dict[bytes, Member] = {}
        self._echoes = echoes
        self._next_tick = 0
        self._outbox: Outbox | None = None
        self._shared: Buffer = ctypes.create_string_buffer(_ROUND.size)

    def join(self, who: bytes, spec: ProbeSpec, seq: int) -> None:
        """Let a probe fire from the next tick on, beginning with this sample."""
        address = socket.inet_pton(self.kind.family, numeric_address(spec))
        self.members[who] = Member(spec, address, seq - self.schedule.seq)
        self._outbox = None

    def leave(self, who: bytes) -> int:
        """Let a probe fire no more; return the number of its next sample."""
        self._outbox = None
        return self.members.pop(who).offset + self.schedule.seq

    def tick(self, seq: int, due_ns: int) -> None:
        """Send a sample of each member, then read what has arrived if that was not done just now."""
        left_out, self._next_tick = seq - self._next_tick, seq + 1
        self._echoes.loop.dropped += left_out * (len(self.members) - 1)  # the loop has counted one of them
        number = self._echoes.next_round()
        low = number & 0xFFFF
        _ROUND.pack_into(self._shared, 0, low, number, number ^ _ONES, low ^ 0xFFFF)
        if self._outbox is None:
            self._outbox = self._laid_out()
        mark, sent_ns = self._shared.raw[2:], monotonic_ns()
        flags = BLIND if sent_ns - due_ns > self.kind.period_ns else 0
        round_ = Round(self.kind, seq, low, mark, due_ns, sent_ns, sent_ns, flags, self.members.copy())
        self._echoes.sending(number, round_)
        fd = self._echoes.socket(self.kind.family).sock.fileno()
        first, count = 0, len(self.members)
        while first < count:
            sent, error = self._outbox.send(fd, first, count - first)
            if not sent:
                self._not_sent(round_, first, error)
                sent = 1
            first += sent
        round_.left_ns = monotonic_ns()
        if round_.left_ns - due_ns > self.kind.period_ns:
            round_.flags = BLIND
        self._echoes.read_if_it_is_time(round_.left_ns)

    def _not_sent(self, round_: Round, place: int, error: int) -> None:
        unreachable = error in {errno.EHOSTUNREACH, errno.EHOSTDOWN}
        sample_class = SampleClass.UNREACHABLE if unreachable else SampleClass.LOCAL_FAULT
        self._echoes.fail(round_, list(self.members)[place], monotonic_ns(), sample_class, os.strerror(error))

    def _laid_out(self) -> Outbox:
        """Return the requests: what each has of its own, and between that what all share."""
        echo = self._echoes.socket(self.kind.family)
        shared = self._shared
        rest_bytes = self.kind.size_bytes - _ROUND_END
        rest = ctypes.create_string_buffer(b"r" * rest_bytes, rest_bytes)
        datagrams = []
        for who, member in self.members.items():
            begin = echo.head() + shared.raw[:2] + who
            if echo.family == socket.AF_INET:  # for IPv6 the kernel does it
                total = icmp.checksum(begin + shared.raw[2:] + rest.raw)
                begin = begin[:2] + total.to_bytes(2, "big") + begin[4:]
            own = ctypes.create_string_buffer(begin, len(begin))
            pieces = (
                (own, 0, _HEAD_BYTES - 2),
                (shared, 0, 2),
                (own, _HEAD_BYTES, _WHO_END),
                (shared, 2, _ROUND.size - 2),
                (rest, 0, rest_bytes),
            )
            datagrams.append((_sockaddr(self.kind.family, member.address), pieces))
        return Outbox(datagrams)


class Echoes:
    """All ICMP probes of a process."""

    def __init__(self, loop: Loop, recorder: Recorder, token: bytes) -> None:
        self.loop = loop
        self.late = self.duplicates = 0
        self._recorder = recorder
        self._token = token
        self._sockets: dict[socket.AddressFamily, icmp.EchoSocket] = {}
        self._groups: list[Group] = []
        self._group_of: dict[bytes, Group] = {}
        self._rounds: dict[int, Round] = {}  # of which something is to be heard still, or to be told apart
        self._open: list[Round] = []
        self._number = 0
        self._read_ns = 0
        self._unread = 0  # requests since the last reading

    # --- which there are -------------------------------------------------------------------------------------------

    def declare(self, spec: ProbeSpec, seq: int) -> None:
        """Let a probe begin with this sample. Raises OSError if ICMP is not permitted."""
        kind, who = Kind.of(spec), _WHO.pack(self._token, spec.probe)
        self.socket(kind.family).make_room(kind.size_bytes)
        group = next((each for each in self._groups if each.kind == kind and len(each.members) < MOST_TOGETHER), None)
        if group is None:
            group = Group(self._phase(kind.period_ns), kind, self)
            self._groups.append(group)
            self.loop.add(group)
        group.join(who, spec, seq)
        self._group_of[who] = group

    def retire(self, number: int) -> tuple[ProbeSpec, int] | None:
        """Let a probe send nothing more; return it and the number of its next sample, None if there is no such probe."""
        who = _WHO.pack(self._token, number)
        group = self._group_of.pop(who, None)
        if group is None:
            return None
        spec = group.members[who].spec
        seq = group.leave(who)
        if not group.members:
            self.loop.remove(group)
            self._groups.remove(group)
        return spec, seq

    def period(self, number: int, period_ns: int) -> None:
        """Let a probe fire with another period."""
        retired = self.retire(number)
        if retired is not None:
            self.declare(dataclasses.replace(retired[0], period_ns=period_ns), retired[1])

    def _phase(self, period_ns: int) -> int:
        """Return the first phase that has room for a group of this period: kinds may share one."""
        number = 0
        while (
            sum(
                len(each.members)
                for each in self._groups
                if each.schedule.period_ns == period_ns and each.number == number
            )
            >= MOST_TOGETHER
        ):
            number += 1
        return number

    def socket(self, family: socket.AddressFamily) -> icmp.EchoSocket:
        """Return the socket of an address family. Raises OSError if none is permitted."""
        if family not in self._sockets:
            self._sockets[family] = icmp.EchoSocket(family)
        return self._sockets[family]

    # --- what is sent, arrives, or does not ------------------------------------------------------------------------

    def next_round(self) -> int:
        """Return a number that no round has had."""
        self._number += 1
        return self._number

    def sending(self, number: int, round_: Round) -> None:
        """Note that a round is about to be sent."""
        self._rounds[number] = round_
        self._open.append(round_)
        self._unread += len(round_.waiting)

    def read_if_it_is_time(self, now_ns: int) -> None:
        """Read what has arrived if much may wait, or for long, and give up what has reached its deadline."""
        if self._unread >= READ_AT_ONCE or now_ns - self._read_ns >= READ_NS:
            self.expire(now_ns)

    def read(self) -> None:
        """Read everything that has arrived."""
        for echo in self._sockets.values():
            for heard in echo.hear():
                if heard.error:
                    self._refused(heard)
                else:
                    self._answered(heard)
        self._read_ns, self._unread = monotonic_ns(), 0

    def _answered(self, heard: icmp.Heard) -> None:
        source, sequence, payload, arrived_ns, from_ns, _ = heard
        if len(payload) < LEAST_BYTES:
            return
        round_ = self._rounds.get(_NUMBER.unpack_from(payload, _WHO_END)[0])
        if (
            round_ is None
            or sequence != round_.sequence
            or payload[_WHO_END:_ROUND_END] != round_.mark
            or payload[_ROUND_END:] != b"r" * (round_.kind.size_bytes - _ROUND_END)
        ):
            return
        who = payload[:_WHO_END]
        member = round_.waiting.get(who)
        if member is None:
            if who in round_.given_up:
                self.late += 1
            elif payload.startswith(self._token):
                self.duplicates += 1
            return
        if member.address != source:
            return
        kind, sent_ns = round_.kind, round_.sent_ns
        took_ns, least_ns = max(0, arrived_ns - sent_ns), from_ns - round_.left_ns
        if least_ns >= kind.deadline_ns:
            self.late += 1
            return  # `expire` gives it up
        del round_.waiting[who]
        slow = took_ns > kind.soft_ns > 0
        flags = round_.flags | (BLIND if slow and least_ns <= kind.soft_ns else 0)
        self._recorder.sample(
            member.spec.probe,
            SampleClass.SLOW_OK if slow else SampleClass.OK,
            flags,
            round_.tick + member.offset,
            round_.due_ns,
            sent_ns,
            sent_ns + took_ns,
        )

    def _refused(self, heard: icmp.Heard) -> None:
        """A network element said no to a request."""
        for round_ in self._open:
            if round_.sequence != heard.sequence:
                continue
            for who, member in list(round_.waiting.items()):
                if member.address == heard.source:
                    self.fail(round_, who, heard.arrived_ns, SampleClass.UNREACHABLE, heard.error)
                    return

    def fail(self, round_: Round, who: bytes, done_ns: int, sample_class: SampleClass, message: str) -> None:
        """Note that a sample failed."""
        member = round_.waiting.pop(who)
        round_.given_up.add(who)
        probe, seq, done_ns = member.spec.probe, round_.tick + member.offset, max(done_ns, round_.sent_ns)
        self._recorder.sample(probe, sample_class, round_.flags, seq, round_.due_ns, round_.sent_ns, done_ns)
        if message:
            self._recorder.detail(SampleDetail(probe, seq, sample_class, message))

    def expire(self, now_ns: int) -> None:
        """Read what has arrived, give up what has reached its deadline by then, forget what is long over."""
        self.read()  # a reply that waits in the socket is none that is missing
        for round_ in self._open:
            until_ns = round_.left_ns + round_.kind.deadline_ns
            if until_ns <= now_ns:
                for who in list(round_.waiting):
                    self.fail(round_, who, until_ns, SampleClass.NO_REPLY, "")
        self._open = [round_ for round_ in self._open if round_.waiting]
        while self._rounds:
            number, round_ = next(iter(self._rounds.items()))
            if round_.waiting or round_.sent_ns + round_.kind.deadline_ns + _KEPT_NS > now_ns:
                break
            del self._rounds[number]

    def cancel(self) -> None:
        """Give up everything because the prober stops."""
        self.read()
        now_ns = monotonic_ns()
        for round_ in self._open:
            for who in list(round_.waiting):
                self.fail(round_, who, now_ns, SampleClass.CANCELLED_BY_STOP, "")

    def in_flight(self) -> int:
        """Return how many samples wait."""
        return sum(len(round_.waiting) for round_ in self._open)

    def drops(self) -> int:
        """Return how many datagrams the kernel had no room for."""
        return sum(echo.drops for echo in self._sockets.values())


def _sockaddr(family: socket.AddressFamily, address: bytes) -> bytes:
    """Return the kernel's form of an address with port 0."""
    head = int(family).to_bytes(2, "little" if struct.pack("@H", 1)[0] else "big")
    return head + (bytes(2) + address + bytes(8) if family == socket.AF_INET else bytes(6) + address + bytes(4))
