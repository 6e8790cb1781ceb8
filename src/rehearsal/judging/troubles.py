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
from rehearsal.judging import budgets
from rehearsal.judging.observation import MIGRATION
from rehearsal.judging.observation import OUTSIDE
from rehearsal.judging.observation import USER_LANES
from rehearsal.outage import OPEN_NS
from rehearsal.outage import join
from rehearsal.outage import measure
from rehearsal.outage import merged
from rehearsal.results import Length

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence

    from rehearsal.history import History
    from rehearsal.judging.observation import Observation
    from rehearsal.judging.observation import Piece
    from rehearsal.judging.observation import Seen
    from rehearsal.outage import Outage

_DETAIL_SLACK_NS = 2_000_000_000  # a detail is written soon after its sample was done
_LAG_NS = 250_000_000


@dataclass(frozen=True, slots=True)
class Trouble:
    """One window of one lane: an outage, or several that flap."""

    seen: Seen
    kind: str
    service: str
    outages: tuple[Outage, ...]

    @property
    def from_ns(self) -> int:
        """The earliest moment at which it can have begun; for a censored one the first bad sample."""
        first = self.outages[0]
        return first.first_bad_ns if first.last_good_ns is None else first.last_good_ns

    @property
    def to_ns(self) -> int:
        """The latest moment at which it can have ended; OPEN_NS if nobody saw its end."""
        last = self.outages[-1]
        return OPEN_NS if last.first_good_ns is None else last.first_good_ns


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
    def outages(self) -> list[Outage]:
        """All outages of all lanes."""
        return [outage for trouble in self.troubles for outage in trouble.outages]


def length_of(outages: Iterable[Outage]) -> Length:
    """Return how long outages lasted together, time in which several lanes were out counted once.

    The bounds hold for the union of all lanes. The point trusts the lane that saw best: a coarse lane adds to it only
    what it knows for certain, unless it alone saw the outage.
    """
    outages = list(outages)
    parts = [part for outage in outages for part in outage.certain_parts]
    certain = measure(parts)
    point = measure([*parts, *_best_seen(outages)])
    if any(outage.is_censored for outage in outages):
        return Length(certain, point, None)
    possible = measure(extent(outage) for outage in outages)
    return Length(certain, min(point, possible), possible)


def _best_seen(outages: Sequence[Outage]) -> list[tuple[int, int]]:
    """Return the likeliest spans, narrowest bounds first, each unless a better seen one was at the same time."""
    spans: list[tuple[int, int]] = []  # disjoint, in order
    for outage in sorted(outages, key=_uncertainty):
        begin, end = extent(outage)
        place = bisect.bisect_left(spans, (begin, 0))
        free = place == len(spans) or spans[place][0] >= end
        if free and (place == 0 or spans[place - 1][1] <= begin):
            spans.insert(place, (outage.point_from_ns, outage.point_to_ns))
    return spans


def _uncertainty(outage: Outage) -> int:
    return OPEN_NS if outage.possible_ns is None else outage.possible_ns - outage.certain_ns


def extent(outage: Outage) -> tuple[int, int]:
    """Return the widest span in which an outage can have been (OPEN_NS: nobody saw its end)."""
    begin = outage.first_bad_ns if outage.last_good_ns is None else outage.last_good_ns
    return begin, OPEN_NS if outage.first_good_ns is None else outage.first_good_ns


def count_of(outages: Iterable[Outage]) -> int:
    """Return how many outages of the service they are: those that can have been at the same time are one."""
    return len(merged(extent(outage) for outage in outages))


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
            Group(service, kind, together, charge(together, observation.pieces, history))
            for together in _overlapping(troubles)
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
    found: list[list[Trouble]] = []
    until = -1
    for trouble in sorted(troubles, key=lambda each: (each.from_ns, each.outages[0].first_bad_ns)):
        if found and trouble.from_ns <= until:
            found[-1].append(trouble)
        else:
            found.append([trouble])
            until = -1
        until = max(until, trouble.to_ns)
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
        if kind != "down" or seen.probe.lane != "deep":
            return service
        details = self._details.get(seen.probe.declared.probe, [])
        low = bisect.bisect_left(details, (window[0].first_bad_ns, ""))
        until = window[-1].first_good_ns
        high = len(details) if until is None else bisect.bisect_right(details, (until + _DETAIL_SLACK_NS, ""))
        makers = {maker for _, maker in details[low:high]}
        return "keystone" if makers == {"token-filter"} else service


# --- charging ------------------------------------------------------------------------------------------------------


def charge(troubles: Sequence[Trouble], pieces: Sequence[Piece], history: History) -> Charge:
    """Charge a window to what was being done when it began; its tail stays there, however long it is."""
    first = troubles[0]
    outage = first.outages[0]
    onset = (outage.first_bad_ns if outage.last_good_ns is None else outage.last_good_ns, outage.first_bad_ns)
    moving = [
        piece
        for piece in first.seen.pieces
        if piece.label.startswith(MIGRATION) and piece.from_ns <= onset[1] and onset[0] <= piece.to_ns
    ]
    if moving:
        return Charge(moving[-1].label, "migration")
    touched = [piece for piece in pieces if piece.from_ns <= onset[1] and onset[0] < piece.to_ns]
    steps = [piece.label for piece in touched if piece.label != OUTSIDE]
    if len(steps) > 1:
        return Charge(steps[-1], "ambiguous", tuple(dict.fromkeys(steps)))
    if steps:
        return Charge(steps[0], "step" if len(touched) == 1 else "ambiguous", (steps[0], "no step"))
    first_step = min((run.began_ns for run in history.steps), default=OPEN_NS)
    return Charge(OUTSIDE, "pre-existing" if onset[1] < first_step else "between")


def is_canary(service: str) -> bool:
    """True for the row of the canaries."""
    return service == budgets.CANARIES
