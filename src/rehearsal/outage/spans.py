"""Spans of time (from, to) in ns, and their unions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the union of spans (from, to) as disjoint spans in order."""
    found: list[tuple[int, int]] = []
    for from_ns, to_ns in sorted(spans):
        if to_ns <= from_ns:
            continue
        if found and from_ns <= found[-1][1]:
            if to_ns > found[-1][1]:
                found[-1] = found[-1][0], to_ns
        else:
            found.append((from_ns, to_ns))
    return found


def clipped(spans: Iterable[tuple[int, int]], from_ns: int, to_ns: int) -> list[tuple[int, int]]:
    """Return what of the spans lies within [from_ns, to_ns]."""
    inside = ((max(low, from_ns), min(high, to_ns)) for low, high in spans)
    return [(low, high) for low, high in inside if high > low]


def measure(spans: Iterable[tuple[int, int]]) -> int:
    """Return the length (ns) of the union of spans."""
    return sum(to_ns - from_ns for from_ns, to_ns in merged(spans))
