"""Which windows the page lists one by one: the longest of every cell of the matrix and of every lane; the rest is summed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.judging.charging.troubles import Attribution
from rehearsal.judging.sums import joined
from rehearsal.judging.sums import longest_first
from rehearsal.judging.sums import summed
from rehearsal.report import printed
from rehearsal.report.section import Section
from rehearsal.report.svg import closeup

if TYPE_CHECKING:
    from typing import Any

    from rehearsal.judging.results import Results
    from rehearsal.judging.sums import MoreWindows
    from rehearsal.judging.windows import Window
    from rehearsal.recording.stretch import Stretch
    from rehearsal.report.section import Page

LANE_MOST = 10  # of each lane and kind, beside the longest of each cell
MOST = 160

_ATTRIBUTIONS = {
    Attribution.STEP: "began during this step",
    Attribution.PRE_EXISTING: "had begun before the step",
    Attribution.AMBIGUOUS: "began around a step's boundary",
    Attribution.BETWEEN: "began between steps",
    Attribution.MIGRATION: "began during a live migration",
}
_EXPLANATIONS = {
    "explained": "Explained by",
    "ambiguous": "Ambiguous, several fit:",
    "step": "Only the step fits:",
    "unattributed": "Unattributed: nothing that was recorded fits.",
    "not watched": "Unattributed: what may have caused it was not watched.",
}


@dataclass(frozen=True, slots=True)
class Listing:
    """Windows that are listed, the longest first, and what was left out of the list. `total` counts both."""

    rows: list[Window]
    rest: list[MoreWindows]
    total: int


def listed(results: Results) -> Listing:
    """Choose the windows to list."""
    taken: dict[tuple[str, str], int] = {}
    cells: set[tuple[Stretch, str, str, str]] = set()
    rows: list[Window] = []
    rest: list[Window] = []
    ordered = longest_first(results.windows)
    few = len(ordered) <= MOST // 2
    for window in ordered:
        lane = window.lane, window.kind
        cell = window.stretch, window.service, window.canary, window.kind
        wanted = few or cell not in cells or taken.get(lane, 0) < LANE_MOST
        if wanted and len(rows) < MOST:
            rows.append(window)
            cells.add(cell)
            taken[lane] = taken.get(lane, 0) + 1
        else:
            rest.append(window)
    left_out = joined([*summed(rest), *results.more_windows])
    return Listing(rows, left_out, len(rows) + sum(one.count for one in left_out))


def _parts(page: Page) -> dict[str, Any]:
    return {
        "closeups": closeup.draw(page.results, page.clock),
        "windows": listed(page.results),
        "attributions": _ATTRIBUTIONS,
        "explanations": _EXPLANATIONS,
    }


def _tally(results: Results) -> str:
    return printed.count(len(results.windows) + sum(one.count for one in results.more_windows))


SECTION = Section("windows", "Windows", after="timeline", parts=_parts, tally=_tally)
