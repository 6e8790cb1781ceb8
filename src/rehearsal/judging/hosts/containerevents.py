"""What containers did on the hosts: restarted, stopped, paused, fell ill; from Docker's events, from lists and from looks at hosts."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import defaultdict
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from rehearsal.figures import words
from rehearsal.judging.hosts.hostclocks import Happening
from rehearsal.judging.hosts.hostclocks import HostClocks
from rehearsal.judging.hosts.hostclocks import Moment
from rehearsal.recording import events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.recording.history import History

_ENDS = ("", "2", "3", "9", "15", "SIGINT", "SIGQUIT", "SIGKILL", "SIGTERM")
"""Signals by which a container is ended; others tell a service to reload."""
_KILLS = ("9", "SIGKILL")
_STOPS_WITHIN_NS = 180_000_000_000
"""A signal to end belongs to the end that follows within so long."""
_SAME_NS = 2_000_000_000
"""Two accounts of one start are not further apart."""


@dataclass(slots=True)
class _Life:
    """What is known about one container while its events are read in order."""

    host: str
    name: str
    was_there: bool = False  # when watching began
    signalled: Moment | None = None
    down: Moment | None = None
    why: str = ""
    started: Moment | None = None
    paused: Moment | None = None
    sick: Moment | None = None
    last_start: int = -1  # index in `found` of what waits for its first good health
    found: list[Happening] = field(default_factory=list)

    def add(self, what: str, begin: Moment, end: Moment | None, detail: str = "") -> None:
        error_ns = max(begin.error_ns, end.error_ns if end else 0)
        end_ns = None if end is None else max(begin.at_ns, end.at_ns)
        self.found.append(
            Happening("container", self.host, self.name, what, begin.at_ns, end_ns, error_ns, detail=detail)
        )


def of_containers(history: History, clocks: HostClocks) -> list[Happening]:
    """Return what containers did, as Docker told and, where nobody listened, as lists and looks reveal it."""
    lives: dict[tuple[str, str], _Life] = {}
    told: list[tuple[Moment, events.ContainerChanged]] = []
    listed: dict[str, list[tuple[int, events.ContainersSeen]]] = defaultdict(list)
    for arrived_ns, event in history.of(events.ContainerChanged):
        told.append((clocks.moment(event.host, event.wall_ns, arrived_ns), event))
    for arrived_ns, seen in history.of(events.ContainersSeen):
        listed[seen.host].append((arrived_ns, seen))
    first = {host: {row["name"] for row in rows[0][1].rows} for host, rows in listed.items()}
    # The order in which a host told is the order in which it happened.
    for moment, event in told:
        life = lives.setdefault((event.host, event.name), _Life(event.host, event.name))
        life.was_there = life.was_there or event.name in first.get(event.host, ())
        _take(life, event, moment)
    found = [each for life in lives.values() for each in _closed(life)]
    found += _missed(listed, found, clocks)
    return found + _looked_at(history, found, clocks)


def _take(life: _Life, event: events.ContainerChanged, moment: Moment) -> None:
    match event.action:
        case "kill":
            waited_ns = 0 if life.signalled is None else moment.at_ns - life.signalled.at_ns
            if event.signal in _KILLS and 0 < waited_ns <= _STOPS_WITHIN_NS:
                life.why = f"it did not stop when signalled and was killed {words.at_most(waited_ns)} later"
            if event.signal in _ENDS:
                life.signalled = life.signalled or moment
            else:
                life.add("signalled", moment, moment, f"signal {event.signal}")
        case "oom":
            life.why = "out of memory"
        case "die":
            near = life.signalled is not None and moment.at_ns - life.signalled.at_ns <= _STOPS_WITHIN_NS
            code = "" if event.exit_code is None else f"exit code {event.exit_code}"
            life.down = life.signalled if near and life.signalled else moment
            life.why = ", ".join(part for part in (life.why or ("" if near else "exited on its own"), code) if part)
            life.signalled = None
            _healthy(life, None)
        case "start":
            _start(life, moment)
        case "pause":
            life.paused = moment
        case "unpause" if life.paused is not None:
            life.add("paused", life.paused, moment)
            life.paused = None
        case "health_status":
            _health(life, event.health, moment)


def _start(life: _Life, moment: Moment) -> None:
    if life.down is not None:
        life.add("restarted", life.down, moment, life.why)
    else:
        life.add("started", moment, moment)
    life.last_start = len(life.found) - 1
    life.down, life.why, life.started = None, "", moment


def _health(life: _Life, health: str, moment: Moment) -> None:
    if health == "healthy":
        _healthy(life, moment)
        if life.sick is not None:
            life.add("unhealthy", life.sick, moment)
            life.sick = None
    elif health == "unhealthy":
        life.sick = life.sick or moment


def _healthy(life: _Life, moment: Moment | None) -> None:
    """The first good health after a start is its end; a container that dies again never came to it."""
    if life.last_start >= 0 and moment is not None:
        began = life.found[life.last_start]
        life.found[life.last_start] = dataclasses.replace(began, ready_ns=moment.at_ns)
    life.last_start = -1


def _closed(life: _Life) -> list[Happening]:
    if life.down is not None:
        if life.started is not None and not life.was_there:
            # It came and went: a task, not a service.
            begun = [place for place, each in enumerate(life.found) if each.what == "started"]
            for place in begun[-1:]:
                ended_ns = max(life.started.at_ns, life.down.at_ns)
                life.found[place] = dataclasses.replace(
                    life.found[place], what="ran", to_ns=ended_ns, detail=life.why.removeprefix("exited on its own, ")
                )
        else:
            life.add("stopped", life.down, None, life.why)
    if life.paused is not None:
        life.add("paused", life.paused, None)
    if life.sick is not None:
        life.add("unhealthy", life.sick, None)
    return life.found


def _missed(
    listed: dict[str, list[tuple[int, events.ContainersSeen]]], found: list[Happening], clocks: HostClocks
) -> list[Happening]:
    """Return the starts that two lists reveal and no event told: watching had broken off in between."""
    missed = []
    for host, lists in listed.items():
        known = {row["name"]: row for row in lists[0][1].rows}
        for arrived_ns, seen in lists[1:]:
            for row in seen.rows:
                before, started_ns = known.get(row["name"]), wall_ns_of(row["started_at"])
                known[row["name"]] = row
                if before is not None and before["started_at"] == row["started_at"]:
                    continue
                if started_ns is None:
                    continue
                start = clocks.moment(host, started_ns, arrived_ns)
                ended_ns = wall_ns_of(row["finished_at"]) if before and before["id"] == row["id"] else None
                end = start if ended_ns is None else clocks.moment(host, ended_ns, arrived_ns)
                if not _is_told(found, host, row["name"], start.at_ns):
                    what = "started" if ended_ns is None else "restarted"
                    begin_ns = min(end.at_ns, start.at_ns)
                    missed.append(
                        Happening("container", host, row["name"], what, begin_ns, start.at_ns, start.error_ns)
                    )
    return missed


def _looked_at(history: History, found: list[Happening], clocks: HostClocks) -> list[Happening]:
    """Return the starts that two looks at a host reveal and nobody told: all that older recordings have."""
    return [
        start for start in starts_of(history, clocks) if not _is_told(found, start.host, start.subject, start.from_ns)
    ]


def _is_told(found: Iterable[Happening], host: str, name: str, at_ns: int) -> bool:
    return any(
        each.host == host
        and each.subject == name
        and each.what in {"started", "restarted", "ran"}
        and min(abs((each.to_ns or each.from_ns) - at_ns), abs(each.from_ns - at_ns)) <= _SAME_NS
        for each in found
    )


def starts_of(history: History, clocks: HostClocks) -> list[Happening]:
    """Return every container start that two looks at a host reveal; when it had stopped before is not known."""
    known: dict[tuple[str, str], str] = {}
    found: list[Happening] = []
    walls = history.walls()
    looked: set[str] = set()
    for seen_ns, facts in history.of(events.HostFacts):
        if facts.error:
            continue
        for container in facts.containers:
            name, started = str(container.get("name", "")), str(container.get("started_at") or "")
            before = known.get((facts.host, name))
            known[facts.host, name] = started
            wall_ns = wall_ns_of(started)
            if facts.host in looked and before != started and wall_ns is not None:
                if clocks.knows(facts.host):
                    moment = clocks.moment(facts.host, wall_ns, seen_ns)
                else:
                    moment = Moment(_monotonic(wall_ns, walls), 0)
                found.append(
                    Happening("container", facts.host, name, "started", moment.at_ns, moment.at_ns, moment.error_ns)
                )
        looked.add(facts.host)
    return found


def wall_ns_of(text: str) -> int | None:
    """Return Docker's time stamp (`2026-11-24T06:24:48.123456789Z`) as ns since 1970; None if there is none."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    try:
        moment = dt.datetime.fromisoformat(whole).replace(tzinfo=dt.UTC)
    except ValueError:
        return None
    if moment.year < 1971 or (fraction and not (fraction.isascii() and fraction.isdigit())):
        return None
    return int(moment.timestamp()) * 1_000_000_000 + int((fraction or "0").ljust(9, "0")[:9])


def _monotonic(wall_ns: int, walls: list[tuple[int, int]]) -> int:
    """Return a wall clock's time on the recording's clock, by the pairs that every record carries."""
    near = [pair for pair in walls if pair[1] <= wall_ns]
    monotonic, wall = near[-1] if near else walls[0]
    return monotonic + wall_ns - wall
