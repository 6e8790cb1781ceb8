"""What each lane can see: its probes summed, and the sentence that they support."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.report import figures
from rehearsal.report.headline import clean_sentence

if TYPE_CHECKING:
    from rehearsal.results import Strip


@dataclass(frozen=True, slots=True)
class Lane:
    """All probes of one lane. `floor_ns` is the worst of them, None if any of them has none."""

    name: str
    probes: int
    period: str
    samples: int
    failed: int
    slow: int
    floor_ns: int | None
    sentence: str


def summed(strips: list[Strip]) -> list[Lane]:
    """Return the lanes in the order in which their first probe was declared."""
    groups: dict[str, list[Strip]] = {}
    for strip in strips:
        groups.setdefault(strip.lane, []).append(strip)
    return [_lane(name, rows) for name, rows in groups.items()]


def sampled_late(strips: list[Strip]) -> tuple[int, int]:
    """Return how many probes have blind pieces, and how long (ns) those of the worst probe are together."""
    blind = [sum(to_ns - from_ns for from_ns, to_ns, state in strip.runs if state == "blind") for strip in strips]
    return sum(1 for size in blind if size), max(blind, default=0)


def _lane(name: str, rows: list[Strip]) -> Lane:
    samples, failed = sum(row.samples for row in rows), sum(row.failed for row in rows)
    floors = [row.floor_ns for row in rows if row.floor_ns is not None]
    floor_ns = max(floors) if len(floors) == len(rows) else None
    periods = sorted({row.period_ns for row in rows})
    period = (
        figures.about(periods[0])
        if len(periods) == 1
        else f"{figures.about(periods[0])} to {figures.about(periods[-1])}"
    )
    beside = (
        ""
        if floor_ns is None
        else f"; beside that, an outage longer than {figures.at_most(floor_ns)} would have been seen"
    )
    sentence = (
        f"{figures.count(failed)} of {figures.count(samples)} samples failed{beside}"
        if failed
        else clean_sentence(samples, floor_ns)
    )
    return Lane(name, len(rows), period, samples, failed, sum(row.slow for row in rows), floor_ns, sentence)
