"""Docker's containers: their events as they come."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.hosts.engine import engine_connected
from rehearsal.hosts.engine import every_container
from rehearsal.witness.on_host.talk import LOCAL_TIMEOUT_S
from rehearsal.witness.on_host.talk import LONGEST_MESSAGE_BYTES
from rehearsal.witness.on_host.talk import received
from rehearsal.witness.on_host.talk import tell
from rehearsal.witness.on_host.talk import wall_ns

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from rehearsal.witness.on_host.talk import Sight

ACTIONS = ("start", "restart", "die", "stop", "kill", "oom", "pause", "unpause", "health_status")


def docker_event(line: bytes) -> dict[str, Any] | None:
    """Return what one line of Docker's event stream says about a container; None if it says nothing that matters."""
    try:
        event = json.loads(line.strip(b"\x1e\r\n "))
        action = str(event["Action"])
        attributes = event["Actor"].get("Attributes") or {}
        word, _, health = action.partition(":")
        if event.get("Type", "container") != "container" or word not in ACTIONS:
            return None
        return {
            "name": str(attributes.get("name", ""))[:200],
            "id": str(event["Actor"].get("ID", ""))[:64],
            "action": word,
            "wall_ns": int(event["timeNano"]),
            "image": str(attributes.get("image", ""))[:300],
            "exit_code": int(attributes["exitCode"]) if attributes.get("exitCode") else None,
            "signal": str(attributes.get("signal", ""))[:20],
            "health": health.strip()[:20],
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


class Containers:
    """Docker's events, and at each (re)connection what runs: what happened in a gap shows in when containers started."""

    def __init__(self, sight: Sight, changed: Callable[[str], None]) -> None:
        self._sight = sight
        self._changed = changed
        self._buffer = b""
        self.socket: socket.socket | None = None

    def connect(self) -> None:
        """Subscribe first, then look: nothing falls in between. Raises OSError."""
        filters = json.dumps({"type": ["container"], "event": list(ACTIONS)}, separators=(",", ":"))
        quoted = "".join(c if c.isalnum() else f"%{ord(c):02X}" for c in filters)
        stream = engine_connected(LOCAL_TIMEOUT_S)
        try:
            self._buffer = self._opened(stream, quoted)
            rows = self._rows()
        except OSError:
            stream.close()
            raise
        stream.setblocking(False)
        self.socket = stream
        self._sight("docker", "watching", "")
        tell("containers", wall_ns=wall_ns(), rows=rows)
        self._take(b"")

    @staticmethod
    def _opened(stream: socket.socket, filters: str) -> bytes:
        """Ask for the events; return what follows the answer's head."""
        # HTTP/1.0: the answer is not chunked and ends with the connection.
        stream.sendall(f"GET /events?filters={filters} HTTP/1.0\r\n\r\n".encode())
        heard = b""
        while b"\r\n\r\n" not in heard:
            part = stream.recv(65536)
            if not part:
                raise OSError("Docker closed the stream of its events")
            heard += part
        head, _, rest = heard.partition(b"\r\n\r\n")
        if head.split(b" ", 2)[1:2] != [b"200"]:
            raise OSError("Docker refuses to stream its events: {}".format(head[:80].decode(errors="replace")))
        return rest

    @staticmethod
    def _rows() -> list[dict[str, Any]]:
        rows = [
            {
                "name": seen["Name"].lstrip("/"),
                "id": seen["Id"],
                "status": seen["State"]["Status"],
                "started_at": seen["State"]["StartedAt"],
                "finished_at": seen["State"]["FinishedAt"],
                "health": (seen["State"].get("Health") or {}).get("Status") or "none",
            }
            for seen in every_container(LOCAL_TIMEOUT_S)
        ]
        return sorted(rows, key=lambda each: str(each["name"]))

    def read(self) -> None:
        """Take what Docker says now. Raises OSError if the stream has ended."""
        assert self.socket is not None
        self._take(received(self.socket, "Docker closed the stream of its events"))

    def _take(self, part: bytes) -> None:
        *lines, self._buffer = (self._buffer + part).split(b"\n")
        if len(self._buffer) > LONGEST_MESSAGE_BYTES:
            raise OSError("Docker's stream of events cannot be read")
        for line in lines:
            event = docker_event(line)
            if event is not None:
                tell("container", **event)
                self._changed(event["name"])

    def close(self) -> None:
        """Forget the connection."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None
