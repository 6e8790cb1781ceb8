"""What may have caused a window: containers that started meanwhile, migrations, the step that was running.

Containers tell when they started by their hosts' wall clocks; these are brought onto the recording's clock by the
pairs of both that every record carries. They are candidates, not proofs.
"""

from __future__ import annotations

import bisect
import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal import events
from rehearsal.judging import words
from rehearsal.judging.budgets import CANARIES
from rehearsal.outage import OPEN_NS

if TYPE_CHECKING:
    from rehearsal.history import History
    from rehearsal.judging.troubles import Group

_MARGIN_NS = 250_000_000
_MOST = 5
_SHARED = ("haproxy", "proxysql", "keepalived", "mariadb", "memcached", "rabbitmq", "keystone")
_NETWORK = ("openvswitch", "ovn", "neutron", "nova_libvirt")


@dataclass(frozen=True, slots=True)
class Start:
    """A container started: between two looks at its host, at the time that it says itself."""

    at_ns: int
    host: str
    container: str


def starts_of(history: History) -> list[Start]:
    """Return every container start that two looks at a host reveal, in order of time."""
    known: dict[tuple[str, str], str] = {}
    found: list[Start] = []
    walls = history.walls()
    looked: set[str] = set()
    for _, facts in history.of(events.HostFacts):
        if facts.error:
            continue
        for container in facts.containers:
            name, started = str(container.get("name", "")), str(container.get("started_at") or "")
            before = known.get((facts.host, name))
            known[facts.host, name] = started
            wall_ns = wall_ns_of(started)
            if facts.host in looked and before != started and wall_ns is not None:
                found.append(Start(_monotonic(wall_ns, walls), facts.host, name))
        looked.add(facts.host)
    return sorted(found, key=lambda start: start.at_ns)


def wall_ns_of(text: str) -> int | None:
    """Return Docker's time stamp (`2026-11-24T06:24:48.123456789Z`) as ns since 1970; None if there is none."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    try:
        moment = dt.datetime.fromisoformat(whole).replace(tzinfo=dt.UTC)
    except ValueError:
        return None
    if moment.year < 1971 or (fraction and not fraction.isdigit()):
        return None
    return int(moment.timestamp()) * 1_000_000_000 + int((fraction or "0").ljust(9, "0")[:9])


def _monotonic(wall_ns: int, walls: list[tuple[int, int]]) -> int:
    place = max(0, bisect.bisect_right([wall for _, wall in walls], wall_ns) - 1)
    monotonic, wall = walls[place]
    return monotonic + wall_ns - wall


def causes_of(group: Group, history: History, starts: list[Start]) -> list[str]:
    """Return what may have caused a window, the most specific first; empty: unattributed."""
    first = group.troubles[0].outages[0]
    begin = min(trouble.from_ns for trouble in group.troubles) - _MARGIN_NS
    end = max(trouble.to_ns for trouble in group.troubles)
    end = first.first_bad_ns if end == OPEN_NS else end
    ranked: list[tuple[int, int, str]] = []
    for start in starts:
        rank = _rank(start.container, group)
        if rank is not None and begin <= start.at_ns <= end + _MARGIN_NS:
            distance = start.at_ns - first.first_bad_ns
            when = f"{words.at_most(abs(distance))} {'after' if distance >= 0 else 'before'} the first sign"
            ranked.append((rank, abs(distance), f"{start.container} on {start.host} started {when}"))
    for move in history.migrations:
        mine = move.began.canary in {trouble.seen.probe.declared.canary for trouble in group.troubles}
        ended_ns = OPEN_NS if move.ended_ns is None else move.ended_ns
        if mine and move.began_ns <= first.first_bad_ns and begin <= ended_ns:
            ranked.append((0, 0, f"live migration {move.began.migration} from {move.began.source}"))
    ranked.sort()
    found = [text for _, _, text in ranked[:_MOST]]
    if group.charge.attribution == "ambiguous":
        found.append("began at the border of " + " and ".join(group.charge.named))
    return found


def _rank(container: str, group: Group) -> int | None:
    """0: of this very service; 1: shared by all services; None: out of scope."""
    if group.service == CANARIES:
        return 1 if container.startswith(_NETWORK) else None
    if container == group.service or container.startswith(f"{group.service}_"):
        return 0
    return 1 if container.startswith(_SHARED) else None
