"""What is wrong with the lab right now, as sentences; nothing to say means that it is healthy."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from lab import catalogue
from lab import kolla
from lab import layout
from lab import nodes
from lab import releases
from lab.configs import openstack
from lab.manager import layers as manager_images

if TYPE_CHECKING:
    from collections.abc import Callable


def problems(state: layout.State) -> list[str]:
    """One sentence per thing that is not as it should be, each with the node or container by name."""
    dead = [node.name for node in layout.NODES if nodes.keeper_pid(state, node.name) is None]
    if len(dead) == len(layout.NODES):
        return ["the lab is down"]
    found = [f"node {name} is down" for name in dead]
    jobs: list[Callable[[], list[str]]] = [
        partial(_node, state, node.name) for node in layout.NODES if node.name not in dead
    ]
    if layout.CONTROL.name not in dead:
        jobs.append(lambda: _vip(state))
    with ThreadPoolExecutor(6) as pool:
        for result in pool.map(lambda job: job(), jobs):
            found += result
    return found


def _run(state: layout.State) -> kolla.Run:
    return partial(nodes.run, state=state)


def _node(state: layout.State, node: str) -> list[str]:
    run = _run(state)
    try:
        daemons = run(
            node,
            [
                "sh",
                "-c",
                "kill -0 $(cat /run/sshd.pid) 2>/dev/null || echo sshd; docker version >/dev/null 2>&1 || echo dockerd",
            ],
        )
        dead = daemons.stdout.split()
        if dead:
            return [f"{node}: {name} does not run" for name in dead]
        found = kolla.container_states(run, node)
    except (subprocess.SubprocessError, nodes.NodeError) as error:
        return [f"{node} does not answer: {error}"]
    sentences = _taps(run, node) if node in layout.GROUPS["compute"] else []
    wanted = {container.name for container in _expected(node, found)}
    if node == layout.MANAGER.name:
        wanted |= {container for container in manager_images.CONTAINERS if container != "openstackclient"}
    sentences += [f"{node}: container {name} is missing" for name in sorted(wanted - set(found))]
    for name, container in sorted(found.items()):
        if not container.good:
            health = f", {container.health}" if container.health and container.status == "running" else ""
            sentences.append(f"{node}: container {name} is {container.status}{health}")
    return sentences


def _taps(run: kolla.Run, node: str) -> list[str]:
    """Guests' interfaces that were left administratively down: the guest is ACTIVE then, but has no network."""
    listed = run(node, ["ip", "-o", "link", "show"]).stdout.splitlines()
    taps = [
        line.split(": ")[1].split("@")[0]
        for line in listed
        if ": tap" in line and ",UP" not in line and "<UP" not in line
    ]
    return [f"{node}: the guest interface {tap} is down (mend: ip link set {tap} up)" for tap in taps]


def _expected(node: str, found: dict[str, kolla.ContainerState]) -> list[catalogue.Container]:
    """The containers of the catalogue that belong on the node, each at the release that its service has there."""
    expected = []
    for container in catalogue.CONTAINERS:
        if node not in container.nodes:
            continue
        members = {other.name for other in catalogue.CONTAINERS if other.service == container.service}
        names = {state.labels.get("de.osism.release.openstack") for name, state in found.items() if name in members}
        # In the middle of an upgrade a service is on two releases: a container that only one of them has is not missed.
        present = [name for name in releases.RELEASES if name in names] or [releases.DEPLOYED.name]
        if all(name in container.commands for name in present):
            expected.append(container)
    return expected


def _vip(state: layout.State) -> list[str]:
    """Every listener answers at the internal VIP, with a certificate that the lab's CA signed."""
    script = "\n".join(
        f"curl -s -f -o /dev/null --max-time 10 --cacert {openstack.CA_BUNDLE} https://{layout.INTERNAL_NAME}:{port}{'/vnc_lite.html' if name == 'nova_novncproxy' else '/'} || echo {name}"
        for name, port in layout.API_PORTS.items()
    )
    try:
        done = _run(state)(layout.MANAGER.name, ["sh", "-c", script], check=False, timeout_s=90)
    except (subprocess.SubprocessError, nodes.NodeError) as error:
        return [f"the VIP could not be queried: {error}"]
    return [
        f"{name} does not answer at the internal VIP (port {layout.API_PORTS[name]})" for name in done.stdout.split()
    ]


def describe(state: layout.State) -> list[str]:
    """What runs, for people: per node its containers with tag and health."""
    lines = []
    for node in layout.NODES:
        if nodes.keeper_pid(state, node.name) is None:
            lines.append(f"{node.name}  {node.management}  down")
            continue
        found = kolla.container_states(_run(state), node.name)
        lines.append(f"{node.name}  {node.management}  {len(found)} containers")
        width = max((len(name) for name in found), default=0)
        for name, container in sorted(found.items()):
            lines.append(
                f"    {name:{width}}  {container.status}{f' ({container.health})' if container.health else ''}  {container.image}"
            )
    return lines
