"""Canaries: servers made for a rehearsal, one on each compute node, so that what users feel can be measured on them.

Invariant: every object carries the run's id in its name (or, having none, in its description), so that `clean` finds
all of them without any local state; making them twice makes them once.
"""

from __future__ import annotations

import base64
import secrets
import time
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any

from rehearsal import beacon
from rehearsal import guestnet
from rehearsal import redact
from rehearsal import suitable
from rehearsal.cloud import CLOUD_ERRORS
from rehearsal.cloud import sentence
from rehearsal.cloud import status_of
from rehearsal.events import BeaconHeard
from rehearsal.events import CanaryUp
from rehearsal.guestnet import first
from rehearsal.naming import description_of
from rehearsal.naming import name_of
from rehearsal.naming import run_described

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Sequence

    from rehearsal.events import Event
    from rehearsal.guestnet import GuestNetwork

_POLL_S = 1.0
_CONSOLE_LINES = 25
_PEERS = 2
_IPV6_S = 30.0
"""How long a canary that answers over IPv4 may take to answer over IPv6: router advertisement and duplicate detection."""
_FORBIDDEN = 403


class CanaryError(Exception):
    """No canary can be made at all; the message is one sentence with a remedy."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What canaries to make. Empty strings and tuples: choose what suits.

    `public_key` is put into the canaries, so that the operator can log in; `pair` adds a second canary where there
    is only one host, so that there are always two on one network. `timeout_s` is for all of them together.
    """

    image: str = ""
    flavor: str = ""
    outer_network: str = ""
    hosts: tuple[str, ...] = ()
    pair: bool = True
    cidr: str = "192.168.213.0/24"
    public_key: str = ""
    timeout_s: float = 600
    beacon: beacon.BeaconSettings = field(default_factory=beacon.BeaconSettings)


@dataclass(frozen=True, slots=True)
class Canary:
    """A canary that answers. `name` is short; the server's own name carries the run.

    `address_v6` empty: only over IPv4; then `without_ipv6` says why, unless the cloud has no IPv6 outside.
    """

    name: str
    server_id: str
    host: str
    address: str
    fixed_ip: str
    network: str
    boot_id: str
    beacon_port: int
    facts_port: int
    udp: bool = False  # its beacon echoes datagrams
    address_v6: str = ""
    without_ipv6: str = ""
    router_id: str = ""  # of the router between its network and the outer one


_Answering = tuple[Canary, beacon.Heard]


@dataclass(frozen=True, slots=True)
class Author:
    """The canaries' ordinary user in the canaries' own project, as whom the write lane writes.

    `issue` gives a new token, which stays in memory; it raises one of CLOUD_ERRORS.
    """

    user_id: str
    project_id: str
    issue: Callable[[], str] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Canaries:
    """What came of a wish: those that answer, and a sentence for each that was wanted and does not.

    `author` None: there is no project of their own, in which alone something may be written.
    """

    up: tuple[Canary, ...]
    missing: dict[str, str]
    author: Author | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where everything is made: connections scoped to the project, one as administrator, one as an ordinary user."""

    run: str
    project_id: str
    admin: Any
    user: Any
    log: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Ground:
    """What all canaries of a run share."""

    wish: Wish
    net: GuestNetwork
    outer_network: Any
    group: Any
    image: Any
    flavor: Any
    key_name: str


@dataclass(frozen=True, slots=True)
class _Addressed:
    """A canary that has its addresses and no server yet."""

    name: str
    host: str
    port_id: str
    fixed_ip: str
    address: str
    address_v6: str


@dataclass(frozen=True, slots=True)
class _Planned:
    """A canary whose server was asked for."""

    name: str
    host: str
    server_id: str
    fixed_ip: str
    address: str
    address_v6: str


def put_up(
    connection: Any, run: str, wish: Wish, record: Callable[[Event], object], log: Callable[[str], None]
) -> Canaries:
    """Make the canaries of a run, or find them again, and return those that answer.

    CanaryError if there is nothing to make them of or on. A single canary that fails is named in `missing`.
    """
    ends_s = time.monotonic() + wish.timeout_s
    try:
        hosts, others = suitable.computes(connection.compute.services(binary="nova-compute"), wish.hosts)
        if not hosts:
            raise CanaryError(f"No compute node can take a canary: {'; '.join(others.values()) or 'there is none'}.")
        place = _make_place(connection, run, log)
        ground = _make_ground(place, wish)
    except suitable.NothingSuitableError as error:
        raise CanaryError(str(error)) from error
    except CLOUD_ERRORS as error:
        raise CanaryError(f"The canaries' project and network cannot be made: {sentence(error)}") from error
    missing = dict(others)
    planned = _make_all(place, ground, _names(hosts, pair=wish.pair), missing)
    active = _wait_active(place, planned, ends_s, missing)
    up = _wait_answers(place, ground, active, ends_s, missing)
    up = _also_over_ipv6(place, ground.net, up, {each.name: each.address_v6 for each in active}, ends_s)
    for canary, heard in up:
        record(up_event(canary))
        record(heard_event(canary.name, heard))
    for reason in (
        *missing.values(),
        *(f"{one.name} without IPv6: {one.without_ipv6}" for one, _ in up if one.without_ipv6),
    ):
        log(reason)
    return Canaries(tuple(canary for canary, _ in up), missing, _author(place))


def _author(place: _Place) -> Author | None:
    if place.user is place.admin:
        return None
    session = place.user.session

    def issue() -> str:
        session.invalidate()  # forgets the token, which stays good; else it would be given again until it is too late
        token = str(session.get_token())
        redact.remember(token)
        return token

    try:
        return Author(str(session.get_user_id()), place.project_id, issue)
    except CLOUD_ERRORS as error:
        place.log(f"keystone does not say who the canaries' user is: {sentence(error)}")
        return None


def _names(hosts: Sequence[str], *, pair: bool) -> list[tuple[str, str]]:
    names = [(f"canary-{host}", host) for host in hosts]
    # All canaries share one network: with two computes there is a pair on it already, and every guest costs a small cloud.
    return [*names, (f"canary-{hosts[0]}-pair", hosts[0])] if pair and len(hosts) == 1 else names


def _make_place(connection: Any, run: str, log: Callable[[str], None]) -> _Place:
    """A project and an ordinary user of its own; without the right to make them, the administrator's own project."""
    own_project = connection.session.get_project_id()
    name = name_of(run)
    try:
        domain = connection.identity.get_project(own_project).domain_id
        project = next(iter(connection.identity.projects(name=name, domain_id=domain)), None)
        if project is None:
            project = connection.identity.create_project(name=name, domain_id=domain, description=description_of(run))
            log(f"made project {name}")
        roles = {role.name.lower(): role for role in connection.identity.roles()}
        myself = connection.session.get_user_id()
        connection.identity.assign_project_role_to_user(project=project.id, user=myself, role=roles["admin"].id)
        admin = connection.connect_as(project_id=project.id)
        user = _make_user(connection, run, project, roles)
    except CLOUD_ERRORS as error:
        if status_of(error) != _FORBIDDEN:
            raise
        log(f"no right to make a project ({sentence(error)}): the canaries go into the administrator's own")
        return _Place(run, own_project, connection, connection, log)
    _widen_quota(connection, project.id, log)
    return _Place(run, project.id, admin, user, log)


def _make_user(connection: Any, run: str, project: Any, roles: dict[str, Any]) -> Any:
    """An ordinary user, because an ordinary user's networks are what users have. The password lives in memory only."""
    name, domain = name_of(run), project.domain_id
    password = secrets.token_urlsafe(24)
    redact.remember(password)
    user = next(iter(connection.identity.users(name=name, domain_id=domain)), None)
    if user is None:
        user = connection.identity.create_user(
            name=name,
            domain_id=domain,
            password=password,
            default_project_id=project.id,
            description=description_of(run),
        )
    else:
        connection.identity.update_user(user, password=password)
    role = roles.get("member") or roles.get("_member_")
    if role is None:
        raise CanaryError(
            f"Keystone has no role `member` that the canaries' user could have; it has {', '.join(sorted(roles))}."
        )
    connection.identity.assign_project_role_to_user(project=project.id, user=user.id, role=role.id)
    return connection.connect_as(username=name, password=password, user_domain_id=domain, project_id=project.id)


def _widen_quota(connection: Any, project_id: str, log: Callable[[str], None]) -> None:
    """A new project's default quota (10 servers) is too small for a canary on each of many hosts.

    Nor may what failed deletes of the write lane leave behind fill a quota: that would look like a fault of the service.
    """
    try:
        connection.compute.update_quota_set(project_id, instances=-1, cores=-1, ram=-1, server_groups=-1)
        connection.network.update_quota(project_id, floating_ips=-1, ports=-1, subnet_pools=-1)
    except CLOUD_ERRORS as error:
        log(f"the canaries' quota stays at its default: {sentence(error)}")


def _make_ground(place: _Place, wish: Wish) -> _Ground:
    image = suitable.image(place.admin.image.images(), wish.image)
    flavor = suitable.flavor(place.admin.compute.flavors(get_extra_specs=True), image, wish.flavor)
    outer = suitable.outer_network(place.user.network.networks(**{"router:external": True}), wish.outer_network)
    place.log(f"canaries: image {image.name}, flavor {flavor.name}, floating IPs from {outer.name}")
    api, named = place.user.network, {"run": place.run, "project_id": place.project_id}
    made = guestnet.make(api, cidr=wish.cidr, outer=outer, log=place.log, **named)
    ports = wish.beacon
    group = guestnet.make_group(api, tcp=(22, ports.echo_port, ports.facts_port), udp=(ports.echo_port,), **named)
    return _Ground(wish, made, outer, group, image, flavor, _make_key(place, wish))


def _make_key(place: _Place, wish: Wish) -> str:
    """The operator's public key, under the run's name, with the account that makes the servers."""
    if not wish.public_key:
        return ""
    name = name_of(place.run, "key")
    try:
        if not any(pair.name == name for pair in place.admin.compute.keypairs()):
            place.admin.compute.create_keypair(name=name, public_key=wish.public_key)
    except CLOUD_ERRORS as error:
        place.log(f"nobody will be able to log in to the canaries, nova does not take the key: {sentence(error)}")
        return ""
    return name


def _make_all(
    place: _Place, ground: _Ground, names: Sequence[tuple[str, str]], missing: dict[str, str]
) -> list[_Planned]:
    """Make all addresses, then ask for all servers, so that each can be told where two of the others are."""
    addressed: list[_Addressed] = []
    for name, host in names:
        try:
            addressed.append(_make_address(place, ground, name, host))
        except CLOUD_ERRORS as error:
            missing[name] = f"{name} gets no address: {sentence(error)}"
    planned: list[_Planned] = []
    for number, each in enumerate(addressed):
        others = [*addressed[number + 1 :], *addressed[:number]][:_PEERS]
        try:
            planned.append(_make_server(place, ground, each, others))
        except CLOUD_ERRORS as error:
            missing[each.name] = f"{each.name} cannot be made on {each.host}: {sentence(error)}"
    return planned


def _make_address(place: _Place, ground: _Ground, name: str, host: str) -> _Addressed:
    """A port and a floating IP for a canary."""
    full_name = name_of(place.run, name)
    described = {"description": description_of(place.run)}
    api = place.user.network
    port = first(api.ports(name=full_name, project_id=place.project_id)) or api.create_port(
        name=full_name, network_id=ground.net.network.id, security_group_ids=[ground.group.id], **described
    )
    floating = first(api.ips(port_id=port.id)) or api.create_ip(
        floating_network_id=ground.outer_network.id, port_id=port.id, **described
    )
    fixed_ip, address_v6 = guestnet.by_family(port.fixed_ips)
    return _Addressed(name, host, port.id, fixed_ip, floating.floating_ip_address, address_v6)


def _make_server(place: _Place, ground: _Ground, each: _Addressed, others: Sequence[_Addressed]) -> _Planned:
    """Ask for a server pinned to its host. Returns without waiting."""
    full_name = name_of(place.run, each.name)
    server = first(place.admin.compute.servers(name=f"^{full_name}$"))
    if server is not None and server.status in {"ERROR", "DELETED", "SHUTOFF"}:
        place.log(f"{each.name} is {server.status} from before: it is made anew")
        place.admin.compute.delete_server(server, force=True)
        place.admin.compute.wait_for_delete(server, interval=1, wait=60)
        server = None
    if server is None:
        settings = replace(ground.wish.beacon, peers=tuple((other.name, other.fixed_ip) for other in others))
        attributes: dict[str, Any] = {"key_name": ground.key_name} if ground.key_name else {}
        server = place.admin.compute.create_server(
            name=full_name,
            image_id=ground.image.id,
            flavor_id=ground.flavor.id,
            networks=[{"port": each.port_id}],
            user_data=base64.b64encode(beacon.user_data(settings).encode()).decode(),
            # Not by availability zone: that would pin the server to the zone for ever, and migrations with it.
            host=each.host,
            metadata={"rehearse_run": place.run},
            description=description_of(place.run),
            **attributes,
        )
        place.log(f"asked for {each.name} on {each.host}, {each.address}")
    return _Planned(each.name, each.host, server.id, each.fixed_ip, each.address, each.address_v6)


def _wait_active(place: _Place, planned: Sequence[_Planned], ends_s: float, missing: dict[str, str]) -> list[_Planned]:
    """Wait for all servers together; return those that are ACTIVE and put what became of the others into `missing`."""
    waiting = list(planned)
    active: list[_Planned] = []
    status = {each.name: "not seen" for each in planned}
    while waiting and time.monotonic() < ends_s:
        for each in list(waiting):
            try:
                server = place.admin.compute.get_server(each.server_id)
            except CLOUD_ERRORS as error:
                status[each.name] = sentence(error)
                continue
            status[each.name] = server.status
            if server.status == "ACTIVE":
                # One that was found again may have been migrated since.
                active.append(replace(each, host=server.compute_host or each.host))
                place.log(f"{each.name} is ACTIVE on {server.compute_host or each.host}")
            elif server.status == "ERROR":
                fault = (server.fault or {}).get("message", "no fault given")
                missing[each.name] = f"{each.name} on {each.host} went to ERROR: {fault}"
            else:
                continue
            waiting.remove(each)
        if waiting:
            time.sleep(_POLL_S)
    for each in waiting:
        missing[each.name] = f"{each.name} on {each.host} did not become ACTIVE in time: {status[each.name]}"
    return active


def _wait_answers(
    place: _Place, ground: _Ground, active: Sequence[_Planned], ends_s: float, missing: dict[str, str]
) -> list[_Answering]:
    """Wait until the beacons answer; return those that do, and put the others with the end of their console into `missing`."""
    settings = ground.wish.beacon
    waiting = list(active)
    answered: list[_Answering] = []
    silence = {each.name: "its time was up before it was asked" for each in active}
    while waiting and time.monotonic() < ends_s:
        for each in list(waiting):
            try:
                heard = beacon.hear(each.address, settings.facts_port, timeout_s=3)
            except beacon.BeaconSilentError as error:
                silence[each.name] = str(error)
                continue
            kind, up_s = heard.facts.get("kind"), heard.uptime_s
            place.log(f"{each.name} answers at {each.address}: {kind} beacon, up for {up_s:.1f} s")
            canary = Canary(
                name=each.name, server_id=each.server_id, host=each.host, address=each.address, fixed_ip=each.fixed_ip,
                network=str(ground.net.network.name), boot_id=heard.boot_id, beacon_port=settings.echo_port,
                facts_port=settings.facts_port, udp=heard.facts.get("udp") is True,
                router_id=str(ground.net.router_id),
            )  # fmt: skip
            answered.append((canary, heard))
            waiting.remove(each)
        if waiting:
            time.sleep(_POLL_S)
    for each in waiting:
        console = console_end(place.admin, each.server_id)
        missing[each.name] = f"{each.name} on {each.host} is ACTIVE but silent: {silence[each.name]}; {console}"
    return answered


def _also_over_ipv6(
    place: _Place, net: GuestNetwork, up: Sequence[_Answering], addresses: dict[str, str], ends_s: float
) -> list[_Answering]:
    """Return the same with the IPv6 addresses at which they answer, too, or why they do not."""
    until_s = min(ends_s, time.monotonic() + _IPV6_S)
    asked = {canary.name: addresses[canary.name] for canary, _ in up if addresses[canary.name]}
    why = dict.fromkeys(asked, "its time was up before it was asked")  # those that have not answered yet
    while why and time.monotonic() < until_s:
        for canary, first_heard in up:
            if canary.name in why:
                try:
                    heard = beacon.hear(asked[canary.name], canary.facts_port, timeout_s=3)
                except beacon.BeaconSilentError as error:
                    why[canary.name] = str(error)
                    continue
                if heard.boot_id == first_heard.boot_id:
                    del why[canary.name]
                    place.log(f"{canary.name} answers at {asked[canary.name]}")
                else:
                    why[canary.name] = "another machine answers there"
        if why:
            time.sleep(_POLL_S)
    found: list[_Answering] = []
    for canary, heard in up:
        address = asked.get(canary.name, "")
        if canary.name in why:
            without = f"it has the address {address}, but is out of reach there: {why[canary.name]}"
            found.append((replace(canary, without_ipv6=without), heard))
        else:
            found.append((replace(canary, address_v6=address, without_ipv6="" if address else net.without_ipv6), heard))
    return found


def console_end(connection: Any, server_id: str) -> str:
    """Return the last lines of a server's console, or a sentence that says why there are none."""
    try:
        output = connection.compute.get_server_console_output(server_id, length=_CONSOLE_LINES)
    except CLOUD_ERRORS as error:
        return f"its console cannot be read: {sentence(error)}"
    text = output.get("output", "") if isinstance(output, dict) else str(output)
    return f"its console ends with:\n{text.strip()[-2000:]}" if text.strip() else "its console is empty"


def up_event(canary: Canary) -> CanaryUp:
    """Return the record of a canary that answers."""
    return CanaryUp(
        canary=canary.name, server_id=canary.server_id, host=canary.host, address=canary.address, fixed_ip=canary.fixed_ip,
        network=canary.network, boot_id=canary.boot_id, beacon_port=canary.beacon_port, facts_port=canary.facts_port,
        udp=canary.udp, address_v6=canary.address_v6,
        without_ipv6=canary.without_ipv6, router_id=canary.router_id,
    )  # fmt: skip


def of_event(event: CanaryUp) -> Canary:
    """Return the canary of a record, for a run that goes on."""
    return Canary(
        name=event.canary, server_id=event.server_id, host=event.host, address=event.address, fixed_ip=event.fixed_ip,
        network=event.network, boot_id=event.boot_id, beacon_port=event.beacon_port,
        facts_port=event.facts_port or event.beacon_port + 1, udp=event.udp, address_v6=event.address_v6,
        without_ipv6=event.without_ipv6, router_id=event.router_id,
    )  # fmt: skip


def listen(canary: Canary, record: Callable[[Event], object], *, timeout_s: float = 5) -> beacon.Heard | None:
    """Ask a canary's beacon once and record what it says; None (and a sentence in the record) if it is silent."""
    try:
        heard = beacon.hear(canary.address, canary.facts_port, timeout_s=timeout_s)
    except beacon.BeaconSilentError as error:
        record(BeaconHeard(canary.name, "", {"error": str(error)}))
        return None
    record(heard_event(canary.name, heard))
    return heard


def heard_event(name: str, heard: beacon.Heard) -> BeaconHeard:
    """Return the record of what a canary told, with when it was asked and when it had told (ns)."""
    return BeaconHeard(name, heard.boot_id, {**heard.facts, "asked_ns": heard.asked_ns, "told_ns": heard.told_ns})


def belongs_to(description: str | None, run: str) -> bool:
    """Tell whether a thing without a name was made for this run."""
    return run_described(description) == run
