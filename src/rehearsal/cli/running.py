"""`rehearse run`, `preflight`, `postflight`: what watches, and with `run` what changes, a cloud."""

from __future__ import annotations

from contextlib import ExitStack
from contextlib import contextmanager
from typing import TYPE_CHECKING
from typing import Any

import yaml

from rehearsal import plan as plans
from rehearsal.canaries.model import Wish
from rehearsal.cli import usage
from rehearsal.cli.after import make_report
from rehearsal.cli.after import tell_looseness
from rehearsal.cli.after import write_report
from rehearsal.cli.inspect import plan_lines
from rehearsal.cli.inspect import probing_lines
from rehearsal.cli.inspect import target_lines
from rehearsal.cloud import options as target_options
from rehearsal.cloud.keys import public_key_of
from rehearsal.figures.outcome import Outcome
from rehearsal.figures.outcome import worst
from rehearsal.outside.redact import redact_text
from rehearsal.outside.terminal import show
from rehearsal.outside.terminal import warn
from rehearsal.recording import rundir
from rehearsal.recording.journal import JournalError
from rehearsal.recording.stretch import POSTFLIGHT
from rehearsal.recording.stretch import PREFLIGHT
from rehearsal.runner import gates
from rehearsal.runner import lock
from rehearsal.runner import plansecrets
from rehearsal.runner.attempt import NOT_RECORDED
from rehearsal.runner.attempt import Attempt
from rehearsal.runner.declared import load_planned
from rehearsal.runner.interrupts import Interrupts
from rehearsal.runner.orders import PARTS
from rehearsal.runner.orders import NotConfirmed
from rehearsal.runner.orders import Orders
from rehearsal.runner.orders import chosen_steps
from rehearsal.runner.orders import confirm_run
from rehearsal.runner.past import read_past
from rehearsal.runner.progress import say
from rehearsal.runner.run import Course

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from collections.abc import Mapping

    from rehearsal.cloud import Target
    from rehearsal.own.ownclaims import OwnClaims
    from rehearsal.plan import PlanSpec
    from rehearsal.recording.rundir import RunDirectory
    from rehearsal.runner.attempt import Stopped


def add_commands(commands: Any) -> None:
    """Add `run`, `preflight` and `postflight`."""
    run = commands.add_parser("run", help="carry out the plan, watching every step")
    usage.add_plan(run)
    usage.add_reports(run)
    run.add_argument("--from", dest="from_step", default="", metavar="STEP", help="start with this step")
    run.add_argument("--until", dest="until_step", default="", metavar="STEP", help="stop after this step")
    run.add_argument("--resume", default="", metavar="RUN", help="resume this run (a path, an id, or latest)")
    run.add_argument("--keep-going", action="store_true", help="do not stop at failed gates or steps")
    run.add_argument("--keep-canaries", action="store_true", help="do not remove the canaries at the end")
    run.add_argument("--dry-run", action="store_true", help="show what would be done; change nothing")
    run.add_argument("--yes", action="store_true", help="answer yes to every prompt")
    run.add_argument("--mode", choices=("rehearsal", "production"), default="", help="default: rehearsal")
    run.add_argument(
        "--without",
        action="append",
        default=[],
        choices=PARTS,
        help="skip this part (listed as not proven); may be repeated",
    )
    usage.add_rates(run)
    usage.add_suites(run)
    run.add_argument("--jobs", type=int, default=0, metavar="N", help="processes for the pre- and post-flight suites")
    canary = run.add_argument_group("canaries")
    canary.add_argument("--canary-image", default="", metavar="NAME", help="image (default: chosen by its name)")
    canary.add_argument("--canary-flavor", default="", metavar="NAME", help="flavor (default: the smallest that fits)")
    canary.add_argument("--canary-network", default="", metavar="NAME", help="external network for floating IPs")
    canary.add_argument(
        "--canary-host",
        action="append",
        default=[],
        metavar="HOST",
        help="only on these compute nodes; may be repeated",
    )
    target_options.add_arguments(run)
    run.set_defaults(carry_out=run_plan)
    for suite, text in (
        (PREFLIGHT, "is the cloud ready for the upgrade?"),
        (POSTFLIGHT, "is the cloud as the upgrade should leave it?"),
    ):
        gate = commands.add_parser(suite, help=f"run only the {suite} suite: {text}")
        usage.add_plan(gate)
        usage.add_reports(gate)
        usage.add_suites(gate)
        gate.add_argument("--jobs", type=int, default=0, metavar="N", help="processes for the suite")
        target_options.add_arguments(gate)
        gate.set_defaults(carry_out=only_gate, suite=suite)


def _orders(
    options: argparse.Namespace, target: Target, mode: str, earlier: Mapping[str, float], own: OwnClaims | None
) -> Orders:
    if options.jobs < 0:
        raise usage.UsageError("--jobs takes a number of processes, 0 or more.")
    return Orders(
        mode=mode,
        from_step=options.from_step,
        until_step=options.until_step,
        keep_going=options.keep_going,
        keep_canaries=options.keep_canaries,
        yes=options.yes,
        without=frozenset(options.without),
        jobs=options.jobs,
        options=target_options.from_arguments(options),
        wish=Wish(
            image=options.canary_image,
            flavor=options.canary_flavor,
            outer_network=options.canary_network,
            hosts=tuple(options.canary_host),
            public_key=public_key_of(target.operator_key),
        ),
        rates={**earlier, **usage.rates_from(options)},
        argv=tuple(options.argv),
        own=own,
    )


def run_plan(options: argparse.Namespace) -> int:
    """Carry out the plan. The exit code is the verdict's."""
    target = usage.usable_target(options)
    if options.resume:
        run = rundir.find_run(options.resume, usage.reports_of(options))
        if not run.plan.exists() or not run.runner_journal.exists():
            raise usage.UsageError(f"{run.path} cannot be resumed: it has no plan.yml or no journal.")
        tell_looseness(run)
        past = read_past(run)
        try:
            plan = plansecrets.read(run)
        except plansecrets.PlanSecretsLost as error:
            raise usage.UsageError(str(error)) from error
        mode, rates = options.mode or past.mode, past.rates
        own = usage.own_claims_again(options, target, past.own)
    else:
        run, plan, mode, rates = None, usage.plan_of(options, target), options.mode or "rehearsal", {}
        own = None if "suites" in options.without else usage.own_claims(options, target)
    plansecrets.remember_secrets(plan)
    orders = _orders(options, target, mode, rates, own)
    try:
        chosen = chosen_steps(plan, orders)
    except ValueError as error:
        raise usage.UsageError(str(error)) from error
    if options.dry_run:
        shown = plan.model_copy(update={"steps": list(chosen)})
        probing = probing_lines(plan, target, orders.rates, orders.without)
        show("\n".join([*target_lines(target), "", *plan_lines(shown), *probing, *own_lines(own, plan)]))
        show("Nothing was done (--dry-run).")
        return 0
    if excess := load_planned(plan, target, orders.rates_for(plan), without=orders.without).excess():
        raise usage.UsageError(
            f"Probing would overload this cloud: {excess} Lower the rates (--rate LANE=HZ, or rates: in the plan), "
            "or create fewer canaries (--canary-host); `rehearse plan` shows the load of each lane."
        )
    try:
        confirm_run(target, plan, orders, len(chosen))
    except NotConfirmed as refusal:
        raise usage.UsageError(str(refusal)) from refusal
    if run is None:
        run = new_run(options, plan)
    with only_runner(run):
        interrupts = Interrupts()
        interrupts.install()
        stopped = Course(run, plan, target, orders, interrupts).go()
        if stopped is None:
            plansecrets.forget(run)
        with interrupts.held():
            return conclude(run, stopped)


def own_lines(own: OwnClaims | None, plan: PlanSpec) -> list[str]:
    """Return which own claims are checked where, as lines for people."""
    if own is None:
        return []
    where = {each.check: ", ".join(each.marking.gates) for each in own.claims}
    unused = own.unused(plan.steps)
    return [
        "",
        f"own claims: {own.sentence}",
        *(
            f"  {check:<40} {gates}{'; after no step of this plan' if check in unused else ''}"
            for check, gates in where.items()
        ),
    ]


def new_run(options: argparse.Namespace, plan: PlanSpec) -> RunDirectory:
    """Make the run's directory with its copies of the plan: as it was written, and as it is for this cloud."""
    try:
        run = rundir.new_run(usage.reports_of(options))
    except OSError as error:
        raise usage.UsageError(
            f"The run directory cannot be created: {error}. Choose another place with --reports."
        ) from error
    source = plans.find(options.plan).read_bytes().decode("utf-8", "replace")
    (run.path / "plan-source.yml").write_bytes(redact_text(source).encode())
    plansecrets.keep(run, plan, _as_yaml)
    return run


def _as_yaml(data: dict[str, Any]) -> str:
    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
            return True

    head = "# The plan for exactly this cloud; plan-source.yml is what it was made from.\n"
    return head + str(yaml.dump(data, Dumper=Plain, sort_keys=False, allow_unicode=True, width=120))


@contextmanager
def only_runner(run: RunDirectory) -> Iterator[None]:
    """Keep a second runner out of the same run. Raises UsageError if there is one."""
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.held(run))
        except lock.RunIsGoingOn as error:
            raise usage.UsageError(str(error)) from error
        yield


def conclude(run: RunDirectory, stopped: Stopped | None) -> int:
    """Write the report, say how it ended and what to type next; return the verdict's exit code."""
    try:
        results = make_report(run, fresh=True)
        say("")
        say(f"{results.outcome.shown}: {results.sentence}")
        say(f"report: {run.report}")
        outcome = results.outcome
    except OSError as error:
        say(f"error: The report cannot be written: {error}. Free some disk space, then run: rehearse report {run.path}")
        outcome = Outcome.UNKNOWN
    except JournalError as error:  # a disk that was full from the beginning leaves nothing to judge
        say(f"error: There is no report: {error}")
        outcome = Outcome.UNKNOWN
    finally:
        if stopped is not None:
            say(stopped.sentence)
            past = "to resume past the failed gate" if stopped.reason == "gate" else "to resume without it"
            for number, command in enumerate(stopped.next_commands):
                say(f"{'to resume' if number == 0 else past}: {command}")
    if stopped is not None and stopped.reason == NOT_RECORDED:
        outcome = worst([outcome, Outcome.UNKNOWN])
    return outcome.exit_code


def only_gate(options: argparse.Namespace) -> int:
    """Run one suite only, with a run directory of its own. The exit code is the gate's."""
    target = usage.usable_target(options)
    try:
        plan = usage.plan_of(options, target)
    except plans.PlanError as error:
        if options.plan != usage.DEFAULT_PLAN:
            raise
        warn(f"No plan fits this cloud; checks that need a plan are skipped. ({error})")
        plan = None
    own = usage.own_claims(options, target)
    try:
        run = new_run(options, plan) if plan else rundir.new_run(usage.reports_of(options))
    except OSError as error:
        raise usage.UsageError(
            f"The run directory cannot be created: {error}. Choose another place with --reports."
        ) from error
    interrupts = Interrupts()
    interrupts.install()
    orders = Orders(
        mode=options.suite,
        suite_alone=True,
        jobs=options.jobs,
        options=target_options.from_arguments(options),
        argv=tuple(options.argv),
        own=own,
    )
    expect = "to" if plan and target.release.openstack == plan.to_release else "from"
    outcome = gates.alone(Attempt(run, plan, target, orders), options.suite, expect=expect)
    with interrupts.held():
        write_report(run)
    say(f"report: {run.report}")
    return outcome.exit_code
