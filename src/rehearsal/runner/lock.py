"""Who is at work on a run: one runner, or one `rehearse clean`; the kernel ends the claim of a process that dies."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rehearsal.runner import steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rehearsal.recording.rundir import RunDirectory

FILE = ".runner-lock"


class RunIsGoingOn(Exception):  # noqa: N818 - nothing is broken
    """Somebody is at work on the run; one sentence says who and what to do."""


@contextmanager
def held(run: RunDirectory) -> Iterator[None]:
    """Claim the run. Raises RunIsGoingOn while another process has it; a claim that was left behind counts for nothing."""
    try:
        descriptor = os.open(
            run.path / FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise RunIsGoingOn(
            f"{run.path / FILE} cannot be used: {error.strerror}. Remove it if no runner is at work."
        ) from error
    with os.fdopen(descriptor, "r+b", buffering=0) as lock:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise RunIsGoingOn(f"{run.path / FILE} is no plain file. Remove it if no runner is at work.")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunIsGoingOn(
                f"Run {run.run} is still running ({_whose(lock.read(200))} is at work on {run.path}). Wait until it ends, or stop it first."
            ) from error
        lock.truncate(0)
        lock.write(json.dumps({"pid": os.getpid()}).encode())
        yield


def check_no_step_runs(run: RunDirectory) -> None:
    """Raise RunIsGoingOn if a step's command still runs, whose runner may be dead."""
    for path in sorted(run.logs.glob("*.pid")):
        step, _, number = path.stem.rpartition(".")
        if number.isdecimal() and (pid := steps.running_pid(steps.step_files(run, step, int(number)))):
            raise RunIsGoingOn(f"Step {step} of run {run.run} is still running (process {pid}). Wait until it ends.")


def _whose(text: bytes) -> str:
    try:
        return f"process {int(json.loads(text)['pid'])}"
    except (ValueError, KeyError, TypeError):
        return "another runner"
