"""Nova: databases, global services, cells, computes, then the RPC pins and the online migrations.

Source: ansible/nova.yml and roles/{nova,nova-cell}. The plays come in kolla's order, and each goes over
the hosts of its groups that ``--limit`` leaves: with ``-l lab-compute-0`` only that host's containers
are replaced and restarted, and no database command runs.

The pins: a conductor that starts while a compute still runs the older release speaks the older RPC
version until it is restarted. Kolla restarts (it does not send SIGHUP) every service once the computes
have reported their new version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.plays.site import Site

GLOBAL = ("nova_scheduler", "nova_api", "nova_metadata")
CELL = ("nova_conductor", "nova_novncproxy", "nova_ssh", "nova_libvirt", "nova_compute")
#: nova_cell_services_require_nova_conf
RELOADED = ("nova_conductor", "nova_compute", "nova_novncproxy")
_GLOBAL_GROUPS = ("nova-api", "nova-scheduler", "nova-metadata")
_CELL_GROUPS = ("compute", "nova-conductor", "nova-novncproxy")
_MANAGE = "nova-manage"


def upgrade(site: Site) -> None:
    """All plays of ``nova.yml`` with ``kolla_action=upgrade``."""
    _bootstrap(site)
    if site.begin("Apply role nova", *_GLOBAL_GROUPS):
        site.config(GLOBAL)
        _upgrade_check(site)
        site.restart(GLOBAL, site.check_containers(GLOBAL))
    computes: tuple[str, ...] = ()
    if site.begin("Apply role nova-cell", *_CELL_GROUPS):
        site.config(CELL)
        replace = site.check_containers(CELL)
        site.restart(CELL, replace)
        computes = tuple(host for host, container in replace if container == "nova_compute")
        if computes:
            site.pause(
                "Wait for nova-compute services to update service versions",
                float(site.value("nova_compute_startup_delay", 30)),
            )
    if site.begin("Reload Nova cell services", *_CELL_GROUPS):
        site.restart(RELOADED, site.present(RELOADED), title="Reload nova cell services to remove RPC version cap")
    if site.begin("Reload global Nova API services", "nova-api", "nova-scheduler"):
        services = ("nova_scheduler", "nova_api")
        site.restart(services, site.present(services), title="Reload nova API services to remove RPC version pin")
    if site.begin("Run Nova API online data migrations", "nova-api"):
        site.database("Run Nova API online database migrations", "nova_api", f"{_MANAGE} db online_data_migrations")
    if site.begin("Run Nova cell online data migrations", "nova-conductor"):
        site.database(
            "Run Nova cell online database migrations", "nova_conductor", f"{_MANAGE} db online_data_migrations"
        )


def deploy(site: Site) -> None:
    """All plays of ``nova.yml`` with ``kolla_action=deploy`` or ``reconfigure``."""
    _bootstrap(site)
    if site.begin("Apply role nova", *_GLOBAL_GROUPS):
        site.config(GLOBAL)
        site.restart(GLOBAL, site.check_containers(GLOBAL))
    if site.begin("Apply role nova-cell", *_CELL_GROUPS):
        site.config(CELL)
        site.restart(CELL, site.check_containers(CELL))
        if site.hosts("compute"):
            site.answer(
                "Discover nova hosts", "nova_conductor", f"{_MANAGE} cell_v2 discover_hosts --by-service", ok=(0,)
            )


def _bootstrap(site: Site) -> None:
    if site.begin("Bootstrap nova API databases", "nova-api"):
        site.database("Running Nova API bootstrap container", "nova_api", f"{_MANAGE} api_db sync")
    if site.begin("Bootstrap nova cell databases", "nova-conductor"):
        site.database("Running Nova cell bootstrap container", "nova_conductor", f"{_MANAGE} db sync")


def _upgrade_check(site: Site) -> None:
    """``nova-status upgrade check``: 0 clean, 1 with warnings; everything else forbids the upgrade."""
    if site.hosts("nova-api"):
        site.database("Run Nova upgrade checks", "nova_api", "nova-status upgrade check", ok=(0, 1))
