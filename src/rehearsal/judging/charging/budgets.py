"""What the plan allows: budgets by step and service, read from the copy of the plan that the run recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from rehearsal.figures.length import Budget

if TYPE_CHECKING:
    from rehearsal.recording.stretch import Stretch

CANARIES = "canaries"
_SECOND_NS = 1_000_000_000
_SETTLE_S = 5.0
_BLIND_SHARE = 0.1
_GUEST_S = {"pause": 5.0, "stall": 5.0}


def steps_of(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the plan's steps by id, in order."""
    return {str(step.get("id")): step for step in plan.get("steps") or []}


def settle_ns(plan: dict[str, Any]) -> int:
    """Return how long after its command a step's consequences are still charged to it."""
    return _ns(plan.get("settle_s", _SETTLE_S)) or 0


def blind_share(plan: dict[str, Any]) -> float:
    """Return the share of a step in which the prober may be blind before its blindness counts as possible downtime."""
    share = plan.get("blind_share")
    return _BLIND_SHARE if share is None else float(share)


def resolution_ns(plan: dict[str, Any], step: str, service: str) -> int | None:
    """Return the declared resolution of a budget of zero; None: two periods of the probe."""
    spec = _spec(plan, step, service)
    return _ns(spec.get("resolution_s")) if spec else None


def budget_of(plan: dict[str, Any], stretch: Stretch, service: str, kind: str) -> Budget | None:
    """Return what a service may lose in a stretch of the run; None if the plan does not say."""
    if stretch.is_migration:
        return migration_budget(plan)
    spec = _spec(plan, stretch.step, service)
    return None if spec is None else _budget(spec, kind)


def migration_budget(plan: dict[str, Any]) -> Budget | None:
    """Return how long a canary may be out of reach while it migrates; None if the plan does not say."""
    spec = plan.get("migration")
    return _budget(spec, "down") if isinstance(spec, dict) else None


def guest_ns(plan: dict[str, Any], figure: str) -> int | None:
    """Return how long what a guest notices may last (ns): pause and stall in a migration; None: shown, not judged."""
    spec = plan.get("guests")
    found = spec if isinstance(spec, dict) else {}
    return _ns(found.get(f"{figure}_s", _GUEST_S.get(figure)))


def _spec(plan: dict[str, Any], step: str, service: str) -> dict[str, Any] | None:
    disturbs = steps_of(plan).get(step, {}).get("disturbs") or {}
    found = disturbs.get(service) or (plan.get("defaults") or {}).get(service)
    return found if isinstance(found, dict) else None


def _budget(spec: dict[str, Any], kind: str) -> Budget | None:
    source = str(spec.get("source") or "plan")
    prefix = "slow_" if kind == "degraded" else ""
    longest = _ns(spec.get(f"{prefix}longest_s"))
    total = _ns(spec.get(f"{prefix}total_s"))
    if longest is None:
        longest = total  # one window can be no longer than all of them
    if longest is None:
        return None
    count = spec.get("count") if kind == "down" else None
    return Budget(longest, total, None if count is None else int(count), source)


def _ns(seconds: Any) -> int | None:
    return None if seconds is None else round(float(seconds) * _SECOND_NS)
