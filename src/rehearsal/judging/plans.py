"""Which plan holds when: a plan may be edited before a run is resumed, and what happened under the old one stays its own.

Whoever judges what happened asks `at` with the moment at which it happened, or one of these. What did not
happen (steps that never ran) is judged by the plan of the last attempt. A recorded plan is read by the plan's own model.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.plan import Effects
from rehearsal.plan import StepSpec
from rehearsal.plan import recorded
from rehearsal.plan.changes import changes

if TYPE_CHECKING:
    from rehearsal.plan import PlanSpec
    from rehearsal.recording.events import RunBegan
    from rehearsal.recording.history import History


@dataclass(frozen=True, slots=True)
class Epoch:
    """A stretch of the run in which one plan was followed, from `from_ns` to before `to_ns`. `attempt`: its first one."""

    attempt: int
    from_ns: int
    to_ns: int
    plan: PlanSpec


class _Began:
    """An attempt's opening record as a key: the very same one, whatever else says the same."""

    def __init__(self, event: RunBegan) -> None:
        self.event = event

    def __hash__(self) -> int:
        return id(self.event)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Began) and self.event is other.event


@functools.lru_cache(maxsize=64)
def _read(began: _Began) -> PlanSpec:
    return recorded(began.event.plan)


def plan_of(began: RunBegan) -> PlanSpec:
    """Return the plan that an attempt followed; one without steps if it followed none."""
    return _read(_Began(began))


def last(history: History) -> PlanSpec:
    """Return the plan as the last attempt followed it. What happened is judged by the plan of its time: `at`."""
    return plan_of(history.last.event)


def at(history: History, at_ns: int) -> PlanSpec:
    """Return the plan that was followed at a moment."""
    return plan_of(_began_at(history, at_ns))


def _began_at(history: History, at_ns: int) -> RunBegan:
    begun = [attempt for attempt in history.attempts if attempt.began_ns <= at_ns]
    return (begun[-1] if begun else history.attempts[0]).event


def epochs(history: History) -> list[Epoch]:
    """Return the plans that were followed, in order; attempts that follow the same plan are one epoch."""
    found: list[Epoch] = []
    for attempt in history.attempts:
        plan = plan_of(attempt.event)
        if found and found[-1].plan == plan:
            continue
        if found:
            before = found[-1]
            found[-1] = Epoch(before.attempt, before.from_ns, attempt.began_ns, before.plan)
        found.append(Epoch(attempt.number, attempt.began_ns, history.ended_ns + 1, plan))
    return found


def specs(history: History) -> list[StepSpec]:
    """Return what the plans say of each step: of one that ran, as each of its runs followed it; else as the last plan does.

    In the order of the last plan; steps that only an earlier one had come after them.
    """
    planned = {step.id: step for step in last(history).steps}
    ran: dict[str, list[StepSpec]] = {}
    for run in history.steps:
        spec = spec_at(history, run.step, run.began_ns)
        mine = ran.setdefault(run.step, [])
        if spec not in mine:
            mine.append(spec)
    names = [*planned, *(step for step in ran if step not in planned)]
    return [spec for step in names for spec in ran.get(step) or [planned[step]]]


def effects(history: History) -> Effects:
    """Return what the steps of the run may do, also those that never ran."""
    return Effects.of(specs(history), _groups(history.last.event))


def effects_by_step(history: History) -> dict[str, Effects]:
    """Return for each step what the plans under which it ran let it do."""
    found: dict[str, list[StepSpec]] = {}
    for spec in specs(history):
        found.setdefault(spec.id, []).append(spec)
    groups = _groups(history.last.event)
    return {step: Effects.of(mine, groups) for step, mine in found.items()}


def effects_of_runs(history: History) -> Effects:
    """Return what the steps that ran may have done, in the order in which they ran."""
    return Effects.of((spec_at(history, run.step, run.began_ns) for run in history.steps), _groups(history.last.event))


def silencing(history: History, host: str, from_ns: int, to_ns: int) -> list[str]:
    """Return the steps that ran in a stretch of time and may have made a host silent."""
    groups = _groups(history.last.event)
    return [
        run.step
        for run in history.steps
        if run.began_ns <= to_ns
        and (history.ended_ns if run.ended_ns is None else run.ended_ns) >= from_ns
        and Effects.of([spec_at(history, run.step, run.began_ns)], groups).silences(host)
    ]


def _groups(began: RunBegan) -> dict[str, list[str]]:
    groups: Any = began.target.get("groups")
    known = groups if isinstance(groups, dict) else {}
    return {str(name): [str(host) for host in hosts or []] for name, hosts in known.items()}


def of_step(history: History, step: str) -> list[PlanSpec]:
    """Return the plans under which a step ran, in order; the last attempt's if it never ran."""
    found: list[PlanSpec] = []
    for run in history.steps:
        plan = at(history, run.began_ns)
        if run.step == step and plan not in found:
            found.append(plan)
    return found or [last(history)]


def services(history: History) -> list[str]:
    """Return the services of every plan that was followed, the last one's first."""
    plans = [last(history), *(plan_of(attempt.event) for attempt in history.attempts)]
    return list(dict.fromkeys(service for plan in plans for service in plan.services))


def edits(history: History) -> list[tuple[int, list[str]]]:
    """Return what was edited, each time with the number of the first attempt that followed the edited plan."""
    followed = epochs(history)
    pairs = ((after.attempt, changes(before.plan, after.plan)) for before, after in itertools.pairwise(followed))
    return [(attempt, edited) for attempt, edited in pairs if edited]


def dropped(history: History) -> list[tuple[str, int]]:
    """Return the steps that never ran and that an edit took out of the plan, and from which attempt on they were gone."""
    kept_or_ran = {run.step for run in history.steps} | {step.id for step in last(history).steps}
    found: dict[str, int] = {}
    for before, after in itertools.pairwise(epochs(history)):
        kept = {step.id for step in after.plan.steps}
        gone = (step.id for step in before.plan.steps if step.id not in kept)
        found.update({step: after.attempt for step in gone if step not in kept_or_ran})
    return list(found.items())


def spec_at(history: History, step: str, at_ns: int) -> StepSpec:
    """Return what the plan of a moment says of a step; nothing but its id if it does not know it."""
    return at(history, at_ns).step(step) or StepSpec.model_construct(id=step, title="", command=[])
