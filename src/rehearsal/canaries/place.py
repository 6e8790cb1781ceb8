"""Where canaries live: a project of their own, with an ordinary user and the operator's key."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.canaries.model import Author
from rehearsal.canaries.model import CanaryError
from rehearsal.cloud.connection import CLOUD_ERRORS
from rehearsal.cloud.connection import sentence
from rehearsal.cloud.connection import status_of
from rehearsal.outside import redact
from rehearsal.recording.naming import description_of
from rehearsal.recording.naming import name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rehearsal.canaries.ledger import Ledger
    from rehearsal.canaries.model import Wish

_FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything is made: connections scoped to the project, one as administrator, one as an ordinary user."""

    run: str
    project_id: str
    admin: Any
    user: Any
    log: Callable[[str], None]


def author(place: Place) -> Author | None:
    """Return as whom to write there; None if there is no ordinary user."""
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


def make_place(connection: Any, run: str, log: Callable[[str], None], ledger: Ledger) -> Place:
    """A project and an ordinary user of its own; without the right to make them, the administrator's own project.

    What is made through the place's connections is noted in the ledger.
    """
    own_project = connection.session.get_project_id()
    connection = ledger.watching(connection, own_project)
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
        admin = ledger.watching(connection.connect_as(project_id=project.id), project.id)
        user = ledger.watching(_make_user(connection, run, project, roles), project.id)
    except CLOUD_ERRORS as error:
        if status_of(error) != _FORBIDDEN:
            raise
        log(f"no right to make a project ({sentence(error)}): the canaries go into the administrator's own")
        return Place(run, own_project, connection, connection, log)
    _widen_quota(connection, project.id, log)
    return Place(run, project.id, admin, user, log)


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


def make_key(place: Place, wish: Wish) -> str:
    """The operator's public key, under the run's name, with the account that makes the servers."""
    if not wish.public_key:
        return ""
    name = name_of(place.run, "key")
    try:
        if not any(pair.name == name for pair in place.admin.compute.keypairs()):
            place.admin.compute.create_keypair(name=name, public_key=wish.public_key)
    except CLOUD_ERRORS as error:
        place.log(f"logging in to the canaries will not be possible, nova does not accept the key: {sentence(error)}")
        return ""
    return name
