"""A terminal for tests: a command on a pseudo-terminal, and what its screen shows."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from typing import TYPE_CHECKING

import pyte

if TYPE_CHECKING:
    from collections.abc import Callable


class Screen:
    """A command whose terminal this is; `heard` has every byte that it wrote."""

    def __init__(self, command: list[str], *, columns: int = 100, lines: int = 30, **environment: str) -> None:
        self.heard = b""
        self.shown = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.shown)
        kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}}
        self._own, terminal = pty.openpty()
        self._size(terminal, columns, lines)
        self.pid = os.posix_spawnp(
            command[0],
            command,
            {**kept, "TERM": "xterm-256color", **environment},
            file_actions=[(os.POSIX_SPAWN_DUP2, terminal, number) for number in range(3)],
            setsid=True,
        )
        os.close(terminal)

    def _size(self, terminal: int, columns: int, lines: int) -> None:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        self._size(self._own, columns, lines)
        self.shown.resize(lines, columns)

    def read(self, until: Callable[[], bool] = lambda: False, within_s: float = 60.0) -> int | None:
        """Read until a condition holds (None), or until the command has ended; then return its exit code."""
        end_s = time.monotonic() + within_s
        while time.monotonic() < end_s:
            if select.select([self._own], [], [], 0.1)[0]:
                try:
                    data = os.read(self._own, 65536)
                except OSError:  # the last process let go of it
                    data = b""
                if not data:
                    return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                self.heard += data
                self._stream.feed(data)
            if until():
                return None
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError(f"not within {within_s} s:\n" + "\n".join(self.text))

    @property
    def text(self) -> list[str]:
        """The lines on the screen, without the empty ones below."""
        return "\n".join(line.rstrip() for line in self.shown.display).rstrip().split("\n")
