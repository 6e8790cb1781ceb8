"""The shapes of a plan, and what is wrong with one. Strict: unknown keys are errors, values do not change."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import Field

from rehearsal.plan.allowances import LONGEST_ID
from rehearsal.plan.allowances import MOST_COUNT
from rehearsal.plan.allowances import BudgetSpec
from rehearsal.plan.allowances import GuestSpec
from rehearsal.plan.allowances import Name
from rehearsal.plan.allowances import Seconds
from rehearsal.plan.allowances import Strict
from rehearsal.plan.effects import StepSpec  # noqa: TC001 - pydantic reads it
from rehearsal.recording.stretch import AFTER
from rehearsal.recording.stretch import BEFORE
from rehearsal.recording.stretch import SUITES

CANARIES = "canaries"
"""The name under which budgets speak of the canaries' reachability."""
GATES = SUITES
PLACEHOLDER = re.compile(r"(?<!\{)\{([a-z_]+)\}(?!\})")
NAMES_FROM_TARGET = ("configuration", "namespace_file", "operator_user", "operator_key")
NAMES_FROM_HOST = ("host", "address", "ssh_options")
SSH_OPTIONS = "{ssh_options}"
"""As a word of its own in a command: ssh's options for the host's own port and jump host, or no word at all."""
NAMES_FROM_PLAN = ("from_release", "to_release")
RESERVED_IDS = {str(look): f"what came {look.when}" for look in (BEFORE, AFTER)}
"""Ids that no step may have, and what the report calls so."""
LONGEST_TEXT = 65_536  # Linux takes 128 KiB as one word of a command


class PlanSpec(Strict):
    """A whole plan. `defaults` are budgets by service for every step that does not name the service itself.

    `variables` may stand in commands as `{name}`; `rehearse run --set name=value` changes them. `rates`: how often a lane
    asks (Hz), where that is not as usual (`lanes.rates`); `rehearse run --rate LANE=HZ` comes before it.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=LONGEST_ID)
    title: Name
    from_release: Name
    to_release: Name
    services: list[Name] = Field(min_length=1)
    variables: dict[str, str] = {}
    defaults: dict[str, BudgetSpec]
    migration: BudgetSpec = BudgetSpec(longest_s=5.0, source="default")
    guests: GuestSpec = GuestSpec()
    baseline_s: Seconds = 60
    settle_s: Seconds = 5
    blind_share: float = Field(
        default=0.1, ge=0, le=1, allow_inf_nan=False
    )  # of a step; blindness beyond it counts as possible downtime
    rates: dict[str, float] = {}
    focus_most: int = Field(default=2, ge=0, le=MOST_COUNT)  # probing must not become the load that it measures
    steps: list[StepSpec] = Field(min_length=1)

    def step(self, name: str) -> StepSpec | None:
        """Return the step with this id; None if there is none."""
        return next((step for step in self.steps if step.id == name), None)

    def budget_of(self, step: str, service: str) -> BudgetSpec | None:
        """Return what a service (or `canaries`) may lose during a step: the step's own budget before the plan's default."""
        found = self.step(step)
        return (found and found.disturbs.get(service)) or self.defaults.get(service)

    def focus_of(self, step: StepSpec) -> frozenset[str]:
        """Return the services that are sampled faster while a step runs: none if more than `focus_most` would be.

        What a step itself names as its focus is taken as it is.
        """
        if step.focus is not None:
            return frozenset(step.focus)
        return frozenset(step.services) if len(set(step.services)) <= self.focus_most else frozenset()


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong with a plan: where, what, and what to do."""

    file: str
    line: int
    sentence: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.sentence} {self.remedy}"


class PlanError(Exception):
    """A plan that cannot be used; `mistakes` has all of them."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(map(str, mistakes)))
