"""From a plan to the steps for exactly one cloud: hosts instead of groups, values instead of names."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from rehearsal.expected import expected_containers
from rehearsal.plan.shapes import PLACEHOLDER
from rehearsal.plan.shapes import SSH_OPTIONS
from rehearsal.plan.shapes import BudgetSpec
from rehearsal.plan.shapes import Mistake
from rehearsal.plan.shapes import PlanError
from rehearsal.plan.shapes import PlanSpec
from rehearsal.plan.shapes import StepSpec

if TYPE_CHECKING:
    from rehearsal.target.model import Target


def expand(plan: PlanSpec, target: Target, variables: dict[str, str] | None = None) -> PlanSpec:
    """Return the plan for exactly this cloud: `for_each` resolved, placeholders filled in.

    Services that the target does not offer are dropped, with their budgets: they cannot be watched.
    Raises PlanError for a group without hosts, a variable that the plan does not have, or a release mismatch.
    """
    mistakes = _unfit(plan, target, variables or {})
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
    for step in plan.steps:
        if not step.for_each:
            steps.append(_filled(step, values))
            continue
        hosts = target.in_group(step.for_each)
        for number, host in enumerate(hosts):
            user = host.user or target.operator_user
            own = {**values, "operator_user": user, "host": host.name, "address": host.address}
            one = _filled(step, {**own, "ssh_options": shlex.join(host.detour)}, host.detour)
            occasion = {"first": number == 0, "last": number == len(hosts) - 1, "each": True}[step.migrate_after]
            safe = re.sub(r"[^a-z0-9-]+", "-", host.name.lower()).strip("-")
            steps.append(
                one.model_copy(
                    update={
                        "id": f"{step.id}-{safe}",
                        "hosts": one.hosts or [host.name],
                        "for_each": "",
                        "migrate": step.migrate if occasion else "",
                        "migrate_after": "last",
                    }
                )
            )
    return plan.model_copy(update={"steps": steps, "variables": {**plan.variables, **(variables or {})}})


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
            "hosts": [fill(part) for part in step.hosts],
        }
    )


def left_alone(plan: PlanSpec, target: Target) -> dict[str, list[str]]:
    """Return the containers that the release after the plan expects and that no step gives its tag, with their hosts."""
    replaced = {
        (container, host)
        for step in plan.steps
        if step.retag
        for container in step.containers
        for host in _where(step, target)
    }
    release = replace(target.release, openstack=plan.to_release)
    found: dict[str, list[str]] = {}
    for each in expected_containers(target, release):
        if (each.container, each.host) not in replaced:
            found.setdefault(each.container, []).append(each.host)
    return found


def _where(step: StepSpec, target: Target) -> set[str]:
    if not step.hosts:
        return {host.name for host in target.hosts}
    return {host for name in step.hosts for host in (target.groups.get(name) or (name,))}


def budget(plan: PlanSpec, step: StepSpec, service: str) -> BudgetSpec | None:
    """Return what a service (or `canaries`) may lose during a step: the step's own budget before the plan's default."""
    return step.disturbs.get(service) or plan.defaults.get(service)
