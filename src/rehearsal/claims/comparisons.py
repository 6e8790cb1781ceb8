"""Claims about before and after: nothing was lost, migrations succeeded, canaries are reachable."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from rehearsal.claims.migrations import moved
from rehearsal.expectation import Expectation
from rehearsal.expectation import NotObserved
from rehearsal.verdict import Outcome
from rehearsal.verdict import worst

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rehearsal.events import CloudFacts
    from rehearsal.events import MigrationBegan
    from rehearsal.events import MigrationEnded

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


def nothing_lost(kind: str, before: CloudFacts | None, after: CloudFacts) -> Expectation:
    """Everything of this kind that was there before is still there, with the same state; what is new does not matter."""
    if before is None:
        raise NotObserved(f"the cloud's {kind} were not recorded before the upgrade")
    for facts, when in ((before, "before the upgrade"), (after, "now")):
        if kind not in facts.facts:
            raise NotObserved(f"the cloud's {kind} could not be observed {when}: {facts.error or 'no reason given'}")
    now = {row["id"]: row for row in after.facts[kind]}
    wrong = []
    for row in sorted(before.facts[kind], key=lambda row: str(row["name"])):
        if row["id"] not in now:
            wrong.append(f"{row['name']} is lost")
        else:
            wrong += [f"{row['name']}: {change}" for change in _changes(row, now[row["id"]])]
    count = len(before.facts[kind])
    told = "; ".join(wrong[:_MOST_NAMED]) + (
        f"; and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
    )
    same = f"{count} {kind} as before" if count else f"there were no {kind}"
    return Expectation(same, told or same, holds=not wrong, service=_SERVICES.get(kind, ""))


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what differs between two rows; what only one of two versions of this tool noted is no difference."""
    return [
        f"{key} {before[key] or 'none'} became {after[key] or 'none'}"
        for key in sorted(before)
        if key in after and before[key] != after[key]
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
