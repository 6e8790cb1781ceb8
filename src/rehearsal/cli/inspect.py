"""`rehearse target` and `rehearse plan`: what is there, and what would be done. Both change nothing."""

from __future__ import annotations

import json
import shlex
import textwrap
from typing import TYPE_CHECKING
from typing import Any

from rehearsal import plan as plans
from rehearsal.cli import usage
from rehearsal.cloud import discover
from rehearsal.cloud import options as target_options
from rehearsal.figures import say
from rehearsal.lanes.load import MOST_CONNECTIONS_PER_S
from rehearsal.lanes.load import MOST_SAMPLES_PER_S
from rehearsal.lanes.rates import USUAL
from rehearsal.lanes.rates import rates_of
from rehearsal.outside.redact import redact
from rehearsal.outside.terminal import show
from rehearsal.outside.terminal import warn
from rehearsal.runner.declared import load_planned

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from rehearsal.cloud import Target
    from rehearsal.plan import BudgetSpec
    from rehearsal.plan import PlanSpec
    from rehearsal.plan import StepSpec


def add_commands(commands: Any) -> None:
    """Add `target` and `plan`."""
    target = commands.add_parser("target", help="show what was found about the cloud, and every problem")
    target_options.add_arguments(target)
    target.add_argument("--json", action="store_true", help="as JSON")
    target.set_defaults(carry_out=show_target)
    plan = commands.add_parser("plan", help="show the steps for this cloud, with their budgets")
    usage.add_plan(plan)
    target_options.add_arguments(plan)
    usage.add_rates(plan)
    plan.add_argument("--check", action="store_true", help="validate the plan file only; no cloud is needed")
    plan.set_defaults(carry_out=show_plan)


def show_target(options: argparse.Namespace) -> int:
    """Print the target. 0, or 64 if something forbids a rehearsal."""
    target = discover(target_options.from_arguments(options))
    if options.json:
        show(json.dumps(redact(target.to_dict()), indent=2))
    else:
        show("\n".join(target_lines(target)))
    for problem in target.problems:
        warn(usage.problem_line(problem))
    return usage.USAGE if target.errors else 0


def target_lines(target: Target) -> list[str]:
    """Return what is known about a target as lines for people."""
    release = target.release
    width = max((len(host.name) for host in target.hosts), default=0)
    own = ("manager", "control", "compute", "network", "storage", "monitoring")
    lines = [
        f"configuration  {target.configuration}",
        (
            f"release        OpenStack {release.openstack or '?'} (OSISM {release.osism or '?'}), "
            f"{len(release.versions)} versions from {release.source or 'nowhere'}"
        ),
        f"images         {release.registry}/{release.namespace}",
        f"cloud          {target.cloud or '?'} of {target.clouds_file or '?'}, CA {target.cacert or 'of the system'}",
        f"operator       {target.operator_user} with {target.operator_key or 'no key'}",
        "",
        "hosts",
    ]
    for host in target.hosts:
        roles = [group for group in own if group in host.groups]
        own_way = [
            *([f"user {host.user}"] if host.user else []),
            *([f"port {host.port}"] if host.port else []),
            *([f"through {host.jump}"] if host.jump else []),
        ]
        way = f"; {', '.join(own_way)}" if own_way else ""
        lines.append(f"  {host.name:<{width}}  {host.address:<15}  {', '.join(roles)} ({len(host.groups)} groups){way}")
    if target.left_out:
        more = f" and {len(target.left_out) - 20} more" if len(target.left_out) > 20 else ""
        lines += ["", f"not part of the cloud, skipped: {', '.join(target.left_out[:20])}{more}"]
    lines += ["", "virtual addresses"]
    lines += [
        f"  {vip.kind:<8}  {vip.address:<15}  {vip.name}{'' if vip.tls else '  (without TLS)'}" for vip in target.vips
    ]
    lines += ["", "endpoints"]
    lines += [f"  {e.service:<10}  {e.interface:<8}  {e.url}  ({e.source})" for e in target.endpoints]
    return lines


def show_plan(options: argparse.Namespace) -> int:
    """Print the plan for this cloud, or only check that it can be read."""
    if options.check:
        path = plans.find(options.plan)
        spec = plans.load_plan(path)
        show(f"{path}: {spec.title}: valid, {len(spec.steps)} steps.")
        return 0
    target = usage.usable_target(options)
    spec = usage.plan_of(options, target)
    told = [*plan_lines(spec), *left_lines(spec, target), *probing_lines(spec, target, usage.rates_from(options))]
    show("\n".join(told))
    return 0


def left_lines(plan: PlanSpec, target: Target) -> list[str]:
    """Return which expected containers no step replaces, as lines for people: the post-flight suite wants the new tag of each."""
    left = plans.left_alone(plan, target)
    if not left:
        return []
    by_hosts: dict[tuple[str, ...], list[str]] = {}
    for container, hosts in sorted(left.items()):
        by_hosts.setdefault(tuple(hosts), []).append(container)
    lines = [
        f"NO STEP REPLACES {len(left)} kinds of containers that OpenStack {plan.to_release} expects here.",
        "  The post-flight suite expects the new tag on each of them and will fail. Add steps to the plan, or upgrade them after it:",
    ]
    for names, containers in sorted(by_hosts.items()):
        where = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        lines += textwrap.wrap(
            f"on {where}: {', '.join(containers)}", 118, initial_indent="  ", subsequent_indent="    ",
            break_on_hyphens=False, break_long_words=False,
        )  # fmt: skip
    return [*lines, ""]


def probing_lines(
    plan: PlanSpec, target: Target, given: Mapping[str, float], without: frozenset[str] = frozenset()
) -> list[str]:
    """Return how often each lane asks, and what all of them together ask of this cloud at most, as lines for people."""
    rates = rates_of({**plan.rates, **given})
    lines = ["probing rates of each lane, for each service, API server or canary:"]
    for name, usual in USUAL.items():
        source = "--rate" if name in given else "plan" if name in plan.rates else "usual"
        lines.append(f"  {name:<20} {rates[name]:>7.3g} Hz  {usual.words} ({source})")
    most = load_planned(plan, target, rates, without=without)
    lines += [
        f"  together at most {most}",
        (
            f"  cap: {MOST_SAMPLES_PER_S:.0f} requests and packets/s, {MOST_CONNECTIONS_PER_S:.0f} new connections/s"
            f"{'' if not most.excess() else '; THIS PLAN IS ABOVE IT'}"
        ),
        "",
    ]
    return lines


def plan_lines(plan: PlanSpec) -> list[str]:
    """Return a plan as lines for people: every step with its command, what it replaces and what it may cost."""
    lines = [
        f"{plan.title} ({plan.from_release} to {plan.to_release}), {len(plan.steps)} steps",
        (
            f"baseline {say.exact_s(plan.baseline_s)}; settling after each step {say.exact_s(plan.settle_s)}; "
            f"live migration at most {say.exact_s(plan.migration.longest_s)} ({plan.migration.source})"
        ),
        "",
        "budgets of every step, unless it says otherwise:",
        *(f"  {name:<10} {budget_text(plan.defaults[name])}" for name in (*plan.services, plans.CANARIES)),
        "",
    ]
    for number, step in enumerate(plan.steps, start=1):
        lines += step_lines(number, step)
    return lines


def step_lines(number: int, step: StepSpec) -> list[str]:
    """Return one step as lines for people."""
    lines = [f"{number:>3}. {step.id}: {step.title}", f"     $ {shlex.join(step.command)}"]
    if step.hold:
        lines.append(f"     hold point: {step.hold}")
    if step.focus is not None:
        lines.append(f"     probed faster while it runs: {', '.join(step.focus) or 'nothing'}")
    lines += [f"     {effect}" for effect in step.told()]
    lines += [f"     budget {name:<10} {budget_text(budget)}" for name, budget in step.disturbs.items()]
    lines.append(
        f"     then {', '.join(step.gates) if step.gates else 'no gate'}; time limit {say.exact_s(step.timeout_s)}"
    )
    if step.migrate:
        lines.append(f"     then live migrations ({step.migrate})")
    lines.append("")
    return lines


def budget_text(budget: BudgetSpec) -> str:
    """Return a budget in words, with its source."""
    parts = [f"longest {say.exact_s(budget.longest_s)}"]
    if budget.total_s is not None:
        parts.append(f"total {say.exact_s(budget.total_s)}")
    if budget.count is not None:
        parts.append(f"at most {budget.count} outages")
    if budget.slow_longest_s is not None:
        parts.append(f"slow {say.exact_s(budget.slow_longest_s)}")
    if budget.slow_total_s is not None:
        parts.append(f"slow in total {say.exact_s(budget.slow_total_s)}")
    return f"{', '.join(parts)} (source: {budget.source})"
