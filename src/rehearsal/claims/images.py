"""Claims about images that are needed later: on the host already, or pulled in time by the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.figures.expectation import Expectation
from rehearsal.figures.expectation import NotObserved
from rehearsal.plan.effects import Effects
from rehearsal.plan.effects import limit
from rehearsal.plan.effects import pulled_roles

if TYPE_CHECKING:
    from rehearsal.cloud.expected import ExpectedContainer
    from rehearsal.hosts.view import HostView
    from rehearsal.plan import PlanSpec
    from rehearsal.plan.effects import Groups


def ready(
    view: HostView, wanted: ExpectedContainer, claimed: str, plan: PlanSpec | None, groups: Groups | None = None
) -> Expectation:
    """The image that this container needs next is on its host, or the plan pulls it before the step that needs it.

    Before the manager's own upgrade the tags of the target release are not known: then the plan alone counts.
    """
    where = {"host": wanted.host, "container": wanted.container, "service": wanted.role}
    known = plan is None or claimed == plan.to_release
    if known:
        view.must_show("images")
        if wanted.image in view.images:
            return Expectation(wanted.image, wanted.image, holds=True, **where)
    if wanted.doubt:
        raise NotObserved(f"{wanted.host}: {wanted.doubt}")
    if plan is None:
        return Expectation(wanted.image, "not on the host", holds=False, **where)
    replacing = Effects.of(plan.steps, groups or {}).replaced_by(wanted.container, wanted.host)
    needed_by = next((step.id for step in replacing if step.retag), "")
    if not needed_by:
        return Expectation("no new image", f"no step of the plan replaces {wanted.container}", holds=True, **where)
    what = wanted.image if known else f"the image of {plan.to_release}"
    wish = f"{what} on the host, or pulled by the plan before step {needed_by}"
    for step in plan.steps:
        if step.id == needed_by:
            break
        if wanted.role in pulled_roles(step.command) and not limit(step.command):
            return Expectation(wish, f"pulled by step {step.id}", holds=True, **where)
    return Expectation(wish, f"no step pulls {wanted.role} before step {needed_by}", holds=False, **where)
