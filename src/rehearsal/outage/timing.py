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


class Lateness:
    """When the probe itself was late or did not fire, and how late it was."""

    def __init__(self, periods: Sequence[tuple[int, int]]) -> None:
        self._from = np.array([moment for moment, _ in periods], np.int64)
        self._period = np.array([period for _, period in periods], np.int64)
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
        period: Int64s | int
        if len(self._from) == 1:
            period = int(self._period[0])
        else:
            period = self._period[np.maximum(np.searchsorted(self._from, due, side="right") - 1, 0)]
        late = lag > period
        if late.any():
            self.blind += zip(due[late].tolist(), sent[late].tolist(), strict=True)
        previous = np.empty_like(due)
        previous[1:] = due[:-1]
        previous[0] = due[0] if self._last_due is None else self._last_due
        missing = due - previous > 2 * period
        if len(self._from) > 1 and missing.any():
            # Around a change of period the longer of the two periods is the rule.
            before = self._period[np.maximum(np.searchsorted(self._from, previous, side="right") - 1, 0)]
            missing &= due - previous > 2 * np.maximum(before, period)
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
