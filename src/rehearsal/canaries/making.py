"""Makes a rehearsal's canaries: servers on one network, one on each compute node, so that what users feel can be measured.

Invariant: every object carries the run's id in its name (or, having none, in its description) and is noted in the run's
ledger before it is made and after, so that `clean` finds all of them, and no others; making them twice makes them once.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any

from rehearsal import beacon
from rehearsal.canaries import hearing
from rehearsal.canaries import network
from rehearsal.canaries import suitable
from rehearsal.canaries.ledger import Ledger
from rehearsal.canaries.model import Canaries
from rehearsal.canaries.model import CanaryError
from rehearsal.canaries.model import Ground
from rehearsal.canaries.model import Planned
from rehearsal.canaries.model import Wish
from rehearsal.canaries.model import up_event
from rehearsal.canaries.network import first
from rehearsal.canaries.place import Place
from rehearsal.canaries.place import author
from rehearsal.canaries.place import make_key
from rehearsal.canaries.place import make_place
from rehearsal.cloud.connection import CLOUD_ERRORS
from rehearsal.cloud.connection import sentence
from rehearsal.recording.naming import description_of
from rehearsal.recording.naming import name_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Sequence

    from rehearsal.recording.events import Event

_PEERS = 2


@dataclass(frozen=True, slots=True)
class _Addressed:
    """A canary that has its addresses and no server yet."""

    name: str
    host: str
    port_id: str
    fixed_ip: str
    address: str
    address_v6: str


def put_up(  # noqa: PLR0913 - one call, everything is needed
    connection: Any,
    run: str,
    wish: Wish,
    record: Callable[[Event], object],
    log: Callable[[str], None],
    *,
    ledger: Ledger | None = None,
) -> Canaries:
    """Make the canaries of a run, or find them again, and return those that answer.

    CanaryError if there is nothing to make them of or on. A single canary that fails is named in `missing`.
    """
    ends_s = time.monotonic() + wish.timeout_s
    try:
        hosts, others = suitable.computes(connection.compute.services(binary="nova-compute"), wish.hosts)
        if not hosts:
            raise CanaryError(f"No compute node can take a canary: {'; '.join(others.values()) or 'there is none'}.")
        place = make_place(connection, run, log, ledger or Ledger(run))
        ground = _make_ground(place, wish)
    except suitable.NothingSuitableError as error:
        raise CanaryError(str(error)) from error
    except CLOUD_ERRORS as error:
        raise CanaryError(f"The canaries' project and network cannot be made: {sentence(error)}") from error
    missing = dict(others)
    planned = _make_all(place, ground, _names(hosts, pair=wish.pair), missing)
    active = hearing.wait_active(place, planned, ends_s, missing)
    up = hearing.wait_answers(place, ground, active, ends_s, missing)
    up = hearing.also_over_ipv6(place, ground.network, up, {each.name: each.address_v6 for each in active}, ends_s)
    for canary, heard in up:
        record(up_event(canary))
        record(hearing.heard_event(canary.name, heard))
    for reason in (
        *missing.values(),
        *(f"{one.name} without IPv6: {one.without_ipv6}" for one, _ in up if one.without_ipv6),
    ):
        log(reason)
    return Canaries(tuple(canary for canary, _ in up), missing, author(place))


def _names(hosts: Sequence[str], *, pair: bool) -> list[tuple[str, str]]:
    names = [(f"canary-{host}", host) for host in hosts]
    # All canaries share one network: with two computes there is a pair on it already, and every guest costs a small cloud.
    return [*names, (f"canary-{hosts[0]}-pair", hosts[0])] if pair and len(hosts) == 1 else names


def _make_ground(place: Place, wish: Wish) -> Ground:
    image = suitable.image(place.admin.image.images(), wish.image)
    flavor = suitable.flavor(place.admin.compute.flavors(get_extra_specs=True), image, wish.flavor)
    outer = suitable.outer_network(place.user.network.networks(**{"router:external": True}), wish.outer_network)
    place.log(f"canaries: image {image.name}, flavor {flavor.name}, floating IPs from {outer.name}")
    api, named = place.user.network, {"run": place.run, "project_id": place.project_id}
    made = network.make(api, cidr=wish.cidr, outer=outer, log=place.log, **named)
    ports = wish.beacon
    group = network.make_group(api, tcp=(22, ports.echo_port, ports.facts_port), udp=(ports.echo_port,), **named)
    return Ground(wish, made, outer, group, image, flavor, make_key(place, wish))


def _make_all(place: Place, ground: Ground, names: Sequence[tuple[str, str]], missing: dict[str, str]) -> list[Planned]:
    """Make all addresses, then ask for all servers, so that each can be told where two of the others are."""
    addressed: list[_Addressed] = []
    for name, host in names:
        try:
            addressed.append(_make_address(place, ground, name, host))
        except CLOUD_ERRORS as error:
            missing[name] = f"{name} gets no address: {sentence(error)}"
    planned: list[Planned] = []
    for number, each in enumerate(addressed):
        others = [*addressed[number + 1 :], *addressed[:number]][:_PEERS]
        try:
            planned.append(_make_server(place, ground, each, others))
        except CLOUD_ERRORS as error:
            missing[each.name] = f"{each.name} cannot be made on {each.host}: {sentence(error)}"
    return planned


def _make_address(place: Place, ground: Ground, name: str, host: str) -> _Addressed:
    """A port and a floating IP for a canary."""
    full_name = name_of(place.run, name)
    described = {"description": description_of(place.run)}
    api = place.user.network
    port = first(api.ports(name=full_name, project_id=place.project_id)) or api.create_port(
        name=full_name, network_id=ground.network.network.id, security_group_ids=[ground.group.id], **described
    )
    floating = first(api.ips(port_id=port.id)) or api.create_ip(
        floating_network_id=ground.outer_network.id, port_id=port.id, **described
    )
    fixed_ip, address_v6 = network.by_family(port.fixed_ips)
    return _Addressed(name, host, port.id, fixed_ip, floating.floating_ip_address, address_v6)


def _make_server(place: Place, ground: Ground, each: _Addressed, others: Sequence[_Addressed]) -> Planned:
    """Ask for a server pinned to its host. Returns without waiting."""
    full_name = name_of(place.run, each.name)
    server = first(place.admin.compute.servers(name=f"^{full_name}$"))
    if server is not None and server.status in {"ERROR", "DELETED", "SHUTOFF"}:
        place.log(f"{each.name} is {server.status} from an earlier attempt: recreating it")
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
        place.log(f"requested {each.name} on {each.host}, {each.address}")
    return Planned(each.name, each.host, server.id, each.fixed_ip, each.address, each.address_v6)
