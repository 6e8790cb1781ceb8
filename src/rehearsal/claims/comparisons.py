"""Claims about before and after: nothing was lost, migrations succeeded, canaries are reachable."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from rehearsal.claims.migrations import moved
from rehearsal.cloud import sameness
from rehearsal.figures.expectation import Expectation
from rehearsal.figures.expectation import NotObserved
from rehearsal.figures.outcome import Outcome
from rehearsal.figures.outcome import worst
from rehearsal.plan.effects import NO_EFFECTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rehearsal.plan import Effects
    from rehearsal.recording.events import CloudFacts
    from rehearsal.recording.events import MigrationBegan
    from rehearsal.recording.events import MigrationEnded

KINDS = ("agents", "floating IPs", "hypervisors", "networks", "ports", "routers", "servers", "services", "volumes")
_SERVICES = {
    "agents": "neutron",
    "floating IPs": "neutron",
    "hypervisors": "nova",
    "networks": "neutron",
    "ports": "neutron",
    "routers": "neutron",
    "servers": "nova",
    "services": "nova",
    "volumes": "cinder",
}
_MOST_NAMED = 10


def nothing_lost(kind: str, before: CloudFacts | None, after: CloudFacts, effects: Effects = NO_EFFECTS) -> Expectation:
    """Everything of this kind that was there before is still there, with the same state; what is new does not matter.

    What was moved to another host, replaced by octavia, or is explained by what the plan does is told and is no loss.
    """
    if before is None:
        raise NotObserved(f"the cloud's {kind} were not recorded before the upgrade")
    for facts, when in ((before, "before the upgrade"), (after, "now")):
        if kind not in facts.facts:
            raise NotObserved(f"the cloud's {kind} could not be observed {when}: {facts.error or 'no reason given'}")
    replaced = sameness.failed_over(before.facts, after.facts)
    wrong, planned = [], []
    for row in sorted(before.facts[kind], key=lambda row: str(row["name"])):
        now = sameness.found_again(kind, row, after.facts[kind])
        if now is None and str(row["id"]) in replaced:
            planned.append(f"{row['name']} was replaced by octavia")
        elif effects.explain(kind, row, now):
            planned.append(f"{row['name']} {'is gone' if now is None else 'changed'}, as planned")
        elif now is None:
            wrong.append(f"{row['name']} is lost")
        else:
            moved = kind in sameness.MOVABLE and bool(now.get("host"))
            changes = _changes(row, now)
            planned += [f"{row['name']}: {change}" for change in changes if moved and change.startswith("host ")]
            wrong += [f"{row['name']}: {change}" for change in changes if not (moved and change.startswith("host "))]
    count = len(before.facts[kind])
    same = f"{count} {kind} as before" if count else f"there were no {kind}"
    told = _some(wrong) or "; ".join([same, *([_some(planned)] if planned else []), *_older(kind, before, after)])
    return Expectation(same, told, holds=not wrong, service=_SERVICES.get(kind, ""))


def _some(sentences: list[str]) -> str:
    more = f"; and {len(sentences) - _MOST_NAMED} more" if len(sentences) > _MOST_NAMED else ""
    return "; ".join(sentences[:_MOST_NAMED]) + more


def _older(kind: str, *looks: CloudFacts) -> list[str]:
    told = [facts.facts.get(sameness.OLDER) or {} for facts in looks]
    return list(dict.fromkeys(f"{kind} {each[kind]}" for each in told if kind in each))


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what differs between two rows; what only one of two versions of this tool noted is no difference."""
    return [
        f"{key} {before[key] or 'none'} became {after[key] or 'none'}"
        for key in sorted(before)
        if key != "id"
        and not (key == "name" and before["id"] != after["id"])
        and key in after
        and before[key] != after[key]
    ]


def migrated(ended: MigrationEnded | None, began: MigrationBegan) -> Expectation:
    """The migration completed, the server is on another host, ACTIVE, and was not restarted.

    Judged by the rule by which the report judges it. Raises NotObserved if that leaves it undecided.
    """
    what = f"{began.canary} moved from {began.source}{f' to {began.target}' if began.target else ''}"
    claims = moved(began, ended)
    outcome = worst(claim for claim, _ in claims)
    reasons = "; ".join(text for claim, text in claims if claim is outcome and text)
    if outcome is Outcome.UNKNOWN or ended is None:
        raise NotObserved(f"{what}: {reasons}")
    facts = f"status {ended.status}, on {ended.host_after}, server {ended.server_status}, same boot id"
    return Expectation(
        f"{what}: completed, other host, ACTIVE, same boot id",
        (facts if outcome is Outcome.OK else reasons) + (f" ({ended.detail})" if ended.detail else ""),
        holds=outcome is Outcome.OK,
        host=began.source,
        service="nova",
    )


def reachable(canary: str, address: str, heard: str, boot_id: str, error: str) -> Expectation:
    """The canary answers at its address, and it is the same boot of the same server (`heard`: what it said just now)."""
    expected = f"{canary} at {address} answers with boot id {boot_id or 'of any kind'}"
    if error:
        return Expectation(expected, f"no answer: {error}", holds=False, host=canary, service="canary")
    if not boot_id:
        return Expectation(expected, f"answers with boot id {heard}", holds=True, host=canary, service="canary")
    return Expectation(expected, f"answers with boot id {heard}", holds=heard == boot_id, host=canary, service="canary")
