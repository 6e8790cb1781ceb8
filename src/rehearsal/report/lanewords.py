"""What each lane measures, in words, and the sentence that its samples support."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.judging.instruments import Lane
from rehearsal.lanes import table
from rehearsal.report import printed
from rehearsal.report.headline import clean_sentence

if TYPE_CHECKING:
    from rehearsal.judging.results import Results
    from rehearsal.judging.windows import Strip


@dataclass(frozen=True, slots=True)
class Shown:
    """A lane with its name, what it measures, how often, and what it proves."""

    lane: Lane
    name: str
    measures: str
    period: str
    sentence: str
    probes: list[Strip]


def shown(results: Results) -> list[Shown]:
    """Return every lane ready to print, with its probes; a probe that no lane names is shown all the same."""
    strips: dict[tuple[str, str], list[Strip]] = {}
    places = {name: (lane.lane, lane.vip) for lane in results.lanes for name in lane.probes}
    for strip in results.strips:
        strips.setdefault(places.get(strip.name, (strip.lane, "")), []).append(strip)
    known = [_shown(lane, strips.pop((lane.lane, lane.vip), [])) for lane in results.lanes]
    return known + [_shown(_of_strips(lane, rows), rows) for (lane, _), rows in strips.items()]


def _of_strips(lane: str, rows: list[Strip]) -> Lane:
    """Return a lane as its strips alone tell it."""
    floors = [row.floor_ns for row in rows if row.floor_ns is not None]
    return Lane(
        lane=lane,
        vip="",
        probes=[row.name for row in rows],
        period_ns=(min(row.period_ns for row in rows), max(row.period_ns for row in rows)),
        samples=sum(row.samples for row in rows),
        failed=sum(row.failed for row in rows),
        slow=sum(row.slow for row in rows),
        proving_nothing=0,
        floor_ns=max(floors) if len(floors) == len(rows) else None,
        floor_step="",
        gap_max_ns=max(row.gap_max_ns for row in rows),
        blind_ns=max(row.blind_ns for row in rows),
        late_p50_ns=None,
        late_p99_ns=None,
    )


def _shown(lane: Lane, probes: list[Strip]) -> Shown:
    shortest, longest = (printed.about(period) for period in lane.period_ns)
    return Shown(
        lane,
        f"{lane.lane}, {lane.vip}" if lane.vip else lane.lane,
        table.of(lane.lane).measures,
        shortest if shortest == longest else f"{shortest} to {longest}",
        _sentence(lane),
        probes,
    )


def _sentence(lane: Lane) -> str:
    if not lane.failed:
        return clean_sentence(lane.samples, lane.floor_ns)
    beside = (
        ""
        if lane.floor_ns is None
        else f"; beside that, an outage longer than {printed.at_most(lane.floor_ns)} would have been seen"
    )
    return f"{printed.count(lane.failed)} of {printed.count(lane.samples)} samples failed{beside}"
