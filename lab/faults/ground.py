"""What faults stand on: commands on the nodes, notes of what is broken, instants of beginning and end."""

from __future__ import annotations

import contextlib
import functools
import json
import re
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any

from lab import catalogue
from lab import kolla
from lab import layout
from lab import nodes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping
    from collections.abc import Sequence


class FaultError(Exception):
    """A fault that cannot be made or mended; the message is for the operator."""


@dataclass(frozen=True, slots=True)
class Ground:
    """The lab as a fault touches it."""

    state: layout.State = field(default_factory=layout.state)
    given_run: kolla.Run | None = None

    @property
    def run(self) -> kolla.Run:
        """Run a command as root on a node."""
        return self.given_run or functools.partial(nodes.run, state=self.state)

    def python(self, node: str, source: str, arguments: Sequence[str] = (), *, timeout_s: float = 60) -> Any:
        """Run a small program on a node with Debian's Python; what it prints last is JSON and is returned.

        One program makes, times and mends a fault whose length matters: no process start lies between
        the clock and the deed.
        """
        done = self.run(node, ["/usr/bin/python3", "-", *arguments], input=source, check=False, timeout_s=timeout_s)
        if done.returncode:
            words = (done.stderr or done.stdout).strip().splitlines()
            raise FaultError(f"{node}: {words[-1] if words else f'status {done.returncode}'}")
        return json.loads(done.stdout.strip().splitlines()[-1])

    def container(self, host: str, name: str) -> kolla.ContainerState:
        """A container that must exist.

        Raises:
            FaultError: it does not exist on the host.

        """
        found = kolla.container_state(self.run, host, name)
        if found is None:
            raise FaultError(f"{host} has no container {name}; see: rehearse-lab exec {host} -- docker ps -a")
        return found

    def host(self, name: str, container: str) -> str:
        """Check a host's name, or find the only host of a container.

        Raises:
            FaultError: no such node, or several could be meant.

        """
        if name:
            try:
                return layout.node(name).name
            except KeyError as error:
                raise FaultError(str(error.args[0])) from None
        try:
            hosts = catalogue.container(container).nodes
        except KeyError as error:
            raise FaultError(str(error.args[0])) from None
        if len(hosts) != 1:
            raise FaultError(f"{container} runs on {', '.join(hosts)}: say on which (host=NODE)")
        return hosts[0]

    # Notes: what is broken now and what mending needs to know; they die with the lab.

    def note(self, fault: str, key: str, values: Mapping[str, Any]) -> None:
        """Remember that a fault is made."""
        path = self._note(fault, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"fault": fault, "key": key, **values}))

    @contextlib.contextmanager
    def making(self, fault: str, key: str, values: Mapping[str, Any]) -> Iterator[None]:
        """Note a fault before it is made, so that it can be mended whatever happens; forget it if it could not be."""
        self.note(fault, key, values)
        try:
            yield
        except FaultError:
            self.forget(fault, key)
            raise

    def noted(self, fault: str, key: str) -> dict[str, Any] | None:
        """What was remembered; None when the fault is not made."""
        path = self._note(fault, key)
        return dict(json.loads(path.read_text())) if path.exists() else None

    def forget(self, fault: str, key: str) -> None:
        """The fault is mended."""
        self._note(fault, key).unlink(missing_ok=True)

    def notes(self) -> list[dict[str, Any]]:
        """Every fault that is made now."""
        directory = self.state.run / "faults"
        return [dict(json.loads(path.read_text())) for path in sorted(directory.glob("*.json"))]

    def _note(self, fault: str, key: str) -> Any:
        return self.state.run / "faults" / (re.sub(r"[^a-z0-9.-]+", "_", f"{fault}.{key}".lower()) + ".json")
