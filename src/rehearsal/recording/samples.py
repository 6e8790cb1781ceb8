r"""The store of samples: what every probe saw, compact and crash-safe.

SAMPLE is the shape in memory. Times are CLOCK_MONOTONIC ns of the prober host.

A file is a sequence of frames under checksums (`frames`), and it only ever grows: `ROPN` where a writer begins, `RBK2`
for a block of samples, `REND` where the writer ended in order. The body of a block is a zlib stream of the columns below.

Columns are arrays of unsigned integers; an array of n numbers is stored as one byte p, the number of byte planes, then
p times n bytes: all lowest bytes, then all second bytes, and so on. p = 0 means that all numbers are zero. Signed
numbers are folded (0, -1, 1, -2, ... become 0, 1, 2, 3, ...). Inside a block samples are ordered by probe and then by
sequence number, and a *stretch* is all samples of one probe. A block's body is:

    base     i8, the least `due` of the block
    stretches u4, the number of stretches
    per stretch, five arrays: probe; samples in it; first `seq`; first `due` - base (folded); usual step of `due` (folded)
    per sample, six arrays:   sample_class; flags; seq - previous seq - 1 (folded, 0 for the first of a stretch);
                              due - previous due - usual step (folded, 0 for the first); sent - due (folded);
                              done - sent (folded)

Sums wrap at 64 bits. What this leaves out: no index, no dictionary of probes (the journal's ProbeDeclared records name
them), no compression across blocks. Readers stream, so the cost is linear in the number of samples.

Invariant: what was flushed stays readable, and whatever is not as it was written is a flaw that names file and place.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any
from typing import BinaryIO
from typing import Self

import numpy as np

import rehearsal
from rehearsal.recording import chain
from rehearsal.recording import frames
from rehearsal.recording import runfiles
from rehearsal.recording.chain import Flaw
from rehearsal.recording.frames import MARK
from rehearsal.recording.journal import JournalError
from rehearsal.recording.journal import identity_of
from rehearsal.recording.sampleflags import BLIND
from rehearsal.recording.sampleflags import FOLLOW_UP
from rehearsal.recording.sampleflags import FRESH
from rehearsal.recording.sampleflags import RETRANSMITTED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

SAMPLE = np.dtype(
    [
        ("probe", "<u2"),
        ("sample_class", "u1"),
        ("flags", "u1"),
        ("seq", "<u4"),
        ("due", "<i8"),
        ("sent", "<i8"),
        ("done", "<i8"),
    ]
)

__all__ = [
    "BLIND",
    "FOLLOW_UP",
    "FRESH",
    "MARK",
    "RETRANSMITTED",
    "SAMPLE",
    "Account",
    "SampleStoreError",
    "SampleStoreWriter",
    "read_chunks",
    "read_new",
    "sample_files",
    "samples_by_probe",
]

_BODY = struct.Struct("<qI")
_ONE = np.uint64(1)
_BASE_BYTES = 512  # of a compressed body, from which its first twelve bytes can be told
_LEVEL = 3  # of zlib: the low byte planes are noise, more effort buys nothing


class SampleStoreError(JournalError):
    """A sample file that cannot be read: says which file, where, and what to do."""


class SampleStoreWriter:
    """The single writer of one sample file. `append` collects, `flush` hands whole blocks to the kernel.

    `recorded` is what was appended, `stored` what reached the kernel, by number of the probe.
    """

    def __init__(self, path: Path) -> None:
        """Open for appending, alone; nothing is written before the first sample. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.recorded = 0
        self._counts = np.zeros(0, np.int64)
        self._pending: list[NDArray[np.void]] = []
        self._file = path.open("ab", buffering=0)
        chain.lock_alone(self._file, path)
        self._end: _End | None = None
        self._blocks = 0

    @property
    def stored(self) -> dict[int, int]:
        """Return how many samples of each probe are in the file by this writer."""
        return {int(probe): int(self._counts[probe]) for probe in np.flatnonzero(self._counts)}

    def append(self, samples: NDArray[np.void]) -> None:
        """Take samples (dtype SAMPLE); they are safe against a crash of this process after the next `flush`."""
        if samples.dtype != SAMPLE:
            raise TypeError(f"samples must have the dtype SAMPLE, not {samples.dtype}")
        if len(samples):
            self._pending.append(samples.copy())
            self.recorded += len(samples)

    def flush(self) -> None:
        """Write everything that was appended; it survives SIGKILL of this process from here on. Raises OSError."""
        if not self._pending:
            return
        samples = np.concatenate(self._pending)
        self._pending.clear()
        if self._end is None:
            self._begin()
        for start in range(0, len(samples), frames.MOST_SAMPLES):
            block = samples[start : start + frames.MOST_SAMPLES]
            self._put(frames.BLOCK, len(block), _encode_block(block))
            self._counts = _added(self._counts, np.bincount(block["probe"]))
            self._blocks += 1

    def close(self) -> None:
        """Write the rest, say that this is the end, bring it to the disk and close."""
        if self._file.closed:
            return
        try:
            self.flush()
            if self._end is not None:
                told = {"blocks": self._blocks, "samples": int(self._counts.sum())}
                self._put(frames.CLOSED, 0, json.dumps(told).encode())
            os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def _begin(self) -> None:
        end = _end_of(self.path)
        run, recording = identity_of(self.path.parent.parent)
        told = {
            "run": run,
            "recording": recording,
            "file": os.path.relpath(self.path, self.path.parent.parent),
            "writer": end.writers + 1,
            "at_bytes": end.size_bytes,
            "torn_bytes": end.torn_bytes,
            "version": rehearsal.__version__,
            "format": 1,
        }
        self._end = end
        try:
            self._put(frames.OPENED, 0, json.dumps(told).encode())
        except OSError:
            self._end = None
            raise

    def _put(self, magic: bytes, samples: int, body: bytes) -> None:
        assert self._end is not None
        data, own = frames.packed(magic, samples, self._end.number, self._end.previous, body)
        chain.write_whole(self._file, data, self._end.size_bytes)
        self._end.size_bytes += len(data)
        self._end.number, self._end.previous = self._end.number + 1, own

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _added(counts: NDArray[np.int64], more: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of two arrays of counts, the shorter one filled up with zeros."""
    long, short = (counts, more) if len(counts) >= len(more) else (more, counts)
    total = long.copy()
    total[: len(short)] += short
    return total


@dataclass(slots=True)
class _End:
    """How a sample file ends: the next number, the last checksum, and what a killed writer left behind it."""

    number: int = 0
    previous: bytes = chain.NOTHING
    size_bytes: int = 0
    torn_bytes: int = 0
    writers: int = 0


def _end_of(path: Path) -> _End:
    with path.open("rb") as file:
        end = _End(size_bytes=os.fstat(file.fileno()).st_size)
        for found in frames.walk(file, end.size_bytes):
            end.torn_bytes = found.end - found.offset if isinstance(found, frames.Gap) else 0
            if isinstance(found, frames.Frame) and found.number >= 0:
                end.number, end.previous = found.number + 1, found.own
                end.writers += found.magic == frames.OPENED
    return end


@dataclass(slots=True)
class Written:
    """What one writer of a sample file left there. `opened`: what it said when it began; empty: no checksums yet."""

    opened: dict[str, Any] = field(default_factory=dict)
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # by number of the probe
    closed: bool = False


@dataclass(slots=True)
class Account:
    """What is found in one sample file: who wrote it, how much, and what is not as it was written."""

    file: str
    flaws: list[Flaw] = field(default_factory=list)
    writers: list[Written] = field(default_factory=list)

    def flaw(self, offset: int, what: str, *, decides: bool = True) -> None:
        """Take one flaw."""
        self.flaws.append(Flaw(self.file, f"byte {offset}", what, decides))


def read_chunks(
    path: Path, *, settled_ns: int | None = None, account: Account | None = None
) -> Iterator[NDArray[np.void]]:
    """Yield the samples of a file block by block (dtype SAMPLE), each block ordered by probe and sequence number.

    `settled_ns`: blocks are passed over that were written before the last one with a sample due before that moment.
    With an `account` every flaw is entered there, and what can be read is read; without, SampleStoreError is raised for
    damage that a killed writer cannot explain.
    """
    with runfiles.opened(path, runfiles.SAMPLES_BYTES) as file:
        size = os.fstat(file.fileno()).st_size
        plausible = runfiles.SampleCount(path, size)
        offset = 0 if settled_ns is None else _last_due_before(file, size, settled_ns)
        links = _Links(account or Account(path.name), from_start=offset == 0)
        for found in frames.walk(file, size, offset):
            if isinstance(found, frames.Gap):
                links.gap(found, size)
            elif links.follows(found):
                try:
                    samples = _decode_block(found.samples, found.body)
                except (ValueError, IndexError, MemoryError, zlib.error, struct.error):
                    links.account.flaw(found.offset, "this block cannot be decoded")
                else:
                    links.count(samples)
                    plausible.add(len(samples))
                    yield samples
            if account is None and (bad := next((flaw for flaw in links.account.flaws if flaw.decides), None)):
                raise SampleStoreError(f"{path}: damaged at {bad.place} ({bad.what}). Restore the file from its copy.")


def read_new(path: Path, offset: int) -> tuple[list[NDArray[np.void]], int]:
    """Return the blocks that were written since `offset` (where a frame began), and where the next one will begin.

    For whoever follows a prober at work: a block that is not whole yet is left for the next time. Raises OSError.
    """
    blocks = []
    with runfiles.opened(path, runfiles.SAMPLES_BYTES) as file:
        size = os.fstat(file.fileno()).st_size
        for found in frames.walk(file, size, offset):
            if isinstance(found, frames.Gap):
                if found.end == size:
                    break
            elif found.magic == frames.BLOCK:
                blocks.append(_decode_block(found.samples, found.body))
            offset = found.end
    return blocks, offset


class _Links:
    """Follows the chain of a sample file, and keeps the account."""

    def __init__(self, account: Account, *, from_start: bool) -> None:
        self.account = account
        self._from_start = from_start
        self._expected: int | None = 0 if from_start else None
        self._previous: bytes | None = chain.NOTHING if from_start else None
        self._missing: set[int] = set()
        self._gap: frames.Gap | None = None

    def gap(self, gap: frames.Gap, size: int) -> None:
        """Take bytes that are no frame; whether they are torn is known when the next frame says so."""
        self._gap = gap
        if gap.end == size:
            self._tell_gap(torn=gap.torn)

    def _tell_gap(self, *, torn: bool) -> None:
        if self._gap is None:
            return
        length = self._gap.end - self._gap.offset
        if torn:
            self.account.flaw(
                self._gap.offset, f"{length} bytes are an incomplete block: its writer was killed", decides=False
            )
        else:
            self.account.flaw(self._gap.offset, f"{length} bytes were changed after they were written")
        self._gap = None

    def follows(self, frame: frames.Frame) -> bool:
        """Take a frame; return True if it holds samples that are to be used."""
        if frame.magic in {MARK, frames.OLD_BLOCK}:
            return self._follows_old(frame)
        told = _told(frame)
        gap = self._gap
        torn = (
            gap is not None
            and frame.magic == frames.OPENED
            and told.get("torn_bytes") == gap.end - gap.offset
            and gap.torn
        )
        self._tell_gap(torn=torn)
        used = self._links(frame, damaged=gap is not None and not torn)
        if frame.magic == frames.OPENED and used:
            self.account.writers.append(Written(told))
            if told.get("at_bytes") != frame.offset:
                self.account.flaw(
                    frame.offset, "this opening is out of place: bytes before it are missing or were added"
                )
        elif frame.magic == frames.CLOSED and used and self.account.writers:
            self.account.writers[-1].closed = True
        return frame.magic == frames.BLOCK and used

    def _follows_old(self, frame: frames.Frame) -> bool:
        self._tell_gap(torn=frame.magic == MARK and self._gap is not None and self._gap.torn)
        if self._expected and self._from_start:
            self.account.flaw(frame.offset, "a block without a place in the chain was added")
            return False
        if frame.magic == MARK:
            self.account.writers.append(Written())
        return frame.magic == frames.OLD_BLOCK

    def _links(self, frame: frames.Frame, *, damaged: bool) -> bool:
        if self._expected is None:
            self._expected = frame.number
            self._previous = frame.previous
        skipped = frame.number - self._expected
        fits = frame.previous == self._previous
        self._previous = frame.own
        if frame.number in self._missing:
            self._missing.discard(frame.number)
            self.account.flaw(frame.offset, f"frame {frame.number} is out of place")
            return True
        if skipped < 0:
            self.account.flaw(frame.offset, f"frame {frame.number} occurs again here, or replaces another one")
            return False
        if skipped:
            self._missing.update(range(self._expected, min(frame.number, self._expected + 100_000)))
            what = f"{skipped} frame{'s' * (skipped > 1)} before it {'are' if skipped > 1 else 'is'} missing"
            self.account.flaw(frame.offset, what)
        elif not fits and not damaged:
            self.account.flaw(
                frame.offset,
                "this frame does not continue the one before it: one of the two does not belong to this file",
            )
            self._expected = frame.number + 1
            return False
        self._expected = frame.number + 1
        return True

    def count(self, samples: NDArray[np.void]) -> None:
        """Count what was read for its writer."""
        if not self.account.writers:
            self.account.writers.append(Written())
        writer = self.account.writers[-1]
        writer.counts = _added(writer.counts, np.bincount(samples["probe"]))


def _told(frame: frames.Frame) -> dict[str, Any]:
    if frame.magic != frames.OPENED:
        return {}
    try:
        told = json.loads(frame.body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _last_due_before(file: BinaryIO, size: int, moment_ns: int) -> int:
    """Return where the last block begins that holds a sample due before a moment; only heads and bases are read."""
    found = offset = 0
    while offset < size:
        where = frames.length_at(file, size, offset)
        if where is None:
            break
        magic, begin, end = where
        if magic in {frames.BLOCK, frames.OLD_BLOCK}:
            file.seek(begin)
            try:
                base, _ = _BODY.unpack(
                    zlib.decompressobj().decompress(file.read(min(_BASE_BYTES, end - begin)), _BODY.size)
                )
            except (zlib.error, struct.error):
                break
            if base < moment_ns:
                found = offset
        offset = end
    return found


def samples_by_probe(run_dir: Path) -> dict[int, NDArray[np.void]]:
    """Return every probe's samples of a run, ordered by `sent`.

    Needs memory for all of them, 32 bytes a sample; `read_chunks` streams.
    """
    chunks = [chunk for path in sample_files(run_dir) for chunk in read_chunks(path)]
    if not chunks:
        return {}
    samples = np.concatenate(chunks)
    del chunks
    order = np.lexsort((samples["sent"], samples["probe"]))
    samples = samples[order]
    probes, starts = np.unique(samples["probe"], return_index=True)
    ends = np.append(starts[1:], len(samples))
    return {int(probe): samples[start:end] for probe, start, end in zip(probes, starts, ends, strict=True)}


def sample_files(run_dir: Path) -> list[Path]:
    """Return the sample files of a run, in order of their names."""
    return sorted((run_dir / "samples").glob("*.smp"))


# --- one block -----------------------------------------------------------------------------------------------------


def _encode_block(samples: NDArray[np.void]) -> bytes:
    samples = samples[np.lexsort((samples["sent"], samples["seq"], samples["probe"]))]
    probe, due, seq = samples["probe"], samples["due"], samples["seq"].astype(np.int64)
    first = np.ones(len(samples), dtype=bool)
    first[1:] = probe[1:] != probe[:-1]
    starts = np.flatnonzero(first)
    counts = np.diff(np.append(starts, len(samples)))
    base = int(due.min())
    with np.errstate(over="ignore"):
        due_step = np.diff(due, prepend=due[:1])
        due_step[first] = 0
        seq_step = np.diff(seq, prepend=seq[:1]) - 1
        seq_step[first] = 0
        usual = _usual_steps(due_step, starts, counts)
        due_rest = due_step - np.repeat(usual, counts)
        due_rest[first] = 0
        columns = (
            probe[starts],
            counts,
            seq[starts],
            _fold(due[starts] - base),
            _fold(usual),
            samples["sample_class"],
            samples["flags"],
            _fold(seq_step),
            _fold(due_rest),
            _fold(samples["sent"] - due),
            _fold(samples["done"] - samples["sent"]),
        )
    body = _BODY.pack(base, len(starts)) + b"".join(_planes(column) for column in columns)
    return zlib.compress(body, _LEVEL)


def _usual_steps(
    due_step: NDArray[np.int64], starts: NDArray[np.int64], counts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the step of `due` in the middle of each stretch: the period, unless it was changed in this block."""
    return np.where(counts > 1, due_step[starts + np.maximum(counts // 2, np.minimum(counts - 1, 1))], 0)


def _decode_block(count: int, body: bytes) -> NDArray[np.void]:
    body = runfiles.unpacked(body)
    base, stretches = _BODY.unpack_from(body)
    offset = _BODY.size
    columns: list[NDArray[np.uint64]] = []
    for index in range(11):
        length = stretches if index < 5 else count
        column, offset = _from_planes(body, offset, length)
        columns.append(column)
    probe, counts, first_seq, first_due, usual, sample_class, flags, seq_step, due_rest, lag, took = columns
    repeats = counts.astype(np.int64)
    if int(repeats.sum()) != count or offset != len(body):
        raise ValueError("the counts of a block contradict each other")
    starts = np.cumsum(repeats) - repeats
    samples = np.empty(count, dtype=SAMPLE)
    with np.errstate(over="ignore"):
        samples["probe"] = np.repeat(probe, repeats)
        samples["sample_class"] = sample_class
        samples["flags"] = flags
        steps = _unfold(seq_step) + 1
        steps[starts] = 0
        samples["seq"] = _sums_from(first_seq.view(np.int64), steps, starts, repeats)
        steps = _unfold(due_rest) + np.repeat(_unfold(usual), repeats)
        steps[starts] = 0
        due = _sums_from(_unfold(first_due) + base, steps, starts, repeats)
        sent = due + _unfold(lag)
        samples["due"] = due
        samples["sent"] = sent
        samples["done"] = sent + _unfold(took)
    return samples


def _sums_from(
    first: NDArray[np.int64], steps: NDArray[np.int64], starts: NDArray[np.int64], repeats: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return running sums that start anew at each stretch, with that stretch's first value."""
    total = np.cumsum(steps)
    return total + np.repeat(first - total[starts], repeats)


def _fold(values: NDArray[np.int64]) -> NDArray[np.uint64]:
    return ((values << 1) ^ (values >> 63)).view(np.uint64)


def _unfold(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    signs = values & _ONE
    if not signs.any():
        return (values >> _ONE).view(np.int64)
    return (values >> _ONE).view(np.int64) ^ -signs.view(np.int64)


def _planes(column: NDArray[Any]) -> bytes:
    column = np.ascontiguousarray(column, dtype="<u8")
    planes = (int(column.max()).bit_length() + 7) // 8
    return bytes([planes]) + column.view(np.uint8).reshape(-1, 8)[:, :planes].T.tobytes()


def _from_planes(body: bytes, offset: int, length: int) -> tuple[NDArray[np.uint64], int]:
    planes = body[offset]
    if planes > 8:
        raise ValueError("a column has more than eight byte planes")
    end = offset + 1 + planes * length
    stored = np.frombuffer(body, np.uint8, planes * length, offset + 1)
    if planes <= 1:  # most columns of most blocks: classes, flags, steps
        return stored.astype("<u8") if planes else np.zeros(length, "<u8"), end
    column = np.zeros((length, 8), dtype=np.uint8)
    column[:, :planes] = stored.reshape(planes, length).T
    return column.view("<u8").reshape(length), end
