"""Secrets of a plan (`environment:`, `variables:`, `--set`): needed until the run is finished, and no part of its evidence.

`plan.yml` is what may be shown and kept. If that hides anything, the plan as it is carried out lies in `.plan-secrets.json`
(0600) until the run came to its end, so that it can be resumed; a finished run has it no more.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from typing import Any

from rehearsal import plan as plans
from rehearsal.outside.redact import HIDDEN
from rehearsal.outside.redact import is_secret_name
from rehearsal.outside.redact import redact
from rehearsal.outside.redact import remember
from rehearsal.plan import PlanSpec
from rehearsal.recording import runfiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rehearsal.recording.rundir import RunDirectory


class PlanSecretsLost(Exception):  # noqa: N818 - nothing is broken
    """A run that cannot go on: its plan hides what its commands need; one sentence with the remedy."""


def values_of(plan: PlanSpec | None) -> list[str]:
    """Return the values in a plan whose names say that they are secrets, sorted."""
    if plan is None:
        return []
    named = [plan.variables, *(step.environment for step in plan.steps)]
    return sorted({value for values in named for name, value in values.items() if is_secret_name(name) and value})


def remember_secrets(plan: PlanSpec) -> None:
    """Make the plan's secrets disappear from whatever is written from now on."""
    remember(*values_of(plan))


def keep(run: RunDirectory, plan: PlanSpec, written: Callable[[Any], str]) -> None:
    """Write `plan.yml` without secrets, and beside it, if that hid any, what is needed to resume."""
    data = plan.model_dump(mode="json", exclude_unset=True)
    shown = redact(data)
    run.plan.write_text(written(shown))
    if shown != data:
        _place(run).write_text(json.dumps({"plan_sha256": plans.sha256(run.plan), "plan": data}) + "\n")


def read(run: RunDirectory) -> PlanSpec:
    """Return the plan of a run that goes on. Raises PlanError, PlanSecretsLost."""
    if runfiles.is_plain(_place(run)):
        kept = json.loads(runfiles.read_text(_place(run)))
        if kept["plan_sha256"] == plans.sha256(run.plan):
            return PlanSpec.model_validate(kept["plan"])
    plan = plans.load_plan(run.plan)
    for step in plan.steps:
        if any(HIDDEN in text for text in (*step.command, *step.environment.values())):
            raise PlanSecretsLost(
                f"{run.plan}: step {step.id} needs a secret that this file does not hold ({HIDDEN}): the file was edited, or "
                f"{_place(run).name} beside it is gone. Write the secret there for this attempt, or begin a new run."
            )
    return plan


def forget(run: RunDirectory) -> None:
    """Remove the secrets of a run that came to its end."""
    _place(run).unlink(missing_ok=True)


def _place(run: RunDirectory) -> Path:
    return run.path / ".plan-secrets.json"
