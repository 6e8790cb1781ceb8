"""What the lab consists of: nodes, addresses, ports, inventory groups, paths. Pure data, no side effects.

The shape is that of an OSISM cloud with one manager, one control node and two compute nodes. The compute nodes are also
the network nodes (gateway chassis of OVN). Nothing has a default route or a nameserver; names come from /etc/hosts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE_VARIABLE = "REHEARSE_LAB_STATE"
DEFAULT_STATE = Path("/var/lib/rehearse-lab")

OPERATOR = "dragon"
"""The operator's account on every node, as on OSISM; the key for it lies on the manager."""
OPERATOR_ID = 45000

REGION = "RegionOne"
DOMAIN = "lab.test"
INTERNAL_NAME = f"api-int.{DOMAIN}"
EXTERNAL_NAME = f"api.{DOMAIN}"
INTERNAL_VIP = "10.77.0.9"
EXTERNAL_VIP = "10.77.0.254"

PROVIDER_NETWORK = "10.78.0.0/24"
PROVIDER_GATEWAY = "10.78.0.1"
"""The manager's address on the provider network: floating IPs are reached from there."""
PROVIDER_POOL = ("10.78.0.100", "10.78.0.199")
PROVIDER_NETWORK_V6 = "fd78::/64"
PROVIDER_GATEWAY_V6 = "fd78::1"
ROUTER_V6 = "fd78::100"
"""The only address that a router to the outside can get: so the way to the guests' prefixes is known, as a static route
of an upstream router is. A second router at the same time gets none."""
GUEST_PREFIXES_V6 = "fd79::/48"
"""What users' networks get their prefixes from, unique local addresses that no other network routes."""
PHYSICAL_NETWORK = "physnet1"
MANAGEMENT_INTERFACE = "mgmt"
PROVIDER_INTERFACE = "prov"
TUNNEL_INTERFACE = "tun"
TUNNEL_MTU_BYTES = 1600


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the lab. `provider` and `tunnel` are None where the node has no such interface."""

    name: str
    management: str
    provider: str | None = None
    tunnel: str | None = None
    provider_port: bool = False
    """An interface on the provider network without an address: the uplink of the node's bridge br-ex."""


MANAGER = Node("lab-manager", "10.77.0.5", provider=PROVIDER_GATEWAY)
CONTROL = Node("lab-control-0", "10.77.0.10")
COMPUTES = (
    Node("lab-compute-0", "10.77.0.11", tunnel="10.79.0.11", provider_port=True),
    Node("lab-compute-1", "10.77.0.12", tunnel="10.79.0.12", provider_port=True),
)
NODES: tuple[Node, ...] = (MANAGER, CONTROL, *COMPUTES)
FABRIC = "fabric"
"""The hidden namespace that holds the switches. It is no node: nothing but bridges lives there."""

# Inventory groups of OSISM (20-roles) and of kolla (50-51), reduced to what the lab's services use.
_CONTROL = (CONTROL.name,)
_COMPUTE = tuple(node.name for node in COMPUTES)
GROUPS: Mapping[str, tuple[str, ...]] = {
    "manager": (MANAGER.name,),
    "monitoring": (MANAGER.name,),
    "control": _CONTROL,
    "compute": _COMPUTE,
    "network": _COMPUTE,
    "storage": _CONTROL,
    "generic": tuple(node.name for node in NODES),
    "common": (*_CONTROL, *_COMPUTE),
    "cron": (*_CONTROL, *_COMPUTE),
    "kolla-toolbox": (*_CONTROL, *_COMPUTE),
    "loadbalancer": _CONTROL,
    "memcached": _CONTROL,
    "mariadb": _CONTROL,
    "rabbitmq": _CONTROL,
    "openvswitch": _COMPUTE,
    "ovn-controller": _COMPUTE,
    "ovn-database": _CONTROL,
    "ovn-nb-db": _CONTROL,
    "ovn-sb-db": _CONTROL,
    "ovn-northd": _CONTROL,
    "keystone": _CONTROL,
    "placement-api": _CONTROL,
    "glance-api": _CONTROL,
    "neutron-server": _CONTROL,
    "neutron-ovn-metadata-agent": _COMPUTE,
    "nova-api": _CONTROL,
    "nova-metadata": _CONTROL,
    "nova-scheduler": _CONTROL,
    "nova-conductor": _CONTROL,
    "nova-novncproxy": _CONTROL,
}

API_PORTS: Mapping[str, int] = {
    "keystone": 5000,
    "nova_api": 8774,
    "nova_metadata": 8775,
    "placement_api": 8780,
    "glance_api": 9292,
    "neutron_server": 9696,
    "nova_novncproxy": 6080,
}
"""HAProxy's listeners with TLS, by kolla's name of the listener. Back ends use the same port on the node's own address."""
DATABASE_PORT = 3306
RABBITMQ_PORT = 5672
MEMCACHED_PORT = 11211
OVN_NB_PORT = 6641
OVN_SB_PORT = 6642
OVSDB_PORT = 6640
LIBVIRT_PORT = 16509
NOVA_SSH_PORT = 8022
HAPROXY_STATS_PORT = 1984
HAPROXY_MONITOR_PORT = 61313


def node(name: str) -> Node:
    """The node of that name. KeyError names the nodes there are."""
    for candidate in NODES:
        if candidate.name == name:
            return candidate
    raise KeyError(f"no node {name!r}; there are {', '.join(n.name for n in NODES)}")


def hosts_file(own_name: str) -> str:
    """/etc/hosts of a node: every name of the lab, since there is no nameserver."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost"]
    # The short name first: it is what libvirt reports as the hypervisor's name, and what `osism manage compute` looks for.
    lines += [f"{n.management} {n.name} {n.name}.{DOMAIN}" for n in NODES]
    lines += [f"{INTERNAL_VIP} {INTERNAL_NAME}", f"{EXTERNAL_VIP} {EXTERNAL_NAME}"]
    if own_name == MANAGER.name:
        lines.append(f"{MANAGER.management} redis manager-redis")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class State:
    """The lab's directory: everything the lab ever writes on the machine lies below `root`.

    It is bound at its own path in every node and read-only in every container (the part `venvs`), so that a path means
    the same thing everywhere.
    """

    root: Path

    @property
    def cache(self) -> Path:
        """Survives `down`: uv, its cache, the database template."""
        return self.root / "cache"

    @property
    def venvs(self) -> Path:
        """Virtual environments, one per lock file: `<release>-<hash>`."""
        return self.root / "venvs"

    @property
    def registry(self) -> Path:
        """Images as `docker import` tarballs with their metadata; the lab's registry.osism.tech."""
        return self.root / "registry"

    @property
    def template(self) -> Path:
        """A freshly bootstrapped database with keys, to start from."""
        return self.cache / "template"

    @property
    def passwords(self) -> Path:
        """Generated secrets (mode 0600); lab.passwords reads it."""
        return self.root / "passwords.json"

    @property
    def versions(self) -> Path:
        """Versions of what is installed, per release and image; lab.releases reads it."""
        return self.root / "versions.json"

    @property
    def pki(self) -> Path:
        """The lab's own CA, the VIP's certificate, the operator's key."""
        return self.root / "pki"

    @property
    def nodes(self) -> Path:
        """What the nodes have on disk; removed by `down`."""
        return self.root / "nodes"

    @property
    def run(self) -> Path:
        """Process ids of what runs; removed by `down`."""
        return self.root / "run"

    @property
    def log(self) -> Path:
        """Logs of `up` itself and of the keepers."""
        return self.root / "log"

    def node_root(self, name: str) -> Path:
        """Where the private parts of a node's file system lie (var, etc, home …)."""
        return self.nodes / name


def state() -> State:
    """The state directory in force: $REHEARSE_LAB_STATE or /var/lib/rehearse-lab."""
    return State(Path(os.environ.get(STATE_VARIABLE) or DEFAULT_STATE).resolve())
