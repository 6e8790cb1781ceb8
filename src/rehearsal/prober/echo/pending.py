"""Samples of one probe that were sent and wait for their echo; shared by TCP and UDP.

Invariant: every sample that was sent leaves here exactly once, answered, failed, given up or cancelled.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from rehearsal.recording.events import SampleDetail
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.sampleflags import BLIND

if TYPE_CHECKING:
    from rehearsal.lanes.spec import ProbeSpec
    from rehearsal.prober.schedule import Schedule
    from rehearsal.prober.sink import Recorder

_REMEMBERED = 1024  # sequence numbers of answered samples, to tell a double reply from a late one


class Pending:
    """The open samples of one probe, in the order sent."""

    def __init__(self, spec: ProbeSpec, schedule: Schedule, recorder: Recorder, given_up: SampleClass) -> None:
        self._spec = spec
        self._schedule = schedule
        self._recorder = recorder
        self._given_up = given_up  # the class of a sample whose deadline passed
        self._open: dict[int, tuple[int, int, int]] = {}  # seq: due, sent, flags
        self._answered: set[int] = set()
        self._answered_order: deque[int] = deque()
        self.late = 0
        self.duplicates = 0

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, seq: int) -> bool:
        return seq in self._open

    def add(self, seq: int, due_ns: int, sent_ns: int, flags: int = 0) -> None:
        """Note that a sample is about to be sent."""
        if sent_ns - due_ns > self._schedule.period_ns:
            flags |= BLIND
        self._open[seq] = (due_ns, sent_ns, flags)

    def answer(self, seq: int, done_ns: int, flags: int = 0, *, from_ns: int | None = None) -> None:
        """Note an echo. One that came after its sample was given up is counted, not turned into a success.

        `from_ns`: it arrived between then and `done_ns`, because the prober itself was late to read it; None: at
        `done_ns`. What can have been in time was not lost, and what can have been prompt is flagged BLIND if it seems slow.
        """
        found = self._open.get(seq)
        if found is None:
            if seq in self._answered:
                self.duplicates += 1
            else:
                self.late += 1
            return
        due_ns, sent_ns, own_flags = found
        done_ns = max(done_ns, sent_ns)
        least_ns = (done_ns if from_ns is None else from_ns) - sent_ns
        if least_ns >= self._spec.deadline_ns:
            self.late += 1
            return  # `expire` gives it up
        del self._open[seq]
        self._answered.add(seq)
        self._answered_order.append(seq)
        if len(self._answered_order) > _REMEMBERED:
            self._answered.discard(self._answered_order.popleft())
        slow = self._spec.soft_ns and done_ns - sent_ns > self._spec.soft_ns
        sample_class = SampleClass.SLOW_OK if slow else SampleClass.OK
        if slow and least_ns <= self._spec.soft_ns:
            flags |= BLIND
        self._recorder.sample(self._spec.probe, sample_class, own_flags | flags, seq, due_ns, sent_ns, done_ns)

    def fail(self, seq: int, done_ns: int, sample_class: SampleClass, message: str, flags: int = 0) -> None:
        """Note that a sample failed."""
        due_ns, sent_ns, own_flags = self._open.pop(seq)
        done_ns = max(done_ns, sent_ns)
        self._recorder.sample(self._spec.probe, sample_class, own_flags | flags, seq, due_ns, sent_ns, done_ns)
        if message and sample_class is not SampleClass.CANCELLED_BY_STOP:
            self._recorder.detail(SampleDetail(self._spec.probe, seq, sample_class, message))

    def fail_all(self, done_ns: int, sample_class: SampleClass, message: str) -> None:
        """Note that everything open failed at once."""
        for seq in list(self._open):
            self.fail(seq, done_ns, sample_class, message)

    def is_overdue(self, now_ns: int) -> bool:
        """Tell whether the oldest open sample has reached its deadline."""
        return bool(self._open) and self._open[next(iter(self._open))][1] + self._spec.deadline_ns <= now_ns

    def expire(self, now_ns: int) -> None:
        """Give up what has reached its deadline. Everything that has arrived must have been read before."""
        while self.is_overdue(now_ns):
            seq = next(iter(self._open))
            self.fail(seq, self._open[seq][1] + self._spec.deadline_ns, self._given_up, "")

    def oldest(self) -> int | None:
        """Return the open sample that was sent first."""
        return next(iter(self._open), None)
