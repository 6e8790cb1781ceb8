"""The matrix: what the users of each service lost during each step, against what the plan allows.

Every judgement is one of three, and its sentence says why. A budget that lies between the certain and the possible is
unknown; so is one below the detection floor.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.judging import budgets
from rehearsal.judging.observation import BEFORE
from rehearsal.judging.observation import OUTSIDE
from rehearsal.judging.observation import uncovered_ns
from rehearsal.judging.rules import Lost
from rehearsal.judging.rules import Watched
from rehearsal.judging.rules import by_length
from rehearsal.judging.rules import judged
from rehearsal.judging.rules import outside
from rehearsal.judging.troubles import is_judged
from rehearsal.judging.union import united
from rehearsal.outage import OPEN_NS
from rehearsal.outage import clipped
from rehearsal.outage import measure
from rehearsal.outage import merged
from rehearsal.results import Loss
from rehearsal.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence

    from rehearsal.history import History
    from rehearsal.judging.observation import Observation
    from rehearsal.judging.observation import Seen
    from rehearsal.judging.troubles import Group
    from rehearsal.results import Budget


def matrix(history: History, observation: Observation, groups: list[Group], *, only: str | None = None) -> list[Loss]:
    """Return a cell for each step and service, both kinds, in the order of the plan, with a row outside of steps.

    `only`: a step; the cells of no other are judged.
    """
    plan = history.plan
    begun = {run.step for run in history.steps}
    labels = [step for step in budgets.steps_of(plan) if step in begun]
    labels += [step for step in dict.fromkeys(run.step for run in history.steps) if step not in labels]
    services = [str(service) for service in plan.get("services") or []]
    if budgets.CANARIES in (plan.get("defaults") or {}) or observation.of_service(budgets.CANARIES):
        services.append(budgets.CANARIES)
    charged: dict[tuple[str, str, str], list[Group]] = defaultdict(list)
    for group in groups:
        if is_judged(group, observation):
            charged[group.charge.label, group.service, group.kind].append(group)
    return [
        _loss(history, observation, label, service, kind, charged[label, service, kind])
        for label in [BEFORE, *labels, OUTSIDE]
        if only is None or label == only
        for service in services
        for kind in ("down", "degraded")
    ]


def _loss(  # noqa: PLR0913, PLR0917 - the coordinates of a cell and what falls into it
    history: History, observation: Observation, label: str, service: str, kind: str, groups: list[Group]
) -> Loss:
    budget = budgets.budget_of(history.plan, label, service, kind)
    seen = observation.of_service(service)
    subjects: dict[str, list[Seen]] = defaultdict(list)
    for each in seen:
        subjects[each.probe.declared.canary].append(each)
    if not subjects:
        return _never_sampled(label, service, kind, budget, groups)
    cells = []
    for canary, lanes in subjects.items():
        mine = [group for group in groups if group.troubles[0].seen.probe.declared.canary == canary]
        watched = watch(history, observation, label, lanes, mine)
        cells.append((canary, _cell(history, label, service, kind, budget, watched, mine)))
    cells.sort(key=lambda cell: (cell[1].outcome.rank, *by_length(cell[1].longest), cell[0]))
    canary, worst = cells[0]
    if len(cells) == 1:
        return worst
    return Loss(
        step=label,
        service=service,
        kind=kind,
        count=worst.count,
        longest=worst.longest,
        total=worst.total,
        samples=sum(cell.samples for _, cell in cells),
        failed=sum(cell.failed for _, cell in cells),
        floor_ns=None
        if any(cell.floor_ns is None for _, cell in cells)
        else max(cell.floor_ns or 0 for _, cell in cells),
        blind_ns=max(cell.blind_ns for _, cell in cells),
        budget=budget,
        outcome=worst.outcome,
        reason=worst.reason if worst.outcome is Outcome.OK and not worst.count else f"{canary}: {worst.reason}",
    )


def _never_sampled(label: str, service: str, kind: str, budget: Budget | None, groups: list[Group]) -> Loss:
    reason = "no probe watched this service"
    lost = united(sighting for group in groups for sighting in group.sightings)
    return Loss(
        label, service, kind, lost.count, lost.length, lost.length, 0, 0, None, 0, budget, Outcome.UNKNOWN, reason
    )


def watch(
    history: History, observation: Observation, label: str, lanes: Sequence[Seen], groups: Iterable[Group]
) -> Watched:
    """Return how well lanes to the same service or canary watched it during a step."""
    tallies = [tally for seen in lanes for tally in seen.tallies(label)]
    pieces = [(piece.from_ns, piece.to_ns) for piece in observation.pieces if piece.label == label]
    charged = [span for group in groups for span in united(group.sightings).spans]
    blind = [part for low, high in pieces for part in clipped(((a, b) for a, b, _ in observation.blind), low, high)]
    # A step must be watched from its first to its last moment; outside of steps, as long as there was a prober.
    uncovered = 0 if label in {BEFORE, OUTSIDE} else uncovered_ns(lanes, observation.pieces, label, history)
    return Watched(
        samples=sum(tally.samples for tally in tallies),
        failed=sum(tally.failed for tally in tallies),
        slow=sum(tally.slow for tally in tallies),
        floor_ns=_floor(observation, lanes, label),
        uncovered_ns=uncovered,
        blind_ns=min((_late(each, label) for each in _by_name(lanes)), default=0),
        # The time outside of steps has no given length, so that blindness in it cannot be summed against a budget.
        blind_counted_ns=0
        if label in {BEFORE, OUTSIDE}
        else measure(itertools.chain(blind, charged)) - measure(charged),
        period_ns=min(seen.probe.declared.period_ns for seen in lanes),
        length_ns=measure(pieces),
    )


def _by_name(lanes: Iterable[Seen]) -> list[list[Seen]]:
    named: dict[str, list[Seen]] = defaultdict(list)
    for seen in lanes:
        named[seen.probe.name].append(seen)
    return list(named.values())


def _late(declarations: Iterable[Seen], label: str) -> int:
    return sum(tally.late_ns for seen in declarations for tally in seen.tallies(label))


def _floor(observation: Observation, lanes: Sequence[Seen], label: str) -> int | None:
    """Return the floor of a service: of its lanes at the VIP that its users have, else of its best lane."""
    service = lanes[0].probe.service
    vips = vips_of(observation, service)
    if vips:
        return vip_floor(observation, service, vips[0], label)
    floors = [lane_floor(each, label) for each in _by_name(lanes)]
    return min((floor for floor in floors if floor is not None), default=None)


def vips_of(observation: Observation, service: str) -> list[str]:
    """Return the VIPs at which a service is watched, the public one first."""
    vips = {joint.vip for joint in observation.joints if joint.service == service}
    return sorted(vips, key=lambda vip: (vip != "public", vip))


def vip_floor(observation: Observation, service: str, vip: str, label: str) -> int | None:
    """Return how long a service can have been away at one VIP unseen (ns); None: nobody knows."""
    floors = [
        floor
        for joint in observation.joints
        if (joint.service, joint.vip) == (service, vip)
        for floor in joint.floors(label)
    ]
    floor = max(floors, default=OPEN_NS)
    return None if floor == OPEN_NS else floor


def lane_floor(declarations: Iterable[Seen], label: str) -> int | None:
    """Return the detection floor of one lane during a step (ns); None: never sampled, or nobody saw the end."""
    tallies = [tally for seen in declarations for tally in seen.tallies(label)]
    floor = max((tally.floor_ns for tally in tallies), default=OPEN_NS)
    return None if floor == OPEN_NS or not any(tally.samples or tally.floor_ns for tally in tallies) else floor


# --- one cell ------------------------------------------------------------------------------------------------------


def _cell(  # noqa: PLR0913, PLR0917 - the coordinates of a cell and what falls into it
    history: History, label: str, service: str, kind: str, budget: Budget | None, watched: Watched, groups: list[Group]
) -> Loss:
    limits: dict[str, Any] = {
        "budget_ns": None if budget is None else budget.longest_ns,
        "finest_ns": watched.period_ns,
    }
    together = united((sighting for group in groups for sighting in group.sightings), **limits)
    lengths = tuple(united(group.sightings, **limits).length for group in groups)
    lost = Lost(kind, lengths, together.length, together.count)
    if label in {BEFORE, OUTSIDE}:
        outcome, reason = outside(lost, watched, budget, before=label == BEFORE)
    else:
        outcome, reason = judged(
            lost,
            watched,
            budget=budget,
            allowed_anyway=budgets.budget_of(history.plan, label, service, "down") if budget is None else None,
            resolution_ns=budgets.resolution_ns(history.plan, label, service) or 2 * watched.period_ns,
            blind_share=budgets.blind_share(history.plan),
        )
    return Loss(
        step=label,
        service=service,
        kind=kind,
        count=lost.count,
        longest=lost.longest,
        total=lost.total,
        samples=watched.samples,
        failed=watched.failed if kind == "down" else watched.slow,
        floor_ns=watched.floor_ns,
        blind_ns=watched.blind_ns,
        budget=budget,
        outcome=outcome,
        reason=reason,
    )


def blind_share(
    observation: Observation, absent: Iterable[tuple[int, int, str]], begun_ns: int, ended_ns: int
) -> float:
    """Return the share of the watched time in which nobody could see."""
    spans = clipped(((low, high) for low, high, _ in itertools.chain(observation.blind, absent)), begun_ns, ended_ns)
    return measure(merged(spans)) / max(1, ended_ns - begun_ns)
