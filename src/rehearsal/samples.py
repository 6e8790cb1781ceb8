r"""The store of samples: what every probe saw, compact and crash-safe.

SAMPLE is the shape in memory. Times are CLOCK_MONOTONIC ns of the prober host.

A file is a sequence of marks and blocks, all little-endian, and it only ever grows:

    mark   8 bytes `RSMP\x01\r\n\x1a`: a writer began here (a second writer of the same file writes a second mark)
    block  head   `RBLK`, bytes of the body u4, samples u4, CRC-32 of the two numbers and the body u4
           body   zlib stream of the columns below

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

Invariant: what was flushed stays readable. A block torn by a crash is dropped if nothing or a later writer's mark
follows it; any other damage is an error that names file and offset.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING
from typing import Any
from typing import BinaryIO
from typing import Self

import numpy as np

from rehearsal import recorded
from rehearsal.journal import JournalError
from rehearsal.sampleflags import BLIND
from rehearsal.sampleflags import FOLLOW_UP
from rehearsal.sampleflags import FRESH
from rehearsal.sampleflags import RETRANSMITTED

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    Reader = Callable[[int], bytes]

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
    "RETRANSMITTED",
    "SAMPLE",
    "SampleStoreError",
    "SampleStoreWriter",
    "read_chunks",
    "sample_files",
    "samples_by_probe",
]

MARK = b"RSMP\x01\r\n\x1a"
_BLOCK = b"RBLK"
_HEAD = struct.Struct("<4sIII")
_BODY = struct.Struct("<qI")
_ONE = np.uint64(1)
_MOST = 1 << 16  # samples in a block: keeps a reader's memory small
_BASE_BYTES = 512  # of a compressed body, from which its first twelve bytes can be told
_LEVEL = 3  # of zlib: the low byte planes are noise, more effort buys nothing


class SampleStoreError(JournalError):
    """A sample file that cannot be read: says which file, where, and what to do."""


class SampleStoreWriter:
    """The single writer of one sample file. `append` collects, `flush` hands whole blocks to the kernel."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.recorded = 0
        self._pending: list[NDArray[np.void]] = []
        self._file = path.open("ab", buffering=0)
        self._write(MARK)

    def append(self, samples: NDArray[np.void]) -> None:
        """Take samples (dtype SAMPLE); they are safe against a crash of this process after the next `flush`."""
        if samples.dtype != SAMPLE:
            raise TypeError(f"samples must have the dtype SAMPLE, not {samples.dtype}")
        if len(samples):
            self._pending.append(samples.copy())
            self.recorded += len(samples)

    def flush(self) -> None:
        """Write everything that was appended; it survives SIGKILL of this process from here on."""
        if not self._pending:
            return
        samples = np.concatenate(self._pending)
        self._pending.clear()
        for start in range(0, len(samples), _MOST):
            self._write(_encode_block(samples[start : start + _MOST]))

    def close(self) -> None:
        """Write the rest, bring it to the disk and close."""
        if not self._file.closed:
            self.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def read_chunks(path: Path, *, settled_ns: int | None = None) -> Iterator[NDArray[np.void]]:
    """Yield the samples of a file block by block (dtype SAMPLE), each block ordered by probe and sequence number.

    `settled_ns`: blocks are passed over that were written before the last one with a sample due before that moment.
    Raises SampleStoreError for damage that a crash of the writer cannot explain.
    """
    with recorded.opened(path, recorded.SAMPLES_BYTES) as file:
        size = os.fstat(file.fileno()).st_size
        plausible = recorded.SampleCount(path, size)
        offset = 0 if settled_ns is None else _last_due_before(file, size, settled_ns)
        while offset < size:
            file.seek(offset)
            head = file.read(_HEAD.size)
            if head.startswith(MARK):
                offset += len(MARK)
                continue
            samples, length = _block_at(file.read, head)
            if samples is not None:
                plausible.add(len(samples))
                yield samples
                offset += length
                continue
            end = _next_mark(path, offset, size)
            if not _is_torn(path, offset, end):
                raise SampleStoreError(f"{path}: damaged at byte {offset}. Restore the file from its copy.")
            offset = end


def _last_due_before(file: BinaryIO, size: int, moment_ns: int) -> int:
    """Return where the last block begins that holds a sample due before a moment; only heads and bases are read."""
    found = offset = 0
    while offset < size:
        file.seek(offset)
        head = file.read(_HEAD.size + _BASE_BYTES)
        if head.startswith(MARK):
            offset += len(MARK)
            continue
        if len(head) < _HEAD.size or not head.startswith(_BLOCK):
            break
        length = _HEAD.unpack_from(head)[1]
        try:
            begun = zlib.decompressobj().decompress(head[_HEAD.size : _HEAD.size + length], _BODY.size)
            base, _ = _BODY.unpack(begun)
        except (zlib.error, struct.error):
            break
        if base < moment_ns:
            found = offset
        offset += _HEAD.size + length
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
    body = zlib.compress(body, _LEVEL)
    return _HEAD.pack(_BLOCK, len(body), len(samples), _checksum(len(samples), body)) + body


def _usual_steps(
    due_step: NDArray[np.int64], starts: NDArray[np.int64], counts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the step of `due` in the middle of each stretch: the period, unless it was changed in this block."""
    return np.where(counts > 1, due_step[starts + np.maximum(counts // 2, np.minimum(counts - 1, 1))], 0)


def _decode_block(count: int, body: bytes) -> NDArray[np.void]:
    body = recorded.unpacked(body)
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


def _checksum(count: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack("<II", len(body), count)))


# --- damage --------------------------------------------------------------------------------------------------------


def _block_at(read: Reader, head: bytes) -> tuple[NDArray[np.void] | None, int]:
    """Return the samples of the block whose head was just read and its length in bytes; None if it is not whole."""
    if len(head) < _HEAD.size:
        return None, 0
    magic, length, count, checksum = _HEAD.unpack(head)
    if magic != _BLOCK or count > recorded.BLOCK_SAMPLES or length > recorded.BLOCK_BYTES:
        return None, 0
    body = read(length)
    if len(body) < length or _checksum(count, body) != checksum:
        return None, 0
    try:
        return _decode_block(count, body), _HEAD.size + length
    except (ValueError, IndexError, zlib.error, struct.error):
        return None, 0  # a checksum that fits by accident


def _next_mark(path: Path, offset: int, size: int) -> int:
    """Return where the next writer began after `offset`; the size of the file if nobody did."""
    with path.open("rb") as file:
        file.seek(offset)
        overlap = b""
        while data := file.read(1 << 20):
            found = (overlap + data).find(MARK)
            if found >= 0:
                return offset - len(overlap) + found
            offset += len(data)
            overlap = (overlap + data)[-(len(MARK) - 1) :]
    return size


def _is_torn(path: Path, offset: int, end: int) -> bool:
    """Tell whether the bytes from `offset` to `end` are one block or mark that was not written to its end.

    A block of full length with a wrong checksum counts as torn as well: after a power cut a file can have its length
    but not yet its contents.
    """
    with path.open("rb") as file:
        file.seek(offset)
        head = file.read(min(_HEAD.size, end - offset))
    if len(head) < _HEAD.size:
        return True
    magic, length, _, _ = _HEAD.unpack(head)
    return (magic == _BLOCK and end - offset <= _HEAD.size + length) or not any(head)
