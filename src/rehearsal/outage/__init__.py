"""The mathematics of an outage: from samples to outages with four instants, bounds, and what could have passed unseen.

Pure functions of numpy arrays of dtype SAMPLE; no file, no clock. Invariant: for any true signal that does not flip
between two consecutive failed samples, certain <= truth <= possible, and folding in pieces equals the whole.
The reasons behind each rule are in `docs/decisions/0010-outages.md`.
"""

from __future__ import annotations

from rehearsal.outage.codes import DOWN
from rehearsal.outage.codes import GOOD
from rehearsal.outage.codes import GOOD_ONLY
from rehearsal.outage.codes import NOTHING
from rehearsal.outage.codes import SLOW
from rehearsal.outage.codes import codes_of
from rehearsal.outage.folding import FloorFold
from rehearsal.outage.folding import ProbeFold
from rehearsal.outage.folding import derive
from rehearsal.outage.joining import join
from rehearsal.outage.spans import clipped
from rehearsal.outage.spans import measure
from rehearsal.outage.spans import merged
from rehearsal.outage.stream import StreamFold
from rehearsal.outage.trace import LAG_BIN_NS
from rehearsal.outage.trace import OPEN_NS
from rehearsal.outage.trace import Outage
from rehearsal.outage.trace import Tally
from rehearsal.outage.trace import Trace

__all__ = [
    "DOWN",
    "GOOD",
    "GOOD_ONLY",
    "LAG_BIN_NS",
    "NOTHING",
    "OPEN_NS",
    "SLOW",
    "FloorFold",
    "Outage",
    "ProbeFold",
    "StreamFold",
    "Tally",
    "Trace",
    "clipped",
    "codes_of",
    "derive",
    "join",
    "measure",
    "merged",
]
