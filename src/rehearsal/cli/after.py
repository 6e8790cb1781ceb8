"""`rehearse report`, `export`, `clean`, `list`: what can be done after a run, from its recording or in the cloud."""

from __future__ import annotations

import dataclasses
import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.canaries import ledger
from rehearsal.cli import usage
from rehearsal.cloud import discover
from rehearsal.cloud import options as target_options
from rehearsal.cloud.connection import CloudError
from rehearsal.cloud.connection import connect
from rehearsal.figures.outcome import Outcome
from rehearsal.outside.terminal import show
from rehearsal.outside.terminal import shown
from rehearsal.outside.terminal import warn
from rehearsal.recording import private
from rehearsal.recording import rundir
from rehearsal.recording import runfiles
from rehearsal.recording.naming import run_described
from rehearsal.recording.naming import run_of
from rehearsal.runner import lock
from rehearsal.runner.orders import NotConfirmed
from rehearsal.runner.orders import ask
from rehearsal.runner.progress import say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from collections.abc import Sequence

    from rehearsal.canaries.clean import Survey
    from rehearsal.judging.results import Results
    from rehearsal.judging.rooms import Rooms
    from rehearsal.recording.rundir import RunDirectory


RECORDING = "recording sha256"
"""In the provenance of results: the fingerprint of the recording that they were drawn from."""


def add_commands(commands: Any) -> None:
    """Add `report`, `export`, `clean` and `list`."""
    made = commands.add_parser("report", help="judge a run again and write its report, from the recording alone")
    usage.add_run(made, help_text="a path, an id, or latest")
    made.set_defaults(carry_out=report_run)
    exported = commands.add_parser("export", help="write every sample of a run as comma-separated values")
    usage.add_run(exported, help_text="a path, an id, or latest")
    exported.add_argument("file", type=Path, metavar="FILE", help="a new file; a name that ends in .gz is compressed")
    exported.set_defaults(carry_out=export_run)
    cleaned = commands.add_parser(
        "clean", help="remove what rehearsals left in the cloud, according to their own records"
    )
    usage.add_run(cleaned, optional=True, help_text="only this run (default: every run recorded in --reports)")
    cleaned.add_argument("--yes", action="store_true", help="remove without asking")
    target_options.add_arguments(cleaned)
    cleaned.set_defaults(carry_out=clean_up)
    listed = commands.add_parser("list", help="list the runs and their verdicts")
    usage.add_reports(listed)
    listed.set_defaults(carry_out=list_runs)


def report_run(options: argparse.Namespace) -> int:
    """Judge and report one run. The exit code is the verdict's."""
    run = rundir.find_run(options.run, usage.reports_of(options))
    tell_looseness(run)
    try:
        results = make_report(run)
    except OSError as error:
        raise usage.UsageError(
            f"The report of {run.path} cannot be written: {error}. Judge a copy that this account may write to."
        ) from error
    show(f"{results.outcome.shown}: {results.sentence}")
    show(f"report: {run.report}")
    return results.outcome.exit_code


def tell_looseness(run: RunDirectory) -> None:
    """Warn if others can get at what a run recorded."""
    if sentence := private.looseness(run.path):
        warn(f"warning: {sentence}")


def make_report(run: RunDirectory, *, fresh: bool = False) -> Results:
    """Derive the results of a run from its recording and write them. Raises JournalError, OSError.

    Results of an earlier recording or judge are taken away first: whatever happens, they are not taken for these. `fresh`:
    the run has just ended, and what its files and its verdict are is kept with the recording.
    """
    from rehearsal import report  # noqa: PLC0415
    from rehearsal.judging import judge  # noqa: PLC0415
    from rehearsal.judging.rooms import Rooms  # noqa: PLC0415
    from rehearsal.recording import closing  # noqa: PLC0415
    from rehearsal.recording import history  # noqa: PLC0415 - numpy and templates are slow to import, and most commands need neither

    rooms = Rooms()
    report.remove(run.path)
    if fresh:
        _kept(run, lambda: closing.list_files(run.path))
    belongs_to = closing.fingerprint(run.path)
    recorded = history.load(run.path)
    results = judge.judge(recorded, rooms)
    if fresh:
        _kept(run, lambda: closing.keep_verdict(run.path, results, len(recorded.attempts)))
        belongs_to = closing.fingerprint(run.path)
    results = dataclasses.replace(results, provenance={**results.provenance, RECORDING: belongs_to})
    report.write(run.path, results, rooms)
    _keep_tracebacks(run, rooms)
    return results


def _kept(run: RunDirectory, keep: Callable[[], None]) -> None:
    from rehearsal.recording import closing  # noqa: PLC0415

    try:
        keep()
    except OSError as error:
        say(
            f"warning: {run.path / closing.FILE} cannot be written: {error}. Files that are lost or cut later "
            "will go unnoticed."
        )


def _keep_tracebacks(run: RunDirectory, rooms: Rooms) -> None:
    """Say what could not be judged or shown, and keep the tracebacks: they are for a file."""
    from rehearsal.judging.rooms import LOG  # noqa: PLC0415

    path = run.path / LOG
    try:
        path.unlink(missing_ok=True)  # of an earlier report
        if rooms.broken:
            path.parent.mkdir(exist_ok=True)
            with path.open("x") as log:  # never through a link that somebody left there
                log.writelines(f"{shown(each.traceback)}\n" for each in rooms.broken)
    except OSError as error:
        say(f"warning: {path} cannot be written: {error}")
    for each in rooms.broken:
        say(f"warning: {each.what} could not be judged or shown: {each.why}; see {path}")


def write_report(run: RunDirectory) -> None:
    """Write the report of a run whose verdict nobody asked for."""
    make_report(run, fresh=True)


def export_run(options: argparse.Namespace) -> int:
    """Write all samples of one run, for other people's tools. The exit code is UNKNOWN's if the recording is damaged."""
    from rehearsal.recording.export import damage_of  # noqa: PLC0415 - numpy is slow to import
    from rehearsal.recording.export import write_csv  # noqa: PLC0415

    run = rundir.find_run(options.run, usage.reports_of(options))
    try:
        count = write_csv(run.path, options.file)
    except FileExistsError as error:
        raise usage.UsageError(f"{options.file} exists. Name a file that does not.") from error
    except OSError as error:
        raise usage.UsageError(str(error)) from error
    show(f"{options.file}: {count} samples")
    damage = damage_of(run.path)
    for sentence in damage:
        warn(f"warning: {sentence}")
    return Outcome.UNKNOWN.exit_code if damage else 0


def clean_up(options: argparse.Namespace) -> int:
    """Show what one run, or every run recorded here, left in the cloud, and remove it if told to. 0 if nothing is left, else 1."""
    from rehearsal.canaries import clean  # noqa: PLC0415 - slow to import

    runs = _runs_to_clean(options)
    with ExitStack() as stack:
        try:
            for run in runs:
                stack.enter_context(lock.held(run))
                lock.check_no_step_runs(run)
            made = [ledger.read(run.run, run.made) for run in runs]
        except (lock.RunIsGoingOn, ledger.LedgerError) as error:
            raise usage.UsageError(f"{error} Nothing was removed.") from error
        target = discover(target_options.from_arguments(options))
        try:
            connection = connect(target)
        except CloudError as error:
            raise usage.UsageError(str(error)) from error
        found = clean.survey(connection, made)
        _show_survey(found, runs)
        if not found.ours:
            return 1 if found.failures else 0
        try:
            confirmed = options.yes or ask("Remove these? [yes/no] ").lower() in {"y", "yes"}
        except NotConfirmed as refusal:
            raise usage.UsageError(f"{refusal} Nothing was removed.") from refusal
        if not confirmed:
            show("Not confirmed: nothing was removed.")
            return 1
        done = clean.clean(connection, made, say)
    say(f"removed {len(done.removed)} resources")
    for thing in done.left:
        say(f"could not be removed: {thing}")
    return 1 if done.left else 0


def _show_survey(found: Survey, runs: Sequence[RunDirectory]) -> None:
    for failure in found.failures:
        warn(f"warning: {failure}")
    for thing in found.others:
        whose = run_of(thing.seen.name) or run_described(thing.seen.description)
        place = f" in project {thing.seen.scope}" if thing.seen.scope else ""
        what = f"{thing} ({thing.seen.id}){place}"
        if whose and whose not in {run.run for run in runs}:
            show(f"left alone: {what}: named after run {whose}, which has no record here (--reports DIR)")
        else:
            show(f"left alone: {what}: the run's record does not say that it made this")
    if not found.ours:
        show("Nothing to remove.")
        return
    show(f"{len(found.ours)} resources were created by {', '.join(run.run for run in runs)} and will be removed:")
    for thing in found.ours:
        show(f"  {thing} ({thing.seen.id})")


def _runs_to_clean(options: argparse.Namespace) -> list[RunDirectory]:
    """Return the run that was named, or every run whose record is here; a run without one left nothing that could be told."""
    root = usage.reports_of(options)
    if not options.run:
        return [run for run in rundir.all_runs(root) if run.made.exists()]
    try:
        return [rundir.find_run(options.run, root)]
    except rundir.RunNotFound:
        if not rundir.is_run_id(options.run):
            raise
        warn(f"warning: no record of run {options.run} in {root} (--reports DIR): nothing of that run will be removed.")
        return []


def list_runs(options: argparse.Namespace) -> int:
    """Print one line for each run: id, verdict, sentence."""
    root = usage.reports_of(options)
    runs = rundir.all_runs(root)
    for run in runs:
        tell_looseness(run)
        outcome, sentence = _recorded_verdict(run)
        show(f"{run.run:<20} {outcome:<8} {sentence}")
    if not runs:
        show(f"No runs in {root}.")
    return 0


def _recorded_verdict(run: RunDirectory) -> tuple[str, str]:
    from rehearsal.recording import closing  # noqa: PLC0415

    try:
        data = json.loads(runfiles.read_text(run.path / "results.json"))
        outcome, sentence = Outcome(data["outcome"]).shown, str(data["sentence"])
        belongs_to = data["provenance"].get(RECORDING)
    except runfiles.RunFileRefused as refusal:
        return "—", str(refusal)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "—", f"not judged yet: rehearse report {run.run}"
    if belongs_to is None:
        return "—", f"judged by an older version that did not name its recording: rehearse report {run.run}"
    if belongs_to != closing.fingerprint(run.path):
        return "—", f"the recording is not the one that was judged: rehearse report {run.run}"
    return outcome, sentence
