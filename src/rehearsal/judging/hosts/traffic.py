"""What happened where requests and packets pass: servers behind HAProxy, virtual addresses, ports, gateways and chassis in OVN."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from rehearsal.judging.hosts.hostclocks import Happening
from rehearsal.judging.hosts.hostclocks import HostClocks
from rehearsal.judging.hosts.hostclocks import Moment
from rehearsal.recording import events

if TYPE_CHECKING:
    from rehearsal.recording.history import History

_UP_STATES = ("UP", "OPEN")
GATEWAY = "the gateway of the canaries' router"
_SAME_NS = 2_000_000_000
"""One port's move, told by several databases, is not further apart."""


def of_proxies(history: History, clocks: HostClocks) -> list[Happening]:
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
        if status not in _UP_STATES:
            self.down[proxy, server] = Happening(
                "proxy", self.host, f"{proxy}/{server}", status, moment.at_ns, None, moment.error_ns, detail=check
            )

    def compare(self, now: dict[tuple[str, str], str], moment: Moment) -> None:
        """Take a whole table; what is not in it any more is not down any more."""
        for key in set(self.down) | {key for key, status in now.items() if status not in _UP_STATES}:
            status = now.get(key, _UP_STATES[0])
            if key not in self.down or self.down[key].what != status:
                self.change(*key, status, moment)


def of_addresses(history: History, clocks: HostClocks) -> list[Happening]:
    """Return how virtual addresses moved between hosts, came and left."""
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


def of_ports(history: History, clocks: HostClocks) -> list[Happening]:
    """Return how the ports of canaries moved between chassis, and came up and down, as OVN's databases say."""
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
        _add_once(found, Happening("port", where, canary, what, moment.at_ns, moment.at_ns, moment.error_ns))
    return found


def of_gateways(history: History, clocks: HostClocks) -> list[Happening]:
    """Return how the gateways of the canaries' routers moved between chassis, and when they were on none.

    IPv6 passes there, and IPv4 unless floating IPs are distributed.
    """
    found: list[Happening] = []
    known: dict[tuple[str, str], str] = {}  # as one database says
    nowhere: dict[tuple[str, str], tuple[Moment, str]] = {}  # since when, and where it was before
    for arrived_ns, event in history.of(events.GatewayMoved):
        said_by = event.host, event.port
        before, now = known.get(said_by), event.chassis
        known[said_by] = now
        if before is None or before == now:
            continue
        moment = clocks.moment(event.host, event.wall_ns, arrived_ns)
        if not now:
            nowhere[said_by] = moment, before
            continue
        left, origin = nowhere.pop(said_by, (moment, before))
        what = "left and came back" if origin == now else f"moved from {origin or 'nowhere'}"
        error_ns = max(left.error_ns, moment.error_ns)
        _add_once(found, Happening("gateway", now, GATEWAY, what, left.at_ns, moment.at_ns, error_ns))
    for left, origin in nowhere.values():
        _add_once(found, Happening("gateway", origin, GATEWAY, "left", left.at_ns, None, left.error_ns))
    return found


def _add_once(found: list[Happening], happening: Happening) -> None:
    """Add what happened, unless another host's database told it before."""
    same = (happening.subject, happening.host, happening.what)
    told = (each for each in found if (each.subject, each.host, each.what) == same)
    if not any(abs(each.from_ns - happening.from_ns) <= _SAME_NS for each in told):
        found.append(happening)


def of_chassis(history: History, clocks: HostClocks) -> list[Happening]:
    """Return when a chassis was not registered in OVN."""
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
