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

from lab import layout, releases
from lab.plays import inventory as inventories
from lab.plays import remote, variables
from lab.plays.play import ERROR, Play, PlayEnded
from lab.plays.roles import defaults, glance, infrastructure, keystone, neutron, nova, placement
from lab.plays.site import Site

CONFIGURATION = Path("/opt/configuration")
INVENTORY = Path("/ansible/inventory")

#: OSISM's worker drops what is still in the pipe when the run script ends; this lets it catch up.
LAST_WORDS_S = 0.5

Role = Callable[[Site], None]

_DEPLOY: dict[str, Role] = {
    "common": infrastructure.common,
    "loadbalancer": infrastructure.loadbalancer,
    "memcached": infrastructure.memcached,
    "mariadb": infrastructure.mariadb,
    "openvswitch": infrastructure.openvswitch,
    "ovn": infrastructure.ovn,
    "rabbitmq": infrastructure.rabbitmq,
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


def role_function(role: str, action: str) -> Role:
    """Find what an action of a role does.

    Raises:
        SystemExit: role or action are not known here.

    """
    if role not in _DEPLOY:
        raise SystemExit(f"ERROR: service {role} in environment kolla not available")
    if action in {"deploy", "reconfigure", "bootstrap"}:
        return _DEPLOY[role]
    if action == "upgrade":
        return _UPGRADE[role]
    if action in _ALIKE:
        return _ALIKE[action]
    raise SystemExit(f"ERROR: action {action} of service {role} not available")


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


def _apply(options: argparse.Namespace) -> int:
    reason = locked(CONFIGURATION)
    if reason:
        print(reason)
        return ERROR
    try:
        extra = variables.command_line(options.extra_vars)
        action = str(extra.get("kolla_action", "deploy"))
        function = role_function(options.role, action)
        hosts = inventories.read(INVENTORY / "hosts.yml")
        limit = hosts.select(options.limit)

        @functools.cache
        def merged(host: str) -> variables.Variables:
            return variables.merge(INVENTORY, CONFIGURATION, hosts.groups_of(host), host, extra)

        if not limit:
            print("ERROR! Specified hosts and/or --limit does not match any hosts")
            return ERROR
        name = str(merged(limit[0]).get("openstack_version", ""))
        if name not in releases.RELEASES:
            print(f"ERROR! openstack_version {name!r} is not available. Type: osism sync inventory")
            return ERROR
    except (inventories.InventoryError, variables.VariableError) as error:
        print(f"ERROR! {error}")
        return ERROR
    except SystemExit as error:
        print(error.code)
        return ERROR
    ssh = remote.Ssh(address_of=lambda host: str(merged(host)["ansible_host"]))
    play = Play(limit, forks=options.forks)
    site = Site(options.role, action, hosts, merged, ssh, play, releases.RELEASES[name], layout.state())
    try:
        function(site)
    except PlayEnded:
        pass
    except variables.VariableError as error:
        print(f"ERROR! {error}")
        return ERROR
    finally:
        code = play.recap()
        ssh.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
