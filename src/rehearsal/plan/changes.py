"""What was edited in a plan between two attempts at a run, in words. Plans are the copies that attempts record."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from rehearsal.plan.shapes import BudgetSpec
from rehearsal.plan.shapes import GuestSpec
from rehearsal.plan.shapes import PlanSpec
from rehearsal.plan.shapes import StepSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

_LONGEST = 60


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return every difference in meaning, as `step nova: timeout_s 60 became 600`; none if the plans say the same.

    What one of two versions of this program did not know yet is taken to be as it is by default.
    """
    one, other = _whole(before), _whole(after)
    old, new = one.pop("steps"), other.pop("steps")
    found = [text for path, *pair in _differences(one, other, "") for text in [_told("plan", path, *pair)]]
    found += [f"step {step} was removed" for step in old if step not in new]
    found += [f"step {step} was added" for step in new if step not in old]
    for step in old:
        if step in new:
            found += [_told(f"step {step}", *difference) for difference in _differences(old[step], new[step], "")]
    if [step for step in old if step in new] != [step for step in new if step in old]:
        found.append("the order of the steps was changed")
    return found


def _whole(plan: dict[str, Any]) -> dict[str, Any]:
    whole = _with_defaults(PlanSpec, plan)
    whole["defaults"] = _budgets(whole.get("defaults"))
    whole["migration"] = _with_defaults(BudgetSpec, whole.get("migration"))
    whole["guests"] = _with_defaults(GuestSpec, whole.get("guests"))
    steps = [_with_defaults(StepSpec, step) for step in whole.get("steps") or [] if isinstance(step, dict)]
    for step in steps:
        step["disturbs"] = _budgets(step.get("disturbs"))
    whole["steps"] = {str(step.get("id")): step for step in steps}
    return whole


def _budgets(named: Any) -> dict[str, Any]:
    found = named if isinstance(named, dict) else {}
    return {str(name): _with_defaults(BudgetSpec, budget) for name, budget in found.items()}


def _with_defaults(model: type[BaseModel], data: Any) -> dict[str, Any]:
    defaults = {
        name: field.get_default(call_default_factory=True)
        for name, field in model.model_fields.items()
        if not field.is_required()
    }
    return {**defaults, **(data if isinstance(data, dict) else {})}


def _differences(before: Any, after: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            yield from _differences(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif before != after:
        yield path, before, after


def _told(where: str, path: str, before: Any, after: Any) -> str:
    return f"{where}: {path} {_plain(before)} became {_plain(after)}"


def _plain(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        text = " ".join(map(str, value))
    elif isinstance(value, dict):
        text = ", ".join(f"{key} {_plain(each)}" for key, each in value.items() if each not in (None, "", [], {}))
    else:
        text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
