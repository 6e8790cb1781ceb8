"""The manager's containers: what Docker is told, in the order of OSISM's compose file.

``/opt/manager`` on a real manager is a compose project; here the same containers are made one by one,
with the same names, volumes and labels. Redis stays when the release changes, the others are replaced.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from lab import kolla
from lab import layout

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping

NODE = layout.MANAGER.name
_REDIS = "manager-redis-1"
_HASH = "com.docker.compose.config-hash"

#: Seconds after which a worker that has not announced itself is taken for broken.
READY_WITHIN_S = 90.0


class ManagerError(Exception):
    """A container of the manager did not come up; the message names it and what to look at."""


def arguments(container: str, reference: str, state: layout.State) -> list[str]:
    """The ``docker run`` of one container of the manager with that image."""
    argv = ["docker", "run", "--detach", "--name", container, "--network", "host", "--restart", "unless-stopped"]
    argv += ["--label", "com.docker.compose.project=manager"]
    for name, value in _environment(container, state).items():
        argv += ["--env", f"{name}={value}"]
    for volume in _volumes(container, state):
        argv += ["--volume", volume]
    if _COMMANDS[container][0] == "sleep":
        argv += ["--stop-signal", "KILL"]  # as the first process it would ignore any other, and be waited for
    health = _HEALTH.get(container)
    if health:
        argv += ["--health-cmd", health, "--health-interval", "10s", "--health-timeout", "10s"]
        argv += ["--health-retries", "3", "--health-start-period", "60s"]
    return [*argv, reference, *_COMMANDS[container]]


_COMMANDS = {
    _REDIS: (
        *("redis-server", "--bind", f"127.0.0.1 {layout.MANAGER.management}", "--protected-mode", "no"),
        *("--dir", "/data", "--appendonly", "yes", "--save", ""),
    ),
    "manager-inventory_reconciler-1": (
        *("celery", "-A", "osism.tasks.reconciler", "worker", "-n", "reconciler", "-Q", "reconciler"),
        *("-c", "1", "--loglevel", "INFO"),
    ),
    "osism-ansible": (
        *("celery", "-A", "osism.tasks.ansible", "worker", "-n", "osism-ansible", "-Q", "osism-ansible"),
        *("-c", "2", "--loglevel", "INFO"),
    ),
    "kolla-ansible": (
        *("celery", "-A", "osism.tasks.kolla", "worker", "-n", "kolla-ansible", "-Q", "kolla-ansible"),
        *("-c", "2", "--loglevel", "INFO"),
    ),
    "osismclient": ("sleep", "infinity"),
    "openstackclient": ("sleep", "infinity"),
}
_HEALTH = {
    _REDIS: "redis-cli ping",
    "manager-inventory_reconciler-1": "pgrep -f celery",
    "osism-ansible": "pgrep -f celery",
    "kolla-ansible": "pgrep -f celery",
    "osismclient": "pgrep sleep",
    "openstackclient": "pgrep sleep",
}
_WORKERS = {
    "manager-inventory_reconciler-1": "reconciler",
    "osism-ansible": "osism-ansible",
    "kolla-ansible": "kolla-ansible",
}


def _environment(container: str, state: layout.State) -> dict[str, str]:
    if container == _REDIS:
        return {}
    values = {
        "HOME": "/root",
        "OS_CLOUD": "admin",
        "REDIS_HOST": "redis",
        "TZ": "UTC",
        # Without OSISM's beat nothing runs on a schedule, and `osism apply facts` and `osism sync inventory`
        # would wait ten seconds for the lock under which schedules are set up.
        "GATHER_FACTS_SCHEDULE": "0",
        "INVENTORY_RECONCILER_SCHEDULE": "0",
    }
    if container in _WORKERS:
        values[layout.STATE_VARIABLE] = str(state.root)
    return values


def _volumes(container: str, state: layout.State) -> Iterable[str]:
    yield "/usr:/usr:ro"
    for name in (
        "alternatives",
        "group",
        "hosts",
        "ld.so.cache",
        "localtime",
        "nsswitch.conf",
        "passwd",
        "resolv.conf",
        "ssl",
    ):
        yield f"/etc/{name}:/etc/{name}:ro"
    if container == _REDIS:
        # `docker compose up` hands the anonymous volume on to the new container; a name does the same here.
        yield "manager_redis:/data"
        return
    yield f"{state.venvs}:{state.venvs}:ro"
    yield "/opt/configuration:/opt/configuration" + ("" if container in _WORKERS else ":ro")
    if container == "openstackclient":
        yield "/opt/configuration/environments/openstack:/etc/openstack:ro"
        return
    yield "manager_inventory:/ansible/inventory"
    yield "manager_interface:/interface"
    yield "manager_share:/share"
    yield "/opt/ansible/secrets:/ansible/secrets:ro"
    if container == "osismclient":
        yield "/opt/configuration/environments/openstack:/etc/openstack:ro"
        yield "/run/docker.sock:/run/docker.sock"
    if container in {"kolla-ansible", "osism-ansible"}:
        # The registry directory and the secrets that configuration files are made of: in OSISM's image
        # these are the registry on the network and the (decrypted) secrets.yml.
        for path in (state.registry, state.passwords, state.versions, state.pki):
            yield f"{path}:{path}:ro"


def pull(run: kolla.Run, references: Mapping[str, str], state: layout.State) -> None:
    """Load images (reference by container) into the manager's Docker.

    Raises:
        kolla.PullError: the registry lacks one.

    """
    for name in references.values():
        path = kolla.archive_path(state, name)
        if not path.exists():
            raise kolla.PullError(f"manifest for {name} not found: manifest unknown: the registry has no such image")
        run(NODE, ["docker", "load", "--quiet", "--input", str(path)], timeout_s=120)


def start(run: kolla.Run, references: Mapping[str, str], state: layout.State) -> list[str]:
    """Replace every container that is missing, stopped, on another image or with other settings; returns their names.

    Raises:
        ManagerError: a worker does not answer in time.

    """
    states = kolla.container_states(run, NODE)
    wanted = {}
    for container, name in references.items():
        seen = states.get(container)
        identity = run(NODE, ["docker", "image", "inspect", "--format", "{{.Id}}", name]).stdout.strip()
        argv = arguments(container, name, state)
        if (
            seen is None
            or (seen.status, seen.image_id) != ("running", identity)
            or seen.labels.get(_HASH) != _config_hash(argv)
        ):
            wanted[container] = [*argv[:2], "--label", f"{_HASH}={_config_hash(argv)}", *argv[2:]]
    old = [container for container in wanted if container in states]
    # All at once, as compose does: a worker takes its time to end. Redis last: without it a worker would not end at all.
    for batch in ([name for name in old if name != _REDIS], [name for name in old if name == _REDIS]):
        if batch:
            run(NODE, ["docker", "stop", "--time", "20", *batch], check=False, timeout_s=60)
            run(NODE, ["docker", "rm", "--force", *batch], check=False)
    for container, argv in wanted.items():
        run(NODE, argv)
        if container == _REDIS:
            _wait_ready(run, container)
    replaced = list(wanted)
    for container in replaced:
        _wait_ready(run, container)
    return replaced


def _config_hash(argv: list[str]) -> str:
    """What ``docker compose`` keeps in a label to see whether a container is as the file wants it."""
    return hashlib.sha256("\0".join(argv).encode()).hexdigest()


def _wait_ready(run: kolla.Run, container: str) -> None:
    worker = _WORKERS.get(container)
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        if container == _REDIS:
            done = run(NODE, ["docker", "exec", container, "redis-cli", "ping"], check=False)
            ready = done.stdout.strip() == "PONG"
        elif worker is None:
            ready = True
        else:
            logs = run(NODE, ["docker", "logs", container], check=False)
            ready = f"@{worker} ready." in logs.stdout + logs.stderr
        if ready:
            return
        if time.monotonic() > deadline:
            raise ManagerError(
                f"{container} is not ready after {READY_WITHIN_S:g} s; see: rehearse-lab exec {NODE} -- docker logs {container}"
            )
        time.sleep(0.5)
