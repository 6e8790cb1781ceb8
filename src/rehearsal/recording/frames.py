"""Sample files as a sequence of frames under checksums, and what in a file is no such frame.

All numbers are little-endian. A frame is a head of 52 bytes and a body:

    magic `ROPN`, `RBK2` or `REND`; bytes of the body u4; samples in it u4; number of the frame in the file u8;
    checksum of the frame before (16 bytes, zeros for none); checksum of all of the above and the body (16 bytes)

`ROPN` is where a writer begins and `REND` where it ended in order: their bodies are JSON. `RBK2` is a block of samples.
The first versions wrote marks and blocks under a CRC-32 that told nothing of their order; they are read as well.
Pure reading: nothing is decoded here. `docs/recording.md` is the whole format.
"""

from __future__ import annotations

import mmap
import re
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import BinaryIO

from rehearsal.recording import chain

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = b"RSMP\x01\r\n\x1a"
OPENED, BLOCK, CLOSED = b"ROPN", b"RBK2", b"REND"
OLD_BLOCK = b"RBLK"
HEAD = struct.Struct("<4sIIQ16s")
HEAD_BYTES = HEAD.size + chain.SUM_BYTES
OLD_HEAD = struct.Struct("<4sIII")
MOST_SAMPLES = 1 << 16  # in a block: keeps a reader's memory small
_MOST_BYTES = 64 * MOST_SAMPLES  # of a body: more than any block can need
_MAGICS = re.compile(b"|".join(re.escape(magic) for magic in (MARK, OPENED, BLOCK, CLOSED, OLD_BLOCK)))


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole frame. Of marks and blocks of the first versions only `magic`, `samples` and `body` mean anything."""

    offset: int
    end: int
    magic: bytes
    samples: int = 0
    number: int = -1
    previous: bytes = b""
    own: bytes = b""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes that are no whole frame. `torn`: they can be the beginning of one that was not written to its end."""

    offset: int
    end: int
    torn: bool


def packed(magic: bytes, samples: int, number: int, previous: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Return a frame's bytes and its checksum."""
    head = HEAD.pack(magic, len(body), samples, number, previous)
    own = chain.sum_of(head + body)
    return head + own + body, own


def walk(file: BinaryIO, size: int, offset: int = 0) -> Iterator[Frame | Gap]:
    """Yield what a file of this size holds from a frame's beginning on, in order and without leaving out a byte."""
    while offset < size:
        frame = _frame_at(file, size, offset)
        if frame is not None:
            yield frame
            offset = frame.end
            continue
        end = _next_frame(file, size, offset + 1)
        yield Gap(offset, end, _is_torn(file, offset, end))
        offset = end


def length_at(file: BinaryIO, size: int, offset: int) -> tuple[bytes, int, int] | None:
    """Return magic, where the body begins and where the frame ends, from the head alone; None if there is no head."""
    file.seek(offset)
    head = file.read(HEAD_BYTES)
    if head.startswith(MARK):
        return MARK, offset + len(MARK), offset + len(MARK)
    if head[:4] == OLD_BLOCK and len(head) >= OLD_HEAD.size:
        begin, length, samples = offset + OLD_HEAD.size, *OLD_HEAD.unpack_from(head)[1:3]
    elif head[:4] in {OPENED, BLOCK, CLOSED} and len(head) == HEAD_BYTES:
        begin, length, samples = offset + HEAD_BYTES, *HEAD.unpack_from(head)[1:3]
    else:
        return None
    if length > _MOST_BYTES or samples > MOST_SAMPLES or begin + length > size:
        return None
    return head[:4], begin, begin + length


def _frame_at(file: BinaryIO, size: int, offset: int) -> Frame | None:
    where = length_at(file, size, offset)
    if where is None:
        return None
    magic, begin, end = where
    file.seek(offset)
    data = file.read(end - offset)
    if magic == MARK:
        return Frame(offset, end, magic)
    body = data[begin - offset :]
    if magic == OLD_BLOCK:
        _, _, samples, checksum = OLD_HEAD.unpack_from(data)
        whole = len(data) == end - offset and old_checksum(samples, body) == checksum
        return Frame(offset, end, magic, samples, body=body) if whole else None
    _, _, samples, number, previous = HEAD.unpack_from(data)
    own = data[HEAD.size : HEAD_BYTES]
    if chain.sum_of(data[: HEAD.size] + body) != own:
        return None
    return Frame(offset, end, magic, samples, number, previous, own, body)


def old_checksum(samples: int, body: bytes) -> int:
    """Return the CRC-32 of a block of the first versions."""
    return zlib.crc32(body, zlib.crc32(struct.pack("<II", len(body), samples)))


def _next_frame(file: BinaryIO, size: int, offset: int) -> int:
    """Return where the next whole frame begins; the size if there is none. Tries no more bytes than four times the file."""
    tried = 0
    with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as view:
        for found in _MAGICS.finditer(view, offset):
            where = length_at(file, size, found.start())
            if where is None:
                continue
            tried += where[2] - found.start()
            if _frame_at(file, size, found.start()) is not None:
                return found.start()
            if tried > 4 * size:
                break
    return size


def _is_torn(file: BinaryIO, offset: int, end: int) -> bool:
    """Tell whether bytes can be one frame that was not written to its end.

    A frame of full length whose checksum is wrong counts as torn: after a power cut a file can have its length but not
    yet its contents.
    """
    file.seek(offset)
    head = file.read(min(HEAD_BYTES, end - offset))
    magic = head[:4]
    if not any(head):
        return True
    if MARK.startswith(head[: len(MARK)]) or len(magic) < 4:
        return any(each.startswith(head) for each in (MARK, OPENED, BLOCK, CLOSED, OLD_BLOCK))
    size = OLD_HEAD.size if magic == OLD_BLOCK else HEAD_BYTES
    if magic not in {OPENED, BLOCK, CLOSED, OLD_BLOCK}:
        return False
    if len(head) < size:
        return True
    length = int.from_bytes(head[4:8], "little")
    return end - offset <= size + length
