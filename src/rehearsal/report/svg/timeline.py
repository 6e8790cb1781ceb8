"""The timeline: what was being done, and below it, on the same axis, what every probe saw.

It is drawn as a stack of drawings of equal width (the head, one for each service, the foot), so that paper can break
between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from rehearsal.figures.outcome import Outcome
from rehearsal.report import printed
from rehearsal.report import texts
from rehearsal.report.svg import axis
from rehearsal.report.svg import elements
from rehearsal.report.svg import flags
from rehearsal.report.svg import marks
from rehearsal.report.svg import strips

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.judging.course import Step
    from rehearsal.judging.hosts.hostclocks import Happening
    from rehearsal.judging.moves import Migration
    from rehearsal.judging.results import Results
    from rehearsal.judging.windows import Strip
    from rehearsal.report.clock import Clock

WIDE = 1176
LEFT = 190
RIGHT = 1084
_ROW = 15
_TITLE = 17
_FLAG = 13
_BAR = 17
_THIN = 7  # of a migration when many run at once
_TITLE_ROOM = 84
_LABEL_ROOM = 96
_SMALL = 10.5
_ROWS_MOST = 160
_SHEET = 690  # height that an A4 sheet across leaves at full width
_READABLE = 70  # per cent
_WINDOW_LEAST = 5.0  # narrower than this, a window's edges cannot be seen on the overview
_DAY_NS = 24 * printed.HOUR


@dataclass(frozen=True, slots=True)
class Timeline:
    """The drawings from top to bottom, and how many strips were left out of them."""

    drawings: list[Markup]
    left_out: int
    blind_from_ns: int  # shorter blindness is too narrow to be drawn
    paper: int  # width in per cent at which all of it fits on one sheet; 100 if it needs several anyway


def draw(results: Results, clock: Clock) -> Timeline:
    """Draw the whole run."""
    scale = elements.Scale(results.began_ns, max(results.ended_ns, results.began_ns + 1), LEFT, RIGHT)
    chosen = _chosen(results.strips)
    stack = [_head(results, clock, scale)]
    stack += [_group(title, rows, results, scale) for title, rows in grouped(chosen, results.services).items()]
    stack += _hosts(results, scale)
    stack.append(_foot(results, clock, scale))
    return Timeline(
        [one for one, _ in stack],
        len(results.strips) - len(chosen),
        round(strips.BLIND_LEAST * (scale.to_ns - scale.from_ns) / (RIGHT - LEFT)),
        _paper(sum(high for _, high in stack)),
    )


def _paper(high: float) -> int:
    """Return the width (per cent of a sheet) that makes a drawing so high fit, if it stays readable."""
    share = _SHEET * 100 / max(high, 1.0)
    return 100 if share >= 100 or share < _READABLE else int(share)


def grouped(rows: Iterable[Strip], services: list[str]) -> dict[str, list[Strip]]:
    """Return strips by service in the plan's order, then by canary; each group keeps the order of its probes."""
    order = {service: place for place, service in enumerate(services)}

    def key(row: Strip) -> tuple[int, int, str]:
        return (1, 0, row.canary) if row.canary else (0, order.get(row.service, len(order)), row.service)

    groups: dict[str, list[Strip]] = {}
    for row in sorted(rows, key=key):
        groups.setdefault(row.canary or row.service or "other", []).append(row)
    return groups


def _chosen(rows: list[Strip]) -> list[Strip]:
    if len(rows) <= _ROWS_MOST:
        return rows
    worst_first = sorted(range(len(rows)), key=lambda place: (-rows[place].failed, -rows[place].slow, place))
    kept = set(worst_first[:_ROWS_MOST])
    return [row for place, row in enumerate(rows) if place in kept]


def _head(results: Results, clock: Clock, scale: elements.Scale) -> tuple[Markup, float]:
    begun = [(number, step) for number, step in enumerate(results.steps, start=1) if step.began_ns is not None]
    labels = flags.placed([_flag(number, step, results, scale) for number, step in begun], LEFT - 60, WIDE - 2, _SMALL)
    rows = 1 + max((flag.row for flag in labels if flag.row is not None), default=-1)
    lanes = _lanes(results.migrations, results.ended_ns)
    steps_y = 20 + _BAR + 6 + rows * _FLAG
    moves_y = steps_y + _BAR + 5
    lane_high = _BAR if len(lanes) <= 3 else _THIN
    high = moves_y + max(len(lanes) * lane_high, _BAR if lanes else 0) + 4
    parts = [
        *_grid(results, clock, scale, 16, high),
        *_times(results, clock, scale, 11),
        *_phases(results, scale, 20),
        *_flagged(labels, steps_y),
        *(_step_bar(number, step, results, scale, steps_y) for number, step in begun),
        elements.text(LEFT - 10, steps_y + 12, "steps", "label", "end"),
    ]
    if lanes:
        parts.append(elements.text(LEFT - 10, moves_y + 12, "live migrations", "label", "end"))
    for place, lane in enumerate(lanes):
        parts += [_migration_bar(one, results, scale, moves_y + place * lane_high, lane_high) for one in lane]
    label = "Phases, steps and live migrations over time"
    return elements.drawing(WIDE, high, label, parts, "tl"), high


def _phases(results: Results, scale: elements.Scale, y: float) -> Iterable[Markup]:
    yield elements.text(LEFT - 10, y + 12, "phases", "label", "end")
    for name, began_ns, ended_ns in results.phases:
        left, right = scale.x(began_ns), scale.x(results.ended_ns if ended_ns is None else ended_ns)
        open_end = ", end not recorded" if ended_ns is None else ""
        took = printed.duration((results.ended_ns if ended_ns is None else ended_ns) - began_ns)
        yield elements.box(left, y, max(1.0, right - left - 1), _BAR - 2, "phase", f"{name}: {took}{open_end}")
        shown = texts.fitted(name, right - left - 8, _SMALL)
        if len(shown) > 3 or shown == name:
            yield elements.text(left + 4, y + 11.5, shown, "in")


def _flag(number: int, step: Step, results: Results, scale: elements.Scale) -> flags.Wanted:
    middle = (
        scale.x(step.began_ns or results.began_ns)
        + scale.x(results.ended_ns if step.ended_ns is None else step.ended_ns)
    ) / 2
    return flags.Wanted(middle, f"{number} {step.id}", step.outcome.value)


def _flagged(labels: list[flags.Flag], steps_y: float) -> Iterable[Markup]:
    for flag in labels:
        if flag.row is not None:
            y = steps_y - 5 - flag.row * _FLAG
            yield elements.line(flag.pole, y + 1.5, flag.pole, steps_y, "pole")
            yield elements.text(flag.left, y - 1, flag.label, f"flag {flag.css}")


def _step_bar(number: int, step: Step, results: Results, scale: elements.Scale, y: float) -> Markup:
    began_ns = step.began_ns or results.began_ns
    ended_ns = results.ended_ns if step.ended_ns is None else step.ended_ns
    left, right = scale.x(began_ns), scale.x(ended_ns)
    seen = printed.duration(ended_ns - began_ns) if step.ended_ns is not None else "end not seen"
    parts = [
        elements.box(
            left,
            y,
            max(1.5, right - left - 0.7),
            _BAR - 2,
            f"step {step.outcome.value}",
            f"{step.id}: {step.outcome.shown}, {seen}",
        )
    ]
    word = f"{number}" if step.outcome is Outcome.OK else f"{number} {step.outcome.shown}"
    shown = word if texts.width(word, _SMALL) <= right - left - 4 else str(number)
    if texts.width(shown, _SMALL) <= right - left - 2:
        parts.append(elements.text((left + right) / 2, y + 11.5, shown, f"in {step.outcome.value}", "middle"))
    return Markup("").join(parts)


def _lanes(migrations: list[Migration], ended_ns: int) -> list[list[Migration]]:
    lanes: list[list[Migration]] = []
    for one in sorted(migrations, key=lambda migration: migration.began_ns):
        for lane in lanes:
            last = lane[-1].ended_ns
            if (ended_ns if last is None else last) <= one.began_ns:
                lane.append(one)
                break
        else:
            lanes.append([one])
    return lanes[:12]


def _migration_bar(one: Migration, results: Results, scale: elements.Scale, y: float, high: float) -> Markup:
    left, right = scale.x(one.began_ns), scale.x(results.ended_ns if one.ended_ns is None else one.ended_ns)
    tip = f"{one.canary}: {one.source} to {one.target}, {one.occasion}, {one.outcome.shown}"
    parts = [
        elements.box(
            left, y + 1, max(3.0, right - left), high - (4 if high == _BAR else 1.5), f"move {one.outcome.value}", tip
        )
    ]
    shown = texts.fitted(one.canary, right - left - 6, 9.5)
    if high == _BAR and (shown == one.canary or len(shown) > 5):
        parts.append(elements.text(left + 3, y + 11, shown, f"in small {one.outcome.value}"))
    return Markup("").join(parts)


def _group(title: str, rows: list[Strip], results: Results, scale: elements.Scale) -> tuple[Markup, float]:
    beside = texts.width(title, 12) <= _TITLE_ROOM and all(
        texts.width(strips.label(row), _SMALL) <= _LABEL_ROOM for row in rows
    )
    top = 4 if beside else _TITLE
    happened = marks.of_group(title, results.happenings)
    high = top + (len(rows) + len(happened)) * _ROW + 3
    parts = [
        *_bands(results, scale, high),
        elements.text(2, top + 11 if beside else 12, texts.fitted(title, 180, 12), "group"),
    ]
    seen = {row.probe: top + place * _ROW + _ROW / 2 for place, row in enumerate(rows)}
    for row in rows:
        y = seen[row.probe]
        for one in results.migrations:
            if row.canary and one.canary == row.canary:
                left = scale.x(one.began_ns)
                right = scale.x(results.ended_ns if one.ended_ns is None else one.ended_ns)
                parts.append(elements.box(left, y - _ROW / 2, max(2.0, right - left), _ROW, "moving"))
        parts += [
            elements.text(LEFT - 10, y + 3.5, texts.fitted(strips.label(row), LEFT - 24, _SMALL), "row", "end"),
            strips.strip(row, y, scale),
            elements.text(
                WIDE - 2,
                y + 3.5,
                _tally(row),
                f"tally {'bad' if row.failed else 'slow' if row.slow else ''}".strip(),
                "end",
            ),
        ]
    parts += _marked(happened, top + len(rows) * _ROW, scale)
    for window in results.windows:
        if window.probe in seen:
            outer = scale.x(results.ended_ns if window.first_good_ns is None else window.first_good_ns)
            inner = scale.x(results.began_ns if window.last_good_ns is None else window.last_good_ns)
            if outer - inner >= _WINDOW_LEAST:
                parts.append(strips.edges(window, seen[window.probe], 9 if window.kind == "degraded" else 11, scale))
    blind = ((from_ns, to_ns, "blind") for from_ns, to_ns, _ in results.quality.blind)
    bands = strips.pieces(blind, scale)["blind"]
    parts.append(elements.dashes(bands, high / 2, "blindband", thick=high, tip="the prober was blind"))
    label = f"What the probes of {title} saw over time: " + "; ".join(f"{row.name}: {_tally(row)}" for row in rows[:12])
    return elements.drawing(WIDE, high, label, parts, "tl"), high


def _marked(rows: list[tuple[str, list[Happening]]], top: float, scale: elements.Scale) -> Iterable[Markup]:
    for place, (label, happenings) in enumerate(rows):
        y = top + place * _ROW + _ROW / 2
        yield elements.text(LEFT - 10, y + 3.5, texts.fitted(label, LEFT - 24, _SMALL), "row", "end")
        yield marks.marks(happenings, y, scale)
        yield elements.text(WIDE - 2, y + 3.5, printed.count(len(happenings)), "tally", "end")


def _hosts(results: Results, scale: elements.Scale) -> list[tuple[Markup, float]]:
    """Draw what happened to what all services have in common, and when a host was not watched; nothing if neither."""
    rows = marks.shared(results.happenings)
    if not rows and not results.unwatched:
        return []
    high = _TITLE + (len(rows) + bool(results.unwatched)) * _ROW + 3
    parts = [*_bands(results, scale, high), elements.text(2, 12, "shared by all services", "group")]
    parts += _marked(rows, _TITLE, scale)
    if results.unwatched:
        y = _TITLE + len(rows) * _ROW + _ROW / 2
        parts.append(elements.text(LEFT - 10, y + 3.5, "hosts not watched", "row", "end"))
        parts.append(marks.unwatched(results.unwatched, y, scale))
    return [(elements.drawing(WIDE, high, "What happened to what all services share, over time", parts, "tl"), high)]


def _tally(row: Strip) -> str:
    if row.failed:
        return f"{printed.count(row.failed)} failed"
    if row.slow:
        return f"{printed.count(row.slow)} slow"
    return f"0 of {printed.count(row.samples)}" if row.samples else "no sample"


def _foot(results: Results, clock: Clock, scale: elements.Scale) -> tuple[Markup, float]:
    parts = [*_grid(results, clock, scale, 0, 4), *_times(results, clock, scale, 15)]
    parts.append(elements.text(LEFT - 10, 15, f"UTC, {clock.day(results.began_ns)}".rstrip(", "), "label", "end"))
    return elements.drawing(WIDE, 20, "Time axis", parts, "tl"), 20


def _bands(results: Results, scale: elements.Scale, high: float) -> Iterable[Markup]:
    for number, step in enumerate(results.steps):
        if step.began_ns is None:
            continue
        left = scale.x(step.began_ns)
        right = scale.x(results.ended_ns if step.ended_ns is None else step.ended_ns)
        css = "fail" if step.outcome is Outcome.FAIL else "odd" if number % 2 else "even"
        yield elements.box(left, 0, right - left, high, f"band {css}")


def _marks(results: Results, clock: Clock) -> list[int]:
    """Return the instants of the ticks: round by the wall clock, which runs a little faster or slower than the axis, or jumps."""
    step = axis.step_ns(max(1, results.ended_ns - results.began_ns), 10)
    found = []
    for from_ns, to_ns in clock.pieces(results.began_ns, results.ended_ns):
        wall = clock.wall_ns(from_ns)
        midnight = from_ns - wall % _DAY_NS if wall is not None else results.began_ns
        found += axis.every(step, from_ns, to_ns, midnight)
    return found


def _grid(results: Results, clock: Clock, scale: elements.Scale, top: float, bottom: float) -> Iterable[Markup]:
    yield from _bands(results, scale, bottom) if bottom < 10 else ()
    for t_ns in _marks(results, clock):
        yield elements.line(scale.x(t_ns), top, scale.x(t_ns), bottom, "grid")


def _times(results: Results, clock: Clock, scale: elements.Scale, y: float) -> Iterable[Markup]:
    marks = _marks(results, clock)
    whole_minutes = bool(clock.pairs) and all(clock.at(t_ns).endswith(":00") for t_ns in marks)
    day = clock.day(results.began_ns)
    for t_ns in marks:
        shown = clock.at(t_ns)[:5] if whole_minutes else clock.at(t_ns)
        if clock.day(t_ns) != day:
            day = clock.day(t_ns)
            shown = f"{day[5:]} {shown}"
        x = scale.x(t_ns)
        anchor = "end" if x > RIGHT + 40 else "start" if x < LEFT + 12 else "middle"
        yield elements.text(x, y, shown, "tick", anchor)
