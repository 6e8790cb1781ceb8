"""The verdict: what explains it, what was not proven, and one sentence.

Worst wins. Whatever was not observed is named; a run that did not come to its end is never ok.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any

from rehearsal import events
from rehearsal.judging import budgets
from rehearsal.judging import course
from rehearsal.judging import trust
from rehearsal.judging import words
from rehearsal.judging.differences import compared
from rehearsal.judging.differences import strange
from rehearsal.judging.differences import unchanged
from rehearsal.judging.happenings import NOT_YET
from rehearsal.judging.happenings import unwatched
from rehearsal.judging.happenings import was_witnessed
from rehearsal.judging.losses import lane_floor
from rehearsal.judging.losses import vip_floor
from rehearsal.judging.losses import vips_of
from rehearsal.judging.observation import BEFORE
from rehearsal.judging.observation import OUTSIDE
from rehearsal.results import Finding
from rehearsal.results import Gap
from rehearsal.verdict import Outcome
from rehearsal.verdict import worst

if TYPE_CHECKING:
    from rehearsal.history import History
    from rehearsal.judging.observation import Observation
    from rehearsal.results import Canary
    from rehearsal.results import Check
    from rehearsal.results import Difference
    from rehearsal.results import GuestFigure
    from rehearsal.results import Loss
    from rehearsal.results import Migration
    from rehearsal.results import Quality
    from rehearsal.results import Step
    from rehearsal.results import Unwatched

_CONNECTED_WITHIN_NS = 15_000_000_000
_WATCHED_PARTS = {
    "host": "What happened",
    "docker": "What happened to containers",
    "haproxy": "HAProxy's view of the services",
    "vip": "Who held the virtual addresses",
    "ovn": "OVN's bindings of ports",
}
_RANK = {Outcome.FAIL: 0, Outcome.UNKNOWN: 1, Outcome.OK: 2}
_ENDS = {
    "interrupted": "the run was interrupted",
    "calibration": "the run stopped before anything was upgraded",
    "gate": "the run stopped at a gate",
    "step": "the run stopped because a step did not end well",
    "hold": "the run stopped at a hold point that nobody confirmed",
    "error": "the run ended with an error of its own",
}
_LANES = {
    "vip-new": "APIs over new connections",
    "vip-reused": "APIs over kept connections",
    "deep": "Authenticated reads",
    "write": "Writing through the APIs (create, delete)",
    "backend-new": "Each API server behind the load balancer",
    "icmp": "Reachability of guests",
    "tcp": "Established connections to guests",
    "udp": "Datagrams to and from guests, by direction",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """Everything that was judged, before it becomes one verdict."""

    steps: list[Step]
    checks: list[Check]
    matrix: list[Loss]
    migrations: list[Migration]
    canaries: list[Canary]
    differences: list[Difference]
    quality: Quality
    guests: list[GuestFigure] = field(default_factory=list)


def findings(history: History, judged: Judged) -> list[Finding]:
    """Return one sentence for everything that is not ok, failures first; then what a reader should know anyway."""
    found: list[Finding] = []
    found += _of_the_end(history)
    found += _of_steps(judged)
    found += _of_gates(history, judged)
    found += _of_losses(judged)
    found += [
        Finding(
            each.outcome,
            f"migration:{each.id}",
            f"Live migration of {each.canary} from {each.source} ({each.occasion}): {each.reason}.",
        )
        for each in judged.migrations
        if each.outcome is not Outcome.OK
    ]
    found += _of_missing_migrations(history, judged)
    found += [
        Finding(each.outcome, f"canary:{each.name}", f"{each.name}: {each.reason}.")
        for each in judged.canaries
        if each.outcome is not Outcome.OK and not _is_told(each, judged)
    ]
    found += [
        Finding(Outcome.FAIL, f"canary:{each.canary}", f"{each.canary}, from inside: {each.reason}{_between(each)}.")
        for each in judged.guests
        if each.outcome is Outcome.FAIL and not (each.figure == "boot" and _restart_is_told(each, judged))
    ]
    found += _of_differences(history, judged)
    found += _of_the_prober(history, judged)
    found += trust.findings(history)
    found += [
        Finding(course.outcome_of(outcome), f"phase:{phase}", f"{phase.capitalize()} did not end well.")
        for phase, _, ended_ns, outcome in history.phases
        if ended_ns is not None and outcome != Outcome.OK and phase in {"canaries", "clean-up"}
    ]
    found += [
        Finding(Outcome.OK, f"step:{step.id}", f"Step {step.id} needed {step.attempts} attempts.")
        for step in judged.steps
        if step.attempts > 1 and step.outcome is Outcome.OK
    ]
    return sorted(found, key=lambda finding: _RANK[finding.outcome])


def _of_the_end(history: History) -> list[Finding]:
    last = history.last
    rebooted = "The machine was rebooted during the run; what was recorded before cannot be put on the same clock."
    found = [Finding(Outcome.UNKNOWN, "run", rebooted)] if history.rebooted else []
    if last.ended_ns is None:
        text = "The run has not ended: it still runs, or its runner was killed."
        return [*found, Finding(Outcome.UNKNOWN, "run", text)]
    if last.reason == "finished":
        return found
    why = _ENDS.get(last.reason, f"the run ended early ({last.reason})")
    detail = last.detail.strip().rstrip(".")
    if last.reason == "interrupted" and detail.startswith("It was interrupted"):
        why, detail = detail.replace("It", "the run", 1), ""
    text = f"{why}: {detail}" if detail else why
    return [*found, Finding(Outcome.UNKNOWN, "run", f"{text[0].upper()}{text[1:]}.")]


def _of_steps(judged: Judged) -> list[Finding]:
    bad = [step for step in judged.steps if step.outcome is not Outcome.OK]
    not_run = [step.id for step in bad if not step.attempts]
    found = [
        Finding(step.outcome, f"step:{step.id}", f"Step {step.id}: {step.note or 'not proven'}.")
        for step in bad
        if step.attempts
    ]
    if not_run:
        found.append(Finding(Outcome.UNKNOWN, f"step:{not_run[0]}", f"{_did_not_run(not_run)}."))
    return found


def _did_not_run(steps: list[str]) -> str:
    return f"{words.plural(len(steps), 'step')} did not run: {words.listed(steps)}"


def _of_gates(history: History, judged: Judged) -> list[Finding]:
    """The gates before and after; those of steps speak through their steps."""
    found = []
    for name, shown in (("preflight", "Pre-flight"), ("postflight", "Post-flight")):
        outcome, sentence = course.gate(name, judged.checks)
        if outcome is Outcome.UNKNOWN and not any(check.gate == name for check in judged.checks):
            if name == "postflight" and history.last.reason != "finished":
                continue  # it was never reached, and the end says why
            sentence = "it was not asked"
        if outcome is not Outcome.OK:
            found.append(Finding(outcome, f"gate:{name}", f"{shown}: {sentence}."))
    return found


def _of_losses(judged: Judged) -> list[Finding]:
    found: list[Finding] = []
    unwatched: list[str] = []
    for loss in judged.matrix:
        if loss.outcome is Outcome.OK:
            continue
        if loss.samples == 0 and loss.count == 0:
            unwatched.append(loss.service)
            continue
        during = _when(loss.step)
        kind = "" if loss.kind == "down" else " (slow answers)"
        found.append(
            Finding(
                loss.outcome,
                f"step:{loss.step}" if loss.step else "run",
                f"{loss.service}{kind} {during}: {loss.reason}.",
            )
        )
    for service in dict.fromkeys(unwatched):
        cells = [loss for loss in judged.matrix if loss.service == service and loss.kind == "down"]
        empty = [loss.step or "outside of steps" for loss in cells if not loss.samples and loss.step != BEFORE]
        where = "" if len(empty) == len(cells) else f" during {words.listed(empty)}"
        found.append(Finding(Outcome.UNKNOWN, f"service:{service}", f"{service} was never sampled{where}."))
    return found


def _is_told(canary: Canary, judged: Judged) -> bool:
    """True if the matrix already says what is wrong with a canary."""
    return any(
        loss.service == budgets.CANARIES
        and loss.outcome is canary.outcome
        and loss.reason.startswith(f"{canary.name}: ")
        for loss in judged.matrix
    )


def _restart_is_told(figure: GuestFigure, judged: Judged) -> bool:
    """True if the canary or one of its migrations already says that it was booted again."""
    return any(each.name == figure.canary and each.outcome is Outcome.FAIL for each in judged.canaries) or any(
        each.canary == figure.canary and each.outcome is Outcome.FAIL for each in judged.migrations
    )


def _between(figure: GuestFigure) -> str:
    return f" (during {figure.during})" if figure.during else ""


def _when(label: str) -> str:
    if label == BEFORE:
        return "before the first step"
    return f"during {label}" if label else "outside of steps"


def _of_missing_migrations(history: History, judged: Judged) -> list[Finding]:
    made = {migration.occasion for migration in judged.migrations}
    run = {step.id for step in judged.steps if step.rc == 0}
    wanted = [
        str(step.get("migrate"))
        for step_id, step in budgets.steps_of(history.plan).items()
        if step.get("migrate") and step_id in run
    ]
    if history.last.reason != "finished":
        return []
    return [
        Finding(
            Outcome.UNKNOWN, "migrations", f"No canary was migrated on the occasion “{occasion}”, which the plan wants."
        )
        for occasion in dict.fromkeys(wanted)
        if occasion not in made
    ]


def _of_differences(history: History, judged: Judged) -> list[Finding]:
    found = []
    lost = [each for each in judged.differences if each.change == "lost" and not each.expected]
    if lost:
        names = words.listed([f"{each.kind} {each.name}" for each in lost])
        found.append(Finding(Outcome.FAIL, "differences", f"Lost since before the upgrade: {names}."))
    odd = strange(history)
    if odd:
        names = words.listed(odd)
        found.append(
            Finding(Outcome.FAIL, "differences", f"Another image, though no step of the plan replaces it: {names}.")
        )
    kept = unchanged(history)
    if kept:
        names = words.listed([f"{name} ({image})" for name, image in kept])
        found.append(
            Finding(Outcome.FAIL, "differences", f"Still the image from before, though its step is done: {names}.")
        )
    return found


def _of_the_prober(history: History, judged: Judged) -> list[Finding]:
    if not history.prober_runs:
        return [Finding(Outcome.UNKNOWN, "prober", "No prober ran: nothing was measured.")]
    if judged.quality.prober_stopped or history.last.ended_ns is None:
        return []
    died = next(run for run in history.prober_runs if run.stopped is None)
    after_s = (died.last_beat_ns - history.began_ns) / 1e9
    return [
        Finding(
            Outcome.UNKNOWN, "prober", f"The prober died {after_s:.0f} s into the run; nothing is known after that."
        )
    ]


# --- not proven ----------------------------------------------------------------------------------------------------


def gaps(history: History, observation: Observation, judged: Judged) -> list[Gap]:
    """Return everything that this run does not prove, each with its reason."""
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
    found += [
        Gap(
            f"What probe {seen.probe.name} should have measured",
            "none of its samples proves anything" if seen.trace.samples else "no sample was recorded",
        )
        for seen in observation.seen
        if seen.trace.samples == seen.trace.nothing
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
    found += _coarse_lanes(history, observation)
    lanes = {seen.probe.lane for seen in observation.seen if seen.trace.samples}
    found += [Gap(what, "no probe of this kind was declared") for lane, what in _LANES.items() if lane not in lanes]
    done = compared(history)
    unseen = {"cloud": "Nothing of the cloud was lost", "hosts": "Containers and images before and after"}
    found += [
        Gap(what, "there is no look before and after the steps") for name, what in unseen.items() if not done[name]
    ]
    found += [
        Gap(f"Containers of {facts.host} ({facts.label})", facts.error)
        for _, facts in history.of(events.HostFacts)
        if facts.error
    ]
    found += [
        Gap(f"State of the cloud ({facts.label})", facts.error)
        for _, facts in history.of(events.CloudFacts)
        if facts.error
    ]
    found += _not_watched(history)
    if judged.quality.blind_share > 0:
        found.append(
            Gap("What happened while the prober was blind", f"{100 * judged.quality.blind_share:.2g} % of the time")
        )
    return list(dict.fromkeys(found))


def _not_watched(history: History) -> list[Gap]:
    """What may have happened on the hosts unseen: each part of a host once, with its first reason."""
    if not was_witnessed(history):
        return [Gap("What happened on the hosts while it happened", "nobody watched their containers and HAProxy")]
    missing: dict[tuple[str, str], list[Unwatched]] = {}
    for gap in unwatched(history):
        if gap.why != NOT_YET or gap.to_ns - gap.from_ns > _CONNECTED_WITHIN_NS:
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
    return f"{kind.capitalize()} of {loss.service} {_when(loss.step)}"


def _coarse_lanes(history: History, observation: Observation) -> list[Gap]:
    """What only a lane with rarer samples could have seen, where that is longer than the budget: once a service."""
    labels = [
        label for label in dict.fromkeys(piece.label for piece in observation.pieces) if label not in {BEFORE, OUTSIDE}
    ]
    found = []
    for lane, what in (("deep", "Authenticated reads of"), ("write", "Writing through the API of")):
        for service in dict.fromkeys(seen.probe.service for seen in observation.seen if seen.probe.lane == lane):
            named: dict[str, list[Any]] = {}
            for seen in observation.of_service(service):
                if seen.probe.lane == lane:
                    named.setdefault(seen.probe.name, []).append(seen)
            best = {
                label: min(
                    (floor for floor in (lane_floor(same, label) for same in named.values()) if floor is not None),
                    default=None,
                )
                for label in labels
            }
            found += _coarse(history, service, f"{what} {service}", best)
    for service in dict.fromkeys(joint.service for joint in observation.joints):
        for vip in vips_of(observation, service)[1:]:
            floors = {label: vip_floor(observation, service, vip, label) for label in labels}
            found += _coarse(history, service, f"{service} at the {vip or 'other'} VIP", floors)
    return found


def _coarse(history: History, service: str, what: str, floors: dict[str, int | None]) -> list[Gap]:
    unseen = 0
    for label, floor in floors.items():
        budget = budgets.budget_of(history.plan, label, service, "down")
        if floor is not None and budget is not None and floor > budget.longest_ns:
            unseen = max(unseen, floor)
    return (
        [Gap(what, f"an outage of them alone, of up to {words.at_most(unseen)}, could have passed unseen")]
        if unseen
        else []
    )


# --- one sentence --------------------------------------------------------------------------------------------------


def outcome(found: list[Finding], judged: Judged) -> Outcome:
    """Return the verdict: the worst of everything; without a single step it is unknown."""
    return worst([*(finding.outcome for finding in found), *(step.outcome for step in judged.steps)])


def sentence(verdict: Outcome, found: list[Finding], judged: Judged) -> str:
    """Return the verdict in one sentence."""
    bad = [finding for finding in found if finding.outcome is verdict]
    if verdict is Outcome.OK:
        return _all_well(judged)
    if not bad:
        return "There is nothing from which a verdict could be drawn."
    first = bad[0].sentence.rstrip(".")
    others = f" ({words.plural(len(bad) - 1, 'further finding')})" if len(bad) > 1 else ""
    return f"{first}{others}." if verdict is Outcome.FAIL else f"Not decided: {first[0].lower()}{first[1:]}{others}."


def _all_well(judged: Judged) -> str:
    parts = [f"all {words.plural(len(judged.steps), 'step')} ended well"]
    down = [loss for loss in judged.matrix if loss.kind == "down" and loss.count and loss.step not in {BEFORE, OUTSIDE}]
    if down:
        worst_loss = max(down, key=lambda loss: (loss.longest.possible_ns or 0, loss.longest.certain_ns))
        allowed = f", {words.exactly(worst_loss.budget.longest_ns)} allowed" if worst_loss.budget else ""
        where = f"{worst_loss.service} during {worst_loss.step}"
        parts.append(f"the longest outage was {words.between(worst_loss.longest)} ({where}{allowed})")
    else:
        parts.append("no outage was seen in any of them")
    if judged.migrations:
        parts.append(f"{words.plural(len(judged.migrations), 'live migration')} succeeded")
    if judged.checks:
        parts.append(f"{words.plural(len(judged.checks), 'check')} passed")
    text = ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]
    return f"{text[0].upper()}{text[1:]}."
