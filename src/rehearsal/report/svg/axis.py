"""Where a time axis gets its ticks."""

from __future__ import annotations

from rehearsal.report.printed import HOUR
from rehearsal.report.printed import MINUTE
from rehearsal.report.printed import SECOND

_STEPS_NS = (
    *(ms * SECOND // 1000 for ms in (5, 10, 20, 50, 100, 200, 500)),
    *(s * SECOND for s in (1, 2, 5, 10, 15, 30)),
    *(m * MINUTE for m in (1, 2, 5, 10, 15, 30)),
    *(h * HOUR for h in (1, 2, 3, 6, 12, 24, 48, 168)),
)


def step_ns(span_ns: int, most: int) -> int:
    """Return the smallest round distance (ns) that needs at most that many ticks over the span (ns)."""
    for step in _STEPS_NS:
        if span_ns <= step * most:
            return step
    return -(-span_ns // most)


def ticks(from_ns: int, to_ns: int, origin_ns: int, most: int) -> list[int]:
    """Return round instants (ns) inside [from, to], counted from the origin (ns), such as an onset."""
    return every(step_ns(max(1, to_ns - from_ns), most), from_ns, to_ns, origin_ns)


def every(step_ns: int, from_ns: int, to_ns: int, origin_ns: int) -> list[int]:
    """Return the instants (ns) inside [from, to] that are whole steps (ns) away from the origin (ns)."""
    first = origin_ns - (origin_ns - from_ns) // step_ns * step_ns
    return list(range(first, to_ns + 1, step_ns))
