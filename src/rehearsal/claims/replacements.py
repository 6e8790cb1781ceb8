"""Claims about one step: its containers were replaced, nobody else's were touched."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from rehearsal.figures.expectation import Expectation
from rehearsal.figures.expectation import NotObserved

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rehearsal.cloud.expected import ExpectedContainer
    from rehearsal.hosts.parts.docker import ContainerView
    from rehearsal.hosts.view import HostView


def replaced(
    before: Mapping[str, ContainerView] | None, view: HostView, wanted: ExpectedContainer, *, retag: bool
) -> Expectation:
    """The container was made from the image that the target release names, and was started during the step.

    One that was made from that very image before needs no restart: kolla replaces a container only if something about it
    differs. "That very image" is the one for which the tag stands on the host now: a pull may have moved a rolling tag. Without `retag` the step starts its containers anew and leaves their images alone.
    """
    view.must_show("containers")
    found = view.containers.get(wanted.container)
    where = {"host": wanted.host, "container": wanted.container, "service": wanted.role}
    expected = f"{wanted.image}, started during the step" if retag else "started during the step"
    if found is None and wanted.doubt:
        raise NotObserved(f"{wanted.host}: {wanted.doubt}")
    if found is None:
        return Expectation(expected, "no such container", holds=False, **where)
    if retag and found.image != wanted.image:
        return Expectation(expected, f"{found.image}, running since {_moment(found)}", holds=False, **where)
    if before is None:
        raise NotObserved(f"{wanted.host}: its containers were not recorded before the step")
    earlier = before.get(wanted.container)
    if earlier is None:
        return Expectation(expected, f"{found.image}, new, started {_moment(found)}", holds=True, **where)
    if retag and (earlier.image, earlier.image_id) == (found.image, found.image_id):
        view.must_show("images")
        tagged = view.images.get(wanted.image)
        if tagged is None:
            raise NotObserved(f"{wanted.host}: no image is tagged {wanted.image} any more, so it may be an older one")
        if tagged.id != found.image_id:
            stale = f"{found.image}, as before the step, but the tag points to another image on this host now"
            return Expectation(expected, stale, holds=False, **where)
        return Expectation(expected, f"{found.image}, as before the step", holds=True, **where)
    anew = (found.id, found.started_at) != (earlier.id, earlier.started_at)
    observed = f"started {_moment(found)}" if anew else f"not restarted: running since {_moment(found)}"
    return Expectation(expected, f"{found.image}, {observed}", holds=anew, **where)


def untouched(
    before: Mapping[str, ContainerView] | None, view: HostView, container: str, *, may_restart: bool = False
) -> Expectation:
    """A container that the step does not own is the same one, made from the same image, running since the same moment.

    `may_restart`: it may have been started anew, and runs.
    """
    view.must_show("containers")
    if before is None:
        raise NotObserved(f"{view.host}: its containers were not recorded before the step")
    earlier, found = before.get(container), view.containers.get(container)
    if may_restart and earlier is not None and found is not None:
        earlier = dataclasses.replace(earlier, started_at=found.started_at)
    expected, observed = _sign(earlier), _sign(found)
    changed = [
        word
        for word, kind in (("replaced", "id"), ("created from another image", "image_id"), ("restarted", "started_at"))
        if earlier is not None and found is not None and getattr(earlier, kind) != getattr(found, kind)
    ]
    return Expectation(
        f"untouched: {expected}",
        f"{' and '.join(changed)}: {observed}"
        if changed
        else f"untouched: {observed}"
        if expected == observed
        else observed,
        holds=expected == observed and not changed,
        host=view.host,
        container=container,
    )


def _sign(found: ContainerView | None) -> str:
    if found is None:
        return "no such container"
    return f"{found.image.rpartition('/')[2]} {found.status} since {_moment(found)}"


def _moment(found: ContainerView) -> str:
    return found.started_at[:19].replace("T", " ") + " UTC" if found.started_at else "an unknown time"
