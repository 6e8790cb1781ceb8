"""The detection floor: what could have passed between two good samples unseen.

A good sample proves that the service was up at some moment between `sent` and `done`. An outage that no sample met leaves
every such span a moment outside of it, so the longest one begins when a good sample was sent and ends when the next
answer came: the least `done` among all good samples sent later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rehearsal.outage.codes import DOWN
from rehearsal.outage.codes import GOOD
from rehearsal.outage.codes import GOOD_ONLY
from rehearsal.outage.codes import SLOW
from rehearsal.outage.trace import OPEN_NS
from rehearsal.outage.trace import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Int64s = NDArray[np.int64]
    Codes = NDArray[np.uint8]
    Mask = NDArray[np.bool_]

_PROOF, _TROUBLE, _NEITHER = range(3)


@dataclass(frozen=True, slots=True)
class FloorKind:
    """What proves that nothing was wrong, and what is recorded as trouble, for one kind of outage.

    `answered_first`: the last good sample before a recorded one must have been answered before that was sent, as the
    bounds of an outage have it.
    """

    kind: str
    role: NDArray[np.uint8]  # by code
    answered_first: bool


def _roles(proofs: Sequence[int], troubles: Sequence[int]) -> NDArray[np.uint8]:
    role = np.full(5, _NEITHER, np.uint8)
    role[list(proofs)] = _PROOF
    role[list(troubles)] = _TROUBLE
    return role


DOWN_FLOOR = FloorKind("down", _roles((GOOD, SLOW, GOOD_ONLY), (DOWN,)), answered_first=True)
"""Whatever was answered proves life, however late: its lateness is in `done`."""
SLOW_FLOOR = FloorKind("degraded", _roles((GOOD,), (SLOW, DOWN)), answered_first=False)
"""Only a prompt answer proves that answers were prompt."""


class Gaps:
    """The floor of one kind, stretch by stretch.

    Gaps that recorded trouble explains are left out: they lie within its bounds and are judged as what they are.
    """

    def __init__(self, begin_ns: int, tallies: Sequence[Tally], kind: FloorKind) -> None:
        # The beginning of probing opens the first gap; its `done` proves nothing.
        self._sent = np.array([begin_ns], np.int64)
        self._done = np.array([OPEN_NS], np.int64)
        self._tallies = tallies
        self._kind = kind

    def add(self, codes: Codes, sent: Int64s, done: Int64s, settled_ns: int) -> None:
        """Take a segment after which every sample is sent later than `settled_ns`."""
        role = self._kind.role[codes]
        counts = role != _NEITHER
        if not counts.all():
            role, sent, done = role[counts], sent[counts], done[counts]
        sent = np.concatenate([self._sent, sent])
        if len(sent) == 0:
            return
        done = np.concatenate([self._done, done])
        trouble = np.concatenate([np.zeros(len(self._sent), np.bool_), role == _TROUBLE])
        ends = _ends(np.where(trouble, OPEN_NS, done))
        keep = int(np.searchsorted(ends, settled_ns, side="right"))
        if trouble.any():
            keep = max(keep, int(np.flatnonzero(trouble)[-1]) + 1)
            self._leave_out(sent, done, ends, trouble)
        final = ~trouble[:keep]
        self._count(sent[:keep][final], ends[:keep][final])
        self._sent, self._done = sent[keep:], done[keep:]

    def finish(self, end_ns: int | None) -> None:
        """Close the last gap at the end of probing; None: it died, and nobody knows what came then."""
        if len(self._sent) == 0:
            return
        ends = _ends(self._done)
        if end_ns is not None:
            np.minimum(ends, end_ns, out=ends)
        self._count(self._sent, np.maximum(ends, self._sent))

    def _leave_out(self, sent: Int64s, done: Int64s, ends: Int64s, trouble: Mask) -> None:
        """Close the gaps that open within the bounds of recorded trouble: from its last good sample on."""
        first = np.flatnonzero(trouble & ~np.concatenate([[False], trouble[:-1]]))
        for at in first.tolist():
            last_good = at - 1
            if self._kind.answered_first:
                while last_good >= 0 and (trouble[last_good] or done[last_good] > sent[at]):
                    last_good -= 1
            within = slice(max(last_good, 0), at)
            ends[within] = sent[within]

    def _count(self, sent: Int64s, ends: Int64s) -> None:
        if len(sent) == 0:
            return
        reach = None
        first, last = int(sent[0]), int(ends.max())
        for tally in self._tallies:
            if tally.to_ns < first or tally.from_ns >= last:
                continue
            if reach is None:
                reach = np.maximum.accumulate(ends)
            low = int(np.searchsorted(reach, tally.from_ns, side="right"))
            high = int(np.searchsorted(sent, tally.to_ns, side="right" if tally.from_ns == tally.to_ns else "left"))
            if low >= high:
                continue
            longest = int(ends[low:high].max())
            if longest != OPEN_NS:
                longest = int((ends[low:high] - np.maximum(sent[low:high], tally.from_ns)).max())
            tally.hide(self._kind.kind, longest)


def _ends(proofs: Int64s) -> Int64s:
    """Return for each place the least of all proofs behind it; OPEN_NS if there is none."""
    ends = np.full(len(proofs), OPEN_NS, np.int64)
    ends[:-1] = np.minimum.accumulate(proofs[::-1])[::-1][1:]
    return ends
