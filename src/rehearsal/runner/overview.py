"""How a run stands now, in a few lines for the terminal: the step, what fails, what is left of budgets, guests out of reach.

It tells what the prober wrote so far and judges nothing: "failing for 3 s of a budget of 60 s" is no verdict.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rehearsal.figures import say as lengths
from rehearsal.lanes import table
from rehearsal.lanes.table import Place
from rehearsal.outage.spans import clipped
from rehearsal.outage.spans import measure
from rehearsal.outage.spans import merged
from rehearsal.plan.shapes import CANARIES
from rehearsal.recording.events import MigrationBegan
from rehearsal.recording.events import MigrationEnded
from rehearsal.recording.events import PhaseBegan
from rehearsal.recording.events import PhaseEnded
from rehearsal.recording.events import StepBegan
from rehearsal.recording.events import StepEnded
from rehearsal.recording.events import SuiteBegan
from rehearsal.recording.events import SuiteEnded
from rehearsal.runner.failing import Failing

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping
    from collections.abc import Sequence
    from pathlib import Path

    from rehearsal.lanes.spec import ProbeSpec
    from rehearsal.plan import PlanSpec
    from rehearsal.plan import StepSpec
    from rehearsal.recording.events import Event

_MOST_NAMED = 4
_SILENT_NS = 5 * lengths.SECOND
"""The prober writes once a second: after so long without a sample, what fails is not known."""


class Overview:
    """`heard` takes the runner's events, `lines` says how things stand; they may be called by different threads.

    `steps`: those that are carried out. `probes`: gives what is probed now, by number; `samples`: where that is written.
    """

    def __init__(
        self,
        plan: PlanSpec,
        steps: Sequence[StepSpec],
        probes: Callable[[], Mapping[int, ProbeSpec]],
        samples: Path,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._plan = plan
        self._steps = {step.id: (number, step) for number, step in enumerate(steps, start=1)}
        self._probes = probes
        self._failing = Failing(samples)
        self._now_ns = now_ns
        self._began_ns = self._doing_ns = self._step_ns = now_ns()
        self._doing = ""
        self._step: StepSpec | None = None
        self._lost: dict[str, list[tuple[int, int]]] = {}  # in this step, of what is over, by service

    def heard(self, event: Event) -> None:
        """Take note of what the runner does."""
        match event:
            case PhaseBegan(phase):
                self._do(phase)
                self._step = None
            case StepBegan(step):
                self._do("")
                self._step_ns = self._now_ns()
                self._lost = {}
                self._step = self._steps[step][1] if step in self._steps else None
            case SuiteBegan(suite):
                self._do(f"suite {suite}")
            case MigrationBegan(canary=canary):
                self._do(f"live migration of {canary}")
            case StepEnded() | SuiteEnded() | MigrationEnded() | PhaseEnded():
                self._do("")

    def _do(self, what: str) -> None:
        self._doing, self._doing_ns = what, self._now_ns()

    def lines(self) -> list[str]:
        """Return the lines: where the run is; and if anything is probed: what fails, budgets, guests."""
        self._failing.look()
        probes = self._probes()
        self._count(probes)
        lines = [self._where()]
        if probes and self._failing.last_ns:
            since = _by_service(self._failing.since, probes)
            lines += [self._failures(since), *self._budgets(since), *self._guests(probes)]
        return lines

    def _where(self) -> str:
        now_ns = self._now_ns()
        words = []
        if self._step is not None:
            number = self._steps[self._step.id][0]
            took = lengths.duration(now_ns - self._step_ns)
            words.append(f"step {number} of {len(self._steps)}, {self._step.id}: {self._step.title} · {took}")
        if self._doing:
            words.append(f"{self._doing} · {lengths.duration(now_ns - self._doing_ns)}")
        return " · ".join([*words, f"run {lengths.duration(now_ns - self._began_ns)}"])

    def _count(self, probes: Mapping[int, ProbeSpec]) -> None:
        """Put failures that are over to what the step lost."""
        ended, self._failing.ended = self._failing.ended, []
        for probe, began_ns, ended_ns in ended:
            if service := _service_of(probes.get(probe)):
                self._lost[service] = merged([*self._lost.get(service, []), (began_ns, ended_ns)])

    def _failures(self, since: Mapping[str, int]) -> str:
        silent_ns = self._now_ns() - self._failing.last_ns
        if silent_ns > _SILENT_NS:
            return f"  no measurement for {lengths.duration(silent_ns)}"
        told = [
            f"{service} for {self._told(service, since_ns)}"
            for service, since_ns in sorted(since.items(), key=lambda item: item[1])
            if service != CANARIES
        ]
        return f"  failing: {_some(told)}" if told else "  no service is failing"

    def _told(self, service: str, since_ns: int) -> str:
        took = lengths.duration(self._now_ns() - since_ns)
        budget = self._plan.budget_of(self._step.id, service) if self._step is not None else None
        return took if budget is None else f"{took} of a budget of {lengths.exact_s(budget.longest_s)}"

    def _budgets(self, since: Mapping[str, int]) -> list[str]:
        if self._step is None:
            return []
        told = []
        for service in dict.fromkeys([*self._step.services, *self._step.disturbs]):
            budget = self._plan.budget_of(self._step.id, service)
            if budget is None:
                continue
            now = [(since[service], self._now_ns())] if service in since else []
            lost = clipped(merged([*self._lost.get(service, []), *now]), self._step_ns, self._now_ns())
            left_ns = round(budget.longest_s * lengths.SECOND) - max((end - begin for begin, end in lost), default=0)
            if budget.total_s is not None:
                left_ns = min(left_ns, round(budget.total_s * lengths.SECOND) - measure(lost))
            left = lengths.duration(max(0, left_ns))
            told.append((left_ns, f"{service} {left} of {lengths.exact_s(budget.longest_s)}"))
        return [f"  budget left: {_some([words for _, words in sorted(told)])}"] if told else []

    def _guests(self, probes: Mapping[int, ProbeSpec]) -> list[str]:
        guests = {spec.canary for spec in probes.values() if table.of(spec.lane).place is Place.GUEST}
        if not guests:
            return []
        lost: dict[str, int] = {}
        for probe, since_ns in self._failing.since.items():
            if _service_of(spec := probes.get(probe)) == CANARIES and spec is not None:
                lost[spec.canary] = min(since_ns, lost.get(spec.canary, since_ns))
        told = [f"{name} for {self._told(CANARIES, since_ns)}" for name, since_ns in sorted(lost.items())]
        if not told:
            return [f"  all {len(guests)} guests are reachable"]
        return [f"  unreachable guests: {len(told)} of {len(guests)}: {_some(told)}"]


def _by_service(since: Mapping[int, int], probes: Mapping[int, ProbeSpec]) -> dict[str, int]:
    """Return since when each service fails: since the first of its probes that fail now does."""
    found: dict[str, int] = {}
    for probe, since_ns in [*since.items()]:
        if service := _service_of(probes.get(probe)):
            found[service] = min(since_ns, found.get(service, since_ns))
    return found


def _service_of(spec: ProbeSpec | None) -> str:
    """Return whose loss a probe sees as users do: a service or the canaries; empty for a probe that only explains."""
    if spec is None:
        return ""
    lane = table.of(spec.lane)
    return CANARIES if lane.place is Place.GUEST else spec.service if lane.is_of_users else ""


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - _MOST_NAMED} more" if len(words) > _MOST_NAMED else ""
    return ", ".join(words[:_MOST_NAMED]) + more
