"""Append-only journals: one JSON object a line, one writer a file, every line under a checksum and handed to the kernel.

Every record carries `t` (CLOCK_MONOTONIC ns of this host, since boot) and `w` (wall clock ns, for people only) and
`kind`; and `n` (its number in the file), `p` (the checksum of the line before) and `c` (its own). `docs/recording.md`
is the format as a page.

Invariants: what was written stays. Whatever a reader cannot read or did not expect is a `Flaw` that names file and
line; what a killed writer leaves behind is told as well, and is no damage. Journals without checksums, as the first
versions wrote them, are read as well as they can be.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import json
import math
import os
import re
import threading
import time
import types
import typing
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any
from typing import Self

import rehearsal
from rehearsal.outside.redact import redact
from rehearsal.recording import chain
from rehearsal.recording import events
from rehearsal.recording import runfiles
from rehearsal.recording.chain import Flaw

if TYPE_CHECKING:
    from collections.abc import Callable
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


_BOOKKEEPING = (
    events.JournalOpened,
    events.JournalClosed,
    events.RecordsLost,
    events.FilesListed,
    events.RunJudged,
)
"""What journals say about themselves and the recording: not part of what happened."""
_BEGINNINGS = (events.RunBegan, events.ProberStarted, events.WitnessBegan)
"""With these a writer begins: the line before may be torn."""
_LINE = re.compile(rb'\{"n":(\d{1,15}),"p":"([0-9a-f]{32})",(.*),"c":"([0-9a-f]{32})"\}', re.DOTALL)
_MOST_INT = 2**63 - 1
_ALIKE = 0.6  # without checksums: a name that nobody knows and that looks so much like a known one is a damaged one
_NAME = re.compile(r"[a-z]+(-[a-z]+)*")


class Journal:
    """The single writer of one journal file. Thread-safe; survives SIGKILL up to the last whole line."""

    def __init__(self, path: Path, *, clock: Callable[[], tuple[int, int]] | None = None) -> None:
        """Open for appending, alone. `clock` tells (monotonic ns, wall ns); only tests and converters give their own.

        Nothing is written before the first record. Raises OSError, also if another process does not let go of the file.
        """
        self._clock = clock or _now
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = threading.Lock()
        self._file = path.open("ab", buffering=0)
        chain.lock_alone(self._file, path)
        self._end: _End | None = None  # where the chain stands; None: nothing was written yet
        self._written = self._lost = 0
        self._why_lost = ""

    def write(self, event: events.Event) -> Record:
        """Append one event, secrets removed, stamped now; return the record as written.

        Raises OSError if it cannot be written; then the next one that can says that it is missing.
        """
        t_ns, w_ns = self._clock()
        with self._lock:
            try:
                self._begin()
                self._put(event, t_ns, w_ns)
            except OSError as error:
                self._lost += 1
                self._why_lost = str(error)
                raise
            self._written += 1
        return Record(t_ns, w_ns, events.kind_of(type(event)), event, self.path.name)

    def close(self) -> None:
        """Say that this is the end, bring everything to the disk and close."""
        with self._lock:
            if self._file.closed:
                return
            try:
                if self._end is not None:
                    self._begin()
                    self._put(events.JournalClosed(self._written), *self._clock())
                os.fsync(self._file.fileno())
            finally:
                self._file.close()

    def _begin(self) -> None:
        """Say who writes, and what an earlier record of this writer could not say."""
        if self._end is None:
            self._end = end = _end_of(self.path)
            if end.unended:
                self._append(b"\n")  # the last line of an earlier writer must not swallow our first record
            run, recording = identity_of(_folder_of(self.path))
            try:
                self._put(
                    events.JournalOpened(
                        run=run,
                        recording=recording,
                        file=os.path.relpath(self.path, _folder_of(self.path)),
                        writer=end.writers + 1,
                        at_bytes=end.size_bytes,
                        torn_bytes=end.torn_bytes,
                        version=rehearsal.__version__,
                    ),
                    *self._clock(),
                )
            except OSError:
                self._end = None
                raise
        if self._lost:
            self._put(events.RecordsLost(self._lost, self._why_lost), *self._clock())
            self._lost = 0

    def _put(self, event: events.Event, t_ns: int, w_ns: int) -> None:
        assert self._end is not None
        data = redact({"t": t_ns, "w": w_ns, "kind": events.kind_of(type(event)), **dataclasses.asdict(event)})
        rest = json.dumps(data, separators=(",", ":"), default=str)[1:]
        body = f'{{"n":{self._end.number},"p":"{self._end.previous}",{rest[:-1]}'.encode()
        own = chain.sum_of(body).hex()
        self._append(body + f',"c":"{own}"}}\n'.encode())
        self._end.number, self._end.previous = self._end.number + 1, own

    def _append(self, data: bytes) -> None:
        assert self._end is not None
        chain.write_whole(self._file, data, self._end.size_bytes)
        self._end.size_bytes += len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _now() -> tuple[int, int]:
    return time.monotonic_ns(), time.time_ns()


@dataclass(slots=True)
class _End:
    """How a journal file ends: the next number, the last checksum, and what a killed writer left behind it."""

    number: int = 0
    previous: str = chain.NOTHING.hex()
    size_bytes: int = 0
    torn_bytes: int = 0
    writers: int = 0
    unended: bool = False


def _end_of(path: Path) -> _End:
    end = _End()
    with path.open("rb") as file:
        for raw in file:
            end.size_bytes += len(raw)
            end.unended = not raw.endswith(b"\n")
            if (line := _whole(raw)) is not None:
                end.number, end.previous = line.number + 1, line.own
                end.writers += b'"kind":"journal-opened"' in raw
            elif end.writers:
                end.number += not end.unended  # a damaged line had a number
            if line is None and end.unended:
                end.torn_bytes = len(raw)
    return end


def _folder_of(path: Path) -> Path:
    """Return the directory of the recording that a journal belongs to."""
    return path.parent.parent if path.parent.name == "journal" else path.parent


def identity_of(folder: Path) -> tuple[str, str]:
    """Return which run a recording is of, and the mark that all its files bear; a new mark if it has none yet."""
    for path in (folder / "journal" / "runner.jsonl", *sorted((folder / "journal").glob("*.jsonl"))):
        with contextlib.suppress(OSError), path.open("rb") as file:
            for raw in file:
                if b'"kind":"journal-opened"' in raw and _whole(raw) is not None:
                    data = json.loads(raw)
                    return str(data["run"]), str(data["recording"])
    return folder.name, os.urandom(8).hex()


# --- reading -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JournalRead:
    """One journal as it was found. `opened`: its first opening; None: it carries no checksums.

    `unchecked`: so many lines at its beginning were written before journals carried checksums. `closed`: its last line
    says so.
    """

    file: str
    records: list[Record] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    opened: events.JournalOpened | None = None
    unchecked: int = 0
    closed: bool = False
    about: list[Record] = field(default_factory=list)  # what it says about itself and about the recording


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    previous: str
    own: str


def _whole(raw: bytes) -> _Line | None:
    """Return number, predecessor and checksum of a line if it is as it was written; only its newline may be missing."""
    found = _LINE.fullmatch(raw, 0, len(raw) - raw.endswith(b"\n"))
    if found is None or chain.sum_of(raw[: found.end(3)]).hex().encode() != found[4]:
        return None
    return _Line(int(found[1]), found[2].decode(), found[4].decode())


def read(path: Path, name: str = "") -> JournalRead:
    """Read one journal, whatever its state; flaws are named by `name`, or the file's. Raises OSError, RunFileRefused."""
    with runfiles.opened(path, runfiles.JOURNAL_BYTES) as file:
        raws = list(runfiles.lines(file, path))
    reader = _Reader(name or path.name, path.name, _opened_at(raws))
    for place, raw in enumerate(raws):
        reader.take(place, raw)
    return reader.finish()


def _opened_at(raws: list[bytes]) -> int | None:
    """Return the place of the first line that is under a checksum; None if there is none."""
    for place, raw in enumerate(raws):
        if raw.startswith(b'{"n":') and _whole(raw) is not None:
            return place
    return None


class _Reader:
    """Takes the lines of one journal, one after the other."""

    def __init__(self, name: str, source: str, checked_from: int | None) -> None:
        self._name, self._source = name, source
        self._checked_from = checked_from
        self._read = JournalRead(name)
        self._opened: events.JournalOpened | None = None
        self._unchecked = 0
        self._at_bytes = 0
        self._expected = 0
        self._previous = chain.NOTHING.hex()
        self._missing: set[int] = set()
        self._bad: list[tuple[int, bytes]] = []  # lines that cannot be read since the last that could
        self._last: Record | None = None

    def finish(self) -> JournalRead:
        """Return what was read."""
        self._tell_bad()
        closed = self._last is not None and isinstance(self._last.event, events.JournalClosed)
        return dataclasses.replace(self._read, opened=self._opened, unchecked=self._unchecked, closed=closed)

    def take(self, place: int, raw: bytes) -> None:
        """Take one line."""
        if self._checked_from is None or place < self._checked_from:
            self._take_unchecked(place, raw)
        elif (line := _whole(raw)) is not None:
            self._take_checked(place, raw, line)
        else:
            self._bad.append((place, raw))
            self._last = None
        self._at_bytes += len(raw)

    def _flaw(self, place: int, what: str, *, decides: bool = True, by_writer: bool = False) -> None:
        self._read.flaws.append(Flaw(self._name, f"line {place + 1}", what, decides, by_writer))

    # --- lines under checksums

    def _take_checked(self, place: int, raw: bytes, line: _Line) -> None:
        try:
            data = json.loads(raw)
            record = _record(data, self._source)
        except (ValueError, RecursionError, JournalError) as error:  # under a good checksum: a newer version's
            self._flaw(place, f"it cannot be understood ({error}): a newer version wrote it. Judge with that one")
            record, data = None, None
        if record is None and data is not None:
            self._flaw(
                place,
                f"its kind {str(data.get('kind'))[:60]!r} is not known: a newer version wrote it. Judge with that one",
            )
        event = record.event if record else None
        if self._opened is None:
            self._begin(place, event, line)
        known = self._links(place, line, event)
        self._previous = line.own
        self._last = record
        if record is None or not known:
            return
        if isinstance(event, events.RecordsLost):
            lost = f"{event.count} records before it" if event.count != 1 else "the record before it"
            self._flaw(place, f"{lost} could not be written ({event.why})", by_writer=True)
        (self._read.about if isinstance(event, _BOOKKEEPING) else self._read.records).append(record)

    def _begin(self, place: int, event: events.Event | None, line: _Line) -> None:
        if isinstance(event, events.JournalOpened) and line.number == 0:
            self._opened = event
            if event.at_bytes and event.at_bytes == self._at_bytes:
                self._unchecked = place
                return
        self._unchecked = 0
        if place:
            self._read.records.clear()  # they are no part of this journal
            self._read.flaws.clear()
            self._flaw(0, f"the first {place} lines were changed after they were written")

    def _links(self, place: int, line: _Line, event: events.Event | None) -> bool:
        """Compare a line with those before it; return False if its record is not to be used."""
        bad, skipped = len(self._bad), line.number - self._expected
        torn = isinstance(event, events.JournalOpened) and self._is_torn(event, line)
        self._tell_bad(torn=torn)
        if torn:
            skipped = 0
        elif line.number in self._missing:
            self._missing.discard(line.number)
            self._flaw(place, f"record {line.number} is not in its place")
            return True
        elif skipped < 0:
            self._flaw(place, f"record {line.number} occurs again here, or replaces another one")
            return False
        elif skipped > bad:
            first = self._expected
            self._missing.update(range(first, min(line.number, first + 10_000)))
            self._flaw(place, f"{_records(first + bad, line.number - 1)} missing before it")
        elif not bad and not skipped and line.previous != self._previous:
            self._flaw(place, "it does not continue the line before it: one of the two does not belong to this journal")
            self._expected = line.number + 1
            return False
        elif bad > skipped:
            self._flaw(place, f"{bad - skipped} lines were added before it")
        self._expected = max(self._expected, line.number + 1)
        return True

    def _is_torn(self, event: events.JournalOpened, line: _Line) -> bool:
        """Tell whether the one bad line before a writer's opening is what it found torn."""
        return (
            len(self._bad) == 1
            and event.torn_bytes == len(self._bad[0][1]) - 1
            and event.at_bytes == self._at_bytes
            and (line.number, line.previous) == (self._expected, self._previous)
        )

    def _tell_bad(self, *, torn: bool = False) -> None:
        for place, raw in self._bad:
            if torn or not raw.endswith(b"\n"):
                self._flaw(place, "the line is incomplete: its writer was killed", decides=False)
            elif self._checked_from is None or place < self._checked_from:
                self._flaw(place, "this is no record")
            else:
                why = "the checksum does not match" if b'"c":"' in raw else "there is no checksum"
                self._flaw(place, f"{why}: the line was changed after it was written")
        self._bad.clear()

    # --- lines of a time without checksums

    def _take_unchecked(self, place: int, raw: bytes) -> None:
        self._unchecked += 1
        try:
            data = json.loads(raw if raw.endswith(b"\n") else b"")
            record = _record(data, self._source)
        except (ValueError, RecursionError, JournalError):
            self._bad.append((place, raw))
            return
        self._tell_bad(torn=len(self._bad) == 1 and record is not None and isinstance(record.event, _BEGINNINGS))
        if record is not None:
            self._read.records.append(record)
            for name in data.keys() - {"t", "w", "kind"} - {known for known, _ in _fields_of(record.kind)}:
                self._take_unknown_field(place, name, data, record.kind)
            return
        kind = str(data.get("kind"))
        alike = difflib.get_close_matches(kind[:60], events.KINDS, 1, _ALIKE)
        meant = f"damaged, it seems: {alike[0]}?" if alike else "a newer version wrote it, or it is damaged"
        self._flaw(
            place,
            f"its kind {kind[:60]!r} is not known ({meant})",
            decides=bool(alike) or _NAME.fullmatch(kind) is None,
        )

    def _take_unknown_field(self, place: int, name: str, data: dict[str, Any], kind: str) -> None:
        """A field that is left out and one that nobody knows, and that looks like it, are one that is damaged."""
        absent = [known for known, _ in _fields_of(kind) if known not in data]
        if alike := difflib.get_close_matches(name[:60], absent, 1, _ALIKE):
            self._flaw(place, f"its field {name[:60]!r} is not known (damaged, it seems: {alike[0]}?)")


def _records(first: int, last: int) -> str:
    return f"record {first} is" if first == last else f"records {first} to {last} are"


def _record(data: Any, source: str) -> Record | None:
    """Return a record, or None if its kind is not known. Raises JournalError if it is none."""
    if not isinstance(data, dict) or not all(
        _is_moment(data.get(name, absent)) for name, absent in (("t", None), ("w", 0))
    ):
        raise JournalError("no record: it has no time")
    event_type = events.KINDS.get(str(data.get("kind")))
    if event_type is None:
        return None
    known = {}
    for name, fits in _fields_of(str(data["kind"])):
        if name in data:
            known[name] = data[name]
            if not fits(data[name]):
                raise JournalError(f"{data['kind']} cannot have such a {name}")
    try:
        event = event_type(**known)
    except TypeError as error:
        raise JournalError(f"{data.get('kind')} lacks a field: {error}") from error
    return Record(data["t"], data.get("w", 0), data["kind"], event, source)


@functools.cache
def _fields_of(kind: str) -> tuple[tuple[str, Callable[[Any], bool]], ...]:
    """Return the fields of a kind, each with what tells whether a value can be one."""
    event_type = events.KINDS[kind]
    hints = typing.get_type_hints(event_type)
    return tuple((each.name, _fitting(hints[each.name])) for each in dataclasses.fields(event_type))


def _fitting(hint: Any) -> Callable[[Any], bool]:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        any_of = [_fitting(part) for part in parts]
        return lambda value: any(fits(value) for fits in any_of)
    if origin is list:
        item = _fitting(parts[0])
        return lambda value: isinstance(value, list) and all(map(item, value))
    if origin is dict:
        item = _fitting(parts[1])
        return lambda value: isinstance(value, dict) and all(map(item, value.values()))
    kinds: dict[Any, Callable[[Any], bool]] = {
        int: lambda value: type(value) is int and abs(value) <= _MOST_INT,
        float: lambda value: type(value) in {int, float} and math.isfinite(value) and abs(value) <= _MOST_INT,
        str: lambda value: isinstance(value, str),
        bool: lambda value: isinstance(value, bool),
        types.NoneType: lambda value: value is None,
    }
    return kinds.get(hint, lambda _: True)


def _is_moment(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST_INT
