"""Live migrations of canaries: whether each succeeded, and how long its network was away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.figures import fewruns
from rehearsal.report import printed
from rehearsal.report.section import Case
from rehearsal.report.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rehearsal.judging.results import Results


def _cases(results: Results) -> Iterator[Case]:
    for one in results.migrations:
        gap = f"network gap {printed.bounded(one.network)}" if one.network else "network gap not measured"
        name = f"{one.occasion} {one.canary}"
        yield Case("migrations", name, one.outcome, one.reason or one.status, gap, one.total_s or 0.0)


SECTION = Section(
    "migrations",
    "Live migrations",
    after="canaries",
    parts=lambda _: {"all_well": fewruns.all_well},
    tally=lambda results: printed.count(len(results.migrations)),
    suite="migrations",
    cases=_cases,
)
