"""The control groups of the lab: one per node, so that each node sees a hierarchy of its own and `down` can find every process.

Membership is the definition of "belongs to the lab": whatever became of the process that started it, a process of a node is
in the node's group and is found there. Copes with the first version (one hierarchy per controller) and the second.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from lab import layout

_INNER = "init"
_WEIGHT = 16
"""The lab's share of the processors, in multiples of what anything else on the machine has: its neighbours' work must not be
measured as an outage of its cloud."""
_REAL_TIME_US = {"": 800_000, layout.MANAGER.name: 600_000}
"""How much of each second processes of real-time priority may run in the whole lab and on a node (version 1 lets nobody by
default). On the manager the prober runs so, as it does on a manager of its own; between two groups its nice value counts nothing."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted control group hierarchy. `options` is what mounts it again inside a node."""

    mount_point: Path
    version: int
    options: str

    @property
    def name(self) -> str:
        """The directory's name below /sys/fs/cgroup; for version 2 the mount point itself."""
        return self.mount_point.name


def hierarchies(mountinfo: str | None = None) -> list[Hierarchy]:
    """The hierarchies of this machine, from /proc/self/mountinfo. In a hybrid set-up the empty version 2 one is left out."""
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    first, second = [], []
    for line in text.splitlines():
        left, right = line.split(" - ", 1)
        kind, _, options = right.split(" ")[:3]
        mount_point = Path(left.split(" ")[4])
        if kind == "cgroup":
            wanted = [
                option
                for option in options.split(",")
                if option not in {"rw", "ro", "xattr", "relatime", "clone_children"}
                and not option.startswith("release_agent")
            ]
            controllers = ",".join(
                ["none", *wanted] if any(option.startswith("name=") for option in wanted) else wanted
            )
            first.append(Hierarchy(mount_point, 1, controllers))
        elif kind == "cgroup2":
            second.append(Hierarchy(mount_point, 2, ""))
    return first or second


def lab_group(state: layout.State) -> str:
    """Name of the lab's group; a lab in another state directory gets another one."""
    if state.root == layout.DEFAULT_STATE:
        return "rehearse-lab"
    return f"rehearse-lab-{hashlib.sha256(str(state.root).encode()).hexdigest()[:8]}"


def create(state: layout.State, node: str) -> list[Path]:
    """Makes the node's group in every hierarchy; returns the `cgroup.procs` files that its keeper must enter."""
    files = []
    for hierarchy in hierarchies():
        group = hierarchy.mount_point / lab_group(state)
        for directory in (group, group / node):
            directory.mkdir(exist_ok=True)
            if hierarchy.version == 1 and (directory / "cpuset.cpus").exists():
                # An empty set refuses every process.
                for name in ("cpuset.cpus", "cpuset.mems"):
                    if not (directory / name).read_text().strip():
                        (directory / name).write_text((directory.parent / name).read_text())
            if hierarchy.version == 2:
                _delegate(directory.parent)
        _give_precedence(group, node)
        files.append(group / node / "cgroup.procs")
    return files


def _give_precedence(group: Path, node: str) -> None:
    """Weigh the lab against its neighbours, and let the prober run when it is due. A kernel without these files has no need."""
    values = {
        group / "cpu.shares": 1024 * _WEIGHT,
        group / "cpu.weight": 100 * _WEIGHT,
        group / "cpu.rt_runtime_us": _REAL_TIME_US[""],
        group / node / "cpu.rt_runtime_us": _REAL_TIME_US.get(node, 0),
    }
    for file, value in values.items():
        if file.exists() and (value or "rt" not in file.name):
            _write(file, value)


def _write(file: Path, value: int, *, within_s: float = 2) -> None:
    """Writes one limit. A group that was just removed keeps its real time for a moment, and two such shares are refused."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            file.write_text(str(value))
        except OSError:
            if time.monotonic() > deadline:  # somebody else gave the machine's real time away; `grants_real_time` tells
                return
            time.sleep(0.1)
        else:
            return


def grants_real_time(state: layout.State, node: str) -> bool:
    """Whether processes of a node may run with real-time priority. A kernel without such limits lets root do so anyway."""
    files = [each.mount_point / lab_group(state) / node / "cpu.rt_runtime_us" for each in hierarchies()]
    return all(int(file.read_text()) > 0 for file in files if file.exists())


def joining(state: layout.State, node: str) -> list[Path]:
    """The `cgroup.procs` files that a process must enter to belong to a node that runs."""
    groups = [(hierarchy, hierarchy.mount_point / lab_group(state) / node) for hierarchy in hierarchies()]
    return [(group / _INNER if hierarchy.version == 2 else group) / "cgroup.procs" for hierarchy, group in groups]


def settle(state: layout.State, node: str) -> None:
    """Makes room for dockerd below a node that has started.

    In version 2 a group whose children get controllers must not hold processes itself, so the keeper moves one level
    down; the node's own view, fixed when it entered its namespace, still starts at its group. Nothing to do in version 1.
    """
    for hierarchy in hierarchies():
        if hierarchy.version == 2:
            group = hierarchy.mount_point / lab_group(state) / node
            (group / _INNER).mkdir(exist_ok=True)
            for pid in (group / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    (group / _INNER / "cgroup.procs").write_text(pid)
            _delegate(group)


def _delegate(directory: Path) -> None:
    available = (directory / "cgroup.controllers").read_text().split()
    for controller in available:
        with contextlib.suppress(OSError):
            (directory / "cgroup.subtree_control").write_text(f"+{controller}")


def processes(state: layout.State, node: str | None = None) -> set[int]:
    """Pids (as the machine sees them) of every process in the lab's groups, or in one node's."""
    found: set[int] = set()
    for hierarchy in hierarchies():
        top = hierarchy.mount_point / lab_group(state)
        top = top / node if node else top
        for file in top.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                found.update(int(pid) for pid in file.read_text().split())
    return found


def kill_all(state: layout.State, node: str | None = None, *, within_s: float = 20) -> set[int]:
    """Kills every process of the lab (or of one node), those that start meanwhile too; returns the pids still there."""
    deadline = time.monotonic() + within_s
    while True:
        left = processes(state, node)
        if not left or time.monotonic() > deadline:
            return left
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def remove(state: layout.State) -> list[Path]:
    """Removes the lab's groups, innermost first; returns those that would not go."""
    stubborn = []
    for hierarchy in hierarchies():
        top = hierarchy.mount_point / lab_group(state)
        if not top.exists():
            continue
        inside = sorted((p for p in top.rglob("*") if p.is_dir()), key=lambda p: len(p.parts), reverse=True)
        for directory in (*inside, top):
            # Real time is given back first: the kernel forgets a group only some time after it is gone.
            with contextlib.suppress(OSError):
                if (directory / "cpu.rt_runtime_us").exists():
                    (directory / "cpu.rt_runtime_us").write_text("0")
            with contextlib.suppress(OSError):
                directory.rmdir()
        if top.exists():
            stubborn.append(top)
    return stubborn
