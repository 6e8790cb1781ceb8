"""Placement: schema first, then the container, then the online data migrations.

Source: roles/placement/tasks/upgrade.yml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.plays.site import Site

CONTAINERS = ("placement_api",)
_MANAGE = "placement-manage --config-file /etc/placement/placement.conf db"


def upgrade(site: Site) -> None:
    """Upgrade the schema, replace the container, migrate the data."""
    if _apply(site):
        site.database("Perform Placement online data migration", "placement_api", f"{_MANAGE} online_data_migrations")


def deploy(site: Site) -> None:
    """Bring configuration, schema and container to the wanted state."""
    _apply(site)


def _apply(site: Site) -> bool:
    if not site.begin("Apply role placement", "placement-api"):
        return False
    site.config(CONTAINERS)
    replace = site.check_containers(CONTAINERS)
    site.database("Running placement bootstrap container", "placement_api", f"{_MANAGE} sync")
    site.restart(CONTAINERS, replace)
    return True
