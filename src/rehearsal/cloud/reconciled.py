"""The inventory as the manager's containers have it: what `osism apply` really uses, if it can be asked.

Where it can be had it is the truth, for hosts and for their variables: the repository alone does not know what NetBox and
OSISM's images add, nor whether it was reconciled since it was changed. Nothing is lost if it cannot be asked: the
repository's files over OSISM's defaults stand in for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.cloud import managerfiles
from rehearsal.cloud.inventory import Inventory
from rehearsal.cloud.inventory import parse_data
from rehearsal.cloud.sshaccess import CONTAINERS
from rehearsal.cloud.target import Problem
from rehearsal.cloud.variables import parse_large

if TYPE_CHECKING:
    from collections.abc import Iterable

_CONTAINERS = ("osismclient", "kolla-ansible", "osism-ansible")
_PATH = "/ansible/inventory/hosts.yml"
SOURCE = CONTAINERS
_MOST_NAMED = 10


def ask() -> Inventory | None:
    """Return the merged inventory of the manager's containers, or None if there is none to be asked."""
    found = (parse(managerfiles.read(container, _PATH)) for container in _CONTAINERS)
    return next((inventory for inventory in found if inventory is not None), None)


def parse(text: str) -> Inventory | None:
    """Read an Ansible YAML inventory: its groups, children, hosts and variables. None if it is none."""
    data = parse_large(text)
    if not isinstance(data, dict) or not isinstance(data.get("all"), dict):
        return None
    inventory = parse_data({"all": data["all"]}, SOURCE)
    everything = inventory.groups.get("all")
    if everything is not None and not everything.variables and not everything.hosts:
        del inventory.groups["all"]
    return inventory if inventory.hosts() else None


def compare(repository: Iterable[str], reconciled: Iterable[str], file: str) -> list[Problem]:
    """Return a problem if the repository and the manager's containers do not know the same hosts."""
    mine, theirs = set(repository), set(reconciled)
    problems = []
    for hosts, sentence, remedy in (
        (
            sorted(mine - theirs),
            "in the repository, but the manager's containers do not know them",
            "Run `osism sync inventory`.",
        ),
        (
            sorted(theirs - mine),
            "known to the manager's containers only, not to the repository, and part of the cloud",
            "Nothing to do if they come from NetBox; if they were removed, run `osism sync inventory`.",
        ),
    ):
        if hosts:
            more = f" and {len(hosts) - _MOST_NAMED} more" if len(hosts) > _MOST_NAMED else ""
            named = ", ".join(hosts[:_MOST_NAMED])
            problems.append(
                Problem(
                    f"{named}{more} {'is' if len(hosts) == 1 else 'are'} {sentence}.", file, remedy, severity="warning"
                )
            )
    return problems
