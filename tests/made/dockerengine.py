"""As much of a Docker engine as hands out files of running containers, over a socket of its own."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import socketserver
import tarfile
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import parse_qs
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping
    from pathlib import Path


@contextlib.contextmanager
def engine_with(socket: Path, files: Mapping[tuple[str, str], Path], *, status: str = "running") -> Iterator[str]:
    """Serve files by container and path while they are there; yield the engine's address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            words = parts.path.strip("/").split("/")[-3:]
            if words[-1] == "version":
                return self.answer({"ApiVersion": "1.43"})
            name = words[1]
            if words[-1] == "json" and any(name == container for container, _ in files):
                return self.answer({"Id": name, "Name": f"/{name}", "State": {"Status": status}})
            file = files.get((name, parse_qs(parts.query).get("path", [""])[0]))
            if words[-1] == "archive" and file is not None and file.exists():
                packed = io.BytesIO()
                with tarfile.open(fileobj=packed, mode="w") as archive:
                    archive.add(file, file.name)
                return self.send(200, packed.getvalue(), {"name": file.name, "linkTarget": ""})
            return self.send(404, b'{"message": "no such thing"}')

        def answer(self, data: object) -> None:
            self.send(200, json.dumps(data).encode())

        def send(self, code: int, body: bytes, stat: object = None) -> None:
            self.send_response(code)
            self.send_header("Content-Type", "application/json" if stat is None else "application/x-tar")
            self.send_header("Content-Length", str(len(body)))
            if stat is not None:
                self.send_header("X-Docker-Container-Path-Stat", base64.b64encode(json.dumps(stat).encode()).decode())
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    with Server(str(socket), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"unix://{socket}"
        server.shutdown()
