"""One service, seen through several lanes: what was one outage of it, and how long, no time counted twice.

Each lane bounds what it saw by its own samples, however rarely it looks: what it met lies between its last good sample
and its next one. A lane that looks rarely may meet several outages in a row; where a faster lane proves that they were
several, they are (`apart`).
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rehearsal.outage import OPEN_NS
from rehearsal.outage import clipped
from rehearsal.outage import measure
from rehearsal.outage import merged
from rehearsal.results import Length

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence

    from rehearsal.judging.observation import Seen
    from rehearsal.outage import Outage

Span = tuple[int, int]
_ALIKE = 2
"""Lanes whose periods differ by no more than this factor are equally good witnesses of where an outage was."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """An outage as one lane saw it, and how often that lane looks (ns)."""

    outage: Outage
    period_ns: int
    seen: Seen | None = None


@dataclass(frozen=True, slots=True)
class Union:
    """What several sightings are together: their length, how many outages they are, and where they can have been."""

    length: Length
    count: int
    spans: tuple[Span, ...]


def united(sightings: Iterable[Sighting]) -> Union:
    """Unite sightings of one service: bounds that hold for every lane, and the most likely length as the fastest lane has it."""
    spans: list[Span] = []
    points: list[Span] = []
    parts: list[Span] = []
    censored = False
    by_period = itertools.groupby(sorted(sightings, key=lambda each: each.period_ns), key=lambda each: each.period_ns)
    for _, batch in by_period:
        outages = [sighting.outage for sighting in batch]
        parts += [part for outage in outages for part in outage.certain_parts]
        likely = ((out.point_from_ns, out.point_to_ns) for out in outages if not _touches(extent(out), points))
        points = merged([*points, *likely])
        spans = merged([*spans, *(extent(outage) for outage in outages)])
        censored = censored or any(outage.is_censored for outage in outages)
    certain = measure(parts)
    point = measure([*parts, *points])
    if censored:
        return Union(Length(certain, point, None), len(spans), tuple(spans))
    possible = measure([*spans, *parts])
    return Union(Length(certain, min(point, possible), possible), len(spans), tuple(spans))


def extent(outage: Outage) -> Span:
    """Return the widest span in which an outage can have been (OPEN_NS: nobody saw its end)."""
    begin = outage.first_bad_ns if outage.last_good_ns is None else outage.last_good_ns
    return begin, OPEN_NS if outage.first_good_ns is None else outage.first_good_ns


def evidence(outage: Outage) -> Span:
    """Return the span in which an outage was seen."""
    return outage.first_bad_ns, max(outage.last_bad_ns, outage.proof_ns, outage.first_bad_ns + 1)


def _touches(span: Span, spans: Sequence[Span]) -> bool:
    place = bisect.bisect_left(spans, (span[0], 0))
    return (place < len(spans) and spans[place][0] < span[1]) or (place > 0 and spans[place - 1][1] > span[0])


# --- which sightings are one outage --------------------------------------------------------------------------------


@dataclass(slots=True)
class _Cluster:
    span: Span  # as its fastest lanes have it
    sightings: list[Sighting]


def incidents(sightings: Sequence[Sighting]) -> list[tuple[Sighting, ...]]:
    """Return the outages of one service, each as its lanes saw it, in order of time.

    Lanes that look about equally often saw one outage if it can have been one. What a slower lane saw belongs to the
    outages in whose time its samples failed, and is an outage of its own if there is none.
    """
    found: list[_Cluster] = []
    ordered = sorted(sightings, key=lambda each: each.period_ns)
    while ordered:
        limit_ns = _ALIKE * ordered[0].period_ns
        batch = [each for each in ordered if each.period_ns <= limit_ns]
        ordered = ordered[len(batch) :]
        found = _with_slower(found, batch) if found else _overlapping(batch)
    return [tuple(sorted(each.sightings, key=lambda one: one.outage.first_bad_ns)) for each in found]


def _overlapping(batch: Iterable[Sighting]) -> list[_Cluster]:
    found: list[_Cluster] = []
    for (from_ns, to_ns), _, sighting in sorted((extent(one.outage), number, one) for number, one in enumerate(batch)):
        if found and from_ns <= found[-1].span[1]:
            last = found[-1]
            last.span = last.span[0], max(last.span[1], to_ns)
            last.sightings.append(sighting)
        else:
            found.append(_Cluster((from_ns, to_ns), [sighting]))
    return found


def _with_slower(faster: list[_Cluster], batch: Iterable[Sighting]) -> list[_Cluster]:
    """Add what slower lanes saw to the outages that faster ones saw."""
    known = sorted((sighting.outage for each in faster for sighting in each.sightings), key=lambda out: out.last_bad_ns)
    spans = [each.span for each in faster]
    reach = list(itertools.accumulate((to_ns for _, to_ns in spans), max))
    alone: list[Sighting] = []
    joined: list[tuple[int, int]] = []  # clusters (from, to) that a slower outage makes one
    for sighting in (part for whole in batch for part in apart(whole, known)):
        from_ns, to_ns = evidence(sighting.outage)
        low = bisect.bisect_left(reach, from_ns)
        high = bisect.bisect_right(spans, (to_ns, OPEN_NS))
        met = [place for place in range(low, high) if spans[place][1] >= from_ns]
        if not met:
            alone.append(sighting)
            continue
        faster[met[0]].sightings.append(sighting)
        joined += [(met[0], place) for place in met[1:]]
    for into, place in sorted(joined, key=lambda pair: pair[1], reverse=True):
        faster[into].sightings += faster[place].sightings
        faster[into].span = faster[into].span[0], max(faster[into].span[1], faster[place].span[1])
        faster[place].sightings = []
    found = [each for each in faster if each.sightings] + _overlapping(alone)
    return sorted(found, key=lambda each: each.span)


def apart(sighting: Sighting, faster: Sequence[Outage]) -> list[Sighting]:
    """Return a slow lane's outage as the several that it was, as faster lanes prove.

    `faster`: their outages in order of their last failed samples. Between two failed samples of the slow lane nothing is
    certain if a faster lane saw the outage that one of them met, and saw it end before the other, or begin after it.
    """
    failures = sighting.outage.failures
    if failures.shape[1] < 2:
        return [sighting]
    cuts = {cut for outage in faster for cut in _cuts(failures, outage)}
    if not cuts:
        return [sighting]
    edges = [0, *sorted(cuts), failures.shape[1]]
    return [
        dataclasses.replace(sighting, outage=_part(sighting.outage, low, high))
        for low, high in itertools.pairwise(edges)
    ]


def _cuts(failures: np.ndarray, outage: Outage) -> list[int]:
    """Return before which failed samples an outage that a faster lane saw ended, or after which it began."""
    sent, done, _ = failures
    begin, end = evidence(outage)
    low, high = np.searchsorted(done, begin), np.searchsorted(sent, end, side="right")
    if low >= high:
        return []  # the slow lane did not meet it
    found = []
    if outage.first_good_ns is not None and high < len(sent) and outage.first_good_ns <= sent[high]:
        found.append(int(high))
    if outage.last_good_ns is not None and low > 0 and outage.last_good_ns >= done[low - 1]:
        found.append(int(low))
    return found


def _part(outage: Outage, low: int, high: int) -> Outage:
    """Return the failed samples from `low` to before `high` as an outage: its bounds are its neighbours'."""
    sent, done, _ = outage.failures
    count = len(sent)
    first, last = int(sent[low]), int(sent[high - 1])
    proof = max(first, outage.proof_ns) if low == 0 else int(done[low:high].min())
    return outage.having(
        outage.failures[:, low:high],
        last_good_ns=outage.last_good_ns if low == 0 else int(sent[low - 1]),
        first_bad_ns=first,
        last_bad_ns=outage.last_bad_ns if high == count else last,
        first_good_ns=outage.first_good_ns if high == count else int(done[high]),
        first_good_sent_ns=outage.first_good_sent_ns if high == count else int(sent[high]),
        proof_ns=proof,
        certain_parts=tuple(clipped(outage.certain_parts, proof, last)),
    )


# --- what lies on two sides of a border ----------------------------------------------------------------------------


def split(outage: Outage, at_ns: int) -> tuple[Outage, Outage]:
    """Return what of an outage lies before a moment and what lies from then on; the moment must be within its extent."""
    is_later = outage.failures[0] >= at_ns
    before = outage.having(
        outage.failures[:, ~is_later],
        last_bad_ns=min(outage.last_bad_ns, at_ns),
        first_good_ns=at_ns,
        first_good_sent_ns=at_ns,
        certain_parts=tuple(clipped(outage.certain_parts, 0, at_ns)),
    )
    after = outage.having(
        outage.failures[:, is_later],
        last_good_ns=at_ns,
        first_bad_ns=max(outage.first_bad_ns, at_ns),
        last_bad_ns=max(outage.last_bad_ns, at_ns),
        proof_ns=max(outage.proof_ns, at_ns),
        certain_parts=tuple(clipped(outage.certain_parts, at_ns, OPEN_NS)),
        good_before=0,
    )
    return before, after
