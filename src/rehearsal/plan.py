"""The plan: which steps, in which order, and what each may disturb. Strict YAML.

This file holds the shapes; reading (`load_plan`) names file, line and remedy for every mistake.
"""

from __future__ import annotations

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field


class Strict(BaseModel):
    """Unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BudgetSpec(Strict):
    """What one service may lose during one step. Seconds. `source` says who allows it."""

    longest_s: float = Field(ge=0)
    total_s: float | None = Field(default=None, ge=0)
    count: int | None = Field(default=None, ge=0)
    slow_longest_s: float | None = Field(default=None, ge=0)
    slow_total_s: float | None = Field(default=None, ge=0)
    source: str = "plan"


class StepSpec(Strict):
    """One command and what it may disturb.

    `containers` are kolla names that this step replaces (and nothing else may be restarted); `services` are the API
    services whose downtime is charged here; `disturbs` gives budgets by service (or `canaries`).
    `hosts`: groups or hosts whose containers are replaced ([] = everywhere the containers run).
    `retag`: the containers must have the target release's tag afterwards. `gates`: suites after the step.
    `migrate`: an occasion name: canaries are live-migrated after this step (e.g. `mixed`).
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    command: list[str] = Field(min_length=1)
    services: list[str] = []
    containers: list[str] = []
    hosts: list[str] = []
    retag: bool = True
    disturbs: dict[str, BudgetSpec] = {}
    gates: list[str] = ["inflight"]
    hold: str = ""  # a sentence that a person must confirm before the step
    timeout_s: float = Field(default=3600, gt=0)
    migrate: str = ""
    environment: dict[str, str] = {}


class PlanSpec(Strict):
    """A whole plan. `defaults` are budgets by service for every step that does not name the service itself."""

    name: str
    title: str
    from_release: str
    to_release: str
    services: list[str]
    defaults: dict[str, BudgetSpec]
    migration: BudgetSpec = BudgetSpec(longest_s=5.0, source="default")
    baseline_s: float = Field(default=60, ge=0)
    settle_s: float = Field(default=5, ge=0)
    steps: list[StepSpec] = Field(min_length=1)
