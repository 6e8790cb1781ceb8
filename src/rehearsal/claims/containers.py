"""Claims about containers and images: they are the ones that the release names, and they run."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from rehearsal.cloud import expected as expectations
from rehearsal.cloud.expected import RELEASE_LABEL
from rehearsal.figures import say
from rehearsal.figures.expectation import Expectation
from rehearsal.figures.expectation import NotObserved
from rehearsal.figures.expectation import same
from rehearsal.hosts.parts.docker import ASKED

if TYPE_CHECKING:
    from collections.abc import Collection

    from rehearsal.cloud.expected import ExpectedContainer
    from rehearsal.hosts.parts.docker import ContainerView
    from rehearsal.hosts.view import HostView

_SHELLS_WORDS = re.compile(
    r"^\s*(?:/\S*/)?(?:ba|da|k|z)?sh: |OCI runtime exec failed|exec: .*(?:not found|no such file)|[Uu]nexpected EOF"
    r"|[Ss]yntax error|[Uu]nterminated quoted string",
    re.MULTILINE,
)
"""What a shell says about a command that it cannot run: then the check never asked the service."""


def _present(view: HostView, wanted: ExpectedContainer) -> ContainerView:
    view.must_show("containers")
    found = view.containers.get(wanted.container)
    if found is None:
        raise NotObserved(f"{wanted.host}: there is no container {wanted.container}")
    return found


def made_from(view: HostView, wanted: ExpectedContainer) -> Expectation:
    """The container was made from exactly the reference that the release names: registry, namespace, image and tag."""
    found = _present(view, wanted)
    if not wanted.image:
        raise NotObserved("the tags of the old release are not known any more: the manager has the new release already")
    return same(wanted.image, found.image, host=wanted.host, container=wanted.container, service=wanted.role)


def image_is_what_its_reference_says(view: HostView, wanted: ExpectedContainer) -> Expectation:
    """The container runs the image for which its reference stands on this host today.

    A reference that was pulled again meanwhile stands for another image than the one that runs.
    """
    found = _present(view, wanted)
    view.must_show("images")
    image = view.images.get(found.image)
    if image is None:
        raise NotObserved(f"{wanted.host}: no image is tagged {found.image} any more; only the container still uses it")
    return same(
        f"{found.image} = {_short(image.id)}",
        f"{found.image} = {_short(found.image_id)}",
        host=wanted.host,
        container=wanted.container,
        service=wanted.role,
    )


def label_names_release(view: HostView, wanted: ExpectedContainer, release: str) -> Expectation:
    """The image behind the right reference carries the label of the right release."""
    found = _present(view, wanted)
    if found.image != wanted.image:
        raise NotObserved(f"{wanted.host}: {wanted.container} runs another image; see the check of its reference")
    label = found.labels.get(RELEASE_LABEL)
    if label is None:
        raise NotObserved(f"{wanted.host}: the image of {wanted.container} has no label {RELEASE_LABEL}")
    return same(
        f"{RELEASE_LABEL}={release}",
        f"{RELEASE_LABEL}={label}",
        host=wanted.host,
        container=wanted.container,
        service=wanted.role,
    )


def running(view: HostView, wanted: ExpectedContainer) -> Expectation:
    """The container exists and runs. A host whose Docker does not run has no running container."""
    if wanted.doubt:
        raise NotObserved(f"{wanted.host}: {wanted.doubt}")
    if view.docker_is_dead:
        dead = f"Docker does not run on {wanted.host} ({view.errors['containers']})"
        return Expectation("running", dead, False, wanted.host, wanted.container, wanted.role)
    view.must_show("containers")
    found = view.containers.get(wanted.container)
    observed = "no such container" if found is None else _state(found)
    return same("running", observed, host=wanted.host, container=wanted.container, service=wanted.role)


def _state(found: ContainerView) -> str:
    return found.status if found.status in {"running", "paused"} else f"{found.status} (exit code {found.exit_code})"


def healthy(view: HostView, wanted: ExpectedContainer, *, waited_s: float = 0.0, api: str = "") -> Expectation:
    """The container's own health check says healthy; where none is defined by design, none is expected.

    `waited_s`: how long it was waited for that; `api`: the answer of the service's API, if it gives its own. NotObserved
    while the last check is older than the container's start: it told of another process.
    """
    found = _present(view, wanted)
    if found.status != "running":
        raise NotObserved(f"{wanted.host}: {wanted.container} does not run; see the check of its state")
    where = {"host": wanted.host, "container": wanted.container, "service": wanted.role}
    if not wanted.health and found.health == "none":
        return Expectation("no health check, by design", "no health check", holds=True, **where)
    if is_stale(found):
        raise NotObserved(
            f"{wanted.host}: {wanted.container} was not checked since it was started at {found.started_at}"
        )
    after = f" after {say.lasted(waited_s)}" if waited_s >= 1 else ""
    return Expectation("healthy", f"{found.health}{after}{_said(found, api)}", holds=found.health == "healthy", **where)


def _said(found: ContainerView, api: str) -> str:
    """What a check says when all is well is noise, except that it was asked out of turn."""
    said = found.health_said.strip()
    if found.health == "unhealthy" and api and _SHELLS_WORDS.search(said):
        return f": the health check itself fails ({said}), while {api}"
    return f" ({said})" if said and (found.health == "unhealthy" or found.health_said == ASKED) else ""


def running_and_healthy(view: HostView, wanted: ExpectedContainer, *, waited_s: float = 0.0) -> Expectation:
    """The container runs, and its health check (if it has one) says healthy."""
    state = running(view, wanted)
    return healthy(view, wanted, waited_s=waited_s) if state.holds else state


def is_stale(found: ContainerView) -> bool:
    """Return whether `healthy` is older than the container's start."""
    try:
        checked, started = datetime.fromisoformat(found.checked_at), datetime.fromisoformat(found.started_at)
    except ValueError:
        return False  # there is no such moment
    aware = checked.tzinfo is not None and started.tzinfo is not None
    return found.health == "healthy" and aware and checked < started


def is_settling(view: HostView, wanted: ExpectedContainer, *, mending: bool = False) -> bool:
    """Return whether the container's health is not decided yet. `mending`: unhealthy may become healthy as well."""
    found = view.containers.get(wanted.container)
    if found is None or found.status != "running":
        return False
    return found.health == "starting" or is_stale(found) or (mending and found.health == "unhealthy")


def is_kollas(found: ContainerView) -> bool:
    """Return whether the container was made from an image of a service; the manager's own images are others."""
    return expectations.is_kollas(found.image, found.labels)


def no_strangers(view: HostView, expected: Collection[str], services: Collection[str] = ()) -> Expectation:
    """No container of kolla's runs on the host that the configuration does not place there.

    `services` are switched on and unknown here: whether their containers belong on the host is not known either.
    """
    view.must_show("containers")
    ours = {name for name, found in view.containers.items() if name in expected or is_kollas(found)}
    if not ours:
        raise NotObserved(f"{view.host}: 0 containers were compared: none of those that are there is known as kolla's")
    left = {name for name in ours - set(expected) if not expectations.is_leftover(name)}
    running_ones = sorted(name for name in left if view.containers[name].status == "running")
    unknown = {name: service for name in running_ones if (service := expectations.service_of(name, services))}
    strangers = [name for name in running_ones if name not in unknown]
    if unknown and not strangers:
        raise NotObserved(
            f"{view.host}: {', '.join(unknown)}: enable_{' and enable_'.join(sorted(set(unknown.values())))} is on, but "
            "rehearse does not know which containers that service has"
        )
    return Expectation(
        "no unknown kolla container",
        ", ".join(strangers) or f"no unknown kolla container; {len(ours)} containers were compared",
        holds=not strangers,
        host=view.host,
        container=", ".join(strangers),
    )


def image_is_there(view: HostView, wanted: ExpectedContainer) -> Expectation:
    """The image that this host's container will need is on the host already."""
    view.must_show("images")
    there = wanted.image in view.images
    return Expectation(
        wanted.image,
        wanted.image if there else "not on the host",
        holds=there,
        host=wanted.host,
        container=wanted.container,
        service=wanted.role,
    )


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]
