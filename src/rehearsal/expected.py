"""What a release expects: which containers, from which image, on which host. Pure functions over a table and a target.

The table is `expected.yml`. Tags come from the target's versions file, by the chain that OSISM itself uses: variable of
the service, else the OpenStack release.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING
from typing import Any

import yaml

if TYPE_CHECKING:
    from rehearsal.target.model import Release
    from rehearsal.target.model import Target


@dataclass(frozen=True, slots=True)
class ExpectedContainer:
    """A container that should run on a host. `image` is the whole reference; `health`: it has a health check."""

    host: str
    container: str
    role: str
    group: str
    image: str
    health: bool


@dataclass(frozen=True, slots=True)
class _Row:
    role: str
    container: str
    image: str
    variable: str
    group: str
    health: bool
    conditions: tuple[str, ...]


@functools.cache
def _table() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(resources.files("rehearsal").joinpath("expected.yml").read_text())
    return data


@functools.cache
def _rows() -> tuple[_Row, ...]:
    return tuple(
        _Row(role, name, row[0], f"kolla_{row[1]}_version", row[2], bool(row[3]), tuple(row[4:]))
        for role, containers in _table()["roles"].items()
        for name, row in containers.items()
    )


def container_names() -> set[str]:
    """Return the names of all containers that are known."""
    return {row.container for row in _rows()}


def roles() -> tuple[str, ...]:
    """Return the roles that are known, in the table's order."""
    return tuple(_table()["roles"])


def is_leftover(container: str) -> bool:
    """Return whether this is one of the one-shot containers that kolla leaves behind."""
    return any(re.fullmatch(pattern, container) for pattern in _table()["leftovers"])


def release_key(release: str) -> tuple[int, ...]:
    """Return what orders releases by time: 2024.2 before 2025.1; an unknown form comes last."""
    parts = re.fullmatch(r"(\d{4})\.(\d)", release)
    return (int(parts[1]), int(parts[2])) if parts else (9999, 9)


def is_enabled(flag: str, target: Target, release: str) -> bool:
    """Return `enable_<flag>`: as the configuration says, else as kolla and OSISM default it for this release."""
    if flag in target.enabled:
        return target.enabled[flag]
    default = _table()["flags"].get(flag, False)
    if isinstance(default, bool):
        return default
    if default.startswith(("since ", "until ")):
        return _holds(default, target, release)
    return is_enabled(default, target, release)


def _holds(condition: str, target: Target, release: str) -> bool:
    word, _, rest = condition.partition(" ")
    if word == "since":
        return release_key(release) >= release_key(rest)
    if word == "until":
        return release_key(release) <= release_key(rest)
    if word == "not":
        return not is_enabled(rest, target, release)
    return is_enabled(condition, target, release)


def expected_containers(
    target: Target, release: Release | None = None, *, containers: list[str] | None = None
) -> tuple[ExpectedContainer, ...]:
    """Return every container that the release expects on every host, sorted by host and name.

    `release` defaults to what the target claims; `containers` restricts to these names (a step's).
    """
    claimed = release or target.release
    found = []
    flags = _table()["flags"]
    for row in _rows():
        if containers is not None and row.container not in containers:
            continue
        if row.role in flags and not is_enabled(row.role, target, claimed.openstack):
            continue
        if not all(_holds(condition, target, claimed.openstack) for condition in row.conditions):
            continue
        image = reference(claimed, row.image, row.variable)
        found += [
            ExpectedContainer(host.name, row.container, row.role, row.group, image, row.health)
            for host in target.in_group(row.group)
        ]
    return tuple(sorted(found, key=lambda item: (item.host, item.container)))


def reference(release: Release, image: str, variable: str) -> str:
    """Return the whole image reference: registry/namespace/image:tag; the image's name follows the release."""
    if image == "prometheus-server" and release_key(release.openstack) < release_key("2025.1"):
        image = "prometheus-v2-server"  # osism/defaults gates this name by release
    tag = release.versions.get(variable) or release.versions.get("openstack_version") or release.openstack
    prefix = f"{release.registry}/" if release.registry else ""
    return f"{prefix}{release.namespace}/{image}:{tag}"
