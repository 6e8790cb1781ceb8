"""Removes from the cloud what a run made there, also one that died: what the run's own record names, and the cloud shows.

Invariant: a thing is touched only if the record of the run says that the run made it (`canaries.ledger`) and the thing itself
says so too. What only looks like it is named and left alone. A thing that was asked to go is looked at again: what is still
there at the end is named.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.canaries.ledger import Made
from rehearsal.canaries.ledger import Sight
from rehearsal.cloud.connection import CLOUD_ERRORS
from rehearsal.cloud.connection import sentence
from rehearsal.cloud.connection import status_of
from rehearsal.recording.naming import run_described
from rehearsal.recording.naming import run_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable
    from collections.abc import Sequence

_POLL_S = 1.0
_GONE = 404
_FORBIDDEN = 403
_WAIT_S = 180
_ROUTER_PORTS = (
    "network:router_interface",
    "network:router_interface_distributed",
    "network:ha_router_replicated_interface",
)


@dataclass(slots=True)
class Cleaned:
    """What was removed, and a sentence for each thing that could not be: `kind name`."""

    removed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Thing:
    """One object of the cloud: what is seen of it, and the calls that remove it and look for it, both by its id."""

    seen: Sight
    remove: Callable[..., object]
    look: Callable[[str], object]

    def __str__(self) -> str:
        return f"{self.seen.kind} {self.seen.name or self.seen.id}"


@dataclass(frozen=True, slots=True)
class Survey:
    """What is there: `ours` would be removed, in this order; `others` look like it and are left alone; `failures`: not seen."""

    ours: tuple[Thing, ...]
    others: tuple[Thing, ...]
    failures: tuple[str, ...]


def survey(connection: Any, made: Sequence[Made]) -> Survey:
    """Look at what is there of these runs, and at what only looks like it. Never raises because of the cloud."""
    ours: list[Thing] = []
    others: list[Thing] = []
    failures: list[str] = []
    for listing in _LISTINGS:
        for thing in _listed(connection, listing, made, failures):
            if any(one.has(thing.seen) for one in made):
                ours.append(thing)
            elif _looks_like_one(thing, made):
                others.append(thing)
    return Survey(tuple(ours), tuple(others), tuple(dict.fromkeys(failures)))


def clean(
    connection: Any, made: Made | Sequence[Made], log: Callable[[str], None], *, wait_s: float = _WAIT_S
) -> Cleaned:
    """Remove what these runs made. Never raises because of the cloud.

    Servers first, then what they stood on, the project last; each group waits up to `wait_s` for the one before it. A
    project that holds anything else stays.
    """
    records = [made] if isinstance(made, Made) else list(made)
    cleaned = Cleaned()
    for listing in _LISTINGS:
        things = [
            thing
            for thing in _listed(connection, listing, records, cleaned.left)
            if any(one.has(thing.seen) for one in records)
        ]
        if listing is _project_things:
            things = _emptied(connection, things, cleaned)
        _remove(things, cleaned, log, wait_s)
    return cleaned


def _listed(
    connection: Any, listing: Callable[[Any, str], list[Thing]], made: Sequence[Made], failures: list[str]
) -> list[Thing]:
    """Return what one listing shows in the projects of these runs, in our own, and in those that are named like one."""
    things: dict[tuple[str, str], Thing] = {}
    try:
        where = _scopes(connection, made) if listing in _OF_PROJECTS else [""]
    except CLOUD_ERRORS as error:
        failures.append(f"everything: the cloud does not say what there is: {sentence(error)}")
        return []
    for project_id in where:
        try:
            for thing in listing(connection, project_id):
                things.setdefault((thing.seen.kind, thing.seen.id), thing)
        except CLOUD_ERRORS as error:
            refused = status_of(error) == _FORBIDDEN and listing in _MAY_BE_FORBIDDEN
            if status_of(error) != _GONE and not refused:
                what = listing.__name__.strip("_").replace("_", " ")
                failures.append(f"{what}: cannot be listed: {sentence(error)}")
    return list(things.values())


def _scopes(connection: Any, made: Sequence[Made]) -> list[str]:
    named = [thing.seen.id for thing in _project_things(connection, "") if run_of(thing.seen.name)]
    recorded = [project for one in made for project in (*sorted(one.projects), *sorted(one.places))]
    return list(dict.fromkeys([*recorded, *named, connection.session.get_project_id()]))


def _looks_like_one(thing: Thing, made: Sequence[Made]) -> bool:
    """Tell whether a reader might take a thing for a rehearsal's: by its name, or because it is in a rehearsal's project."""
    automatic = (thing.seen.kind, thing.seen.name) == ("security group", "default") or thing.seen.name == ""
    inside = thing.seen.scope in {project for one in made for project in one.projects} and not automatic
    return bool(run_of(thing.seen.name) or run_described(thing.seen.description)) or inside


def _emptied(connection: Any, projects: list[Thing], cleaned: Cleaned) -> list[Thing]:
    """Return what goes with each project that holds nothing else, and the project; name the others."""
    things: list[Thing] = []
    for project in projects:
        held = _held(connection, project.seen.id)
        if held:
            cleaned.left.append(f"{project}: it holds what this run did not make: {', '.join(held)}")
            continue
        things += [*_left_by_services(connection, project), project]
    return things


def _held(connection: Any, project_id: str) -> list[str]:
    """Return what is in a project apart from what the services put there themselves."""
    found: list[str] = []
    for listing in (*_OF_PROJECTS, *_WRITTEN):
        if listing is _key_things:
            continue
        try:
            for thing in listing(connection, project_id):
                automatic = (thing.seen.kind, thing.seen.name) == ("security group", "default")
                if thing.seen.scope == project_id and not automatic:
                    found.append(str(thing))
        except CLOUD_ERRORS as error:
            if status_of(error) not in {_GONE, _FORBIDDEN}:
                found.append(f"perhaps more ({sentence(error)})")
    return found


def _remove(things: Iterable[Thing], cleaned: Cleaned, log: Callable[[str], None], wait_s: float) -> None:
    """Ask each to go, and again where something still stands in the way, until none is there or the time is up."""
    waiting = list(things)
    reasons: dict[Thing, str] = {}
    asked: set[Thing] = set()
    ends_s = time.monotonic() + wait_s
    while waiting:
        for thing in list(waiting):
            try:
                if thing not in asked:
                    thing.remove(thing.seen.id, ignore_missing=False)
                    asked.add(thing)
                    log(f"removing {thing}")
                thing.look(thing.seen.id)
                reasons[thing] = "it was deleted and is still there"
            except CLOUD_ERRORS as error:
                if status_of(error) == _GONE:
                    waiting.remove(thing)
                    cleaned.removed.append(str(thing))
                else:
                    reasons[thing] = sentence(error)
                    asked.discard(thing)
        if not waiting or time.monotonic() >= ends_s:
            break
        time.sleep(_POLL_S)
    cleaned.left += [f"{thing}: {reasons.get(thing, 'not seen')}" for thing in waiting]


def _servers(connection: Any, project_id: str) -> list[Any]:
    return list(connection.compute.servers(all_projects=True, project_id=project_id))


def _things(
    kind: str, found: Iterable[Any], calls: tuple[Callable[..., object], Callable[[str], object]]
) -> list[Thing]:
    return [Thing(_sight(kind, each), *calls) for each in found]


def _sight(kind: str, each: Any) -> Sight:
    def text(*names: str) -> str:
        return str(next((value for name in names if (value := getattr(each, name, None))), ""))

    scope = text("domain_id") if kind in {"project", "user"} else text("project_id", "owner_id", "owner")
    return Sight(
        kind, str(each.id), text("name"), text("description"), scope, text("port_id"), text("user_id")
    )  # fmt: skip


def _server_things(connection: Any, project_id: str) -> list[Thing]:
    api = connection.compute
    return _things("server", _servers(connection, project_id), (api.delete_server, api.get_server))


def _address_things(connection: Any, project_id: str) -> list[Thing]:
    api = connection.network
    return _things("floating IP", api.ips(project_id=project_id), (api.delete_ip, api.get_ip))


def _router_things(connection: Any, project_id: str) -> list[Thing]:
    api = connection.network

    def remove(router_id: str, *, ignore_missing: bool) -> None:
        ours = api.get_router(router_id)
        for port in api.ports(device_id=router_id):
            # A subnet that somebody else tied to our router stays tied: then the router stays, and is named.
            if port.device_owner in _ROUTER_PORTS and _is_of_the_run(api, port.network_id, ours):
                api.remove_interface_from_router(router_id, port_id=port.id)
        api.delete_router(router_id, ignore_missing=ignore_missing)

    return _things("router", api.routers(project_id=project_id), (remove, api.get_router))


def _port_things(connection: Any, project_id: str) -> list[Thing]:
    api = connection.network
    found = [port for port in api.ports(project_id=project_id) if not (port.device_owner or "").startswith("network:")]
    return _things("port", found, (api.delete_port, api.get_port))


def _is_of_the_run(api: Any, network_id: str, router: Any) -> bool:
    try:
        return run_of(api.get_network(network_id).name) == run_of(router.name) != ""
    except CLOUD_ERRORS as error:
        if status_of(error) == _GONE:
            return True
        raise


def _network_things(connection: Any, project_id: str) -> list[Thing]:
    # Subnets and what Neutron put there itself (DHCP, metadata) go with the network.
    api = connection.network
    return _things("network", api.networks(project_id=project_id), (api.delete_network, api.get_network))


def _group_things(connection: Any, project_id: str) -> list[Thing]:
    api = connection.network
    found = api.security_groups(project_id=project_id)
    return _things("security group", found, (api.delete_security_group, api.get_security_group))


def _key_things(connection: Any, project_id: str) -> list[Thing]:
    if project_id != connection.session.get_project_id():
        return []  # key pairs belong to accounts, not to projects: ours are listed once
    api = connection.compute
    return _things("key pair", api.keypairs(), (api.delete_keypair, api.get_keypair))


# --- what the write lane left behind: found by name, wherever it is, also if its project is gone ----------------------


def _image_things(connection: Any, _: str) -> list[Thing]:
    api = connection.image
    return _things("image", api.images(), (api.delete_image, api.get_image))


def _server_group_things(connection: Any, _: str) -> list[Thing]:
    api = connection.compute
    found = api.server_groups(all_projects=True)
    return _things("server group", found, (api.delete_server_group, api.get_server_group))


def _credential_things(connection: Any, _: str) -> list[Thing]:
    # A credential has no name: the write lane gives it as its type.
    api = connection.identity
    calls = (api.delete_credential, api.get_credential)
    return [
        Thing(Sight("credential", each.id, each.type or "", "", each.project_id or "", "", each.user_id or ""), *calls)
        for each in api.credentials()
    ]


def _subnet_pool_things(connection: Any, _: str) -> list[Thing]:
    api = connection.network
    return _things("subnet pool", api.subnet_pools(), (api.delete_subnet_pool, api.get_subnet_pool))


def _volume_things(connection: Any, _: str) -> list[Thing]:
    if not connection.has_service("block-storage"):
        return []
    api = connection.block_storage
    return _things("volume", api.volumes(all_projects=True), (api.delete_volume, api.get_volume))


# --- the project itself ------------------------------------------------------------------------------------------------


def _user_things(connection: Any, _: str) -> list[Thing]:
    api = connection.identity
    return _things("user", api.users(), (api.delete_user, api.get_user))


def _project_things(connection: Any, _: str) -> list[Thing]:
    api = connection.identity
    try:
        return _things("project", api.projects(), (api.delete_project, api.get_project))
    except CLOUD_ERRORS as error:
        if status_of(error) == _FORBIDDEN:
            return []  # without the right to list projects there is none of ours: the canaries went into our own
        raise


def _left_by_services(connection: Any, project: Thing) -> list[Thing]:
    """Neutron gave the project a default security group, Nova and Neutron a row of quota: nobody else removes them."""
    network, key = connection.network, project.seen.id
    for forget in (connection.compute.revert_quota_set, network.delete_quota):
        with contextlib.suppress(*CLOUD_ERRORS):
            forget(key)
    groups: list[Any] = []
    with contextlib.suppress(*CLOUD_ERRORS):
        groups = [group for group in network.security_groups(project_id=key) if group.name == "default"]
    calls = (network.delete_security_group, network.get_security_group)
    return [Thing(Sight("default security group of", group.id, project.seen.name), *calls) for group in groups]


_OF_PROJECTS = (
    *(_server_things, _address_things, _router_things, _port_things, _network_things, _group_things, _key_things),
)
# Last of what is in a project, so that a write that was under way when its lane ended is over.
_WRITTEN = (_subnet_pool_things, _server_group_things, _image_things, _credential_things, _volume_things)
_MAY_BE_FORBIDDEN = (*_WRITTEN, _user_things)
_LISTINGS: tuple[Callable[[Any, str], list[Thing]], ...] = (*_OF_PROJECTS, *_WRITTEN, _user_things, _project_things)
