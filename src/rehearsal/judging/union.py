"""One service, seen through several lanes: how long it was out, time in which several lanes were out counted once.

The lane that samples fastest sets the bounds. What a rarer lane saw within them adds nothing: it is the same outage. What
it saw elsewhere counts with its own, wider bounds.
"""

from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.outage import OPEN_NS
from rehearsal.outage import Outage
from rehearsal.outage import measure
from rehearsal.outage import merged
from rehearsal.results import Length

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Sighting:
    """An outage as one lane saw it, and how often that lane looks (ns). `rare`: too seldom to bound anything."""

    outage: Outage
    period_ns: int
    rare: bool = False


@dataclass(frozen=True, slots=True)
class Union:
    """What several sightings are together: their length, how many outages they are, and where they can have been."""

    length: Length
    count: int
    spans: tuple[Span, ...]


def united(sightings: Iterable[Sighting], *, budget_ns: int | None = None, finest_ns: int = 0) -> Union:
    """Unite sightings of one service.

    `finest_ns`: the period of the service's fastest lane. A lane so slow that a single failed sample of it could never
    be judged against the budget bears witness only: that sample counts with what it knows for certain, and what such a
    lane cannot see is said elsewhere, whether one of its samples failed or not.
    """
    ordered = sorted(sightings, key=lambda sighting: sighting.period_ns)
    spans: list[Span] = []
    points: list[Span] = []
    parts: list[Span] = []
    censored = False
    for _, batch in itertools.groupby(ordered, key=lambda sighting: sighting.period_ns):
        fresh: list[Outage] = []
        extents: list[Span] = []
        for sighting in batch:
            outage = sighting.outage
            parts += outage.certain_parts
            if _explained(outage, spans):
                continue
            fresh.append(outage)
            if is_witness(sighting, budget_ns, finest_ns):
                extents.append(evidence(outage))
                censored = censored or (sighting.rare and outage.first_good_ns is None)
            else:
                extents.append(extent(outage))
                censored = censored or outage.is_censored
        points = merged(
            [*points, *((out.point_from_ns, out.point_to_ns) for out in fresh if not _touches(extent(out), points))]
        )
        spans = merged([*spans, *extents])
    certain = measure(parts)
    point = measure([*parts, *points])
    if censored:
        return Union(Length(certain, point, None), len(spans), tuple(spans))
    possible = measure([*spans, *parts])
    return Union(Length(certain, min(point, possible), possible), len(spans), tuple(spans))


def is_witness(sighting: Sighting, budget_ns: int | None, finest_ns: int) -> bool:
    """True for a single failed sample of a lane that is too slow for the budget, where there is a faster lane.

    The rare lanes (writing) are witnesses always: their bounds, most of a minute apart, would leave every budget
    undecided after a single failed write. Two failed writes in a row are charged from the one to the other. What such
    a lane cannot see is not proven, and is named so.
    """
    if sighting.rare and finest_ns:
        return True
    if budget_ns is None or not sighting.outage.is_blip:
        return False
    begin_ns, end_ns = evidence(sighting.outage)
    doubt_ns = 2 * sighting.period_ns
    # The doubt must be the lane's own, not that of an answer which took long.
    return doubt_ns + end_ns - begin_ns > budget_ns and doubt_ns > max(budget_ns // 2, 4 * finest_ns)


def extent(outage: Outage) -> Span:
    """Return the widest span in which an outage can have been (OPEN_NS: nobody saw its end)."""
    begin = outage.first_bad_ns if outage.last_good_ns is None else outage.last_good_ns
    return begin, OPEN_NS if outage.first_good_ns is None else outage.first_good_ns


def evidence(outage: Outage) -> Span:
    """Return the span in which an outage was seen."""
    return outage.first_bad_ns, max(outage.last_bad_ns, outage.proof_ns, outage.first_bad_ns + 1)


def _explained(outage: Outage, spans: Sequence[Span]) -> bool:
    """True if all that was seen of an outage can be the outage that a faster lane saw."""
    place = bisect.bisect_right(spans, (outage.proof_ns, OPEN_NS)) - 1
    return place >= 0 and outage.first_bad_ns <= spans[place][1] and outage.last_bad_ns <= spans[place][1]


def _touches(span: Span, spans: Sequence[Span]) -> bool:
    place = bisect.bisect_left(spans, (span[0], 0))
    return (place < len(spans) and spans[place][0] < span[1]) or (place > 0 and spans[place - 1][1] > span[0])
