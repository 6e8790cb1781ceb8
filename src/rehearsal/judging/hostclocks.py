"""Hosts' wall clocks, brought onto the prober's clock by the pairs that were read during the run.

The offset is read by a question and its answer: the host's clock was read somewhere in between, so that half of the
round trip is its error (Cristian, Probabilistic clock synchronization, 1989). Where an offset changed between two
readings, nobody knows when: the change is part of the error.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal import events

if TYPE_CHECKING:
    from rehearsal.history import History

UNREAD_ERROR_NS = 1_000_000_000
"""Of what a host said whose clock was never read: it arrived soon after it happened."""
STEPPED_NS = 100_000_000
"""Two readings further apart than this are a clock that was set, not one that drifts."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened on a host, on the prober's clock: `at_ns` ± `error_ns`."""

    at_ns: int
    error_ns: int


@dataclass(frozen=True, slots=True)
class _Reading:
    at_ns: int
    offset_ns: int  # wall - monotonic
    error_ns: int


class HostClocks:
    """The clocks of all hosts that were read."""

    def __init__(self, history: History) -> None:
        self._readings: dict[str, list[_Reading]] = defaultdict(list)
        for _, clock in history.of(events.WitnessClock):
            middle_ns = (clock.asked_ns + clock.answered_ns) // 2
            error_ns = max(0, clock.answered_ns - clock.asked_ns) // 2
            self._readings[clock.host].append(_Reading(middle_ns, clock.wall_ns - middle_ns, error_ns))
        for readings in self._readings.values():
            readings.sort(key=lambda reading: reading.at_ns)

    def moment(self, host: str, wall_ns: int, arrived_ns: int) -> Moment:
        """Return when a host's clock showed `wall_ns`; what it tells arrived at `arrived_ns`, and never before it happened."""
        readings = self._readings.get(host, [])
        if not readings:
            return Moment(arrived_ns, UNREAD_ERROR_NS)
        place = bisect.bisect_right([reading.at_ns for reading in readings], arrived_ns)
        near = readings[max(0, place - 1) : place + 1]
        # Of two, the one by which it arrived soonest after it happened, and yet not before.
        before, after = near[0], near[-1]
        best = min(near, key=lambda reading: abs(arrived_ns - (wall_ns - reading.offset_ns)))
        apart_ns = abs(before.offset_ns - after.offset_ns)
        error_ns = best.error_ns + (apart_ns if apart_ns < STEPPED_NS else 0)
        at_ns = wall_ns - best.offset_ns
        return Moment(min(at_ns, arrived_ns), error_ns)

    def knows(self, host: str) -> bool:
        """Return whether a host's clock was ever read."""
        return bool(self._readings.get(host))
