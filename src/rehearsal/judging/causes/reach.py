"""What a happening on a host reaches: which services, addresses and canaries can have felt it, and how directly."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.judging import plans
from rehearsal.judging.charging.budgets import CANARIES
from rehearsal.judging.hosts.happenings import happenings_of
from rehearsal.judging.hosts.unwatched import unwatched
from rehearsal.judging.hosts.unwatched import was_witnessed
from rehearsal.recording import events
from rehearsal.recording.declarations import INTERNAL
from rehearsal.recording.declarations import PUBLIC
from rehearsal.recording.declarations import family_of

if TYPE_CHECKING:
    from rehearsal.judging.charging.troubles import Group
    from rehearsal.judging.hosts.hostclocks import Happening
    from rehearsal.judging.hosts.unwatched import Unwatched
    from rehearsal.plan import Effects
    from rehearsal.recording.history import History

OWN, OWN_OTHER, PROXY, BALANCER, SHARED, SYMPTOM = 0, 10, 20, 30, 40, 50
"""From the most specific to the least: the very process that answers, others of its service, HAProxy's view of it, what
carries its address, what every service needs, what only shows that something is wrong."""
HEAVIEST = 1_000
"""Ranks from here on are of what does not fit."""
BALANCERS = ("haproxy", "keepalived", "proxysql")
NEEDED = ("mariadb", "galera", "memcached", "rabbitmq", "keystone", "redis", "valkey")
OWN_SUFFIXES = ("api", "server", "api_cfn", "wsgi")
OF_COMPUTES = (
    "_compute",
    "_libvirt",
    "_ssh",
    "_agent",
    "_volume",
    "_backup",
    "_novncproxy",
    "_metadata",
    "_serialproxy",
)
"""Containers (and HAProxy backends) of a service that answer none of its API's requests."""
NETWORK = ("openvswitch", "ovn_controller", "nova_libvirt", "neutron")
NETWORK_CENTRE = ("ovn_northd", "ovn_nb_db", "ovn_sb_db")
VIP_KINDS = {PUBLIC: "external", INTERNAL: "internal"}


@dataclass(frozen=True, slots=True)
class Reach:
    """How directly something reaches a window (the smaller the more); None: not at all, and why."""

    rank: int | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """What is known about a run's hosts, beside its samples."""

    happenings: list[Happening]
    unwatched: list[Unwatched]
    witnessed: bool
    effects: dict[str, Effects]  # by step: what the plans let it do
    vips: dict[str, list[str]]  # by kind (external, internal)
    places: dict[str, list[tuple[int, str]]]  # of canaries: since when, host
    holders: dict[str, list[tuple[int, str, bool]]]  # of addresses: when, host, held
    containers: dict[str, set[str]]  # by host, as far as anybody ever saw

    def step_concerns(self, step: str, service: str) -> bool:
        """Return whether the plan lets a step touch a service."""
        return step in self.effects and self.effects[step].concern(service)

    def place_of(self, canary: str, at_ns: int) -> set[str]:
        """Return where a canary was: the last host before, and the next one if it is about to move."""
        told = self.places.get(canary, [])
        before = [host for since_ns, host in told if since_ns <= at_ns]
        return {short(host) for host in (before[-1:] or [host for _, host in told[:1]])}

    def held_by(self, address: str, at_ns: int) -> set[str]:
        """Return who held an address at a moment; empty: nobody knows."""
        held: dict[str, bool] = {}
        for moment_ns, host, now in self.holders.get(numeric(address), []):
            if moment_ns <= at_ns or host not in held:
                held[host] = now
        return {host for host, now in held.items() if now}

    def unseen(self, group: Group, low_ns: int, high_ns: int) -> list[str]:
        """Return what can have reached a window and was not watched when it began."""
        if not self.witnessed:
            return ["the hosts were not watched"]
        found: dict[tuple[str, str], str] = {}
        for gap in self.unwatched:
            if gap.from_ns <= high_ns and gap.to_ns >= low_ns and self._concerns(gap, group, low_ns):
                found.setdefault((gap.host, gap.part), f"{PARTS.get(gap.part, gap.part)} of {gap.host}: {gap.why}")
        return list(found.values())

    def _concerns(self, gap: Unwatched, group: Group, at_ns: int) -> bool:
        if gap.part in {"host", "docker"}:
            names = self.containers.get(gap.host)
            return names is None or any(
                _of_container(name, gap.host, group, at_ns, self).rank is not None for name in names
            )
        is_guest = group.service == CANARIES
        return is_guest if gap.part == "ovn" else not is_guest and not _server(group)


NO_WORLD = World([], [], False, {}, {}, {}, {}, {})
"""Of a run of whose hosts nothing could be told."""
PARTS = {"host": "everything", "docker": "containers", "haproxy": "HAProxy", "vip": "addresses", "ovn": "OVN"}


def world_of(history: History) -> World:
    """Gather what is known about the hosts of a run."""
    containers: dict[str, set[str]] = {}
    for _, seen in history.of(events.ContainersSeen):
        containers.setdefault(seen.host, set()).update(row["name"] for row in seen.rows)
    for _, facts in history.of(events.HostFacts):
        if not facts.error:
            containers.setdefault(facts.host, set()).update(str(each.get("name", "")) for each in facts.containers)
    places: dict[str, list[tuple[int, str]]] = {}
    for at_ns, up in history.of(events.CanaryUp):
        places.setdefault(up.canary, []).append((at_ns, up.host))
    for move in history.migrations:
        if move.ended is not None and move.ended_ns is not None and move.ended.host_after:
            places.setdefault(move.began.canary, []).append((move.ended_ns, move.ended.host_after))
    holders: dict[str, list[tuple[int, str, bool]]] = {}
    for at_ns, told in history.of(events.VipChanged):
        holders.setdefault(numeric(told.address), []).append((at_ns, told.host, told.held))
    return World(
        happenings=happenings_of(history),
        unwatched=unwatched(history),
        witnessed=was_witnessed(history),
        effects=plans.effects_by_step(history),
        vips=_vips(history.last.event.target),
        places={canary: sorted(told) for canary, told in places.items()},
        holders=holders,
        containers=containers,
    )


def _vips(target: dict[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for vip in target.get("vips") or []:
        if isinstance(vip, dict):
            found.setdefault(str(vip.get("kind", "")), []).append(numeric(str(vip.get("address", ""))))
    return found


def numeric(address: str) -> str:
    """Return an address as all its spellings have in common; what is none as it is."""
    try:
        return str(ipaddress.ip_address(address.strip("[]")))
    except ValueError:
        return address


def short(host: str) -> str:
    """Return a host's name without its domain: nova and the inventory need not agree on it."""
    return host.partition(".")[0]


def reaches(happening: Happening, group: Group, at_ns: int, world: World) -> Reach:
    """Return whether, and how directly, a happening can have reached what a window's probes saw."""
    match happening.kind:
        case "container":
            reach = _of_container(happening.subject, happening.host, group, at_ns, world)
            if reach.rank is not None and happening.what == "unhealthy":
                return Reach(SYMPTOM + reach.rank // 10)
            return reach
        case "proxy":
            return _of_proxy(happening, group, at_ns, world)
        case "vip":
            return _of_address(happening, group, world)
        case _:
            return _of_guests(happening, group, at_ns, world)


def _of_container(name: str, host: str, group: Group, at_ns: int, world: World) -> Reach:
    if group.service == CANARIES:
        return _of_network(name, host, group, at_ns, world)
    if name == group.service or name.startswith(f"{group.service}_"):
        return _of_own(name, host, group)
    if name.startswith(BALANCERS):
        return _of_balancer(name, host, group, at_ns, world)
    if name.startswith(NEEDED) and not name.startswith("keystone_"):
        return Reach(SHARED)
    return Reach(None, f"it does not serve {group.service}")


def _of_own(name: str, host: str, group: Group) -> Reach:
    service, server = group.service, _server(group)
    if name.endswith(OF_COMPUTES):
        return Reach(None, f"it does not answer for {service}")
    if server and short(host) != short(server):
        return Reach(None, f"it is not the server on {server}")
    own = name == service or name.removeprefix(f"{service}_") in OWN_SUFFIXES
    return Reach(OWN if own else OWN_OTHER)


def _of_balancer(name: str, host: str, group: Group, at_ns: int, world: World) -> Reach:
    if name.startswith("proxysql"):
        return Reach(SHARED)  # between the services and their database
    if _server(group):
        return Reach(None, "the probe bypasses the load balancer")
    holders = {holder for address in _addresses(group, world) for holder in world.held_by(address, at_ns)}
    if holders and host not in holders:
        return Reach(None, "that host did not hold the address")
    return Reach(BALANCER)


def _of_network(name: str, host: str, group: Group, at_ns: int, world: World) -> Reach:
    if name.startswith(NETWORK_CENTRE):
        return Reach(SHARED)
    if not name.startswith(NETWORK):
        return Reach(None, "it carries no guest's packets")
    here = {place for canary in _canaries(group) for place in world.place_of(canary, at_ns)}
    # A floating IP may be carried by another host than the guest's own: less likely, not excluded.
    return Reach(OWN_OTHER if not here or short(host) in here else SHARED)


def _of_proxy(happening: Happening, group: Group, at_ns: int, world: World) -> Reach:
    proxy, _, server = happening.subject.partition("/")
    service = group.service
    if service == CANARIES or _server(group):
        return Reach(None, "the probe bypasses the load balancer")
    holders = {holder for address in _addresses(group, world) for holder in world.held_by(address, at_ns)}
    if holders and happening.host not in holders:
        return Reach(None, "that host did not hold the address")
    base = proxy.removesuffix("_back").removesuffix("_front")
    if base.startswith(("mariadb", "memcached", "rabbitmq")):
        return Reach(SHARED)
    outside = base.endswith("_external")
    base = base.removesuffix("_external").removesuffix("_internal")
    if not (base == service or base.startswith(f"{service}_")) or base.endswith(OF_COMPUTES):
        return Reach(None, f"it is not in front of {service}")
    interfaces = {trouble.seen.probe.declared.interface for trouble in group.troubles} - {""}
    if interfaces and outside and PUBLIC not in interfaces:
        return Reach(None, "it is behind the external address")
    return Reach(PROXY if server == "BACKEND" else PROXY + 1)


def _of_address(happening: Happening, group: Group, world: World) -> Reach:
    if group.service == CANARIES or _server(group):
        return Reach(None, "the probe does not use the address")
    addresses = _addresses(group, world)
    if addresses and numeric(happening.subject) not in addresses:
        return Reach(None, "the probe uses another address")
    return Reach(BALANCER)


def _of_guests(happening: Happening, group: Group, at_ns: int, world: World) -> Reach:
    """Ports, gateways and chassis in OVN's southbound database."""
    if group.service != CANARIES:
        return Reach(None, "it carries guests' packets only")
    canaries = _canaries(group)
    if happening.kind == "port":
        mine = happening.subject in canaries
        # Less than a migration of its own, of which it is a part.
        return Reach(OWN + 1) if mine else Reach(None, "it is the port of another guest")
    if happening.kind == "gateway":
        # Less than what happened to the host itself, which may have made the gateway move.
        return Reach(OWN_OTHER + 1)
    here = {place for canary in canaries for place in world.place_of(canary, at_ns)}
    return Reach(OWN_OTHER if not here or short(happening.host) in here else SHARED)


def _canaries(group: Group) -> set[str]:
    return {trouble.seen.probe.declared.canary for trouble in group.troubles}


def _addresses(group: Group, world: World) -> set[str]:
    """Return the virtual addresses that a window's probes use, as far as they are known."""
    found: set[str] = set()
    for declared in {trouble.seen.probe.declared for trouble in group.troubles}:
        asked = numeric(declared.address)
        configured = world.vips.get(VIP_KINDS.get(declared.interface, declared.interface), [])
        if asked in configured or asked in world.holders:
            found.add(asked)  # where the packets went, and somebody on the hosts calls it by this name
        else:
            found.update(vip for vip in configured if declared.family in {"", family_of(vip)})
    return found - {""}


def _server(group: Group) -> str:
    """Return which server a window's probes ask past HAProxy, by HAProxy's name for it; empty if they do not."""
    return group.troubles[0].seen.probe.declared.server
