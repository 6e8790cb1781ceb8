"""What the plan allows: budgets by step and service, as the run recorded them. All in ns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.figures.length import Budget
from rehearsal.plan import shapes

if TYPE_CHECKING:
    from rehearsal.plan import BudgetSpec
    from rehearsal.plan import PlanSpec
    from rehearsal.recording.stretch import Stretch

CANARIES = shapes.CANARIES
_SECOND_NS = 1_000_000_000


def settle_ns(plan: PlanSpec) -> int:
    """Return how long after its command a step's consequences are still charged to it."""
    return _ns(plan.settle_s)


def resolution_ns(plan: PlanSpec, step: str, service: str) -> int | None:
    """Return the declared resolution of a budget of zero; None: two periods of the probe."""
    spec = plan.budget_of(step, service)
    return _ns_or_none(spec.resolution_s) if spec else None


def budget_of(plan: PlanSpec, stretch: Stretch, service: str, kind: str) -> Budget | None:
    """Return what a service may lose in a stretch of the run; None if the plan does not say."""
    if stretch.is_migration:
        return migration_budget(plan)
    spec = plan.budget_of(stretch.step, service)
    if spec is None:
        return None
    if kind == "down":
        return _whole(spec)
    longest_s = spec.slow_total_s if spec.slow_longest_s is None else spec.slow_longest_s
    # One window can be no longer than all of them.
    return None if longest_s is None else Budget(_ns(longest_s), _ns_or_none(spec.slow_total_s), None, spec.source)


def migration_budget(plan: PlanSpec) -> Budget:
    """Return how long a canary may be out of reach while it migrates."""
    return _whole(plan.migration)


def _whole(spec: BudgetSpec) -> Budget:
    return Budget(_ns(spec.longest_s), _ns_or_none(spec.total_s), spec.count, spec.source)


def guest_ns(plan: PlanSpec, figure: str) -> int | None:
    """Return how long what a guest notices may last: pause and stall in a migration; None: shown, not judged."""
    return _ns_or_none(getattr(plan.guests, f"{figure}_s", None))


def _ns(seconds: float) -> int:
    return round(seconds * _SECOND_NS)


def _ns_or_none(seconds: float | None) -> int | None:
    return None if seconds is None else _ns(seconds)
