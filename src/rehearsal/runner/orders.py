"""What the operator ordered, and the questions that are put before anything happens."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from rehearsal.canaries.model import Wish
from rehearsal.cloud.options import Options
from rehearsal.lanes.rates import rates_of
from rehearsal.outside.terminal import shown
from rehearsal.runner.progress import paused

if TYPE_CHECKING:
    from rehearsal.cloud.target import Target
    from rehearsal.own.ownclaims import OwnClaims
    from rehearsal.plan import PlanSpec
    from rehearsal.plan import StepSpec

PARTS = ("calibration", "probes", "canaries", "writes", "migrations", "suites", "witness")
"""What `--without` can leave out. What is left out is not proven, and the report says so."""


class NotConfirmed(Exception):  # noqa: N818 - a decision, no error
    """The operator did not say yes."""


@dataclass(frozen=True, slots=True)
class Orders:
    """The orders for one attempt at a run. Steps are named by id; empty means from the first, until the last.

    `rates`: Hz by lane (`--rate`); what is not named is as the plan says, else as usual. `suite_alone`: nothing is carried
    out but one suite, and the mode is its name.
    """

    mode: str = "rehearsal"
    from_step: str = ""
    until_step: str = ""
    keep_going: bool = False
    keep_canaries: bool = False
    yes: bool = False
    without: frozenset[str] = frozenset()
    jobs: int = 0
    options: Options = field(default_factory=Options)
    wish: Wish = field(default_factory=Wish)
    rates: dict[str, float] = field(default_factory=dict)
    argv: tuple[str, ...] = ()
    own: OwnClaims | None = None
    suite_alone: bool = False

    @property
    def parts(self) -> list[str]:
        """What is carried out. A prober that does not run needs no calibration."""
        if self.suite_alone:
            return []
        left_out = self.without | ({"calibration"} if "probes" in self.without else set())
        return [part for part in PARTS if part not in left_out]

    def rates_for(self, plan: PlanSpec) -> dict[str, float]:
        """Return how often every lane asks (Hz)."""
        return rates_of({**plan.rates, **self.rates})


def chosen_steps(plan: PlanSpec, orders: Orders) -> tuple[StepSpec, ...]:
    """Return the steps between --from and --until, both included. Raises ValueError for an unknown or reversed pair."""
    ids = [step.id for step in plan.steps]
    for option, name in (("--from", orders.from_step), ("--until", orders.until_step)):
        if name and name not in ids:
            raise ValueError(f"{option}: the plan has no step {name!r}; it has {', '.join(ids)}.")
    first = ids.index(orders.from_step) if orders.from_step else 0
    last = ids.index(orders.until_step) if orders.until_step else len(ids) - 1
    if first > last:
        raise ValueError(f"--until {orders.until_step} comes before --from {orders.from_step}.")
    return tuple(plan.steps[first : last + 1])


def confirm_run(target: Target, plan: PlanSpec, orders: Orders, count: int) -> None:
    """Ask before the first step changes anything. In production mode the cloud's name must be typed. Raises NotConfirmed."""
    if orders.yes:
        return
    cloud = next((vip.name for vip in target.vips if vip.kind == "external"), target.cloud)
    what = f"About to run {count} steps on the cloud at {cloud} ({orders.mode}: {plan.title})."
    if orders.mode == "production":
        answer = ask(f"{what}\nThis is production. Type {cloud} to continue: ")
        if answer != cloud:
            raise NotConfirmed("The cloud's name was not typed: nothing was done. (--yes answers every prompt.)")
        return
    if ask(f"{what} Continue? [yes/no] ").lower() not in {"y", "yes"}:
        raise NotConfirmed("Not confirmed: nothing was done. (--yes answers every prompt.)")


def confirm_hold(step: StepSpec, orders: Orders) -> None:
    """Ask what a hold point asks. Raises NotConfirmed."""
    if orders.yes:
        return
    try:
        answer = ask(f"Hold point before step {step.id}: {step.hold}\nConfirm? [yes/no] ")
    except NotConfirmed as reason:
        raise NotConfirmed(f"Hold point before step {step.id}: {step.hold} {reason}") from reason
    if answer.lower() not in {"y", "yes"}:
        raise NotConfirmed(f"The hold point before step {step.id} was not confirmed: {step.hold}")


def ask(question: str) -> str:
    """Return what the operator answers. Raises NotConfirmed if there is no terminal."""
    if not sys.stdin.isatty():
        raise NotConfirmed("There is no terminal to prompt on. Confirm with --yes.")
    try:
        with paused():
            return input(shown(question)).strip()
    except EOFError:
        return ""
