"""Services that fail by a sealed plan, and say when they really did: HTTP, HTTPS, an echo over TCP, and hosts that answer pings.

`python benchmarks/failing.py KIND [KEYFILE]` prints one line of JSON (where it listens), takes one of a plan (a list of
`{"kind", "length_s", "calm_s", "takes_s"}`) for each of its rigs on stdin, and prints the truth of each fault when it is
over: `{"rig", "number", "kind", "spans": [[began_least, began_most, ended_least, ended_most], ...]}`, monotonic ns.

web    refuse, reset, 503, blackhole (dropped before TCP sees it), hold, slow, flap (refuses again and again),
       queue-503 (a balancer that holds requests and then gives up), deep-503 (the path /deep alone)
echo   refuse, reset, blackhole, hold, flap
hosts  drop, flap, queue-drop (the path delays more and more before it drops), all behind a TUN device
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import time
import traceback
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from collections.abc import Iterable

RIGS = {"web": 4, "echo": 4, "hosts": 8}
HOST = "10.73.0.{}"
PORTS = range(20_000, 30_000)  # below those that the kernel gives to clients: a service comes back to its own port
_ATTACH, _DETACH = 26, 27
_BODY = json.dumps({"responder": "failing"}).encode()
_GOOD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
_BAD = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
Span = list[int]


class Web:
    """One HTTP or HTTPS service, or an echo of lines; `fault` is what it suffers now."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, echo: bool = False) -> None:
        self.tls, self.echo = tls, echo
        self.fault, self.takes_s = "", 0.0
        self.port = 0
        self.over = asyncio.Event()
        self.heard_ns = 0
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._held = 0

    async def listen(self) -> None:
        """Begin at the first free port, or again at the same one."""
        for port in [self.port] if self.port else PORTS:
            try:
                self._server = await asyncio.start_server(
                    self._serve, "127.0.0.1", port, ssl=self.tls, backlog=512, reuse_address=True
                )
            except OSError as error:
                if self.port or error.errno != errno.EADDRINUSE:
                    raise
            else:
                self.port = port
                return
        raise OSError(errno.EADDRINUSE, "no port is free")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.fault == "reset":
            self._reset(writer)
            return
        self._clients.add(writer)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while request := await self._request(reader):
                self.heard_ns = time.monotonic_ns()
                answer = await self._answer(request)
                if self.fault == "reset":
                    self._reset(writer)
                    return
                writer.write(answer)
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the client, or a fault, ended it
        finally:
            self._clients.discard(writer)
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> bytes:
        if self.echo:
            return await reader.readline()
        return await reader.readuntil(b"\r\n\r\n")

    async def _answer(self, request: bytes) -> bytes:
        good = request if self.echo else _GOOD
        if self.fault in {"hold", "queue-503"}:
            self._held += 1
            try:
                patience_s = self.takes_s if self.fault == "queue-503" else None
                await asyncio.wait_for(self.over.wait(), patience_s)
            except TimeoutError:
                return _BAD
            finally:
                self._held -= 1
        elif self.fault == "slow":
            await asyncio.sleep(self.takes_s)
        elif self.fault == "503" or (self.fault == "deep-503" and request.startswith(b"GET /deep")):
            return _BAD
        return good

    @staticmethod
    def _reset(writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            for sock in _sockets_of([writer]):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    def _sockets(self) -> list[Any]:
        listening = list(self._server.sockets) if self._server is not None else []
        return [*listening, *_sockets_of(self._clients)]

    async def begin(self, kind: str, takes_s: float) -> tuple[int, int]:
        """Suffer a fault; return the moments around the change."""
        before = time.monotonic_ns()
        self.takes_s, self.over = takes_s, asyncio.Event()
        self.fault = kind
        if kind == "blackhole":
            for sock in self._sockets():
                with contextlib.suppress(OSError):
                    _drop_everything(sock)
        elif kind in {"refuse", "reset"}:
            if kind == "refuse" and self._server is not None:
                self._server.close()
            for writer in list(self._clients):
                self._reset(writer)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return before, time.monotonic_ns()

    async def end(self) -> tuple[int, int]:
        """Be well again; return the moments around the change, and for those who were held until they were answered."""
        before = time.monotonic_ns()
        kind, self.fault = self.fault, ""
        self.over.set()
        if kind == "blackhole":
            self.heard_ns = 0
            for sock in self._sockets():
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, _DETACH, 0)
            # TCP sends again only when its own patience is over: until then the application has nothing.
            while self.echo and self._clients and not self.heard_ns:  # noqa: ASYNC110 - a thousandth of a second is the resolution
                await asyncio.sleep(0.001)
        elif kind == "refuse":
            await self.listen()
        while self._held:  # noqa: ASYNC110 - as soon as the last one was answered
            await asyncio.sleep(0)
        return before, time.monotonic_ns()


def _sockets_of(clients: Iterable[asyncio.StreamWriter]) -> list[Any]:
    """Their sockets; a TLS client that has just gone has none left."""
    found = [writer.get_extra_info("socket") for writer in clients]
    return [sock for sock in found if sock is not None]


def _drop_everything(sock: socket.socket) -> None:
    """Let the kernel drop what arrives for this socket before TCP sees it."""
    program = ctypes.create_string_buffer(struct.pack("@HBBI", 0x06, 0, 0, 0), 8)  # return 0 bytes
    sock.setsockopt(socket.SOL_SOCKET, _ATTACH, struct.pack("@HxxxxxxP", 1, ctypes.addressof(program)))


class Host:
    """One address behind the TUN device."""

    def __init__(self, wire: Wire, number: int) -> None:
        self.address = HOST.format(number + 10)
        self.dropping = False
        self.delay_s = 0.0
        self.grows_from_ns = 0
        wire.hosts[socket.inet_aton(self.address)] = self

    def wait_s(self) -> float:
        """How long an answer waits now: a queue that fills grows for a second, then is full for a while."""
        grown = min(1.0, (time.monotonic_ns() - self.grows_from_ns) / 1e9) if self.grows_from_ns else 0.0
        return self.delay_s * grown

    async def begin(self, kind: str, takes_s: float) -> tuple[int, int]:
        """Drop, at last; return the moments around the change."""
        if kind == "queue-drop":
            self.delay_s, self.grows_from_ns = takes_s, time.monotonic_ns()
            await asyncio.sleep(1.5 + takes_s)
        before = time.monotonic_ns()
        self.dropping = True
        self.grows_from_ns = 0
        return before, time.monotonic_ns()

    async def end(self) -> tuple[int, int]:
        """Answer again."""
        before = time.monotonic_ns()
        self.dropping = False
        return before, time.monotonic_ns()


class Wire:
    """A TUN device whose other end is this process."""

    def __init__(self) -> None:
        self.hosts: dict[bytes, Host] = {}
        self._file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self._file, 0x400454CA, struct.pack("16sH", b"failing0", 0x0001 | 0x1000))
        for command in ("addr add 10.73.0.1/24 dev failing0", "link set failing0 up"):
            subprocess.run(["ip", *command.split()], check=True)
        asyncio.get_running_loop().add_reader(self._file, self._read)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while packet := os.read(self._file, 2048):
                host = self.hosts.get(packet[16:20])
                if host is None or len(packet) < 28 or packet[9] != 1 or packet[20] != 8:
                    continue
                wait_s = host.wait_s()
                if wait_s:
                    asyncio.get_running_loop().call_later(wait_s, self._arrived, host, packet)
                else:
                    self._arrived(host, packet)

    def _arrived(self, host: Host, packet: bytes) -> None:
        if host.dropping:
            return
        reply = bytearray(packet)
        reply[12:16], reply[16:20] = packet[16:20], packet[12:16]
        reply[20] = 0
        checksum = int.from_bytes(packet[22:24], "big") + 0x0800  # the type went from 8 to 0
        reply[22:24] = ((checksum & 0xFFFF) + (checksum >> 16)).to_bytes(2, "big")
        with contextlib.suppress(OSError):
            os.write(self._file, bytes(reply))


async def carry_out(rig: int, service: Web | Host, plan: list[dict[str, Any]]) -> None:
    """Suffer the plan's faults one after the other, and tell the truth of each."""
    for number, fault in enumerate(plan):
        await asyncio.sleep(fault["calm_s"])
        spans: list[Span] = []
        until = time.monotonic_ns() + round(fault["length_s"] * 1e9)
        if fault["kind"] == "flap":
            while time.monotonic_ns() < until:
                spans.append(
                    await _once(service, "refuse" if isinstance(service, Web) else "drop", fault["takes_s"], 0.0)
                )
                await asyncio.sleep(fault["takes_s"])
        else:
            spans.append(await _once(service, fault["kind"], fault["length_s"], fault["takes_s"]))
        print(json.dumps({"rig": rig, "number": number, "kind": fault["kind"], "spans": spans}), flush=True)


async def _once(service: Web | Host, kind: str, length_s: float, takes_s: float) -> Span:
    began = await service.begin(kind, takes_s)
    await asyncio.sleep(length_s)
    return [*began, *await service.end()]


async def main(kind: str, keyfile: str = "") -> None:
    """Serve, take the plans, carry them out."""
    tls = None
    if keyfile:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(keyfile)
    if kind == "hosts":
        wire = Wire()
        services: list[Any] = [Host(wire, number) for number in range(RIGS[kind])]
        print(json.dumps([host.address for host in services]), flush=True)
    else:
        services = [Web(tls=tls, echo=kind == "echo") for _ in range(RIGS[kind])]
        for service in services:
            await service.listen()
        print(json.dumps([service.port for service in services]), flush=True)
    loop = asyncio.get_running_loop()
    plans = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    asked = loop.run_in_executor(None, sys.stdin.read)  # serve until nobody asks any more
    done = asyncio.gather(*(carry_out(rig, services[rig], plan) for rig, plan in enumerate(plans)))
    await asyncio.wait({asked, done}, return_when=asyncio.FIRST_COMPLETED)
    if asked.done():
        os._exit(1)  # whoever asked is gone
    if error := done.exception():
        traceback.print_exception(error)
        os._exit(1)  # a thread still waits for stdin: nothing else would end this process
    print(json.dumps("done"), flush=True)
    await asked


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
