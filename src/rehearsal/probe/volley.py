"""The lane icmp for many targets: probes of one kind are fired and judged together, as arrays.

The scalar probes of `icmp` cost as much for each packet as a system call or three; this is for a thousand packets a
second and more, where that becomes a load. The rules are the same: a reply counts only if identifier, sequence number,
source address and every byte of the payload match an open sample.

A round is one sample of every member. Rounds are kept in a ring until each of their samples is answered or given up.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rehearsal.probe import icmp
from rehearsal.probe.mmsg import Inbox
from rehearsal.probe.mmsg import Outbox
from rehearsal.probe.schedule import CATCH_UP
from rehearsal.probe.schedule import first_due_ns
from rehearsal.probe.spec import numeric_address
from rehearsal.sampleclass import SampleClass
from rehearsal.sampleflags import BLIND
from rehearsal.samples import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rehearsal.probe.reach import FrameRecorder
    from rehearsal.probe.spec import ProbeSpec


SLOTS_NS = ((5000, 4_000_000), (1000, 1_000_000), (0, 0))
"""From so many packets a second on, those that are due within this time are sent together."""
_HEAR_NS = 20_000_000
_INBOX = 256
_PROBE, _SEQ = 2, 3  # words of 8 bytes in an ICMP message
_COUNTER_AT, _SEQ_AT = 24, 6  # bytes
_UNSENT = -1
_IP_HEAD, _ALIGNED = 20, 24
_IP_HDRINCL = 3
_IP_HEAD_OF_ECHO = bytes([0x45, 0, 0, 0, 0, 0, 0, 0, 64, socket.IPPROTO_ICMP])  # the kernel fills in what is 0
_LONGEST_WAIT_NS = np.uint64(60_000_000_000)
_NOBODY = np.uint64((1 << 16) - 1)  # no probe has this number
_UPPER = np.uint64(32)

Words = NDArray[np.uint64]


class VolleySocket:
    """One socket for all volleys of an address family, and what arrives on it.

    It is read every few milliseconds, not when a packet arrives: the kernel's stamps say when that was.
    """

    def __init__(self, family: socket.AddressFamily, size_bytes: int, token: bytes) -> None:
        self.echo = icmp.EchoSocket(family, token)
        self._head = _IP_HEAD if self.echo.raw and family == socket.AF_INET else 0
        if self._head:  # with heads of our own a packet takes a shorter way through the kernel
            self.echo.sock.setsockopt(socket.IPPROTO_IP, _IP_HDRINCL, 1)
        self.lead = _ALIGNED if self._head else 0  # bytes before the message in a row of packets
        offset = _ALIGNED - self._head
        self._most = max(64, 8 + size_bytes)  # of a message: rows that lie close together are read faster
        self._inbox = Inbox(_INBOX, _ALIGNED + self._most - offset, offset=offset, named=not self._head)
        self._messages: Words = self._inbox.data.view("<u8")[:, _ALIGNED // 8 :]
        self._kinds = self._inbox.data[:, _ALIGNED]
        self._first_octets = self._inbox.data[:, offset]
        octets = self._inbox.names[:, 8:24] if family == socket.AF_INET6 else self._inbox.names[:, 4:8]
        if self._head:
            octets = self._inbox.data[:, offset + 12 : offset + 16]
        self._octets = octets
        self._sources: NDArray[Any] = octets if family == socket.AF_INET6 else octets.view("<u4")[:, 0]
        self._next_ns = 0
        self.volleys: list[Volley] = []  # the newest first

    def hear_if_it_is_time(self, now_ns: int) -> None:
        """Take everything that has arrived, if this was not done just now."""
        if now_ns >= self._next_ns:
            self._next_ns = now_ns + _HEAR_NS
            while self.hear():
                pass

    def hear(self) -> bool:
        """Take what has arrived; True if there may be more."""
        count = self._inbox.receive(self.echo.sock.fileno())
        if not count:
            return False
        now_wall_ns, now_ns = time.time_ns(), time.monotonic_ns()
        waited_ns = now_wall_ns - self._inbox.wall_ns(count, icmp.SO_TIMESTAMPNS, now_wall_ns)
        waited: Words = waited_ns.view(np.uint64)  # what is negative is very large
        if waited.max() >= _LONGEST_WAIT_NS:
            waited[waited >= _LONGEST_WAIT_NS] = 0  # the wall clock was set: later is safe
        self.echo.drops = max(self.echo.drops, self._inbox.drops(count, icmp.SO_RXQ_OVFL))
        self._sort_out(count, now_ns - waited_ns)
        return count == _INBOX

    def _sort_out(self, count: int, arrived_ns: NDArray[np.int64]) -> None:
        is_v4 = self.echo.family == socket.AF_INET
        is_reply = self._kinds[:count] == (icmp.ECHO_REPLY if is_v4 else icmp.ECHO_REPLY_V6)
        if self._head:
            is_reply &= self._first_octets[:count] == 0x45  # an IP head with options is not ours
        lengths = self._inbox.lengths(count) - np.uint32(self._head)
        words: Words = self._messages[:count]
        sources: NDArray[Any] = self._sources[:count]
        if not is_reply.all():
            for row in np.flatnonzero(~is_reply).tolist():
                self._hear_other(row, int(lengths[row]), int(arrived_ns[row]))
            words, lengths, sources = words[is_reply], lengths[is_reply], sources[is_reply]
            arrived_ns = arrived_ns[is_reply]
        for volley in self.volleys:
            if not len(words):
                return
            others = volley.hear(words, lengths, sources, arrived_ns)
            if others is None:
                return
            words, lengths, sources, arrived_ns = words[others], lengths[others], sources[others], arrived_ns[others]

    def _hear_other(self, row: int, length: int, arrived_ns: int) -> None:
        data = self._inbox.data[row, _ALIGNED : _ALIGNED + max(0, min(length, self._most))].tobytes()
        sender = socket.inet_ntop(self.echo.family, self._octets[row].tobytes())
        heard = icmp.parse(self.echo.family, data, sender, self.echo.identifier, arrived_ns)
        if heard is not None and heard.error:
            any(volley.fail(heard) for volley in self.volleys)


class Volley:
    """ICMP probes of one family, period, deadlines and size."""

    def __init__(
        self, specs: Sequence[ProbeSpec], seqs: Sequence[int], where: VolleySocket, recorder: FrameRecorder, now_ns: int
    ) -> None:
        spec = specs[0]
        self.period_ns, self._deadline_ns, self._soft_ns = spec.period_ns, spec.deadline_ns, spec.soft_ns
        dues = [first_due_ns(each.probe, each.period_ns, now_ns) for each in specs]
        order = sorted(range(len(specs)), key=dues.__getitem__)
        self.specs = [specs[index] for index in order]
        self._where, self._recorder = where, recorder
        self._first_due = np.array([dues[index] for index in order], np.int64)
        self._first_seq = np.array([seqs[index] for index in order], np.int64)
        self._probes = np.array([each.probe for each in self.specs], np.int64)
        self._index = np.full(1 << 16, -1, np.int32)
        self._index[self._probes] = np.arange(len(specs))
        self._rounds = spec.deadline_ns // spec.period_ns + CATCH_UP + 4
        per_s = len(specs) * 1_000_000_000 / spec.period_ns
        self._slot_ns = next(slot_ns for least_per_s, slot_ns in SLOTS_NS if per_s >= least_per_s)
        size = icmp.size_of(spec)
        shape = (self._rounds, len(specs))
        names = np.array([list(_sockaddr(numeric_address(each))) for each in self.specs], np.uint8)
        is_v4 = where.echo.family == socket.AF_INET
        self._sources: NDArray[Any] = (
            np.ascontiguousarray(names[:, 4:8]).view("<u4")[:, 0] if is_v4 else names[:, 8:24].copy()
        )
        packets = np.zeros((*shape, where.lead + 8 + size), np.uint8)
        self._packets = packets[:, :, where.lead :]
        self._lay_out_packets(size)
        if where.lead:
            packets[:, :, _ALIGNED - _IP_HEAD : _ALIGNED - _IP_HEAD + len(_IP_HEAD_OF_ECHO)] = np.frombuffer(
                _IP_HEAD_OF_ECHO, np.uint8
            )
            packets[:, :, _ALIGNED - 4 : _ALIGNED] = names[:, 4:8]
        flat = packets.reshape(-1, where.lead + 8 + size)
        self._expected: Words = flat.view("<u8")[:, where.lead // 8 :]
        self._outbox = Outbox(
            flat,
            np.ascontiguousarray(np.tile(names, (self._rounds, 1))),
            offset=_ALIGNED - _IP_HEAD if where.lead else 0,
        )
        self._marks = np.zeros(flat.shape[0], np.int64)
        self._sent = np.full(shape, _UNSENT, np.int64)
        self._done = np.zeros(shape, np.int64)
        self._flat_sent, self._flat_done = self._sent.reshape(-1), self._done.reshape(-1)
        self._class = np.zeros(shape, np.uint8)
        self._open = np.zeros(self._rounds, np.int64)  # samples of a round that were sent and wait
        self._oldest = self._round = self._at = 0
        self._prepared = -1
        self.is_firing = True
        self.late = self.duplicates = self.dropped = self.lag_max_ns = 0

    # --- sending ---------------------------------------------------------------------------------------------------

    def next_ns(self) -> int:
        """Return when to fire next."""
        return int(self._first_due[self._at]) + self._round * self.period_ns + self._slot_ns

    def fire(self, now_ns: int) -> None:
        """Send everything that is due."""
        self._give_up_rounds(now_ns)
        while self.is_firing:
            origin_ns = self._round * self.period_ns
            until = int(self._first_due.searchsorted(now_ns - origin_ns, "right"))
            if until <= self._at:
                return
            self.lag_max_ns = max(self.lag_max_ns, now_ns - origin_ns - int(self._first_due[self._at]))
            self._send(self._at, until, time.monotonic_ns())
            self._at = until
            if until == len(self.specs):
                self._round += 1
                self._at = 0

    def _give_up_rounds(self, now_ns: int) -> None:
        """After a stall, leave out whole rounds, so that only a few are sent late."""
        behind = (now_ns - self.next_ns()) // self.period_ns - CATCH_UP
        if behind <= 0:
            return
        if self._at:
            self.dropped += len(self.specs) - self._at
            self._round += 1
            self._at = 0
            behind -= 1
        self.dropped += behind * len(self.specs)
        self._round += behind

    def _send(self, first: int, until: int, sent_ns: int) -> None:
        slot = self._slot_of_round(self._round)
        self._sent[slot, first:until] = sent_ns
        self._open[slot] += until - first
        fd = self._where.echo.sock.fileno()
        base = slot * len(self.specs)
        while first < until:
            sent, error = self._outbox.send(fd, base + first, until - first)
            if not sent:
                self._failed_to_send(slot, first, error)
                sent = 1
            first += sent

    def _slot_of_round(self, number: int) -> int:
        """Return the place of a round in the ring, prepared for sending."""
        slot = number % self._rounds
        if self._prepared < number:
            self.expire(time.monotonic_ns())
            while (
                self._oldest <= number - self._rounds
            ):  # of rounds that were sent: the ring is longer than the deadline
                self._close_round(SampleClass.NO_REPLY)
            for left_out in range(max(self._prepared + 1, number - self._rounds + 1), number):
                self._forget(left_out % self._rounds)
            self._prepare(slot, number)
            self._prepared = number
        return slot

    def _failed_to_send(self, slot: int, index: int, error: int) -> None:
        unreachable = error in {errno.EHOSTUNREACH, errno.EHOSTDOWN}
        sample_class = SampleClass.UNREACHABLE if unreachable else SampleClass.LOCAL_FAULT
        self._close_sample(slot, index, time.monotonic_ns(), sample_class)
        seq = int(self._first_seq[index]) + self._round
        self._recorder.detail(int(self._probes[index]), seq, sample_class, os.strerror(error))

    # --- packets ---------------------------------------------------------------------------------------------------

    def _lay_out_packets(self, size: int) -> None:
        echo = self._where.echo
        is_v4 = echo.family == socket.AF_INET
        head = bytes([icmp.ECHO_REQUEST if is_v4 else icmp.ECHO_REQUEST_V6, 0, 0, 0]) + echo.identifier.to_bytes(
            2, "big"
        )
        for index, probe in enumerate(self._probes.tolist()):
            data = icmp.payload(echo.token, probe, 0, size)
            self._packets[:, index] = np.frombuffer(head + b"\0\0" + data, np.uint8)
        words = self._packets[0].view(">u2").astype(np.uint32)
        self._constant_sum = words.sum(axis=1)  # of everything that does not change from round to round
        self._is_v4 = is_v4

    def _prepare(self, slot: int, number: int) -> None:
        packets = self._packets[slot]
        seqs = (self._first_seq + number).astype(">u8")
        octets = seqs.view(np.uint8).reshape(-1, 8)
        packets[:, _SEQ_AT : _SEQ_AT + 2] = octets[:, 6:]
        packets[:, _COUNTER_AT : _COUNTER_AT + 8] = octets
        if self._is_v4:  # for IPv6 the kernel does it
            words = octets.view(">u2").astype(np.uint32)
            total = self._constant_sum + words.sum(axis=1) + words[:, 3]
            total = (total >> 16) + (total & 0xFFFF)
            total = ~(total + (total >> 16)) & 0xFFFF
            packets[:, 2:4] = total.astype(">u2").view(np.uint8).reshape(-1, 2)
        self._forget(slot)

    def _forget(self, slot: int) -> None:
        self._sent[slot] = _UNSENT
        self._done[slot] = 0
        self._class[slot] = 0
        self._open[slot] = 0

    # --- what arrives, what does not -------------------------------------------------------------------------------

    def hear(
        self, words: Words, lengths: NDArray[np.uint32], sources: NDArray[Any], arrived_ns: NDArray[np.int64]
    ) -> NDArray[np.bool_] | None:
        """Take the replies that are this volley's, a message a row; return which are not, None if all are."""
        probes = words[:, _PROBE].byteswap()
        index = self._index[np.minimum(probes, _NOBODY)]
        rounds = words[:, _SEQ].byteswap().view(np.int64) - self._first_seq[index]
        oldest = max(0, self._prepared - self._rounds + 1)
        known = (rounds - oldest).view(np.uint64) < np.uint64(max(0, self._prepared - oldest + 1))
        known &= (index >= 0) & (lengths == self._packets.shape[2])
        others = None
        if not known.all():
            others = ~known
            words, sources, arrived_ns = words[known], sources[known], arrived_ns[known]
            index, rounds = index[known], rounds[known]
        slots = rounds % self._rounds
        flat = slots * len(self.specs) + index
        expected = self._expected[flat]
        differs = words[:, 1 : expected.shape[1]] != expected[:, 1:]
        another = (words[:, 0] ^ expected[:, 0]) >> _UPPER != 0  # identifier and sequence number
        strange = sources != self._sources[index]
        if differs.any() or another.any() or strange.any():
            fits = ~(differs.any(axis=1) | another | (strange if strange.ndim == 1 else strange.any(axis=1)))
            flat, slots, rounds, arrived_ns = flat[fits], slots[fits], rounds[fits], arrived_ns[fits]
        if len(flat):
            self._answer(flat, slots, rounds, arrived_ns)
        return others

    def _answer(
        self,
        flat: NDArray[np.int64],
        slots: NDArray[np.int64],
        rounds: NDArray[np.int64],
        arrived_ns: NDArray[np.int64],
    ) -> None:
        sent_ns = self._flat_sent[flat]
        stale = rounds < self._oldest  # in a round that is closed: given up, or answered before
        waiting = (self._flat_done[flat] == 0) & (sent_ns != _UNSENT) & ~stale
        good = waiting & (arrived_ns - sent_ns < self._deadline_ns)
        if not good.all():
            lost = stale & (self._class.reshape(-1)[flat] == SampleClass.NO_REPLY)
            self.late += int((lost | (waiting & ~good)).sum())
            self.duplicates += int((~waiting & ~lost).sum())
            flat, slots, sent_ns, arrived_ns = flat[good], slots[good], sent_ns[good], arrived_ns[good]
        self._flat_done[flat] = np.maximum(arrived_ns, sent_ns)
        numbers = np.arange(len(flat))
        self._marks[flat] = numbers
        is_last = self._marks[flat] == numbers
        if not is_last.all():  # the same reply twice at once
            slots = slots[is_last]
            self.duplicates += len(flat) - len(slots)
        self._open -= np.bincount(slots, minlength=self._rounds)
        self._close_complete_rounds()

    def fail(self, heard: icmp.Heard) -> bool:
        """Take an error that a network element sent about a request; True if it was this volley's."""
        for index, spec in enumerate(self.specs):
            if numeric_address(spec) != heard.source:
                continue
            for number in range(self._oldest, self._prepared + 1):
                slot, seq = number % self._rounds, int(self._first_seq[index]) + number
                is_open = self._sent[slot, index] != _UNSENT and self._done[slot, index] == 0
                if is_open and seq & 0xFFFF == heard.sequence:
                    self._close_sample(slot, index, heard.arrived_ns, SampleClass.UNREACHABLE)
                    self._recorder.detail(spec.probe, seq, SampleClass.UNREACHABLE, heard.error)
                    self._close_complete_rounds()
                    return True
        return False

    def is_overdue(self, now_ns: int) -> bool:
        """Tell whether the oldest round has reached its deadline."""
        if self._oldest > self._prepared:
            return False
        sent = self._sent[self._oldest % self._rounds]
        newest = int(sent.max())
        is_fired = self._oldest < self._round or not self.is_firing
        return is_fired and (newest == _UNSENT or newest + self._deadline_ns <= now_ns)

    def expire(self, now_ns: int) -> None:
        """Close rounds whose deadline has passed. Everything that has arrived must have been read before."""
        while self.is_overdue(now_ns):
            self._close_round(SampleClass.NO_REPLY)

    def in_flight(self) -> int:
        """Return how many samples wait."""
        return int(self._open.sum())

    def is_over(self) -> bool:
        """True if nothing will come any more."""
        return not self.is_firing and self._oldest > self._prepared

    def stop(self) -> dict[int, int]:
        """Send nothing more; return the next sequence number of each probe."""
        if not self.is_firing:
            return {}
        self.is_firing = False
        sent = np.arange(len(self.specs)) < self._at
        following = self._first_seq + self._round + sent
        self._close_complete_rounds()
        return dict(zip(self._probes.tolist(), following.tolist(), strict=True))

    def cancel(self) -> None:
        """Give up what is in flight because the prober stops."""
        while self._oldest <= self._prepared:
            self._close_round(SampleClass.CANCELLED_BY_STOP)

    def _close_sample(self, slot: int, index: int, done_ns: int, sample_class: SampleClass) -> None:
        self._done[slot, index] = max(done_ns, int(self._sent[slot, index]))
        self._class[slot, index] = sample_class
        self._open[slot] -= 1

    def _close_complete_rounds(self) -> None:
        while self._oldest <= self._prepared and not self._open[self._oldest % self._rounds]:
            if self._oldest >= self._round and self.is_firing:
                return
            self._close_round(SampleClass.NO_REPLY)

    def _close_round(self, given_up: SampleClass) -> None:
        """Record the oldest round; what is still open in it becomes of this class."""
        number, slot = self._oldest, self._oldest % self._rounds
        self._oldest += 1
        was_sent = self._sent[slot] != _UNSENT
        if not was_sent.any():
            return
        sent, done, classes = self._sent[slot][was_sent], self._done[slot][was_sent], self._class[slot][was_sent]
        is_open = done == 0
        if is_open.any():
            classes[is_open] = given_up
            self._class[slot][was_sent] = classes
            now_ns = time.monotonic_ns()
            done[is_open] = now_ns if given_up is not SampleClass.NO_REPLY else sent[is_open] + self._deadline_ns
        if self._soft_ns:
            classes[(classes == SampleClass.OK) & (done - sent > self._soft_ns)] = SampleClass.SLOW_OK
        rows: NDArray[Any] = np.empty(len(sent), SAMPLE)
        rows["probe"] = self._probes[was_sent]
        rows["sample_class"] = classes
        rows["seq"] = (self._first_seq + number)[was_sent]
        rows["due"] = due = (self._first_due + number * self.period_ns)[was_sent]
        rows["flags"] = np.where(sent - due > self.period_ns, BLIND, 0)
        rows["sent"] = sent
        rows["done"] = done
        self._recorder.block(rows.tobytes(), len(rows))
        self._sent[slot] = _UNSENT  # nothing is recorded twice
        self._open[slot] = 0


def _sockaddr(address: str) -> bytes:
    """Return the kernel's form of an address with port 0."""
    if ":" in address:
        family = int(socket.AF_INET6).to_bytes(2, "little")
        return family + bytes(6) + socket.inet_pton(socket.AF_INET6, address) + bytes(4)
    return int(socket.AF_INET).to_bytes(2, "little") + bytes(2) + socket.inet_aton(address) + bytes(8)
