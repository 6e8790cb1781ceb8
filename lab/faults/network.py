"""Faults of the network: a port of the VIP that swallows every packet."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from lab import layout
from lab.faults.ground import FaultError
from lab.faults.ground import Ground
from lab.faults.table import Red
from lab.faults.table import fault
from lab.faults.table import mends

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Drops for a while, or until mended; prints the instants around each change of the kernel's rules.
_SOURCE = r"""
import json, subprocess, sys, time
action, seconds, port, *addresses = sys.argv[1:]
comment = "rehearse-lab-blackhole"
def rules(word):
    # One call that changes everything at once: the instants around it are the truth's bounds.
    lines = ["*raw"]
    for address in addresses:
        lines.append(f"{word} PREROUTING -d {address}/32 -p tcp --dport {port} -m comment --comment {comment} -j DROP")
        lines.append(f"{word} OUTPUT -d {address}/32 -p tcp --dport {port} -m comment --comment {comment} -j DROP")
    text = "\n".join([*lines, "COMMIT", ""])
    before = time.monotonic_ns()
    subprocess.run(["iptables-restore", "--noflush"], input=text, text=True, check=True)
    return {"before_ns": before, "after_ns": time.monotonic_ns()}
answer = {}
if action in {"break", "for"}:
    answer["begin"] = rules("-I")
if action == "for":
    try:
        time.sleep(max(0.0, float(seconds) - (time.monotonic_ns() - answer["begin"]["after_ns"]) / 1e9))
    finally:
        answer["end"] = rules("-D")
if action == "mend":
    answer["end"] = rules("-D")
print(json.dumps(answer))
"""


@fault(
    "vip-port-blackhole",
    arguments={"service": "placement_api", "vip": "both"},
    exact=True,
    reds=[Red("preflight.api-answers", of="placement"), Red("inflight.downtime", of="placement")],
)
def blackhole(ground: Ground, given: Mapping[str, str], seconds: float | None = None) -> dict[str, Any]:
    """Packets to one port of the VIP are dropped: connections hang, nothing is refused.

    ``service`` is a listener (``keystone``, ``nova_api`` …) or a port, ``vip`` is ``internal``,
    ``external`` or ``both``. With ``--for`` the length is exact to a few milliseconds, and the printed
    instants bound it.
    """
    port, addresses = _port(given["service"]), _addresses(given["vip"])
    key = f"{port}.{given['vip']}"
    if ground.noted("vip-port-blackhole", key):
        raise FaultError(f"Port {port} of the {given['vip']} VIP is a black hole already; mend it first")
    action = "break" if seconds is None else "for"
    with ground.making("vip-port-blackhole", key, {"port": port, "addresses": addresses}):
        answer = _run(ground, action, seconds or 0, port, addresses)
    if seconds is not None:
        ground.forget("vip-port-blackhole", key)
    return {"port": port, "addresses": addresses, **answer}


@mends("vip-port-blackhole")
def blackhole_mended(ground: Ground, given: Mapping[str, str]) -> dict[str, Any] | str:
    """Let packets through again."""
    port, addresses = _port(given["service"]), _addresses(given["vip"])
    key = f"{port}.{given['vip']}"
    if ground.noted("vip-port-blackhole", key) is None:
        return f"Port {port} of the {given['vip']} VIP is no black hole"
    answer = _run(ground, "mend", 0, port, addresses)
    ground.forget("vip-port-blackhole", key)
    return {"port": port, "addresses": addresses, **answer}


def _run(ground: Ground, action: str, seconds: float, port: int, addresses: list[str]) -> dict[str, Any]:
    answer: dict[str, Any] = ground.python(
        layout.CONTROL.name, _SOURCE, [action, str(seconds), str(port), *addresses], timeout_s=seconds + 30
    )
    return answer


def _port(service: str) -> int:
    if service.isdigit():
        return int(service)
    if service not in layout.API_PORTS:
        raise FaultError(f"{service} is no listener of the VIP; there are {', '.join(layout.API_PORTS)}, and ports")
    return layout.API_PORTS[service]


def _addresses(vip: str) -> list[str]:
    known = {"internal": [layout.INTERNAL_VIP], "external": [layout.EXTERNAL_VIP]}
    known["both"] = known["internal"] + known["external"]
    if vip not in known:
        raise FaultError(f"vip={vip}: choose internal, external or both")
    return known[vip]
