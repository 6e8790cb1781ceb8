"""A file as one of the manager's containers has it, from the Docker engine of this machine.

Docker hands out the file itself: nothing is started in the container, and every read has its timeout, which the SDK's exec
has not. No engine, no such container, or no leave to ask it: then there is no such file, and whoever asked has another
source.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docker.models.containers import Container

_TIMEOUT_S = 30
_MOST_BYTES = 64 << 20


def read(container: str, path: str) -> str:
    """Return the text of a file in a running container of this machine; empty if it cannot be had."""
    if not _is_there():
        return ""
    import docker  # noqa: PLC0415 - takes a while to import, and most commands do not need it
    from requests import RequestException  # noqa: PLC0415

    try:
        with contextlib.closing(docker.from_env(timeout=_TIMEOUT_S)) as engine:
            found = engine.containers.get(container)
            return _text(found, path) if found.status == "running" else ""
    except (docker.errors.DockerException, RequestException, OSError, tarfile.TarError, UnicodeDecodeError):
        return ""


def _is_there() -> bool:
    """Tell whether something listens at the engine's socket: the SDK leaves its own socket open when nothing does."""
    scheme, _, path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").partition("://")
    if scheme != "unix":
        return True
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.settimeout(_TIMEOUT_S)
        try:
            sock.connect(path)
        except OSError:
            return False
    return True


def _text(container: Container, path: str) -> str:
    chunks, stat = container.get_archive(path)
    if target := (stat or {}).get("linkTarget"):
        chunks, _ = container.get_archive(target)
    packed = io.BytesIO()
    for chunk in chunks:
        if packed.tell() + len(chunk) > _MOST_BYTES:
            return ""
        packed.write(chunk)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive:
        member = archive.next()
        content = archive.extractfile(member) if member is not None and member.isfile() else None
        return content.read().decode() if content is not None else ""
