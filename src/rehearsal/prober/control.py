"""The control: a responder in a process of its own, on this host, that must never fail.

If a request to it fails, the fault lies with the prober's host, and what the other probes saw then proves nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys

from rehearsal.prober.beat import take_precedence

_ANSWER_BODY = b'{"responder": "rehearse"}'
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
    + f"Content-Length: {len(_ANSWER_BODY)}\r\n\r\n".encode()
    + _ANSWER_BODY
)


def main() -> None:
    """Answer on a loopback port, printed first, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    listener.settimeout(1)
    take_precedence(sys.argv[1])
    print(listener.getsockname()[1], flush=True)
    while os.getppid() == parent:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)  # only the prober asks, and it may be late
                if connection.recv(4096):
                    connection.sendall(_ANSWER)


if __name__ == "__main__":
    main()
