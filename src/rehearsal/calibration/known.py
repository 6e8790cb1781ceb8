"""A service of the rehearsal's own that fails when it is told to: the known truth that the prober is measured against.

`python -m rehearsal.calibration.known` serves HTTP and an echo of lines on two loopback ports, printed first as JSON. Orders
come on stdin, one word a line; each is answered by `{"fault": word, "before_ns": ..., "after_ns": ...}`: the monotonic
moments around the change. The faults:

    none       answers at once
    blackhole  packets of clients are dropped before TCP sees them, also those of established connections
    refuse     nobody listens; established connections are reset
    503        answers 503
    hold       connections are taken, and answers held until the fault is over, as a web server does that is starting

Invariant: one fault at a time, taken and ended by an order, never by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.prober.beat import take_precedence

if TYPE_CHECKING:
    from collections.abc import Callable

FAULTS = ("none", "blackhole", "refuse", "503", "hold")
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_BODY = json.dumps({"responder": "known"}).encode()
_GOOD = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(_BODY)}\r\n\r\n".encode() + _BODY
_BAD = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@dataclass(slots=True)
class _Listening:
    """One of the two ports."""

    port: int
    sock: socket.socket
    reply: Callable[[bytes], bytes]


class KnownService:
    """The service and its present fault."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._fault = "none"
        self._clients: dict[socket.socket, Callable[[bytes], bytes]] = {}
        self._held: list[tuple[socket.socket, bytes]] = []
        self._ports = [self._listen(0, self._http), self._listen(0, lambda data: data)]
        self._going = True

    def run(self) -> None:
        """Serve until stdin ends."""
        print(json.dumps({"http": self._ports[0].port, "echo": self._ports[1].port}), flush=True)
        os.set_blocking(0, False)
        self._selector.register(0, selectors.EVENT_READ, self._obey)
        while self._going:
            for key, _ in self._selector.select():
                key.data()

    # --- serving ---------------------------------------------------------------------------------------------------

    def _listen(self, port: int, reply: Callable[[bytes], bytes]) -> _Listening:
        sock = socket.create_server(("127.0.0.1", port), backlog=512)
        sock.setblocking(False)
        listening = _Listening(sock.getsockname()[1], sock, reply)
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._accept(listening))
        return listening

    def _accept(self, listening: _Listening) -> None:
        try:
            client, _ = listening.sock.accept()
        except OSError:
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._fault == "blackhole":
            _drop_everything(client)
        self._clients[client] = listening.reply
        self._selector.register(client, selectors.EVENT_READ, lambda: self._hear(client))

    def _hear(self, client: socket.socket) -> None:
        try:
            data = client.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(client)
        elif self._fault == "hold":
            self._held.append((client, data))
        else:
            self._answer(client, data)

    def _http(self, data: bytes) -> bytes:
        count = data.count(b"\r\n\r\n")  # requests are small and come whole
        return (_BAD if self._fault == "503" else _GOOD) * count

    def _answer(self, client: socket.socket, data: bytes) -> None:
        try:
            client.send(self._clients[client](data))
        except (OSError, KeyError):
            self._close(client)

    def _close(self, client: socket.socket) -> None:
        if self._clients.pop(client, None) is not None:
            self._selector.unregister(client)
            client.close()

    # --- failing ---------------------------------------------------------------------------------------------------

    def _obey(self) -> None:
        words = os.read(0, 4096).decode().split()
        if not words:
            self._going = False
        for word in words:
            before_ns = time.monotonic_ns()
            self._end_fault()
            self._fault = word
            self._begin_fault()
            print(json.dumps({"fault": word, "before_ns": before_ns, "after_ns": time.monotonic_ns()}), flush=True)

    def _begin_fault(self) -> None:
        if self._fault == "blackhole":
            for sock in (*(listening.sock for listening in self._ports), *self._clients):
                with contextlib.suppress(OSError):
                    _drop_everything(sock)
        elif self._fault == "refuse":
            for listening in self._ports:
                self._selector.unregister(listening.sock)
                listening.sock.close()
            for client in list(self._clients):
                with contextlib.suppress(OSError):
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._close(client)

    def _end_fault(self) -> None:
        if self._fault == "blackhole":
            for sock in (*(listening.sock for listening in self._ports), *self._clients):
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        elif self._fault == "refuse":
            self._ports = [self._listen(listening.port, listening.reply) for listening in self._ports]
        elif self._fault == "hold":
            held, self._held = self._held, []
            self._fault = "none"
            for client, data in held:
                self._answer(client, data)


def _drop_everything(sock: socket.socket) -> None:
    """Let the kernel drop what arrives for this socket before TCP sees it: to the client, a black hole."""
    program = ctypes.create_string_buffer(struct.pack("@HBBI", 0x06, 0, 0, 0), 8)  # return 0 bytes
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HxxxxxxP", 1, ctypes.addressof(program)))


def main() -> None:
    """Run the service; the argument is the wanted precedence."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    take_precedence(sys.argv[1])
    KnownService().run()


if __name__ == "__main__":
    main()
