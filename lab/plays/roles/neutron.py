"""Neutron: expand, new containers, then contract; servers are stopped when contract has work to do.

Source: roles/neutron/tasks/{upgrade,rolling_upgrade}.yml. ``has_offline_migrations`` answers with its
exit code: 0 nothing to contract, 1 contract scripts are pending.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.plays.site import Site

CONTAINERS = ("neutron_server", "neutron_ovn_metadata_agent")
_MANAGE = (
    "neutron-db-manage --config-file /etc/neutron/neutron.conf "
    "--config-file /etc/neutron/plugins/ml2/ml2_conf.ini --subproject neutron"
)


def upgrade(site: Site) -> None:
    """Upgrade the schema around the replacement of servers and agents."""
    if not site.begin("Apply role neutron", "neutron-server", "neutron-ovn-metadata-agent"):
        return
    site.config(CONTAINERS)
    replace = site.check_containers(CONTAINERS)
    site.database("Running Neutron database expand container", "neutron_server", f"{_MANAGE} upgrade --expand")
    site.restart(CONTAINERS, replace)
    servers = site.hosts("neutron-server")
    if not servers:
        return
    pending = site.answer(
        "Checking neutron pending contract scripts", "neutron_server", f"{_MANAGE} has_offline_migrations"
    )
    stopped = servers if pending else ()
    site.stop("neutron_server", stopped, title="Stopping all neutron-server for contract db")
    site.database("Running Neutron database contract container", "neutron_server", f"{_MANAGE} upgrade --contract")
    site.restart(CONTAINERS[:1], {(host, "neutron_server") for host in stopped})


def deploy(site: Site) -> None:
    """Bring configuration, schema and containers to the wanted state."""
    if not site.begin("Apply role neutron", "neutron-server", "neutron-ovn-metadata-agent"):
        return
    site.config(CONTAINERS)
    replace = site.check_containers(CONTAINERS)
    site.database("Running Neutron bootstrap container", "neutron_server", f"{_MANAGE} upgrade heads")
    site.restart(CONTAINERS, replace)
