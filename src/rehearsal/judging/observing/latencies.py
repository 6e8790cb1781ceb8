"""How long answers took before, during and after the steps: percentiles, and only those that the samples support.

A percentile of n samples has an upper bound at 95 % confidence only if (share of samples below it)^n <= 5 %: 59 samples
for the 95th, 299 for the 99th.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rehearsal.figures.fewruns import least_runs
from rehearsal.lanes import table
from rehearsal.lanes.table import Judge
from rehearsal.lanes.table import Place
from rehearsal.recording.sampleclass import CountsAs
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.stretch import Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rehearsal.judging.observing.observation import Piece
    from rehearsal.recording.history import History

_FINENESS = 5  # 2^5 bins an octave: a bin is at most 3.2 % wide
_SHIFT = 52 - _FINENESS
_BINS = 42 << _FINENESS  # up to 73 minutes
_ZERO = 1023 << _FINENESS  # the bits of 1.0
_ANSWERED = np.array(
    [
        number in set(SampleClass) and SampleClass(number).counts_as in {CountsAs.GOOD, CountsAs.DEGRADED}
        for number in range(256)
    ]
)


@dataclass(frozen=True, slots=True)
class AnswerTime:
    """How long good and slow answers of one service took over one lane, in one stretch of the run.

    `stretch`: before, during, after the steps. Percentiles are rounded up by at most 3 %; None where there are too few
    samples for 95 % confidence (59 for the 95th, 299 for the 99th percentile).
    """

    service: str
    lane: str
    stretch: Side
    samples: int
    p50_ns: int | None
    p95_ns: int | None
    p99_ns: int | None
    max_ns: int


class AnswerTimes:
    """Collects answer times from chunks of samples in any order."""

    def __init__(self, history: History, pieces: Sequence[Piece]) -> None:
        self._keys: list[tuple[str, str]] = []
        self._row = np.full(1 << 16, -1, np.int32)
        places: dict[tuple[str, str], int] = {}
        for probe in history.probes:
            lane = table.of(probe.lane)
            if lane.place is Place.VIP and lane.judge is Judge.USERS:
                key = probe.service, probe.lane
                if key not in places:
                    places[key] = len(self._keys)
                    self._keys.append(key)
                self._row[probe.index] = places[key]
        steps = [piece for piece in pieces if piece.stretch.is_step]
        never = history.ended_ns + 1
        self._edges = np.array(
            [
                min((piece.from_ns for piece in steps), default=never),
                max((piece.to_ns for piece in steps), default=never),
            ],
            np.int64,
        )
        shape = (max(1, len(self._keys)), len(Side))
        self._counts = np.zeros((*shape, _BINS), np.int64)
        self._most = np.zeros(shape, np.int64)

    def add(self, samples: NDArray[np.void]) -> None:
        """Take samples whose `probe` is an index into the history's probes."""
        rows = self._row[samples["probe"]]
        wanted = np.flatnonzero((rows >= 0) & _ANSWERED[samples["sample_class"]])
        if not len(wanted):
            return
        sent = samples["sent"][wanted]
        took = np.maximum(samples["done"][wanted] - sent, 1)
        cell = rows[wanted] * len(Side) + np.searchsorted(self._edges, sent, side="right")
        bins = np.minimum(bins_of(took), _BINS - 1)
        counts = np.bincount(cell * _BINS + bins, minlength=self._counts.size)
        self._counts += counts.reshape(self._counts.shape)
        np.maximum.at(self._most.reshape(-1), cell, took)

    def found(self) -> list[AnswerTime]:
        """Return what was collected, by service and lane in the order of their declaration."""
        return [
            _answer_time(service, lane, stretch, self._counts[row, place], int(self._most[row, place]))
            for row, (service, lane) in enumerate(self._keys)
            for place, stretch in enumerate(Side)
        ]


def bins_of(took_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the logarithmic bin of each length (at least 1 ns): a float's exponent and its first bits."""
    found: NDArray[np.int64] = (took_ns.astype(np.float64).view(np.int64) >> _SHIFT) - _ZERO
    return found


def edge_of(number: int) -> int:
    """Return the upper edge of a bin (ns)."""
    bits = np.array([(number + 1 + _ZERO) << _SHIFT], np.int64)
    return math.ceil(float(bits.view(np.float64)[0]))


def percentile(counts: NDArray[np.int64], share: float) -> int | None:
    """Return an upper bound of a percentile (ns), at most one bin too high; None if there are too few samples."""
    total = int(counts.sum())
    least = 1 if share <= 0.5 else least_runs(share)
    if total < least:
        return None
    return edge_of(int(np.searchsorted(np.cumsum(counts), math.ceil(share * total))))


def _answer_time(service: str, lane: str, stretch: Side, counts: NDArray[np.int64], most: int) -> AnswerTime:
    def at_most(share: float) -> int | None:
        bound = percentile(counts, share)
        return None if bound is None else min(bound, most)

    return AnswerTime(service, lane, stretch, int(counts.sum()), at_most(0.5), at_most(0.95), at_most(0.99), most)
