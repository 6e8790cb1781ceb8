"""One step's command: started, followed on the terminal, told to stop, found again after the runner died.

The command runs below `stepshell`, in a session of its own: Ctrl-C at the terminal and the runner's death do not reach it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rehearsal.cloud import secrets
from rehearsal.figures import say as lengths
from rehearsal.recording import private
from rehearsal.runner import plansecrets
from rehearsal.runner import stepshell
from rehearsal.runner.interrupts import Interrupted
from rehearsal.runner.progress import say
from rehearsal.runner.progress import still

if TYPE_CHECKING:
    from collections.abc import Callable

    from rehearsal.cloud.target import Target
    from rehearsal.plan import PlanSpec
    from rehearsal.plan import StepSpec
    from rehearsal.recording.rundir import RunDirectory

_LOOK_S = 0.1
_GRACE_S = {signal.SIGINT: 20.0, signal.SIGTERM: 20.0, signal.SIGKILL: 5.0}
_QUIET_S = 60.0


@dataclass(frozen=True, slots=True)
class StepFiles:
    """The files of one attempt at one step."""

    step: str
    number: int
    log: Path
    end: Path
    pid: Path


@dataclass(frozen=True, slots=True)
class StepEnd:
    """How a command ended: `rc` None means that it was stopped or that its end was not seen."""

    rc: int | None
    note: str = ""


def step_files(run: RunDirectory, step: str, number: int) -> StepFiles:
    """Return where an attempt at a step keeps its files."""
    stem = f"{step}.{number}"
    return StepFiles(step, number, run.logs / f"{stem}.log", run.logs / f"{stem}.end", run.logs / f"{stem}.pid")


def start(
    step: StepSpec, files: StepFiles, target: Target, environment: dict[str, str], plan: PlanSpec | None = None
) -> subprocess.Popen[bytes]:
    """Start the command. Its output is followed with `follow`. Raises OSError if not even the shell around it starts."""
    files.log.touch()
    files.end.unlink(missing_ok=True)
    files_of_secrets = (*secrets.files_of(Path(target.configuration)), target.clouds_file, target.secure_file)
    hidden = json.dumps(plansecrets.values_of(plan))
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "rehearsal.runner.stepshell",
            f"--log={files.log}",
            f"--end={files.end}",
            f"--pid={files.pid}",
            f"--timeout={step.timeout_s}",
            f"--umask={private.operators_umask():o}",
            *(f"--secrets={path}" for path in files_of_secrets if path),
            "--",
            *step.command,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, **environment, **step.environment, stepshell.HIDE_VARIABLE: hidden},
    )


def follow(files: StepFiles, process: subprocess.Popen[bytes], meanwhile: Callable[[], object]) -> StepEnd:
    """Show the output until the command has ended; if the operator interrupts, tell the command, wait, and raise again.

    `meanwhile` is called ten times a second, and must return at once.
    """
    with closing(_Tail(files.log, files.step)) as tail:
        _follow(files, process, tail, meanwhile)
    end = read_end(files)
    if end.rc is None and not files.end.exists() and process.returncode == 0:
        return StepEnd(0, "its end could not be written down")  # the shell around it ends so only after a 0
    return end


def _follow(files: StepFiles, process: subprocess.Popen[bytes], tail: _Tail, meanwhile: Callable[[], object]) -> None:
    try:
        while process.poll() is None:
            tail.show()
            meanwhile()
            time.sleep(_LOOK_S)
    except Interrupted:
        for number, grace_s in _GRACE_S.items():
            say(f"stopping step {files.step} ({number.name})")
            if number == signal.SIGKILL:
                _signal(process.pid, signal.SIGTERM)  # the second SIGTERM makes the shell kill the command
            else:
                _signal(process.pid, number)
            if _ended_within(process, tail, grace_s):
                break
        else:
            process.kill()
        process.wait()
        tail.show()
        raise
    tail.show()


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _ended_within(process: subprocess.Popen[bytes], tail: _Tail, grace_s: float) -> bool:
    until = time.monotonic() + grace_s
    while time.monotonic() < until:
        if process.poll() is not None:
            return True
        tail.show()
        try:
            time.sleep(_LOOK_S)
        except Interrupted:
            return False  # asked again: be harder
    return False


def read_end(files: StepFiles) -> StepEnd:
    """Return how the command ended, as its shell wrote it down; not written down means not seen."""
    try:
        data = json.loads(files.end.read_text())
    except (OSError, ValueError):
        return StepEnd(None, "its end was not seen: the process around it was killed")
    return StepEnd(data.get("rc"), str(data.get("note", "")))


def running_pid(files: StepFiles) -> int | None:
    """Return the process of an attempt that is still running, or None. A number used again by another is not it."""
    try:
        known = json.loads(files.pid.read_text())
    except (OSError, ValueError):
        return None
    if known.get("boot_id") != stepshell.boot_id():
        return None
    ticks = stepshell.start_ticks(int(known["pid"]))
    return int(known["pid"]) if ticks is not None and ticks == known.get("start_ticks") else None


def wait_for_old(files: StepFiles) -> StepEnd:
    """Wait for a command that outlived an earlier runner, show its output, and return how it ended."""
    pid = running_pid(files)
    if pid is not None:
        say(f"step {files.step} is still running (process {pid}, started by the earlier runner): waiting for it")
        with closing(_Tail(files.log, files.step)) as tail:
            while running_pid(files) is not None:
                tail.show()
                time.sleep(_LOOK_S)
            tail.show()
    return read_end(files)


class _Tail:
    """Shows what was added to a log since the last look; says so when a command is silent for a minute."""

    def __init__(self, path: Path, step: str) -> None:
        self._file = path.open("rb")
        self._rest = b""
        self._step = step
        self._began = self._last = time.monotonic()

    def close(self) -> None:
        """Close the log."""
        self._file.close()

    def show(self) -> None:
        """Print new whole lines, without the log's own time stamps."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        now = time.monotonic()
        if lines:
            self._last = now
            text = "\n".join(line.decode("utf-8", "replace").partition(" ")[2] for line in lines)
            say(text, prefix=self._step)
        elif now - self._last > _QUIET_S:
            self._last = now
            still(f"… still running after {lengths.lasted(now - self._began)}", prefix=self._step)
