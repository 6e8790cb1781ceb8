"""Hosts' wall clocks, brought onto the prober's clock by the pairs that were read during the run.

The offset is read by a question and its answer: the host's clock was read somewhere in between, so that half of the
round trip is its error (Cristian, Probabilistic clock synchronization, 1989). Of the readings around a moment the one
with the smallest error counts, with what a clock can drift until then (as NTP's clock filter does, RFC 5905, 10);
readings that contradict it show that the clock was set in between, and then only the nearest count.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.recording import events

if TYPE_CHECKING:
    from rehearsal.recording.history import History

UNREAD_ERROR_NS = 1_000_000_000
"""Of what a host said whose clock was never read: it arrived soon after it happened."""
DRIFT = 100e-6
"""Quartz that nobody disciplines drifts less than this."""
AROUND_NS = 300_000_000_000


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened on a host, from `from_ns` to `to_ns` (None: its end was not seen), each ± `error_ns`.

    `kind`: container (`subject` its name), proxy (HAProxy's `backend/server`, BACKEND for all servers together; `what` is its
    state), vip (an address), port (a canary's port in OVN; `host` is where it is bound), gateway (of the
    canaries' router, likewise), chassis.
    `what` of a container: restarted, started (when it had stopped is not known), stopped, ran (a task), paused, unhealthy,
    signalled. `ready_ns`: when Docker first called it healthy after it started.
    """

    kind: str
    host: str
    subject: str
    what: str
    from_ns: int
    to_ns: int | None
    error_ns: int = 0
    ready_ns: int | None = None
    service: str = ""  # of the plan, that it belongs to by its name
    detail: str = ""


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
        around = self._around(readings, arrived_ns)
        best = min(around, key=lambda reading: _error_at(reading, arrived_ns))
        if not all(_agree(best, reading) for reading in around):
            place = bisect.bisect_right([reading.at_ns for reading in readings], arrived_ns)
            near = readings[max(0, place - 1) : place + 1]
            # Set in between: the one by which it arrived soonest after it happened.
            best = min(near, key=lambda reading: abs(arrived_ns - (wall_ns - reading.offset_ns)))
        return Moment(min(wall_ns - best.offset_ns, arrived_ns), _error_at(best, arrived_ns))

    @staticmethod
    def _around(readings: list[_Reading], at_ns: int) -> list[_Reading]:
        times = [reading.at_ns for reading in readings]
        low = bisect.bisect_left(times, at_ns - AROUND_NS)
        high = bisect.bisect_right(times, at_ns + AROUND_NS)
        place = bisect.bisect_right(times, at_ns)
        return readings[min(low, max(0, place - 1)) : max(high, place + 1)]

    def knows(self, host: str) -> bool:
        """Return whether a host's clock was ever read."""
        return bool(self._readings.get(host))


def _error_at(reading: _Reading, at_ns: int) -> int:
    return reading.error_ns + round(abs(at_ns - reading.at_ns) * DRIFT)


def _agree(one: _Reading, other: _Reading) -> bool:
    drift_ns = round(abs(one.at_ns - other.at_ns) * DRIFT)
    return abs(one.offset_ns - other.offset_ns) <= one.error_ns + other.error_ns + drift_ns
