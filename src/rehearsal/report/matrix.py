"""The matrix: what was being upgraded, and what the users of each service lost meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace
from typing import TYPE_CHECKING

from rehearsal.report import figures
from rehearsal.results import Length
from rehearsal.verdict import Outcome
from rehearsal.verdict import worst

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.results import Loss
    from rehearsal.results import Results
    from rehearsal.results import Step


@dataclass(frozen=True, slots=True)
class Figure:
    """One loss, ready to print."""

    loss: Loss
    longest: figures.Shown | None  # None: nothing was lost
    total: figures.Shown | None
    floor: str
    budget: str
    short: str  # of the budget, what one window may last
    source: str
    blind: str


@dataclass(frozen=True, slots=True)
class Cell:
    """What one service lost in one step: downtime and slow answers, and the worse of both verdicts."""

    down: Figure | None
    slow: Figure | None
    outcome: Outcome | None  # None: nothing was measured here


@dataclass(frozen=True, slots=True)
class Row:
    """One step across all services. `step` is None for what happened in no step of the plan."""

    id: str
    number: int | None
    step: Step | None
    cells: list[Cell]


@dataclass(frozen=True, slots=True)
class Sum:
    """All steps of one service together."""

    count: int
    longest: figures.Shown | None
    total: figures.Shown | None
    slow: figures.Shown | None


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows are steps, columns are services."""

    services: list[str]
    rows: list[Row]
    sums: list[Sum]
    figures: list[tuple[str, Figure]]  # every cell of every kind, in the order of the rows, with its step's title


def built(results: Results) -> Matrix:
    """Lay the losses out; services and steps that only the losses name get a place of their own."""
    measured = {loss.service for loss in results.matrix}
    services = [service for service in results.services if service in measured]
    services += [
        service for service in dict.fromkeys(loss.service for loss in results.matrix) if service not in services
    ]
    cells = {(loss.step, loss.service, loss.kind): shown(loss) for loss in results.matrix}
    known = {step.id for step in results.steps}
    rows = [_row(step.id, number, step, services, cells) for number, step in enumerate(results.steps, start=1)]
    others = dict.fromkeys(loss.step for loss in results.matrix if loss.step not in known)
    rows += [_row(other, None, None, services, cells) for other in others]
    return Matrix(services, rows, [_sum(service, results.matrix) for service in services], _every(rows))


def shown(loss: Loss) -> Figure:
    """Make one loss printable; figures keep their side of the budget."""
    budget = loss.budget
    limit = budget.longest_ns if budget else None
    return Figure(
        loss,
        figures.bounded(loss.longest, limit) if loss.count else None,
        figures.bounded(loss.total, budget.total_ns if budget else None) if loss.count else None,
        "never sampled" if loss.floor_ns is None else figures.at_most(loss.floor_ns, limit),
        figures.allowed(budget) if budget else "no budget",
        figures.allowed(replace(budget, total_ns=None, count=None)) if budget else "no budget",
        budget.source.replace(",", ", ").replace(":", ": ") if budget else "",
        figures.at_most(loss.blind_ns) if loss.blind_ns else "0",
    )


def together(lengths: Iterable[Length]) -> Length:
    """Add lengths, bound by bound; one open length makes the sum open."""
    certain = point = possible = 0
    ends = True
    for length in lengths:
        certain += length.certain_ns
        point += length.point_ns
        possible += length.possible_ns or 0
        ends = ends and length.possible_ns is not None
    return Length(certain, point, possible if ends else None)


def _row(
    key: str, number: int | None, step: Step | None, services: list[str], cells: dict[tuple[str, str, str], Figure]
) -> Row:
    return Row(
        key,
        number,
        step,
        [_cell(cells.get((key, service, "down")), cells.get((key, service, "degraded"))) for service in services],
    )


def _cell(down: Figure | None, slow: Figure | None) -> Cell:
    seen = [figure.loss.outcome for figure in (down, slow) if figure]
    return Cell(down, slow, worst(seen) if seen else None)


def _sum(service: str, losses: list[Loss]) -> Sum:
    down = [loss for loss in losses if loss.service == service and loss.kind == "down" and loss.count]
    slow = [loss for loss in losses if loss.service == service and loss.kind == "degraded" and loss.count]
    if not down:
        return Sum(0, None, None, figures.bounded(together(loss.total for loss in slow)) if slow else None)
    longest = max((loss.longest for loss in down), key=lambda length: (length.possible_ns is None, length.point_ns))
    return Sum(
        sum(loss.count for loss in down),
        figures.bounded(longest),
        figures.bounded(together(loss.total for loss in down)),
        figures.bounded(together(loss.total for loss in slow)) if slow else None,
    )


def _every(rows: list[Row]) -> list[tuple[str, Figure]]:
    return [(row.id, figure) for row in rows for cell in row.cells for figure in (cell.down, cell.slow) if figure]
