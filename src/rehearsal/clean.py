"""Removes from the cloud what rehearsals made there, also runs that died, knowing nothing but the cloud itself.

Invariant: only things whose name or description says that a rehearsal made them are touched. A thing that was asked to
go is looked at again: what is still there at the end is named.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.cloud import CLOUD_ERRORS
from rehearsal.cloud import sentence
from rehearsal.cloud import status_of
from rehearsal.naming import run_described
from rehearsal.naming import run_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable

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
class _Thing:
    """One object of a run: what it is, and the calls that remove it and look for it, both by `key`."""

    kind: str
    name: str
    key: str
    remove: Callable[..., object]
    look: Callable[[str], object]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def find_runs(connection: Any) -> dict[str, int]:
    """Return the runs that left something in this cloud, with how many things each. Raises what openstacksdk raises."""
    found: dict[str, int] = {}
    for project in _projects(connection, None):
        found[run_of(project.name)] = found.get(run_of(project.name), 0) + 1
    scope = [connection.session.get_project_id(), *(project.id for project in _projects(connection, None))]
    for project_id in scope:
        for each in (*_servers(connection, project_id), *connection.network.networks(project_id=project_id)):
            run = run_of(each.name)
            if run:
                found[run] = found.get(run, 0) + 1
    for user in connection.identity.users():
        if run_of(user.name):
            found[run_of(user.name)] = found.get(run_of(user.name), 0) + 1
    for listing in _WRITTEN:
        with contextlib.suppress(*CLOUD_ERRORS):  # not every cloud has the service, not every account may list there
            for thing in listing(connection, "", None):
                run = run_of(thing.name)
                found[run] = found.get(run, 0) + 1
    return dict(sorted(found.items()))


def clean(connection: Any, run: str | None, log: Callable[[str], None], *, wait_s: float = _WAIT_S) -> Cleaned:
    """Remove what `run` left in the cloud, or what every run left (None). Never raises because of the cloud.

    Servers first, then what they stood on, the project last; each group waits up to `wait_s` for the one before it.
    """
    cleaned = Cleaned()
    try:
        projects = _projects(connection, run)
        scope = [project.id for project in projects]
        scope.append(connection.session.get_project_id())
    except CLOUD_ERRORS as error:
        cleaned.left.append(f"everything: the cloud does not say what there is: {sentence(error)}")
        return cleaned
    listings: tuple[tuple[Callable[[Any, str, str | None], list[_Thing]], list[str]], ...] = (
        *((listing, scope) for listing in (_server_things, _address_things, _router_things, _port_things)),
        *((listing, scope) for listing in (_network_things, _group_things, _key_things)),
        # Last, so that a write that was under way when its lane ended is over.
        *((listing, [""]) for listing in _WRITTEN),
    )
    for listing, where in listings:
        things: list[_Thing] = []
        for project_id in dict.fromkeys(where):
            try:
                things += listing(connection, project_id, run)
            except CLOUD_ERRORS as error:
                if status_of(error) != _GONE and not (listing in _WRITTEN and status_of(error) == _FORBIDDEN):
                    cleaned.left.append(
                        f"{listing.__name__.strip('_').replace('_', ' ')}: cannot be listed: {sentence(error)}"
                    )
        _remove(things, cleaned, log, wait_s)
    _remove(_identity_things(connection, projects, run, cleaned), cleaned, log, wait_s)
    return cleaned


def _remove(things: Iterable[_Thing], cleaned: Cleaned, log: Callable[[str], None], wait_s: float) -> None:
    """Ask each to go, and again where something still stands in the way, until none is there or the time is up."""
    waiting = list(things)
    reasons: dict[_Thing, str] = {}
    asked: set[_Thing] = set()
    ends_s = time.monotonic() + wait_s
    while waiting:
        for thing in list(waiting):
            try:
                if thing not in asked:
                    thing.remove(thing.key, ignore_missing=False)
                    asked.add(thing)
                    log(f"removing {thing}")
                thing.look(thing.key)
                reasons[thing] = "it was asked to go and is still there"
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


def _ours(run: str | None, name: str | None, description: str | None = None) -> bool:
    made_by = run_of(name) or run_described(description)
    return bool(made_by) and run in (None, made_by)


def _projects(connection: Any, run: str | None) -> list[Any]:
    try:
        return [project for project in connection.identity.projects() if _ours(run, project.name)]
    except CLOUD_ERRORS as error:
        if status_of(error) == _FORBIDDEN:
            return []  # without the right to list projects there is none of ours: the canaries went into our own
        raise


def _servers(connection: Any, project_id: str) -> list[Any]:
    return list(connection.compute.servers(all_projects=True, project_id=project_id, name="^rehearse-"))


def _things(
    kind: str, found: Iterable[Any], run: str | None, calls: tuple[Callable[..., object], Callable[[str], object]]
) -> list[_Thing]:
    return [
        _Thing(kind, each.name or each.id, each.id, *calls)
        for each in found
        if _ours(run, each.name, getattr(each, "description", None))
    ]


def _server_things(connection: Any, project_id: str, run: str | None) -> list[_Thing]:
    api = connection.compute
    return _things("server", _servers(connection, project_id), run, (api.delete_server, api.get_server))


def _address_things(connection: Any, project_id: str, run: str | None) -> list[_Thing]:
    api = connection.network
    return _things("floating IP", api.ips(project_id=project_id), run, (api.delete_ip, api.get_ip))


def _router_things(connection: Any, project_id: str, run: str | None) -> list[_Thing]:
    api = connection.network

    def remove(router_id: str, *, ignore_missing: bool) -> None:
        for port in api.ports(device_id=router_id):
            if port.device_owner in _ROUTER_PORTS:
                api.remove_interface_from_router(router_id, port_id=port.id)
        api.delete_router(router_id, ignore_missing=ignore_missing)

    return _things("router", api.routers(project_id=project_id), run, (remove, api.get_router))


def _port_things(connection: Any, project_id: str, run: str | None) -> list[_Thing]:
    api = connection.network
    return _things("port", api.ports(project_id=project_id), run, (api.delete_port, api.get_port))


def _network_things(connection: Any, project_id: str, run: str | None) -> list[_Thing]:
    # Subnets and what Neutron put there itself (DHCP, metadata) go with the network.
    api = connection.network
    return _things("network", api.networks(project_id=project_id), run, (api.delete_network, api.get_network))


def _group_things(connection: Any, project_id: str, run: str | None) -> list[_Thing]:
    api = connection.network
    found = api.security_groups(project_id=project_id)
    return _things("security group", found, run, (api.delete_security_group, api.get_security_group))


def _key_things(connection: Any, project_id: str, run: str | None) -> list[_Thing]:
    if project_id != connection.session.get_project_id():
        return []  # key pairs belong to accounts, not to projects: ours are listed once
    api = connection.compute
    return _things("key pair", api.keypairs(), run, (api.delete_keypair, api.get_keypair))


# --- what the write lane left behind: found by name, wherever it is, also if its project is gone ----------------------


def _image_things(connection: Any, _: str, run: str | None) -> list[_Thing]:
    api = connection.image
    return _things("image", api.images(), run, (api.delete_image, api.get_image))


def _server_group_things(connection: Any, _: str, run: str | None) -> list[_Thing]:
    api = connection.compute
    found = api.server_groups(all_projects=True)
    return _things("server group", found, run, (api.delete_server_group, api.get_server_group))


def _credential_things(connection: Any, _: str, run: str | None) -> list[_Thing]:
    # A credential has no name: the write lane gives it as its type.
    api = connection.identity
    calls = (api.delete_credential, api.get_credential)
    return [_Thing("credential", each.type, each.id, *calls) for each in api.credentials() if _ours(run, each.type)]


def _subnet_pool_things(connection: Any, _: str, run: str | None) -> list[_Thing]:
    api = connection.network
    return _things("subnet pool", api.subnet_pools(), run, (api.delete_subnet_pool, api.get_subnet_pool))


def _volume_things(connection: Any, _: str, run: str | None) -> list[_Thing]:
    if not connection.has_service("block-storage"):
        return []
    api = connection.block_storage
    return _things("volume", api.volumes(all_projects=True), run, (api.delete_volume, api.get_volume))


_WRITTEN = (_subnet_pool_things, _server_group_things, _image_things, _credential_things, _volume_things)


def _identity_things(connection: Any, projects: list[Any], run: str | None, cleaned: Cleaned) -> list[_Thing]:
    api, network = connection.identity, connection.network
    things: list[_Thing] = []
    try:
        things += _things("user", api.users(), run, (api.delete_user, api.get_user))
    except CLOUD_ERRORS as error:
        if projects:
            cleaned.left.append(f"users: cannot be listed: {sentence(error)}")
    for project in projects:
        # Neutron gave the project a default security group, Nova and Neutron a row of quota: nobody else removes them.
        for forget in (connection.compute.revert_quota_set, network.delete_quota):
            with contextlib.suppress(*CLOUD_ERRORS):
                forget(project.id)
        groups: list[Any] = []
        with contextlib.suppress(*CLOUD_ERRORS):
            groups = [group for group in network.security_groups(project_id=project.id) if group.name == "default"]
        calls = (network.delete_security_group, network.get_security_group)
        things += [_Thing("default security group of", project.name, group.id, *calls) for group in groups]
        things.append(_Thing("project", project.name, project.id, api.delete_project, api.get_project))
    return things
