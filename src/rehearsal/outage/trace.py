"""What is derived from the samples of one probe: outages with four instants, tallies, and the trace of it all."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Int64s = NDArray[np.int64]

OPEN_NS = int(np.iinfo(np.int64).max)
"""The end of something whose end nobody saw."""
LAG_BIN_NS = 100_000
"""The width of a bin of `Trace.lags`."""


def _none() -> Int64s:
    return np.empty((3, 0), np.int64)


@dataclass(frozen=True, slots=True)
class Outage:
    """A maximal run of failed (`down`) or slow (`degraded`) samples of one probe, with its four instants (ns).

    None as `last_good_ns` or `first_good_ns`: censored, the recording began or ended inside it. `certain_parts` are
    the disjoint stretches in which it certainly was going on; more than one if the prober was blind in between.
    """

    kind: str
    last_good_ns: int | None  # onset is not earlier
    first_bad_ns: int  # onset is not later
    last_bad_ns: int  # end is not earlier
    first_good_ns: int | None  # end is not later
    first_good_sent_ns: int | None
    proof_ns: int  # the earliest moment by which it certainly had begun
    certain_parts: tuple[tuple[int, int], ...]
    failed: int
    classes: tuple[tuple[int, int], ...]  # (class, how many)
    good_before: int  # good samples since the outage before, or since the beginning
    round_trip_ns: int | None = None  # the largest near it, by which lost packets are proved; None: their deadline does
    failures: Int64s = field(default_factory=_none, compare=False, repr=False)
    """Its failed (slow) samples: rows of when they were sent, when they were done (ns), and their classes."""

    def having(self, failures: Int64s, **bounds: Any) -> Outage:
        """Return a part of this outage: some of its failed samples, with other bounds."""
        classes = tuple((name, count) for name, count in enumerate(np.bincount(failures[2]).tolist()) if count)
        return replace(self, failures=failures, failed=failures.shape[1], classes=classes, **bounds)

    @property
    def certain_ns(self) -> int:
        """It lasted at least this long."""
        return sum(to_ns - from_ns for from_ns, to_ns in self.certain_parts)

    @property
    def possible_ns(self) -> int | None:
        """It lasted at most this long; None: open."""
        if self.last_good_ns is None or self.first_good_ns is None:
            return None
        return self.first_good_ns - self.last_good_ns

    @property
    def point_from_ns(self) -> int:
        """The likeliest onset: half way between the last good and the first bad sample."""
        if self.last_good_ns is None:
            return self.first_bad_ns
        return (self.last_good_ns + self.first_bad_ns) // 2

    @property
    def point_to_ns(self) -> int:
        """The likeliest end."""
        if self.kind == "degraded" or self.first_good_sent_ns is None:
            return self.last_bad_ns
        return max(self.last_bad_ns, (self.last_bad_ns + self.first_good_sent_ns) // 2)

    @property
    def is_censored(self) -> bool:
        """True if the recording began or ended inside it."""
        return self.possible_ns is None


@dataclass(slots=True)
class Tally:
    """What one probe saw in one stretch of time. A floor of OPEN_NS: nothing was seen until the end of the stretch.

    `floor_ns`: the longest outage that could have passed unseen, `slow_floor_ns`: the longest slow spell. `late_ns`: how much of it the probe was late or did
    not fire.
    """

    from_ns: int
    to_ns: int
    samples: int = 0
    failed: int = 0
    slow: int = 0
    nothing: int = 0
    floor_ns: int = 0
    slow_floor_ns: int = 0
    late_ns: int = 0

    def hide(self, kind: str, length_ns: int) -> None:
        """Take note of a gap in which something of a kind, `down` or `degraded`, could have passed unseen."""
        if kind == "degraded":
            self.slow_floor_ns = max(self.slow_floor_ns, length_ns)
        else:
            self.floor_ns = max(self.floor_ns, length_ns)

    def floor_of(self, kind: str) -> int:
        """Return the floor of a kind (ns)."""
        return self.slow_floor_ns if kind == "degraded" else self.floor_ns


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that is derived from the samples of one probe."""

    samples: int
    failed: int
    slow: int
    nothing: int
    first_sent_ns: int | None
    last_sent_ns: int | None
    gap_max_ns: int  # the largest real distance between two consecutive `sent`
    outages: tuple[Outage, ...]
    degraded: tuple[Outage, ...]
    blind: tuple[tuple[int, int], ...]  # late ticks and ticks that never came
    tallies: tuple[Tally, ...]  # one for each stretch asked for
    latency: tuple[tuple[int, int, int], ...]  # per bin: from, median, p99 of done - sent (good and slow samples)
    lags: Int64s  # how many samples were sent late by n x LAG_BIN_NS
    lag_max_ns: int
    stragglers: int  # samples that came too late to be put in their place: not used
