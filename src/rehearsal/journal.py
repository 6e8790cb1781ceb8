"""Append-only journals: one JSON object a line, one writer a file, every line flushed.

Invariant: what was written stays; a torn last line is dropped when read, any other unreadable line is an error that
names the file and the line. Every record carries `t` (CLOCK_MONOTONIC ns of this host, since boot) and `w` (wall clock
ns, for people only) and `kind`. Readers ignore kinds and keys that they do not know.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any
from typing import Self

from rehearsal import events
from rehearsal import recorded
from rehearsal.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType


class JournalError(Exception):
    """A journal that cannot be read or written: says which file, which line, and what to do."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a journal. `t_ns` is monotonic, `w_ns` is wall time, both when it was written."""

    t_ns: int
    w_ns: int
    kind: str
    event: events.Event
    source: str


class Journal:
    """The single writer of one journal file. Thread-safe; survives SIGKILL up to the last whole line."""

    def __init__(self, path: Path, *, clock: Callable[[], tuple[int, int]] | None = None) -> None:
        """Open for appending. `clock` tells (monotonic ns, wall ns); only tests and converters give their own."""
        self._clock = clock or _now
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = threading.Lock()
        self._file = path.open("ab")
        if self._file.tell() and not _ends_with_newline(path):
            self._file.write(b"\n")  # a torn line of an earlier writer must not swallow our first record

    def write(self, event: events.Event) -> Record:
        """Append one event, secrets removed, stamped now; return the record as written."""
        t_ns, w_ns = self._clock()
        kind = events.kind_of(type(event))
        data = redact({"t": t_ns, "w": w_ns, "kind": kind, **dataclasses.asdict(event)})
        line = json.dumps(data, separators=(",", ":"), default=str).encode() + b"\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()
        return Record(t_ns, w_ns, kind, event, self.path.name)

    def close(self) -> None:
        """Bring everything to the disk and close."""
        with self._lock:
            if not self._file.closed:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _now() -> tuple[int, int]:
    return time.monotonic_ns(), time.time_ns()


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def read_journal(path: Path) -> Iterator[Record]:
    """Yield the known records of one journal in the order written; kinds and keys unknown to this version are ignored.

    A last line without its newline is dropped. A line torn by a crash and followed by a later writer's records is
    dropped too, if it is not a JSON object; it is the only kind of damage that is tolerated inside a file.
    """
    with recorded.opened(path, recorded.JOURNAL_BYTES) as file:
        for number, line in enumerate(recorded.lines(file, path), start=1):
            if not line.endswith(b"\n"):
                return
            try:
                data = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if not isinstance(data, dict) or not isinstance(data.get("t"), int):
                raise JournalError(f"{path}, line {number}: not a journal record. Restore the file from its copy.")
            record = _record(data, path.name)
            if record is not None:
                yield record


def _record(data: dict[str, Any], source: str) -> Record | None:
    event_type = events.KINDS.get(str(data.get("kind")))
    if event_type is None:
        return None
    known = {field.name: data[field.name] for field in dataclasses.fields(event_type) if field.name in data}
    try:
        event = event_type(**known)
    except TypeError as error:
        raise JournalError(f"{source}: a {data.get('kind')} record lacks a field: {error}") from error
    return Record(data["t"], data.get("w", 0), data["kind"], event, source)


def read_all(run_dir: Path) -> list[Record]:
    """Read every journal of a run directory, merged by monotonic time (ns)."""
    found = (record for path in sorted((run_dir / "journal").glob("*.jsonl")) for record in read_journal(path))
    return sorted(recorded.bounded(found, run_dir), key=lambda record: record.t_ns)
