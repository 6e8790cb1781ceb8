"""Runs one step's command and outlives the runner: `python -m rehearsal.runner.stepshell --log L --end E -- ARGV`.

The command's output goes line by line, with times and without secrets, into the log; its exit code goes into the end
file. So both are kept even if the runner dies in the middle of a step, and a resumed run can wait for the end and know it.

Whatever becomes of the log (a full disk), the command's output is read to its end: it must not die of a pipe that nobody
reads. What could not be logged is counted, and the end says so.

Signals: SIGINT and SIGTERM are passed on to the command's process group; a second SIGTERM becomes SIGKILL.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import select
import signal
import subprocess
import sys
import time
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import Self

from rehearsal.cloud.secrets import remember_secrets
from rehearsal.figures import say
from rehearsal.outside import redact
from rehearsal.outside.terminal import shown
from rehearsal.runner.output import Output

if TYPE_CHECKING:
    from types import FrameType

HIDE_VARIABLE = "REHEARSE_HIDE"
"""Values that must not be logged, as a list in JSON; the command does not see it."""
DRAIN_S = 2.0
"""How long output is still read after the command ended: something it started may hold the pipe open for ever."""
_HARDER = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code (128 + signal if it was killed, 127 if it could not be started)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--end", type=Path, required=True)
    parser.add_argument("--pid", type=Path, required=True)
    parser.add_argument("--timeout", type=float, required=True, help="seconds")
    parser.add_argument("--secrets", action="append", default=[], help="file whose secrets must not be logged")
    parser.add_argument("--umask", type=lambda word: int(word, 8), default=-1, help="of the command, octal")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    remember_secrets(*options.secrets)
    redact.remember(*json.loads(os.environ.pop(HIDE_VARIABLE, "[]")))
    redact.remember_environment(os.environ)
    write_json(options.pid, identity(os.getpid()))
    _reserve(options.end)
    with Log(options.log) as log:
        command = options.command[1:] if options.command[:1] == ["--"] else options.command
        end = _run(command, log, options.timeout, options.umask)
    with contextlib.suppress(OSError):  # the exit code says it, too
        write_json(options.end, end)
    return int(end["rc"]) if end["rc"] is not None else 1


class Log:
    """The log of one command: lines that cannot be written are counted, and each new one is tried again."""

    def __init__(self, path: Path) -> None:
        self.lost = 0
        self.why = ""
        self._file = path.open("ab", buffering=0)
        self._cut = False  # the last line was written in part

    def write(self, line: bytes) -> None:
        """Append a line if the disk takes it."""
        whole = (b"\n" if self._cut else b"") + line
        try:
            written = self._file.write(whole) or 0
        except OSError as error:
            self.lost += 1
            self.why = str(error)
            return
        self._cut = written < len(whole)
        if self._cut:
            self.lost += 1
            self.why = self.why or "only a part of one could be written"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def identity(pid: int) -> dict[str, Any]:
    """Return what identifies a process beyond its number, which may be used again: its start and this machine's boot."""
    return {"pid": pid, "start_ticks": start_ticks(pid), "boot_id": boot_id()}


def start_ticks(pid: int) -> int | None:
    """Return when a process started (clock ticks since boot), or None if there is no such process or only its corpse."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def boot_id() -> str:
    """Return the id of this machine's boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def utc_offset() -> str:
    """Return what this machine's local time is ahead of UTC, as `+01:00`."""
    return datetime.now(UTC).astimezone().isoformat()[-6:]


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a small file so that a reader sees all of it or nothing. Space that was reserved for it is used. Raises OSError."""
    part = path.with_name(path.name + ".part")
    text = (json.dumps(data) + "\n").encode()
    with part.open("r+b" if part.exists() else "wb", buffering=0) as file:
        if file.write(text) != len(text):
            raise OSError(errno.ENOSPC, "only a part could be written")
        file.truncate()
    part.replace(path)


def _reserve(path: Path) -> None:
    """Take room for the end now, so that a disk which fills up meanwhile cannot hide how the command ended. Raises OSError."""
    with path.with_name(path.name + ".part").open("wb", buffering=0) as file:
        file.write(b" " * 4096)
        os.fsync(file.fileno())


def _run(command: list[str], log: Log, timeout_s: float, umask: int) -> dict[str, Any]:
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=umask,
        )
    except OSError as error:
        _log(log, shown(f"it cannot be started: {error}"))
        return {"rc": 127, "note": shown(f"it cannot be started: {error}"), "t": time.monotonic_ns()}
    asked: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        again = number == signal.SIGTERM and asked.count(signal.SIGTERM) > 0
        asked.append(number)
        _signal_group(process.pid, signal.SIGKILL if again else signal.Signals(number))

    signal.signal(signal.SIGINT, pass_on)
    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    timed_out = _copy(process, log, time.monotonic() + timeout_s)
    rc = process.wait()
    note = ""
    if timed_out:
        note = f"it was stopped after its time limit of {say.exact_s(timeout_s)}"
    elif asked:
        note = f"it was told to stop ({signal.Signals(asked[0]).name})"
    elif rc < 0:
        note = f"it was killed by {signal.Signals(-rc).name}"
    if note:
        _log(log, note)
    if log.lost:
        note = "; ".join(filter(None, [note, f"{log.lost} lines of its output could not be written: {log.why}"]))
    return {"rc": None if timed_out or asked else rc if rc >= 0 else 128 - rc, "note": note, "t": time.monotonic_ns()}


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def _copy(process: subprocess.Popen[bytes], log: Log, deadline: float) -> bool:
    """Copy the output until the command has ended and the pipe is drained; return whether the time limit was hit."""
    assert process.stdout is not None
    fd = process.stdout.fileno()
    output, open_for_reading = Output(lambda line: _log(log, line)), True
    ended: float | None = None
    hits = 0
    while ended is None or open_for_reading:
        ready = select.select([fd] if open_for_reading else [], [], [], 0.2)[0]
        if ready:
            chunk = os.read(fd, 65536)
            open_for_reading = bool(chunk)
            output.feed(chunk)
        now = time.monotonic()
        if ended is None and process.poll() is not None:
            ended = now
        if ended is not None and not ready and now - ended > DRAIN_S:
            break
        if ended is None and now > deadline:
            _signal_group(process.pid, _HARDER[min(hits, len(_HARDER) - 1)])
            hits, deadline = hits + 1, now + 10
    output.close()
    return hits > 0


def _log(log: Log, line: str) -> None:
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    log.write(f"{moment}Z {line}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
