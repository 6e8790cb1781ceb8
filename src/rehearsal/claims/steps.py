"""Claims about one step: its containers were replaced, nobody else's were touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.expectation import Expectation
from rehearsal.expectation import NotObserved

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rehearsal.expected import ExpectedContainer
    from rehearsal.hostview import ContainerView
    from rehearsal.hostview import HostView


def restarted(before: Mapping[str, ContainerView] | None, view: HostView, wanted: ExpectedContainer) -> Expectation:
    """The container was started anew during the step: it has another id, or started at another time.

    A container whose image is the same before and after the step needs no restart (kolla replaces a container only if
    something about it differs), and one that did not exist before is new.
    """
    view.must_show("containers")
    found = view.containers.get(wanted.container)
    where = {"host": wanted.host, "container": wanted.container, "service": wanted.role}
    if found is None:
        return Expectation("started during the step", "no such container", holds=False, **where)
    if before is None:
        raise NotObserved(f"{wanted.host}: its containers were not recorded before the step")
    earlier = before.get(wanted.container)
    if earlier is None:
        return Expectation("started during the step", f"new, started {_moment(found)}", holds=True, **where)
    if earlier.image_id == found.image_id and found.image == wanted.image == earlier.image:
        return Expectation("image unchanged, restart not needed", f"started {_moment(found)}", holds=True, **where)
    anew = (found.id, found.started_at) != (earlier.id, earlier.started_at)
    observed = f"started {_moment(found)}" if anew else f"still runs since {_moment(earlier)}, before the step"
    return Expectation("started during the step", observed, holds=anew, **where)


def untouched(before: Mapping[str, ContainerView] | None, view: HostView, container: str) -> Expectation:
    """A container that the step does not own is the same one, made from the same image, running since the same moment."""
    view.must_show("containers")
    if before is None:
        raise NotObserved(f"{view.host}: its containers were not recorded before the step")
    earlier, found = before.get(container), view.containers.get(container)
    expected, observed = _sign(earlier), _sign(found)
    changed = [
        word
        for word, kind in (("replaced", "id"), ("made from another image", "image_id"), ("restarted", "started_at"))
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
