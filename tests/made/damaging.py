"""Damage to recordings, drawn at random, and what the judge makes of it: for `benchmarks/damage.py` and the tests.

A change is a function from a file's bytes to other bytes (None: the file is gone). What comes of one is an `Effect`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import signal
import traceback
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal import report
from rehearsal.judging import judge
from rehearsal.judging.rooms import Rooms
from rehearsal.recording import closing
from rehearsal.recording import history
from rehearsal.recording.journal import Journal
from rehearsal.recording.journal import JournalError
from rehearsal.recording.journal import read
from rehearsal.recording.samples import SampleStoreWriter
from rehearsal.recording.samples import read_chunks
from rehearsal.recording.samples import sample_files
from rehearsal.report.resultsjson import to_json

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from collections.abc import Iterator
    from pathlib import Path

    from rehearsal.judging.results import Results
    from rehearsal.recording.events import Event

HANG_S = 120
_FRAME = re.compile(b"(?=ROPN|RBK2|REND|RBLK)")
_OTHER_WORDS = (
    (b'"fail"', b'"ok"'),
    (b'"unknown"', b'"ok"'),
    (b":false", b":true"),
    (b'"rc":1', b'"rc":0'),
    (b"error", b"info"),
)


@dataclass(frozen=True, slots=True)
class Effect:
    """What came of one change. `wrong`: empty, or what must never be: traceback, hang, better, silent.

    `named`: the file is named; else the results are the same to the last word.
    """

    file: str
    change: str
    outcome: str
    wrong: str = ""
    named: bool = False
    detail: str = ""


# --- changes -------------------------------------------------------------------------------------------------------


def flip(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :]


def zeros(data: bytes, chance: random.Random) -> bytes:
    begin, end = _range(data, chance)
    return data[:begin] + bytes(end - begin) + data[end:]


def noise(data: bytes, chance: random.Random) -> bytes:
    begin, end = _range(data, chance)
    return data[:begin] + chance.randbytes(end - begin) + data[end:]


def cut_out(data: bytes, chance: random.Random) -> bytes:
    begin, end = _range(data, chance)
    return data[:begin] + data[end:]


def insert(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.randbytes(chance.randrange(1, 64)) + data[place:]


def double(data: bytes, chance: random.Random) -> bytes:
    begin, end = _range(data, chance)
    return data[:end] + data[begin:end] + data[end:]


def truncate(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def grow(data: bytes, chance: random.Random) -> bytes:
    return data + chance.randbytes(chance.randrange(1, 200))


def lose_piece(data: bytes, chance: random.Random) -> bytes:
    pieces = _pieces(data)
    del pieces[chance.randrange(len(pieces))]
    return b"".join(pieces)


def lose_last_pieces(data: bytes, chance: random.Random) -> bytes:
    pieces = _pieces(data)
    return b"".join(pieces[: chance.randrange(len(pieces))])


def double_piece(data: bytes, chance: random.Random) -> bytes:
    pieces = _pieces(data)
    pieces.insert(chance.randrange(len(pieces) + 1), chance.choice(pieces))
    return b"".join(pieces)


def swap_pieces(data: bytes, chance: random.Random) -> bytes:
    pieces = _pieces(data)
    one, other = chance.randrange(len(pieces)), chance.randrange(len(pieces))
    pieces[one], pieces[other] = pieces[other], pieces[one]
    return b"".join(pieces)


def rewrite(data: bytes, chance: random.Random) -> bytes:
    """Say something else where it matters, or flip a bit of a word."""
    old, new = chance.choice(_OTHER_WORDS)
    places = [found.start() for found in re.finditer(re.escape(old), data)]
    if not places:
        return flip(data, chance)
    place = chance.choice(places)
    return data[:place] + new + data[place + len(old) :]


def gone(_data: bytes, _chance: random.Random) -> None:
    return None


def emptied(_data: bytes, _chance: random.Random) -> bytes:
    return b""


CHANGES = (
    flip, flip, flip, flip, zeros, noise, cut_out, insert, double, truncate, truncate, grow, lose_piece, lose_piece,
    lose_last_pieces, double_piece, swap_pieces, rewrite, rewrite, rewrite, gone, emptied,
)  # fmt: skip


def _range(data: bytes, chance: random.Random) -> tuple[int, int]:
    begin = chance.randrange(len(data))
    return begin, min(len(data), begin + chance.choice((1, 1, 2, 7, 40, 300, 5_000)))


def _pieces(data: bytes) -> list[bytes]:
    """Lines of a journal, frames of samples."""
    return data.splitlines(keepends=True) if data[:1] == b"{" else [piece for piece in _FRAME.split(data) if piece]


# --- what comes of them --------------------------------------------------------------------------------------------


class Patient:
    """A copy of a recording that is damaged again and again, and mended after each time."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        files = {**closing.files_of(run_dir), closing.FILE: run_dir / closing.FILE}
        self.files = {name: path for name, path in files.items() if path.exists() and path.stat().st_size}
        fresh, said = self._judged()
        if fresh is None:
            raise JournalError(said)
        self.fresh = fresh
        self._plain = to_json(self.fresh)

    def names(self, *, evidence_only: bool = False) -> list[str]:
        """Return the files that can be damaged."""
        return [name for name in self.files if closing.is_evidence(name) or not evidence_only]

    def suffer(self, name: str, chance: random.Random) -> Effect | None:
        """Damage a file at random; None: nothing was changed by it."""
        change = chance.choice(CHANGES)
        path = self.files[name]
        before = path.read_bytes()
        after = change(before, chance)
        if after == before:
            return None
        with self._changed(path, before, after):
            return self._effect(name, change.__name__)

    @contextlib.contextmanager
    def _changed(self, path: Path, before: bytes, after: bytes | None) -> Iterator[None]:
        try:
            if after is None:
                path.unlink()
            else:
                path.write_bytes(after)
            yield
        finally:
            path.write_bytes(before)

    def _effect(self, name: str, change: str) -> Effect:
        try:
            with _limit(HANG_S):
                results, said = self._judged()
        except TimeoutError:
            return Effect(name, change, "none", "hang")
        except Exception:  # noqa: BLE001 - that is what is looked for
            return Effect(name, change, "none", "traceback", detail=traceback.format_exc())
        if results is None:
            return Effect(name, change, "none", "" if name in said else "silent", name in said, said)
        told = " ".join([said, *(finding.sentence for finding in results.findings), *results.quality.remarks])
        outcome = results.outcome
        if outcome.rank > self.fresh.outcome.rank:
            return Effect(name, change, outcome, "better", name in told, told)
        silent = name not in told and to_json(results) != self._plain
        return Effect(name, change, outcome, "silent" if silent else "", name in told, told)

    def _judged(self) -> tuple[Results | None, str]:
        rooms = Rooms()
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                results = judge.judge(history.load(self.run_dir), rooms)
                report.write(self.run_dir, results, rooms)
        except JournalError as error:
            return None, str(error)
        return results, "; ".join(broken.why for broken in rooms.broken)


@contextlib.contextmanager
def _limit(seconds: int) -> Iterator[None]:
    def over(*_: object) -> None:
        raise TimeoutError

    earlier = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, earlier)


# --- old recordings ------------------------------------------------------------------------------------------------


def close(run_dir: Path) -> Results:
    """Close a recording as the runner does when a run has ended; return what it was judged."""
    closing.list_files(run_dir)
    found = history.load(run_dir)
    results = judge.judge(found)
    closing.keep_verdict(run_dir, results, len(found.attempts))
    return results


def written_anew(run_dir: Path) -> None:
    """Write the journals and samples of an old recording as they are written today, each with its own times."""
    samples = {path: list(read_chunks(path)) for path in sample_files(run_dir)}
    counts = Counter(probe for chunks in samples.values() for chunk in chunks for probe in chunk["probe"].tolist())
    stored = {str(probe): count for probe, count in counts.items()}
    journals = sorted(history.read(run_dir).journals, key=lambda each: each.file != "journal/runner.jsonl")
    for each in journals:
        (run_dir / each.file).unlink()
    for each in journals:
        if not each.records:
            (run_dir / each.file).touch()
            continue
        moments = iter([(record.t_ns, record.w_ns) for record in each.records])
        first, last = ((record.t_ns, record.w_ns) for record in (each.records[0], each.records[-1]))
        clock = iter([first, *moments])
        with Journal(run_dir / each.file, clock=lambda: next(clock, last)) as journal:  # noqa: B023 - used up in this round
            for record in each.records:
                event = record.event
                if record.kind == "prober-stopped":
                    event = dataclasses.replace(event, stored=stored)  # type: ignore[call-arg]
                journal.write(event)

    for path, chunks in samples.items():
        path.unlink()
        with SampleStoreWriter(path) as writer:
            for chunk in chunks:
                writer.append(chunk)
                writer.flush()


def told_otherwise(path: Path, change: Callable[[Event], Event]) -> None:
    """Write a journal again with other events, as if it had been written so: times and checksums are right."""
    found = read(path)
    opened = found.about[0]
    moments = [(record.t_ns, record.w_ns) for record in found.records]
    clock = iter([(opened.t_ns, opened.w_ns), *moments])
    path.write_bytes(b"")
    with Journal(path, clock=lambda: next(clock, moments[-1])) as journal:
        for record in found.records:
            journal.write(change(record.event))
