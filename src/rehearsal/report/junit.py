"""The run for a CI system: one case per finding, step, budget cell, check, canary and live migration.

Names are stable from run to run: they hold ids, never measured numbers. Unknown is an `error`, because systems that read
JUnit count a skipped case as harmless.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from rehearsal.figures.outcome import Outcome
from rehearsal.judging.rooms import LOG
from rehearsal.judging.rooms import Rooms
from rehearsal.report.section import Case
from rehearsal.report.sections import in_order
from rehearsal.report.texts import plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable

    from rehearsal.judging.results import Results


def document(results: Results, rooms: Rooms | None = None) -> str:
    """Return the whole file. A suite that cannot be made is one case that says so, which counts as an error."""
    rooms = rooms or Rooms()
    makers: dict[str, Callable[[Results], Iterable[Case]]] = {"run": _verdict}
    makers |= {section.suite: section.cases for _, section in in_order() if section.suite}
    suites = {
        name: rooms.ask(
            f"junit: {name}", f"the cases “{name}” in junit.xml", partial(_numbered, make, results), _not_made(name)
        )
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


def _verdict(results: Results) -> list[Case]:
    took_s = (results.ended_ns - results.began_ns) / 1e9
    return [Case("run", "verdict", results.outcome, results.sentence, time_s=took_s)]


def _numbered(make: Callable[[Results], Iterable[Case]], results: Results) -> list[Case]:
    """Tell cases of the same name apart by their order, so that none hides another."""
    seen: dict[tuple[str, str], int] = {}
    found = []
    for case in make(results):
        key = (case.classname, case.name)
        seen[key] = seen.get(key, 0) + 1
        found.append(case if seen[key] == 1 else replace(case, name=f"{case.name} ({seen[key]})"))
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
