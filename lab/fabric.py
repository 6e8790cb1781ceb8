"""The networks between the nodes: three switches in a hidden namespace, virtual cables to the nodes, addresses.

Management (API, database, SSH), provider (floating IPs, reached from the manager) and tunnel (geneve between the compute
nodes). Nothing is ever created in the machine's own network namespace, so nothing can be left behind there.
"""

from __future__ import annotations

import subprocess

from lab import layout
from lab import nodes

_SWITCHES = {layout.MANAGEMENT_INTERFACE: "brm", layout.PROVIDER_INTERFACE: "brp", layout.TUNNEL_INTERFACE: "brt"}


def _in_namespace(pid: int, script: str) -> None:
    subprocess.run(
        ["/usr/bin/nsenter", "-t", str(pid), "-n", "/bin/sh", "-ec", script], check=True, capture_output=True, text=True
    )


def connect(state: layout.State) -> None:
    """Makes the switches and whatever cable or address is missing."""
    fabric = nodes.start(state, layout.FABRIC)
    script = ""
    for switch in _SWITCHES.values():
        script += f"ip link show {switch} >/dev/null 2>&1 || ip link add {switch} type bridge; ip link set {switch} mtu {layout.TUNNEL_MTU_BYTES if switch == 'brt' else 1500} up\n"
    _in_namespace(fabric, script)
    for number, node in enumerate(layout.NODES):
        pid = nodes.keeper_pid(state, node.name)
        if pid is None:
            raise nodes.NodeError(f"node {node.name} does not run")
        _cable(pid, fabric, number, layout.MANAGEMENT_INTERFACE, f"{node.management}/24")
        if node.provider or node.provider_port:
            _cable(pid, fabric, number, layout.PROVIDER_INTERFACE, f"{node.provider}/24" if node.provider else None)
        if node.tunnel:
            # The address belongs on the bridge br-tun: the userspace datapath only sends tunnels through its own ports.
            _cable(pid, fabric, number, layout.TUNNEL_INTERFACE, None)
        settings = "sysctl -q -w net.ipv4.ping_group_range='0 2147483647'\n"
        if node.provider:
            settings += (
                f"ip -6 address replace {layout.PROVIDER_GATEWAY_V6}/64 dev {layout.PROVIDER_INTERFACE} nodad\n"
                f"ip -6 route replace {layout.GUEST_PREFIXES_V6} via {layout.ROUTER_V6} dev {layout.PROVIDER_INTERFACE}\n"
            )
        if node.name in layout.GROUPS["loadbalancer"]:
            settings += "sysctl -q -w net.ipv4.ip_nonlocal_bind=1\n"
        subprocess.run(nodes.command(state, node.name, ["/bin/sh", "-ec", settings]), check=True, capture_output=True)


def _cable(pid: int, fabric: int, number: int, interface: str, address: str | None) -> None:
    far = f"{interface}{number}"
    there = subprocess.run(
        ["/usr/bin/nsenter", "-t", str(pid), "-n", "ip", "link", "show", interface], capture_output=True, check=False
    )
    if there.returncode:
        subprocess.run(
            [
                "/sbin/ip",
                "link",
                "add",
                interface,
                "netns",
                str(pid),
                "type",
                "veth",
                "peer",
                "name",
                far,
                "netns",
                str(fabric),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
    mtu = layout.TUNNEL_MTU_BYTES if interface == layout.TUNNEL_INTERFACE else 1500
    _in_namespace(fabric, f"ip link set {far} master {_SWITCHES[interface]} mtu {mtu} up")
    script = f"ip link set {interface} mtu {mtu} up\n"
    if address:
        script += f"ip addr replace {address} dev {interface}\n"
    else:
        # The kernel sees what arrives at an uplink of Open vSwitch too, and would answer for the bridge's address with the
        # uplink's own. The datapath believes the answer that comes last, and sends a tunnel's packets where nobody takes them.
        script += f"sysctl -q -w net.ipv4.conf.{interface}.arp_ignore=1\n"
    if interface != layout.MANAGEMENT_INTERFACE:
        # Checksums must be complete on the wire: the userspace datapath does not finish what an offload left open.
        script += f"ethtool -K {interface} tx off tso off gso off gro off >/dev/null 2>&1 || true\n"
    _in_namespace(pid, script)
