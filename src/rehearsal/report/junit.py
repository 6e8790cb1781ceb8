"""The run for a CI system: one case per step, budget cell, check, canary and live migration.

Names are stable from run to run: they hold ids, never measured numbers. Unknown is an `error`, because systems that read
JUnit count a skipped case as harmless.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from rehearsal.figures import say
from rehearsal.figures.outcome import Outcome
from rehearsal.judging.rooms import LOG
from rehearsal.judging.rooms import Rooms
from rehearsal.report import printed
from rehearsal.report.sections import matrix
from rehearsal.report.texts import plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable

    from rehearsal.judging.course import Check
    from rehearsal.judging.moves import Migration
    from rehearsal.judging.results import Results


@dataclass(frozen=True, slots=True)
class Case:
    """One test case: where it belongs, its stable name, what became of it and why."""

    classname: str
    name: str
    outcome: Outcome
    message: str
    detail: str = ""
    time_s: float = 0.0


def document(results: Results, rooms: Rooms | None = None) -> str:
    """Return the whole file. A suite that cannot be made is one case that says so, which counts as an error."""
    rooms = rooms or Rooms()
    makers: dict[str, Callable[[], list[Case]]] = {
        "run": lambda: [_verdict(results)],
        "steps": lambda: _steps(results),
        "downtime": lambda: _numbered(_cells(results)),
        "checks": lambda: _numbered(_checks(results.checks)),
        "migrations": lambda: _numbered(_migrations(results.migrations)),
        "canaries": lambda: _numbered(
            Case("canaries", canary.name, canary.outcome, canary.reason) for canary in results.canaries
        ),
    }
    suites = {
        name: rooms.ask(f"junit: {name}", f"the cases “{name}” in junit.xml", make, _not_made(name))
        for name, make in makers.items()
    }
    root = ET.Element(
        "testsuites", {"name": "rehearse"} | _tally([case for cases in suites.values() for case in cases])
    )
    for name, cases in suites.items():
        suite = ET.SubElement(root, "testsuite", {"name": name} | _tally(cases))
        for case in cases:
            _add(suite, case)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _not_made(name: str) -> list[Case]:
    return [
        Case(name, "all of them", Outcome.UNKNOWN, f"These cases could not be written; see results.json and {LOG}.")
    ]


def _verdict(results: Results) -> Case:
    took_s = (results.ended_ns - results.began_ns) / 1e9
    return Case("run", "verdict", results.outcome, results.sentence, time_s=took_s)


def _steps(results: Results) -> list[Case]:
    return [
        Case(
            "steps",
            step.id,
            step.outcome,
            step.note or f"exit code {step.rc}",
            step.command,
            _time_s(step.began_ns, step.ended_ns),
        )
        for step in results.steps
    ]


def _cells(results: Results) -> list[Case]:
    cases = []
    for loss in results.matrix:
        shown = matrix.shown(loss)
        beyond = say.beyond(loss.floor_ns, loss.budget.longest_ns if loss.budget else None)
        lost = (
            f"longest {shown.longest}, total {shown.total}{beyond}"
            if shown.longest
            else f"nothing lost, floor {shown.floor}"
        )
        detail = f"{lost}; {printed.count(loss.failed)} of {printed.count(loss.samples)} samples failed; budget {shown.budget} {shown.source}".strip()
        cases.append(
            Case(
                f"downtime.{loss.step or loss.stretch.when}",  # words, which no step is called by
                f"{loss.service} {loss.kind}",
                loss.outcome,
                loss.reason,
                detail,
            )
        )
    return cases


def _checks(checks: Iterable[Check]) -> Iterable[Case]:
    for check in checks:
        where = " ".join(part for part in (check.host, check.container, check.service) if part)
        detail = f"expected: {check.expected}\nobserved: {check.observed}\nrepeat: {check.repeat}"
        classname = f"checks.{check.gate or check.suite}"
        yield Case(classname, f"{check.id} {where}".strip(), check.outcome, check.claim, detail, check.duration_s)


def _migrations(migrations: Iterable[Migration]) -> Iterable[Case]:
    for one in migrations:
        gap = f"network gap {printed.bounded(one.network)}" if one.network else "network gap not measured"
        yield Case(
            "migrations", f"{one.occasion} {one.canary}", one.outcome, one.reason or one.status, gap, one.total_s or 0.0
        )


def _numbered(cases: Iterable[Case]) -> list[Case]:
    """Tell cases of the same name apart by their order, so that none hides another."""
    seen: dict[tuple[str, str], int] = {}
    found = []
    for case in cases:
        key = (case.classname, case.name)
        seen[key] = seen.get(key, 0) + 1
        name = case.name if seen[key] == 1 else f"{case.name} ({seen[key]})"
        found.append(Case(case.classname, name, case.outcome, case.message, case.detail, case.time_s))
    return found


def _tally(cases: list[Case]) -> dict[str, str]:
    failures = sum(case.outcome is Outcome.FAIL for case in cases)
    errors = sum(case.outcome is Outcome.UNKNOWN for case in cases)
    return {
        "tests": str(len(cases)),
        "failures": str(failures),
        "errors": str(errors),
        "time": f"{sum(case.time_s for case in cases):.3f}",
    }


def _add(suite: ET.Element, case: Case) -> None:
    element = ET.SubElement(
        suite, "testcase", classname=plain(case.classname), name=plain(case.name), time=f"{case.time_s:.3f}"
    )
    if case.outcome is not Outcome.OK:
        tag = "failure" if case.outcome is Outcome.FAIL else "error"
        found = ET.SubElement(element, tag, type=case.outcome.value, message=plain(case.message))
        found.text = plain(case.detail)
    elif case.detail:
        ET.SubElement(element, "system-out").text = plain(case.detail)


def _time_s(began_ns: int | None, ended_ns: int | None) -> float:
    return 0.0 if began_ns is None or ended_ns is None else (ended_ns - began_ns) / 1e9
