"""`rehearse report`, `export`, `clean`, `list`: what can be done after a run, from its recording or in the cloud."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.cli import usage
from rehearsal.cloud import CLOUD_ERRORS
from rehearsal.cloud import CloudError
from rehearsal.cloud import connect
from rehearsal.cloud import sentence
from rehearsal.redact import redact_text
from rehearsal.runner import rundir
from rehearsal.runner.progress import say
from rehearsal.target import discover
from rehearsal.target import options as target_options
from rehearsal.verdict import Outcome

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from rehearsal.results import Results
    from rehearsal.rooms import Rooms
    from rehearsal.runner.rundir import RunDirectory


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
    cleaned = commands.add_parser("clean", help="remove what rehearsals left in the cloud")
    usage.add_run(cleaned, optional=True, help_text="only this run (default: every run)")
    target_options.add_arguments(cleaned)
    cleaned.set_defaults(carry_out=clean_up)
    listed = commands.add_parser("list", help="list the runs and their verdicts")
    usage.add_reports(listed)
    listed.set_defaults(carry_out=list_runs)


def report_run(options: argparse.Namespace) -> int:
    """Judge and report one run. The exit code is the verdict's."""
    run = rundir.find_run(options.run, usage.reports_of(options))
    results = make_report(run)
    print(f"{results.outcome.shown}: {results.sentence}")
    print(f"report: {run.report}")
    return results.outcome.exit_code


def make_report(run: RunDirectory, *, fresh: bool = False) -> Results:
    """Derive the results of a run from its recording and write them. Raises JournalError, OSError.

    Results of an earlier recording or judge are taken away first: whatever happens, they are not taken for these. `fresh`:
    the run has just ended, and what its files and its verdict are is kept with the recording.
    """
    from rehearsal import closing  # noqa: PLC0415
    from rehearsal import history  # noqa: PLC0415 - numpy and templates are slow to import, and most commands need neither
    from rehearsal import judge  # noqa: PLC0415
    from rehearsal import report  # noqa: PLC0415
    from rehearsal.rooms import Rooms  # noqa: PLC0415

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
    from rehearsal import closing  # noqa: PLC0415

    try:
        keep()
    except OSError as error:
        say(
            f"warning: {run.path / closing.FILE} cannot be written: {error}. Files that are lost or cut later will not be "
            "missed."
        )


def _keep_tracebacks(run: RunDirectory, rooms: Rooms) -> None:
    """Say what could not be judged or shown, and keep the tracebacks: they are for a file."""
    from rehearsal.rooms import LOG  # noqa: PLC0415

    path = run.path / LOG
    try:
        path.unlink(missing_ok=True)  # of an earlier report
        if rooms.broken:
            path.parent.mkdir(exist_ok=True)
            with path.open("x") as log:  # never through a link that somebody left there
                log.writelines(f"{redact_text(each.traceback)}\n" for each in rooms.broken)
    except OSError as error:
        say(f"warning: {path} cannot be written: {error}")
    for each in rooms.broken:
        say(f"warning: {each.what} could not be judged or shown: {each.why}; see {path}")


def write_report(run: RunDirectory) -> None:
    """Write the report of a run whose verdict nobody asked for."""
    make_report(run, fresh=True)


def export_run(options: argparse.Namespace) -> int:
    """Write all samples of one run, for other people's tools."""
    from rehearsal.export import write_csv  # noqa: PLC0415 - numpy is slow to import

    run = rundir.find_run(options.run, usage.reports_of(options))
    try:
        count = write_csv(run.path, options.file)
    except FileExistsError as error:
        raise usage.UsageError(f"{options.file} exists. Name a file that does not.") from error
    except OSError as error:
        raise usage.UsageError(str(error)) from error
    print(f"{options.file}: {count} samples")
    return 0


def clean_up(options: argparse.Namespace) -> int:
    """Remove what one run, or every run, left in the cloud. 0 if nothing is left, else 1."""
    from rehearsal.clean import clean  # noqa: PLC0415 - slow to import
    from rehearsal.clean import find_runs  # noqa: PLC0415

    run_id = _run_id(options)
    target = discover(target_options.from_arguments(options))
    try:
        connection = connect(target)
    except CloudError as error:
        raise usage.UsageError(str(error)) from error
    if not run_id:
        try:
            remains = find_runs(connection)
        except CLOUD_ERRORS as error:
            raise usage.UsageError(f"The cloud does not say what there is: {sentence(error)}") from error
        say(f"runs that left something: {', '.join(remains) or 'none'}")
    done = clean(connection, run_id or None, say)
    say(f"removed {len(done.removed)} things")
    for thing in done.left:
        say(f"could not be removed: {thing}")
    return 1 if done.left else 0


def _run_id(options: argparse.Namespace) -> str:
    """Return the id of the run; one whose directory is gone can be named by its id all the same."""
    if not options.run:
        return ""
    try:
        return rundir.find_run(options.run, usage.reports_of(options)).run
    except rundir.RunNotFound:
        if rundir.is_run_id(options.run):
            return str(options.run)
        raise


def list_runs(options: argparse.Namespace) -> int:
    """Print one line for each run: id, verdict, sentence."""
    root = usage.reports_of(options)
    runs = rundir.all_runs(root)
    for run in runs:
        outcome, sentence = _recorded_verdict(run)
        print(f"{run.run:<20} {outcome:<8} {sentence}")
    if not runs:
        print(f"There is no run in {root}.")
    return 0


def _recorded_verdict(run: RunDirectory) -> tuple[str, str]:
    from rehearsal import closing  # noqa: PLC0415

    try:
        data = json.loads((run.path / "results.json").read_text())
        outcome, sentence = Outcome(data["outcome"]).shown, str(data["sentence"])
        belongs_to = data["provenance"].get(RECORDING)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "—", f"not judged yet: rehearse report {run.run}"
    if belongs_to is None:
        return "—", f"judged by an older version, which did not say of which recording: rehearse report {run.run}"
    if belongs_to != closing.fingerprint(run.path):
        return "—", f"the recording is not the one that was judged: rehearse report {run.run}"
    return outcome, sentence
