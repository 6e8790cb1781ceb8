"""Grades of downtime: A, nobody's request failed; B, within budget; C, over budget. None where the evidence is missing.

A is meant as OpenStack's own tag `assert:supports-zero-downtime-upgrade` was: not a single failed answer, even
intermittently; slow answers are acceptable. Outages shorter than the period pass between samples, and a service may flap
faster than it is sampled: only many samples without a failure exclude that it often did. Before the first step and after
the last nothing is graded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.figures.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence

    from rehearsal.judging.losses import Loss


CLEAN_LEAST = 300
"""So many samples without a failure show, with 95 % confidence, that fewer than 1 in 100 requests failed (rule of three)."""


def grades(matrix: Iterable[Loss], *, complete: bool) -> dict[str, str]:
    """Return the grade of each service over all steps; empty where a cell of it is unknown.

    `complete`: every step of the plan was begun. If not, what is missing may have been worse: no grade but C.
    """
    cells: dict[str, list[Loss]] = {}
    for loss in matrix:
        if loss.stretch.is_step:
            cells.setdefault(loss.service, []).append(loss)
    found = {service: _grade(losses) for service, losses in cells.items()}
    return {service: grade if complete or grade == "C" else "" for service, grade in found.items()}


def overall(found: dict[str, str]) -> str:
    """Return the worst of the grades; empty if there is none, or one of them is not known."""
    return max(found.values(), default="") if all(found.values()) else ""


def _grade(losses: Sequence[Loss]) -> str:
    outcomes = {loss.outcome for loss in losses}
    if Outcome.FAIL in outcomes:
        return "C"
    if outcomes != {Outcome.OK}:
        return ""
    down = [loss for loss in losses if loss.kind == "down"]
    if (
        any(loss.count or loss.failed or loss.left_ns for loss in down)
        or sum(loss.samples for loss in down) < CLEAN_LEAST
    ):
        return "B"
    return "A"
