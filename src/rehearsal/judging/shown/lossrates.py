"""How many packets between the prober and each canary were lost, on the way there and on the way back. Pure.

The guest's beacon counts the datagrams that reach it and sends its count back, so of those without an answer it is known
on which way they were lost. Nobody counts echo requests (ICMP) in the guest: of them only the round trip is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.judging.rooms import Room
from rehearsal.lanes import table
from rehearsal.outage import measure
from rehearsal.recording import events
from rehearsal.recording.declarations import V4

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Iterator
    from collections.abc import Sequence

    from rehearsal.judging.observing.observation import Piece
    from rehearsal.judging.observing.observation import Seen
    from rehearsal.judging.rooms import Given
    from rehearsal.recording.stretch import Stretch

_WAYS = {table.UDP.name: ("there", "back"), table.ICMP.name: ("round trip",)}


@dataclass(frozen=True, slots=True)
class LossRate:
    """Packets on one way (there, back, round trip) between the prober and a canary; `stretch` None: in the whole run.

    `unknown` ones were lost, but nobody knows on which way. So `certain` and `possible` bound the share (0 to 1) that was
    lost on this one; None where nothing was sent. `watched_ns`: how long there was a probe.
    """

    canary: str
    family: str  # v4 | v6
    way: str
    stretch: Stretch | None
    watched_ns: int
    sent: int
    lost: int
    unknown: int
    certain: float | None
    possible: float | None


def loss_rates(given: Given) -> list[LossRate]:
    """Return a row for each canary, family and way; and for each step, migration or time between in which it lost any."""
    groups: dict[tuple[str, str, str], list[Seen]] = {}
    for seen in given.observation.seen:
        if seen.probe.reaches_canary and seen.probe.lane in _WAYS:
            key = seen.probe.declared.canary, seen.probe.declared.family or V4, seen.probe.lane
            groups.setdefault(key, []).append(seen)
    ordered = sorted(groups, key=lambda key: (key[0], [*_WAYS].index(key[2]), key[1]))
    return [row for key in ordered for row in _of_lane(given, *key, groups[key])]


def _of_lane(given: Given, canary: str, family: str, lane: str, same: Sequence[Seen]) -> Iterator[LossRate]:
    pieces = [piece for seen in same for piece in seen.pieces]
    numbers = {seen.probe.declared.probe for seen in same}
    counted = [
        (_place_of(event, pieces), event)
        for _, event in given.history.of(events.DatagramsLost)
        if event.probe in numbers and event.there >= 0
    ]
    for place in (None, *dict.fromkeys(piece.stretch for piece in pieces)):
        tallies = [tally for seen in same for tally in (seen.trace.tallies if place is None else seen.tallies(place))]
        watched_ns = measure((piece.from_ns, piece.to_ns) for piece in pieces if place in {None, piece.stretch})
        sent, failed = sum(tally.samples for tally in tallies), sum(tally.failed for tally in tallies)
        there = sum(event.there for at, event in counted if place in {None, at})
        back = sum(event.back for at, event in counted if place in {None, at})
        unknown = max(0, failed - there - back)
        ways = {"there": (sent, there, unknown), "back": (sent - there, back, unknown), "round trip": (sent, failed, 0)}
        for way in _WAYS[lane]:
            if place is None or any(ways[way][1:]):
                yield LossRate(canary, family, way, place, watched_ns, *ways[way], *_shares(*ways[way]))


def _shares(sent: int, lost: int, unknown: int) -> tuple[float | None, float | None]:
    return (lost / sent, min(1.0, (lost + unknown) / sent)) if sent > 0 else (None, None)


def _place_of(event: events.DatagramsLost, pieces: Iterable[Piece]) -> Stretch | None:
    """Return where most of the time lies in which these were lost: an answer that is missing has no moment of its own."""

    def apart_ns(piece: Piece) -> int:
        return max(piece.from_ns, event.from_ns) - min(piece.to_ns, event.to_ns)

    nearest = min(pieces, key=apart_ns, default=None)
    return None if nearest is None else nearest.stretch


ROOM = Room("loss_rates", "how many packets were lost there and back", loss_rates)
