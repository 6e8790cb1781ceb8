"""Bits that a sample carries beside its class; stored in recordings, they never change their meaning."""

from __future__ import annotations

FRESH = 1  # a `reused` sample that had to open a connection: proves nothing about reuse
RETRANSMITTED = 2  # TCP_INFO showed retransmissions on this connection
BLIND = 4  # the prober was late by more than a period, or its own stall may have made this class
FOLLOW_UP = 8  # sent at once over a new connection after the kept one of the same `seq` broke; not on schedule
