"""The directory of one run: where everything lies, how a run is named, how it is found again."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from pathlib import Path

from rehearsal.recording import private

DEFAULT_REPORTS = "reports"
REPORTS_VARIABLE = "REHEARSE_REPORTS"
_ID = re.compile(r"\d{8}T\d{6}Z(-\d+)?")


class RunNotFound(Exception):  # noqa: N818 - it is no fault of the program
    """There is no such run; one sentence says where it was looked for."""


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Paths of one run. Everything is below `path`; names inside journals are relative to it."""

    path: Path

    @property
    def run(self) -> str:
        """The run's id, which also tags everything the run makes in the cloud."""
        return self.path.name

    @property
    def plan(self) -> Path:
        """The copy of the plan."""
        return self.path / "plan.yml"

    @property
    def target(self) -> Path:
        """The target as it is now (no secrets); written anew when a step changed what the cloud claims to be."""
        return self.path / "target.json"

    @property
    def target_from(self) -> Path:
        """The target as it was when the run began."""
        return self.path / "target-from.json"

    @property
    def runner_journal(self) -> Path:
        """What the runner records."""
        return self.path / "journal" / "runner.jsonl"

    @property
    def witness_journal(self) -> Path:
        """What happened on the hosts, as they told it."""
        return self.path / "journal" / "witness.jsonl"

    @property
    def made(self) -> Path:
        """What the run made in the cloud, by its own record (`canaries.ledger`)."""
        return self.path / "made.jsonl"

    def calibration(self, number: int) -> Path:
        """The recording of the prober's calibration, the first or a later one."""
        return self.path / ("calibration" if number == 1 else f"calibration-{number}")

    @property
    def logs(self) -> Path:
        """Output of steps, suites and the prober."""
        return self.path / "logs"

    @property
    def report(self) -> Path:
        """The report, derived."""
        return self.path / "report.html"

    def relative(self, path: Path) -> str:
        """Return a path as journals name it."""
        return str(path.relative_to(self.path))

    def make(self) -> None:
        """Make the directories. Raises OSError."""
        for name in ("journal", "samples", "logs", "pages"):
            (self.path / name).mkdir(mode=0o700, exist_ok=True)


def reports_root(given: str = "") -> Path:
    """Return where runs are kept: as given, else $REHEARSE_REPORTS, else ./reports."""
    return Path(given or os.environ.get(REPORTS_VARIABLE) or DEFAULT_REPORTS).absolute()


def new_run(root: Path, now: datetime | None = None) -> RunDirectory:
    """Make the directory of a new run, named by UTC time; `-2`, `-3` … if that second is taken. Raises OSError."""
    base = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    root.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        path = root / (base if number == 1 else f"{base}-{number}")
        try:
            private.make_directory(path)
        except FileExistsError:
            continue
        directory = RunDirectory(path)
        directory.make()
        link_latest(directory)
        return directory
    raise FileExistsError(f"{root}/{base} is taken a thousand times")


def is_run_id(name: str) -> bool:
    """Return whether a name has the form of a run's id."""
    return _ID.fullmatch(name) is not None


def link_latest(directory: RunDirectory) -> None:
    """Let `latest` name this run."""
    link = directory.path.parent / "latest"
    part = directory.path.parent / f".latest-{os.getpid()}"
    part.unlink(missing_ok=True)
    part.symlink_to(directory.path.name)
    part.replace(link)


def all_runs(root: Path) -> list[RunDirectory]:
    """Return the runs below a directory, oldest first."""
    if not root.is_dir():
        return []
    found = [path for path in root.iterdir() if _ID.fullmatch(path.name) and not path.is_symlink() and path.is_dir()]
    return [RunDirectory(path) for path in sorted(found, key=lambda path: _order(path.name))]


def _order(name: str) -> tuple[str, int]:
    base, _, number = name.partition("-")
    return base, int(number or 1)


def find_run(name: str, root: Path) -> RunDirectory:
    """Return the run that a path, an id or `latest` names. Raises RunNotFound."""
    if "/" in name or Path(name).is_dir():
        path = Path(name).absolute()
        if (path / "journal").is_dir():
            return RunDirectory(path.resolve())
        raise RunNotFound(f"{path} is no run directory: it has no journal/.")
    if name == "latest":
        link = root / "latest"
        if (link / "journal").is_dir():
            return RunDirectory(link.resolve())
        runs = all_runs(root)
        if runs:
            return runs[-1]
        raise RunNotFound(f"There is no run in {root} yet.")
    path = root / name
    if (path / "journal").is_dir():
        return RunDirectory(path)
    runs = all_runs(root)
    known = f"The latest are {', '.join(run.run for run in runs[-3:])}." if runs else "There is none."
    raise RunNotFound(f"There is no run {name!r} in {root}. {known}")
