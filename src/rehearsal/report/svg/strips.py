"""A probe's states as horizontal pieces of a drawing, few enough to draw and none too small to see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from rehearsal.report.svg import elements

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.judging.windows import Strip
    from rehearsal.judging.windows import Window
    from rehearsal.report.svg.elements import Scale

_LEAST = {"good": 0.0, "slow": 1.5, "bad": 1.8, "blind": 0.8}  # an outage of 0.2 s in six hours must not vanish
_JOIN = 0.4  # pieces closer than this are one piece on paper
BLIND_LEAST = 0.4  # blindness narrower than this would be drawn many times too wide: tables tell it
_ORDER = ("good", "blind", "slow", "bad")  # what is drawn last covers what was drawn first
_EDGE = 0.6  # an uncertain edge narrower than this cannot be seen


def label(row: Strip) -> str:
    """Return a probe's name without the service or canary that already stands above it."""
    for above in (row.canary, row.service):
        if above and row.name.startswith(above) and len(row.name) > len(above) + 1:
            return row.name[len(above) :].lstrip(" -_:/") or row.name
    return row.name


def pieces(runs: Iterable[tuple[int, int, str]], scale: Scale) -> dict[str, list[tuple[float, float]]]:
    """Return, by state, the (from x, to x) pieces of a strip inside the scale, joined where they touch.

    `good` is everything that was sampled: what was not good is drawn over it, not beside it.
    """
    found: dict[str, list[tuple[float, float]]] = {state: [] for state in _ORDER}
    for from_ns, to_ns, state in runs:
        if to_ns < scale.from_ns or from_ns > scale.to_ns:
            continue
        begin, end = scale.x(from_ns), scale.x(to_ns)
        beneath = found["good"]
        if beneath and begin - beneath[-1][1] < _JOIN:
            beneath[-1] = (beneath[-1][0], max(beneath[-1][1], end))
        else:
            beneath.append((begin, end))
        if state == "good" or (state == "blind" and end - begin < BLIND_LEAST):
            continue
        spare = _LEAST.get(state, 1.5) - (end - begin)
        if spare > 0:
            begin, end = begin - spare / 2, end + spare / 2
        row = found.setdefault(state, [])
        if row and begin - row[-1][1] < _JOIN:
            row[-1] = (row[-1][0], max(row[-1][1], end))
        else:
            row.append((begin, end))
    return found


def strip(drawn: Strip, y: float, scale: Scale, size: str = "") -> Markup:
    """Return one probe's strip around the height y. States differ in colour and in thickness."""
    found = pieces(drawn.runs, scale)
    return Markup("").join(
        elements.dashes(found[state], y, f"st {state} {size}".strip())
        for state in (*_ORDER, *sorted(set(found) - set(_ORDER)))
    )


def edges(window: Window, y: float, high: float, scale: Scale) -> Markup:
    """Return a window with its uncertain edges hatched: solid is certain, hatched is possible.

    An edge that was never seen (the recording began or ended first) reaches to the end of the scale.
    """
    kind = "slow" if window.kind == "degraded" else "bad"
    outer_left = scale.x(scale.from_ns if window.last_good_ns is None else window.last_good_ns)
    left, right = scale.x(window.first_bad_ns), scale.x(window.last_bad_ns)
    outer_right = scale.x(scale.to_ns if window.first_good_ns is None else window.first_good_ns)
    parts = []
    if left - outer_left >= _EDGE:
        parts.append(elements.box(outer_left, y - high / 2, left - outer_left, high, f"edge {kind}"))
    if outer_right - right >= _EDGE:
        parts.append(elements.box(right, y - high / 2, outer_right - right, high, f"edge {kind}"))
    parts.append(elements.box(left, y - high / 2, max(1.5, right - left), high, f"sure {kind}"))
    return Markup("").join(parts)
