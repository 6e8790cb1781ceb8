"""Glance: in one go by default, or expand and migrate while stopped and contract afterwards.

kolla-ansible's default (``glance_enable_rolling_upgrade: no``) lets ``glance-manage db sync`` expand,
migrate and contract beside the running service and replaces the container then. With
``glance_enable_rolling_upgrade: yes`` the first host's service is stopped for expand and migrate.
Source: roles/glance/tasks/{upgrade,legacy_upgrade,rolling_upgrade}.yml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.plays.site import Site

CONTAINERS = ("glance_api",)
_MANAGE = "glance-manage --config-file /etc/glance/glance-api.conf db"


def upgrade(site: Site) -> None:
    """Upgrade the schema and replace the container, in the configured way."""
    if not site.begin("Apply role glance", "glance-api"):
        return
    if site.flag("glance_enable_rolling_upgrade", default=False):
        _rolling(site)
    else:
        _apply(site)


def deploy(site: Site) -> None:
    """Bring configuration, schema and container to the wanted state."""
    if site.begin("Apply role glance", "glance-api"):
        _apply(site)


def _apply(site: Site) -> None:
    site.config(CONTAINERS)
    replace = site.check_containers(CONTAINERS)
    site.trust_function_creators(enabled=True)
    site.database("Running Glance bootstrap container (sync)", "glance_api", f"{_MANAGE} sync")
    site.database("Running Glance bootstrap container (metadefs)", "glance_api", f"{_MANAGE} load_metadefs")
    site.trust_function_creators(enabled=False)
    site.restart(CONTAINERS, replace)


def _rolling(site: Site) -> None:
    first = site.hosts("glance-api")[:1]
    site.config(CONTAINERS)
    site.stop("glance_api", first)
    site.trust_function_creators(enabled=True)
    for phase in ("expand", "migrate"):
        site.database(f"Running Glance database {phase} container", "glance_api", f"{_MANAGE} {phase}")
    replace = site.check_containers(CONTAINERS)
    site.restart(CONTAINERS, replace | {(host, "glance_api") for host in first})
    site.database("Running Glance database contract container", "glance_api", f"{_MANAGE} contract")
    site.trust_function_creators(enabled=False)
