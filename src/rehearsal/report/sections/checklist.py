"""Checks in the order in which they are read: what failed, what is unknown, and the passes claim by claim, folded."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.figures.outcome import Outcome
from rehearsal.report import printed
from rehearsal.report.section import Case
from rehearsal.report.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Iterator

    from rehearsal.judging.course import Check
    from rehearsal.judging.results import Results

OPEN_MOST = 300  # failures shown in full; the rest is listed in one line each
_NAMES_MOST = 12


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim that held, and what it held for. `seen`: what was observed, if that was the same everywhere."""

    id: str
    claim: str
    count: int
    hosts: str
    about: str
    seen: str


@dataclass(frozen=True, slots=True)
class Passed:
    """What passed at one gate. `repeat`, followed by a check's node id, repeats it; empty: each has its own command."""

    gate: str
    suite: str
    total: int
    claims: list[Claim]
    repeat: str


@dataclass(frozen=True, slots=True)
class Checklist:
    """All checks: those that did not pass one by one, those that passed by gate and claim."""

    failed: list[Check]
    unknown: list[Check]
    brief: list[Check]
    passed: list[Passed]


def sorted_out(checks: list[Check]) -> Checklist:
    """Split checks by outcome; passes are grouped by gate and by claim, in the order in which they ran."""
    failed = [check for check in checks if check.outcome is Outcome.FAIL]
    unknown = [check for check in checks if check.outcome is Outcome.UNKNOWN]
    shown = failed[:OPEN_MOST], unknown[: max(0, OPEN_MOST - len(failed))]
    brief = failed[len(shown[0]) :] + unknown[len(shown[1]) :]
    gates: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        if check.outcome is Outcome.OK:
            gates.setdefault((check.gate, check.suite), []).append(check)
    passed = [
        Passed(gate, suite, len(mine), _claims(mine), _shared_command(mine)) for (gate, suite), mine in gates.items()
    ]
    return Checklist(*shown, brief, passed)


def _claims(checks: Iterable[Check]) -> list[Claim]:
    groups: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        groups.setdefault((check.id, check.claim), []).append(check)
    return [_claim(check_id, claim, mine) for (check_id, claim), mine in groups.items()]


def _claim(check_id: str, claim: str, mine: list[Check]) -> Claim:
    seen = {check.observed or check.expected for check in mine}
    containers = dict.fromkeys(check.container for check in mine if check.container)
    services = dict.fromkeys(check.service for check in mine if check.service)
    about = [*services] if len(mine) > 1 or not containers else []
    if containers:
        about.append(_few(containers, "container"))
    return Claim(
        check_id,
        claim,
        len(mine),
        _few(dict.fromkeys(check.host for check in mine if check.host), "host"),
        ", ".join(about[:_NAMES_MOST]),
        seen.pop() if len(seen) == 1 else "",
    )


def _few(names: Iterable[str], noun: str) -> str:
    """Return names, or how many they are if they are many."""
    found = sorted(names)
    return ", ".join(found) if len(found) <= _NAMES_MOST else f"{len(found)} {noun}s"


def _shared_command(checks: list[Check]) -> str:
    """What the commands of all these checks begin with, if only the node id differs: a page need not say it 1 500 times."""
    starts = set()
    for check in checks:
        node_id = shlex.quote(check.node_id)
        if not check.repeat.endswith(node_id):
            return ""
        starts.add(check.repeat.removesuffix(node_id))
    return starts.pop() if len(starts) == 1 else ""


def _cases(results: Results) -> Iterator[Case]:
    for check in results.checks:
        where = " ".join(part for part in (check.host, check.container, check.service) if part)
        remedy = f"\nremedy: {check.remedy}" if check.remedy else ""
        detail = f"expected: {check.expected}\nobserved: {check.observed}{remedy}\nrepeat: {check.repeat}"
        classname = f"checks.{check.gate or check.suite}"
        yield Case(classname, f"{check.id} {where}".strip(), check.outcome, check.claim, detail, check.duration_s)


def _tally(results: Results) -> str:
    failed = sum(check.outcome is Outcome.FAIL for check in results.checks)
    return f"{failed} failed" if failed else printed.count(len(results.checks))


SECTION = Section(
    "checks",
    "Checks",
    after="migrations",
    parts=lambda page: {"checks": sorted_out(page.results.checks)},
    tally=_tally,
    suite="checks",
    cases=_cases,
)
