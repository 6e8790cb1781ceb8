"""Answer times before, during and after the steps, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.recording.stretch import Side
from rehearsal.report import printed

if TYPE_CHECKING:
    from rehearsal.judging.observing.latencies import AnswerTime
    from rehearsal.judging.results import Results


@dataclass(frozen=True, slots=True)
class Row:
    """A service over one lane: one cell for each stretch; None: nothing was answered then."""

    service: str
    lane: str
    cells: list[Cell | None]


@dataclass(frozen=True, slots=True)
class Cell:
    """Percentiles of one stretch, ready to print; empty: too few samples."""

    samples: int
    p50: str
    p95: str
    p99: str
    most: str


def rows(results: Results) -> list[Row]:
    """Return a row for each service and lane that answered at all, in the order of the results."""
    keyed: dict[tuple[str, str], dict[str, AnswerTime]] = {}
    for one in results.answer_times:
        keyed.setdefault((one.service, one.lane), {})[one.stretch] = one
    found = [
        Row(service, lane, [_cell(stretches.get(stretch)) for stretch in Side])
        for (service, lane), stretches in keyed.items()
    ]
    return [row for row in found if any(row.cells)]


def _cell(one: AnswerTime | None) -> Cell | None:
    if one is None or not one.samples:
        return None
    p50, p95, p99 = ("" if each is None else printed.about(each) for each in (one.p50_ns, one.p95_ns, one.p99_ns))
    return Cell(one.samples, p50, p95, p99, printed.about(one.max_ns))
