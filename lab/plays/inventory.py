"""The inventory as the reconciler left it: groups, hosts, and Ansible's host patterns.

Only what OSISM inventories use is understood: groups, ``children``, host names, and the patterns
``a``, ``a:b``, ``a,b``, ``!a``, ``&a``, ``a[0]``, ``all`` and shell wildcards.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path


class InventoryError(ValueError):
    """An inventory or a host pattern that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """Hosts of every group, children included, in the order of the inventory."""

    groups: dict[str, tuple[str, ...]]

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host, each once."""
        return tuple(dict.fromkeys(host for hosts in self.groups.values() for host in hosts))

    def groups_of(self, host: str) -> tuple[str, ...]:
        """Groups that hold a host, ``all`` excepted, sorted."""
        return tuple(sorted(group for group, hosts in self.groups.items() if host in hosts and group != "all"))

    def select(self, pattern: str) -> tuple[str, ...]:
        """Hosts that an Ansible pattern names.

        Raises:
            InventoryError: a part of the pattern matches neither a group nor a host.

        """
        parts = [part.strip() for part in re.split(r"[,:](?![^\[]*\])", pattern) if part.strip()]
        if not parts:
            return self.hosts
        added = [part for part in parts if part[0] not in "!&"] or ["all"]
        chosen = dict.fromkeys(host for part in added for host in self._match(part))
        for part in parts:
            if part[0] == "&":
                wanted = self._match(part[1:])
                chosen = {host: None for host in chosen if host in wanted}
        for part in parts:
            if part[0] == "!":
                for host in self._match(part[1:]):
                    chosen.pop(host, None)
        return tuple(host for host in self.hosts if host in chosen)

    def _match(self, name: str) -> tuple[str, ...]:
        index = re.fullmatch(r"(.+)\[(-?\d+)\]", name)
        if index:
            hosts = self._match(index[1])
            try:
                return (hosts[int(index[2])],)
            except IndexError:
                return ()
        if name in {"all", "*"}:
            return self.hosts
        if name in self.groups:
            return self.groups[name]
        matched = tuple(host for host in self.hosts if fnmatch.fnmatchcase(host, name))
        by_group = tuple(host for group in fnmatch.filter(self.groups, name) for host in self.groups[group])
        if not matched and not by_group:
            raise InventoryError(f"Specified hosts and/or --limit does not match any hosts: {name}")
        return tuple(dict.fromkeys(matched + by_group))


def from_tree(tree: dict[str, Any]) -> Inventory:
    """Resolve the nested form of an Ansible YAML inventory."""
    children: dict[str, list[str]] = {}
    direct: dict[str, list[str]] = {}

    def visit(name: str, node: dict[str, Any] | None) -> None:
        node = node or {}
        direct.setdefault(name, []).extend(node.get("hosts") or {})
        for child, below in (node.get("children") or {}).items():
            children.setdefault(name, []).append(child)
            visit(child, below)

    for name, node in tree.items():
        visit(name, node)

    def resolve(name: str, above: tuple[str, ...] = ()) -> list[str]:
        if name in above:
            raise InventoryError(f"Group {name} contains itself: {' -> '.join((*above, name))}")
        hosts = list(direct.get(name, []))
        for child in children.get(name, []):
            hosts += resolve(child, (*above, name))
        return list(dict.fromkeys(hosts))

    return Inventory({name: tuple(resolve(name)) for name in direct})


def read(path: Path) -> Inventory:
    """Read ``hosts.yml``.

    Raises:
        InventoryError: the file is missing or is no inventory.

    """
    try:
        tree = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise InventoryError(f"{path} is missing. Type: osism sync inventory") from None
    if not isinstance(tree, dict):
        raise InventoryError(f"{path} holds no groups. Type: osism sync inventory")
    return from_tree(tree)
