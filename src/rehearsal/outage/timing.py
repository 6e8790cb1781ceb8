"""How punctual the probe itself was, and how quickly it was answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rehearsal.outage.spans import merged
from rehearsal.outage.trace import LAG_BIN_NS
from rehearsal.recording.samples import FOLLOW_UP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Int64s = NDArray[np.int64]

_LAG_BINS = 20_000
_SPANS_MOST = 10_000  # then they are united
_RUN_MOST = 64  # samples of one `Answered` run
_ALIKE = 4  # answers of one run differ by no more than this part of a period: the slowest one counts for all of them


class Periods:
    """How often (ns) a probe was due: rows of (from, period), the first for all that was before it."""

    def __init__(self, periods: Sequence[tuple[int, int]]) -> None:
        self._from = np.array([moment for moment, _ in periods], np.int64)
        self._period = np.array([period for _, period in periods], np.int64)
        self.change = len(periods) > 1

    def at(self, due: Int64s) -> Int64s:
        """Return the period at each of some moments."""
        found: Int64s = self._period[np.maximum(np.searchsorted(self._from, due, side="right") - 1, 0)]
        return found


class Answered:
    """When samples were sent that were answered: runs, in each of which every sample that was due came and was answered.

    A run is (first due, how many, period, longest time from due to done), ns. It tells exactly which samples lay between
    two moments, where a rate could only tell how many can be expected there.
    """

    def __init__(self, periods: Periods) -> None:
        self._periods = periods
        self._closed: list[Int64s] = []
        self._open: Int64s | None = None  # the last run, which may go on

    def add(self, due: Int64s, done: Int64s) -> None:
        """Take the answered samples of a segment, ordered by `due`."""
        if len(due) == 0:
            return
        period = self._periods.at(due)
        place = np.arange(len(due))
        took = (done - due) // np.maximum(period // _ALIKE, 1)
        follows = np.concatenate(
            [[False], (np.diff(due) == period[1:]) & (np.diff(period) == 0) & (np.diff(took) == 0)]
        )
        within = place - np.maximum.accumulate(np.where(follows, 0, place))
        begins = np.flatnonzero(within % _RUN_MOST == 0)
        most = np.maximum.reduceat(done - due, begins)
        count = np.diff(np.append(begins, len(due)))
        runs = np.stack([due[begins], count, period[begins], most])
        if self._open is not None:
            runs = _joined(self._open, runs)
        self._closed.append(runs[:, :-1])
        self._open = runs[:, -1:]

    def runs(self) -> Int64s:
        """Return all runs, in order: an array of four rows."""
        if self._open is None:
            return np.empty((4, 0), np.int64)
        return np.concatenate([*self._closed, self._open], axis=1)


def _joined(run: Int64s, runs: Int64s) -> Int64s:
    """Put a run before others; it is one with the first if that goes on with it."""
    first, count, period, most = run[:, 0].tolist()
    due, more, its_period, its_most = runs[:, 0].tolist()
    alike = max(period // _ALIKE, 1)
    if (
        due == first + count * period
        and period == its_period
        and count + more <= _RUN_MOST
        and most // alike == its_most // alike
    ):
        head = np.array([[first], [count + more], [period], [max(most, its_most)]], np.int64)
        return np.concatenate([head, runs[:, 1:]], axis=1)
    return np.concatenate([run, runs], axis=1)


class Lateness:
    """When the probe itself was late or did not fire, and how late it was."""

    def __init__(self, periods: Periods) -> None:
        self._periods = periods
        self._last_due: int | None = None
        self.blind: list[tuple[int, int]] = []
        self.lags = np.zeros(_LAG_BINS + 1, np.int64)
        self.lag_max_ns = 0

    def add(self, due: Int64s, sent: Int64s, flags: NDArray[np.uint8]) -> None:
        """Take a segment, ordered by `sent`."""
        scheduled = (flags & FOLLOW_UP) == 0
        if not scheduled.all():
            due, sent = due[scheduled], sent[scheduled]
        if len(due) == 0:
            return
        lag = np.maximum(sent - due, 0)
        self.lag_max_ns = max(self.lag_max_ns, int(lag.max()))
        counts = np.bincount(np.minimum(lag // LAG_BIN_NS, _LAG_BINS))
        self.lags[: len(counts)] += counts
        period = self._periods.at(due)
        late = lag > period
        if late.any():
            self.blind += zip(due[late].tolist(), sent[late].tolist(), strict=True)
        previous = np.empty_like(due)
        previous[1:] = due[:-1]
        previous[0] = due[0] if self._last_due is None else self._last_due
        missing = due - previous > 2 * period
        if self._periods.change and missing.any():
            # Around a change of period the longer of the two periods is the rule.
            missing &= due - previous > 2 * np.maximum(self._periods.at(previous), period)
        if missing.any():
            first = previous + period
            self.blind += zip(first[missing].tolist(), sent[missing].tolist(), strict=True)
        self._last_due = int(due[-1])
        if len(self.blind) > _SPANS_MOST:
            self.blind = merged(self.blind)


class Latencies:
    """Median and 99th percentile of the answer time, bin by bin."""

    def __init__(self, origin_ns: int, bin_ns: int) -> None:
        self._origin = origin_ns
        self._bin = bin_ns
        self._number: int | None = None
        self._held: list[Int64s] = []
        self.found: list[tuple[int, int, int]] = []

    def add(self, sent: Int64s, answer: Int64s) -> None:
        """Take the answer times of a segment, ordered by `sent`."""
        if len(sent) == 0:
            return
        first = (int(sent[0]) - self._origin) // self._bin
        last = (int(sent[-1]) - self._origin) // self._bin
        edges = self._origin + self._bin * np.arange(first, last + 2)
        places = np.searchsorted(sent, edges)
        for number, low, high in zip(range(first, last + 1), places[:-1].tolist(), places[1:].tolist(), strict=True):
            if low == high:
                continue
            if number != self._number:
                self.close()
                self._number = number
            self._held.append(answer[low:high].copy())

    def close(self) -> None:
        """Finish the bin that was begun."""
        if self._number is not None and self._held:
            values = np.concatenate(self._held)
            middle, high = (len(values) - 1) // 2, max(0, -(-99 * len(values) // 100) - 1)
            ordered = np.partition(values, [middle, high])
            from_ns = self._origin + self._number * self._bin
            self.found.append((from_ns, int(ordered[middle]), int(ordered[high])))
        self._held = []
