"""Outages that follow each other closely are one window: a service that flaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rehearsal.outage.trace import Outage

JOIN_GOOD = 3
JOIN_NS = 1_000_000_000


def join(outages: Sequence[Outage]) -> list[tuple[Outage, ...]]:
    """Join outages into downtime windows: separated by fewer than three good samples or less than a second."""
    windows: list[list[Outage]] = []
    for outage in outages:
        if windows and _flaps(windows[-1][-1], outage):
            windows[-1].append(outage)
        else:
            windows.append([outage])
    return [tuple(window) for window in windows]


def _flaps(before: Outage, after: Outage) -> bool:
    if before.first_good_sent_ns is None or after.last_good_ns is None:
        return True
    return after.good_before < JOIN_GOOD or after.last_good_ns - before.first_good_sent_ns < JOIN_NS
