"""Claims about containers and images: they are the ones that the release names, and they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.expectation import Expectation
from rehearsal.expectation import NotObserved
from rehearsal.expectation import same
from rehearsal.expected import is_leftover
from rehearsal.observe_host import ASKED

if TYPE_CHECKING:
    from collections.abc import Collection

    from rehearsal.expected import ExpectedContainer
    from rehearsal.hostview import ContainerView
    from rehearsal.hostview import HostView

RELEASE_LABEL = "de.osism.release.openstack"
KOLLA_LABELS = ("kolla_version", RELEASE_LABEL)


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
    """The container exists and runs."""
    view.must_show("containers")
    found = view.containers.get(wanted.container)
    observed = "no such container" if found is None else _state(found)
    return same("running", observed, host=wanted.host, container=wanted.container, service=wanted.role)


def _state(found: ContainerView) -> str:
    return found.status if found.status in {"running", "paused"} else f"{found.status} (exit code {found.exit_code})"


def healthy(view: HostView, wanted: ExpectedContainer) -> Expectation:
    """The container's own health check says healthy; where none is defined by design, none is expected."""
    found = _present(view, wanted)
    if found.status != "running":
        raise NotObserved(f"{wanted.host}: {wanted.container} does not run; see the check of its state")
    where = {"host": wanted.host, "container": wanted.container, "service": wanted.role}
    # What a check says when all is well is noise, except that it was asked out of turn.
    telling = found.health == "unhealthy" or found.health_said == ASKED
    said = f" ({found.health_said.strip()})" if telling and found.health_said.strip() else ""
    if not wanted.health and found.health == "none":
        return Expectation("no health check, by design", "no health check", holds=True, **where)
    return Expectation("healthy", found.health + said, holds=found.health == "healthy", **where)


def running_and_healthy(view: HostView, wanted: ExpectedContainer) -> Expectation:
    """The container runs, and its health check (if it has one) says healthy."""
    state = running(view, wanted)
    return healthy(view, wanted) if state.holds else state


def is_settling(view: HostView, wanted: ExpectedContainer) -> bool:
    """Return whether the container's health is not decided yet."""
    found = view.containers.get(wanted.container)
    return found is not None and found.status == "running" and found.health == "starting"


def is_kollas(found: ContainerView) -> bool:
    """Return whether the container was made from an image of a service; the manager's own images are others."""
    return any(label in found.labels for label in KOLLA_LABELS) and "/kolla/" in found.image


def no_strangers(view: HostView, expected: Collection[str]) -> Expectation:
    """No container of kolla's runs on the host that the configuration does not place there."""
    view.must_show("containers")
    strangers = sorted(
        name
        for name, found in view.containers.items()
        if name not in expected and found.status == "running" and not is_leftover(name) and is_kollas(found)
    )
    return Expectation(
        "no unknown kolla container",
        ", ".join(strangers) or "no unknown kolla container",
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
