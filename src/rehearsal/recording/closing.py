"""How a recording is closed: what its files were when an attempt ended, and what the verdict was while they were fresh.

Both are records of `journal/closing.jsonl`, a journal like the others. The other files tell by themselves what is changed,
missing or doubled inside of them; this one tells of a file that is gone, cut at its end, or replaced.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from rehearsal.recording import history
from rehearsal.recording import runfiles
from rehearsal.recording.events import FilesListed
from rehearsal.recording.events import RunJudged
from rehearsal.recording.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rehearsal.judging.results import Results

FILE = "journal/closing.jsonl"
_DERIVED = frozenset({"report.html", "results.json", "junit.xml", "made.jsonl", "logs/judge-error.log", FILE})
"""What is made from the recording, or written by others than the run, at any time."""
_EVIDENCE = ("journal/", "samples/")
_GROWING = (*_EVIDENCE, "logs/")
"""These are only ever appended to; all others are written anew by the next attempt."""
_FILES_MOST = 20_000


def is_evidence(name: str) -> bool:
    """Return whether the verdict is drawn from a file."""
    return name.startswith(_EVIDENCE)


def only_grows(name: str) -> bool:
    """Return whether a file is only ever appended to."""
    return name.startswith(_GROWING)


def files_of(run_dir: Path) -> dict[str, Path]:
    """Return the recorded files of a run by their names below it, in order; links and what is derived are left out."""
    return {name: path for name, path in _walk(run_dir, "") if name not in _DERIVED}


def _walk(folder: Path, above: str) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir())[:_FILES_MOST]:
        name = above + path.name
        if path.name.startswith(".") or path.is_symlink():
            continue
        if path.is_dir():
            yield from _walk(path, f"{name}/")
        elif path.is_file():
            yield name, path


def sha256_of(path: Path, size_bytes: int) -> str:
    """Return the checksum of a file's first bytes. Raises OSError."""
    found = hashlib.sha256()
    with runfiles.opened(path, runfiles.JOURNAL_BYTES if path.suffix == ".jsonl" else runfiles.SAMPLES_BYTES) as file:
        while size_bytes > 0 and (data := file.read(min(size_bytes, 1 << 20))):
            found.update(data)
            size_bytes -= len(data)
    return found.hexdigest()


def list_files(run_dir: Path) -> None:
    """Record what the files of a run are now, when an attempt has ended. Raises OSError if that cannot be recorded."""
    attempts = len(history.read(run_dir, history.RUNNER).attempts)
    files, missed = [], []
    for name, path in files_of(run_dir).items():
        try:
            size_bytes = path.stat().st_size
            files.append({"name": name, "bytes": size_bytes, "sha256": sha256_of(path, size_bytes)})
        except OSError:
            missed.append(name)
    with Journal(run_dir / FILE) as journal:
        journal.write(FilesListed(attempts, files, missed))


def keep_verdict(run_dir: Path, results: Results, attempts: int) -> None:
    """Record the verdict of a recording that nobody can have touched yet. Raises OSError if that cannot be recorded."""
    with Journal(run_dir / FILE) as journal:
        journal.write(RunJudged(results.outcome.value, results.sentence, attempts))


def fingerprint(run_dir: Path) -> str:
    """Return what is equal only for equal journals and samples (`-` if they cannot be read): results belong to one."""
    found = hashlib.sha256()
    try:
        names = {**files_of(run_dir), FILE: run_dir / FILE}
        for name in sorted(filter(is_evidence, names)):
            path = names[name]
            if path.is_file() and not path.is_symlink():
                size_bytes = path.stat().st_size
                found.update(
                    f"{name}\0{size_bytes}\0{sha256_of(path, size_bytes)}\0".encode("utf-8", "surrogateescape")
                )
    except OSError:
        return "-"
    return found.hexdigest()
