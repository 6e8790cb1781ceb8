"""Docker, and other daemons of a host, by their own local sockets. This module travels to hosts: it needs Python 3.8 alone."""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCKER_SOCKET = "/var/run/docker.sock"
DOCKER_DEAD = "Docker does not run: nothing answers at"
PATIENCE_S = 20.0
"""Docker is slow while it pulls; whoever has other things to do meanwhile waits less."""


class Absent(Exception):  # noqa: N818 - a fact, no error
    """There is no such container on this host."""


def connected(path: str, timeout_s: float) -> socket.socket:
    """Return a connection to a local socket. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def engine_connected(timeout_s: float = PATIENCE_S) -> socket.socket:
    """Return a connection to Docker. Raises OSError, with DOCKER_DEAD in its text if Docker itself does not run."""
    try:
        return connected(DOCKER_SOCKET, timeout_s)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise OSError(f"{DOCKER_DEAD} {DOCKER_SOCKET} ({error.strerror}); look at `systemctl status docker`") from None


class _Connection(http.client.HTTPConnection):
    """HTTP to Docker's own socket: there is no need for its command line program."""

    def connect(self) -> None:
        self.sock = engine_connected(float(self.timeout or PATIENCE_S))


def docker(path: str, timeout_s: float = PATIENCE_S) -> Any:
    """Return what Docker answers to a GET, decoded. Raises Absent (404), OSError, ValueError."""
    connection = _Connection("docker", timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"Docker breaks off its answer to {path}: {error!r}") from error
    finally:
        connection.close()
    if answer.status == 404:
        raise Absent(path)
    if answer.status != 200:
        raise OSError(f"Docker answers {answer.status} to {path}: {body[:200].decode(errors='replace')}")
    return json.loads(body.decode())


def every_container(timeout_s: float = PATIENCE_S) -> Iterator[Any]:
    """Yield what Docker knows of each container, also of those that do not run."""
    for row in docker("/containers/json?all=1", timeout_s):
        try:
            yield docker("/containers/{}/json".format(row["Id"]), timeout_s)
        except Absent:
            continue  # it was removed between the two questions


def root_of(container: str, timeout_s: float = PATIENCE_S) -> str:
    """Return where the files of a running container can be read. Raises Absent, OSError (it does not run)."""
    state = docker(f"/containers/{container}/json", timeout_s)["State"]
    if state["Status"] not in {"running", "paused"} or not state.get("Pid"):
        raise ConnectionError("its container does not run ({})".format(state["Status"]))
    return "/proc/{}/root/".format(state["Pid"])
