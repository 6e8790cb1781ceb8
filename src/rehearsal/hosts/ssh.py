"""What runs on the hosts: containers and images of each, in one SSH round trip per host, many hosts at once.

Invariant: a host that did not answer is a fact with an `error`, never a host without containers. What runs on the host is
`hosts.look`, which travels inside the command; OSISM's `osism container` is not used, because it hides exit codes.
"""

from __future__ import annotations

import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.figures import say
from rehearsal.hosts import view
from rehearsal.outside import bounded
from rehearsal.recording.events import HostFacts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.cloud.target import Host
    from rehearsal.cloud.target import Target

LOOK_TIMEOUT_S = 90.0
AT_ONCE = 16


def way_to(host: Host) -> list[str]:
    """Return ssh's options for one host: the name under which its key is kept, and its own user, port and jump host."""
    return ["-o", f"HostKeyAlias={host.name}", *(["-l", host.user] if host.user else []), *host.detour]


class Ssh:
    """OpenSSH to the hosts of one target. Connections are shared and stay open for a minute, so that looking is cheap."""

    def __init__(self, target: Target) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="rehearse-ssh-")
        self.config = Path(self._directory.name) / "config"
        view.write_ssh_config(self.config, target.operator_user, target.operator_key)
        sharing = [
            "  ControlMaster auto",
            f"  ControlPath {self._directory.name}/%C",
            "  ControlPersist 60",
            f"  UserKnownHostsFile {self._directory.name}/known_hosts {Path.home()}/.ssh/known_hosts",
        ]
        self.config.write_text(self.config.read_text() + "\n".join(sharing) + "\n")

    def run(self, host: Host, command: str, timeout_s: float = LOOK_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """Run a shell command on a host. Raises subprocess.TimeoutExpired or OSError if ssh itself cannot go on.

        What the host says is bounded; bytes that are no UTF-8 become U+FFFD.
        """
        argv = ["ssh", "-F", str(self.config), *way_to(host), "--", host.address, command]
        return bounded.run(argv, timeout_s=timeout_s)

    def alone(self, host: Host, command: str) -> list[str]:
        """Return the command line that runs a shell command on a host over a connection that is shared with nobody."""
        own = ["-T", "-o", "ControlMaster=no", "-o", "ControlPath=none", *way_to(host)]
        return ["ssh", "-F", str(self.config), *own, "--", host.address, command]

    def close(self) -> None:
        """End the shared connections and forget the files."""
        for path in Path(self._directory.name).iterdir():
            if path.is_socket():
                subprocess.run(
                    ["ssh", "-o", f"ControlPath={path}", "-O", "exit", "rehearse"],
                    capture_output=True,
                    timeout=10,
                    check=False,
                    stdin=subprocess.DEVNULL,
                )
        self._directory.cleanup()


def container_facts(
    target: Target, label: str, *, hosts: Iterable[Host] | None = None, ssh: Ssh | None = None
) -> list[HostFacts]:
    """Return the containers and images of each host (default: all), sorted by host; a host not seen has an `error`."""
    own = ssh or Ssh(target)
    chosen = sorted(hosts if hosts is not None else target.hosts, key=lambda host: host.name)
    try:
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            return list(pool.map(lambda host: _facts_of(own, host, label), chosen))
    finally:
        if ssh is None:
            own.close()


def _facts_of(ssh: Ssh, host: Host, label: str) -> HostFacts:
    try:
        done = ssh.run(host, view.look_command({}, parts_wanted=view.OF_CONTAINERS))
    except subprocess.TimeoutExpired:
        return HostFacts(label, host.name, error=f"it did not answer within {say.exact_s(LOOK_TIMEOUT_S)}")
    except OSError as error:
        return HostFacts(label, host.name, error=f"ssh cannot be started: {error}")
    if done.returncode == 255:
        said = done.stderr.strip().splitlines()
        return HostFacts(
            label, host.name, error=f"it cannot be reached over SSH: {said[-1][:300] if said else 'no reason given'}"
        )
    answer: dict[str, Any] = view.read_answer(done.returncode, done.stdout, done.stderr)
    if answer.get("error"):
        return HostFacts(label, host.name, error=str(answer["error"]))
    unseen = {name: text for name, text in answer.get("errors", {}).items() if name in {"containers", "images"}}
    if unseen:
        return HostFacts(label, host.name, error="; ".join(f"{name}: {text}" for name, text in sorted(unseen.items())))
    return HostFacts(label, host.name, answer["containers"], [image["reference"] for image in answer["images"]])
