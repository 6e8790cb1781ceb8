"""What happened on the hosts during the run, and when nobody looked: facts of the witness, brought onto one clock.

Happenings are what a cause can be; what was not watched may have been anything, and is told as such.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import defaultdict
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from rehearsal import events
from rehearsal.judging import words
from rehearsal.judging.hostclocks import HostClocks
from rehearsal.judging.hostclocks import Moment
from rehearsal.results import Happening
from rehearsal.results import Unwatched

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.history import History

UP_STATES = ("UP", "OPEN")
ENDING_SIGNALS = ("", "2", "3", "9", "15", "SIGINT", "SIGQUIT", "SIGKILL", "SIGTERM")
"""Signals by which a container is ended; others tell a service to reload."""
STOPS_WITHIN_NS = 180_000_000_000
"""A signal to end belongs to the end that follows within so long."""
_KILLS = ("9", "SIGKILL")
SAME_NS = 2_000_000_000
"""Two accounts of one start, or one port's move told by several databases, are not further apart."""
MOST = 5_000


def happenings_of(history: History) -> list[Happening]:
    """Return everything that happened on the hosts, in order of time; of more than MOST, those of the plan's services."""
    clocks = HostClocks(history)
    services = [str(service) for service in history.plan.get("services") or []]
    found = [
        *_containers(history, clocks),
        *_proxies(history, clocks),
        *_addresses(history, clocks),
        *_ports(history, clocks),
        *_chassis(history, clocks),
    ]
    found = [dataclasses.replace(each, service=service_of(each, services)) for each in found]
    if len(found) > MOST:
        found = sorted(found, key=lambda each: not each.service)[:MOST]
    return sorted(found, key=lambda each: (each.from_ns, each.host, each.subject))


def service_of(happening: Happening, services: Iterable[str]) -> str:
    """Return the service that a container or an HAProxy backend belongs to by its name; empty if to none of these."""
    if happening.kind not in {"container", "proxy"}:
        return ""
    name = happening.subject.partition("/")[0]
    mine = [service for service in services if name == service or name.startswith((f"{service}_", f"{service}-"))]
    return max(mine, key=len, default="")


# --- containers ----------------------------------------------------------------------------------------------------


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


def _containers(history: History, clocks: HostClocks) -> list[Happening]:
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
            if event.signal in _KILLS and 0 < waited_ns <= STOPS_WITHIN_NS:
                life.why = f"it did not end when asked to and was killed {words.at_most(waited_ns)} later"
            if event.signal in ENDING_SIGNALS:
                life.signalled = life.signalled or moment
            else:
                life.add("signalled", moment, moment, f"signal {event.signal}")
        case "oom":
            life.why = "out of memory"
        case "die":
            near = life.signalled is not None and moment.at_ns - life.signalled.at_ns <= STOPS_WITHIN_NS
            code = "" if event.exit_code is None else f"exit code {event.exit_code}"
            life.down = life.signalled if near and life.signalled else moment
            life.why = ", ".join(part for part in (life.why or ("" if near else "ended by itself"), code) if part)
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
                    life.found[place], what="ran", to_ns=ended_ns, detail=life.why.removeprefix("ended by itself, ")
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
        and min(abs((each.to_ns or each.from_ns) - at_ns), abs(each.from_ns - at_ns)) <= SAME_NS
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


# --- HAProxy -------------------------------------------------------------------------------------------------------


def _proxies(history: History, clocks: HostClocks) -> list[Happening]:
    """Return when servers and backends were not up. HAProxy's table is looked at: a change lies between two looks."""
    tables: dict[str, _Table] = {}
    for record in history.records:
        event = record.event
        if isinstance(event, events.ProxyChanged):
            early = clocks.moment(event.host, event.after_wall_ns, record.t_ns)
            late = clocks.moment(event.host, event.wall_ns, record.t_ns)
            half_ns = max(0, late.at_ns - early.at_ns) // 2
            between = Moment(late.at_ns - half_ns, late.error_ns + half_ns)
            table = tables.setdefault(event.host, _Table(event.host))
            table.change(event.proxy, event.server, event.status, between, event.check)
        elif isinstance(event, events.ProxiesSeen):
            now = {(row[0], row[1]): row[2] for row in event.rows if len(row) >= 3}
            table = tables.setdefault(event.host, _Table(event.host))
            table.compare(now, clocks.moment(event.host, event.wall_ns, record.t_ns))
    return [each for table in tables.values() for each in (*table.found, *table.down.values())]


@dataclass(slots=True)
class _Table:
    """What one HAProxy has that is not up."""

    host: str
    down: dict[tuple[str, str], Happening] = field(default_factory=dict)
    found: list[Happening] = field(default_factory=list)

    def change(self, proxy: str, server: str, status: str, moment: Moment, check: str = "") -> None:
        before = self.down.pop((proxy, server), None)
        if before is not None:
            error_ns = max(before.error_ns, moment.error_ns)
            to_ns = max(before.from_ns, moment.at_ns)
            self.found.append(dataclasses.replace(before, to_ns=to_ns, error_ns=error_ns))
        if status not in UP_STATES:
            self.down[proxy, server] = Happening(
                "proxy", self.host, f"{proxy}/{server}", status, moment.at_ns, None, moment.error_ns, detail=check
            )

    def compare(self, now: dict[tuple[str, str], str], moment: Moment) -> None:
        """Take a whole table; what is not in it any more is not down any more."""
        for key in set(self.down) | {key for key, status in now.items() if status not in UP_STATES}:
            status = now.get(key, UP_STATES[0])
            if key not in self.down or self.down[key].what != status:
                self.change(*key, status, moment)


# --- addresses, ports, chassis -------------------------------------------------------------------------------------


def _addresses(history: History, clocks: HostClocks) -> list[Happening]:
    found: list[Happening] = []
    changes: dict[str, list[tuple[Moment, events.VipChanged]]] = defaultdict(list)
    held: dict[tuple[str, str], bool] = {}
    for arrived_ns, event in history.of(events.VipChanged):
        before = held.get((event.host, event.address))
        held[event.host, event.address] = event.held
        if before is not None and before != event.held:
            changes[event.address].append((clocks.moment(event.host, event.wall_ns, arrived_ns), event))
    for address, told in changes.items():
        told.sort(key=lambda item: item[0].at_ns)
        waiting: tuple[Moment, events.VipChanged] | None = None
        for moment, event in told:
            if waiting is not None and waiting[1].held != event.held:
                found.append(_move(address, waiting, (moment, event)))
                waiting = None
                continue
            if waiting is not None:
                found.append(_half_move(address, *waiting))
            waiting = moment, event
        if waiting is not None:
            found.append(_half_move(address, *waiting))
    return found


def _move(address: str, one: tuple[Moment, events.VipChanged], other: tuple[Moment, events.VipChanged]) -> Happening:
    lost, got = (other, one) if one[1].held else (one, other)
    error_ns = max(one[0].error_ns, other[0].error_ns)
    what = f"moved from {lost[1].host}" if lost[1].host != got[1].host else "left and came back"
    return Happening("vip", got[1].host, address, what, one[0].at_ns, other[0].at_ns, error_ns)


def _half_move(address: str, moment: Moment, event: events.VipChanged) -> Happening:
    """Where it came from, or went to, was not seen."""
    end_ns = moment.at_ns if event.held else None
    return Happening(
        "vip", event.host, address, "came" if event.held else "left", moment.at_ns, end_ns, moment.error_ns
    )


def _ports(history: History, clocks: HostClocks) -> list[Happening]:
    names = {event.server_id: event.canary for _, event in history.of(events.CanaryUp)}
    found: list[Happening] = []
    known: dict[tuple[str, str], tuple[str, bool | None]] = {}  # as one database says
    for arrived_ns, event in history.of(events.PortMoved):
        canary = names.get(event.server_id)
        if canary is None:
            continue
        before = known.get((event.host, event.port))
        known[event.host, event.port] = event.chassis, event.up
        if before is None or before == (event.chassis, event.up):
            continue
        moment = clocks.moment(event.host, event.wall_ns, arrived_ns)
        if before[0] != event.chassis:
            what = f"moved from {before[0] or 'nowhere'}" if event.chassis else "left"
        else:
            what = "up" if event.up else "down"
        where = event.chassis or before[0]
        same = [each for each in found if (each.subject, each.host, each.what) == (canary, where, what)]
        if not any(abs(each.from_ns - moment.at_ns) <= SAME_NS for each in same):
            found.append(Happening("port", where, canary, what, moment.at_ns, moment.at_ns, moment.error_ns))
    return found


def _chassis(history: History, clocks: HostClocks) -> list[Happening]:
    found: list[Happening] = []
    gone: dict[str, Moment] = {}
    for arrived_ns, event in history.of(events.ChassisChanged):
        moment = clocks.moment(event.host, event.wall_ns, arrived_ns)
        if not event.present:
            gone.setdefault(event.name, moment)
        elif event.name in gone:
            begin = gone.pop(event.name)
            error_ns = max(begin.error_ns, moment.error_ns)
            end_ns = max(begin.at_ns, moment.at_ns)
            found.append(
                Happening("chassis", event.name, event.name, "left OVN and came back", begin.at_ns, end_ns, error_ns)
            )
    found += [
        Happening("chassis", name, name, "left OVN", moment.at_ns, None, moment.error_ns)
        for name, moment in gone.items()
    ]
    return found


# --- what was not watched ------------------------------------------------------------------------------------------


def unwatched(history: History) -> list[Unwatched]:
    """Return when a host, or a part of it, should have been watched and was not, in order of time.

    A host that is not watched at all is told once, not part by part. Empty if no witness was there: see `was_witnessed`.
    """
    gaps = _Gaps()
    for record in history.records:
        if isinstance(record.event, TOLD):
            gaps.take(record.t_ns, record.event)
    gaps.end(history.ended_ns)
    return sorted(gaps.found, key=lambda gap: (gap.from_ns, gap.host, gap.part))


def was_witnessed(history: History) -> bool:
    """Return whether anybody was told to watch the hosts."""
    return bool(history.of(events.WitnessBegan))


TOLD = (
    events.WitnessBegan,
    events.WitnessSight,
    events.WitnessClock,
    events.ContainersSeen,
    events.ContainerChanged,
    events.ProxiesSeen,
    events.ProxyChanged,
    events.VipChanged,
    events.PortMoved,
    events.ChassisChanged,
    events.WitnessEnded,
)
NOT_YET = "the connection was not there yet"


@dataclass(slots=True)
class _Gaps:
    """What is not watched while the records are read in order."""

    found: list[Unwatched] = field(default_factory=list)
    heard: dict[str, int] = field(default_factory=dict)
    blind: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    watching: set[str] = field(default_factory=set)

    def take(self, now_ns: int, event: events.Event) -> None:
        match event:
            case events.WitnessBegan():
                for host in event.hosts:
                    silent_ns = self.heard.get(host, now_ns)
                    self._close_all(host, silent_ns)
                    self.blind[host, "host"] = silent_ns, NOT_YET
            case events.WitnessSight():
                self._sight(now_ns, event)
            case events.WitnessEnded():
                self._close_all(event.host, now_ns)
                self.watching.discard(event.host)
                self.heard[event.host] = now_ns
            case _:
                self.heard[getattr(event, "host", "")] = now_ns

    def _sight(self, now_ns: int, sight: events.WitnessSight) -> None:
        key = sight.host, sight.part
        if sight.state != "blind":
            self._close(key, now_ns)
            self.heard[sight.host] = now_ns
            if sight.part == "host":
                self.watching.add(sight.host)
            return
        since_ns = now_ns
        if sight.part == "host":
            since_ns = sight.heard_ns or self.heard.get(sight.host, now_ns)
            for part in [part for host, part in self.blind if host == sight.host and part != "host"]:
                self._close((sight.host, part), since_ns)
            self.watching.discard(sight.host)
        known = self.blind.get(key)
        self.blind[key] = known[0] if known else since_ns, sight.why

    def _close(self, key: tuple[str, str], now_ns: int) -> None:
        since = self.blind.pop(key, None)
        if since is not None and now_ns > since[0]:
            self.found.append(Unwatched(*key, since[0], now_ns, since[1]))

    def _close_all(self, host: str, now_ns: int) -> None:
        for key in [key for key in self.blind if key[0] == host]:
            self._close(key, now_ns)

    def end(self, now_ns: int) -> None:
        """Whoever did not end watching was cut off when he was last heard."""
        for host in self.watching:
            silent_ns = self.heard[host]
            self._close_all(host, silent_ns)
            self.blind[host, "host"] = silent_ns, "the witness was cut off"
        for key in list(self.blind):
            self._close(key, now_ns)
