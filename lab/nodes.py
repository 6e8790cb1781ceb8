"""Nodes: keeper processes with namespaces of their own, and how to run a command in one.

A node is a process that is PID 1 of its own PID, mount, network, UTS, IPC and control group namespaces, with a root file
system assembled for it: the machine's /usr read-only, copies of /etc, private /var, /root, /home, /opt and so on from the
state directory, fresh /proc, /sys, /run and /tmp. The machine's own files and services stay as they are. When the keeper
dies, the kernel takes every process, mount and interface of the node with it: that is the whole of `down`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab import cgroups
from lab import credentials
from lab import layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Sequence

    from docker import DockerClient

    from lab.layout import Node

_PRIVATE = ("etc", "var", "root", "home", "opt", "srv", "interface", "ansible", "usr-local")
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}
REPOSITORY = Path(__file__).resolve().parent.parent


class NodeError(Exception):
    """A node could not be started or entered; one sentence."""


def _pid_file(state: layout.State, name: str) -> Path:
    return state.run / f"{name}.json"


def _start_time(pid: int) -> str | None:
    """The process's start time in ticks since boot: with the pid it names a process beyond doubt. None if it is gone or dying."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else fields[19]


def keeper_pid(state: layout.State, name: str) -> int | None:
    """Pid of the node's PID 1 as the machine sees it, or None when the node does not run."""
    try:
        known = json.loads(_pid_file(state, name).read_text())
    except (OSError, ValueError):
        return None
    pid = int(known["pid"])
    return pid if _start_time(pid) == known["start_time"] else None


def start(state: layout.State, name: str) -> int:
    """Starts the keeper of a node (or of the fabric) and returns its pid. NodeError when it does not come up."""
    if (pid := keeper_pid(state, name)) is not None:
        return pid
    groups = cgroups.create(state, name)
    state.run.mkdir(parents=True, exist_ok=True)
    state.log.mkdir(parents=True, exist_ok=True)
    ready = state.run / f"{name}.ready"
    ready.unlink(missing_ok=True)
    if name == layout.FABRIC:
        setup = "ip link set lo up"
    else:
        _lay_out(state, layout.node(name))
        setup = _assembly(state, layout.node(name))
    inside = f"set -e\n{setup}\nexec /usr/bin/dumb-init -- /bin/sh -c 'touch {ready}; exec sleep infinity'"
    join = "".join(f"echo $$ > {group}; " for group in groups)
    unshare = "exec /usr/bin/unshare --cgroup --fork --pid --mount --uts --ipc --net --kill-child --propagation private"
    log = state.log / f"keeper-{name}.log"
    # The shell puts the keeper in the background and ends: the keeper belongs to the machine, not to this process.
    outside = f"{join}{unshare} /bin/sh -c {shlex.quote(inside)}"
    background = f"/usr/bin/setsid /bin/sh -c {shlex.quote(outside)} >{log} 2>&1 </dev/null & echo $!"
    started = subprocess.run(
        ["/bin/sh", "-c", background], check=True, stdout=subprocess.PIPE, text=True, env=_ENVIRONMENT, cwd="/"
    )
    parent = int(started.stdout)
    deadline = time.monotonic() + 20
    while not ready.exists():
        if _start_time(parent) is None or time.monotonic() > deadline:
            text = log.read_text().strip()
            raise NodeError(f"node {name} did not start: {text.splitlines()[-1] if text else 'no output'}")
        time.sleep(0.02)
    cgroups.settle(state, name)
    pid = int(Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0])
    _pid_file(state, name).write_text(json.dumps({"pid": pid, "start_time": _start_time(pid), "parent": parent}))
    ready.unlink()
    if name != layout.FABRIC:
        _insist_on_own_root(state, name)
    return pid


def _insist_on_own_root(state: layout.State, name: str) -> None:
    """Makes sure that commands for the node meet the node's files: on the machine's own they would do harm."""
    seen = subprocess.run(command(state, name, ["cat", "/etc/hostname"]), check=False, capture_output=True, text=True)
    if seen.stdout.strip() != name:
        cgroups.kill_all(state, name)
        raise NodeError(
            f"node {name} has no root of its own (its /etc/hostname says {seen.stdout.strip()!r}); it was ended"
        )


def _lay_out(state: layout.State, node: Node) -> None:
    """The node's private directories on disk, with its own /etc."""
    root = state.node_root(node.name)
    for directory in _PRIVATE:
        (root / directory).mkdir(parents=True, exist_ok=True)
    etc = root / "etc"
    if (root / "laid-out").exists():
        # A node that is started again has its disk: /etc, Docker's containers and volumes, everything.
        return
    shutil.copytree("/etc", etc, symlinks=True, dirs_exist_ok=True, ignore=_ignored, copy_function=_copy)
    (etc / "hostname").write_text(f"{node.name}\n")
    (etc / "hosts").unlink(missing_ok=True)
    (etc / "hosts").write_text(layout.hosts_file(node.name))
    (etc / "resolv.conf").unlink(missing_ok=True)
    (etc / "resolv.conf").write_text("# The lab has no nameserver; names are in /etc/hosts.\n")
    (etc / "kolla").mkdir(exist_ok=True)
    (etc / "localtime").unlink(missing_ok=True)
    (etc / "localtime").symlink_to("/usr/share/zoneinfo/Etc/UTC")
    known = credentials.load(state)
    _trust(etc, known.ca_certificate)
    _accounts(etc)
    _ssh(state, etc, root, node, known)
    for path in (
        "var/lib/docker",
        "var/log",
        "var/tmp",
        "var/lib/kolla",
        "var/spool/cron",
        "var/cache",
        "usr-local/bin",
        "usr-local/sbin",
        "usr-local/lib",
    ):
        (root / path).mkdir(parents=True, exist_ok=True)
    for link, target in (("var/run", "/run"), ("var/lock", "/run/lock")):
        if not (root / link).is_symlink():
            (root / link).symlink_to(target)
    (root / "laid-out").touch()


def _ignored(directory: str, names: list[str]) -> set[str]:
    """What a node must not inherit from the machine's /etc: host keys, Docker's and kolla's settings, cron jobs."""
    if directory == "/etc":
        return set(names) & {
            "kolla",
            "docker",
            "hostname",
            "machine-id",
            "openstack",
            "mtab",
            "cron.d",
            "cron.daily",
            "cron.hourly",
            "cron.weekly",
            "cron.monthly",
        }
    if directory == "/etc/ssh":
        return {name for name in names if name.startswith("ssh_host_")}
    return set()


def _copy(source: str, destination: str) -> None:
    """Regular files only; what vanishes meanwhile (a package being configured) is left out."""
    if Path(source).is_file():
        try:
            shutil.copy2(source, destination)
        except FileNotFoundError:
            return


def _trust(etc: Path, ca_certificate: str) -> None:
    bundle = etc / "ssl/certs/ca-certificates.crt"
    text = bundle.read_text() if bundle.exists() else ""
    bundle.parent.mkdir(parents=True, exist_ok=True)
    if ca_certificate not in text:
        bundle.write_text(text + ca_certificate)


def _accounts(etc: Path) -> None:
    """The operator: member of docker, with sudo, without a password."""
    name, number = layout.OPERATOR, layout.OPERATOR_ID
    passwd = etc / "passwd"
    if f"\n{name}:" not in passwd.read_text():
        passwd.write_text(passwd.read_text() + f"{name}:x:{number}:{number}:Operator:/home/{name}:/bin/bash\n")
        shadow = etc / "shadow"
        shadow.write_text(shadow.read_text() + f"{name}:*:19000:0:99999:7:::\n")
        group = etc / "group"
        lines = []
        for line in group.read_text().splitlines():
            member = f"{'' if line.endswith(':') else ','}{name}" if line.startswith("docker:") else ""
            lines.append(line + member)
        group.write_text("\n".join([*lines, f"{name}:x:{number}:"]) + "\n")
    sudoers = etc / "sudoers.d" / name
    sudoers.parent.mkdir(exist_ok=True)
    sudoers.unlink(missing_ok=True)
    sudoers.write_text(f"{name} ALL=(ALL) NOPASSWD: ALL\n")
    sudoers.chmod(0o440)


def _ssh(state: layout.State, etc: Path, root: Path, node: Node, known: credentials.Credentials) -> None:
    """A sshd on the management address, a host key per node (kept, so that known_hosts stays true), the operator's key."""
    ssh = etc / "ssh"
    ssh.mkdir(exist_ok=True)
    shutil.copy2(state.pki / f"ssh_host_{node.name}", ssh / "ssh_host_ed25519_key")
    shutil.copy2(state.pki / f"ssh_host_{node.name}.pub", ssh / "ssh_host_ed25519_key.pub")
    lines = []
    for other in layout.NODES:
        public = " ".join(Path(f"{state.pki / f'ssh_host_{other.name}'}.pub").read_text().split()[:2])
        lines.append(f"{other.name},{other.name}.{layout.DOMAIN},{other.management} {public}")
    (ssh / "ssh_known_hosts").write_text("\n".join(lines) + "\n")
    shutil.rmtree(ssh / "sshd_config.d", ignore_errors=True)
    (ssh / "sshd_config").write_text(
        f"ListenAddress {node.management}\nHostKey /etc/ssh/ssh_host_ed25519_key\nPasswordAuthentication no\nUsePAM no\nUseDNS no\n"
        "PermitRootLogin no\nMaxStartups 200\nMaxSessions 200\nAcceptEnv LANG LC_*\nSubsystem sftp /usr/lib/openssh/sftp-server\n"
    )
    home = root / "home" / layout.OPERATOR
    (home / ".ssh").mkdir(parents=True, exist_ok=True)
    (home / ".ssh").chmod(0o700)
    (home / ".ssh/authorized_keys").write_text(known["operator_ssh_key_public"])
    if node == layout.MANAGER:
        private = home / ".ssh/id_rsa"
        private.unlink(missing_ok=True)
        private.write_text(known["operator_ssh_key_private"])
        private.chmod(0o600)
        (home / ".ssh/id_rsa.pub").write_text(known["operator_ssh_key_public"])
    for path in (home, *home.rglob("*")):
        os.chown(path, layout.OPERATOR_ID, layout.OPERATOR_ID)


def _assembly(state: layout.State, node: Node) -> str:
    """The shell script that assembles the node's root inside its new mount namespace and moves into it."""
    data = state.node_root(node.name)
    root = data / "newroot"
    root.mkdir(exist_ok=True)
    links = [name for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32") if Path("/", name).is_symlink()]
    lines = [
        f"hostname {node.name}",
        f"mount -t tmpfs -o mode=755,size=16m {node.name} {root}",
        f"cd {root}",
        "mkdir usr etc var root home opt srv interface ansible run tmp dev proc sys mnt .old",
        *(f"ln -s usr/{name} {name}" for name in links),
        "mount --bind /usr usr",
        "mount -o remount,bind,ro usr",
        f"mount --bind {data}/usr-local usr/local",
        *(f"mount --bind {data}/{name} {name}" for name in _PRIVATE if name != "usr-local"),
        "mount -t tmpfs -o mode=755 run run && mkdir -p run/lock run/openvswitch run/ovn run/libvirt run/netns run/sshd && chmod 0755 run/sshd",
        "mount -t tmpfs -o mode=1777 tmp tmp",
        "mount --rbind /dev dev",
        "mount -t tmpfs -o mode=1777 shm dev/shm",
        "mount -t proc proc proc",
        "mount -t sysfs sysfs sys",
        *_cgroup_mounts(),
        f"mkdir -p .{state.root} && mount --bind {state.root} .{state.root}",
    ]
    if node == layout.MANAGER:
        lines.append(f"mkdir -p .{REPOSITORY} && mount --bind {REPOSITORY} .{REPOSITORY}")
    lines += [
        "pivot_root . .old",
        "cd /",
        "umount -l /.old",
        "rmdir /.old",
        # Docker's shared volumes need shared sources; nothing leaves the node's own mount namespace.
        "mount --make-shared /run",
        "ip link set lo up",
    ]
    return "\n".join(lines)


def _cgroup_mounts() -> list[str]:
    found = cgroups.hierarchies()
    if found and found[0].version == 2:
        return ["mount -t cgroup2 cgroup2 sys/fs/cgroup"]
    lines = ["mount -t tmpfs -o mode=755 cgroup sys/fs/cgroup"]
    lines.extend(
        f"mkdir sys/fs/cgroup/{one.name} && mount -t cgroup -o {one.options} cgroup sys/fs/cgroup/{one.name}"
        for one in found
    )
    return lines


def command(state: layout.State, name: str, argv: Sequence[str], *, terminal: bool = False) -> list[str]:
    """The command line that runs `argv` as root in the node, for subprocess or os.exec. NodeError when it does not run."""
    pid = keeper_pid(state, name)
    if pid is None:
        raise NodeError(f"node {name} does not run; start the lab with: rehearse-lab up")
    join = "".join(f"echo $$ > {group}; " for group in cgroups.joining(state, name))
    environment = dict(_ENVIRONMENT)
    if terminal:
        environment["TERM"] = os.environ.get("TERM", "dumb")
    settings = [f"{key}={value}" for key, value in environment.items()]
    return ["/bin/sh", "-c", f'{join}exec "$@"', "sh", "/usr/bin/nsenter", "-t", str(pid), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "--wdns=/", "--",
            "/usr/bin/env", "-i", *settings, *argv]  # fmt: skip


def run(  # noqa: PLR0913 -- the protocol's parameters and the state directory
    node: str,
    argv: Sequence[str],
    *,
    input: str | None = None,  # noqa: A002 -- as in subprocess.run
    check: bool = True,
    timeout_s: float = 60,
    state: layout.State | None = None,
) -> subprocess.CompletedProcess[str]:
    """`kolla.Run` for whoever is on the machine itself: enters the node's namespaces."""
    inside = ["/usr/bin/timeout", "--kill-after=5", f"{timeout_s:.0f}", *argv]
    done = subprocess.run(
        command(state or layout.state(), node, inside),
        check=False,
        capture_output=True,
        text=True,
        input=input if input is not None else "",
        timeout=timeout_s + 15,
    )
    if done.returncode == 124:
        raise subprocess.TimeoutExpired(list(argv), timeout_s, done.stdout, done.stderr)
    if check and done.returncode:
        raise subprocess.CalledProcessError(done.returncode, list(argv), done.stdout, done.stderr)
    return done


@contextlib.contextmanager
def engine(state: layout.State, name: str) -> Iterator[DockerClient]:
    """The Docker engine of a node, for whoever is on the machine itself. NodeError when node or engine says no.

    Its socket is reached through the keeper's root directory. What `kolla` and the manager's programs order of Docker stays
    a command line: the same order also goes over SSH from the manager to a node, where no socket can be reached.
    """
    import docker  # noqa: PLC0415 -- this module is imported on nodes as well
    from requests import RequestException  # noqa: PLC0415

    pid = keeper_pid(state, name)
    if pid is None:
        raise NodeError(f"node {name} does not run; start the lab with: rehearse-lab up")
    try:
        with contextlib.closing(docker.DockerClient(f"unix:///proc/{pid}/root/run/docker.sock")) as client:
            yield client
    except (docker.errors.DockerException, RequestException) as error:
        raise NodeError(f"node {name}: its Docker refused: {error}") from error


def start_daemons(state: layout.State, name: str) -> None:
    """Starts sshd and dockerd of a node, if they do not run."""
    script = r"""
alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }
alive /run/sshd.pid || /usr/sbin/sshd
if ! alive /run/docker.pid; then
    rm -f /run/docker.pid
    setsid /usr/sbin/dockerd --data-root /var/lib/docker --exec-root /run/docker --pidfile /run/docker.pid \
        -H unix:///run/docker.sock --group docker --bridge=none --iptables=false --ip6tables=false --ip-forward=false \
        --ip-masq=false --storage-driver overlay2 --log-level warn --log-opt max-size=20m --log-opt max-file=2 >>/var/log/dockerd.log 2>&1 </dev/null &
fi
tries=0
until /usr/bin/docker version >/dev/null 2>&1; do
    tries=$((tries + 1)); [ $tries -lt 300 ] || { tail -n 3 /var/log/dockerd.log >&2; exit 1; }; sleep 0.1
done
"""
    done = run(name, ["/bin/sh", "-c", script], check=False, timeout_s=60, state=state)
    if done.returncode:
        raise NodeError(
            f"dockerd did not come up on {name}: {done.stderr.strip() or 'no output'}; its log: /var/log/dockerd.log on the node"
        )
