"""The servers made for this run: who could reach them, and what they noticed from inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.report import printed
from rehearsal.report.section import Case
from rehearsal.report.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rehearsal.judging.results import Results


def _cases(results: Results) -> Iterator[Case]:
    for canary in results.canaries:
        yield Case("canaries", canary.name, canary.outcome, canary.reason)


SECTION = Section(
    "canaries",
    "Canaries",
    after="windows",
    tally=lambda results: printed.count(len(results.canaries)),
    suite="canaries",
    cases=_cases,
)
