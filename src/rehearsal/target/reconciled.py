"""The inventory as the manager's containers have it: what `osism apply` really uses, if it can be asked.

It is asked because the repository alone does not know what OSISM's images add, nor whether it was reconciled since it was
changed. Nothing is lost if it cannot be asked: the repository's files over OSISM's defaults stand in for it.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING
from typing import Any

import yaml

from rehearsal.target.inventory import Group
from rehearsal.target.inventory import Inventory
from rehearsal.target.model import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

_CONTAINERS = ("osismclient", "kolla-ansible", "osism-ansible")
_PATH = "/ansible/inventory/hosts.yml"
_ASK_TIMEOUT_S = 30


def ask() -> Inventory | None:
    """Return the merged inventory of the manager's containers, or None if there is none to be asked."""
    docker = shutil.which("docker")
    if docker is None:
        return None
    for container in _CONTAINERS:
        try:
            done = subprocess.run(
                [docker, "exec", container, "cat", _PATH],
                capture_output=True,
                text=True,
                timeout=_ASK_TIMEOUT_S,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
            return None
        if done.returncode == 0:
            found = parse(done.stdout)
            if found is not None:
                return found
    return None


def parse(text: str) -> Inventory | None:
    """Read an Ansible YAML inventory: its groups, children and hosts. None if it is none."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        data = yaml.load(text, Loader=_tolerant(loader))  # noqa: S506 - a safe loader that ignores unknown tags
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get("all"), dict):
        return None
    inventory = Inventory()
    _read_group(inventory, "all", data["all"])
    inventory.groups.pop("all", None)
    return inventory if inventory.hosts() else None


def _tolerant(loader: Any) -> Any:
    class Tolerant(loader):  # type: ignore[misc]
        """`!vault` and other tags of Ansible stand for values that are not needed here."""

    Tolerant.add_multi_constructor("!", lambda _loader, _suffix, _node: None)
    return Tolerant


def _read_group(inventory: Inventory, name: str, content: Any) -> None:
    group = inventory.groups.setdefault(name, Group(files=[_PATH]))
    if not isinstance(content, dict):
        return
    hosts = content.get("hosts")
    if isinstance(hosts, dict):
        group.hosts = list(dict.fromkeys([*group.hosts, *map(str, hosts)]))
    children = content.get("children")
    if isinstance(children, dict):
        group.children = list(dict.fromkeys([*group.children, *map(str, children)]))
        for child, inner in children.items():
            _read_group(inventory, str(child), inner)


def compare(repository: Iterable[str], reconciled: Iterable[str], file: str) -> list[Problem]:
    """Return a problem if the repository and the manager's containers do not know the same hosts."""
    mine, theirs = set(repository), set(reconciled)
    problems = []
    for hosts, sentence in (
        (sorted(mine - theirs), "are in the repository, but the manager's containers do not know them"),
        (sorted(theirs - mine), "are known to the manager's containers, but the repository does not have them"),
    ):
        if hosts:
            problems.append(
                Problem(f"{', '.join(hosts)} {sentence}.", file, "Run `osism sync inventory`.", severity="warning")
            )
    return problems
