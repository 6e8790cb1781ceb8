"""When samples are due: an open loop, whatever became of earlier samples.

Sample k of a probe is due at first + k * period; the phase differs from probe to probe, so that probes with equal
periods do not fire at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: multiples spread evenly however many probes there are
CATCH_UP = 5  # samples sent late at most, per probe, after a stall; older ones are dropped and counted

LOOK_AGAIN_NS = 1_000_000_000
"""After a sample that was not good the next one comes after this, or a tenth of the period, if that is longer."""


def phase_ns(probe: int, period_ns: int) -> int:
    """Return the offset (ns) of a probe within its period."""
    return ((probe + 1) * _GOLDEN % 2**64) * period_ns >> 64


def first_due_ns(probe: int, period_ns: int, now_ns: int) -> int:
    """Return the first moment (ns, monotonic) after now at which a sample of this probe is due."""
    phase = phase_ns(probe, period_ns)
    return now_ns + period_ns - (now_ns - phase) % period_ns


@dataclass(slots=True)
class Schedule:
    """The open-loop schedule of one probe. Times are monotonic ns."""

    probe: int
    period_ns: int
    due_ns: int
    seq: int = 0

    @classmethod
    def starting(cls, *, probe: int, period_ns: int, now_ns: int, seq: int = 0) -> Self:
        """Return a schedule whose first sample is due within a period from now."""
        return cls(probe, period_ns, first_due_ns(probe, period_ns, now_ns), seq)

    def take(self, now_ns: int) -> tuple[list[tuple[int, int]], int]:
        """Return the samples due by now as (seq, due), and how many older ones are given up.

        Given-up samples keep their sequence numbers, so the gap stays visible in the recording.
        """
        if now_ns < self.due_ns:
            return [], 0
        count = (now_ns - self.due_ns) // self.period_ns + 1
        dropped = max(0, count - CATCH_UP)
        taken = [(self.seq + k, self.due_ns + k * self.period_ns) for k in range(dropped, count)]
        self.seq += count
        self.due_ns += count * self.period_ns
        return taken, dropped

    def sooner(self, now_ns: int) -> bool:
        """Look again soon, because a sample was not good: its outage ends when a sample is good again, not a period later.

        Return whether that is earlier than what was due. A probe with a period of a second or less just goes on.
        """
        due_ns = now_ns + max(LOOK_AGAIN_NS, self.period_ns // 10)
        earlier = due_ns < self.due_ns
        self.due_ns = min(due_ns, self.due_ns)
        return earlier

    def change(self, period_ns: int, now_ns: int) -> None:
        """Fire with another period from now on."""
        self.period_ns = period_ns
        self.due_ns = first_due_ns(self.probe, period_ns, now_ns)
