"""Which plan holds when: a plan may be edited before a run is resumed, and what happened under the old one stays its own.

Whoever judges what happened asks `History.plan_at` with the moment at which it happened, or one of these. What did not
happen (steps that never ran) is judged by the plan of the last attempt.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.judging.charging import budgets
from rehearsal.plan.changes import changes

if TYPE_CHECKING:
    from rehearsal.recording.history import History


@dataclass(frozen=True, slots=True)
class Epoch:
    """A stretch of the run in which one plan was followed, from `from_ns` to before `to_ns`. `attempt`: its first one."""

    attempt: int
    from_ns: int
    to_ns: int
    plan: dict[str, Any]


def epochs(history: History) -> list[Epoch]:
    """Return the plans that were followed, in order; attempts that follow the same plan are one epoch."""
    found: list[Epoch] = []
    for attempt in history.attempts:
        if found and found[-1].plan == attempt.event.plan:
            continue
        if found:
            last = found[-1]
            found[-1] = Epoch(last.attempt, last.from_ns, attempt.began_ns, last.plan)
        found.append(Epoch(attempt.number, attempt.began_ns, history.ended_ns + 1, attempt.event.plan))
    return found


def specs(history: History) -> list[tuple[str, dict[str, Any]]]:
    """Return (step, what the plan says of it): of a step that ran, as each of its runs followed it; else the last plan's.

    In the order of the last plan; steps that only an earlier one had come after them.
    """
    planned = budgets.steps_of(history.plan)
    ran: dict[str, list[dict[str, Any]]] = {}
    for run in history.steps:
        spec = budgets.steps_of(history.plan_at(run.began_ns)).get(run.step, {})
        mine = ran.setdefault(run.step, [])
        if spec not in mine:
            mine.append(spec)
    names = [*planned, *(step for step in ran if step not in planned)]
    return [(step, spec) for step in names for spec in ran.get(step, [planned.get(step, {})])]


def of_step(history: History, step: str) -> list[dict[str, Any]]:
    """Return the plans under which a step ran, in order; the last attempt's if it never ran."""
    found: list[dict[str, Any]] = []
    for run in history.steps:
        plan = history.plan_at(run.began_ns)
        if run.step == step and plan not in found:
            found.append(plan)
    return found or [history.plan]


def services(history: History) -> list[str]:
    """Return the services of every plan that was followed, the last one's first."""
    plans = [history.plan, *(attempt.event.plan for attempt in history.attempts)]
    return list(dict.fromkeys(str(service) for plan in plans for service in plan.get("services") or []))


def edits(history: History) -> list[tuple[int, list[str]]]:
    """Return what was edited, each time with the number of the first attempt that followed the edited plan."""
    followed = epochs(history)
    pairs = ((after.attempt, changes(before.plan, after.plan)) for before, after in itertools.pairwise(followed))
    return [(attempt, edited) for attempt, edited in pairs if edited]


def dropped(history: History) -> list[tuple[str, int]]:
    """Return the steps that never ran and that an edit took out of the plan, and from which attempt on they were gone."""
    ran = {run.step for run in history.steps}
    last = budgets.steps_of(history.plan)
    found: dict[str, int] = {}
    for before, after in itertools.pairwise(epochs(history)):
        kept = budgets.steps_of(after.plan)
        gone = (step for step in budgets.steps_of(before.plan) if step not in kept)
        found.update({step: after.attempt for step in gone if step not in ran and step not in last})
    return list(found.items())
