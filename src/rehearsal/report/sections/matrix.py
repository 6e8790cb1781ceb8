"""The matrix: what was being upgraded, and what the users of each service lost meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace
from typing import TYPE_CHECKING

from rehearsal.figures import say
from rehearsal.figures.length import together
from rehearsal.figures.outcome import Outcome
from rehearsal.figures.outcome import worst
from rehearsal.judging.sums import worst_loss
from rehearsal.recording import stretch
from rehearsal.report import printed
from rehearsal.report.section import Case
from rehearsal.report.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rehearsal.judging.course import Step
    from rehearsal.judging.losses import Loss
    from rehearsal.judging.results import Results
    from rehearsal.recording.stretch import Stretch


@dataclass(frozen=True, slots=True)
class Figure:
    """One loss, ready to print."""

    loss: Loss
    longest: printed.Shown | None  # None: nothing was lost
    total: printed.Shown | None
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
    """One step across all services. `step` is None for what happened in no step of the plan.

    `anchor` is unique on the page: no section begins with `step-`, and what is no step has words for a name.
    """

    id: str
    anchor: str
    number: int | None
    step: Step | None
    cells: list[Cell]


@dataclass(frozen=True, slots=True)
class Sum:
    """All steps of one service together, and outside of them after the first. `grade`: A, B, C, or empty."""

    service: str
    grade: str
    outcome: Outcome
    count: int
    longest: printed.Shown | None
    total: printed.Shown | None
    slow: printed.Shown | None
    during: str  # the step of the longest
    floor: str  # where nothing was lost: what could have passed unseen
    slow_longest: printed.Shown | None
    slow_during: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows are steps, columns are services."""

    services: list[str]
    rows: list[Row]
    never: list[Step]  # steps that did not begin and about which there is nothing to say
    sums: list[Sum]
    figures: list[
        tuple[str, Figure]
    ]  # every cell that says more than "nothing", in the order of the rows, with its step
    clean: int  # cells of both kinds in which nothing was lost and nothing is unknown


def built(results: Results) -> Matrix:
    """Lay the losses out; services and steps that only the losses name get a place of their own."""
    measured = {loss.service for loss in results.matrix}
    services = [service for service in results.services if service in measured]
    services += [
        service for service in dict.fromkeys(loss.service for loss in results.matrix) if service not in services
    ]
    cells = {(loss.stretch, loss.service, loss.kind): shown(loss) for loss in results.matrix}
    known = {stretch.step(step.id) for step in results.steps}
    told = {loss.step for loss in results.matrix}
    begun = [
        (number, step)
        for number, step in enumerate(results.steps, start=1)
        if step.began_ns is not None or step.id in told
    ]
    rows = [_row(stretch.step(step.id), number, step, services, cells) for number, step in begun]
    others = dict.fromkeys(loss.stretch for loss in results.matrix if loss.stretch not in known)
    rows += [_row(other, None, None, services, cells) for other in others]
    every = _every(rows)
    eventful = [
        (name, one) for name, one in every if one.longest or one.loss.failed or one.loss.outcome is not Outcome.OK
    ]
    return Matrix(
        services,
        rows,
        [step for step in results.steps if step.began_ns is None and step.id not in told],
        [_sum(service, results) for service in services],
        eventful,
        len(every) - len(eventful),
    )


def shown(loss: Loss) -> Figure:
    """Make one loss printable; figures keep their side of the budget."""
    budget = loss.budget
    limit = budget.longest_ns if budget else None
    return Figure(
        loss,
        printed.bounded(loss.longest, limit) if loss.count else None,
        printed.bounded(loss.total, budget.total_ns if budget else None) if loss.count else None,
        "never sampled" if loss.floor_ns is None else printed.at_most(loss.floor_ns, limit),
        printed.allowed(budget) if budget else "no budget",
        printed.allowed(replace(budget, total_ns=None, count=None)) if budget else "no budget",
        budget.source.replace(",", ", ").replace(":", ": ") if budget else "",
        printed.at_most(loss.blind_ns) if loss.blind_ns else "0",
    )


def _row(
    key: Stretch,
    number: int | None,
    step: Step | None,
    services: list[str],
    cells: dict[tuple[Stretch, str, str], Figure],
) -> Row:
    return Row(
        key.title,
        f"step-{key.step}" if key.is_step else key.when.replace(" ", "-"),
        number,
        step,
        [_cell(cells.get((key, service, "down")), cells.get((key, service, "degraded"))) for service in services],
    )


def _cell(down: Figure | None, slow: Figure | None) -> Cell:
    seen = [figure.loss.outcome for figure in (down, slow) if figure]
    return Cell(down, slow, worst(seen) if seen else None)


def _sum(service: str, results: Results) -> Sum:
    mine = [loss for loss in results.matrix if loss.service == service]
    down = [loss for loss in mine if loss.kind == "down" and loss.count]
    slow = [loss for loss in mine if loss.kind == "degraded" and loss.count]
    steps = [loss for loss in mine if loss.stretch != stretch.CONTROL] or mine
    floors = [loss.floor_ns for loss in steps if loss.kind == "down"]
    known = [floor for floor in floors if floor is not None]
    longest, slowest = worst_loss(steps, "down"), worst_loss(steps, "degraded")
    return Sum(
        service=service,
        grade=results.grades.get(service, ""),
        outcome=worst(loss.outcome for loss in steps),
        count=sum(loss.count for loss in down),
        longest=_longest(longest),
        total=printed.bounded(together(loss.total for loss in down)) if down else None,
        slow=printed.bounded(together(loss.total for loss in slow)) if slow else None,
        during=_during(longest),
        floor=printed.at_most(max(known)) if known and len(known) == len(floors) else "",
        slow_longest=_longest(slowest),
        slow_during=_during(slowest),
    )


def _longest(loss: Loss | None) -> printed.Shown | None:
    return printed.bounded(loss.longest, loss.budget.longest_ns if loss.budget else None) if loss else None


def _during(loss: Loss | None) -> str:
    return loss.stretch.title if loss else ""


def _every(rows: list[Row]) -> list[tuple[str, Figure]]:
    return [(row.id, figure) for row in rows for cell in row.cells for figure in (cell.down, cell.slow) if figure]


def _cases(results: Results) -> Iterator[Case]:
    for loss in results.matrix:
        one = shown(loss)
        beyond = say.beyond(loss.floor_ns, loss.budget.longest_ns if loss.budget else None)
        lost = (
            f"longest {one.longest}, total {one.total}{beyond}" if one.longest else f"nothing lost, floor {one.floor}"
        )
        samples = f"{printed.count(loss.failed)} of {printed.count(loss.samples)} samples failed"
        yield Case(
            f"downtime.{loss.step or loss.stretch.when}",  # words, which no step is called by
            f"{loss.service} {loss.kind}",
            loss.outcome,
            loss.reason,
            f"{lost}; {samples}; budget {one.budget} {one.source}".strip(),
        )


SECTION = Section(
    "matrix",
    "Steps and services",
    after="findings",
    parts=lambda page: {"matrix": built(page.results)},
    suite="downtime",
    cases=_cases,
)
