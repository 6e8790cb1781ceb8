"""The plan: which steps, in which order, and what each may disturb. Strict YAML, no language of its own.

A plan names groups, never hosts: `expand` turns a step with `for_each: compute` into one step per host of the target.
Reading collects every mistake with its line and a remedy (`PlanError.mistakes`); nothing is guessed, nothing ignored.
"""

from __future__ import annotations

from rehearsal.plan.expansion import budget
from rehearsal.plan.expansion import expand
from rehearsal.plan.expansion import left_alone
from rehearsal.plan.reading import bundled
from rehearsal.plan.reading import find
from rehearsal.plan.reading import load_plan
from rehearsal.plan.reading import sha256
from rehearsal.plan.shapes import CANARIES
from rehearsal.plan.shapes import GATES
from rehearsal.plan.shapes import BudgetSpec
from rehearsal.plan.shapes import Mistake
from rehearsal.plan.shapes import PlanError
from rehearsal.plan.shapes import PlanSpec
from rehearsal.plan.shapes import StepSpec

__all__ = [
    "CANARIES",
    "GATES",
    "BudgetSpec",
    "Mistake",
    "PlanError",
    "PlanSpec",
    "StepSpec",
    "budget",
    "bundled",
    "expand",
    "find",
    "left_alone",
    "load_plan",
    "sha256",
]
