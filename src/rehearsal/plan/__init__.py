"""The plan: which steps, in which order, and what each may disturb. Strict YAML, no language of its own.

A plan names groups, never hosts: `expand` turns a step with `for_each: compute` into one step per host of the target.
Reading collects every mistake with its line and a remedy (`PlanError.mistakes`); nothing is guessed, nothing ignored.
"""

from __future__ import annotations

from rehearsal.plan.allowances import BudgetSpec
from rehearsal.plan.effects import Effects
from rehearsal.plan.effects import StepSpec
from rehearsal.plan.expansion import expand
from rehearsal.plan.expansion import left_alone
from rehearsal.plan.reading import bundled
from rehearsal.plan.reading import find
from rehearsal.plan.reading import load_plan
from rehearsal.plan.reading import recorded
from rehearsal.plan.reading import sha256
from rehearsal.plan.shapes import CANARIES
from rehearsal.plan.shapes import GATES
from rehearsal.plan.shapes import Mistake
from rehearsal.plan.shapes import PlanError
from rehearsal.plan.shapes import PlanSpec

__all__ = [
    "CANARIES",
    "GATES",
    "BudgetSpec",
    "Effects",
    "Mistake",
    "PlanError",
    "PlanSpec",
    "StepSpec",
    "bundled",
    "expand",
    "find",
    "left_alone",
    "load_plan",
    "recorded",
    "sha256",
]
