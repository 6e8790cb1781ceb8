"""Did a live migration succeed? One rule, which the suite and the judge both call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.figures import words
from rehearsal.figures.outcome import Outcome

if TYPE_CHECKING:
    from rehearsal.figures.length import Budget
    from rehearsal.figures.length import Length
    from rehearsal.recording.events import MigrationBegan
    from rehearsal.recording.events import MigrationEnded

Claim = tuple[Outcome, str]
"""What became of one part of a rule, and a sentence where it does not hold."""


def moved(began: MigrationBegan, ended: MigrationEnded | None) -> list[Claim]:
    """Return what must hold: completed, on another host and on the wanted one, ACTIVE, the same boot id.

    What was not observed is unknown, and never a failure. Whether its window of reachability closed is judged from the
    samples.
    """
    if ended is None:
        return [(Outcome.UNKNOWN, "its end was not seen")]
    wanted = began.target
    return [
        _claim(ended.status, ended.status == "completed", f"nova says {ended.status}", "its status was not seen"),
        _claim(
            ended.host_after,
            ended.host_after != began.source,
            f"the server is still on {ended.host_after}",
            "the host afterwards was not seen",
        ),
        _claim(
            ended.host_after,
            not wanted or ended.host_after in {wanted, began.source},
            f"it went to {ended.host_after} instead of {wanted}",
            "",
        ),
        _claim(
            ended.server_status,
            ended.server_status == "ACTIVE",
            f"the server is {ended.server_status}",
            "the server's status was not seen",
        ),
        _claim(
            ended.boot_id_before and ended.boot_id_after,
            ended.boot_id_before == ended.boot_id_after,
            "the server was restarted: another boot id",
            "the boot id was not seen on both sides",
        ),
    ]


def reached(network: Length | None, floor_ns: int | None, budget: Budget | None) -> list[Claim]:
    """Return what must hold of its network: it was away no longer than is allowed, and came back where somebody saw it."""
    if network is None:
        return [(Outcome.UNKNOWN, "its reachability was not sampled")]
    gap = f"out of reach for {words.between(network, budget.longest_ns if budget else None)}"
    if network.is_open:
        over = budget is not None and network.certain_ns > budget.longest_ns
        return [(Outcome.FAIL if over else Outcome.UNKNOWN, f"{gap}: its return was not seen")]
    if budget is None:
        return [(Outcome.OK, gap)]
    allowed = f"the budget is {words.exactly(budget.longest_ns)} ({budget.source})"
    outcome = network.against(budget_ns=budget.longest_ns)
    if outcome is not Outcome.OK:
        return [(outcome, f"{gap}; {allowed}")]
    if floor_ns is None or floor_ns > budget.longest_ns:
        unseen = "any time" if floor_ns is None else words.at_most(floor_ns, budget.longest_ns)
        return [(Outcome.UNKNOWN, f"it may have been out of reach for {unseen} unseen; {allowed}")]
    return [
        (
            Outcome.OK,
            gap
            if network.point_ns
            else f"no failed sample; out of reach for less than {words.at_most(floor_ns, budget.longest_ns)}",
        )
    ]


def _claim(seen: str, holds: bool, otherwise: str, unseen: str) -> Claim:
    if not seen:
        return Outcome.UNKNOWN, unseen
    return (Outcome.OK, "") if holds else (Outcome.FAIL, otherwise)
