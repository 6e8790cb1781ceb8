"""What the machine must bring and what the lab installs on it: preconditions, Debian packages, virtual environments.

Nothing is started, stopped or configured outside the state directory: while Debian's packages are installed, a
policy-rc.d keeps them from starting services (one that is there already stays as it is).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lab import cgroups
from lab import layout
from lab import releases
from lab import upstream
from lab.manager.release import RELEASES as OSISM_RELEASES
from lab.unfit import UnfitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.deploy import Say

GIB = 1024**3
MEMORY_BYTES = 7 * GIB
DISK_BYTES = 6 * GIB
DISK_WARM_BYTES = 3 * GIB
_POLICY = Path("/usr/sbin/policy-rc.d")
PYTHON = "/usr/bin/python3"

PACKAGES: tuple[str, ...] = (
    # the nodes themselves
    "docker.io", "containerd", "runc", "openssh-server", "openssh-client", "sudo", "iproute2", "iptables", "procps", "psmisc", "ethtool", "iputils-ping",
    "dumb-init", "util-linux", "socat", "curl", "openssl", "ca-certificates", "git", "make",
    # what the containers run
    "mariadb-server", "mariadb-client", "rabbitmq-server", "memcached", "haproxy", "keepalived", "cron", "logrotate", "redis-server", "novnc",
    "openvswitch-switch", "ovn-central", "ovn-host",
    "libvirt-daemon-system", "libvirt-daemon-driver-qemu", "libvirt-clients", "qemu-system-x86", "qemu-utils", "genisoimage",
    # the virtual environments (libvirt-python is built from source) and the guest image
    "python3", "python3-venv", "python3-dev", "gcc", "libc6-dev", "pkg-config", "libvirt-dev", "e2fsprogs",
)  # fmt: skip


def check(state: layout.State) -> None:
    """Raises UnfitError with one sentence if the lab cannot come up here; touches nothing."""
    if sys.platform != "linux":
        raise UnfitError(f"The lab needs Linux (namespaces, control groups, veth); this is {sys.platform}.")
    if os.geteuid() != 0:
        raise UnfitError(
            "The lab makes namespaces and starts Docker daemons in them, which needs root; run it with sudo."
        )
    if not Path("/usr/bin/apt-get").exists():
        raise UnfitError("The lab installs Debian packages and needs apt-get; use Debian 12.")
    if not Path(PYTHON).exists():
        raise UnfitError(
            f"The lab's services run on Debian's own Python, and {PYTHON} is missing; install it: apt-get install python3."
        )
    if not cgroups.hierarchies():
        raise UnfitError("No control group hierarchy is mounted; Docker needs one (mount /sys/fs/cgroup).")
    available = _memory_available()
    if available < MEMORY_BYTES:
        raise UnfitError(
            f"The lab needs {MEMORY_BYTES // GIB} GiB of free memory; {available / GIB:.1f} GiB are available."
        )
    existing = next(path for path in (state.root, *state.root.parents) if path.exists())
    needed = DISK_WARM_BYTES if all(complete(venv) for venv, _ in environments(state)) else DISK_BYTES
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise UnfitError(
            f"The lab needs {needed // GIB} GiB of free disk below {state.root}; {free / GIB:.1f} GiB are free (set {layout.STATE_VARIABLE} to use another place)."
        )


def _memory_available() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def missing_packages() -> list[str]:
    """The Debian packages that are not installed."""
    listed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n", *PACKAGES],
        check=False,
        capture_output=True,
        text=True,
    ).stdout
    installed = {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")}
    return [package for package in PACKAGES if package not in installed]


def install_packages(state: layout.State, say: Say) -> None:
    """Installs the missing Debian packages without letting them start anything. UnfitError with apt's last line."""
    remove_own_policy(state)
    missing = missing_packages()
    if not missing:
        return
    say(f"installing {len(missing)} Debian packages")
    if not _POLICY.exists():
        # The note comes first: whoever finds it knows that the file is ours, even if this process dies in between.
        _policy_note(state).write_text("made by rehearse-lab\n")
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    log = state.log / "apt.log"
    try:
        for argv in (
            ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq", "update"],
            ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-q", "-y", "--no-install-recommends", "install", *missing],
        ):
            with log.open("ab") as file:
                done = subprocess.run(
                    argv, check=False, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment
                )
            if done.returncode and "install" in argv:
                raise UnfitError(
                    f"Debian's packages could not be installed ({_last_line(log)}); the whole output is in {log}."
                )
    finally:
        remove_own_policy(state)


def remove_own_policy(state: layout.State) -> None:
    """Removes a policy-rc.d that an earlier, killed `up` left behind."""
    if _policy_note(state).exists():
        _POLICY.unlink(missing_ok=True)
        _policy_note(state).unlink()


def _policy_note(state: layout.State) -> Path:
    return state.root / "policy-rc.d-is-ours"


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no output"


def environments(state: layout.State) -> list[tuple[Path, Path]]:
    """Every virtual environment of the lab with its lock file."""
    services = [(release.venv(state), release.lock) for release in releases.RELEASES.values()]
    return services + [(osism.venv(state), osism.lock) for osism in OSISM_RELEASES.values()]


def complete(venv: Path) -> bool:
    """Whether the environment was built to its end."""
    return (venv / ".complete").exists()


def build_environments(state: layout.State, say: Say) -> None:
    """Builds the missing virtual environments from their lock files, byte code included. UnfitError with uv's last words."""
    state.venvs.mkdir(parents=True, exist_ok=True)
    for venv, lock in environments(state):
        if complete(venv):
            continue
        say(f"building the environment {venv.name}")
        uv = _uv(state)
        _quiet(state, [uv, "venv", "--quiet", "--clear", "--python", PYTHON, str(venv)])
        # Byte code at once: the environment is read-only for the services, and each start would compile hundreds of modules again.
        _quiet(
            state,
            [
                uv,
                "pip",
                "install",
                "--quiet",
                "--python",
                str(venv / "bin/python"),
                "--require-hashes",
                "--compile-bytecode",
                "--requirement",
                str(lock),
            ],
        )
        (venv / ".complete").touch()
    for release in releases.RELEASES.values():
        upstream.change(release.venv(state))


def forget_environments(state: layout.State) -> None:
    """Removes environments that no lock file names any more; only while nothing runs from them."""
    wanted = {venv for venv, _ in environments(state)}
    for venv in state.venvs.iterdir() if state.venvs.exists() else ():
        if venv not in wanted:
            shutil.rmtree(venv, ignore_errors=True)


def _uv(state: layout.State) -> str:
    home = state.cache / "uv"
    program = home / "bin/uv"
    if not program.exists():
        _quiet(state, [PYTHON, "-m", "venv", "--clear", str(home)])
        _quiet(
            state,
            [
                str(home / "bin/python"),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--require-hashes",
                "--requirement",
                str(releases.LOCKS / "uv.txt"),
            ],
        )
    return str(program)


def _quiet(state: layout.State, argv: Sequence[str]) -> None:
    log = state.log / "environments.log"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PYTHON") and key != "VIRTUAL_ENV"},
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_CACHE_DIR": str(state.cache / "uv-cache"),
    }
    with log.open("ab") as file:
        done = subprocess.run(
            argv,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=environment,
            preexec_fn=_die_with_parent,
        )
    if done.returncode:
        raise UnfitError(f"{Path(argv[0]).name} {argv[1]} failed ({_last_line(log)}); the whole output is in {log}.")


def _die_with_parent() -> None:
    """An installer must not outlive a killed `up` (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
