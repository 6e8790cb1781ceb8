"""What is in the cloud at one moment, so that two moments can be compared.

Invariant: only what should be the same after an upgrade is noted (no times, no counters, no versions), rows are sorted
by id, and what rehearsals made themselves is left out. Only reads.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.cloud.connection import CLOUD_ERRORS
from rehearsal.cloud.connection import sentence
from rehearsal.cloud.connection import status_of
from rehearsal.cloud.sameness import OLDER
from rehearsal.recording.events import CloudFacts
from rehearsal.recording.naming import run_described
from rehearsal.recording.naming import run_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable

Row = dict[str, Any]
ODD = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)
"""What an answer raises that has another shape than it should: its kind is not observed, and the run goes on."""
_GONE = 404
_BROKEN = 500
_OLDER_MICROVERSION = "2.95"


def cloud_facts(connection: Any, label: str) -> CloudFacts:
    """Return the servers, ports, volumes, networks, routers, floating IPs, agents, services and hypervisors.

    `facts` maps each kind to rows with `id` and `name`. A kind that could not be read is absent and named in `error`. What
    could only be read at an older microversion is named under a key of its own, with the reason.
    """
    facts: dict[str, Any] = {}
    errors: list[str] = []
    ours = _own_projects(connection, errors)
    own_things: set[str] = set()
    older: dict[str, str] = {}
    kinds: dict[str, Callable[[Any], Iterable[Row]]] = {**_KINDS, "servers": partial(_servers, older=older)}
    for kind, read in kinds.items():
        rows: list[Row] = []
        try:
            for entry in read(connection):
                if _made_by_rehearsal(entry, ours, own_things):
                    own_things.add(entry["id"])
                else:
                    rows.append(_row(entry))
        except CLOUD_ERRORS as error:
            errors.append(f"{kind} could not be read: {sentence(error)}")
        except ODD as error:
            errors.append(f"{kind} could not be read: the answer is not what this API gives ({type(error).__name__})")
        else:
            facts[kind] = sorted(rows, key=lambda row: str(row["id"]))
    if older:
        facts[OLDER] = older
    return CloudFacts(label, facts, "; ".join(errors))


def _own_projects(connection: Any, errors: list[str]) -> frozenset[str]:
    try:
        return frozenset(project.id for project in connection.identity.projects() if run_of(project.name))
    except CLOUD_ERRORS as error:
        errors.append(f"projects could not be read: {sentence(error)}")
        return frozenset()
    except ODD as error:
        errors.append(f"projects could not be read: the answer is not what this API gives ({type(error).__name__})")
        return frozenset()


def _made_by_rehearsal(entry: Row, projects: frozenset[str], things: set[str]) -> bool:
    """Tell whether a rehearsal made it. Ports that Neutron made for a router or a floating IP belong to nobody by name."""
    return (
        entry.get("project") in projects
        or entry.get("device") in things
        or bool(run_of(entry.get("name")) or run_described(entry.get("_description")))
    )


def _row(entry: Row) -> Row:
    return {key: value for key, value in entry.items() if not key.startswith("_")}


def servers_of(connection: Any) -> tuple[list[Any], str]:
    """Return all servers, and why they had to be read at an older microversion (empty: they had not).

    From 2.96 on nova also lists each server's pinned zone, and answers 500 for all of them if one has no request spec.
    """
    try:
        return list(connection.compute.servers(all_projects=True)), ""
    except CLOUD_ERRORS as error:
        if status_of(error) != _BROKEN:
            raise
        found = list(connection.compute.servers(all_projects=True, microversion=_OLDER_MICROVERSION))
        return found, f"were read at microversion {_OLDER_MICROVERSION}: at the newest one {sentence(error)}"


def _servers(connection: Any, older: dict[str, str] | None = None) -> Iterable[Row]:
    found, why = servers_of(connection)
    if why and older is not None:
        older["servers"] = why
    for each in found:
        addresses = [address["addr"] for ports in (each.addresses or {}).values() for address in ports]
        yield {
            "id": each.id,
            "name": each.name,
            "project": each.project_id,
            "status": each.status,
            "host": each.compute_host or "",
            "flavor": _flavor(each.flavor),
            "image": (each.image or {}).get("id") or "",
            "addresses": sorted(addresses),
            "volumes": sorted(volume["id"] for volume in (each.attached_volumes or [])),
        }


def _flavor(flavor: Any) -> str:
    """A server carries its flavor's values since microversion 2.47, before that a reference."""
    found = dict(flavor or {})
    return str(found.get("original_name") or found.get("name") or found.get("id") or "")


def _ports(connection: Any) -> Iterable[Row]:
    for each in connection.network.ports():
        yield {
            "id": each.id,
            "name": each.name or each.id,
            "_description": each.description,
            "project": each.project_id,
            "status": each.status,
            "owner": each.device_owner or "",
            "device": each.device_id or "",
            "network": each.network_id,
            "mac": each.mac_address,
            "addresses": sorted(fixed["ip_address"] for fixed in (each.fixed_ips or [])),
            "host": each.binding_host_id or "",
        }


def _networks(connection: Any) -> Iterable[Row]:
    for each in connection.network.networks():
        yield {
            "id": each.id,
            "name": each.name,
            "_description": each.description,
            "project": each.project_id,
            "status": each.status,
            "mtu": each.mtu,
            "external": bool(each.is_router_external),
            "subnets": sorted(each.subnet_ids or []),
        }


def _routers(connection: Any) -> Iterable[Row]:
    for each in connection.network.routers():
        gateway = each.external_gateway_info or {}
        yield {
            "id": each.id,
            "name": each.name,
            "_description": each.description,
            "project": each.project_id,
            "status": each.status,
            "gateway": sorted(fixed["ip_address"] for fixed in gateway.get("external_fixed_ips", [])),
        }


def _addresses(connection: Any) -> Iterable[Row]:
    for each in connection.network.ips():
        yield {
            "id": each.id,
            "name": each.floating_ip_address,
            "_description": each.description,
            "project": each.project_id,
            "status": each.status,
            "fixed": each.fixed_ip_address or "",
            "port": each.port_id or "",
        }


def _agents(connection: Any) -> Iterable[Row]:
    # An agent that is set up anew gets another id: what it is and where it runs is what stays.
    for each in connection.network.agents():
        name = f"{each.agent_type} on {each.host}"
        yield {"id": name, "name": name, "alive": bool(each.is_alive), "enabled": bool(each.is_admin_state_up)}


def _services(connection: Any) -> Iterable[Row]:
    for each in connection.compute.services():
        name = f"{each.binary} on {each.host}"
        yield {
            "id": name,
            "name": name,
            "state": each.state,
            "status": each.status,
            "zone": each.availability_zone or "",
        }


def _hypervisors(connection: Any) -> Iterable[Row]:
    for each in connection.compute.hypervisors():
        yield {"id": each.name, "name": each.name, "state": each.state, "status": each.status}


def _volumes(connection: Any) -> Iterable[Row]:
    try:
        if not connection.has_service("block-storage"):
            return
        found = list(connection.block_storage.volumes(details=True, all_projects=True))
    except CLOUD_ERRORS as error:
        if status_of(error) == _GONE:
            return
        raise
    for each in found:
        yield {
            "id": each.id,
            "name": each.name or each.id,
            "project": each.project_id,
            "status": each.status,
            "size_gib": each.size,
            "servers": sorted(attachment["server_id"] for attachment in (each.attachments or [])),
        }


_KINDS: dict[str, Callable[[Any], Iterable[Row]]] = {
    "servers": _servers,
    "volumes": _volumes,
    "networks": _networks,
    "routers": _routers,
    "floating IPs": _addresses,
    "ports": _ports,  # after what they belong to
    "agents": _agents,
    "services": _services,
    "hypervisors": _hypervisors,
}
