"""The lanes tcp and udp: one line is sent per sample, and a sample is good if the same line comes back.

tcp is one established connection: what an application of a canary's user feels, which differs from what the network
did, because TCP waits ever longer before it sends again. If the connection breaks, everything on it fails, and the next
sample opens a new one, in the open: it is flagged FRESH. Other lines that the far side sends are ignored.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from typing import TYPE_CHECKING

from rehearsal.probe.exchange import Broken
from rehearsal.probe.exchange import Connection
from rehearsal.probe.exchange import broken_by
from rehearsal.probe.exchange import connecting
from rehearsal.probe.exchange import open_socket
from rehearsal.probe.pending import Pending
from rehearsal.probe.spec import CONNECT_NS
from rehearsal.probe.spec import family_of
from rehearsal.probe.spec import numeric_address
from rehearsal.probe.spec import port_of
from rehearsal.sampleclass import SampleClass
from rehearsal.sampleflags import FRESH
from rehearsal.sampleflags import RETRANSMITTED

if TYPE_CHECKING:
    from rehearsal.probe.loop import Exchange
    from rehearsal.probe.loop import Loop
    from rehearsal.probe.recorder import Recorder
    from rehearsal.probe.schedule import Schedule
    from rehearsal.probe.spec import ProbeSpec

_MOST_LINE_BYTES = 4096


class FlowProbe:
    """One probe of the lane tcp."""

    def __init__(self, spec: ProbeSpec, schedule: Schedule, recorder: Recorder, loop: Loop, token: bytes) -> None:
        self.spec = spec
        self.schedule = schedule
        self._recorder = recorder
        self._loop = loop
        self._address = (numeric_address(spec), port_of(spec))
        self._token = token.hex()
        self._line = re.compile(rf"rehearse {self._token} {spec.probe} (\d+)".encode())
        self._connection: Connection | None = None
        self._established = False
        self._unsent = b""
        self._heard = b""
        self.pending = Pending(spec, schedule, recorder, SampleClass.TIMEOUT_TTFB)

    def tick(self, seq: int, due_ns: int) -> None:
        """Send one line, over a new connection if there is none."""
        sent_ns = time.monotonic_ns()
        self.pending.add(seq, due_ns, sent_ns, 0 if self._established else FRESH)
        self._unsent += f"rehearse {self._token} {self.spec.probe} {seq}\n".encode()
        if self._connection is None:
            self._loop.start(self._connecting(sent_ns))
        elif self._established:
            self._send()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close(self._loop)
            self._connection = None
            self._established = False

    def _connecting(self, sent_ns: int) -> Exchange:
        try:
            sock = open_socket(family_of(self._address[0]), kept=True)
            connection = self._connection = Connection(sock)
            yield from connecting(sock, self._address, sent_ns + CONNECT_NS)
        except Broken as broken:
            self._break(broken)
            return
        if connection is not self._connection:  # closed meanwhile
            return
        self._loop.forget(sock.fileno())
        self._loop.watch(sock.fileno(), self.read)
        self._established = True
        self._send()

    def _send(self) -> None:
        if self._connection is None:
            return
        try:
            while self._unsent:
                self._unsent = self._unsent[self._connection.sock.send(self._unsent) :]
        except BlockingIOError:
            return  # what is left goes out with the next tick
        except OSError as error:
            self._break(broken_by(error, SampleClass.RST_MIDSTREAM))

    def read(self) -> None:
        """Take what has arrived."""
        if self._connection is None or not self._established:
            return
        try:
            data = self._connection.sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            self._break(broken_by(error, SampleClass.RST_MIDSTREAM))
            return
        arrived_ns = time.monotonic_ns()
        if not data:
            self._break(Broken(SampleClass.EOF_MIDBODY, "the canary closed the connection"))
            return
        flags = RETRANSMITTED if self._connection.retransmitted() else 0
        *lines, self._heard = (self._heard + data).split(b"\n")
        self._heard = self._heard[-_MOST_LINE_BYTES:]
        for line in lines:
            found = self._line.fullmatch(line.strip())
            if found:
                self.pending.answer(int(found[1]), arrived_ns, flags)

    def _break(self, broken: Broken) -> None:
        self.close()
        self._unsent = self._heard = b""
        self.pending.fail_all(time.monotonic_ns(), broken.sample_class, broken.message)


class DatagramProbe:
    """One probe of the lane udp: a datagram per sample, good if the same datagram comes back."""

    def __init__(self, spec: ProbeSpec, schedule: Schedule, recorder: Recorder, loop: Loop, token: bytes) -> None:
        self.spec = spec
        self.schedule = schedule
        self._loop = loop
        self._token = token.hex()
        self._line = re.compile(rf"rehearse {self._token} {spec.probe} (\d+)\s*".encode())
        address = numeric_address(spec)
        self._sock = socket.socket(family_of(address), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._sock.connect((address, port_of(spec)))
        self.pending = Pending(spec, schedule, recorder, SampleClass.NO_REPLY)
        loop.watch(self._sock.fileno(), self.read)

    def tick(self, seq: int, due_ns: int) -> None:
        """Send one datagram."""
        self.pending.add(seq, due_ns, time.monotonic_ns())
        try:
            self._sock.send(f"rehearse {self._token} {self.spec.probe} {seq}\n".encode())
        except ConnectionRefusedError:  # the answer to an earlier datagram; this one was not sent
            self._refused()
            with contextlib.suppress(OSError):
                self._sock.send(f"rehearse {self._token} {self.spec.probe} {seq}\n".encode())
        except OSError as error:
            broken = broken_by(error, SampleClass.LOCAL_FAULT)
            self.pending.fail(seq, time.monotonic_ns(), broken.sample_class, broken.message)

    def read(self) -> None:
        """Take what has arrived."""
        while True:
            try:
                data = self._sock.recv(2048)
            except ConnectionRefusedError:
                self._refused()
                continue
            except OSError:
                return
            found = self._line.fullmatch(data)
            if found:
                self.pending.answer(int(found[1]), time.monotonic_ns())

    def close(self) -> None:
        """Close the socket."""
        self._loop.forget(self._sock.fileno())
        self._sock.close()

    def _refused(self) -> None:
        """A port-unreachable names no datagram: it is about the oldest that is open."""
        seq = self.pending.oldest()
        if seq is not None:
            self.pending.fail(seq, time.monotonic_ns(), SampleClass.REFUSED, "the port is closed")
