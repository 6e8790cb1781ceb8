"""Gates: one pytest process per suite, its claims read from its own journal, the gate judged from those and nothing else.

pytest's exit code proves nothing here: with everything skipped it is 0. A gate without a claim is unknown.
"""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from rehearsal.claims.catalogue import root as suites_root
from rehearsal.claims.outcomes import checks_of
from rehearsal.claims.outcomes import trouble_of
from rehearsal.figures import say as lengths
from rehearsal.figures.outcome import Outcome
from rehearsal.figures.outcome import worst
from rehearsal.recording import history
from rehearsal.recording.events import SuiteBegan
from rehearsal.recording.events import SuiteEnded
from rehearsal.runner.interrupts import Interrupted
from rehearsal.runner.output import cleaned_into
from rehearsal.runner.progress import say
from rehearsal.runner.progress import still

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Sized
    from pathlib import Path

    from rehearsal.recording.events import CheckDone
    from rehearsal.recording.events import Event
    from rehearsal.recording.history import History
    from rehearsal.recording.rundir import RunDirectory

_GRACE_S = 20.0
_QUIET_S = 30.0
_MOST_SHOWN = 12
_MOST_PLACES = 4


@dataclass(frozen=True, slots=True)
class Start:
    """How pytest is started for something else than a built-in suite. `quiet_most_s`: it is ended if no claim ends for so long."""

    argv: list[str]
    folder: Path
    quiet_most_s: float


@dataclass(slots=True)
class Quiet:
    """For how long nothing was added to a suite's journal, and for how long that may be so."""

    journal: Path
    most_s: float
    size_bytes: int = -1
    since_s: float = field(default_factory=time.monotonic)

    def too_long(self) -> bool:
        """Return whether it has been quiet for too long now."""
        size_bytes = self.journal.stat().st_size if self.journal.exists() else 0
        if size_bytes != self.size_bytes:
            self.size_bytes, self.since_s = size_bytes, time.monotonic()
        return time.monotonic() - self.since_s > self.most_s


@dataclass(frozen=True, slots=True)
class Gate:
    """What a gate found: its outcome, its claims, and the log of the suite that made them."""

    name: str
    outcome: Outcome
    checks: tuple[CheckDone, ...]
    log: Path
    trouble: str = ""  # how its process ended, if that leaves the gate undecided

    @property
    def sentence(self) -> str:
        """How many checks passed, in one sentence."""
        count = len(self.checks)
        if not count:
            return "no check was run" + (f": {self.trouble}" if self.trouble else "")
        failed, unknown = (sum(each.outcome == bad for each in self.checks) for bad in (Outcome.FAIL, Outcome.UNKNOWN))
        checks = f"of {count} check{'s' * (count != 1)}"
        told = (
            f"{failed} {checks} failed"
            if failed
            else f"{unknown or count} {checks} {'undecided' if unknown else 'passed'}"
        )
        also = f", {unknown} undecided" if failed and unknown else ""
        return told + also + (f"; {self.trouble}" if self.trouble else "")


def revision() -> str:
    """Return the commit of the program if it runs from a repository, with a mark if it was changed."""
    root = suites_root()
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def run_suite(  # noqa: PLR0913 - all by keyword
    run: RunDirectory,
    *,
    suite: str,
    gate: str,
    environment: dict[str, str],
    record: Callable[[Event], object],
    jobs: int = 0,
    own: Start | None = None,
) -> Gate:
    """Run one suite for one gate and judge it. If the operator interrupts, the suite is told, and Interrupted goes on."""
    number = _next_number(run)
    stem = f"suite-{number:02d}-{suite}"
    log, page, own_journal = run.logs / f"{stem}.log", run.path / "pages" / f"{stem}.html", f"journal/{stem}.jsonl"
    root = suites_root()
    start = own or Start(
        [
            *(sys.executable, "-m", "pytest", str(root / "suites" / suite)),
            *("--rootdir", str(root), "-c", str(root / "pyproject.toml"), "-p", "no:cacheprovider"),
        ],
        root,
        quiet_most_s=math.inf,
    )
    argv = [
        *start.argv,
        "-p",
        "no:hypothesispytest",  # a checkout has it for its own tests; its import takes longer than all others together
        f"--html={page}",
        "--self-contained-html",
        "-q",
        "--no-header",
        *(["-n", str(jobs), "--dist", "loadgroup"] if jobs else []),
    ]
    settings = {
        "REHEARSE_RUN_DIR": str(run.path),
        "REHEARSE_JOURNAL": str(run.path / own_journal),
        "REHEARSE_GATE": gate,
        "REHEARSE_TARGET": str(run.target),
        "REHEARSE_PLAN": str(run.plan) if run.plan.exists() else "",
        **environment,
    }
    record(SuiteBegan(suite, gate, argv, run.relative(log), run.relative(page)))
    with cleaned_into(log) as output:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=start.folder if start.folder.is_dir() else root,
            env={**os.environ, **settings},
        )
        quiet = Quiet(run.path / own_journal, start.quiet_most_s)
        try:
            hung = _wait(process, suite, gate, lambda: claims_of(history.read(run.path, own_journal)), quiet)
        except Interrupted:
            _stop(process)
            raise
        finally:
            record(SuiteEnded(suite, gate, process.poll()))
    told = history.read(run.path, own_journal)
    checks = claims_of(told)
    outcome = worst(Outcome(check.outcome) for check in checks)
    trouble = hung or trouble_of(suite, process.poll(), passed=outcome is Outcome.OK) or damage_of(told)
    return Gate(gate, worst([outcome, *([Outcome.UNKNOWN] if trouble else [])]), checks, log, trouble)


def _next_number(run: RunDirectory) -> int:
    used = [
        int(found[1])
        for path in (run.path / "logs").glob("suite-*.log")
        if (found := re.match(r"suite-(\d+)-", path.name))
    ]
    return max(used, default=0) + 1


def _wait(process: subprocess.Popen[bytes], suite: str, gate: str, claims: Callable[[], Sized], quiet: Quiet) -> str:
    """Wait for the end of a suite; return why it was ended if it was (nothing was recorded for too long), else nothing."""
    began = last = time.monotonic()
    while process.poll() is None:
        time.sleep(0.1)
        if quiet.too_long():
            _stop(process)
            return f"no claim of suite {suite} ended for {lengths.exact_s(quiet.most_s)}, and it was ended"
        if time.monotonic() - last > _QUIET_S:
            last = time.monotonic()
            still(f"{suite} at {gate}: {len(claims())} checks after {lengths.lasted(last - began)}")
    return ""


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(_GRACE_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return


def claims_of(told: History) -> tuple[CheckDone, ...]:
    """Return the claims of one suite, also those that it listed and did not live to check."""
    return tuple(checks_of(record.event for record in told.records))


def damage_of(told: History) -> str:
    """Return that a suite's journal is not as it was written, as the end of a sentence; empty if it is."""
    first = next(iter(told.damage), None)
    return f"its journal is damaged ({first.place or first.file}: {first.what})" if first else ""


def tell(gate: Gate) -> None:
    """Print what a gate found: one sentence, and each claim that does not hold, with the places where it does not."""
    say(f"gate {gate.name}: {gate.outcome.shown}, {gate.sentence}")
    groups: dict[tuple[bool, str, str, str], list[CheckDone]] = {}
    for check in gate.checks:
        if check.outcome != Outcome.OK:
            reason = _reason(check)
            groups.setdefault((check.outcome != Outcome.FAIL, check.check, check.claim, reason), []).append(check)
    for (_, _, claim, reason), checks in sorted(groups.items())[:_MOST_SHOWN]:
        places = [place for check in checks if (place := place_of(check))]
        more = f" and {len(places) - _MOST_PLACES} more" if len(places) > _MOST_PLACES else ""
        where = f" ({', '.join(places[:_MOST_PLACES])}{more})" if places else ""
        say(f"  {Outcome(checks[0].outcome).shown}  {claim.rstrip('.')}{where}")
        say(f"        {reason}")
        if checks[0].remedy:
            say(f"        remedy: {checks[0].remedy}")
    if len(groups) > _MOST_SHOWN:
        say(f"  … and {len(groups) - _MOST_SHOWN} more checks")
    if groups:
        say(f"  log: {gate.log}")


def place_of(check: CheckDone) -> str:
    """Return where a claim was checked: host and container, or service."""
    return " ".join(word for word in (check.host, check.container or check.service) if word)


def _reason(check: CheckDone) -> str:
    if check.expected or check.observed:
        return f"expected {check.expected}; observed {check.observed}"
    return check.detail.strip().splitlines()[-1][:300] if check.detail.strip() else "no reason was given"
