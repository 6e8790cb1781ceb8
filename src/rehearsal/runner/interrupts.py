"""Ctrl-C and SIGTERM as one exception, which clean-up can hold back."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rehearsal.runner.progress import say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Interrupted(BaseException):
    """The operator asked the run to stop. `name` is the signal's name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Interrupts:
    """Turns the first signals into `Interrupted`; inside `held` they are only noted."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._held = 0

    def install(self) -> None:
        """Take over SIGINT, SIGTERM and SIGHUP of this process (main thread only)."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        self.asked.append(name)
        if self._held:
            say(f"{name}: the run is already ending (canaries are being removed, then the report is written)")
            return
        raise Interrupted(name)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the work inside finish whatever the operator signals; a kill -9 still ends it, and loses nothing recorded."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
