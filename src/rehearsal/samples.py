"""The store of samples: what every probe saw, compact and crash-safe.

SAMPLE is the shape in memory. Times are CLOCK_MONOTONIC ns of the prober host.
"""

from __future__ import annotations

import numpy as np

SAMPLE = np.dtype(
    [
        ("probe", "<u2"),
        ("sample_class", "u1"),
        ("flags", "u1"),
        ("seq", "<u4"),
        ("due", "<i8"),
        ("sent", "<i8"),
        ("done", "<i8"),
    ]
)

FRESH = 1  # flags: a `reused` sample that had to open a connection: proves nothing about reuse
RETRANSMITTED = 2  # flags: TCP_INFO showed retransmissions on this connection
BLIND = 4  # flags: set by the prober when its own tick was late by more than a period
