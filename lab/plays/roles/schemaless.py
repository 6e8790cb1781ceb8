"""Services without a schema of their own: containers are replaced in kolla's order and waited for.

Sources: roles/{common,memcached,openvswitch,ovn-controller,ovn-db,loadbalancer,mariadb,rabbitmq}.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lab import openvswitch as switch
from lab.plays.play import TaskFailed

if TYPE_CHECKING:
    from lab.plays.site import Site

_OVN_DATABASES = ("ovn_nb_db", "ovn_sb_db", "ovn_northd")


def _simple(site: Site, title: str, groups: tuple[str, ...], containers: tuple[str, ...]) -> None:
    if site.begin(title, *groups):
        site.config(containers)
        site.restart(containers, site.check_containers(containers))


def common(site: Site) -> None:
    """kolla_toolbox, then cron."""
    _simple(site, "Apply role common", ("kolla-toolbox", "cron"), ("kolla_toolbox", "cron"))


def memcached(site: Site) -> None:
    """One container; its content is lost, as every restart of memcached does."""
    _simple(site, "Apply role memcached", ("memcached",), ("memcached",))


def openvswitch(site: Site) -> None:
    """The database first; the switch only when the database answers."""
    if not site.begin("Apply role openvswitch", "openvswitch"):
        return
    containers = ("openvswitch_db", "openvswitch_vswitchd")
    site.config(containers)
    replace = site.check_containers(containers)
    site.restart(("openvswitch_db",), replace)
    site.wait_command(
        "Waiting for openvswitch_db service to be ready",
        "openvswitch_db",
        "ovs-vsctl --no-wait show",
        site.hosts_of(replace, "openvswitch_db"),
    )
    site.restart(("openvswitch_vswitchd",), replace)
    site.play.task(
        "openvswitch : Ensuring OVS bridges and OVN settings",
        site.hosts("openvswitch"),
        lambda host: switch.configure(site.run, host),
    )


def ovn(site: Site) -> None:
    """OVN's rule: controllers before the databases, northd last."""
    _simple(site, "Apply role ovn-controller", ("ovn-controller",), ("ovn_controller",))
    _simple(site, "Apply role ovn-db", ("ovn-nb-db", "ovn-sb-db", "ovn-northd"), _OVN_DATABASES)


def loadbalancer(site: Site) -> None:
    """HAProxy, then keepalived: the VIP goes with the latter and comes back."""
    if not site.begin("Apply role loadbalancer", "loadbalancer"):
        return
    containers = ("haproxy", "keepalived")
    site.config(containers)
    replace = site.check_containers(containers)
    site.restart(("haproxy",), replace)
    site.wait_port("Wait for master haproxy to start", site.hosts_of(replace, "haproxy"), "haproxy_monitor")
    site.restart(("keepalived",), replace)
    if replace:
        site.wait_vip("Wait for haproxy to listen on VIP", "loadbalancer")


def mariadb(site: Site) -> None:
    """The server is replaced and must take connections again before the play goes on."""
    if not site.begin("Apply role mariadb", "mariadb"):
        return
    site.config(("mariadb",))
    replace = site.check_containers(("mariadb",))
    site.restart(("mariadb",), replace)
    site.wait_port("Wait for MariaDB service port liveness", site.hosts_of(replace, "mariadb"), "mariadb")


def rabbitmq(site: Site) -> None:
    """Version check, feature flags, then the broker is stopped in good order and replaced."""
    if not site.begin("Apply role rabbitmq", "rabbitmq"):
        return
    _rabbitmq_version_check(site)
    site.config(("rabbitmq",))
    if site.action == "upgrade":
        site.each(
            "Enable all stable feature flags", "rabbitmq", "rabbitmqctl enable_feature_flag all", site.hosts("rabbitmq")
        )
    replace = site.check_containers(("rabbitmq",))
    hosts = site.hosts_of(replace, "rabbitmq")
    site.each(
        "Stop the RabbitMQ application if not in cluster",
        "rabbitmq",
        "rabbitmqctl stop_app",
        site.hosts_of(site.present(("rabbitmq",)) & replace, "rabbitmq"),
    )
    site.restart(("rabbitmq",), replace)
    site.wait_command(
        "Waiting for rabbitmq to start", "rabbitmq", "rabbitmqctl await_startup --timeout 60", hosts, within_s=120
    )


def _rabbitmq_version_check(site: Site) -> None:
    """RabbitMQ must not skip a minor release."""
    hosts = site.hosts("rabbitmq")
    if not hosts:
        return
    present = site.hosts_of(site.present(("rabbitmq",)), "rabbitmq")
    if hosts[0] not in present:
        return
    running = site.text("Get current RabbitMQ version", "rabbitmq", "rabbitmqctl version")
    new = site.reference(hosts[0], "rabbitmq").rpartition(":")[2]

    def check(_host: str) -> None:
        current, target = _minor(running), _minor(new)
        if target[0] == current[0] and target[1] > current[1] + 1:
            raise TaskFailed(
                f"You must first upgrade to {current[0]}.{current[1] + 1} before you can upgrade to {new}."
            )

    site.play.once("Check if running RabbitMQ is at most one version behind", hosts[0], check)


def _minor(version: str) -> tuple[int, int]:
    found = re.search(r"(\d+)\.(\d+)", version)
    if found is None:
        raise TaskFailed(f"RabbitMQ's version cannot be read from {version!r}")
    return int(found[1]), int(found[2])
