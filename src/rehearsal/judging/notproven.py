"""What was not proven: whatever was not observed is named, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from rehearsal.figures import words
from rehearsal.figures.outcome import Outcome
from rehearsal.judging import ownchecks
from rehearsal.judging import plans
from rehearsal.judging.differences import compared
from rehearsal.judging.hosts.unwatched import NOT_YET
from rehearsal.judging.hosts.unwatched import unwatched
from rehearsal.judging.hosts.unwatched import was_witnessed
from rehearsal.judging.losses import lane_floor
from rehearsal.judging.losses import strictness
from rehearsal.judging.losses import vip_floor
from rehearsal.judging.losses import vips_of
from rehearsal.judging.observing import unobserved
from rehearsal.judging.rooms import Gap
from rehearsal.lanes import table
from rehearsal.recording import events
from rehearsal.recording.stretch import INFLIGHT

if TYPE_CHECKING:
    from rehearsal.judging.hosts.unwatched import Unwatched
    from rehearsal.judging.losses import Loss
    from rehearsal.judging.observing.observation import Observation
    from rehearsal.judging.rooms import Rooms
    from rehearsal.judging.summary import Judged
    from rehearsal.recording.history import History
    from rehearsal.recording.stretch import Stretch

_CONNECTED_WITHIN_NS = 15_000_000_000
_WATCHED_PARTS = {
    "host": "What happened",
    "docker": "What happened to containers",
    "haproxy": "HAProxy's view of the services",
    "vip": "Who held the virtual addresses",
    "ovn": "OVN's bindings of ports",
}


def gaps(history: History, observation: Observation | None, judged: Judged) -> list[Gap]:
    """Return everything that this run does not prove, each with its reason. Without an observation nothing of probes."""
    found = [
        Gap(f"Step {step}", f"it never ran, and was taken out of the plan before attempt {attempt}")
        for step, attempt in plans.dropped(history)
    ]
    found += [
        *unobserved.gaps(history),
        *_of_the_course(judged),
        *(() if observation is None else _of_probes(history, observation)),
    ]
    found += [
        Gap(f"{each.canary} from inside: {each.figure}", each.reason)
        for each in judged.guests
        if each.outcome is Outcome.UNKNOWN
    ]
    found += [
        Gap(f"What {up.canary} loses over IPv6", up.without_ipv6)
        for _, up in history.of(events.CanaryUp)
        if up.without_ipv6
    ]
    found += [
        Gap(f"Check {check.partition('.')[2]}", f"not applicable: {why}")
        for _, listed in history.of(events.ClaimsListed)
        if listed.suite != INFLIGHT
        for check, why in sorted(listed.not_applicable.items())
    ]
    found += ownchecks.gaps(history, judged.checks)
    found += _of_looks(history)
    found += _not_watched(history)
    if judged.quality.blind_share > 0:
        found.append(
            Gap("What happened while the prober was blind", f"{100 * judged.quality.blind_share:.2g} % of the time")
        )
    return list(dict.fromkeys(found))


def of_rooms(rooms: Rooms) -> list[Gap]:
    """Return what the parts of the judge that raised would have said."""
    return [Gap(each.what[0].upper() + each.what[1:], f"it could not be judged: {each.why}") for each in rooms.broken]


def _of_the_course(judged: Judged) -> list[Gap]:
    unknown = [step for step in judged.steps if step.outcome is Outcome.UNKNOWN]
    found = [Gap(f"Step {step.id}", step.note) for step in unknown if step.attempts]
    never = [step.id for step in unknown if not step.attempts]
    if never:
        what = f"Step {never[0]}" if len(never) == 1 else words.plural(len(never), "step")
        found.append(Gap(what, "did not run" + (f": {', '.join(never)}" if len(never) > 1 else "")))
    found += [
        Gap(check.claim or check.id, check.observed or "not observed")
        for check in judged.checks
        if check.outcome is Outcome.UNKNOWN
    ]
    found += [Gap(_cell_name(loss), loss.reason) for loss in judged.matrix if loss.outcome is Outcome.UNKNOWN]
    found += [
        Gap(f"Live migration of {each.canary} ({each.occasion})", each.reason)
        for each in judged.migrations
        if each.outcome is Outcome.UNKNOWN
    ]
    return found


def _of_probes(history: History, observation: Observation) -> list[Gap]:
    found = [
        Gap(
            f"What probe {seen.probe.name} should have measured",
            "none of its samples proves anything" if seen.trace.samples else "no sample was recorded",
        )
        for seen in observation.seen
        if seen.trace.samples == seen.trace.nothing
    ]
    found += _coarse_lanes(history, observation)
    lanes = {seen.probe.lane for seen in observation.seen if seen.trace.samples}
    return found + [
        Gap(lane.unproven, "no probe of this kind was declared")
        for lane in table.LANES
        if lane.unproven and lane.name not in lanes
    ]


def _of_looks(history: History) -> list[Gap]:
    done = compared(history)
    unseen = {"cloud": "Nothing of the cloud was lost", "hosts": "Containers and images before and after"}
    found = [
        Gap(what, "there is no look before and after the steps") for name, what in unseen.items() if not done[name]
    ]
    found += [
        Gap(f"Containers of {facts.host} ({facts.label})", facts.error)
        for _, facts in history.of(events.HostFacts)
        if facts.error
    ]
    return found + [
        Gap(f"State of the cloud ({facts.label})", facts.error)
        for _, facts in history.of(events.CloudFacts)
        if facts.error
    ]


def _not_watched(history: History) -> list[Gap]:
    """What may have happened on the hosts unseen: each part of a host once, with its first reason."""
    if not was_witnessed(history):
        return [Gap("What happened on the hosts while it happened", "their containers and HAProxy were not watched")]
    missing: dict[tuple[str, str], list[Unwatched]] = {}
    for gap in unwatched(history):
        if not gap.why.startswith(NOT_YET) or gap.to_ns - gap.from_ns > _CONNECTED_WITHIN_NS:
            missing.setdefault((gap.host, gap.part), []).append(gap)
    return [
        Gap(
            f"{_WATCHED_PARTS.get(part, part)} on {host}",
            f"not watched for {words.at_most(sum(gap.to_ns - gap.from_ns for gap in gaps_there))}: {gaps_there[0].why}",
        )
        for (host, part), gaps_there in missing.items()
    ]


def _cell_name(loss: Loss) -> str:
    kind = "downtime" if loss.kind == "down" else "slow answers"
    return f"{kind.capitalize()} of {loss.service} {loss.stretch.when}"


def _coarse_lanes(history: History, observation: Observation) -> list[Gap]:
    """What only a lane with rarer samples could have seen, where that is longer than the budget: once a service."""
    steps = list(dict.fromkeys(piece.stretch for piece in observation.pieces if piece.stretch.is_step))
    found = []
    for lane in table.LANES:
        mine = [seen for seen in observation.seen if lane.coarse and seen.probe.lane == lane.name]
        for service in dict.fromkeys(seen.probe.service for seen in mine):
            named: dict[str, list[Any]] = {}
            for seen in mine:
                if seen.probe.service == service:
                    named.setdefault(seen.probe.name, []).append(seen)
            best = {
                stretch: min(
                    (floor for floor in (lane_floor(same, stretch) for same in named.values()) if floor is not None),
                    default=None,
                )
                for stretch in steps
            }
            found += _coarse(history, service, f"{lane.coarse} {service}", best)
    for service in dict.fromkeys(joint.service for joint in observation.joints):
        for vip in vips_of(observation, service)[1:]:
            floors = {stretch: vip_floor(observation, service, vip, stretch) for stretch in steps}
            found += _coarse(history, service, f"{service} at the {vip or 'other'} VIP", floors)
    return found


def _coarse(history: History, service: str, what: str, floors: dict[Stretch, int | None]) -> list[Gap]:
    unseen = 0
    for stretch, floor in floors.items():
        if floor is not None and floor > strictness(history, stretch, service, "down"):
            unseen = max(unseen, floor)
    return (
        [Gap(what, f"an outage of them alone, of up to {words.at_most(unseen)}, could have passed unseen")]
        if unseen
        else []
    )
