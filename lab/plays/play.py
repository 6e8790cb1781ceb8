"""Ansible's way of going through hosts: tasks in order, failed hosts left out, recap, exit code.

A host that failed or was unreachable takes no further part; the others go on (kolla-ansible's
``max_fail_percentage`` is 100). A *fatal* task, as every database task is, ends the play for all.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from dataclasses import field

from lab import kolla
from lab.plays.remote import Unreachable
from lab.plays.variables import VariableError

#: Exit codes of ``ansible-playbook``.
OK = 0
ERROR = 1
FAILED = 2
UNREACHABLE = 4

#: What a task says it did to a host.
Action = Callable[[str], bool | str | None]

_WIDTH = 79


class TaskFailed(Exception):  # noqa: N818 - the outcome's name, as Ansible prints it
    """A task found something that must stop it; the message is for the operator."""


class PlayEnded(Exception):  # noqa: N818 - not an error of the program
    """No host is left, or a task that is fatal for all of them has failed."""


@dataclass(slots=True)
class Play:
    """Tasks over hosts, printed and counted as Ansible does."""

    hosts: tuple[str, ...]
    say: Callable[[str], None] = print
    forks: int = 5
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    _playing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for host in self.hosts:
            self.counts[host] = Counter()

    def alive(self, hosts: Sequence[str]) -> tuple[str, ...]:
        """Hosts that take part in this play and have not failed."""
        return tuple(host for host in hosts if host in self.counts and host not in self.dropped)

    def begin(self, title: str, hosts: Sequence[str]) -> bool:
        """Announce a play; false when none of its hosts takes part."""
        self.say("")
        self.say(f"PLAY [{title}] ".ljust(_WIDTH, "*"))
        self._playing = self.alive(hosts)
        if self._playing:
            return True
        self.say("skipping: no hosts matched")
        return False

    def task(self, title: str, hosts: Sequence[str], action: Action, *, fatal: bool = False) -> dict[str, bool]:
        """Do one thing on each host at the same time; true where something changed.

        An action returns whether it changed something, or a string: changed, with this said.

        Raises:
            PlayEnded: a fatal task failed, or no host is left.

        """
        hosts = self.alive(hosts)
        if not hosts:
            return {}
        self.say("")
        self.say(f"TASK [{title}] ".ljust(_WIDTH, "*"))
        with ThreadPoolExecutor(max_workers=self.forks) as pool:
            outcomes = list(pool.map(lambda host: self._one(host, action), hosts))
        changed: dict[str, bool] = {}
        for host, (kind, message) in zip(hosts, outcomes, strict=True):
            self._count(host, kind, message)
            if kind in {"ok", "changed"}:
                changed[host] = kind == "changed"
        if (fatal and len(changed) < len(hosts)) or (self._playing and not self.alive(self._playing)):
            raise PlayEnded
        return changed

    def once(self, title: str, host: str, action: Action) -> bool:
        """Do one thing on one host for all of them (``run_once``); fatal when it fails."""
        return any(self.task(title, (host,), action, fatal=True).values())

    def skip(self, title: str, hosts: Sequence[str]) -> None:
        """Say that a task has nothing to do on these hosts."""
        hosts = self.alive(hosts)
        if hosts:
            self.say("")
            self.say(f"TASK [{title}] ".ljust(_WIDTH, "*"))
        for host in hosts:
            self.counts[host]["skipped"] += 1
            self.say(f"skipping: [{host}]")

    def recap(self) -> int:
        """Print the recap; returns the exit code."""
        self.say("")
        self.say("PLAY RECAP ".ljust(_WIDTH, "*"))
        for host in sorted(host for host, count in self.counts.items() if count):
            count = self.counts[host]
            numbers = "    ".join(
                f"{name}={count[name]}" for name in ("ok", "changed", "unreachable", "failed", "skipped")
            )
            self.say(f"{host:<26} : {numbers}    rescued=0    ignored=0")
        kinds = set(self.dropped.values())
        if "unreachable" in kinds:
            return UNREACHABLE
        return FAILED if kinds else OK

    @staticmethod
    def _one(host: str, action: Action) -> tuple[str, str]:
        try:
            done = action(host)
        except Unreachable as error:
            return "unreachable", str(error)
        except subprocess.CalledProcessError as error:
            return "failed", _command_failed(error)
        except (TaskFailed, VariableError, kolla.PullError, kolla.RecreateError, kolla.NotHealthyError) as error:
            return "failed", str(error)
        if isinstance(done, str):
            return "changed", done
        return ("changed" if done else "ok"), ""

    def _count(self, host: str, kind: str, message: str) -> None:
        count = self.counts[host]
        if kind in {"failed", "unreachable"}:
            count[kind] += 1
            self.dropped[host] = kind
            word = "FAILED" if kind == "failed" else "UNREACHABLE"
            body = {"changed": False, "msg": message} | ({"unreachable": True} if kind == "unreachable" else {})
            self.say(f"fatal: [{host}]: {word}! => {json.dumps(body)}")
            return
        count["ok"] += 1
        if kind == "changed":
            count["changed"] += 1
        self.say(f"{kind}: [{host}]" + (f" => {message}" if message else ""))


def _command_failed(error: subprocess.CalledProcessError) -> str:
    """Say which command ended how, with the last lines that it wrote."""
    output = (error.stderr or "").strip() or (error.stdout or "").strip()
    command = shlex.join(error.cmd) if isinstance(error.cmd, list) else str(error.cmd)
    shown = command if len(command) < 300 else f"{command[:280]} ..."
    return f"non-zero return code {error.returncode}: {shown}: " + " | ".join(output.splitlines()[-8:])
