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

from rehearsal.figures.length import Length
from rehearsal.outage import OPEN_NS
from rehearsal.outage import clipped
from rehearsal.outage import measure
from rehearsal.outage import merged

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rehearsal.judging.observing.observation import Seen
    from rehearsal.outage import Outage

    Int64s = NDArray[np.int64]

Span = tuple[int, int]
ONE_LEAST = 20
"""So many failures in a row of one lane are one outage, although a lane that looks as often met nothing of it: of outages
that take half of the time, one lane meets 20 in a row and another none with a probability below one in 10^12."""
ALIKE = 2
"""Lanes whose periods differ by no more than this factor are equally good witnesses of where an outage was."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """An outage as one lane saw it, and how often that lane looks (ns).

    `is_later_part`: this lane's sample before it had failed, too (see `apart`); `well_ns`: when another lane's sample was
    good in between, if that is known.
    """

    outage: Outage
    period_ns: int
    seen: Seen | None = None
    is_later_part: bool = False
    well_ns: int | None = None

    @property
    def good_ns(self) -> int | None:
        """When a sample that is known to have been good was sent last before it."""
        return self.well_ns if self.is_later_part else self.outage.last_good_ns

    @property
    def vip(self) -> str:
        """Which of the service's addresses the lane looks at."""
        return "" if self.seen is None else self.seen.probe.declared.vip


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


class Witness:
    """Another lane of the same service: when it looked, and what failed."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.period_ns = seen.probe.declared.period_ns
        self.vip = seen.probe.declared.vip
        self.outages = seen.trace.outages
        self._from_ns, self._to_ns = seen.trace.first_sent_ns or 0, seen.trace.last_sent_ns or 0
        failures = np.concatenate([np.empty((3, 0), np.int64), *(each.failures for each in self.outages)], axis=1)
        self._sent = failures[0]
        self._answered = np.maximum.accumulate(failures[1])
        self._well = _Well(seen.trace.answered, self._good_pairs())

    def _good_pairs(self) -> list[Span]:
        """Return when good samples on the edges of outages were sent, and by when they were answered."""
        before = [(each.last_good_ns, each.first_bad_ns) for each in self.outages if each.last_good_ns is not None]
        after = [
            (each.first_good_sent_ns, each.first_good_ns) for each in self.outages if each.first_good_ns is not None
        ]
        return [*before, *((low or 0, high) for low, high in after)]

    def answered_between(self, sent: Int64s, done: Int64s) -> np.ndarray:
        """Tell before which of a lane's failed samples, since the one before it was done, this lane was asked and answered.

        What was only sent between them may have waited for the end of the outage that both met.
        """
        return self._well.between(done[:-1], sent[1:])

    def failed_between(self, sent: Int64s, done: Int64s) -> np.ndarray:
        """Tell before which of a lane's failed samples, since the one before it was done, a sample of this lane failed."""
        found = np.zeros(len(sent), np.bool_)
        found[1:] = np.searchsorted(self._sent, sent[1:]) > np.searchsorted(self._sent, done[:-1])
        return found

    def was_well(self, sent: Int64s, done: Int64s) -> np.ndarray:
        """Tell before which of a lane's failed samples, since the one before it, one of this lane was probably good.

        It was if none of this lane's failed from the one to the other, in which time it looked at least once, or if fewer
        failed between them than it took samples there.
        """
        found = np.zeros(len(sent), np.bool_)
        low, high = sent[:-1], done[1:]
        until = np.searchsorted(self._sent, high, side="right")
        failed = np.zeros(len(low), np.bool_)
        some = until > 0
        failed[some] = self._answered[until[some] - 1] >= low[some]
        looked = high - low >= self.period_ns
        within = np.searchsorted(self._sent, sent[1:]) - np.searchsorted(self._sent, done[:-1])
        taken = (sent[1:] - done[:-1]) // self.period_ns
        was_there = (low >= self._from_ns) & (high <= self._to_ns)
        between = sent[1:] > done[:-1]  # else the samples overlap, and nothing lies between them
        found[1:] = was_there & ((~failed & looked) | (between & (within < taken)))
        return found


class _Well:
    """When good samples were sent and answered: runs of them (`Trace.answered`), and known pairs of the two moments."""

    def __init__(self, runs: Int64s, pairs: Iterable[Span]) -> None:
        self._due, self._count, self._period, self._most = runs
        heads = zip(self._due.tolist(), (self._due + self._most).tolist(), strict=True)
        known = sorted([*pairs, *heads])
        self._sent = np.array([low for low, _ in known], np.int64)
        done = np.array([high for _, high in known], np.int64)
        self._least_done = np.append(np.minimum.accumulate(done[::-1])[::-1], OPEN_NS)

    def between(self, low: Int64s, high: Int64s) -> np.ndarray:
        """Tell for each span of time whether a good sample was sent and answered in it; never before the first."""
        found = np.zeros(len(low) + 1, np.bool_)
        found[1:] = self._least_done[np.searchsorted(self._sent, low)] <= high
        if len(self._due):
            place = np.maximum(np.searchsorted(self._due, low, side="right") - 1, 0)
            number = np.maximum(
                -((self._due[place] - low) // self._period[place]), 0
            )  # of the run's first one from then on
            done = self._due[place] + number * self._period[place] + self._most[place]
            found[1:] |= (number < self._count[place]) & (self._due[place] <= low) & (done <= high)
        return found


# --- which sightings are one outage --------------------------------------------------------------------------------


@dataclass(slots=True)
class _Cluster:
    """Sightings that are one outage. `seen`: from its first failed sample to its last one, as its fastest lanes have it."""

    seen: Span
    span: Span  # in which it can have been
    sightings: list[Sighting]

    def is_over_before(self, sighting: Sighting) -> bool:
        """Tell whether a good sample of any lane lies between what was seen of this and what was seen of another."""
        if sighting.good_ns is not None and sighting.good_ns >= self.seen[1]:
            return True
        returns = (one.outage for one in self.sightings if one.outage.first_good_ns is not None)
        return any(
            (one.first_good_sent_ns or 0) >= self.seen[1]
            and (one.first_good_ns or OPEN_NS) <= sighting.outage.first_bad_ns
            for one in returns
        )

    def take(self, sightings: Iterable[Sighting], seen: Span, span: Span) -> None:
        """Add more sightings of the same outage."""
        self.sightings += sightings
        self.seen = min(self.seen[0], seen[0]), max(self.seen[1], seen[1])
        self.span = min(self.span[0], span[0]), max(self.span[1], span[1])


def incidents(sightings: Sequence[Sighting], witnesses: Sequence[Witness] = ()) -> list[tuple[Sighting, ...]]:
    """Return the outages of one service, each as its lanes saw it, in order of time.

    Lanes that look about equally often saw one outage if no good sample lies between their failed ones. What a slower
    lane saw belongs to the outages in whose time its samples failed, and is an outage of its own if there is none.
    """
    found: list[_Cluster] = []
    ordered = sorted(sightings, key=lambda each: each.period_ns)
    while ordered:
        limit_ns = ALIKE * ordered[0].period_ns
        whole = [each for each in ordered if each.period_ns <= limit_ns]
        ordered = ordered[len(whole) :]
        batch = [part for each in whole for part in apart(each, witnesses)]
        found = _with_slower(found, batch) if found else _clustered(batch)
    return [tuple(sorted(each.sightings, key=lambda one: one.outage.first_bad_ns)) for each in found]


def _clustered(batch: Iterable[Sighting]) -> list[_Cluster]:
    found: list[_Cluster] = []
    for sighting in sorted(batch, key=lambda one: evidence(one.outage)):
        seen, span = evidence(sighting.outage), extent(sighting.outage)
        last = found[-1] if found else None
        if last is not None and (
            seen[0] <= last.seen[1] or (span[0] <= last.span[1] and not last.is_over_before(sighting))
        ):
            last.take([sighting], seen, span)
        else:
            found.append(_Cluster(seen, span, [sighting]))
    return found


def _with_slower(faster: list[_Cluster], batch: Iterable[Sighting]) -> list[_Cluster]:
    """Add what slower lanes saw to the outages that faster ones saw."""
    seen = _Index([each.seen for each in faster])
    spans = _Index([each.span for each in faster])
    alone: list[Sighting] = []
    joined: list[tuple[int, int]] = []  # clusters (into, from) that a slower outage makes one
    added: list[tuple[int, Sighting]] = []
    for sighting in batch:
        span = evidence(sighting.outage)
        met = seen.meeting(span) or spans.meeting(span)[:1]
        if met:
            added.append((met[0], sighting))
            joined += [(met[0], place) for place in met[1:]]
        else:
            alone.append(sighting)
    for place, sighting in added:
        faster[place].sightings.append(sighting)
    for into, place in sorted(joined, key=lambda pair: pair[1], reverse=True):
        other = faster[place]
        faster[into].take(other.sightings, other.seen, other.span)
        other.sightings = []
    found = [each for each in faster if each.sightings] + _clustered(alone)
    return sorted(found, key=lambda each: each.seen)


class _Index:
    """Spans in order of their beginning, by which others are found that meet them."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._order = sorted(range(len(spans)), key=lambda place: spans[place])
        self._spans = [spans[place] for place in self._order]
        self._reach = list(itertools.accumulate((to_ns for _, to_ns in self._spans), max))

    def meeting(self, span: Span) -> list[int]:
        """Return the places of those that meet a span, in order."""
        low = bisect.bisect_left(self._reach, span[0])
        high = bisect.bisect_right(self._spans, (span[1], OPEN_NS))
        return sorted(self._order[place] for place in range(low, high) if self._spans[place][1] >= span[0])


def apart(sighting: Sighting, witnesses: Iterable[Witness]) -> list[Sighting]:
    """Return a lane's outage as the several that it was, as far as other lanes prove it.

    What another lane was answered between two failed samples is proof, however rarely it looks; one that looks at least as
    often is also known to have been well where it met nothing. A lane that met the outage, too, sees what caused it: where none of its samples failed between two failed ones,
    nothing is certain between them, and if it met another outage on the other side, that is another outage. A lane that
    never met it may be of a kind that does not see it, and one at another address does not. Else a few failures in a row
    may be as many short outages; many are one, since short outages are not met so often by one lane and never by another.
    The same holds for many in a row before or after the part that a lane met.
    """
    outage = sighting.outage
    sent, done, _ = outage.failures
    if len(sent) < 2:
        return [sighting]
    known = np.full(len(sent), -1)
    holes = np.zeros(len(sent), np.bool_)
    answered = np.zeros(len(sent), np.bool_)
    begun: list[int] = []
    numbers = itertools.count()
    for witness in witnesses:
        if witness.seen is sighting.seen:
            continue
        met = [each for each in witness.outages if _are_met(outage.failures, each).any()]
        if not met and (len(sent) >= ONE_LEAST or witness.vip != sighting.vip):
            continue
        proved = witness.answered_between(sent, done)
        often = witness.period_ns <= ALIKE * sighting.period_ns
        was_well = proved | witness.was_well(sent, done) if often else proved
        holes |= _without_long_runs(was_well, ~was_well & witness.failed_between(sent, done))
        answered |= proved
        for each in met:
            known[_are_met(outage.failures, each)] = next(numbers)
        begun += [each.last_good_ns for each in met if each.last_good_ns is not None]
    if not holes.any():
        return [sighting]
    places = np.flatnonzero(holes).tolist()
    trimmed = dataclasses.replace(outage, certain_parts=_without_holes(outage, places))
    cuts: dict[int, int | None] = {0: None}  # a part's first failed sample: when another lane was well before it
    for number in places:
        well_ns = max((moment for moment in begun if done[number - 1] <= moment <= sent[number]), default=None)
        if answered[number] and known[number] >= 0 and (known[number - 1] >= 0 or well_ns is not None):
            cuts[number] = well_ns
    edges = itertools.pairwise([*cuts, len(sent)])
    parts = [
        dataclasses.replace(sighting, outage=_part(trimmed, low, high), is_later_part=True, well_ns=cuts[low])
        for low, high in edges
    ]
    return [dataclasses.replace(parts[0], is_later_part=sighting.is_later_part, well_ns=sighting.well_ns), *parts[1:]]


def _without_long_runs(holes: np.ndarray, met: np.ndarray) -> np.ndarray:
    """Return the holes but for the inside of long runs: there is more than this witness sees, before or after what it met.

    A run goes on as long as the witness meets nothing; a witness that looks rarely need not have looked each time.
    """
    kept = holes.copy()
    edges = [0, *(np.flatnonzero(met) + 1).tolist(), len(holes)]
    for low, high in itertools.pairwise(edges):
        places = low + np.flatnonzero(holes[low:high])
        if len(places) and places[-1] - places[0] >= ONE_LEAST - 1:
            kept[places[0] + 1 : places[-1]] = False
    return kept


def _are_met(failures: np.ndarray, outage: Outage) -> np.ndarray:
    """Tell which failed samples can have met an outage that another lane saw."""
    begin, end = extent(outage)
    sent, done, _ = failures
    found: np.ndarray = (sent <= end) & (done >= begin)
    return found


def _without_holes(outage: Outage, holes: Iterable[int]) -> tuple[Span, ...]:
    sent = outage.failures[0]
    edges = itertools.pairwise([0, *holes, len(sent)])
    spans = [(int(sent[low]), int(sent[high - 1])) for low, high in edges]
    return tuple(part for low, high in spans for part in clipped(outage.certain_parts, low, high))


def _part(outage: Outage, low: int, high: int) -> Outage:
    """Return the failed samples from `low` to before `high` as an outage.

    It began after the failed sample before it; it may have gone on until the last one was over.
    """
    sent, done, _ = outage.failures
    if low == 0 and high == len(sent):
        return outage
    first, last = int(sent[low]), int(sent[high - 1])
    proof = max(first, outage.proof_ns) if low == 0 else int(done[low:high].min())
    return outage.having(
        outage.failures[:, low:high],
        last_good_ns=outage.last_good_ns if low == 0 else int(sent[low - 1]),
        first_bad_ns=first,
        last_bad_ns=outage.last_bad_ns if high == len(sent) else last,
        first_good_sent_ns=outage.first_good_sent_ns if high == len(sent) else int(sent[high]),
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
