"""The report of a run: one page for people, results.json for programs, junit.xml for CI systems.

All three are pure functions of the results and of the recorded logs; they can be made again at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.judging.rooms import Rooms
from rehearsal.recording import runfiles
from rehearsal.report import junit
from rehearsal.report.page import render
from rehearsal.report.resultsjson import to_json
from rehearsal.report.resultsjson import without_secrets

if TYPE_CHECKING:
    from pathlib import Path

    from rehearsal.judging.results import Results

__all__ = ["FILES", "remove", "render", "write"]

FILES = ("results.json", "junit.xml", "report.html")


def remove(run_dir: Path) -> None:
    """Take the files of an earlier report away. Raises OSError."""
    for name in FILES:
        (run_dir / name).unlink(missing_ok=True)


def write(run_dir: Path, results: Results, rooms: Rooms | None = None) -> list[Path]:
    """Write report.html, results.json and junit.xml into the run directory; return their paths.

    Each file appears whole or not at all; `rooms` has what of them could not be made. Raises OSError if the directory
    cannot be written.
    """
    results = without_secrets(results)
    rooms = rooms or Rooms()
    made = (to_json(results), junit.document(results, rooms), render(results, run_dir, rooms))
    paths = []
    for name, text in zip(FILES, made, strict=True):
        path = run_dir / name
        runfiles.replace_text(path, text)
        paths.append(path)
    return paths
