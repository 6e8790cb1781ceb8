"""Keystone: expand and migrate before the new containers start, contract after them.

Source: roles/keystone/tasks/upgrade.yml and handlers/main.yml; the image's start script runs
``keystone-manage`` for KOLLA_UPGRADE and KOLLA_FINISH_UPGRADE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.plays.site import Site

CONTAINERS = ("keystone_ssh", "keystone_fernet", "keystone")
_MANAGE = "keystone-manage --config-file /etc/keystone/keystone.conf"


def upgrade(site: Site) -> None:
    """Upgrade the schema around the replacement of the containers."""
    if not site.begin("Apply role keystone", "keystone"):
        return
    site.config(CONTAINERS)
    replace = site.check_containers(CONTAINERS)
    site.trust_function_creators(enabled=True)
    for phase in ("expand", "migrate"):
        site.database(f"Init keystone database upgrade ({phase})", "keystone", f"{_MANAGE} db_sync --{phase}")
    site.restart(CONTAINERS, replace)
    site.database("Finish keystone database upgrade (contract)", "keystone", f"{_MANAGE} db_sync --contract")
    site.trust_function_creators(enabled=False)


def deploy(site: Site) -> None:
    """Bring configuration and containers to the wanted state; the schema is brought along."""
    if not site.begin("Apply role keystone", "keystone"):
        return
    site.config(CONTAINERS)
    replace = site.check_containers(CONTAINERS)
    site.database("Running Keystone bootstrap container", "keystone", f"{_MANAGE} db_sync")
    site.restart(CONTAINERS, replace)
