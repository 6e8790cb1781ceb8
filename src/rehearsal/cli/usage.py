"""Arguments and errors that every command shares."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING
from typing import NoReturn

from rehearsal import plan as plans
from rehearsal.cloud import Target
from rehearsal.cloud import discover
from rehearsal.cloud import options as target_options
from rehearsal.lanes import rates
from rehearsal.outside.redact import is_secret_name
from rehearsal.outside.redact import remember
from rehearsal.outside.terminal import warn
from rehearsal.own import directory as own_directory
from rehearsal.own import ownclaims
from rehearsal.recording import rundir

if TYPE_CHECKING:
    from rehearsal.cloud import Problem
    from rehearsal.own.ownclaims import OwnClaims
    from rehearsal.plan import PlanSpec

USAGE = 64
INTERNAL = 70
DEFAULT_PLAN = "version-upgrade"


class UsageError(Exception):
    """The command cannot be carried out as it was given; one sentence, or one line per problem."""


class Parser(argparse.ArgumentParser):
    """argparse with our exit code: its own 2 would mean `unknown`."""

    def error(self, message: str) -> NoReturn:
        """End with 64 and one line that says what to type for help."""
        warn(f"{message[0].upper()}{message[1:]}. Try: {self.prog} --help")
        raise SystemExit(USAGE)


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a plan."""
    names = ", ".join(sorted(plans.bundled()))
    parser.add_argument("--plan", default=DEFAULT_PLAN, metavar="FILE|NAME", help=f"the plan (bundled: {names})")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="variables",
        help="set a variable of the plan; may be repeated",
    )


def add_rates(parser: argparse.ArgumentParser) -> None:
    """Add the option that changes how often a lane asks."""
    parser.add_argument(
        "--rate",
        action="append",
        default=[],
        metavar="LANE=HZ",
        dest="rates",
        help="sampling rate of a lane; overrides the plan; may be repeated (lanes: see `rehearse plan`)",
    )


def rates_from(options: argparse.Namespace) -> dict[str, float]:
    """Return what `--rate` says. Raises UsageError."""
    try:
        return dict(rates.from_word(word) for word in options.rates)
    except rates.RateRefused as refusal:
        raise UsageError(f"--rate: {refusal} {refusal.remedy}") from refusal


def add_suites(parser: argparse.ArgumentParser) -> None:
    """Add the option that names own claims."""
    parser.add_argument(
        "--suites",
        default="",
        metavar="DIR",
        help="your own claims: a directory of pytest files (default: environments/rehearse/ of the configuration "
        "repository; none: without)",
    )


def own_claims(options: argparse.Namespace, target: Target) -> OwnClaims | None:
    """Return the operator's own claims, or None without any. Raises UsageError with every mistake in them."""
    directory = own_directory.find(options.suites, Path(target.configuration))
    if directory is None:
        return None
    try:
        return ownclaims.read(directory, target, target_options.as_environment(target_options.from_arguments(options)))
    except ownclaims.OwnClaimsRefused as refusal:
        raise UsageError("\n".join(problem_line(problem) for problem in refusal.problems)) from refusal


def own_claims_again(options: argparse.Namespace, target: Target, earlier: str) -> OwnClaims | None:
    """Return the own claims of a resumed run: those that are named, else those of its last attempt. Raises UsageError."""
    if "suites" in options.without:
        return None
    if not options.suites and earlier and not Path(earlier).is_dir():
        warn(
            f"warning: {earlier} with this run's own claims is not there: they are not checked any more, and the report "
            "lists them as not proven. --suites DIR names another place."
        )
        return None
    options.suites = options.suites or earlier or own_directory.NONE
    return own_claims(options, target)


def add_reports(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where runs are kept."""
    parser.add_argument(
        "--reports", default="", metavar="DIR", help="where runs are kept (default ./reports; REHEARSE_REPORTS)"
    )


def add_run(parser: argparse.ArgumentParser, *, optional: bool = False, help_text: str) -> None:
    """Add the argument that names a run."""
    if optional:
        parser.add_argument("run", nargs="?", default="", metavar="RUN", help=help_text)
    else:
        parser.add_argument("run", metavar="RUN", help=help_text)
    add_reports(parser)


def variables_of(options: argparse.Namespace) -> dict[str, str]:
    """Return what `--set` says. Raises UsageError."""
    found = {}
    for word in options.variables:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UsageError("--set: write NAME=VALUE.")  # not what was written: it may be a password
        if is_secret_name(name):
            remember(value)
        found[name] = value
    return found


def plan_of(options: argparse.Namespace, target: Target) -> PlanSpec:
    """Return the chosen plan for this target. Raises PlanError."""
    path = plans.find(options.plan)
    return plans.expand(plans.load_plan(path), target, variables_of(options), path=path)


def usable_target(options: argparse.Namespace) -> Target:
    """Discover the target; say what is doubtful. Raises UsageError with every problem that forbids a rehearsal."""
    target = discover(target_options.from_arguments(options))
    if target.errors:
        raise UsageError("\n".join(problem_line(problem) for problem in target.problems))
    for problem in target.problems:
        warn(problem_line(problem))
    return target


def problem_line(problem: Problem) -> str:
    """Return a problem as one line: what, where, what to do."""
    return f"{problem.severity}: {problem.sentence} ({problem.file}) {problem.remedy}"


def reports_of(options: argparse.Namespace) -> Path:
    """Return where runs are kept."""
    return rundir.reports_root(options.reports)
