"""The report of a run: one page for people, results.json for programs, junit.xml for CI systems.

All three are pure functions of the results and of the recorded logs; they can be made again at any time.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rehearsal.report import junit
from rehearsal.report.page import render
from rehearsal.results_json import to_json

if TYPE_CHECKING:
    from pathlib import Path

    from rehearsal.results import Results

__all__ = ["render", "write"]


def write(run_dir: Path, results: Results) -> list[Path]:
    """Write report.html, results.json and junit.xml into the run directory; return their paths.

    Each file appears whole or not at all. Raises OSError if the directory cannot be written.
    """
    made = {
        "results.json": to_json(results),
        "junit.xml": junit.document(results),
        "report.html": render(results, run_dir),
    }
    paths = []
    for name, text in made.items():
        path = run_dir / name
        half = path.with_name(f".{name}.new")
        half.write_text(text, encoding="utf-8", errors="replace")  # a recording may hold what is no text
        os.replace(half, path)  # noqa: PTH105 - rename within one directory is what makes it atomic
        paths.append(path)
    return paths
