"""ICMP on the wire: one socket per address family, and what a message says. Moments of arrival are the kernel's."""

from __future__ import annotations

import os
import socket
import struct
from time import monotonic_ns
from time import time_ns
from typing import TYPE_CHECKING
from typing import NamedTuple

from rehearsal.prober.echo.mmsg import SO_RXQ_OVFL
from rehearsal.prober.echo.mmsg import SO_TIMESTAMPNS
from rehearsal.prober.echo.mmsg import Inbox

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
_SO_ATTACH_FILTER = 26
_SOL_RAW, _ICMP_FILTER, _ICMP6_FILTER = 255, 1, 1
_RECEIVE_BUFFER_BYTES = 4 << 20
_LONGEST_WAIT_NS = 60_000_000_000
_ROWS = 64  # read by one call
_MORE_BYTES = 192  # than the data of a request: heads, and what an error quotes

ECHO_REPLY, UNREACHABLE, ECHO_REQUEST, TIME_EXCEEDED = 0, 3, 8, 11
ECHO_REQUEST_V6, ECHO_REPLY_V6, UNREACHABLE_V6, TIME_EXCEEDED_V6 = 128, 129, 1, 3


class Heard(NamedTuple):
    """One ICMP message that may be about a sample of ours."""

    source: bytes  # an address; for an error: where our request was going
    sequence: int
    payload: bytes
    arrived_ns: int  # monotonic
    from_ns: int  # the earliest moment that is possible: the same if the kernel stamped the message when it arrived
    error: str = ""  # not empty: a network element said no


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def arrived_ns(kernel_wall_ns: int, before_ns: int, after_ns: int, now_ns: int) -> int:
    """Return the monotonic moment of a kernel time stamp, which is wall time.

    `before_ns`, `after_ns`: by how much the wall clock was ahead of the monotonic one when the socket was read last, and
    now: it may have been set while the packet waited. The latest moment that is possible is returned: a packet is never
    taken for earlier than it was.
    """
    first_ns, second_ns = (before_ns, after_ns) if before_ns < after_ns else (after_ns, before_ns)
    waited_ns = now_ns - kernel_wall_ns + first_ns
    if waited_ns < 0:
        waited_ns = now_ns - kernel_wall_ns + second_ns
    return now_ns - waited_ns if 0 <= waited_ns < _LONGEST_WAIT_NS else now_ns


def clock_offset_ns() -> int:
    """Return by how much the wall clock is ahead of the monotonic one."""
    return time_ns() - monotonic_ns()


class EchoSocket:
    """One socket for all ICMP probes of an address family: raw if permitted, else datagram. Raises OSError if neither."""

    def __init__(self, family: socket.AddressFamily) -> None:
        self.family = family
        self.drops = 0
        protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
        kind = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self.identifier = int.from_bytes(os.urandom(2), "big")
        try:
            self.sock = socket.socket(family, socket.SOCK_RAW | kind, protocol)
            self.raw = True
            self._filter()
        except PermissionError:
            self.sock = socket.socket(family, socket.SOCK_DGRAM | kind, protocol)
            self.raw = False
            self.sock.bind(("", 0) if family == socket.AF_INET else ("::", 0))
            self.identifier = self.sock.getsockname()[1]  # the kernel writes and matches it
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        self._offset_ns = clock_offset_ns()
        self._empty_ns = monotonic_ns()  # nothing had arrived that was not read
        self._inbox = Inbox(_ROWS, _MORE_BYTES)

    def head(self) -> bytes:
        """Return how a request begins, up to its sequence number."""
        kind = ECHO_REQUEST if self.family == socket.AF_INET else ECHO_REQUEST_V6
        return _HEAD.pack(kind, 0, 0, self.identifier, 0)[:-2]

    def make_room(self, size_bytes: int) -> None:
        """Expect replies with so many bytes of data."""
        if size_bytes + _MORE_BYTES > self._inbox.width:
            self._inbox = Inbox(_ROWS, size_bytes + _MORE_BYTES)

    def hear(self) -> Iterator[Heard]:
        """Yield everything that has arrived.

        The kernel begins to stamp some time after it was asked to; until then the stamp is made by the reading.
        """
        before_ns, self._offset_ns = self._offset_ns, clock_offset_ns()
        empty_ns, self._empty_ns = self._empty_ns, monotonic_ns()
        head = self.raw and self.family == socket.AF_INET
        begin, length = (4, 4) if self.family == socket.AF_INET else (8, 16)
        fd, inbox, read_ns = self.sock.fileno(), self._inbox, self._empty_ns
        while count := inbox.receive(fd):  # an error of the socket is one that a sample reports by its silence
            now_ns = monotonic_ns()
            for data, source, stamp_ns, lost in inbox.taken(begin, length):
                moment_ns = arrived_ns(stamp_ns, before_ns, self._offset_ns, now_ns)
                if lost:
                    self.drops = max(self.drops, lost)
                message = data[(data[0] & 0x0F) * 4 :] if head and data else data
                from_ns = moment_ns if moment_ns < read_ns else min(empty_ns, moment_ns)
                heard = parse(self.family, message, source, self.identifier, (moment_ns, from_ns))
                if heard is not None:
                    yield heard
            if 0 < count < inbox.rows:
                return
            self._empty_ns = read_ns = now_ns

    def _filter(self) -> None:
        """Let the kernel keep only replies to this socket and errors: a raw socket sees all ICMP of the host."""
        if self.family == socket.AF_INET6:
            pass_types = {ECHO_REPLY_V6, UNREACHABLE_V6, TIME_EXCEEDED_V6}
            words = [0xFFFFFFFF] * 8
            for number in pass_types:
                words[number >> 5] &= ~(1 << (number & 31)) & 0xFFFFFFFF
            self.sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("@8I", *words))
            return
        blocked = 0xFFFFFFFF & ~(1 << ECHO_REPLY | 1 << UNREACHABLE | 1 << TIME_EXCEEDED)
        self.sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("@I", blocked))  # cheaper: not even copied for us
        program = [
            (0xB1, 0, 0, 0),  # x = length of the IP head
            (0x50, 0, 0, 0),  # a = ICMP type
            (0x15, 3, 0, UNREACHABLE),
            (0x15, 2, 0, TIME_EXCEEDED),
            (0x15, 2, 0, ECHO_REPLY),
            (0x06, 0, 0, 0),  # drop
            (0x06, 0, 0, 0xFFFFFFFF),  # keep
            (0x48, 0, 0, 4),  # a = identifier
            (0x15, 0, 1, self.identifier),
            (0x06, 0, 0, 0xFFFFFFFF),  # keep
            (0x06, 0, 0, 0),  # drop
        ]
        code = b"".join(struct.pack("@HBBI", *line) for line in program)
        array = _ArrayOfBytes(code)
        self.sock.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HxxxxxxP", len(program), array.address)
        )


class _ArrayOfBytes:
    """Bytes at a known address, for a kernel structure that holds a pointer."""

    def __init__(self, data: bytes) -> None:
        import ctypes  # noqa: PLC0415 - only raw sockets need it

        self._buffer = ctypes.create_string_buffer(data, len(data))
        self.address = ctypes.addressof(self._buffer)


def parse(
    family: socket.AddressFamily, data: bytes, sender: bytes, identifier: int, moments_ns: tuple[int, int]
) -> Heard | None:
    """Return what an ICMP message (without its IP head) says about a request of ours, None if nothing.

    `moments_ns`: when it arrived, and the earliest moment that is possible (monotonic).
    """
    if len(data) < _HEAD.size:
        return None
    kind, code, _, its_identifier, sequence = _HEAD.unpack_from(data)
    reply, unreachable, exceeded = (
        (ECHO_REPLY, UNREACHABLE, TIME_EXCEEDED)
        if family == socket.AF_INET
        else (ECHO_REPLY_V6, UNREACHABLE_V6, TIME_EXCEEDED_V6)
    )
    if kind == reply and its_identifier == identifier:
        return Heard(sender, sequence, data[_HEAD.size :], *moments_ns)
    if kind not in {unreachable, exceeded}:
        return None
    request = _undelivered(family, data[_HEAD.size :])
    if request is None:
        return None
    going_to, its_identifier, sequence = request
    if its_identifier != identifier:
        return None
    word = "unreachable" if kind == unreachable else "time exceeded"
    told = f"{socket.inet_ntop(family, sender)} says {word}, code {code}"
    return Heard(going_to, sequence, b"", *moments_ns, told)


def _undelivered(family: socket.AddressFamily, packet: bytes) -> tuple[bytes, int, int] | None:
    """Return destination, identifier and sequence of the echo request in the packet that an error quotes."""
    if family == socket.AF_INET:
        head_bytes = (packet[0] & 0x0F) * 4 if packet else 0
        protocol_at, address, protocol, echo = 9, packet[16:20], socket.IPPROTO_ICMP, ECHO_REQUEST
    else:
        head_bytes = 40
        protocol_at, address, protocol, echo = 6, packet[24:40], socket.IPPROTO_ICMPV6, ECHO_REQUEST_V6
    request = packet[head_bytes:]
    if head_bytes < 20 or len(request) < _HEAD.size or packet[protocol_at] != protocol:
        return None
    kind, _, _, identifier, sequence = _HEAD.unpack_from(request)
    return (address, identifier, sequence) if kind == echo else None
