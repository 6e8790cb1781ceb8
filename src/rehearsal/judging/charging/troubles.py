"""Outages of a service, each charged to what was being done when it began, and the windows in which they are shown.

Lanes see the same outage several times; it is one outage of the service. Every outage is charged by itself. Those that
follow each other closely and are charged alike are shown as one window: a service that flaps.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from rehearsal.judging.charging.union import Sighting
from rehearsal.judging.charging.union import Witness
from rehearsal.judging.charging.union import extent
from rehearsal.judging.charging.union import incidents
from rehearsal.judging.charging.union import split
from rehearsal.lanes import table
from rehearsal.lanes.table import Judge
from rehearsal.outage import OPEN_NS
from rehearsal.outage import join
from rehearsal.recording import events
from rehearsal.recording.stretch import BETWEEN
from rehearsal.recording.stretch import CONTROL

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable
    from collections.abc import Sequence

    from rehearsal.judging.observing.observation import Observation
    from rehearsal.judging.observing.observation import Piece
    from rehearsal.judging.observing.observation import Seen
    from rehearsal.outage import Outage
    from rehearsal.recording.history import History
    from rehearsal.recording.stretch import Stretch

    Strictness = Callable[[Stretch, str, str], int]

_DETAIL_SLACK_NS = 2_000_000_000  # a detail is written soon after its sample was done


class Attribution(StrEnum):
    """How surely an outage belongs to what it is charged to."""

    STEP = "step"
    MIGRATION = "migration"
    AMBIGUOUS = "ambiguous"  # others may own it as well
    PRE_EXISTING = "pre-existing"  # it began before, while nobody did anything
    BETWEEN = "between"


@dataclass(frozen=True, slots=True)
class Charge:
    """What an outage is charged to. `others`: where else it may have begun, as far as its samples tell."""

    stretch: Stretch
    attribution: Attribution
    others: tuple[Stretch, ...] = ()

    @property
    def candidates(self) -> tuple[Stretch, ...]:
        """Return everything that it may belong to."""
        return self.stretch, *self.others

    @property
    def is_sure(self) -> bool:
        """True if it began in a step or a migration, in that one, so that its end is that one's, too."""
        return self.attribution in {Attribution.STEP, Attribution.MIGRATION}


@dataclass(frozen=True, slots=True)
class Incident:
    """One outage of a service or canary, as all lanes saw it that met it."""

    service: str
    kind: str
    sightings: tuple[Sighting, ...]
    charge: Charge

    @property
    def candidates(self) -> tuple[Stretch, ...]:
        """Return everything that it may belong to."""
        return self.charge.candidates


@dataclass(frozen=True, slots=True)
class Trouble:
    """One window of one lane: an outage, or several that flap."""

    seen: Seen
    kind: str
    service: str
    outages: tuple[Outage, ...]

    @property
    def sightings(self) -> list[Sighting]:
        """Its outages, with how often its lane looks."""
        return [Sighting(outage, self.seen.probe.declared.period_ns, self.seen) for outage in self.outages]

    @property
    def from_ns(self) -> int:
        """The earliest moment at which it can have begun; for a censored one the first bad sample."""
        return extent(self.outages[0])[0]

    @property
    def to_ns(self) -> int:
        """The latest moment at which it can have ended; OPEN_NS if nobody saw its end."""
        return extent(self.outages[-1])[1]


@dataclass(frozen=True, slots=True)
class Group:
    """Outages that are shown together, and the windows of the lanes that saw them. All are charged alike."""

    service: str
    kind: str
    troubles: tuple[Trouble, ...]
    charge: Charge
    incidents: tuple[Incident, ...] = ()

    @property
    def sightings(self) -> list[Sighting]:
        """All outages of all lanes."""
        return [sighting for trouble in self.troubles for sighting in trouble.sightings]


# --- grouping ------------------------------------------------------------------------------------------------------


def groups_of(observation: Observation, history: History, strictness: Strictness) -> list[Group]:
    """Return every outage of every service and canary, charged, in order of its beginning.

    `strictness` tells how much (ns) a stretch allows a service for a kind of outage: where an outage may have begun in
    several, it is charged to the one that allows least.
    """
    makers = _Makers(history)
    lanes: dict[tuple[str, str], list[Witness]] = defaultdict(list)
    by_key: dict[tuple[str, str, str], list[Sighting]] = defaultdict(list)
    for seen in observation.seen:
        if table.of(seen.probe.lane).judge is Judge.NEVER:
            continue
        lanes[seen.probe.service, _viewpoint(seen)].append(Witness(seen))
        for kind, outages in (("down", seen.trace.outages), ("degraded", seen.trace.degraded)):
            for outage in outages:
                service = makers.charged_service(seen, kind, outage)
                by_key[service, kind, _viewpoint(seen)].append(Sighting(outage, seen.probe.declared.period_ns, seen))
    found: list[Group] = []
    for (service, kind, viewpoint), sightings in by_key.items():
        charger = _Charger(observation, service, kind, strictness)
        witnesses = lanes[service, viewpoint] if kind == "down" else []
        found += _shown([each for one in incidents(sightings, witnesses) for each in charger.charged(one)])
    return sorted(found, key=lambda group: group.troubles[0].outages[0].first_bad_ns)


def _viewpoint(seen: Seen) -> str:
    """Lanes that see a service as its users do are one viewpoint; every backend and every lane to a canary is its own."""
    probe = seen.probe
    if probe.reaches_canary:
        return f"{probe.declared.canary} {probe.lane}"
    return "users" if table.of(probe.lane).is_of_users else probe.name


def is_judged(group: Group, observation: Observation) -> bool:
    """True if a window counts in the matrix: seen by users, or by the network lane to a canary."""
    probe = group.troubles[0].seen.probe
    if probe.reaches_canary:
        return probe.lane in {seen.probe.lane for seen in observation.of_service(group.service)}
    return table.of(probe.lane).is_of_users


def _shown(found: Sequence[Incident]) -> list[Group]:
    """Put outages together that flap in some lane and are charged alike."""
    owner: dict[int, int] = {}  # incident: the first of those that it is shown with
    lanes: dict[int, list[tuple[int, Sighting]]] = defaultdict(list)
    for number, incident in enumerate(found):
        for sighting in incident.sightings:
            lanes[id(sighting.seen)].append((number, sighting))

    def first(number: int) -> int:
        while owner.get(number, number) != number:
            number = owner[number]
        return number

    for seen in lanes.values():
        seen.sort(key=lambda pair: pair[1].outage.first_bad_ns)
        place = {id(sighting.outage): number for number, sighting in seen}
        for window in join([sighting.outage for _, sighting in seen]):
            for outage in window[1:]:
                one, other = first(place[id(window[0])]), first(place[id(outage)])
                if found[one].charge == found[other].charge:
                    owner[max(one, other)] = min(one, other)
    together: dict[int, list[Incident]] = defaultdict(list)
    for number, incident in enumerate(found):
        together[first(number)].append(incident)
    return [_group(each) for each in together.values()]


def _group(same: Sequence[Incident]) -> Group:
    by_lane: dict[int, list[Sighting]] = defaultdict(list)
    for incident in same:
        for sighting in incident.sightings:
            by_lane[id(sighting.seen)].append(sighting)
    first = same[0]
    troubles = []
    for sightings in by_lane.values():
        seen = sightings[0].seen
        assert seen is not None
        outages = sorted((sighting.outage for sighting in sightings), key=lambda outage: outage.first_bad_ns)
        troubles += [Trouble(seen, first.kind, first.service, window) for window in join(outages)]
    troubles.sort(key=lambda trouble: trouble.outages[0].first_bad_ns)
    return Group(first.service, first.kind, tuple(troubles), first.charge, tuple(same))


class _Makers:
    """Who made the answers that failed, as far as details were recorded."""

    def __init__(self, history: History) -> None:
        self._details: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for moment, event in history.of(events.SampleDetail):
            if event.maker:
                self._details[event.probe].append((moment, event.maker))

    def charged_service(self, seen: Seen, kind: str, outage: Outage) -> str:
        """A refusal that only keystone's token filter made is keystone's, whatever service was asked."""
        service = seen.probe.service
        if kind != "down" or not table.of(seen.probe.lane).needs_token:
            return service
        details = self._details.get(seen.probe.declared.probe, [])
        low = bisect.bisect_left(details, (outage.first_bad_ns, ""))
        until = outage.first_good_ns
        high = len(details) if until is None else bisect.bisect_right(details, (until + _DETAIL_SLACK_NS, ""))
        makers = {maker for _, maker in details[low:high]}
        return "keystone" if makers == {"token-filter"} else service


# --- charging ------------------------------------------------------------------------------------------------------


class _Charger:
    """Charges the outages of one service to what was being done when they began."""

    def __init__(self, observation: Observation, service: str, kind: str, strictness: Strictness) -> None:
        self._pieces = observation.pieces
        self._service = service
        self._kind = kind
        self._strictness = strictness

    def charged(self, sightings: tuple[Sighting, ...]) -> list[Incident]:
        """Return an outage, charged; two if it began while nobody did anything and went on in a step or a migration."""
        pieces = self._pieces_of(sightings)
        low_ns, high_ns = onset(sightings)
        touched = [piece for piece in pieces if _meets(piece, low_ns, high_ns)]
        until_ns = max(evidence_end(sighting.outage) for sighting in sightings)
        later = [piece for piece in pieces if piece.stretch.is_doing and high_ns < piece.from_ns < until_ns]
        doing = [piece for piece in touched if piece.stretch.is_doing]
        if doing:
            anew = list(itertools.dropwhile(lambda piece: self._surely_reaches(sightings, piece.from_ns), later))
            return [self._incident(sightings, self._charge(doing, touched, later, anew))]
        control = not touched or any(piece.stretch == CONTROL for piece in touched)
        charge = Charge(CONTROL, Attribution.PRE_EXISTING) if control else Charge(BETWEEN, Attribution.BETWEEN)
        found: list[Incident] = []
        for piece in later:
            before, after = _halves(sightings, piece.from_ns)
            if not after:
                continue
            if before:  # not of a step of no length, at whose end the next one began
                found.append(self._incident(before, charge))
            sightings, charge = after, Charge(piece.stretch, Attribution.PRE_EXISTING)
        return [*found, self._incident(sightings, charge)]

    def _pieces_of(self, sightings: Sequence[Sighting]) -> Sequence[Piece]:
        """Return the pieces of the run as the one sees them whose outage it is: a canary's migrations are its own."""
        seen = sightings[0].seen
        return seen.pieces if seen is not None and seen.probe.reaches_canary else self._pieces

    def _incident(self, sightings: tuple[Sighting, ...], charge: Charge) -> Incident:
        return Incident(self._service, self._kind, sightings, charge)

    def _surely_reaches(self, sightings: Iterable[Sighting], moment_ns: int) -> bool:
        """Tell whether what failed from a moment on is surely what failed before it, and not another outage.

        Between two slow answers that nobody waited for, nothing is certain, but no answer was prompt either.
        """
        outages = [sighting.outage for sighting in sightings]
        if self._kind != "down" or not any(each.last_bad_ns >= moment_ns for each in outages):
            return True
        return any(low <= moment_ns <= high for each in outages for low, high in each.certain_parts)

    def _charge(
        self, doing: Sequence[Piece], touched: Sequence[Piece], later: Sequence[Piece], anew: Sequence[Piece]
    ) -> Charge:
        """Charge to the strictest of what may own the beginning; of equals, to the last that began.

        If it began while nobody did anything, it belongs to what it reached: to the next step, and to those after it.
        `anew`: where what failed may have been another outage.
        """
        is_sure = len(touched) == len(doing)
        stretches = list(dict.fromkeys(piece.stretch for piece in reversed(doing)))
        home = min(stretches, key=lambda stretch: self._strictness(stretch, self._service, self._kind))
        idle = [] if is_sure else [piece for piece in touched if not piece.stretch.is_doing]
        behind = [piece for piece in idle if piece.from_ns >= doing[-1].to_ns]
        reached = (piece.stretch for piece in ([*behind, *later] if idle else anew) if piece.stretch != home)
        others = tuple(dict.fromkeys([*(each for each in reversed(stretches) if each != home), *reached]))
        if others or not is_sure:
            sure = home.is_migration and not others
            return Charge(home, Attribution.MIGRATION if sure else Attribution.AMBIGUOUS, others)
        return Charge(home, Attribution.MIGRATION if home.is_migration else Attribution.STEP)


def onset(sightings: Iterable[Sighting]) -> tuple[int, int]:
    """Return between which moments (ns) an outage began: after its last good sample, before its failure was proved.

    Whichever lane saw the last good sample: the service was well until then.
    """
    found = list(sightings)
    high_ns = min(max(each.outage.first_bad_ns, each.outage.proof_ns) for each in found)
    begins = [extent(each.outage)[0] if each.good_ns is None else each.good_ns for each in found]
    known = [begin for begin, each in zip(begins, found, strict=True) if begin <= high_ns and _begins_well(each)]
    return max(known, default=min(begins)), high_ns


def _begins_well(sighting: Sighting) -> bool:
    """Tell whether the beginning of a sighting says anything of when its outage began."""
    return sighting.good_ns is not None or not sighting.is_later_part


def _halves(sightings: Iterable[Sighting], at_ns: int) -> tuple[tuple[Sighting, ...], tuple[Sighting, ...]]:
    """Return what of an outage lies before a moment, and what after it."""
    earlier, later = [], []
    for sighting in sightings:
        begin_ns, end_ns = extent(sighting.outage)
        if end_ns <= at_ns:
            earlier.append(sighting)
        elif begin_ns >= at_ns:
            later.append(sighting)
        else:
            before, rest = split(sighting.outage, at_ns)
            earlier.append(dataclasses.replace(sighting, outage=before))
            later.append(dataclasses.replace(sighting, outage=rest))
    return _with_failures(earlier), _with_failures(later)


def _with_failures(sightings: Sequence[Sighting]) -> tuple[Sighting, ...]:
    """Return the lanes that saw it fail; all of them if none did."""
    return tuple(each for each in sightings if each.outage.failed) or tuple(sightings)


def _meets(piece: Piece, low_ns: int, high_ns: int) -> bool:
    return piece.from_ns <= high_ns and (low_ns < piece.to_ns or piece.from_ns == piece.to_ns >= low_ns)


def evidence_end(outage: Outage) -> int:
    """Return until when an outage went on at least, as its last failed sample says; OPEN_NS if nobody saw its end."""
    return OPEN_NS if outage.first_good_ns is None else outage.last_bad_ns + 1
