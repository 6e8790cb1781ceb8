"""From a plan to the steps for exactly one cloud: hosts instead of groups, values instead of names."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from rehearsal.cloud.expected import expected_containers
from rehearsal.plan.allowances import LONGEST_ID
from rehearsal.plan.effects import HOSTS
from rehearsal.plan.effects import NAMED
from rehearsal.plan.effects import Effects
from rehearsal.plan.effects import StepSpec
from rehearsal.plan.reading import line_of_step
from rehearsal.plan.reading import plainly
from rehearsal.plan.reading import unwritable
from rehearsal.plan.shapes import PLACEHOLDER
from rehearsal.plan.shapes import SSH_OPTIONS
from rehearsal.plan.shapes import Mistake
from rehearsal.plan.shapes import PlanError
from rehearsal.plan.shapes import PlanSpec

if TYPE_CHECKING:
    from pathlib import Path

    from rehearsal.cloud.target import Target


def expand(
    plan: PlanSpec, target: Target, variables: dict[str, str] | None = None, *, path: Path | None = None
) -> PlanSpec:
    """Return the plan for exactly this cloud: `for_each` resolved, placeholders filled in.

    Services that the target does not offer are dropped, with their budgets: they cannot be watched.
    Raises PlanError for a group without hosts, a variable that the plan does not have, a release mismatch, or steps that
    could not be told apart. `path`: where the plan was read, to name the line.
    """
    mistakes = _unfit(plan, target, variables or {})
    mistakes += _hosts_unknown(plan, target, path) if path else []  # a step may have taken a host away since
    if mistakes:
        raise PlanError(mistakes)
    values = {
        **plan.variables,
        **(variables or {}),
        "configuration": target.configuration,
        "namespace_file": target.namespace_file,
        "operator_user": target.operator_user,
        "operator_key": target.operator_key,
        "from_release": plan.from_release,
        "to_release": plan.to_release,
    }
    steps: list[StepSpec] = []
    made_of: list[int] = []
    for place, step in enumerate(plan.steps):
        if not step.for_each:
            steps.append(_filled(step, values))
            made_of.append(place)
            continue
        hosts = target.in_group(step.for_each)
        for number, host in enumerate(hosts):
            user = host.user or target.operator_user
            own = {**values, "operator_user": user, "host": host.name, "address": host.address}
            one = _filled(step, {**own, "ssh_options": shlex.join(host.detour)}, host.detour)
            occasion = {"first": number == 0, "last": number == len(hosts) - 1, "each": True}[step.migrate_after]
            made_of.append(place)
            steps.append(
                one.model_copy(
                    update={
                        "id": f"{step.id}-{plainly(host.name)}",
                        "hosts": one.hosts or [host.name],
                        "for_each": "",
                        "migrate": step.migrate if occasion else "",
                        "migrate_after": "last",
                    }
                )
            )
    mistakes = _unusable_ids(plan, steps, made_of, path)
    if mistakes:
        raise PlanError(mistakes)
    made = plan.model_copy(update={"steps": steps, "variables": {**plan.variables, **(variables or {})}})
    mistakes = _unreadable(made, made_of, path)
    if mistakes:
        raise PlanError(mistakes)
    return made


def _unusable_ids(plan: PlanSpec, steps: list[StepSpec], made_of: list[int], path: Path | None) -> list[Mistake]:
    """Return the steps whose ids are too long, or those of another; `made_of`: of which step of the plan each was made."""
    found: list[Mistake] = []
    seen: dict[str, StepSpec] = {}
    remedy = "Instead of for_each write one step for each of these hosts, each with an id of its own."
    for step, place in zip(steps, made_of, strict=True):
        file, line = (str(path), line_of_step(path, place)) if path else (plan.name, 0)
        other = seen.setdefault(step.id, step)
        if other is not step:
            where = " and ".join(", ".join(each.hosts) or "everywhere" for each in (other, step))
            found.append(Mistake(file, line, f"Two steps would have the id {step.id!r} (hosts: {where}).", remedy))
        if len(step.id) > LONGEST_ID:
            found.append(Mistake(file, line, f"The id {step.id!r} is longer than {LONGEST_ID} characters.", remedy))
    return found


def _unreadable(made: PlanSpec, made_of: list[int], path: Path | None) -> list[Mistake]:
    """Return what the values that were filled in made of steps, so that the run's copy of the plan could not be read again."""
    data = made.model_dump()
    file = str(path) if path else made.name
    found = unwritable(data, file, {})
    try:
        PlanSpec.model_validate(data)
    except ValidationError as error:
        for detail in error.errors():
            at = detail["loc"]
            of_a_step = len(at) > 1 and at[0] == "steps"
            line = line_of_step(path, made_of[int(at[1])]) if of_a_step and path else 0
            what = f"Step {made.steps[int(at[1])].id}: {at[2]}" if of_a_step else ".".join(map(str, at))
            found.append(
                Mistake(file, line, f"{what}, filled in: {detail['msg']}.", "See `rehearse target` and --set.")
            )
    return found


def _unfit(plan: PlanSpec, target: Target, variables: dict[str, str]) -> list[Mistake]:
    file = plan.name
    found = [
        Mistake(
            file, 0, f"The plan has no variable {name!r}.", f"It has: {', '.join(sorted(plan.variables)) or 'none'}."
        )
        for name in variables
        if name not in plan.variables
    ]
    if target.release.openstack not in {plan.from_release, plan.to_release}:
        found.append(
            Mistake(
                file,
                0,
                f"The plan goes from {plan.from_release} to {plan.to_release}, but the cloud claims "
                f"{target.release.openstack or 'nothing'}.",
                "Choose another plan: --plan.",
            )
        )
    for step in plan.steps:
        if step.for_each and not target.in_group(step.for_each):
            found.append(
                Mistake(
                    file,
                    0,
                    f"Step {step.id} is for each host of {step.for_each}, which has none.",
                    "See `rehearse target`.",
                )
            )
        if any("{namespace_file}" in part for part in step.command) and not target.namespace_file:
            found.append(
                Mistake(
                    file,
                    0,
                    f"Step {step.id} sets docker_namespace, and environments/kolla/configuration.yml is not there, or encrypted.",
                    "Set docker_namespace in a file of its own: environments/kolla/configuration.yml or inventory/group_vars/all/.",
                )
            )
    return found


def _hosts_unknown(plan: PlanSpec, target: Target, path: Path) -> list[Mistake]:
    """Return the names that are no host (or group) of the cloud as it is before the first step."""
    groups = target.groups
    new = {name for step in plan.steps for name in step.brings_in if name not in groups}
    known = new | {host.name for host in target.hosts}
    found = []
    for place, step in enumerate(plan.steps):
        for key in HOSTS:
            for name in getattr(step, key):
                what, remedy = f"{name!r} is neither a host nor a group", "See `rehearse target`."
                if name in groups and name not in known and not NAMED[key].groups:
                    what, remedy = f"{name!r} is a group", "Name hosts, or use for_each and {host}."
                elif PLACEHOLDER.search(name) or name in known or name in groups or key in {"takes_out", "brings_in"}:
                    continue  # a host may be out by now, or not in yet
                found.append(
                    Mistake(str(path), line_of_step(path, place, key), f"Step {step.id}: {key}: {what}.", remedy)
                )
    return found


def _filled(step: StepSpec, values: dict[str, str], ssh_options: tuple[str, ...] = ()) -> StepSpec:
    def fill(text: str) -> str:
        return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)

    return step.model_copy(
        update={
            "title": fill(step.title),
            "hold": fill(step.hold),
            "command": [
                word for part in step.command for word in (ssh_options if part == SSH_OPTIONS else (fill(part),))
            ],
            **{key: [fill(part) for part in getattr(step, key)] for key in HOSTS},
        }
    )


def left_alone(plan: PlanSpec, target: Target) -> dict[str, list[str]]:
    """Return the containers that the release after the plan expects and that no step gives its tag, with their hosts."""
    effects = Effects.of(plan.steps, target.groups)
    release = replace(target.release, openstack=plan.to_release)
    found: dict[str, list[str]] = {}
    for each in expected_containers(target, release):
        if not effects.retags(each.container, each.host):
            found.setdefault(each.container, []).append(each.host)
    return found
