"""The steps as they went, and where the logs of the run are, relative to its directory, and how those of failed steps end."""

from __future__ import annotations

import heapq
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from rehearsal.figures.outcome import Outcome
from rehearsal.outside.terminal import shown
from rehearsal.recording import runfiles
from rehearsal.report.section import Case
from rehearsal.report.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from rehearsal.judging.results import Results
    from rehearsal.report.section import Page

_TAIL_LINES = 40
_TAIL_BYTES = 16_384
_FILES_MOST = 200
_NOTES_MOST = 400  # what is beyond is counted on the page and stands in results.json


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


def _parts(page: Page) -> dict[str, Any]:
    return {
        "notes": page.results.notes[:_NOTES_MOST],
        "steps": [
            (number, step, log(page.run_dir, step.log, tail=step.outcome is not Outcome.OK))
            for number, step in enumerate(page.results.steps, 1)
        ],
        "files": files(page.run_dir),
    }


def _cases(results: Results) -> Iterator[Case]:
    for step in results.steps:
        known = step.began_ns is not None and step.ended_ns is not None
        took_s = ((step.ended_ns or 0) - (step.began_ns or 0)) / 1e9 if known else 0.0
        yield Case("steps", step.id, step.outcome, step.note or f"exit code {step.rc}", step.command, took_s)


SECTION = Section("logs", "Steps and logs", after="provenance", parts=_parts, suite="steps", cases=_cases)
