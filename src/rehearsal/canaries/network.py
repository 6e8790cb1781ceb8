"""The network of a run's canaries: IPv4 behind a router with floating IPs, and IPv6 where the cloud routes it to its users.

Invariant: made twice it is made once; everything carries the run in its name. IPv6 is an addition: where it cannot be had,
the reason is told and the canaries have IPv4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.canaries import suitable
from rehearsal.cloud.connection import CLOUD_ERRORS
from rehearsal.cloud.connection import sentence
from rehearsal.recording.naming import description_of
from rehearsal.recording.naming import name_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class GuestNetwork:
    """The canaries' network. `without_ipv6`: why its guests have no IPv6 although the cloud's outer network has; else ""."""

    network: Any
    router_id: str
    without_ipv6: str = ""


def make(  # noqa: PLR0913 - all by keyword
    api: Any, *, run: str, project_id: str, cidr: str, outer: Any, log: Callable[[str], None]
) -> GuestNetwork:
    """Make the network, its subnets and the router to the outer network, or find them again.

    `api` is neutron as the canaries' user sees it: what an ordinary user cannot have, a canary must not have either.
    One of CLOUD_ERRORS if the IPv4 part cannot be made.
    """
    scope, described = {"project_id": project_id}, {"description": description_of(run)}
    name = name_of(run, "network")
    network = first(api.networks(name=name, **scope)) or api.create_network(name=name, **described)
    name = name_of(run, "subnet")
    subnet = first(api.subnets(name=name, **scope)) or api.create_subnet(
        name=name, network_id=network.id, ip_version=4, cidr=cidr, **described
    )
    name = name_of(run, "router")
    router = first(api.routers(name=name, **scope)) or api.create_router(
        name=name, external_gateway_info={"network_id": outer.id}, **described
    )
    _connect(api, router, network, subnet)
    try:
        if not any(each.ip_version == 6 for each in api.subnets(network_id=outer.id)):
            log(f"canaries: IPv4 only: {outer.name} has no subnet of IPv6")
            return GuestNetwork(network, router.id)
        name = name_of(run, "subnet-v6")
        second = first(api.subnets(name=name, **scope)) or api.create_subnet(
            name=name,
            network_id=network.id,
            ip_version=6,
            subnet_pool_id=suitable.ipv6_pool(api.subnet_pools()).id,
            ipv6_ra_mode="slaac",
            ipv6_address_mode="slaac",
            **described,
        )
        _connect(api, router, network, second)
    except suitable.NothingSuitableError as error:
        return GuestNetwork(network, router.id, str(error))
    except CLOUD_ERRORS as error:
        return GuestNetwork(network, router.id, sentence(error))
    log(f"canaries: IPv6 from {second.cidr}")
    return GuestNetwork(network, router.id)


def _connect(api: Any, router: Any, network: Any, subnet: Any) -> None:
    ports = api.ports(device_id=router.id, network_id=network.id)
    if not any(fixed["subnet_id"] == subnet.id for port in ports for fixed in port.fixed_ips):
        api.add_interface_to_router(router, subnet_id=subnet.id)


def make_group(api: Any, *, run: str, project_id: str, tcp: Iterable[int], udp: Iterable[int]) -> Any:
    """Make the security group that lets pings and these ports in over both families, or find it again and complete it."""
    name = name_of(run, "group")
    group = first(api.security_groups(name=name, project_id=project_id))
    group = group or api.create_security_group(name=name, description=description_of(run))
    there = {
        (rule.protocol, rule.port_range_min, rule.ether_type)
        for rule in api.security_group_rules(security_group_id=group.id)
    }
    wanted: list[tuple[str, int | None, str]] = [("icmp", None, "IPv4"), ("ipv6-icmp", None, "IPv6")]
    for protocol, ports in (("tcp", tcp), ("udp", udp)):
        wanted += [(protocol, port, family) for port in ports for family in ("IPv4", "IPv6")]
    for protocol, port, family in wanted:
        if (protocol, port, family) not in there:
            api.create_security_group_rule(
                security_group_id=group.id, direction="ingress", protocol=protocol, ether_type=family,
                port_range_min=port, port_range_max=port,
            )  # fmt: skip
    return group


def by_family(fixed_ips: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """Return a port's first address of IPv4 and its first of IPv6; empty where it has none."""
    addresses = [str(each["ip_address"]) for each in fixed_ips]
    return (
        next((address for address in addresses if ":" not in address), ""),
        next((address for address in addresses if ":" in address), ""),
    )


def first(found: Iterable[Any]) -> Any:
    """Return the first of what a cloud's API lists, or None."""
    return next(iter(found), None)
