"""Containers and images, as Docker describes them. Environments stay on the host: they can hold secrets."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from rehearsal.hosts.engine import docker
from rehearsal.hosts.engine import every_container
from rehearsal.hosts.look import Look
from rehearsal.hosts.look import part

HEALTH_TIMEOUT_S = 30.0
"""Docker's own default for a health check that names no timeout."""
ASKED = "its own check, asked at once"
KEPT_LABELS = ("de.osism.release.openstack", "de.osism.version", "org.opencontainers.image.version", "kolla_version")


@dataclass(frozen=True)
class ContainerView:
    """One container as Docker describes it. `health` is healthy, unhealthy, starting or none (no health check).

    `checked_at` is when the last health check began; empty if there was none.
    """

    name: str
    id: str
    image: str
    image_id: str
    status: str
    started_at: str
    health: str = "none"
    health_said: str = ""
    checked_at: str = ""
    exit_code: int = 0
    created_at: str = ""
    pid: int = 0
    restart_count: int = 0
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageView:
    """One image reference on a host, and what it stands for there."""

    reference: str
    id: str
    labels: dict[str, str] = field(default_factory=dict)


@part
def containers(look: Look) -> list[ContainerView]:
    """Return every container, also those that do not run, by name."""
    found = [_container(seen, ask=bool(look.arguments.get("ask_health"))) for seen in every_container()]
    return sorted(found, key=lambda each: each.name)


@part
def images(_look: Look) -> list[ImageView]:
    """Return every tagged image with its id and its release labels, by reference."""
    found = [
        ImageView(reference=tag, id=row["Id"], labels=kept(row.get("Labels")))
        for row in docker("/images/json")
        for tag in row.get("RepoTags") or []
    ]
    return sorted(found, key=lambda each: each.reference)


def running(look: Look, *names: str) -> list[ContainerView]:
    """Return those of these containers that run; none if Docker cannot be asked, which the containers say themselves."""
    return [each for each in look.show(containers) or [] if each.name in names and each.status == "running"]


def _container(seen: dict[str, Any], *, ask: bool) -> ContainerView:
    state = seen["State"]
    health = state.get("Health") or {}
    log = health.get("Log") or []
    status, said = health.get("Status") or "none", (log[-1].get("Output") or "")[:300] if log else ""
    checked_at = (log[-1].get("Start") or "") if log else ""
    if ask and status == "starting" and ask_health(seen["Id"], seen["Config"]):
        status, said, checked_at = "healthy", ASKED, ""
    return ContainerView(
        name=seen["Name"].lstrip("/"),
        id=seen["Id"],
        image=seen["Config"]["Image"],
        image_id=seen["Image"],
        status=state["Status"],
        exit_code=state["ExitCode"],
        started_at=state["StartedAt"],
        created_at=seen["Created"],
        pid=state.get("Pid") or 0,
        health=status,
        health_said=said,
        checked_at=checked_at,
        labels=kept(seen["Config"].get("Labels")),
        restart_count=seen.get("RestartCount") or 0,
    )


def kept(labels: dict[str, str] | None) -> dict[str, str]:
    """Return the labels that say which release an image belongs to."""
    return {key: value for key, value in (labels or {}).items() if key in KEPT_LABELS}


def ask_health(name: str, config: dict[str, Any]) -> bool:
    """Run a container's own health check inside of it, as Docker does, and return whether it succeeded within its timeout."""
    check = config.get("Healthcheck") or {}
    kind, *words = check.get("Test") or ["NONE"]
    if kind == "CMD-SHELL":
        words = [*(config.get("Shell") or ["/bin/sh", "-c"]), *words]
    elif kind != "CMD":
        return False
    limit_s = (check.get("Timeout") or 0) / 1e9 or HEALTH_TIMEOUT_S
    try:
        done = subprocess.run(
            ["docker", "exec", name, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=limit_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def inside(container: str, *command: str, timeout_s: float = 20.0) -> str:
    """Return what a command says that runs inside a container. Raises OSError with its last words if it fails."""
    try:
        done = subprocess.run(
            ["docker", "exec", container, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"{command[0]} in {container} does not end in time") from None
    if done.returncode != 0:
        words = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise OSError(f"{command[0]} in {container} ends with {done.returncode}: {words[-300:] or 'it says nothing'}")
    return done.stdout.decode(errors="replace")
