"""Files that others wrote, read so that none of them holds a command up: no pipe is waited for, and every size is bounded.

Invariant: nothing here raises for what lies on the disk. What is there and cannot be used becomes a Problem that names the
file, or the directory in the way; what is absent is None or empty.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rehearsal.cloud.target import Problem

VAULT_HEADER = "$ANSIBLE_VAULT;"
MOST_BYTES = 64 * 2**20
"""A reconciled inventory of a thousand hosts has some 30 MB; nothing else comes near."""


def read_text(path: Path, problems: list[Problem]) -> str | None:
    """Return a regular file's text; None if it is absent, or cannot be read (a problem)."""
    try:
        return _read(path)
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        why = f"byte {error.start + 1} is no UTF-8"
        problems.append(Problem(f"{path.name} cannot be read: {why}.", str(path), "Save it as UTF-8 text."))
    except (OSError, ValueError) as error:
        problems.append(_problem(path, "read", error))
    return None


def _read(path: Path) -> str:
    # A pipe that nobody writes to would hold open() for ever; with O_NONBLOCK it is opened, seen for what it is, and closed.
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(number, "rb") as file:
        seen = os.fstat(number)
        if not stat.S_ISREG(seen.st_mode):
            raise ValueError(f"it is {_kind(seen.st_mode)}, not a file")
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES // 2**20} MiB")
    return data.decode("utf-8")


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    return "a named pipe" if stat.S_ISFIFO(mode) else "a device or socket"


def without_mark(text: str) -> str:
    """Return the text without the byte order mark that some editors put at its beginning."""
    return text.removeprefix("\ufeff")


def _problem(path: Path, what: str, error: Exception) -> Problem:
    """Return what is wrong with a path. A directory that this user may not enter is one problem, however much lies in it."""
    if isinstance(error, PermissionError):
        closed = next((each for each in reversed(path.parents) if not _may_enter(each)), None)
        remedy = "Give this user access to it, or run this as the operator's user."
        if closed is not None:
            return Problem(f"This user may not enter {closed}.", str(closed), remedy)
        return Problem(f"{path.name} cannot be {what}: this user may not read it.", str(path), remedy)
    why = (error.strerror or type(error).__name__).lower() if isinstance(error, OSError) else str(error)
    return Problem(f"{path.name or path} cannot be {what}: {why}.", str(path), "Put what is meant there.")


def _may_enter(directory: Path) -> bool:
    return os.access(directory, os.X_OK) or not os.path.lexists(directory)


def entries(directory: Path, problems: list[Problem]) -> list[Path]:
    """Return what lies in a directory, sorted; empty if there is none, or if it cannot be listed (a problem)."""
    try:
        return [directory / name for name in sorted(each.name for each in directory.iterdir())]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        problems.append(_problem(directory, "listed", error))
        return []


def kind(path: Path, problems: list[Problem]) -> str:
    """Return what lies at a path: `file`, `directory`, `other`, or empty if there is nothing or nobody may look (a problem)."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        problems.append(_problem(path, "looked at", error))
        return ""
    if stat.S_ISREG(mode):
        return "file"
    return "directory" if stat.S_ISDIR(mode) else "other"


def is_file(path: Path | str) -> bool:
    """Return whether a regular file is there that this user may see."""
    return kind(Path(path), []) == "file"


def peek(path: Path) -> str | None:
    """Return a file's text if it can be read, else None, whatever the reason."""
    return read_text(path, [])
