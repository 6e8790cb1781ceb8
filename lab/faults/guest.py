"""Faults of guests: a guest whose processor stands still for a while."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
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

_NOVA = "{http://openstack.org/xmlns/libvirt/nova/1.1}"

#: Stops and continues QEMU by signal; prints the instants around each signal.
_SOURCE = r"""
import json, os, signal, sys, time
action, seconds, pid = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
def send(number):
    before = time.monotonic_ns()
    os.kill(pid, number)
    return {"before_ns": before, "after_ns": time.monotonic_ns()}
answer = {}
if action in {"break", "for"}:
    answer["begin"] = send(signal.SIGSTOP)
if action == "for":
    try:
        time.sleep(max(0.0, seconds - (time.monotonic_ns() - answer["begin"]["after_ns"]) / 1e9))
    finally:
        answer["end"] = send(signal.SIGCONT)
if action == "mend":
    answer["end"] = send(signal.SIGCONT)
print(json.dumps(answer))
"""


@dataclass(frozen=True, slots=True)
class Guest:
    """A running guest: where, and which QEMU process it is (pid inside the node)."""

    node: str
    domain: str
    server: str
    name: str
    pid: int


def guests(ground: Ground) -> list[Guest]:
    """Every running guest of the cloud, from libvirt's own state on the compute nodes."""
    found = []
    for node in layout.COMPUTES:
        script = 'for f in /run/libvirt/qemu/*.xml; do [ -e "$f" ] && cat "$f" && printf \'\\0\'; done; true'
        listed = ground.run(node.name, ["sh", "-c", script]).stdout
        found += [_parse(node.name, text) for text in listed.split("\0") if text.strip()]
    return found


def _parse(node: str, text: str) -> Guest:
    status = ET.fromstring(text)  # noqa: S314 - libvirt's own file on a node of the lab
    domain = status.find("domain")
    if domain is None:
        raise FaultError(f"{node}: libvirt's state of a guest cannot be read")
    name = domain.find(f"metadata/{_NOVA}instance/{_NOVA}name")
    return Guest(
        node=node,
        domain=domain.findtext("name", ""),
        server=domain.findtext("uuid", ""),
        name="" if name is None else name.text or "",
        pid=int(status.get("pid", "0")),
    )


@fault("guest-paused", arguments={"server": None}, exact=True, reds=[Red("inflight.canary-reachable", of="canary")])
def paused(ground: Ground, given: Mapping[str, str], seconds: float | None = None) -> dict[str, Any]:
    """A guest's QEMU is stopped by signal: no packet is answered, no clock ticks, nothing says so.

    ``server`` is the server's id or name, or libvirt's name of the domain. With ``--for`` the length is
    exact to a millisecond, and the printed instants bound it.
    """
    guest = _find(ground, given["server"])
    if ground.noted("guest-paused", guest.server):
        raise FaultError(f"{guest.name} is paused already; mend it first")
    action = "break" if seconds is None else "for"
    with ground.making("guest-paused", guest.server, {"node": guest.node, "pid": guest.pid}):
        answer = _run(ground, guest.node, action, seconds or 0, guest.pid)
    if seconds is not None:
        ground.forget("guest-paused", guest.server)
    return {"server": guest.server, "name": guest.name, "host": guest.node, **answer}


@mends("guest-paused")
def paused_mended(ground: Ground, given: Mapping[str, str]) -> dict[str, Any] | str:
    """Let the guest go on."""
    guest = _find(ground, given["server"])
    noted = ground.noted("guest-paused", guest.server)
    if noted is None:
        return f"{guest.name} is not paused"
    answer = _run(ground, noted["node"], "mend", 0, int(noted["pid"]))
    ground.forget("guest-paused", guest.server)
    return {"server": guest.server, "name": guest.name, "host": noted["node"], **answer}


def _run(ground: Ground, node: str, action: str, seconds: float, pid: int) -> dict[str, Any]:
    answer: dict[str, Any] = ground.python(node, _SOURCE, [action, str(seconds), str(pid)], timeout_s=seconds + 30)
    return answer


def _find(ground: Ground, wanted: str) -> Guest:
    every = guests(ground)
    matching = [guest for guest in every if wanted in {guest.server, guest.name, guest.domain}]
    if len(matching) == 1:
        return matching[0]
    if matching:
        where = ", ".join(f"{guest.server} on {guest.node}" for guest in matching)
        raise FaultError(f"Several guests are called {wanted}: {where}. Name one by its id.")
    there = ", ".join(f"{guest.name or guest.domain} ({guest.server})" for guest in every) or "none"
    raise FaultError(f"No running guest is called {wanted}; there are: {there}")
