"""Close-ups: the most telling window of a service in a step, drawn so large that its uncertain edges can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.figures.length import most_certain_ns
from rehearsal.judging.losses import Loss
from rehearsal.judging.sums import longest_first
from rehearsal.lanes import table
from rehearsal.lanes.table import Judge
from rehearsal.recording.stretch import Stretch
from rehearsal.report import printed
from rehearsal.report import texts
from rehearsal.report.svg import axis
from rehearsal.report.svg import elements
from rehearsal.report.svg import strips

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from rehearsal.figures.length import Budget
    from rehearsal.figures.length import Length
    from rehearsal.judging.moves import Migration
    from rehearsal.judging.results import Results
    from rehearsal.judging.windows import Strip
    from rehearsal.judging.windows import Window
    from rehearsal.report.clock import Clock

_Key = tuple[Stretch, str, str]

WIDE = 560
_LEFT = 150
_RIGHT = 548
_ROW = 16
_ROWS_MOST = 8
_MOST = 8
_ABOUT = 0.8
"""Of windows whose certain lengths differ by less, the one that is known more closely tells more."""


@dataclass(frozen=True, slots=True)
class Closeup:
    """One drawing, what it shows, and what judged it: the cell of the matrix, or the live migration."""

    window: Window
    judged: Loss | Migration | None
    length: printed.Shown
    onset: str
    drawing: Markup


def draw(results: Results, clock: Clock) -> list[Closeup]:
    """Draw one window of every (step or live migration, service, kind), worst verdict and longest first, at most eight."""
    cells = {(loss.stretch, loss.service, loss.kind): loss for loss in results.matrix}
    moves = {move.id: move for move in results.migrations}
    seen: dict[_Key, list[Window]] = {}
    for window in longest_first(results.windows):
        key = window.stretch, window.service, window.kind
        seen.setdefault(key, []).append(window)
    found = {key: _most_telling(windows) for key, windows in seen.items()}

    def judge(key: _Key) -> Loss | Migration | None:
        return moves.get(key[0].name) if key[0].is_migration else cells.get(key)

    def weight(key: _Key) -> tuple[int, bool, Length]:
        judged = judge(key)
        return -(judged.outcome.rank if judged else 1), key[2] == "down", found[key].length

    chosen = sorted(found, key=weight, reverse=True)[:_MOST]
    return [_closeup(found[key], judge(key), results, clock) for key in chosen]


def _most_telling(windows: Sequence[Window]) -> Window:
    """Return the window of a lane that users have, with an open end if there is one, that is about the longest and most closely known."""
    own = [window for window in windows if table.of(window.lane).judge is Judge.USERS] or windows
    own = [window for window in own if window.length.is_open] or own
    enough_ns = most_certain_ns(window.length for window in own) * _ABOUT
    long = [window for window in own if window.length.certain_ns >= enough_ns]
    return min(long, key=lambda window: window.length.doubt_ns)


def _closeup(window: Window, judged: Loss | Migration | None, results: Results, clock: Clock) -> Closeup:
    budget = judged.budget if judged else None
    # A service is judged by all its lanes together: the figure is the matrix's, not that of the one lane in bold type.
    length = judged.longest if isinstance(judged, Loss) and judged.count and not window.canary else window.length
    return Closeup(
        window,
        judged,
        printed.bounded(length, budget.longest_ns if budget else None),
        clock.at(window.first_bad_ns, 3),
        _drawing(window, _neighbours(window, results), budget, results, clock),
    )


def _neighbours(window: Window, results: Results) -> list[Strip]:
    same = [row for row in results.strips if row.service == window.service and row.canary == window.canary]
    same.sort(key=lambda row: (row.probe != window.probe, not row.failed, not row.slow))
    return same[:_ROWS_MOST]


def _drawing(window: Window, rows: list[Strip], budget: Budget | None, results: Results, clock: Clock) -> Markup:
    begin = window.first_bad_ns if window.last_good_ns is None else window.last_good_ns
    end = window.last_bad_ns if window.first_good_ns is None else window.first_good_ns
    allowed_ns = budget.longest_ns if budget else 0
    shown_end = max(end, begin + min(allowed_ns, 4 * (end - begin)))
    spare = max((shown_end - begin) // 4, printed.SECOND // 4)
    scale = elements.Scale(begin - spare, shown_end + spare, _LEFT, _RIGHT)
    top = 20
    bottom = top + len(rows) * _ROW + 2
    parts: list[Markup] = []
    for t_ns in axis.ticks(scale.from_ns, scale.to_ns, window.first_bad_ns, 6):
        x = scale.x(t_ns)
        parts.append(elements.line(x, top - 4, x, bottom, "grid"))
        if _LEFT + 16 < x < WIDE - 16:
            parts.append(elements.text(x, bottom + 13, _offset(t_ns - window.first_bad_ns), "tick", "middle"))
    parts += _budget_bar(window, allowed_ns, budget, scale)
    for place, row in enumerate(rows):
        y = top + place * _ROW + _ROW / 2
        parts += [
            elements.text(
                _LEFT - 8,
                y + 3.5,
                texts.fitted(strips.label(row), _LEFT - 12, 10.5),
                "row this" if row.probe == window.probe else "row",
                "end",
            ),
            strips.strip(row, y, scale),
        ]
        for other in results.windows:
            if other.probe == row.probe and other.kind == window.kind and _meets(other, scale):
                parts.append(strips.edges(other, y, 11, scale))
    for from_ns, to_ns, why in results.quality.blind:
        if to_ns >= scale.from_ns and from_ns <= scale.to_ns:
            left = scale.x(from_ns)
            parts.append(
                elements.box(left, top, scale.x(to_ns) - left, bottom - top, "blindband", f"prober blind: {why}")
            )
    parts.append(elements.text(_LEFT - 8, bottom + 13, "after onset", "label", "end"))
    label = f"{window.probe_name} around {clock.at(window.first_bad_ns, 3)}"
    return elements.drawing(WIDE, bottom + 18, label, parts, "cu")


def _budget_bar(window: Window, allowed_ns: int, budget: Budget | None, scale: elements.Scale) -> list[Markup]:
    if budget is None:
        return [elements.text(_LEFT, 11, "no budget set", "label")]
    if allowed_ns == 0:
        return [elements.text(_LEFT, 11, "budget: no failed sample", "label")]
    word = f"budget {printed.exactly(allowed_ns)}"
    if window.first_bad_ns + allowed_ns > scale.to_ns:
        return [elements.text(_LEFT, 11, f"{word}: reaches beyond this picture", "label")]
    left, right = scale.x(window.first_bad_ns), scale.x(window.first_bad_ns + allowed_ns)
    before = right + 6 + texts.width(word, 10.5) > _RIGHT
    return [
        elements.line(left, 7.5, right, 7.5, "budget"),
        elements.line(left, 3, left, 12, "budget"),
        elements.line(right, 3, right, 12, "budget"),
        elements.text(left - 6 if before else right + 6, 11, word, "label", "end" if before else "start"),
    ]


def _meets(window: Window, scale: elements.Scale) -> bool:
    return window.first_bad_ns <= scale.to_ns and window.last_bad_ns >= scale.from_ns


def _offset(ns: int) -> str:
    if ns == 0:
        return "0"
    sign, size = (printed.MINUS, -ns) if ns < 0 else ("+", ns)
    return f"{sign}{printed.exactly(size)}"
