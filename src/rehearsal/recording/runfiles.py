"""Files of a run directory that somebody else may have made: opened, read and written so that they harm nobody who judges them.

Links, pipes, devices and sockets are refused without being opened for good; sizes, lines, packed blocks and counts have a
bound that no recording reaches; what is written goes into the directory and nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import stat
import zlib
from typing import TYPE_CHECKING
from typing import BinaryIO
from typing import TypeVar

from rehearsal.outside.plaintext import plain

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Iterator
    from pathlib import Path

_T = TypeVar("_T")

MIB = 1 << 20
LINE_BYTES = 32 * MIB
"""Of a journal: what is in a cloud of 50 000 ports is one line of about 20 MiB."""
JOURNAL_BYTES = 512 * MIB
SAMPLES_BYTES = 16 * 1024 * MIB
SMALL_BYTES = 64 * MIB
"""Of results.json, a plan, a target."""
RECORDS = 2_000_000
_RECORD_BYTES = 24  # the shortest that a record can be
_TOO_MANY = f"no recording: it holds more than {RECORDS} records"
BLOCK_SAMPLES = 1 << 16
BLOCK_BYTES = 8 * MIB
"""Of a block of samples, packed and unpacked: 65 536 samples need less than 6 MiB."""
_SAMPLES_FREE, _SAMPLES_PER_BYTE = (
    20_000_000,
    4,
)  # two of a sample's stamps are noise: it never packs into less than two bytes
_FILES = 20_000
_ROOMS = ("journal", "samples", "logs", "pages")
_READ = {"journal": (".jsonl", JOURNAL_BYTES), "samples": (".smp", SAMPLES_BYTES)}


class RunFileRefused(Exception):  # noqa: N818 - nothing is broken
    """A file that no recording has: it is not read. One sentence names it and says why."""


def opened(path: Path, most_bytes: int) -> BinaryIO:
    """Open a plain file for reading. Raises RunFileRefused for what is none or too large, OSError (FileNotFoundError)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        if is_plain(path):
            raise
        raise RunFileRefused(_refusal(path, _kind_of(path))) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise RunFileRefused(_refusal(path, _kind_of(path)))
    if status.st_size > most_bytes:
        os.close(descriptor)
        raise RunFileRefused(
            _refusal(path, f"{status.st_size // MIB} MiB long, and at most {most_bytes // MIB} are read")
        )
    return os.fdopen(descriptor, "rb")


def read_text(path: Path, most_bytes: int = SMALL_BYTES) -> str:
    """Return the text of a plain file. Raises RunFileRefused, OSError, UnicodeDecodeError."""
    with opened(path, most_bytes) as file:
        return file.read(most_bytes).decode()


def lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """Yield the lines of a journal. Raises RunFileRefused for one that is longer than any record."""
    while line := file.readline(LINE_BYTES + 1):
        if len(line) > LINE_BYTES:
            raise RunFileRefused(_refusal(path, f"not a journal: it has a line of more than {LINE_BYTES // MIB} MiB"))
        yield line


def bounded(records: Iterable[_T], run_dir: Path) -> Iterator[_T]:
    """Yield records. Raises RunFileRefused after more than any run has."""
    for number, record in enumerate(records):
        if number >= RECORDS:
            raise RunFileRefused(_refusal(run_dir / "journal", _TOO_MANY))
        yield record


def unpacked(body: bytes) -> bytes:
    """Return the unpacked body of a block of samples. Raises zlib.error if it is none, or a bomb."""
    packed = zlib.decompressobj()
    data = packed.decompress(body, BLOCK_BYTES)
    if not packed.eof or packed.unused_data:
        raise zlib.error("not one whole block")
    return data


class SampleCount:
    """Counts the samples of one file against what its size can hold."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path, self._left = path, _SAMPLES_FREE + _SAMPLES_PER_BYTE * size_bytes

    def add(self, samples: int) -> None:
        """Count some more. Raises RunFileRefused."""
        self._left -= samples
        if self._left < 0:
            raise RunFileRefused(_refusal(self._path, "no recording: it claims more samples than its size can hold"))


def is_plain(path: Path) -> bool:
    """Tell whether there is a plain file, itself and not behind a link."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def check(run_dir: Path) -> None:
    """Look at a run directory before it is judged. Raises RunFileRefused at the first thing that no recording has."""
    for room in _ROOMS:
        place = run_dir / room
        try:
            status = place.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(status.st_mode):
            raise RunFileRefused(_refusal(place, _kind_of(place)))
        _check_room(place, *_READ.get(room, ("", 0)))


def _check_room(place: Path, suffix: str, most_bytes: int) -> None:
    total = 0
    with os.scandir(place) as entries:
        for number, entry in enumerate(entries):
            if number >= _FILES:
                raise RunFileRefused(_refusal(place, f"no recording's: it holds more than {_FILES} files"))
            if not suffix or not entry.name.endswith(suffix):
                continue
            if not entry.is_file(follow_symlinks=False):
                raise RunFileRefused(_refusal(place / entry.name, _kind_of(place / entry.name)))
            total += entry.stat(follow_symlinks=False).st_size
    if total > most_bytes:
        raise RunFileRefused(_refusal(place, f"{total // MIB} MiB large, and at most {most_bytes // MIB} are read"))
    if suffix == ".jsonl":
        _check_count(place, total)


def _check_count(journals: Path, total_bytes: int) -> None:
    """Count lines, which costs little, before any is made sense of, which costs much."""
    if total_bytes < RECORDS * _RECORD_BYTES:
        return
    count = 0
    for path in sorted(journals.glob("*.jsonl")):
        with opened(path, JOURNAL_BYTES) as file:
            while piece := file.read(MIB):
                count += piece.count(b"\n")
    if count > RECORDS:
        raise RunFileRefused(_refusal(journals, _TOO_MANY))


def replace_text(path: Path, text: str) -> None:
    """Write a file of a run directory whole or not at all, for its owner alone; never through a link. Raises OSError."""
    half = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        if half.is_dir() and not half.is_symlink():
            raise RunFileRefused(_refusal(half, "a directory"))
        half.unlink()
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:  # a recording may hold what is no text
        file.write(text)
    os.replace(half, path)  # noqa: PTH105 - rename within one directory is what makes it atomic


def _kind_of(path: Path) -> str:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return "not there any more"
    for told, is_it in (
        ("a link", stat.S_ISLNK), ("a pipe", stat.S_ISFIFO), ("a socket", stat.S_ISSOCK), ("a directory", stat.S_ISDIR),
        ("a device", stat.S_ISCHR), ("a device", stat.S_ISBLK), ("a plain file", stat.S_ISREG),
    ):  # fmt: skip
        if is_it(mode):
            return told
    return "no plain file"


def _refusal(path: Path, what: str) -> str:
    return f"{plain(str(path))} is {what}: no run of rehearse makes that, and it is not read. Judge an untouched copy of the run."
