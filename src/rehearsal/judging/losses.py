"""The matrix: what the users of each service lost during each step, against what the plan allows.

Every judgement is one of three, and its sentence says why. A budget that lies between the certain and the possible is
unknown; so is one below the detection floor. An outage that may have begun in one of several steps fails a step only if
it would fail each of them, and leaves undecided every step that it would not leave well.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.claims.downtime import Lost
from rehearsal.claims.downtime import Watched
from rehearsal.claims.downtime import judged
from rehearsal.claims.downtime import outside
from rehearsal.figures.outcome import Outcome
from rehearsal.judging import plans
from rehearsal.judging.charging import budgets
from rehearsal.judging.charging.troubles import evidence_end
from rehearsal.judging.charging.troubles import is_judged
from rehearsal.judging.charging.union import ALIKE
from rehearsal.judging.charging.union import extent
from rehearsal.judging.charging.union import united
from rehearsal.judging.observing.observation import uncovered_ns
from rehearsal.outage import OPEN_NS
from rehearsal.outage import clipped
from rehearsal.outage import measure
from rehearsal.outage import merged
from rehearsal.recording.declarations import USERS_VIP
from rehearsal.recording.stretch import BETWEEN
from rehearsal.recording.stretch import CONTROL
from rehearsal.recording.stretch import Stretch
from rehearsal.recording.stretch import step as step_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence

    from rehearsal.figures.length import Budget
    from rehearsal.figures.length import Length
    from rehearsal.judging.charging.troubles import Group
    from rehearsal.judging.charging.troubles import Incident
    from rehearsal.judging.observing.observation import Observation
    from rehearsal.judging.observing.observation import Piece
    from rehearsal.judging.observing.observation import Seen
    from rehearsal.recording.history import History


@dataclass(frozen=True, slots=True)
class Loss:
    """What the users of one service lost during one step: a cell of the matrix step x service.

    Before the first step is the control, which is not judged. Service `canaries`: the canary that lost most; its
    migrations are judged apart.
    """

    stretch: Stretch
    service: str
    kind: str  # down | degraded
    count: int
    longest: Length
    total: Length
    samples: int
    failed: int
    floor_ns: int | None  # the longest outage that could have passed unseen; None: never sampled
    blind_ns: int
    budget: Budget | None
    outcome: Outcome
    reason: str  # one sentence
    left_ns: int = 0  # how long what began before it may have gone on in it unseen

    @property
    def step(self) -> str:
        """The step's id; empty if no step was running."""
        return self.stretch.step


def matrix(history: History, observation: Observation, groups: list[Group], *, only: str | None = None) -> list[Loss]:
    """Return a cell for each step and service, both kinds, in the order of the plan, with a row outside of steps.

    `only`: a step; the cells of no other are judged.
    """
    begun = {run.step for run in history.steps}
    names = [step.id for step in plans.last(history).steps if step.id in begun]
    names += [step for step in dict.fromkeys(run.step for run in history.steps) if step not in names]
    services = plans.services(history)
    if _canaries_have_budgets(history) or observation.of_service(budgets.CANARIES):
        services.append(budgets.CANARIES)
    charged = _Charged(observation, groups)
    return [
        _loss(history, observation, charged, stretch, service, kind)
        for stretch in [CONTROL, *map(step_of, names), BETWEEN]
        if only is None or stretch == step_of(only)
        for service in services
        for kind in ("down", "degraded")
    ]


def _canaries_have_budgets(history: History) -> bool:
    return any(budgets.CANARIES in epoch.plan.defaults for epoch in plans.epochs(history))


def budget_at(history: History, stretch: Stretch, service: str, kind: str) -> Budget | None:
    """Return what a service may lose in a stretch of the run; None if no plan says so.

    Of plans that were edited while it was going on, the strictest: an edit excuses nothing.
    """
    followed = (
        plans.of_step(history, stretch.step) if stretch.is_step else [each.plan for each in plans.epochs(history)]
    )
    found = [budgets.budget_of(plan, stretch, service, kind) for plan in followed]
    known = [budget for budget in found if budget is not None]
    return min(known, key=lambda budget: budget.longest_ns, default=None)


def strictness(history: History, stretch: Stretch, service: str, kind: str) -> int:
    """Return how long an outage may last in a stretch (ns); OPEN_NS if nothing is said."""
    budget = budget_at(history, stretch, service, kind)
    return OPEN_NS if budget is None else budget.longest_ns


class _Charged:
    """What counts in the matrix, by what it is charged to or may belong to."""

    def __init__(self, observation: Observation, groups: Iterable[Group]) -> None:
        self._found: dict[tuple[Stretch, str, str], list[Incident]] = defaultdict(list)
        self._left: dict[tuple[Stretch, str, str, str], int] = defaultdict(int)
        doing = [piece for piece in observation.pieces if piece.stretch.is_step]
        for group in groups:
            if not is_judged(group, observation):
                continue
            for incident in group.incidents:
                for stretch in incident.candidates:
                    self._found[stretch, incident.service, incident.kind].append(incident)
                if not incident.charge.is_sure:
                    self._leave(incident, doing)

    def _leave(self, incident: Incident, doing: Iterable[Piece]) -> None:
        """An outage of which no sample failed in a step may have gone on into it all the same."""
        for sighting in incident.sightings:
            begin_ns, end_ns = extent(sighting.outage)
            seen_until_ns = evidence_end(sighting.outage)
            for piece in doing:
                if begin_ns < piece.from_ns < end_ns and seen_until_ns <= piece.from_ns:
                    key = piece.stretch, incident.service, incident.kind, canary_of(incident)
                    self._left[key] = max(self._left[key], end_ns - piece.from_ns)

    def of(self, stretch: Stretch, service: str, kind: str) -> list[Incident]:
        """Return what a stretch lost, and what it may have lost."""
        return self._found[stretch, service, kind]

    def left_ns(self, stretch: Stretch, service: str, kind: str, canary: str) -> int:
        """Return how long (ns) what began before a step may have gone on in it unseen."""
        return self._left[stretch, service, kind, canary]


def canary_of(incident: Incident) -> str:
    """Return whose outage it is; empty for a service's."""
    seen = incident.sightings[0].seen
    return seen.probe.declared.canary if seen is not None else ""


def _loss(  # noqa: PLR0913, PLR0917 - the coordinates of a cell
    history: History, observation: Observation, charged: _Charged, stretch: Stretch, service: str, kind: str
) -> Loss:
    budget = budget_at(history, stretch, service, kind)
    incidents = charged.of(stretch, service, kind)
    subjects: dict[str, list[Seen]] = defaultdict(list)
    for each in observation.of_service(service):
        subjects[each.probe.declared.canary].append(each)
    if not subjects:
        return _never_sampled(stretch, service, kind, budget, incidents)
    cells = []
    for canary, lanes in subjects.items():
        mine = [incident for incident in incidents if canary_of(incident) == canary]
        watched = watch(history, observation, stretch, kind, lanes, mine)
        left_ns = charged.left_ns(stretch, service, kind, canary)
        if watched.floor_ns is not None and left_ns:
            floor_ns = None if left_ns >= OPEN_NS // 2 else max(watched.floor_ns, left_ns)
            watched = dataclasses.replace(watched, floor_ns=floor_ns, left_ns=left_ns)
        cell = _cell(history, stretch, service, kind, watched, mine)
        cells.append((canary, dataclasses.replace(cell, left_ns=left_ns)))
    cells.sort(key=lambda cell: cell[0])
    rank = min(cell.outcome.rank for _, cell in cells)
    canary, worst = max((cell for cell in cells if cell[1].outcome.rank == rank), key=lambda cell: cell[1].longest)
    if len(cells) == 1:
        return worst
    floors = [cell.floor_ns for _, cell in cells]
    known = [floor for floor in floors if floor is not None]
    return dataclasses.replace(
        worst,
        samples=sum(cell.samples for _, cell in cells),
        failed=sum(cell.failed for _, cell in cells),
        floor_ns=max(known) if len(known) == len(floors) else None,
        blind_ns=max(cell.blind_ns for _, cell in cells),
        reason=worst.reason if worst.outcome is Outcome.OK and not worst.count else f"{canary}: {worst.reason}",
    )


def _never_sampled(
    stretch: Stretch, service: str, kind: str, budget: Budget | None, incidents: Sequence[Incident]
) -> Loss:
    lost = united(sighting for incident in incidents for sighting in incident.sightings)
    return Loss(
        stretch=stretch,
        service=service,
        kind=kind,
        count=lost.count,
        longest=lost.length,
        total=lost.length,
        samples=0,
        failed=0,
        floor_ns=None,
        blind_ns=0,
        budget=budget,
        outcome=Outcome.UNKNOWN,
        reason="no probe watched this service",
    )


def watch(  # noqa: PLR0913, PLR0917 - what was watched, when, and by whom
    history: History,
    observation: Observation,
    stretch: Stretch,
    kind: str,
    lanes: Sequence[Seen],
    incidents: Iterable[Incident],
) -> Watched:
    """Return how well lanes to the same service or canary watched it during a stretch of the run."""
    tallies = [tally for seen in lanes for tally in seen.tallies(stretch)]
    pieces = [(piece.from_ns, piece.to_ns) for piece in observation.pieces if piece.stretch == stretch]
    charged = [span for incident in incidents for span in united(incident.sightings).spans]
    blind = [part for low, high in pieces for part in clipped(((a, b) for a, b, _ in observation.blind), low, high)]
    moved = _moved(lanes, pieces)
    return Watched(
        samples=sum(tally.samples for tally in tallies),
        failed=sum(tally.failed for tally in tallies),
        slow=sum(tally.slow for tally in tallies),
        floor_ns=0 if moved else _floor(observation, lanes, stretch, kind),
        # A step must be watched from its first to its last moment; outside of steps, as long as there was a prober.
        uncovered_ns=uncovered_ns(lanes, observation.pieces, stretch, history) if stretch.is_step else 0,
        blind_ns=min((_late(each, stretch) for each in _by_name(lanes)), default=0),
        # The time outside of steps has no given length, so that blindness in it cannot be summed against a budget.
        blind_counted_ns=measure(itertools.chain(blind, charged)) - measure(charged) if stretch.is_step else 0,
        period_ns=min(seen.probe.declared.period_ns for seen in lanes),
        length_ns=measure(pieces),
        sampled_ever=any(seen.trace.samples for seen in lanes),
        moved=moved,
    )


def _moved(lanes: Sequence[Seen], pieces: Iterable[tuple[int, int]]) -> bool:
    """Return whether a canary's live migrations cover all of a stretch: what it lost then is theirs."""
    moves = merged(
        (piece.from_ns, piece.to_ns) for seen in lanes for piece in seen.pieces if piece.stretch.is_migration
    )
    wanted = list(pieces)
    return bool(moves and wanted) and all(
        any(low <= from_ns and to_ns <= high for low, high in moves) for from_ns, to_ns in wanted
    )


def _by_name(lanes: Iterable[Seen]) -> list[list[Seen]]:
    named: dict[str, list[Seen]] = defaultdict(list)
    for seen in lanes:
        named[seen.probe.name].append(seen)
    return list(named.values())


def _late(declarations: Iterable[Seen], stretch: Stretch) -> int:
    return sum(tally.late_ns for seen in declarations for tally in seen.tallies(stretch))


def _floor(observation: Observation, lanes: Sequence[Seen], stretch: Stretch, kind: str) -> int | None:
    """Return the floor of a service: of its lanes at the VIP that its users have, else of its best lane."""
    service = lanes[0].probe.service
    vips = vips_of(observation, service)
    if vips:
        return vip_floor(observation, service, vips[0], stretch, kind)
    floors = [lane_floor(each, stretch, kind) for each in _by_name(lanes)]
    return min((floor for floor in floors if floor is not None), default=None)


def vips_of(observation: Observation, service: str) -> list[str]:
    """Return the VIPs at which a service is watched, the public one first."""
    vips = {joint.vip for joint in observation.joints if joint.service == service}
    return sorted(vips, key=lambda vip: (vip != USERS_VIP, vip))


def vip_floor(observation: Observation, service: str, vip: str, stretch: Stretch, kind: str = "down") -> int | None:
    """Return how long a service can have been away (or slow) at one VIP unseen (ns); None: nobody knows."""
    floors = [
        floor
        for joint in observation.joints
        if (joint.service, joint.vip) == (service, vip)
        for floor in joint.floors(stretch, kind)
    ]
    floor = max(floors, default=OPEN_NS)
    return None if floor == OPEN_NS else floor


def lane_floor(declarations: Iterable[Seen], stretch: Stretch, kind: str = "down") -> int | None:
    """Return the detection floor of one lane in a stretch (ns); None: never sampled, or nobody saw the end."""
    floors = [tally.floor_of(kind) for seen in declarations if seen.trace.samples for tally in seen.tallies(stretch)]
    floor = max(floors, default=OPEN_NS)
    return None if floor == OPEN_NS else floor


# --- one cell ------------------------------------------------------------------------------------------------------


def _cell(  # noqa: PLR0913, PLR0917 - the coordinates of a cell and what falls into it
    history: History, stretch: Stretch, service: str, kind: str, watched: Watched, incidents: Sequence[Incident]
) -> Loss:
    budget = budget_at(history, stretch, service, kind)
    lost = _lost(kind, [incident for incident in incidents if incident.charge.stretch == stretch])
    outcome, reason = _judged(history, stretch, service, lost, watched)
    if any(incident.charge.others for incident in incidents):
        outcome, reason = _in_doubt(history, stretch, service, watched, incidents, (outcome, reason))
    return Loss(
        stretch=stretch,
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


def _lost(kind: str, incidents: Iterable[Incident]) -> Lost:
    found = list(incidents)
    together = united(sighting for incident in found for sighting in incident.sightings)
    return Lost(kind, _lengths(found), together.length, len(found))


def _lengths(incidents: Sequence[Incident]) -> tuple[Length, ...]:
    """Return how long each outage lasted.

    What only a slower lane saw may have begun before an outage that faster lanes saw was over: then users had no moment
    in between, and it is possible that the one went on as the other.
    """
    unions = [united(incident.sightings) for incident in incidents]
    periods = [min(sighting.period_ns for sighting in incident.sightings) for incident in incidents]
    if not periods or max(periods) <= ALIKE * min(periods):
        return tuple(union.length for union in unions)
    found = []
    for union, period_ns in zip(unions, periods, strict=True):
        spans = [
            span
            for other, other_ns in zip(unions, periods, strict=True)
            if max(period_ns, other_ns) > ALIKE * min(period_ns, other_ns)
            for span in other.spans
            if any(span[0] < to_ns and from_ns < span[1] for from_ns, to_ns in union.spans)
        ]
        length = union.length
        if spans and length.possible_ns is not None:
            longest = measure([*union.spans, *spans])
            length = dataclasses.replace(length, possible_ns=None if longest >= OPEN_NS // 2 else longest)
        found.append(length)
    return tuple(found)


def _judged(history: History, stretch: Stretch, service: str, lost: Lost, watched: Watched) -> tuple[Outcome, str]:
    budget = budget_at(history, stretch, service, lost.kind)
    if not stretch.is_step:
        return outside(lost, watched, budget, before=stretch == CONTROL)
    followed = plans.of_step(history, stretch.step)
    resolutions = [budgets.resolution_ns(plan, stretch.step, service) for plan in followed]
    declared = [resolution for resolution in resolutions if resolution is not None]
    return judged(
        lost,
        watched,
        budget=budget,
        allowed_anyway=budget_at(history, stretch, service, "down") if budget is None else None,
        resolution_ns=min(declared, default=0) or 2 * watched.period_ns,
        blind_share=min(plan.blind_share for plan in followed),
    )


def _in_doubt(  # noqa: PLR0913, PLR0917 - the coordinates of a cell, and what is known of it
    history: History,
    stretch: Stretch,
    service: str,
    watched: Watched,
    incidents: Sequence[Incident],
    shown: tuple[Outcome, str],
) -> tuple[Outcome, str]:
    """Judge a stretch to which some outages may not belong, and others may that are charged elsewhere."""
    kind = incidents[0].kind
    everything = _judged(history, stretch, service, _lost(kind, incidents), watched)
    if everything[0] is Outcome.OK:
        return shown
    surely = _lost(kind, [incident for incident in incidents if not incident.charge.others])
    sure = _judged(history, stretch, service, surely, watched)
    if sure[0] is Outcome.FAIL:
        return sure
    mine = [incident for incident in incidents if incident.charge.others and incident.charge.stretch == stretch]
    if any(_fails_everywhere(history, service, incident, watched) for incident in mine):
        return shown
    others = dict.fromkeys(
        other.when for incident in incidents if incident.charge.others for other in incident.candidates
    )
    where = " or ".join(when for when in others if when != stretch.when)
    return Outcome.UNKNOWN, f"{everything[1]}; but an outage may have begun {where}"


def _fails_everywhere(history: History, service: str, incident: Incident, watched: Watched) -> bool:
    lost = _lost(incident.kind, [incident])
    return all(
        _judged(history, stretch, service, lost, watched)[0] is Outcome.FAIL
        if stretch.is_step
        else lost.longest.certain_ns > strictness(history, stretch, service, incident.kind)
        for stretch in incident.candidates
    )


def blind_share(
    observation: Observation, absent: Iterable[tuple[int, int, str]], begun_ns: int, ended_ns: int
) -> float:
    """Return the share of the watched time in which nobody could see."""
    spans = clipped(((low, high) for low, high, _ in itertools.chain(observation.blind, absent)), begun_ns, ended_ns)
    return measure(merged(spans)) / max(1, ended_ns - begun_ns)
