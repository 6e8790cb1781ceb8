"""The directory of an operator's own claims: where it lies, its files, and how pytest is started on it."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from rehearsal.cloud.target import Problem

IN_CONFIGURATION = Path("environments") / "rehearse"
"""Where own claims are found without being named: in the configuration repository."""
NONE = "none"
"""As `--suites`: no own claims, although there are some in the configuration repository."""
LIMIT_S = 120.0
"""The time limit of a claim that names none."""
_FILES_MOST = 2000
_BYTES_MOST = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a directory: SHA-256 by name, sorted, and one over them all (of what `sha256sum` prints for them)."""

    by_name: dict[str, str]

    @property
    def sha256(self) -> str:
        """The fingerprint of the whole directory."""
        lines = "".join(f"{found}  {name}\n" for name, found in self.by_name.items())
        return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def find(named: str, configuration: Path) -> Path | None:
    """Return the directory of own claims: the named one, else that of the configuration repository; None without one."""
    if named == NONE:
        return None
    if named:
        return Path(named).expanduser().resolve()
    found = (configuration / IN_CONFIGURATION).resolve()
    return found if found.is_dir() and next(found.rglob("*.py"), None) else None


def files_of(directory: Path) -> Files:
    """Return the files that can make a claim what it is: all but hidden ones and compiled code. Raises OSError, ValueError."""
    found: dict[str, str] = {}
    for folder, folders, names in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        for name in names:
            path = Path(folder, name)
            if name.startswith(".") or path.suffix == ".pyc" or not path.is_file():
                continue
            if path.stat().st_size > _BYTES_MOST or len(found) >= _FILES_MOST:
                raise ValueError(f"it has more than {_FILES_MOST} files, or one over {_BYTES_MOST // 2**20} MiB")
            found[path.relative_to(directory).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return Files(dict(sorted(found.items())))


def problem_of(directory: Path) -> Problem | None:
    """Return why what lies there must not be run as tests; None if nothing forbids it."""
    remedy = "Name a directory of pytest files with --suites DIR, or none with --suites none."
    if not directory.is_dir():
        return Problem("There is no such directory of own claims.", str(directory), remedy)
    for path in [directory, *directory.rglob("*.py")]:
        if path.stat().st_mode & stat.S_IWOTH:
            return Problem(
                "Everybody on this machine can write it, and what it says would be run with your rights.",
                str(path),
                f"chmod o-w {path}",
            )
    return None


def needed(directory: Path) -> list[str]:
    """Return the options with which pytest runs a directory of own claims, and nothing that lies above it."""
    return [
        *("-p", "rehearsal.own.ownsession"),
        *("-c", os.devnull, "--rootdir", str(directory), "--confcutdir", str(directory)),
        *("--import-mode=importlib", "-p", "no:cacheprovider"),
        *("-W", "ignore"),  # of libraries: they say nothing about the cloud
        *("--timeout", str(LIMIT_S), "--timeout-method=signal"),
    ]
