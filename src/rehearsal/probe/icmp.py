"""The lane icmp: echo requests on one socket per address family, replies believed only if everything fits.

A reply counts only if identifier, sequence number, source address and payload match an open sample: matching on
identifier and sequence number alone has reported dead hosts alive. Moments of arrival are the kernel's.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.probe.pending import Pending
from rehearsal.probe.spec import family_of
from rehearsal.probe.spec import numeric_address
from rehearsal.sampleclass import SampleClass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rehearsal.probe.recorder import Recorder
    from rehearsal.probe.schedule import Schedule
    from rehearsal.probe.spec import ProbeSpec

_HEAD = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
_MARK = struct.Struct("!8sQQ")  # token of the run, probe, sequence number of the sample
_LEAST_BYTES = _MARK.size
_MOST_BYTES = 8192
SO_TIMESTAMPNS = 35
SO_RXQ_OVFL = 40
_SO_ATTACH_FILTER = 26
_SOL_RAW, _ICMP_FILTER, _ICMP6_FILTER = 255, 1, 1
_RECEIVE_BUFFER_BYTES = 4 << 20
_BATCH = 256

ECHO_REPLY, UNREACHABLE, ECHO_REQUEST, TIME_EXCEEDED = 0, 3, 8, 11
ECHO_REQUEST_V6, ECHO_REPLY_V6, UNREACHABLE_V6, TIME_EXCEEDED_V6 = 128, 129, 1, 3


@dataclass(frozen=True, slots=True)
class Heard:
    """One ICMP message that may be about a sample of ours."""

    source: str  # for an error: where our request was going
    sequence: int
    payload: bytes
    arrived_ns: int  # monotonic
    error: str = ""  # not empty: a network element said no


def payload(token: bytes, probe: int, seq: int, size_bytes: int) -> bytes:
    """Return what an echo request carries, and its reply must carry back to the last byte."""
    return _MARK.pack(token, probe, seq).ljust(size_bytes, b"r")


def size_of(spec: ProbeSpec) -> int:
    """Return the length of the data of an echo request of this probe."""
    return min(max(int(spec.settings.get("size_bytes", 56)), _LEAST_BYTES), _MOST_BYTES)


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def arrived_ns(kernel_wall_ns: int, now_wall_ns: int, now_ns: int) -> int:
    """Return the monotonic moment of a kernel time stamp, which is wall time.

    A clock step between arrival and reading shows as a packet from the future or one that waited long; then the moment
    of reading is used, which is later and therefore safe.
    """
    waited_ns = now_wall_ns - kernel_wall_ns
    return now_ns - waited_ns if 0 <= waited_ns < 60_000_000_000 else now_ns


class EchoSocket:
    """One socket for all ICMP probes of an address family: raw if permitted, else datagram. Raises OSError if neither."""

    def __init__(self, family: socket.AddressFamily, token: bytes) -> None:
        self.family = family
        self.token = token
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

    def send(self, address: str, seq: int, probe: int, size_bytes: int) -> bytes:
        """Send one echo request, return its payload. Raises OSError."""
        data = payload(self.token, probe, seq, size_bytes)
        kind = ECHO_REQUEST if self.family == socket.AF_INET else ECHO_REQUEST_V6
        packet = _HEAD.pack(kind, 0, 0, self.identifier, seq & 0xFFFF) + data
        if self.family == socket.AF_INET:  # for IPv6 the kernel does it
            packet = packet[:2] + struct.pack("!H", checksum(packet)) + packet[4:]
        self.sock.sendto(packet, (address, 0))
        return data

    def hear(self) -> Iterator[Heard]:
        """Yield what has arrived."""
        for _ in range(_BATCH):
            try:
                data, extra, _, sender = self.sock.recvmsg(_MOST_BYTES + 128, 128)
            except OSError:  # nothing more, or an error that a sample reports by its silence
                return
            now_wall_ns, now_ns = time.time_ns(), time.monotonic_ns()
            kernel_wall_ns = now_wall_ns
            for level, kind, value in extra:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(value) >= 16:
                    seconds, nanoseconds = struct.unpack_from("@qq", value)
                    kernel_wall_ns = seconds * 1_000_000_000 + nanoseconds
                elif level == socket.SOL_SOCKET and kind == SO_RXQ_OVFL and len(value) >= 4:
                    self.drops = struct.unpack_from("@I", value)[0]
            moment_ns = arrived_ns(kernel_wall_ns, now_wall_ns, now_ns)
            if self.raw and self.family == socket.AF_INET:
                data = data[(data[0] & 0x0F) * 4 :] if data else b""
            heard = parse(self.family, data, sender[0], self.identifier, moment_ns)
            if heard is not None:
                yield heard

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


def parse(family: socket.AddressFamily, data: bytes, sender: str, identifier: int, moment_ns: int) -> Heard | None:
    """Return what an ICMP message (without its IP head) says about a request of ours, None if nothing."""
    if len(data) < _HEAD.size:
        return None
    kind, code, _, its_identifier, sequence = _HEAD.unpack_from(data)
    reply, unreachable, exceeded = (
        (ECHO_REPLY, UNREACHABLE, TIME_EXCEEDED)
        if family == socket.AF_INET
        else (ECHO_REPLY_V6, UNREACHABLE_V6, TIME_EXCEEDED_V6)
    )
    if kind == reply and its_identifier == identifier:
        return Heard(sender.split("%", maxsplit=1)[0], sequence, data[_HEAD.size :], moment_ns)
    if kind not in {unreachable, exceeded}:
        return None
    request = _undelivered(family, data[_HEAD.size :])
    if request is None:
        return None
    going_to, its_identifier, sequence = request
    if its_identifier != identifier:
        return None
    word = "unreachable" if kind == unreachable else "time exceeded"
    return Heard(going_to, sequence, b"", moment_ns, f"{sender} says {word}, code {code}")


def _undelivered(family: socket.AddressFamily, packet: bytes) -> tuple[str, int, int] | None:
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
    return (socket.inet_ntop(family, address), identifier, sequence) if kind == echo else None


class IcmpProbe:
    """One probe of the lane icmp."""

    def __init__(self, spec: ProbeSpec, schedule: Schedule, recorder: Recorder, echo: EchoSocket) -> None:
        self.spec = spec
        self.schedule = schedule
        self.address = str(numeric_address(spec))
        self._size_bytes = size_of(spec)
        self._echo = echo
        self._recorder = recorder
        self.pending = Pending(spec, schedule, recorder, SampleClass.NO_REPLY)

    def tick(self, seq: int, due_ns: int) -> None:
        """Send one echo request."""
        sent_ns = time.monotonic_ns()
        self.pending.add(seq, due_ns, sent_ns)
        try:
            self._echo.send(self.address, seq, self.spec.probe, self._size_bytes)
        except OSError as error:
            unreachable = error.errno in {errno.EHOSTUNREACH, errno.EHOSTDOWN}
            sample_class = SampleClass.UNREACHABLE if unreachable else SampleClass.LOCAL_FAULT
            self.pending.fail(seq, time.monotonic_ns(), sample_class, error.strerror or str(error))

    def hear(self, heard: Heard, token: bytes) -> None:
        """Take a message whose address is this probe's."""
        if heard.error:
            seq = self.pending.oldest_matching(heard.sequence)
            if seq is not None:
                self.pending.fail(seq, heard.arrived_ns, SampleClass.UNREACHABLE, heard.error)
            return
        if len(heard.payload) != self._size_bytes:
            return
        _, _, seq = _MARK.unpack_from(heard.payload)
        if heard.payload == payload(token, self.spec.probe, seq, self._size_bytes) and seq & 0xFFFF == heard.sequence:
            self.pending.answer(seq, heard.arrived_ns)


def probe_of(payload: bytes) -> int:
    """Return the probe that a payload claims to belong to, -1 if it is none of ours."""
    return int(_MARK.unpack_from(payload)[1]) if len(payload) >= _MARK.size else -1


def family_for(spec: ProbeSpec) -> socket.AddressFamily:
    """Return the address family of a probe."""
    return family_of(numeric_address(spec))
