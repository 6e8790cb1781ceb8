"""What the operator sees: one line per thing that happens, with the time, flushed at once; no secrets."""

from __future__ import annotations

import sys
import threading
from datetime import UTC
from datetime import datetime
from typing import TextIO

from rehearsal.redact import redact_text

_lock = threading.Lock()


def say(text: str, *, prefix: str = "", stream: TextIO | None = None) -> None:
    """Print one or several lines, each with the UTC time and, for the output of others, a prefix."""
    out = stream or sys.stdout
    moment = datetime.now(UTC).strftime("%H:%M:%S")
    mark = f"{prefix} | " if prefix else ""
    lines = [f"{moment} {mark}{line}\n" for line in redact_text(text).splitlines() or [""]]
    with _lock:
        try:
            out.write("".join(lines))
            out.flush()
        except OSError:
            pass  # the terminal is gone; the journals go on
