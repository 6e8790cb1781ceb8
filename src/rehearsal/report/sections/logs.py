"""Where the logs of a run are, relative to its directory, and how those of failed steps end."""

from __future__ import annotations

import heapq
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from rehearsal.outside.terminal import shown
from rehearsal.recording import runfiles

if TYPE_CHECKING:
    from pathlib import Path

_TAIL_LINES = 40
_TAIL_BYTES = 16_384
_FILES_MOST = 200


@dataclass(frozen=True, slots=True)
class Log:
    """One file of the run directory."""

    name: str
    href: str
    there: bool
    tail: str


def log(run_dir: Path, name: str, *, tail: bool = False) -> Log:
    """Describe one log. A name that leads out of the run directory is named but neither linked nor read."""
    path = run_dir / name
    # A name without a plain file is not followed: only the rooms above it could be links.
    there = runfiles.is_plain(path) and path.parent.resolve().is_relative_to(run_dir.resolve())
    return Log(name, _link(name) if there else "", there, last_lines(path) if there and tail else "")


def files(run_dir: Path) -> list[Log]:
    """Return the logs, the suites' own pages and the journals of a run, as they lie in its directory."""
    names = [
        path.relative_to(run_dir).as_posix()
        for room, pattern in (("logs", "*.log"), ("pages", "*.html"), ("journal", "*.jsonl"))
        for path in heapq.nsmallest(_FILES_MOST, (run_dir / room).glob(pattern))
        if runfiles.is_plain(path)
    ]
    return [Log(name, _link(name), there=True, tail="") for name in names[:_FILES_MOST]]


def _link(name: str) -> str:
    return quote(name, errors="surrogateescape")


def last_lines(path: Path) -> str:
    """Return the last lines of a file, at most 40 and 16 KiB, secrets removed."""
    with runfiles.opened(path, sys.maxsize) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        text = file.read().decode("utf-8", errors="replace")
    return shown("\n".join(text.splitlines()[-_TAIL_LINES:]))
