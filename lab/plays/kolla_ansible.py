"""The program behind ``/run.sh`` of the kolla-ansible container.

``/run.sh deploy ROLE -e kolla_action=ACTION [-l HOSTS] [-e NAME=VALUE …]``, as OSISM's worker calls it.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lab import layout
from lab import releases
from lab.plays import inventory as inventories
from lab.plays import remote
from lab.plays import variables
from lab.plays.play import ERROR
from lab.plays.play import Play
from lab.plays.play import PlayEnded
from lab.plays.roles import defaults
from lab.plays.roles import glance
from lab.plays.roles import keystone
from lab.plays.roles import neutron
from lab.plays.roles import nova
from lab.plays.roles import placement
from lab.plays.roles import schemaless
from lab.plays.site import Site

CONFIGURATION = Path("/opt/configuration")
INVENTORY = Path("/ansible/inventory")

#: OSISM's worker drops what is still in the pipe when the run script ends; this lets it catch up.
LAST_WORDS_S = 0.5

Role = Callable[[Site], None]

_DEPLOY: dict[str, Role] = {
    "common": schemaless.common,
    "loadbalancer": schemaless.loadbalancer,
    "memcached": schemaless.memcached,
    "mariadb": schemaless.mariadb,
    "openvswitch": schemaless.openvswitch,
    "ovn": schemaless.ovn,
    "rabbitmq": schemaless.rabbitmq,
    "keystone": keystone.deploy,
    "placement": placement.deploy,
    "glance": glance.deploy,
    "neutron": neutron.deploy,
    "nova": nova.deploy,
}
_UPGRADE: dict[str, Role] = _DEPLOY | {
    "keystone": keystone.upgrade,
    "placement": placement.upgrade,
    "glance": glance.upgrade,
    "neutron": neutron.upgrade,
    "nova": nova.upgrade,
}
_ALIKE: dict[str, Role] = {
    "config": defaults.config,
    "precheck": defaults.precheck,
    "pull": defaults.pull,
    "refresh-containers": defaults.refresh_containers,
    "stop": defaults.stop,
}


def role_function(role: str, action: str) -> Role | None:
    """Find what an action of a role does; None when role or action are not known here."""
    if role not in _DEPLOY:
        return None
    if action in {"deploy", "reconfigure", "bootstrap"}:
        return _DEPLOY[role]
    return _UPGRADE[role] if action == "upgrade" else _ALIKE.get(action)


def locked(configuration: Path) -> str | None:
    """Say why the configuration repository forbids plays; None when it does not."""
    if (configuration / "environments" / ".lock").exists():
        return "The configuration repository is locked."
    if (configuration / "environments" / "kolla" / ".lock").exists():
        return "The environment kolla is locked. The configuration repository is not locked."
    return None


def main(arguments: list[str] | None = None) -> int:
    """Apply one role; the exit code is Ansible's."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        return _apply(_parse(sys.argv[1:] if arguments is None else arguments))
    finally:
        sys.stdout.flush()
        time.sleep(LAST_WORDS_S)


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run.sh", allow_abbrev=False)
    parser.add_argument("command", choices=["deploy"])
    parser.add_argument("role")
    parser.add_argument("-e", "--extra-vars", action="append", default=[])
    parser.add_argument("-l", "--limit", default="")
    parser.add_argument("-f", "--forks", type=int, default=5)
    parser.add_argument("-v", dest="verbosity", action="count", default=0)
    return parser.parse_args(words)


class _RefusedError(Exception):
    """The play cannot begin; the message is what Ansible would print."""


def _apply(options: argparse.Namespace) -> int:
    try:
        function, site = _prepare(options)
    except (_RefusedError, inventories.InventoryError, variables.VariableError) as error:
        print(error)
        return ERROR
    failed_early = False
    try:
        function(site)
    except PlayEnded:
        pass
    except variables.VariableError as error:
        print(f"ERROR! {error}")
        failed_early = True
    finally:
        code = site.play.recap()
        if isinstance(site.run, remote.Ssh):
            site.run.close()
    return ERROR if failed_early else code


def _prepare(options: argparse.Namespace) -> tuple[Role, Site]:
    """Everything that can be wrong before the first task."""
    reason = locked(CONFIGURATION)
    if reason:
        raise _RefusedError(reason)
    extra = variables.command_line(options.extra_vars)
    action = str(extra.get("kolla_action", "deploy"))
    function = role_function(options.role, action)
    if function is None:
        raise _RefusedError(f"ERROR: action {action} of service {options.role} in environment kolla not available")
    hosts = inventories.read(INVENTORY / "hosts.yml")
    limit = hosts.select(options.limit)
    if not limit:
        raise _RefusedError("ERROR! Specified hosts and/or --limit does not match any hosts")

    @functools.cache
    def merged(host: str) -> variables.Variables:
        return variables.merge(INVENTORY, CONFIGURATION, hosts.groups_of(host), host, extra)

    name = str(merged(limit[0]).get("openstack_version", ""))
    if name not in releases.RELEASES:
        raise _RefusedError(f"ERROR! openstack_version {name!r} is not available. Type: osism sync inventory")
    site = Site(
        role=options.role,
        action=action,
        inventory=hosts,
        variables=merged,
        run=remote.Ssh(address_of=lambda host: str(merged(host)["ansible_host"])),
        play=Play(limit, forks=options.forks),
        release=releases.RELEASES[name],
        state=layout.state(),
    )
    return function, site


if __name__ == "__main__":
    sys.exit(main())
