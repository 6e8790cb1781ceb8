"""What kolla-ansible does to one container on one node: pull, write its configuration, recreate it, wait for it.

Both the first deployment (`deploy.py`) and the plays of the manager (`plays/`) are made of these functions; they differ only
in the `Run` that they pass: the deployment enters the node's namespaces, the plays go through SSH as the operator.

    pull              image from the lab's registry directory into the node's dockerd; a missing one fails as a pull does
    write_config      /etc/kolla/<config_dir>/ with config.json, as kolla's config tasks do; tells whether anything changed
    recreate          stop, remove and run the container with that release's image (kolla: recreate_or_restart_container)
    run_task          a one-shot container of that release's image: database migrations, bootstraps
    container_state   what `docker inspect` says
    wait_healthy      until the health check passes (until it runs, for containers without one)

The image decides which code runs: it holds a link to the virtual environment of its release. Nothing else tells a
container which release it is.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shlex
import tarfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Protocol

from lab import catalogue
from lab import configs
from lab import credentials
from lab import layout
from lab import releases

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable
    from collections.abc import Mapping
    from collections.abc import Sequence
    from pathlib import Path

    from lab.catalogue import Container
    from lab.releases import Release


class Run(Protocol):
    """Runs `argv` as root on a node and returns its result as text.

    With `check` a non-zero exit raises subprocess.CalledProcessError; after `timeout_s` seconds subprocess.TimeoutExpired.
    """

    def __call__(  # noqa: D102 -- the class says it
        self,
        node: str,
        argv: Sequence[str],
        *,
        input: str | None = None,  # noqa: A002 -- as in subprocess.run
        check: bool = True,
        timeout_s: float = 60,
    ) -> subprocess.CompletedProcess[str]: ...


class PullError(Exception):
    """The registry has no such image, or the node's dockerd did not take it."""


class RecreateError(Exception):
    """Docker did not create the container; the message is Docker's."""


class NotHealthyError(Exception):
    """A container did not become healthy in time; says what was seen last."""


@dataclass(frozen=True, slots=True)
class ContainerState:
    """One container as `docker inspect` shows it. `health` is None for containers without a health check."""

    name: str
    id: str
    image: str
    image_id: str
    status: str
    health: str | None
    started_at: str
    exit_code: int
    labels: Mapping[str, str]

    @property
    def good(self) -> bool:
        """Runs, and its health check (if it has one) passes."""
        return self.status == "running" and self.health in {None, "healthy"}


def pull(  # noqa: PLR0913 -- keyword arguments with defaults
    run: Run,
    node: str,
    image: str,
    release: Release,
    *,
    state: layout.State | None = None,
    reference: str | None = None,
) -> str:
    """Makes `image` of `release` available on `node` and returns its reference. PullError when the registry lacks it.

    `reference`, here and below, is for configurations that override the release's own (a hot-fix tag, a namespace).
    """
    where = state or layout.state()
    reference = reference or releases.reference(release, image, releases.load_versions(where))
    archive = archive_path(where, reference)
    if not archive.exists():
        raise PullError(f"manifest for {reference} not found: manifest unknown: the registry has no such image")
    loaded = run(node, ["docker", "load", "--quiet", "--input", str(archive)], check=False, timeout_s=120)
    if loaded.returncode:
        raise PullError(f"{node}: pulling {reference} failed: {loaded.stderr.strip()}")
    return reference


def archive_path(state: layout.State, reference: str) -> Path:
    """Where the registry directory keeps the image of that reference."""
    path, tag = reference.removeprefix(releases.REGISTRY + "/").rsplit(":", 1)
    return state.registry / path / f"{tag}.tar"


def write_config(
    run: Run, node: str, container: Container, release: Release, *, state: layout.State | None = None
) -> bool:
    """Writes /etc/kolla/<config_dir>/ on the node; True when that changed anything."""
    where = state or layout.state()
    files = configs.rendered(container, layout.node(node), release, credentials.load(where))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in sorted(files.items()):
            data = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o600
            archive.addfile(entry, io.BytesIO(data))
    directory = f"/etc/kolla/{container.config_dir}"
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    # The directory itself stays: a running container has it mounted.
    script = f"""set -e
mkdir -p {directory} /etc/kolla/.digests
chmod 0770 {directory}
if [ "$(cat /etc/kolla/.digests/{container.config_dir} 2>/dev/null)" = {digest} ]; then echo unchanged; exit 0; fi
find {directory} -mindepth 1 -delete
base64 -d | tar -x -C {directory} --no-same-owner
echo {digest} > /etc/kolla/.digests/{container.config_dir}
echo changed
"""
    done = run(node, ["sh", "-c", script], input=base64.b64encode(buffer.getvalue()).decode())
    return done.stdout.strip().endswith("changed") and not done.stdout.strip().endswith("unchanged")


def run_arguments(  # noqa: PLR0913 -- keyword arguments with defaults
    container: Container,
    node: str,
    release: Release,
    *,
    state: layout.State | None = None,
    name: str | None = None,
    task: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
    reference: str | None = None,
) -> list[str]:
    """The `docker run` of a container: a service that stays, or with `task` a one-shot container of the same image."""
    where = state or layout.state()
    reference = reference or releases.reference(release, container.image, releases.load_versions(where))
    ip = layout.node(node).management
    argv = ["docker", "run", "--name", name or container.name, "--network", "host"]
    if task is None:
        argv += ["--detach", "--restart", "unless-stopped", "--stop-timeout", str(catalogue.STOP_TIMEOUT_S)]
        if container.health:
            argv += [
                "--health-cmd",
                container.health.format(ip=ip),
                "--health-interval",
                f"{catalogue.HEALTH_INTERVAL_S}s",
            ]
            argv += [
                "--health-timeout",
                f"{catalogue.HEALTH_TIMEOUT_S}s",
                "--health-retries",
                str(catalogue.HEALTH_RETRIES),
            ]
            argv += ["--health-start-period", f"{catalogue.HEALTH_START_PERIOD_S}s"]
    else:
        argv += ["--rm"]
    variables = {
        "KOLLA_CONFIG_STRATEGY": "COPY_ALWAYS",
        "KOLLA_SERVICE_NAME": container.config_dir,
        **{key: value.format(ip=ip) for key, value in container.environment.items()},
        **(environment or {}),
    }
    for key, value in variables.items():
        argv += ["--env", f"{key}={value}"]
    if container.privileged:
        # --privileged asks for CAP_SYS_RESOURCE, which the machine may lack; everything else is granted piece by piece.
        argv += ["--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE", "--security-opt", "seccomp=unconfined"]
        argv += [
            "--security-opt",
            "apparmor=unconfined",
            "--security-opt",
            "systempaths=unconfined",
            "--device-cgroup-rule",
            "c *:* rwm",
            "--device-cgroup-rule",
            "b *:* rwm",
        ]
    if container.host_pid:
        argv += ["--pid", "host", "--cgroupns", "host"]
    if container.host_ipc:
        argv += ["--ipc", "host"]
    mounts = [f"/etc/kolla/{container.config_dir}/:/var/lib/kolla/config_files/:ro", *container.volumes]
    for mount in [*mounts, *_base_mounts(where)]:
        argv += ["--volume", mount]
    argv.append(reference)
    if task is not None:
        argv += ["kolla_start", *task]
    return argv


def _base_mounts(state: layout.State) -> Iterable[str]:
    """What every image would contain if images were not thin: the system below /usr and the virtual environments."""
    yield "/usr:/usr:ro"
    yield f"{state.venvs}:{state.venvs}:ro"
    for path in (
        "alternatives",
        "ssl",
        "passwd",
        "group",
        "nsswitch.conf",
        "localtime",
        "ld.so.cache",
        "hosts",
        "resolv.conf",
    ):
        yield f"/etc/{path}:/etc/{path}:ro"


def recreate(  # noqa: PLR0913 -- keyword arguments with defaults
    run: Run,
    node: str,
    container: Container,
    release: Release,
    *,
    state: layout.State | None = None,
    reference: str | None = None,
) -> None:
    """Replaces the container by a new one of that release, from the image that the node already has.

    As kolla does: stop with its graceful timeout, remove, create and start. RecreateError when docker refuses.
    """
    name = container.name
    script = (
        f"if docker container inspect {name} >/dev/null 2>&1; then docker stop --time {catalogue.STOP_TIMEOUT_S} {name} >/dev/null; docker rm --force {name} >/dev/null; fi; "
        + shlex.join(run_arguments(container, node, release, state=state, reference=reference))
        + " >/dev/null"
    )
    done = run(node, ["sh", "-c", script], check=False, timeout_s=catalogue.STOP_TIMEOUT_S + 60)
    if done.returncode:
        raise RecreateError(
            f"{node}: container {name} could not be created: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}"
        )


def remove(run: Run, node: str, name: str) -> None:
    """Stops and removes a container that the new release no longer has; does nothing if it is absent."""
    run(node, ["sh", "-c", f"docker stop --time {catalogue.STOP_TIMEOUT_S} {name} >/dev/null 2>&1; docker rm --force {name} >/dev/null 2>&1 || true"],
        timeout_s=catalogue.STOP_TIMEOUT_S + 30)  # fmt: skip


def run_task(  # noqa: PLR0913 -- keyword arguments with defaults
    run: Run,
    node: str,
    container: Container,
    release: Release,
    argv: Sequence[str],
    *,
    name: str,
    environment: Mapping[str, str] | None = None,
    state: layout.State | None = None,
    check: bool = True,
    timeout_s: float = 300,
    reference: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs `argv` once in a container of that release with the service's configuration (kolla: bootstrap_<service>)."""
    arguments = run_arguments(
        container, node, release, state=state, name=name, task=argv, environment=environment, reference=reference
    )
    return run(node, arguments, check=check, timeout_s=timeout_s)


def container_states(run: Run, node: str) -> dict[str, ContainerState]:
    """Every container on the node by name, stopped ones too."""
    listed = run(
        node,
        ["sh", "-c", "ids=$(docker ps --all --quiet --no-trunc); [ -z \"$ids\" ] && echo '[]' || docker inspect $ids"],
    )
    return {state.name: state for state in map(_parse, json.loads(listed.stdout))}


def container_state(run: Run, node: str, name: str) -> ContainerState | None:
    """The container of that name on the node, or None."""
    inspected = run(node, ["docker", "container", "inspect", name], check=False)
    return _parse(json.loads(inspected.stdout)[0]) if inspected.returncode == 0 else None


def _parse(data: Mapping[str, object]) -> ContainerState:
    item: dict[str, dict[str, object]] = dict(data)  # type: ignore[arg-type]
    state, config = item["State"], item["Config"]
    health = state.get("Health")
    return ContainerState(
        name=str(data["Name"]).lstrip("/"),
        id=str(data["Id"]),
        image=str(config["Image"]),
        image_id=str(data["Image"]),
        status=str(state["Status"]),
        health=str(health["Status"]) if isinstance(health, dict) else None,
        started_at=str(state["StartedAt"]),
        exit_code=int(str(state["ExitCode"])),
        labels={str(key): str(value) for key, value in (config.get("Labels") or {}).items()},  # type: ignore[attr-defined]
    )


def wait_healthy(run: Run, node: str, name: str, *, within_s: float = 180, poll_s: float = 1.0) -> float:
    """Waits until the container is good and returns the seconds it took. NotHealthyError after `within_s`."""
    begun = time.monotonic()
    while True:
        state = container_state(run, node, name)
        if state is not None and state.good:
            return time.monotonic() - begun
        if time.monotonic() - begun > within_s:
            seen = "absent" if state is None else f"{state.status}, {state.health or 'no health check'}"
            raise NotHealthyError(
                f"{node}: container {name} is not healthy after {within_s:.0f} s ({seen}); see: docker logs {name}"
            )
        time.sleep(poll_s)
