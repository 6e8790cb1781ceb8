"""Output of another program, as it comes in pieces: whole lines that may be kept and shown."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING
from typing import BinaryIO

from rehearsal.outside.plaintext import for_terminal
from rehearsal.outside.redact import Lines
from rehearsal.outside.redact import hidden_spans

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterator
    from pathlib import Path

LONGEST_LINE = 64 * 1024
"""Characters after which a line is cut, so that a program that never ends its line cannot fill the memory."""
_HELD_BACK = 8 * 1024  # of a line that is cut: what a secret at its end may still become


class Output:
    """Takes bytes, gives lines to `keep`: decoded, without terminal sequences, without secrets.

    Invariant: where the pieces are cut makes no difference, neither within a character, nor a line, nor a secret.
    """

    def __init__(self, keep: Callable[[str], object]) -> None:
        self._keep = keep
        self._lines = Lines()
        self._decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)
        self._rest = ""

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        *whole, self._rest = (self._rest + self._decoder.decode(piece)).split("\n")
        for line in whole:
            self._give(line)
        while len(self._rest) > LONGEST_LINE:
            self._cut()

    def close(self) -> None:
        """Give what is left as the last line."""
        last = self._rest + self._decoder.decode(b"", final=True)
        self._rest = ""
        for line in last.split("\n"):
            if line:
                self._give(line)

    def _give(self, line: str) -> None:
        while len(line) > LONGEST_LINE:
            end = _place_to_cut(line)
            self._keep(self._lines.cleaned(for_terminal(line[:end])))
            line = line[end:]
        self._keep(self._lines.cleaned(for_terminal(line)))

    def _cut(self) -> None:
        end = _place_to_cut(self._rest)
        self._keep(self._lines.cleaned(for_terminal(self._rest[:end])))
        self._rest = self._rest[end:]


def _place_to_cut(line: str) -> int:
    """Return where a line may be cut: where no secret is cut; a secret that is as long as the line is given whole."""
    wanted = min(LONGEST_LINE, len(line)) - _HELD_BACK
    for begin, end in hidden_spans(line[: LONGEST_LINE + _HELD_BACK]):
        if begin < wanted < end:
            return begin if begin > 0 else end
    return wanted


@contextmanager
def cleaned_into(log: Path) -> Iterator[int]:
    """Give a file descriptor for a child's output, whose lines are appended to `log` cleaned. Raises OSError.

    What cannot be written (a full disk) is read all the same: the child must not die of it. What still comes a second
    after the child ended, from processes that it left behind, is not waited for.
    """
    file = log.open("ab", buffering=0)
    reading, writing = os.pipe()
    copier = threading.Thread(target=_copy, args=(reading, file), daemon=True)
    copier.start()
    try:
        yield writing
    finally:
        os.close(writing)
        copier.join(1.0)


def _copy(reading: int, file: BinaryIO) -> None:
    with open(reading, "rb", buffering=0) as pipe, file:

        def keep(line: str) -> None:
            with contextlib.suppress(OSError):
                file.write(f"{line}\n".encode())

        output = Output(keep)
        while piece := pipe.read(65536):
            output.feed(piece)
        output.close()
