"""What a run writes is for its operator alone: directories 0700, files 0600, whatever the umask is, also of child processes."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UMASK = 0o077
_operators: list[int] = []  # the umask that was in force; a step's command must have it, it may write for others


@contextmanager
def private_files() -> Iterator[None]:
    """Let this process and its children make files that nobody else can read or write."""
    _operators.append(os.umask(UMASK))
    try:
        yield
    finally:
        os.umask(_operators.pop())


def operators_umask() -> int:
    """Return the umask that the operator's own commands are to have; -1: that of this process."""
    return _operators[0] if _operators else -1


def make_directory(path: Path) -> None:
    """Make a directory for its owner alone. Raises FileExistsError, OSError."""
    path.mkdir(mode=0o700)
    path.chmod(0o700)  # an access list of the parent directory may have opened it


def looseness(path: Path) -> str:
    """Return a sentence if others can get at what is in a directory, else an empty string."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return ""
    if not mode & 0o077:
        return ""
    return f"{path} can be entered by others (mode {mode:04o}); what it holds is for its operator alone: chmod -R go= {path}"
