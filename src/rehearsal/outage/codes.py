"""What each sample proves, for a prober that may itself have been blind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rehearsal.recording.sampleclass import CountsAs
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.samples import BLIND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Samples = NDArray[np.void]
    Codes = NDArray[np.uint8]
    Mask = NDArray[np.bool_]

GOOD, SLOW, DOWN, NOTHING, GOOD_ONLY = range(5)
"""GOOD_ONLY proves that the service was up, but not whether its answer was prompt."""

_CODE_OF = {
    CountsAs.GOOD: GOOD,
    CountsAs.DEGRADED: SLOW,
    CountsAs.DOWN: DOWN,
    CountsAs.PROBER_FAULT: NOTHING,
    CountsAs.UNKNOWN: NOTHING,
}
_CODES = np.full(256, NOTHING, np.uint8)
LOST = np.zeros(256, np.bool_)
"""By class: the failure is proved when the request was sent, not when it was done."""
for _class in SampleClass:
    _CODES[_class] = _CODE_OF[_class.counts_as]
    LOST[_class] = _class.proof_is_sent


def codes_of(samples: Samples, blind: Sequence[tuple[int, int]] = (), retired_ns: int | None = None) -> Codes:
    """Tell for each sample what it proves. `blind`: disjoint spans in order.

    `retired_ns`: when the probe was ended on purpose. A failure that was not known by then proves nothing: what the
    probe looked at may have been removed since.

    A failure seen by a prober that was blind proves nothing. A good answer stays a proof, because both of its stamps
    are true; if it seems slow, the slowness may be the prober's own.
    """
    codes: Codes = _CODES[samples["sample_class"]]
    troubled = np.flatnonzero((codes == DOWN) | (codes == SLOW))
    if len(troubled) == 0:
        return codes
    doubtful: Mask = (samples["flags"][troubled] & BLIND) != 0
    if retired_ns is not None:
        doubtful |= samples["done"][troubled] > retired_ns
    if blind:
        begins = np.array([begin for begin, _ in blind], np.int64)
        ends = np.array([end for _, end in blind], np.int64)
        for moments in (samples["sent"][troubled], samples["done"][troubled]):
            place = np.searchsorted(begins, moments, side="right") - 1
            doubtful |= (place >= 0) & (moments <= ends[np.maximum(place, 0)])
    codes[troubled[doubtful]] = np.where(codes[troubled[doubtful]] == DOWN, NOTHING, GOOD_ONLY)
    return codes
