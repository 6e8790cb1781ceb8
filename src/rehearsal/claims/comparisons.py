"""Claims about before and after: nothing was lost, migrations succeeded, canaries are reachable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    from rehearsal.plan import Effects
    from rehearsal.recording.events import CloudFacts
    from rehearsal.recording.events import MigrationBegan
    from rehearsal.recording.events import MigrationEnded

Row = dict[str, Any]
Facts = Mapping[str, Any]
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


@dataclass(frozen=True, slots=True)
class Became:
    """A thing before and after (None: it is not there), and the keys whose values differ. `replaced`: by octavia, as it does.

    The row of afterwards bears the id and the name that the thing had before. `expected`: that, or the plan explains it.
    """

    name: str
    before: Row | None
    after: Row | None
    changed: list[str]
    replaced: bool
    expected: bool


def what_became(kind: str, before: Facts, after: Facts, effects: Effects = NO_EFFECTS) -> list[Became]:
    """Return everything of a kind that was there before or is there after, sorted by id; none if it was not looked for twice.

    What only one of two versions of this tool noted is no difference.
    """
    if not isinstance(before.get(kind), list) or not isinstance(after.get(kind), list):
        return []
    old = {str(row.get("id") or row.get("name")): row for row in before[kind]}
    new = sameness.by_their_old_ids(kind, old, after[kind])
    failed_over = sameness.failed_over(before, after)
    found = []
    for key in sorted(old.keys() | new.keys()):
        one, other = old.get(key), new.get(key)
        changed = (
            [] if one is None or other is None else sorted(k for k in one.keys() & other.keys() if one[k] != other[k])
        )
        replaced = one is not None and other is None and key in failed_over
        expected = replaced or (one != other and effects.explain(kind, one, other))
        name = str((one or other or {}).get("name") or key)
        found.append(Became(name, one, other, changed, replaced, expected))
    return found


def nothing_lost(kind: str, before: CloudFacts | None, after: CloudFacts, effects: Effects = NO_EFFECTS) -> Expectation:
    """Everything of this kind that was there before is still there, with the same state; what is new does not matter.

    What was moved to another host, replaced by octavia, or is explained by what the plan does is told and is no loss.
    """
    if before is None:
        raise NotObserved(f"the cloud's {kind} were not recorded before the upgrade")
    for facts, when in ((before, "before the upgrade"), (after, "now")):
        if kind not in facts.facts:
            raise NotObserved(f"the cloud's {kind} could not be observed {when}: {facts.error or 'no reason given'}")
    wrong, planned = [], []
    for each in sorted(what_became(kind, before.facts, after.facts, effects), key=lambda each: each.name):
        if each.before is None or not (each.changed or each.after is None):
            continue
        if each.replaced:
            planned.append(f"{each.name} was replaced by octavia")
        elif each.expected:
            planned.append(f"{each.name} {'is gone' if each.after is None else 'changed'}, as planned")
        elif each.after is None:
            wrong.append(f"{each.name} is lost")
        else:
            moved = kind in sameness.MOVABLE and bool(each.after.get("host"))
            for key in each.changed:
                became = f"{each.name}: {key} {each.before[key] or 'none'} became {each.after[key] or 'none'}"
                (planned if moved and key == "host" else wrong).append(became)
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
