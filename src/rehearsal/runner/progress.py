"""What the operator sees: one line for each thing that happens, and on a terminal a live block below them.

Every line has the time, is flushed at once, and holds no secret and no terminal sequence that came from elsewhere. In a pipe
there are lines and nothing else; colours are added only for a terminal (or FORCE_COLOR) and never with NO_COLOR.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC
from datetime import datetime
from typing import TYPE_CHECKING
from typing import TextIO

from rich.console import Console
from rich.console import Group
from rich.live import Live
from rich.text import Text

from rehearsal.figures import say as lengths
from rehearsal.outside.terminal import shown
from rehearsal.outside.terminal import write

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterator
    from collections.abc import Sequence

_REDRAWN_EVERY_S = 0.5
_TIME = "%H:%M:%S"
_STYLES = {
    re.compile(r"^\d\d:\d\d:\d\d"): "dim",
    re.compile(r"(?<=^\d\d:\d\d:\d\d )──.*"): "bold",
    re.compile(r"(?<=^\d\d:\d\d:\d\d )error:.*"): "red",
    re.compile(r"(?<=^\d\d:\d\d:\d\d )warning:"): "yellow",
    re.compile(r"\bPASS\b"): "bold green",
    re.compile(r"\bFAIL(ED)?\b"): "bold red",
    re.compile(r"\bUNKNOWN\b"): "bold yellow",
    re.compile(r"^ +(failing|unreachable|no measurement)\b.*"): "red",
}
_lock = threading.RLock()  # a signal's handler may say something while a line is being printed
_blocks: list[Live] = []  # the one that is drawn now, if any


class _Out(io.TextIOBase):
    """stdout as it is now, for rich: what cannot be written is let go (the terminal is gone; the journals go on)."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            write(text, sys.stdout)
        return len(text)

    def isatty(self) -> bool:
        return sys.stdout.isatty()

    def fileno(self) -> int:
        return sys.stdout.fileno()


class _Screen(Console):
    """A console that never hides the cursor: a process that is killed could not bring it back."""

    def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002 - rich's signature
        return False


@functools.cache
def _screen() -> Console:
    colours = None if os.environ.get("NO_COLOR") else "auto"
    return _Screen(file=_Out(), color_system=colours, highlight=False, markup=False, emoji=False)  # type: ignore[arg-type]


def say(text: str, *, prefix: str = "") -> None:
    """Print one or several lines, each with the UTC time and, for the output of others, a prefix."""
    moment = datetime.now(UTC).strftime(_TIME)
    mark = f"{prefix} | " if prefix else ""
    lines = [f"{moment} {mark}{line}" for line in shown(text).removesuffix("\n").split("\n")]
    with _lock:
        if _screen().color_system is None and not _blocks:
            _Out().write("".join(f"{line}\n" for line in lines))
            return
        styled = [Text(line) if prefix else _styled(line) for line in lines]
        for line in styled:
            if prefix:
                line.stylize("dim", 0, len(moment) + 1 + len(mark))
        _screen().print(Text("\n").join(styled), soft_wrap=True)


def still(text: str, *, prefix: str = "") -> None:
    """Say that something goes on, where no live block shows it."""
    if not _blocks:
        say(text, prefix=prefix)


@contextmanager
def live(lines: Callable[[], Sequence[str]]) -> Iterator[None]:
    """Draw these lines below all others while the work inside goes on, and take them away after it; in a pipe do nothing.

    `lines` is called twice a second, by a thread of its own, and must return at once.
    """
    if not _draws():
        yield
        return
    over = threading.Event()
    drawing = threading.Thread(target=_redraw, args=(lines, over), name="live block", daemon=True)
    _begin()
    drawing.start()
    try:
        yield
    finally:
        over.set()
        _end()


def _redraw(lines: Callable[[], Sequence[str]], over: threading.Event) -> None:
    while not over.is_set():
        drawn = _drawn(lines)
        with _lock:
            for block in _blocks:
                block.update(drawn, refresh=True)
        over.wait(_REDRAWN_EVERY_S)


def _begin() -> None:
    with _lock:
        block = Live(
            console=_screen(),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=_is_terminal(sys.stderr),  # what libraries warn of there would tear the block
        )
        block.start()
        _blocks.append(block)


def _end() -> None:
    with _lock:
        while _blocks:
            _blocks.pop().stop()


def _draws() -> bool:
    """Tell whether a block can be drawn: FORCE_COLOR makes no terminal of a pipe."""
    return _is_terminal(sys.stdout) and _screen().is_interactive and not _blocks


def _is_terminal(stream: TextIO) -> bool:
    with contextlib.suppress(ValueError):  # it is closed
        return stream.isatty()
    return False


def working(what: str) -> contextlib.AbstractContextManager[None]:
    """Draw one live line that says what is being done and for how long."""
    began_s = time.monotonic()
    return live(lambda: [f"{what} · {lengths.lasted(time.monotonic() - began_s)}"])


@contextmanager
def paused() -> Iterator[None]:
    """Take the live block away while the operator is asked something."""
    was_drawn = bool(_blocks)
    _end()
    try:
        yield
    finally:
        if was_drawn:
            _begin()  # a new one: the old one would wipe out what was asked and answered


def _drawn(lines: Callable[[], Sequence[str]]) -> Group:
    """Return the block, cut at the terminal's width. It ends in an empty line, where a shell's prompt may stand."""
    try:
        told = [shown(line) for line in lines()]
    except Exception as error:  # noqa: BLE001 - what is only shown must not end a run
        told = [f"  this display failed: {type(error).__name__}"]
    return Group(*(_styled(line) for line in told), Text(""))


def _styled(line: str) -> Text:
    text = Text(line, no_wrap=True, overflow="ellipsis")
    for pattern, style in _STYLES.items():
        text.highlight_regex(pattern, style)
    return text
