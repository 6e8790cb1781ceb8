"""Live migrations and canaries: did they work, and who was out of reach for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.claims.migrations import moved
from rehearsal.claims.migrations import reached
from rehearsal.figures import words
from rehearsal.figures.length import Length
from rehearsal.figures.length import longest
from rehearsal.figures.outcome import Outcome
from rehearsal.figures.outcome import worst
from rehearsal.judging import plans
from rehearsal.judging.charging import budgets
from rehearsal.judging.charging.troubles import is_judged
from rehearsal.judging.charging.union import united
from rehearsal.judging.shown.flows import ways_of
from rehearsal.lanes import table
from rehearsal.outage import OPEN_NS
from rehearsal.outside import bounded
from rehearsal.recording import events
from rehearsal.recording.stretch import migration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.claims.migrations import Claim
    from rehearsal.figures.length import Budget
    from rehearsal.judging.charging.troubles import Group
    from rehearsal.judging.losses import Loss
    from rehearsal.judging.observing.observation import Observation
    from rehearsal.recording.history import History
    from rehearsal.recording.history import MigrationRun


@dataclass(frozen=True, slots=True)
class Migration:
    """A live migration of a canary. `outcome` ok needs: completed, host changed, ACTIVE, same boot id, window closed."""

    id: str
    canary: str
    occasion: str
    source: str
    target: str
    began_ns: int
    ended_ns: int | None
    status: str
    total_s: float | None
    network: Length | None
    tcp: Length | None
    floor_ns: int | None
    outcome: Outcome
    reason: str
    stood_still: Length | None = None  # the guest's own clock, during the migration
    hypervisor_downtime_ns: int | None = None  # as libvirt itself says
    network_excess_ns: int | None = (
        None  # how much longer the network was away, most likely; less than 0: for less long
    )
    udp: Length | None = None
    lost_there: int = 0  # datagrams, on the way to the guest
    lost_back: int = 0
    budget: Budget | None = None  # what its network gap is judged against


@dataclass(frozen=True, slots=True)
class Canary:
    """A canary's life in this run."""

    name: str
    server_id: str
    address: str
    host: str
    boot_ids: list[str]
    longest: Length | None  # outside migrations, network
    total: Length | None
    outcome: Outcome
    reason: str
    address_v6: str = ""


def migrations(history: History, observation: Observation, groups: list[Group]) -> list[Migration]:
    """Return every live migration, judged: what was not observed makes it unknown."""
    return [_migration(run, history, observation, groups) for run in history.migrations]


def _migration(run: MigrationRun, history: History, observation: Observation, groups: list[Group]) -> Migration:
    began, ended = run.began, run.ended
    network, floor_ns = _lane(run, observation, groups, table.ICMP.name)
    tcp, _ = _lane(run, observation, groups, table.TCP.name)
    udp, _ = _lane(run, observation, groups, table.UDP.name)
    datagrams = {
        seen.probe.declared.probe for seen, _ in observation.migrating(began.canary, began.migration, table.UDP.name)
    }
    there, back, _ = ways_of(history, datagrams, run.began_ns, run.ended_ns)
    stopped_ns = _hypervisor_downtime_ns(ended)
    budget = budgets.migration_budget(plans.at(history, run.began_ns))
    claims = [*moved(run.began, run.ended), *reached(network, floor_ns, budget)]
    outcome = worst(claim for claim, _ in claims)
    reasons = [text for claim, text in claims if claim is outcome and text]
    if ended is not None and ended.detail and outcome is not Outcome.OK:
        reasons.append(ended.detail)
    return Migration(
        id=began.migration,
        canary=began.canary,
        occasion=began.occasion,
        source=began.source,
        target=(ended.host_after if ended else "") or began.target,
        began_ns=run.began_ns,
        ended_ns=run.ended_ns,
        status=ended.status if ended else "",
        total_s=ended.total_s if ended else None,
        network=network,
        tcp=tcp,
        floor_ns=floor_ns,
        outcome=outcome,
        reason="; ".join(reasons),
        stood_still=_stood_still(ended),
        hypervisor_downtime_ns=stopped_ns,
        network_excess_ns=None if network is None or stopped_ns is None else network.point_ns - stopped_ns,
        udp=udp,
        lost_there=there,
        lost_back=back,
        budget=budget,
    )


def _stood_still(ended: events.MigrationEnded | None) -> Length | None:
    """Return how long the guest's own clock stood still, as its beacon told before and after; None: not known."""
    seconds = ended.facts.get("guest_clock_stood_still_s") if ended else None
    if not isinstance(seconds, list | tuple) or len(seconds) != 2 or not all(map(bounded.is_number, seconds)):
        return None
    low, high = (round(max(0.0, float(each)) * 1e9) for each in seconds)
    return Length.between(low, high)


def _hypervisor_downtime_ns(ended: events.MigrationEnded | None) -> int | None:
    """Return how long the guest was stopped as libvirt itself says; None: it was not asked or did not say."""
    account = ended.facts.get("domain_job") if ended else None
    seconds = account.get("total downtime") if isinstance(account, dict) else None
    return round(seconds * 1e9) if bounded.is_number(seconds) and seconds >= 0 else None


def _lane(
    run: MigrationRun, observation: Observation, groups: list[Group], lane: str
) -> tuple[Length | None, int | None]:
    """Return the longest window of a lane in a migration, and the lane's floor; None: not observed."""
    stretch = migration(run.began.migration)
    watched = observation.migrating(run.began.canary, run.began.migration, lane)
    lengths = [
        united(incident.sightings).length
        for group in groups
        if group.kind == "down" and group.charge.stretch == stretch and group.troubles[0].seen.probe.lane == lane
        for incident in group.incidents
    ]
    floors = [tally.floor_ns for _, tally in watched]
    floor_ns = max(floors, default=OPEN_NS)
    if not watched or not any(seen.trace.samples for seen, _ in watched):
        return None, None
    known_ns = None if floor_ns == OPEN_NS else floor_ns
    return longest(lengths or [Length(0, 0, known_ns)]), known_ns


# --- canaries ------------------------------------------------------------------------------------------------------


def canaries(history: History, observation: Observation, groups: list[Group], matrix: Iterable[Loss]) -> list[Canary]:
    """Return every canary of the run: where it was, whether it was restarted, how long it was out of reach."""
    told = [loss for loss in matrix if loss.service == budgets.CANARIES and loss.kind == "down"]
    ups: dict[str, list[events.CanaryUp]] = {}
    for _, event in history.of(events.CanaryUp):
        ups.setdefault(event.canary, []).append(event)
    return [_canary(name, seen, history, observation, groups, told) for name, seen in ups.items()]


def _canary(  # noqa: PLR0913, PLR0917 - what is known about one canary
    name: str,
    ups: list[events.CanaryUp],
    history: History,
    observation: Observation,
    groups: list[Group],
    told: list[Loss],
) -> Canary:
    boots = _boot_ids(name, history)
    mine = [
        group
        for group in groups
        if group.kind == "down"
        and group.troubles[0].seen.probe.declared.canary == name
        and is_judged(group, observation)
        and not group.charge.stretch.is_migration
    ]
    sampled = any(
        seen.trace.samples for seen in observation.of_service(budgets.CANARIES) if seen.probe.declared.canary == name
    )
    together = united(sighting for group in mine for sighting in group.sightings)
    lengths = [united(incident.sightings).length for group in mine for incident in group.incidents]
    claims: list[Claim] = []
    if len(set(boots)) > len({up.server_id for up in ups}):
        claims.append((Outcome.FAIL, "it was restarted: its boot id changed"))
    if not sampled:
        claims.append((Outcome.UNKNOWN, "its reachability was never sampled"))
    claims += [
        (loss.outcome, f"{loss.stretch.title}: {loss.reason.removeprefix(f'{name}: ')}")
        for loss in told
        if loss.outcome is not Outcome.OK and loss.reason.startswith((f"{name}: ", "no probe"))
    ]
    outcome = worst([Outcome.OK, *(claim for claim, _ in claims)])
    reasons = [text for claim, text in claims if claim is outcome]
    if not reasons:
        count = words.plural(together.count, "outage")
        seen = f"{count} outside of migrations, {words.between(together.length)} in total"
        reasons = [seen if together.count else "no failed sample outside of migrations"]
    return Canary(
        name=name,
        server_id=ups[-1].server_id,
        address=ups[-1].address,
        host=_host(name, ups[-1], history),
        boot_ids=boots,
        longest=longest(lengths) if sampled else None,
        total=together.length if sampled else None,
        outcome=outcome,
        reason="; ".join(reasons),
        address_v6=ups[-1].address_v6,
    )


def _boot_ids(name: str, history: History) -> list[str]:
    """Return the boot ids that were heard, in order, repetitions left out."""
    heard: list[tuple[int, str]] = []
    for moment, up in history.of(events.CanaryUp):
        heard += [(moment, up.boot_id)] * (up.canary == name)
    for moment, beacon in history.of(events.BeaconHeard):
        heard += [(moment, beacon.boot_id)] * (beacon.canary == name)
    for moment, ended in history.of(events.MigrationEnded):
        heard += [(moment, ended.boot_id_before), (moment, ended.boot_id_after)] * (ended.canary == name)
    found: list[str] = []
    for _, boot in sorted(heard, key=lambda item: item[0]):
        if boot and (not found or found[-1] != boot):
            found.append(boot)
    return found


def _host(name: str, up: events.CanaryUp, history: History) -> str:
    host = up.host
    for _, ended in history.of(events.MigrationEnded):
        if ended.canary == name and ended.host_after:
            host = ended.host_after
    return host
