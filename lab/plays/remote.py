"""One command on one node over SSH, as the operator, the way Ansible reaches it.

The connection to each node is made once per play and shared by its commands (OpenSSH's control
master), as Ansible's ``ControlPersist`` does. Status 255 is OpenSSH's own: the node is unreachable.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Sequence

#: The operator's key and the known hosts, where OSISM's containers have them.
KEY_FILE = Path("/ansible/secrets/id_rsa.operator")
KNOWN_HOSTS = Path("/share/known_hosts")
OPERATOR = "dragon"

#: OpenSSH's status when it could not reach the node at all.
STATUS_UNREACHABLE = 255


class Unreachable(Exception):  # noqa: N818 - the outcome's name, as Ansible prints it
    """The node did not answer over SSH."""


@dataclass(slots=True)
class Ssh:
    """Commands on nodes over OpenSSH; ``address_of`` gives a node's address."""

    address_of: Callable[[str], str]
    key_file: Path = KEY_FILE
    known_hosts: Path = KNOWN_HOSTS
    user: str = OPERATOR
    _control: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="ssh-", dir="/tmp")
    )

    def __call__(
        self,
        node: str,
        argv: Sequence[str],
        *,
        input: str | None = None,  # noqa: A002 - the name that lab.kolla.Run has from subprocess.run
        check: bool = True,
        timeout_s: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root on a node.

        Raises:
            Unreachable: the node did not answer, or not within ``timeout_s``.
            subprocess.CalledProcessError: ``check`` is set and the status is not 0.

        """
        remote = shlex.join(["sudo", "-n", *argv])
        try:
            # Never the worker's own standard input: ssh would eat it.
            done = subprocess.run(
                [*self._ssh(node), "--", remote],
                input=input or "",
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unreachable(f"{shlex.join(argv)[:200]}: no answer within {timeout_s:g} s") from None
        if done.returncode == STATUS_UNREACHABLE:
            raise Unreachable(done.stderr.strip() or f"Failed to connect to {node} via ssh")
        if check and done.returncode:
            raise subprocess.CalledProcessError(done.returncode, list(argv), done.stdout, done.stderr)
        return done

    def close(self) -> None:
        """End the shared connections."""
        for socket in Path(self._control.name).iterdir():
            subprocess.run(
                ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "node"],
                capture_output=True,
                check=False,
                timeout=10,
            )
        self._control.cleanup()

    def _ssh(self, node: str) -> list[str]:
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "10",
            "ControlMaster": "auto",
            "ControlPath": str(Path(self._control.name) / "%h"),
            "ControlPersist": "60",
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
            "ServerAliveCountMax": "3",
            "ServerAliveInterval": "5",
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": str(self.known_hosts if os.access(self.known_hosts, os.R_OK) else "/dev/null"),
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-F", "/dev/null", "-i", str(self.key_file), *words, f"{self.user}@{self.address_of(node)}"]
