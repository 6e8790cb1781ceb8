"""How long answers took, minute by minute, small enough for a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from rehearsal.report import printed
from rehearsal.report.svg import elements

if TYPE_CHECKING:
    from rehearsal.judging.windows import Strip

_WIDE = 150
_HIGH = 22
_POINTS_MOST = 100


def sparkline(row: Strip, from_ns: int, to_ns: int) -> Markup:
    """Draw the median as a line and the 99th percentile as a fainter one, from zero to the highest of this probe."""
    points = _thinned(row.latency)
    if not points:
        return Markup("")
    top = max(1, *(p99 for _, _, p99 in points))
    scale = elements.Scale(from_ns, max(to_ns, from_ns + 1), 1, _WIDE - 1)

    def placed(values: list[tuple[int, int]]) -> list[tuple[float, float]]:
        found = [(scale.x(t_ns), _HIGH - 2 - (_HIGH - 4) * value / top) for t_ns, value in values]
        return found if len(found) > 1 else [(found[0][0], found[0][1]), (found[0][0] + 3, found[0][1])]

    parts = [
        elements.line(0, _HIGH - 1.5, _WIDE, _HIGH - 1.5, "base"),
        elements.curve(placed([(t_ns, p99) for t_ns, _, p99 in points]), "p99"),
        elements.curve(placed([(t_ns, median) for t_ns, median, _ in points]), "median"),
    ]
    return elements.drawing(_WIDE, _HIGH, f"latency of {row.name}, highest p99 {printed.about(top)}", parts, "spark")


def median_span(row: Strip) -> str:
    """Return the lowest and the highest median of any minute, or an empty string."""
    medians = [median for _, median, _ in row.latency]
    if not medians:
        return ""
    low, high = printed.about(min(medians)), printed.about(max(medians))
    return low if low == high else f"{low} to {high}"


def highest_p99(row: Strip) -> str:
    """Return the highest 99th percentile of any minute, or an empty string."""
    return printed.about(max(p99 for _, _, p99 in row.latency)) if row.latency else ""


def _thinned(points: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Join neighbouring minutes so that the drawing stays small; the worst of each group is kept."""
    size = -(-len(points) // _POINTS_MOST)
    if size <= 1:
        return points
    groups = [points[place : place + size] for place in range(0, len(points), size)]
    return [(group[0][0], max(p[1] for p in group), max(p[2] for p in group)) for group in groups]
