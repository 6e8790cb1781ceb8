"""The detection floor: what could have passed between two good samples unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rehearsal.outage.codes import DOWN
from rehearsal.outage.codes import GOOD
from rehearsal.outage.trace import OPEN_NS
from rehearsal.outage.trace import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Int64s = NDArray[np.int64]
    Codes = NDArray[np.uint8]
    Mask = NDArray[np.bool_]


class Gaps:
    """The detection floor: how long the service could have been away between two promptly answered samples.

    Stretches that recorded trouble explains are left out: they are judged as what they are.
    """

    def __init__(self, begin_ns: int, tallies: Sequence[Tally]) -> None:
        # The beginning of probing opens the first gap; its `done` proves nothing.
        self._sent = np.array([begin_ns], np.int64)
        self._done = np.array([OPEN_NS], np.int64)
        self._tallies = tallies

    def add(self, codes: Codes, sent: Int64s, done: Int64s, settled_ns: int) -> None:
        """Take a segment after which every sample is sent later than `settled_ns`."""
        known = codes <= DOWN
        if not known.all():
            codes, sent, done = codes[known], sent[known], done[known]
        trouble = codes != GOOD
        carried = len(self._sent)
        sent = np.concatenate([self._sent, sent])
        done = np.concatenate([self._done, done])
        trouble = np.concatenate([np.zeros(carried, np.bool_), trouble])
        if len(sent) == 0:
            return
        ends = np.full(len(sent), OPEN_NS, np.int64)
        proofs = np.where(trouble, OPEN_NS, done)
        ends[:-1] = np.minimum.accumulate(proofs[::-1])[::-1][1:]
        keep = int(np.searchsorted(ends, settled_ns, side="right"))
        if trouble.any():
            last_trouble = int(np.flatnonzero(trouble)[-1])
            _end_before_trouble(sent, ends, trouble)
            keep = max(keep, last_trouble + 1)
        final = ~trouble[:keep]
        self._count(sent[:keep][final], ends[:keep][final])
        self._sent, self._done = sent[keep:], done[keep:]

    def finish(self, end_ns: int | None) -> None:
        """Close the last gap at the end of probing; None: it died, and nobody knows what came then."""
        if len(self._sent) == 0:
            return
        ends = np.full(len(self._sent), OPEN_NS if end_ns is None else end_ns, np.int64)
        ends[:-1] = np.minimum.accumulate(self._done[::-1])[::-1][1:]
        if end_ns is not None:
            np.minimum(ends, end_ns, out=ends)
        self._count(self._sent, np.maximum(ends, self._sent))

    def _count(self, sent: Int64s, ends: Int64s) -> None:
        if len(sent) == 0:
            return
        reach = None
        first, last = int(sent[0]), int(ends.max())
        for tally in self._tallies:
            if tally.to_ns <= first or tally.from_ns >= last:
                continue
            if reach is None:
                reach = np.maximum.accumulate(ends)
            low = int(np.searchsorted(reach, tally.from_ns, side="right"))
            high = int(np.searchsorted(sent, tally.to_ns, side="left"))
            if low >= high:
                continue
            if last == OPEN_NS and int(ends[low:high].max()) == OPEN_NS:
                tally.floor_ns = OPEN_NS
                continue
            widths = ends[low:high] - np.maximum(sent[low:high], tally.from_ns)
            tally.floor_ns = max(tally.floor_ns, int(widths.max()))


def _end_before_trouble(sent: Int64s, ends: Int64s, trouble: Mask) -> None:
    """A gap that reaches a failed or slow sample ends with the last good one before it: the rest is in its bounds."""
    places = np.arange(len(sent))
    next_trouble = np.minimum.accumulate(np.where(trouble, places, len(sent))[::-1])[::-1]
    last_good = np.maximum.accumulate(np.where(trouble, -1, places))
    has_next = next_trouble < len(sent)
    at = next_trouble[has_next]
    before = last_good[np.maximum(at - 1, 0)]
    limit = np.where(before >= 0, sent[np.maximum(before, 0)], 0)
    reaches = sent[at] <= ends[has_next]
    ends[has_next] = np.where(reaches, np.maximum(limit, sent[has_next]), ends[has_next])
