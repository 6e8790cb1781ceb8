"""What a role is given: the cloud as this play may touch it, in kolla-ansible's vocabulary.

A role says *what* happens in which order; this says *how*: which hosts a group has left after
``--limit``, which image a container gets, whether it must be replaced, how a database command is run
in a one-shot container. All of it goes over ``run``, one command on one node.
"""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import time
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any

from lab import catalogue
from lab import kolla
from lab import layout
from lab.plays import imagerefs
from lab.plays.play import Play
from lab.plays.play import TaskFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable
    from collections.abc import Sequence

    from lab.plays.inventory import Inventory
    from lab.plays.variables import Variables
    from lab.releases import Release

#: A container on a host.
Place = tuple[str, str]

#: A database command may take minutes on a large cloud; on the lab it takes seconds.
DATABASE_TIMEOUT_S = 900.0

_PORTS = {
    "haproxy_monitor": layout.HAPROXY_MONITOR_PORT,
    "mariadb": layout.DATABASE_PORT,
    "rabbitmq": layout.RABBITMQ_PORT,
}


@dataclass(slots=True)
class Site:
    """The cloud of one play."""

    role: str
    action: str
    inventory: Inventory
    variables: Callable[[str], Variables]
    run: kolla.Run
    play: Play
    release: Release
    state: layout.State = field(default_factory=layout.state)
    #: Containers that are not as they should be and therefore are replaced, not only restarted.
    differing: set[Place] = field(default_factory=set)
    _reconfigured: set[Place] = field(default_factory=set)
    _sleep: Callable[[float], None] = time.sleep

    # --- hosts -------------------------------------------------------------------------------------

    def begin(self, title: str, *groups: str) -> bool:
        """Announce a play over groups; false when ``--limit`` leaves none of their hosts."""
        return self.play.begin(title, [host for group in groups for host in self.inventory.groups.get(group, ())])

    def hosts(self, group: str) -> tuple[str, ...]:
        """Hosts of a group that take part."""
        return self.play.alive(self.inventory.groups.get(group, ()))

    def places(self, names: Iterable[str]) -> set[Place]:
        """Where these containers belong, as far as the hosts take part."""
        found = set()
        for name in names:
            container = catalogue.container(name)
            if self.release.name in container.commands:
                found |= {(host, name) for host in self.hosts(container.group)}
        return found

    @staticmethod
    def hosts_of(places: Iterable[Place], name: str) -> tuple[str, ...]:
        """Hosts among these places that have the container."""
        return tuple(sorted(host for host, container in places if container == name))

    # --- variables ---------------------------------------------------------------------------------

    def value(self, name: str, default: Any) -> Any:
        """Value of a variable that is the same for every host."""
        return self.variables(self.play.hosts[0]).get(name, default)

    def flag(self, name: str, *, default: bool) -> bool:
        """Value of a yes/no variable that is the same for every host."""
        return self.variables(self.play.hosts[0]).flag(name, default=default)

    def reference(self, host: str, name: str) -> str:
        """Image reference that the container gets on this host."""
        return imagerefs.reference(self.variables(host), name)

    # --- containers --------------------------------------------------------------------------------

    def config(self, names: Sequence[str]) -> None:
        """Write the containers' configuration files; what changed is replaced later."""
        places = self.places(names)
        for name in names:
            container = catalogue.container(name)
            hosts = self.hosts_of(places, name)
            changed = self.play.task(
                f"{self.role} : Copying over config files for {container.config_dir}",
                hosts,
                lambda host, container=container: kolla.write_config(  # type: ignore[misc]
                    self.run, host, container, self.release, state=self.state
                ),
            )
            self._reconfigured |= {(host, name) for host, did in changed.items() if did}

    def check_containers(self, names: Sequence[str]) -> set[Place]:
        """Find the containers that are missing, stopped, on another image or on an older configuration."""
        places = self.places(names)
        found: set[Place] = set()

        def check(host: str) -> str | None:
            states = kolla.container_states(self.run, host)
            mine = [name for name in names if (host, name) in places]
            wanted = {name: self.reference(host, name) for name in mine}
            local = self._image_ids(host, wanted.values())
            reasons = []
            for name in mine:
                reason = _difference(states.get(name), wanted[name], local.get(wanted[name]))
                if reason is None and (host, name) in self._reconfigured:
                    reason = "configuration changed"
                if reason is not None:
                    found.add((host, name))
                    reasons.append(f"{name}: {reason}")
            return "; ".join(reasons) or None

        self.play.task(
            f"{self.role} : Check containers", tuple(dict.fromkeys(host for host, _ in sorted(places))), check
        )
        self.differing |= found
        return found

    def restart(self, names: Sequence[str], places: set[Place], *, title: str | None = None) -> None:
        """Replace, or only restart, these containers in this order; hosts at the same time."""
        for name in names:
            hosts = self.hosts_of(places & self.places([name]), name)
            heading = f"{title} ({name})" if title else f"Restart {name} container"
            self.play.task(f"{self.role} : {heading}", hosts, lambda host, name=name: self._restart(host, name))  # type: ignore[misc]

    def stop(self, name: str, hosts: Sequence[str], *, title: str | None = None) -> None:
        """Stop a container with kolla's graceful timeout."""

        def stop(host: str) -> bool:
            self.run(
                host,
                ["docker", "stop", "--time", str(catalogue.STOP_TIMEOUT_S), name],
                timeout_s=catalogue.STOP_TIMEOUT_S + 30,
            )
            self.differing.add((host, name))
            return True

        self.play.task(f"{self.role} : {title or f'Stop {name} container'}", hosts, stop)

    def present(self, names: Sequence[str]) -> set[Place]:
        """Where these containers exist now."""
        places = self.places(names)
        found = set()
        for host in dict.fromkeys(host for host, _ in sorted(places)):
            states = kolla.container_states(self.run, host)
            found |= {(host, name) for name in names if (host, name) in places and name in states}
        return found

    def pull(self, names: Sequence[str]) -> None:
        """Make the images available on the hosts, as ``-a pull`` does."""
        places = self.places(names)
        for image in dict.fromkeys(catalogue.container(name).image for name in names):
            users = [name for name in names if catalogue.container(name).image == image]
            hosts = tuple(sorted({host for host, name in places if name in users}))
            self.play.task(
                f"{self.role} : Pull {image} image",
                hosts,
                lambda host, users=users: self._pull(host, users[0]),  # type: ignore[misc]
            )

    # --- databases ---------------------------------------------------------------------------------

    def database(self, title: str, name: str, command: str, *, ok: Sequence[int] = (0,)) -> None:
        """Run a database command once, in a one-shot container of the new image; fatal when it fails."""
        container = catalogue.container(name)
        hosts = self.hosts(container.group)
        if not hosts:
            return

        def act(host: str) -> str:
            self._ensure_image(host, name)
            begun = time.monotonic()
            done = kolla.run_task(
                self.run,
                host,
                container,
                self.release,
                shlex.split(command),
                name=f"bootstrap_{self.role}",
                state=self.state,
                check=False,
                timeout_s=DATABASE_TIMEOUT_S,
                reference=self.reference(host, name),
            )
            if done.returncode not in ok:
                raise subprocess.CalledProcessError(done.returncode, shlex.split(command), done.stdout, done.stderr)
            for line in done.stdout.strip().splitlines()[-30:]:
                self.play.say(f"    {line}")
            return f"{command}: status {done.returncode} after {time.monotonic() - begun:.1f} s"

        self.play.once(f"{self.role} : {title}", hosts[0], act)

    def trust_function_creators(self, *, enabled: bool) -> None:
        """Let schema migrations create triggers while MariaDB writes a binary log."""
        databases = self.inventory.groups.get("mariadb", ())
        hosts = self.play.alive(self.play.hosts)
        if not databases or not hosts:
            return
        word, value = ("Enable", 1) if enabled else ("Disable", 0)

        def act(_host: str) -> bool:
            self.run(
                databases[0],
                [
                    *("docker", "exec", "mariadb", "mariadb", "--user", "root"),
                    *("--socket", "/run/mysqld/mysqld.sock", "--execute"),
                    f"SET GLOBAL log_bin_trust_function_creators = {value}",
                ],
            )
            return True

        self.play.once(f"{self.role} : {word} log_bin_trust_function_creators function", hosts[0], act)

    # --- commands in containers --------------------------------------------------------------------

    def each(self, title: str, name: str, command: str, hosts: Sequence[str]) -> None:
        """Run a command in a running container on each host."""

        def act(host: str) -> bool:
            self.run(host, ["docker", "exec", name, *shlex.split(command)], timeout_s=120)
            return True

        self.play.task(f"{self.role} : {title}", hosts, act)

    def answer(self, title: str, name: str, command: str, *, ok: Sequence[int] = (0, 1)) -> bool:
        """Ask a command in a running container a question; true when it answers with a status other than 0."""
        hosts = self.hosts(catalogue.container(name).group) or self.inventory.groups[catalogue.container(name).group]
        asker = hosts[0] if hosts[0] in self.play.counts else self.play.alive(self.play.hosts)[0]
        statuses: list[int] = []

        def act(_host: str) -> None:
            done = self.run(hosts[0], ["docker", "exec", name, *shlex.split(command)], check=False, timeout_s=300)
            if done.returncode not in ok:
                raise subprocess.CalledProcessError(done.returncode, shlex.split(command), done.stdout, done.stderr)
            statuses.append(done.returncode)

        self.play.once(f"{self.role} : {title}", asker, act)
        return bool(statuses and statuses[0])

    def text(self, title: str, name: str, command: str) -> str:
        """Output of a command in a running container."""
        host = self.hosts(catalogue.container(name).group)[0]
        lines: list[str] = []

        def act(_host: str) -> None:
            lines.append(self.run(host, ["docker", "exec", name, *shlex.split(command)], timeout_s=120).stdout)

        self.play.once(f"{self.role} : {title}", host, act)
        return "".join(lines).strip()

    # --- waiting -----------------------------------------------------------------------------------

    def wait_command(self, title: str, name: str, command: str, hosts: Sequence[str], *, within_s: float = 60) -> None:
        """Wait until a command in the container succeeds."""

        def act(host: str) -> None:
            def works() -> str | None:
                done = self.run(
                    host, ["docker", "exec", name, *shlex.split(command)], check=False, timeout_s=within_s + 30
                )
                return None if done.returncode == 0 else (done.stderr or done.stdout).strip()[-300:]

            self._until(works, f"{name}: {command}", within_s)

        self.play.task(f"{self.role} : {title}", hosts, act)

    def wait_port(self, title: str, hosts: Sequence[str], port: str) -> None:
        """Wait until a port on each host takes connections."""

        def act(host: str) -> None:
            address = str(self.variables(host)["ansible_host"])
            self._until(lambda: _connects(address, _PORTS[port]), f"{address}:{_PORTS[port]}", 300)

        self.play.task(f"{self.role} : {title}", hosts, act)

    def wait_vip(self, title: str, group: str) -> None:
        """Wait until HAProxy answers on the internal VIP."""
        hosts = self.hosts(group)
        if not hosts:
            return
        address = str(self.value("kolla_internal_vip_address", layout.INTERNAL_VIP))
        port = _PORTS["haproxy_monitor"]
        self.play.once(
            f"{self.role} : {title}",
            hosts[0],
            lambda _host: self._until(lambda: _connects(address, port), f"{address}:{port}", 300),
        )

    def pause(self, title: str, seconds: float) -> None:
        """Wait a fixed time, as kolla does where there is nothing to look at."""
        hosts = self.play.alive(self.play.hosts)
        if hosts:
            self.play.once(f"{self.role} : {title}", hosts[0], lambda _host: self._sleep(seconds))

    def _until(self, look: Callable[[], str | None], what: str, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while (seen := look()) is not None:
            if time.monotonic() > deadline:
                raise TaskFailed(f"Timeout when waiting for {what} ({within_s:g} s): {seen}")
            self._sleep(0.5)

    # --- one container -----------------------------------------------------------------------------

    def _restart(self, host: str, name: str) -> str:
        container = catalogue.container(name)
        begun = time.monotonic()
        if (host, name) in self.differing:
            self._ensure_image(host, name)
            kolla.recreate(
                self.run, host, container, self.release, state=self.state, reference=self.reference(host, name)
            )
            self.differing.discard((host, name))
            did = f"recreated with {self.reference(host, name)}"
        else:
            self.run(
                host,
                ["docker", "restart", "--time", str(catalogue.STOP_TIMEOUT_S), name],
                timeout_s=catalogue.STOP_TIMEOUT_S + 60,
            )
            did = "restarted"
        return f"{name} {did} in {time.monotonic() - begun:.1f} s"

    def _ensure_image(self, host: str, name: str) -> None:
        """Pull the image unless the host has it, as starting a container does."""
        reference = self.reference(host, name)
        if not self._image_ids(host, [reference]):
            self._pull(host, name)

    def _pull(self, host: str, name: str) -> bool:
        reference = self.reference(host, name)
        before = self._image_ids(host, [reference]).get(reference)
        kolla.pull(self.run, host, catalogue.container(name).image, self.release, state=self.state, reference=reference)
        return self._image_ids(host, [reference]).get(reference) != before

    def _image_ids(self, host: str, references: Iterable[str]) -> dict[str, str]:
        """Id of each reference that the host has."""
        wanted = sorted(set(references))
        done = self.run(
            host,
            ["docker", "image", "inspect", "--format", "{{json .RepoTags}} {{.Id}}", *wanted],
            check=False,
        )
        found: dict[str, str] = {}
        for line in filter(None, done.stdout.splitlines()):  # a missing image leaves an empty line
            tags, _, identity = line.rpartition(" ")
            found |= {tag: identity for tag in json.loads(tags) if tag in wanted}
        return found


def _difference(state: kolla.ContainerState | None, reference: str, image_id: str | None) -> str | None:
    """Why a container is not as it should be; None when it is."""
    if state is None:
        return "is missing"
    if state.image != reference:
        return f"has {state.image}, wanted {reference}"
    if image_id is not None and state.image_id != image_id:
        return f"runs an older build of {reference}"
    if state.status != "running":
        return f"is {state.status}"
    return None


def _connects(address: str, port: int) -> str | None:
    """None when the port takes a connection, else why not."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError as error:
        return str(error)
    return None
