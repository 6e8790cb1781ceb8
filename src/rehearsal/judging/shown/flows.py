"""What each lane to a canary saw of its gaps, side by side: packets, datagrams, an established connection. Pure.

Only the network's lane (ICMP) is judged, elsewhere. An application on TCP is stalled for longer than its network was
away, because TCP waits ever longer before it sends again: that is shown beside what was to be expected, so that nobody
blames the network for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace
from typing import TYPE_CHECKING

from rehearsal.figures.length import longest
from rehearsal.judging.charging.union import united
from rehearsal.judging.rooms import Room
from rehearsal.lanes import table
from rehearsal.lanes.table import Place
from rehearsal.recording import events
from rehearsal.recording.declarations import V4
from rehearsal.recording.declarations import V6

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence

    from rehearsal.figures.length import Length
    from rehearsal.judging.charging.troubles import Group
    from rehearsal.judging.charging.troubles import Trouble
    from rehearsal.judging.observing.observation import Observation
    from rehearsal.judging.observing.observation import Seen
    from rehearsal.recording.history import History

SHOWN = {V4: "", V6: " v6"}
"""What the name of a lane ends in, by the family of its packets: each has rows of its own."""
AMPLIFIED, AT_LEAST_NS = 2.2, 200_000_000
"""An established echo over a black hole stalled for 1.05 to 2.2 times as long (measured), the timer's least step on top."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The gaps that one lane to a canary saw: outside of its migrations, and the longest in one of them.

    `expected_ns`: how long an established connection may stall for what the network did (tcp; None: not known). Of the
    datagrams that were lost between two that came back: how many there, back, and on a way that nobody counted.
    """

    canary: str
    lane: str  # one of those that reach a guest; over IPv6 with ` v6` behind it
    samples: int
    failed: int
    count: int
    longest: Length
    total: Length
    longest_migrating: Length
    expected_ns: int | None = None
    lost_there: int = 0
    lost_back: int = 0
    lost_unknown: int = 0


def flows(history: History, observation: Observation, groups: Iterable[Group]) -> list[Flow]:
    """Return a row for each canary and lane that reached it."""
    named: dict[tuple[str, str, str], list[Seen]] = {}
    for seen in observation.seen:
        if seen.probe.reaches_canary:
            named.setdefault((seen.probe.declared.canary, *_lane(seen)), []).append(seen)
    mine: dict[tuple[str, str, str], list[Group]] = {}
    for group in groups:
        probe = group.troubles[0].seen.probe
        if probe.reaches_canary and group.kind == "down":
            by_lane: dict[tuple[str, str], list[Trouble]] = {}
            for trouble in group.troubles:
                by_lane.setdefault(_lane(trouble.seen), []).append(trouble)
            for lane, troubles in by_lane.items():
                part = replace(group, troubles=tuple(troubles))
                mine.setdefault((probe.declared.canary, *lane), []).append(part)
    canaries = dict.fromkeys(canary for canary, *_ in named)
    return [
        _flow(history, (canary, lane.name, family), named[canary, lane.name, family], mine)
        for canary in canaries
        for family in SHOWN
        for lane in sorted(table.at(Place.GUEST), key=lambda lane: lane.kept)
        if (canary, lane.name, family) in named
    ]


def _lane(seen: Seen) -> tuple[str, str]:
    return seen.probe.lane, seen.probe.declared.family or V4


def _flow(
    history: History,
    key: tuple[str, str, str],
    seen: Sequence[Seen],
    groups: dict[tuple[str, str, str], list[Group]],
) -> Flow:
    canary, lane, family = key
    still, moving = _apart(groups.get(key, []))
    there, back, unknown = ways_of(history, {each.probe.declared.probe for each in seen})
    network = [
        length for part in _apart(groups.get((canary, table.ICMP.name, family), [])) for length in _lengths(part)
    ]
    together = united(sighting for group in still for sighting in group.sightings)
    return Flow(
        canary=canary,
        lane=f"{lane}{SHOWN[family]}",
        samples=sum(each.trace.samples for each in seen),
        failed=sum(each.trace.failed for each in seen),
        count=together.count,
        longest=longest(_lengths(still)),
        total=together.length,
        longest_migrating=longest(_lengths(moving)),
        expected_ns=expected_ns(longest(network)) if table.of(lane).kept else None,
        lost_there=there,
        lost_back=back,
        lost_unknown=unknown,
    )


def expected_ns(network: Length) -> int | None:
    """Return how long an established connection may stall where the network was away for so long; None: no end known."""
    if network.possible_ns is None:
        return None
    return round(AMPLIFIED * network.possible_ns) + AT_LEAST_NS if network.possible_ns else 0


def ways_of(history: History, probes: set[int], from_ns: int = 0, to_ns: int | None = None) -> tuple[int, int, int]:
    """Return how many datagrams of these probes were lost there, back, and on a way that nobody knows, in a span of time."""
    there = back = unknown = 0
    for _, event in history.of(events.DatagramsLost):
        if event.probe in probes and event.to_ns >= from_ns and (to_ns is None or event.from_ns <= to_ns):
            if event.there < 0:
                unknown += event.lost
            else:
                there, back = there + event.there, back + event.back
    return there, back, unknown


def _apart(groups: Iterable[Group]) -> tuple[list[Group], list[Group]]:
    still: list[Group] = []
    moving: list[Group] = []
    for group in groups:
        (moving if group.charge.stretch.is_migration else still).append(group)
    return still, moving


def _lengths(groups: Iterable[Group]) -> list[Length]:
    return [united(group.sightings).length for group in groups]


ROOM = Room(
    "flows", "what each lane to a canary saw", lambda given: flows(given.history, given.observation, given.groups)
)
