"""What every role does alike: pull, precheck, config, refresh-containers, stop."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from lab import catalogue
from lab import layout
from lab.plays.play import TaskFailed

if TYPE_CHECKING:
    from lab.plays.site import Site

_PORTS = {
    "haproxy": layout.HAPROXY_STATS_PORT,
    "keystone": layout.API_PORTS["keystone"],
    "placement_api": layout.API_PORTS["placement_api"],
    "glance_api": layout.API_PORTS["glance_api"],
    "neutron_server": layout.API_PORTS["neutron_server"],
    "nova_api": layout.API_PORTS["nova_api"],
    "mariadb": layout.DATABASE_PORT,
    "rabbitmq": layout.RABBITMQ_PORT,
    "memcached": layout.MEMCACHED_PORT,
}


def names(site: Site) -> tuple[str, ...]:
    """Containers of the role on the release that the inventory asks for."""
    return tuple(container.name for container in catalogue.containers(site.release.name, service=site.role))


def _begin(site: Site) -> tuple[str, ...]:
    chosen = names(site)
    groups = dict.fromkeys(catalogue.container(name).group for name in chosen)
    return chosen if site.begin(f"Apply role {site.role}", *groups) else ()


def pull(site: Site) -> None:
    """Make every image of the role available on its hosts; nothing is restarted."""
    site.pull(_begin(site))


def config(site: Site) -> None:
    """Write configuration files; nothing is restarted."""
    site.config(_begin(site))


def refresh_containers(site: Site) -> None:
    """Pull, then replace what is on another image; no schema, no configuration."""
    chosen = _begin(site)
    site.pull(chosen)
    site.restart(chosen, site.check_containers(chosen))


def stop(site: Site) -> None:
    """Stop every container of the role that exists."""
    chosen = _begin(site)
    present = site.present(chosen)
    for name in chosen:
        site.stop(name, site.hosts_of(present, name))


def precheck(site: Site) -> None:
    """Docker answers, images resolve, ports of missing containers are free."""
    chosen = _begin(site)
    if not chosen:
        return
    hosts = tuple(dict.fromkeys(host for host, _ in sorted(site.places(chosen))))
    site.play.task(
        f"{site.role} : Checking the Docker engine",
        hosts,
        lambda host: bool(site.run(host, ["docker", "version", "--format", "{{.Server.Version}}"]) and None),
    )

    def resolve(host: str) -> None:
        for name in chosen:
            if (host, name) in site.places([name]):
                site.reference(host, name)

    site.play.task(f"{site.role} : Checking image references", hosts, resolve)
    present = site.present(chosen)
    for name in chosen:
        if name in _PORTS:
            missing = tuple(host for host in site.hosts_of(site.places([name]), name) if (host, name) not in present)
            site.play.task(
                f"{site.role} : Checking free port for {name}",
                missing,
                lambda host, name=name: _free(str(site.variables(host)["ansible_host"]), _PORTS[name]),  # type: ignore[misc]
            )


def _free(address: str, port: int) -> None:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return
    raise TaskFailed(f"Port {port} on {address} is taken although the container does not exist")
