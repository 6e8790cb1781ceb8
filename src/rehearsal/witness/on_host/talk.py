"""What a host says and how: a line of JSON each; what can be seen, told when it changes."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    import socket

RETRY_S = 1.0
ABSENT_S = 60.0
"""How often to look for what this host does not have; that its container starts is seen at once."""
LOCAL_TIMEOUT_S = 2.0
"""A daemon on this host that does not answer its own socket for so long is told as blind."""
LONGEST_MESSAGE_BYTES = 16 * 1024 * 1024


class Gone(Exception):  # noqa: N818 - an end, no error
    """Nobody listens any more."""


def wall_ns() -> int:
    """Return this host's wall clock."""
    return time.time_ns()


def tell(kind: str, **facts: Any) -> None:
    """Say one thing. Raises Gone."""
    line = json.dumps({"k": kind, **facts}, separators=(",", ":")).encode() + b"\n"
    try:
        while line:
            line = line[os.write(1, line) :]
    except OSError as error:
        raise Gone from error


class Sight:
    """What can be seen, told when it changes."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, str]] = {}

    def __call__(self, part: str, state: str, why: str) -> None:
        """Tell whether a part is watched."""
        if self._last.get(part) != (state, why):
            self._last[part] = state, why
            tell("sight", part=part, state=state, why=why[:300], wall_ns=wall_ns())


def received(connection: socket.socket, ended: str) -> bytes:
    """Return what has arrived, empty if nothing has. Raises OSError with these words if the other side is gone."""
    try:
        part = connection.recv(65536)
    except BlockingIOError:
        return b""
    if not part:
        raise OSError(ended)
    return part
