"""What the operator sees: one line per thing that happens, with the time, flushed at once; no secrets, no terminal sequences."""

from __future__ import annotations

import contextlib
import sys
import threading
from datetime import UTC
from datetime import datetime
from typing import TextIO

from rehearsal.outside.terminal import shown
from rehearsal.outside.terminal import write

_lock = threading.Lock()


def say(text: str, *, prefix: str = "", stream: TextIO | None = None) -> None:
    """Print one or several lines, each with the UTC time and, for the output of others, a prefix."""
    out = stream or sys.stdout
    moment = datetime.now(UTC).strftime("%H:%M:%S")
    mark = f"{prefix} | " if prefix else ""
    lines = [f"{moment} {mark}{line}\n" for line in shown(text).removesuffix("\n").split("\n")]
    with _lock, contextlib.suppress(OSError):  # the terminal is gone; the journals go on
        write("".join(lines), out)
