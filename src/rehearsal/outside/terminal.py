"""The one place where anything is printed: without secrets, and without a command to the terminal."""

from __future__ import annotations

import sys
from typing import TextIO

from rehearsal.outside.plaintext import for_terminal
from rehearsal.outside.redact import redact_text


def shown(text: str) -> str:
    """Return a text from anywhere as it may be shown or kept in a log."""
    return redact_text(for_terminal(text))


def show(text: str, *, stream: TextIO | None = None) -> None:
    """Print a text of one or several lines. Raises OSError if nobody can be told any more."""
    write(f"{shown(text)}\n", stream or sys.stdout)


def warn(text: str) -> None:
    """Print a text on stderr."""
    show(text, stream=sys.stderr)


def write(text: str, stream: TextIO) -> None:
    """Write a text that was `shown`; what the terminal's character set lacks is spelled out."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
