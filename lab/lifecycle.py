"""`up` and `down`: from an empty machine to the whole lab, and back to nothing.

`up` is idempotent: on a running lab it repairs what is missing; after a crash it clears the remains and builds anew.
`down` needs no memory of what `up` did: every process of the lab is in the lab's control groups, and everything else
(mounts, interfaces, namespaces, containers) lives and dies with those processes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import time
from datetime import UTC
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lab import catalogue
from lab import cgroups
from lab import cloud
from lab import credentials
from lab import deploy
from lab import fabric
from lab import host
from lab import images
from lab import kolla
from lab import layout
from lab import manager
from lab import nodes
from lab import releases
from lab import status
from lab.deploy import Deployment
from lab.deploy import Say

if TYPE_CHECKING:
    from collections.abc import Iterator


class BusyError(Exception):
    """Another `rehearse-lab up` or `down` is at work."""


class RemainsError(Exception):
    """`down` could not remove everything; says what is left."""


@contextlib.contextmanager
def _alone(state: layout.State) -> Iterator[None]:
    """Only one `up` or `down` at a time; the lock goes with the process, however it ends."""
    state.root.mkdir(parents=True, exist_ok=True)
    with (state.root / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"Another rehearse-lab up or down is at work in {state.root}; wait for it or end it."
            ) from None
        yield


def _deployed(state: layout.State) -> Path:
    return state.run / "deployed.json"


def running(state: layout.State) -> set[str]:
    """Names of the nodes whose keeper lives."""
    return {node.name for node in layout.NODES if nodes.keeper_pid(state, node.name) is not None}


def up(state: layout.State, say: Say, *, fresh: bool = False) -> None:
    """Brings the lab up. UnfitError before anything is touched if the machine cannot carry it."""
    alive = running(state)
    if not alive:
        # Only then: the memory of a running lab does not count against the one that replaces it.
        host.check(state)
    with _alone(state):
        state.log.mkdir(parents=True, exist_ok=True)
        if alive and _deployed(state).exists() and not fresh:
            say(f"the lab is running ({', '.join(sorted(alive))}); repairing what is missing")
            _repair(state, say)
            return
        host.install_packages(state, say)
        host.build_environments(state, say)
        _clear(state)
        host.forget_environments(state)
        _build(state, say)


def _build(state: layout.State, say: Say) -> None:
    if not state.cache.exists():
        state.cache.mkdir(parents=True)
    credentials.create(state)
    measured = releases.measure_versions()
    state.versions.write_text(json.dumps(measured, indent=1))
    built = images.build(state, measured)
    say(f"images in the registry directory ({built} new)")
    _start_nodes(state)
    say("nodes up: " + ", ".join(node.name for node in layout.NODES))
    if not cgroups.grants_real_time(state, layout.MANAGER.name):
        say(
            f"{layout.MANAGER.name} gets no real time, something else on this machine has it (cpu.rt_runtime_us): "
            "the prober may have to wait for a processor, and what it misses is UNKNOWN"
        )
    deployment = Deployment(nodes.run, releases.DEPLOYED, state, say)
    deploy.deploy(deployment)
    deploy.in_parallel([lambda: cloud.base_objects(deployment), lambda: manager.up(state, say=say)])
    _deployed(state).write_text(
        json.dumps({"release": releases.DEPLOYED.name, "at": datetime.now(UTC).isoformat(timespec="seconds")})
    )
    settle(state, say)


def _start_nodes(state: layout.State) -> None:
    deploy.in_parallel(
        partial(nodes.start, state, name) for name in (layout.FABRIC, *(node.name for node in layout.NODES))
    )
    fabric.connect(state)
    deploy.in_parallel(partial(nodes.start_daemons, state, node.name) for node in layout.NODES)


def _repair(state: layout.State, say: Say) -> None:
    """Starts dead nodes and daemons again (as after a reboot of the node), and puts missing or stopped containers back."""
    dead = {node.name for node in layout.NODES} - running(state)
    for name in sorted(dead):
        say(f"node {name} is down: starting it again")
    _start_nodes(state)
    deployment = Deployment(nodes.run, releases.DEPLOYED, state, say)
    deploy.in_parallel(partial(_repair_containers, deployment, node.name) for node in layout.NODES)
    manager.up(state, say=say)
    settle(state, say)
    cloud.base_objects(deployment)


def _repair_containers(deployment: Deployment, node: str) -> None:
    found = kolla.container_states(deployment.run, node)
    for container in catalogue.CONTAINERS:
        if node not in container.nodes:
            continue
        release = _release_of(container.service, found)
        if release.name not in container.commands:
            continue
        state = found.get(container.name)
        if state is None:
            deployment.say(f"{node}: container {container.name} is missing: creating it")
            kolla.pull(deployment.run, node, container.image, release, state=deployment.state)
            kolla.write_config(deployment.run, node, container, release, state=deployment.state)
            kolla.recreate(deployment.run, node, container, release, state=deployment.state)
        elif state.status in {"exited", "created", "paused"}:
            deployment.say(f"{node}: container {container.name} is {state.status}: starting it")
            with nodes.engine(deployment.state, node) as engine:
                stopped = engine.containers.get(container.name)
                stopped.unpause() if state.status == "paused" else stopped.start()
        elif state.health == "unhealthy":
            deployment.say(f"{node}: container {container.name} is unhealthy: restarting it")
            with nodes.engine(deployment.state, node) as engine:
                engine.containers.get(container.name).restart(timeout=catalogue.STOP_TIMEOUT_S)


def _release_of(service: str, found: dict[str, kolla.ContainerState]) -> releases.Release:
    """The release on which the service's other containers on the node are; the deployed one if there are none."""
    members = {container.name for container in catalogue.CONTAINERS if container.service == service}
    names = [state.labels.get("de.osism.release.openstack", "") for name, state in found.items() if name in members]
    newest = max((name for name in names if name in releases.RELEASES), default=releases.DEPLOYED.name)
    return releases.RELEASES[newest]


def settle(state: layout.State, say: Say, *, within_s: float = 240) -> None:
    """Waits until `status` has nothing to complain about. deploy.DeployError with the complaints after `within_s`."""
    deadline = time.monotonic() + within_s
    while problems := status.problems(state):
        if time.monotonic() > deadline:
            raise deploy.DeployError("the lab did not become healthy: " + "; ".join(problems))
        time.sleep(2)
    say("everything is healthy")


def down(state: layout.State, say: Say) -> None:
    """Removes everything that runs and the nodes' files; caches stay. RemainsError names what would not go."""
    with _alone(state):
        count = _clear(state)
        host.remove_own_policy(state)
    say(f"the lab is down ({count} processes ended)" if count else "the lab is down (nothing was running)")


def _clear(state: layout.State) -> int:
    count = len(cgroups.processes(state))
    if left := cgroups.kill_all(state):
        raise RemainsError(f"These processes of the lab could not be ended: {', '.join(map(str, sorted(left)))}.")
    stubborn: list[Path] = []
    for _ in range(50):
        if not (stubborn := cgroups.remove(state)):
            break
        time.sleep(0.1)
    if stubborn:
        raise RemainsError(f"These control groups could not be removed: {', '.join(map(str, stubborn))}.")
    _unmount(state)
    for directory in (state.run, state.nodes):
        shutil.rmtree(directory, ignore_errors=True)
        if directory.exists():
            shutil.rmtree(directory)
    return count


def _unmount(state: layout.State) -> None:
    """No mount of a node is visible outside of it; if one ever is, removing files below it would be a disaster."""
    inside = [
        line.split(" ")[4]
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if line.split(" ")[4].startswith(f"{state.root}/")
    ]
    if inside:
        raise RemainsError(f"Something is mounted below {state.root}: {', '.join(inside)}; unmount it first.")
