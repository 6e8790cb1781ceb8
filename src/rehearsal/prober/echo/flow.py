"""The lanes tcp and udp: one line is sent per sample, and a sample is good if the same line comes back.

A datagram carries its number and when it was sent; a beacon that counts puts its count behind it, so that it is known
which way those went that did not come back.

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

from rehearsal.lanes.spec import CONNECT_NS
from rehearsal.lanes.spec import family_of
from rehearsal.lanes.spec import numeric_address
from rehearsal.lanes.spec import port_of
from rehearsal.lanes.table import Transport
from rehearsal.prober.echo.direction import Directions
from rehearsal.prober.echo.pending import Pending
from rehearsal.prober.web.exchange import Broken
from rehearsal.prober.web.exchange import Connection
from rehearsal.prober.web.exchange import broken_by
from rehearsal.prober.web.exchange import connecting
from rehearsal.prober.web.exchange import open_socket
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.sampleflags import FRESH
from rehearsal.recording.sampleflags import RETRANSMITTED

if TYPE_CHECKING:
    from rehearsal.lanes.spec import ProbeSpec
    from rehearsal.prober.loop import Exchange
    from rehearsal.prober.loop import Loop
    from rehearsal.prober.schedule import Schedule
    from rehearsal.prober.sink import LossRecorder
    from rehearsal.prober.sink import Recorder

_MOST_LINE_BYTES = 4096
_READ_BYTES = 1 << 16


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
            data = self._connection.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._break(broken_by(error, SampleClass.RST_MIDSTREAM))
            return
        read_ns = time.monotonic_ns()
        if not data:
            self._break(Broken(SampleClass.EOF_MIDBODY, "the canary closed the connection"))
            return
        flags = RETRANSMITTED if self._connection.retransmitted() else 0
        from_ns = self._loop.arrived_from_ns(read_ns)
        *lines, self._heard = (self._heard + data).split(b"\n")
        self._heard = self._heard[-_MOST_LINE_BYTES:]
        for line in lines:
            found = self._line.fullmatch(line.strip())
            if found:
                self.pending.answer(int(found[1]), read_ns, flags, from_ns=from_ns)
        if len(data) == _READ_BYTES:
            self.read()

    def _break(self, broken: Broken) -> None:
        self.close()
        self._unsent = self._heard = b""
        self.pending.fail_all(time.monotonic_ns(), broken.sample_class, broken.message)


class DatagramProbe:
    """One probe of the lane udp: a datagram per sample, good if the same datagram comes back."""

    def __init__(self, spec: ProbeSpec, schedule: Schedule, recorder: LossRecorder, loop: Loop, token: bytes) -> None:
        self.spec = spec
        self.schedule = schedule
        self._loop = loop
        self._recorder = recorder
        self._token = token.hex()
        self._line = re.compile(
            rf"rehearse {self._token} {spec.probe} (\d{{1,19}}) (\d{{1,19}}) (\d{{1,19}}) (\d{{1,19}})?".encode()
        )
        self._number = 0
        self._directions = Directions(spec.deadline_ns)
        address = numeric_address(spec)
        self._sock = socket.socket(family_of(address), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._sock.connect((address, port_of(spec)))
        self.pending = Pending(spec, schedule, recorder, SampleClass.NO_REPLY)
        loop.watch(self._sock.fileno(), self.read)

    def tick(self, seq: int, due_ns: int) -> None:
        """Send one datagram."""
        sent_ns = time.monotonic_ns()
        self._tell(sent_ns)
        self.pending.add(seq, due_ns, sent_ns)
        line = (
            f"rehearse {self._token} {self.spec.probe} {seq} {self._number} {sent_ns} ".encode()
        )  # the space asks for the count
        try:
            try:
                self._sock.send(line)
            except ConnectionRefusedError:  # the answer to an earlier datagram; this one was not sent
                self._refused()
                with contextlib.suppress(ConnectionRefusedError):
                    self._sock.send(line)
            self._number += 1
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
                now_ns = time.monotonic_ns()
                seq, number, sent_ns = int(found[1]), int(found[2]), int(found[3])
                was_open = seq in self.pending
                self.pending.answer(seq, now_ns, from_ns=self._loop.arrived_from_ns(now_ns))
                if was_open:
                    self._directions.heard(number, None if found[4] is None else int(found[4]), sent_ns, now_ns)

    def _tell(self, now_ns: int, *, at_once: bool = False) -> None:
        loss = self._directions.told(now_ns, at_once=at_once)
        if loss is not None:
            self._recorder.lost(self.spec.probe, loss)

    def close(self) -> None:
        """Close the socket."""
        self._tell(time.monotonic_ns(), at_once=True)
        self._loop.forget(self._sock.fileno())
        self._sock.close()

    def _refused(self) -> None:
        """A port-unreachable names no datagram: it is about the oldest that is open."""
        seq = self.pending.oldest()
        if seq is not None:
            self.pending.fail(seq, time.monotonic_ns(), SampleClass.REFUSED, "the port is closed")


KINDS: dict[Transport, type[FlowProbe | DatagramProbe]] = {Transport.TCP: FlowProbe, Transport.UDP: DatagramProbe}
"""The probes that this process makes, by what carries their samples; pings go in rounds of their own (`echoes`)."""
