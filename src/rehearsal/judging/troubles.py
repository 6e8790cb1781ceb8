"""Outages become windows of a service, each charged to what was being done when it began.

Lanes see the same outage several times; it is one outage of the service. What is charged is the union of what its lanes
saw, and nothing is counted twice.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal import events
from rehearsal.judging.observation import BEFORE
from rehearsal.judging.observation import MIGRATION
from rehearsal.judging.observation import OUTSIDE
from rehearsal.judging.observation import RARE_LANES
from rehearsal.judging.observation import USER_LANES
from rehearsal.judging.union import Sighting
from rehearsal.judging.union import evidence
from rehearsal.judging.union import extent
from rehearsal.outage import join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rehearsal.history import History
    from rehearsal.judging.observation import Observation
    from rehearsal.judging.observation import Piece
    from rehearsal.judging.observation import Seen
    from rehearsal.outage import Outage

_DETAIL_SLACK_NS = 2_000_000_000  # a detail is written soon after its sample was done
_LAG_NS = 250_000_000
_WITH_TOKEN = ("deep", "write")


@dataclass(frozen=True, slots=True)
class Trouble:
    """One window of one lane: an outage, or several that flap."""

    seen: Seen
    kind: str
    service: str
    outages: tuple[Outage, ...]

    @property
    def period_ns(self) -> int:
        """How often its lane looks."""
        return self.seen.probe.declared.period_ns

    @property
    def sightings(self) -> list[Sighting]:
        """Its outages, with how often its lane looks."""
        rare = self.seen.probe.lane in RARE_LANES
        return [Sighting(outage, self.period_ns, rare) for outage in self.outages]

    @property
    def from_ns(self) -> int:
        """The earliest moment at which it can have begun; for a censored one the first bad sample."""
        return extent(self.outages[0])[0]

    @property
    def to_ns(self) -> int:
        """The latest moment at which it can have ended; OPEN_NS if nobody saw its end."""
        return extent(self.outages[-1])[1]


@dataclass(frozen=True, slots=True)
class Charge:
    """What a window is charged to, and how sure that is."""

    label: str
    attribution: str  # step | pre-existing | ambiguous | between | migration
    named: tuple[str, ...] = ()  # the steps between which it is ambiguous


@dataclass(frozen=True, slots=True)
class Group:
    """The windows of several lanes that are one window of the service."""

    service: str
    kind: str
    troubles: tuple[Trouble, ...]
    charge: Charge

    @property
    def sightings(self) -> list[Sighting]:
        """All outages of all lanes."""
        return [sighting for trouble in self.troubles for sighting in trouble.sightings]


# --- grouping ------------------------------------------------------------------------------------------------------


def groups_of(observation: Observation, history: History) -> list[Group]:
    """Return every window of every service and canary, charged, in order of its beginning."""
    makers = _Makers(history)
    by_key: dict[tuple[str, str, str], list[Trouble]] = defaultdict(list)
    for seen in observation.seen:
        if seen.probe.lane == "control":
            continue
        for kind, outages in (("down", seen.trace.outages), ("degraded", seen.trace.degraded)):
            for window in join(outages):
                service = makers.charged_service(seen, kind, window)
                trouble = Trouble(seen, kind, service, window)
                by_key[service, kind, _viewpoint(seen)].append(trouble)
    found: list[Group] = []
    for (service, kind, _), troubles in by_key.items():
        found += [
            Group(service, kind, together, charge(together, observation.pieces)) for together in _overlapping(troubles)
        ]
    return sorted(found, key=lambda group: group.troubles[0].outages[0].first_bad_ns)


def _viewpoint(seen: Seen) -> str:
    """Lanes that see a service as its users do are one viewpoint; every backend and every lane to a canary is its own."""
    probe = seen.probe
    if probe.reaches_canary:
        return f"{probe.declared.canary} {probe.lane}"
    return "users" if probe.lane in USER_LANES else probe.name


def is_judged(group: Group, observation: Observation) -> bool:
    """True if a window counts in the matrix: seen by users, or by the network lane to a canary."""
    probe = group.troubles[0].seen.probe
    if probe.reaches_canary:
        return probe.lane in {seen.probe.lane for seen in observation.of_service(group.service)}
    return probe.lane in USER_LANES


def _overlapping(troubles: list[Trouble]) -> list[tuple[Trouble, ...]]:
    """Put windows together that can have been at the same time; of slower lanes, those that were seen to be."""
    finest = min(trouble.period_ns for trouble in troubles)
    placed: list[tuple[int, int, int]] = []
    for number, trouble in enumerate(troubles):
        if trouble.period_ns <= 2 * finest:
            placed.append((trouble.from_ns, trouble.to_ns, number))
        else:
            placed.append((evidence(trouble.outages[0])[0], evidence(trouble.outages[-1])[1], number))
    found: list[list[Trouble]] = []
    until = -1
    for from_ns, to_ns, number in sorted(placed):
        if found and from_ns <= until:
            found[-1].append(troubles[number])
        else:
            found.append([troubles[number]])
            until = -1
        until = max(until, to_ns)
    return [tuple(sorted(group, key=lambda each: each.outages[0].first_bad_ns)) for group in found]


class _Makers:
    """Who made the answers that failed, as far as details were recorded."""

    def __init__(self, history: History) -> None:
        self._details: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for moment, event in history.of(events.SampleDetail):
            if event.maker:
                self._details[event.probe].append((moment, event.maker))

    def charged_service(self, seen: Seen, kind: str, window: Sequence[Outage]) -> str:
        """A refusal that only keystone's token filter made is keystone's, whatever service was asked."""
        service = seen.probe.service
        if kind != "down" or seen.probe.lane not in _WITH_TOKEN:
            return service
        details = self._details.get(seen.probe.declared.probe, [])
        low = bisect.bisect_left(details, (window[0].first_bad_ns, ""))
        until = window[-1].first_good_ns
        high = len(details) if until is None else bisect.bisect_right(details, (until + _DETAIL_SLACK_NS, ""))
        makers = {maker for _, maker in details[low:high]}
        return "keystone" if makers == {"token-filter"} else service


# --- charging ------------------------------------------------------------------------------------------------------


def charge(troubles: Sequence[Trouble], pieces: Sequence[Piece]) -> Charge:
    """Charge a window to what was being done when it began; its tail stays there, however long it is."""
    first_bad = min(trouble.outages[0].first_bad_ns for trouble in troubles)
    # Whichever lane saw the last good sample before: the service was well until then.
    onset = (max(trouble.from_ns for trouble in troubles if trouble.from_ns <= first_bad), first_bad)
    moving = [
        piece
        for piece in troubles[0].seen.pieces
        if piece.label.startswith(MIGRATION) and piece.from_ns <= onset[1] and onset[0] <= piece.to_ns
    ]
    if moving:
        return Charge(moving[-1].label, "migration")
    touched = [piece for piece in pieces if piece.from_ns <= onset[1] and onset[0] < piece.to_ns]
    steps = [piece.label for piece in touched if piece.label not in {OUTSIDE, BEFORE}]
    if len(steps) > 1:
        return Charge(steps[-1], "ambiguous", tuple(dict.fromkeys(steps)))
    if steps:
        return Charge(steps[0], "step" if len(touched) == 1 else "ambiguous", (steps[0], "no step"))
    before = any(piece.label == BEFORE for piece in touched) or not touched
    return Charge(BEFORE, "pre-existing") if before else Charge(OUTSIDE, "between")
