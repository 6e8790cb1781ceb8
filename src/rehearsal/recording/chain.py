"""What makes damage of a recording visible: each line and each block is under a checksum and names its predecessor's.

A checksum is BLAKE2b of 16 bytes, in journals written as 32 hexadecimal digits. `docs/recording.md` is the whole format.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import BinaryIO

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path

SUM_BYTES = 16
NOTHING = bytes(SUM_BYTES)
"""What the first line or block of a file names as its predecessor's checksum."""
_WAIT_S = 20.0
"""A prober whose runner was killed drains its samples first: at most seven seconds."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something in one file of a recording that is not as it was written, or that cannot be read.

    `place` is as people find it (`line 7`, `byte 4711`; empty: the file as a whole). `decides`: what was there may have
    changed the verdict; else it is only to be told (what a writer that was killed leaves behind). `by_writer`: the writer
    itself says so, nothing was damaged afterwards.
    """

    file: str
    place: str
    what: str
    decides: bool = True
    by_writer: bool = False

    def __str__(self) -> str:
        """Return file, place and what is wrong there."""
        return f"{self.file}{', ' if self.place else ''}{self.place}: {self.what}"


def sum_of(data: bytes | memoryview) -> bytes:
    """Return the checksum of some bytes."""
    return hashlib.blake2b(data, digest_size=SUM_BYTES).digest()


def write_whole(file: FileIO, data: bytes, size_bytes: int) -> None:
    """Append all of some bytes to a file of this size, or nothing. Raises OSError.

    What a full disk cut off is taken back: the next who writes finds the end of the last whole line or block.
    """
    view = memoryview(data)
    try:
        while view:
            view = view[file.write(view) :]
    except OSError:
        file.truncate(size_bytes)
        raise


def lock_alone(file: BinaryIO | FileIO, path: Path) -> None:
    """Wait until no other process writes this file. Raises TimeoutError if one goes on for 20 s."""
    until = time.monotonic() + _WAIT_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise TimeoutError(
                    errno.ETIMEDOUT, "another process still writes it; wait until it has ended", str(path)
                ) from None
            time.sleep(0.05)
        except OSError:  # a file system without locks
            return
        else:
            return
