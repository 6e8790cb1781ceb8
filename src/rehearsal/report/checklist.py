"""Checks in the order in which they are read: what failed, what is unknown, and the passes by suite, folded."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.verdict import Outcome

if TYPE_CHECKING:
    from rehearsal.results import Check

OPEN_MOST = 300  # failures shown in full; the rest is listed in one line each
PASSES_MOST = 2500  # rows of passes on the page; the rest is counted and stands in results.json


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim with everything it was checked on."""

    id: str
    claim: str
    checks: list[Check]


@dataclass(frozen=True, slots=True)
class Passed:
    """What passed at one gate. `repeat`, followed by a check's node id, repeats it; empty: each row has its own command."""

    gate: str
    suite: str
    total: int
    claims: list[Claim]
    repeat: str


@dataclass(frozen=True, slots=True)
class Checklist:
    """All checks; `left_out` passes are only counted here."""

    failed: list[Check]
    unknown: list[Check]
    brief: list[Check]
    passed: list[Passed]
    left_out: int


def sorted_out(checks: list[Check]) -> Checklist:
    """Split checks by outcome; passes are grouped by gate and by claim, in the order in which they ran."""
    failed = [check for check in checks if check.outcome is Outcome.FAIL]
    unknown = [check for check in checks if check.outcome is Outcome.UNKNOWN]
    shown = failed[:OPEN_MOST], unknown[: max(0, OPEN_MOST - len(failed))]
    brief = failed[len(shown[0]) :] + unknown[len(shown[1]) :]
    passes = [check for check in checks if check.outcome is Outcome.OK]
    groups: dict[tuple[str, str], dict[tuple[str, str], list[Check]]] = {}
    totals: dict[tuple[str, str], int] = {}
    for place, check in enumerate(passes):
        gate = (check.gate, check.suite)
        totals[gate] = totals.get(gate, 0) + 1
        claims = groups.setdefault(gate, {})
        if place < PASSES_MOST:
            claims.setdefault((check.id, check.claim), []).append(check)
    passed = [
        Passed(
            gate,
            suite,
            totals[gate, suite],
            [Claim(check, claim, rows) for (check, claim), rows in claims.items()],
            _shared_command([check for rows in claims.values() for check in rows]),
        )
        for (gate, suite), claims in groups.items()
    ]
    return Checklist(*shown, brief, passed, max(0, len(passes) - PASSES_MOST))


def _shared_command(checks: list[Check]) -> str:
    """What the commands of all these checks begin with, if only the node id differs: a page need not say it 1 500 times."""
    starts = set()
    for check in checks:
        node_id = shlex.quote(check.node_id)
        if not check.repeat.endswith(node_id):
            return ""
        starts.add(check.repeat.removesuffix(node_id))
    return starts.pop() if len(starts) == 1 else ""
