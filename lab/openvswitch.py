"""What kolla-ansible's roles openvswitch and ovn-controller set in a compute node's Open vSwitch database. Idempotent.

All bridges use the userspace datapath (netdev), since the machine's kernel need not have the openvswitch module. The tunnel
address sits on the bridge br-tun, because that datapath sends geneve only through ports of its own; the address is
put there by the container openvswitch_vswitchd at every start.
"""

from __future__ import annotations

import shlex

from lab import kolla
from lab import layout


def configure(run: kolla.Run, node: str) -> None:
    """Bridges, uplinks and OVN's settings of a compute node, through its running openvswitch_db."""
    tunnel = layout.node(node).tunnel
    settings = {
        "system-id": node,
        "hostname": node,
        "ovn-remote": f"tcp:{layout.CONTROL.management}:{layout.OVN_SB_PORT}",
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": tunnel,
        "ovn-cms-options": "enable-chassis-as-gw",
        "ovn-bridge-mappings": f"{layout.PHYSICAL_NETWORK}:br-ex",
        "ovn-bridge-datapath-type": "netdev",
        "ovn-remote-probe-interval": "60000",
        "ovn-openflow-probe-interval": "60",
        "ovn-monitor-all": "false",
    }
    argv = ["docker", "exec", "openvswitch_db", "ovs-vsctl", "--no-wait", "--", "set", "open_vswitch", "."]
    argv += [f"external_ids:{key}={value}" for key, value in settings.items()]
    for bridge, uplink in (("br-int", None), ("br-ex", layout.PROVIDER_INTERFACE), ("br-tun", layout.TUNNEL_INTERFACE)):
        argv += ["--", "--may-exist", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev"]
        if bridge == "br-int":
            argv.append("fail-mode=secure")
        if uplink:
            argv += ["--", "--may-exist", "add-port", bridge, uplink]
    # --no-wait here too: on a new database ovs-vsctl would make the first row and wait for a vswitchd that does not run yet.
    ready = shlex.join([*argv[:5], "show"])
    script = f"tries=0; until {ready} >/dev/null 2>&1; do tries=$((tries+1)); [ $tries -lt 100 ] || exit 1; sleep 0.1; done; {shlex.join(argv)}"
    run(node, ["sh", "-c", script])
