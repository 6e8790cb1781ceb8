"""What was edited in a plan between two attempts at a run, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rehearsal.plan.shapes import PlanSpec

_LONGEST = 60


def changes(before: PlanSpec, after: PlanSpec) -> list[str]:
    """Return every difference in meaning, as `step nova: timeout_s 60 became 600`; none if the plans say the same."""
    one, other = before.model_dump(mode="json"), after.model_dump(mode="json")
    old, new = ({step["id"]: step for step in plan.pop("steps")} for plan in (one, other))
    found = [_told("plan", *difference) for difference in _differences(one, other, "")]
    found += [f"step {step} was removed" for step in old if step not in new]
    found += [f"step {step} was added" for step in new if step not in old]
    for step in old:
        if step in new:
            found += [_told(f"step {step}", *difference) for difference in _differences(old[step], new[step], "")]
    if [step for step in old if step in new] != [step for step in new if step in old]:
        found.append("the order of the steps was changed")
    return found


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
