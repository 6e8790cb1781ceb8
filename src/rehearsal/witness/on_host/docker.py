"""Docker's containers: their events as they come, and where the files of one can be read."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.witness.on_host.talk import LONGEST_MESSAGE_BYTES
from rehearsal.witness.on_host.talk import connected
from rehearsal.witness.on_host.talk import tell
from rehearsal.witness.on_host.talk import wall_ns

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from rehearsal.witness.on_host.talk import Sight

DOCKER_SOCKET = "/var/run/docker.sock"
ACTIONS = ("start", "restart", "die", "stop", "kill", "oom", "pause", "unpause", "health_status")


class Absent(Exception):  # noqa: N818 - a fact, no error
    """There is no such container on this host."""


class DockerConnection(http.client.HTTPConnection):
    """HTTP to Docker's own socket: there is no need for its command line program."""

    def connect(self) -> None:
        """Connect to the socket on this host."""
        self.sock = connected(DOCKER_SOCKET)


def docker(path: str) -> Any:
    """Return what Docker answers to a GET, decoded. Raises Absent (404), OSError."""
    connection = DockerConnection("docker")
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()
    if answer.status == 404:
        raise Absent(path)
    if answer.status != 200:
        raise OSError(f"Docker answers {answer.status} to {path}")
    return json.loads(body.decode())


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
        stream = connected(DOCKER_SOCKET)
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
        rows = []
        for row in docker("/containers/json?all=1"):
            try:
                seen = docker("/containers/{}/json".format(row["Id"]))
            except Absent:
                continue  # it was removed between the two questions
            state = seen["State"]
            rows.append(
                {
                    "name": seen["Name"].lstrip("/"),
                    "id": seen["Id"],
                    "status": state["Status"],
                    "started_at": state["StartedAt"],
                    "finished_at": state["FinishedAt"],
                    "health": (state.get("Health") or {}).get("Status") or "none",
                }
            )
        return sorted(rows, key=lambda each: str(each["name"]))

    def read(self) -> None:
        """Take what Docker says now. Raises OSError if the stream has ended."""
        assert self.socket is not None
        try:
            part = self.socket.recv(65536)
        except BlockingIOError:
            return
        if not part:
            raise OSError("Docker closed the stream of its events")
        self._take(part)

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


def root_of(container: str) -> str:
    """Return where the files of a running container can be read. Raises Absent, OSError (it does not run)."""
    state = docker(f"/containers/{container}/json")["State"]
    if state["Status"] not in {"running", "paused"} or not state.get("Pid"):
        raise ConnectionError("its container does not run ({})".format(state["Status"]))
    return "/proc/{}/root/".format(state["Pid"])
