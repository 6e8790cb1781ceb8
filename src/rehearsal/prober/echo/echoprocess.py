"""The second process of the prober: what reaches a canary, by ICMP, TCP and UDP.

It has a process of its own, because a TLS handshake of the first process would delay a packet. Orders come as JSON
lines on stdin; samples, details and a report per second go out as frames on stdout: kind (one byte), length u4, body.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import struct
import sys
import time
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.lanes import table
from rehearsal.lanes.spec import SECOND_NS
from rehearsal.lanes.spec import ProbeSpec
from rehearsal.lanes.table import Transport
from rehearsal.prober.beat import Pulses
from rehearsal.prober.beat import take_precedence
from rehearsal.prober.echo.echoes import Echoes
from rehearsal.prober.echo.flow import KINDS
from rehearsal.prober.loop import Loop
from rehearsal.prober.schedule import Schedule
from rehearsal.prober.sink import DetailCap
from rehearsal.prober.sink import request_id
from rehearsal.recording.events import SampleDetail
from rehearsal.recording.sampleclass import SampleClass

if TYPE_CHECKING:
    from rehearsal.prober.echo.direction import Loss
    from rehearsal.prober.echo.flow import DatagramProbe
    from rehearsal.prober.echo.flow import FlowProbe

    Probe = FlowProbe | DatagramProbe

FRAME = struct.Struct("<cI")
ROW = struct.Struct("<HBBIqqq")
SAMPLES, DETAIL, REPORT, LOST = b"S", b"D", b"R", b"L"
_FLUSH_NS = SECOND_NS // 4
_EXPIRE_NS = SECOND_NS // 20
_SLACK_NS = SECOND_NS // 20


class FrameRecorder:
    """The second process's recorder: everything becomes frames for the first."""

    def __init__(self, run_token: int) -> None:
        self._run_token = run_token
        self._cap = DetailCap()
        self._rows = bytearray()
        self._frames = bytearray()
        self.recorded = 0

    def sample(  # noqa: PLR0913, PLR0917, D102 - as in Recorder
        self, probe: int, sample_class: SampleClass, flags: int, seq: int, due_ns: int, sent_ns: int, done_ns: int
    ) -> None:
        self._rows += ROW.pack(probe, sample_class, flags, seq, due_ns, sent_ns, done_ns)
        self.recorded += 1

    def detail(self, detail: SampleDetail) -> None:  # noqa: D102 - as in Recorder
        if self._cap.passes(detail.probe):
            told = [detail.probe, detail.seq, detail.sample_class, detail.message]  # only the web has more to tell
            self._frame(DETAIL, json.dumps(told).encode())

    def lost(self, probe: int, loss: Loss) -> None:
        """Take which way datagrams were lost."""
        self._frame(LOST, json.dumps([probe, loss.from_ns, loss.to_ns, loss.lost, loss.there, loss.back]).encode())

    def request_id(self, probe: int, seq: int) -> str:  # noqa: D102 - as in Recorder
        return request_id(self._run_token, probe, seq)

    def report(self, facts: dict[str, Any]) -> None:
        """Tell the first process how this one is doing."""
        self._frame(REPORT, json.dumps(facts).encode())

    def flush(self) -> None:
        """Hand over what fits into the pipe; the rest stays until the next time."""
        if self._rows:
            rows, self._rows = self._rows, bytearray()
            self._frame(SAMPLES, bytes(rows))
        with contextlib.suppress(BlockingIOError):
            while self._frames:
                del self._frames[: os.write(1, self._frames)]

    def flush_all(self) -> None:
        """Hand over everything, waiting for the reader."""
        os.set_blocking(1, True)
        self.flush()

    def _frame(self, kind: bytes, body: bytes) -> None:
        self._frames += FRAME.pack(kind, len(body)) + body


class Reach:
    """The second process's state."""

    def __init__(self, run_token: int) -> None:
        self._token = struct.pack("!Q", run_token)
        self._loop = Loop()
        self._recorder = FrameRecorder(run_token)
        self._echoes = Echoes(self._loop, self._recorder, self._token)
        self._probes: dict[int, Probe] = {}
        self._retired: list[Probe] = []
        self._pulses = Pulses()
        self._orders = b""
        self._stop_by_ns = 0

    def run(self) -> None:
        """Probe until told to stop."""
        os.set_blocking(0, False)
        os.set_blocking(1, False)
        self._loop.watch(0, self._hear_orders)
        self._expire()
        self._report()
        self._flush()
        gc.collect()
        gc.freeze()
        gc.disable()
        self._loop.run()
        for probe in self._all():
            probe.close()  # with what it knows about the datagrams that it lost
        self._report_facts()
        self._recorder.flush_all()

    # --- orders ----------------------------------------------------------------------------------------------------

    def _hear_orders(self) -> None:
        try:
            data = os.read(0, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._loop.forget(0)
            self._stop(0.0)
            return
        *lines, self._orders = (self._orders + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if order["op"] == "declare":
                self._declare(ProbeSpec(**order["probe"]), order["seq"])
            elif order["op"] == "retire":
                self._retire(order["probe"])
            elif order["op"] == "period":
                self._period(order["probe"], order["period_ns"])
            elif order["op"] == "stop":
                self._stop(order["drain_s"])

    def _declare(self, spec: ProbeSpec, seq: int) -> None:
        try:
            if (transport := table.of(spec.lane).transport) is Transport.ICMP:
                self._echoes.declare(spec, seq)
                return
            schedule = Schedule.starting(
                probe=spec.probe, period_ns=spec.period_ns, now_ns=time.monotonic_ns(), seq=seq
            )
            probe = KINDS[transport](spec, schedule, self._recorder, self._loop, self._token)
        except OSError as error:  # not permitted: the probe stays without samples, which is unknown and named
            message = f"cannot be probed from here: {error.strerror or error}"
            self._recorder.detail(SampleDetail(spec.probe, seq, SampleClass.LOCAL_FAULT, message))
            return
        self._probes[spec.probe] = probe
        self._loop.add(probe)

    def _retire(self, number: int) -> None:
        self._echoes.retire(number)
        if number in self._probes:
            probe = self._probes.pop(number)
            self._loop.remove(probe)
            self._retired.append(probe)

    def _period(self, number: int, period_ns: int) -> None:
        self._echoes.period(number, period_ns)
        if number in self._probes:
            probe = self._probes[number]
            self._loop.remove(probe)
            probe.schedule.change(period_ns, time.monotonic_ns())
            self._loop.add(probe)

    # --- what arrives, what does not -------------------------------------------------------------------------------

    def _expire(self) -> None:
        now_ns = time.monotonic_ns()
        self._echoes.read_if_it_is_time(now_ns)
        if any(probe.pending.is_overdue(now_ns) for probe in self._all()):
            self._read()
            for probe in self._all():
                probe.pending.expire(now_ns)
        for probe in [probe for probe in self._retired if not len(probe.pending)]:
            self._retired.remove(probe)
            probe.close()
        self._loop.call_at(now_ns + _EXPIRE_NS, self._expire, _SLACK_NS)

    def _read(self) -> None:
        """Read everything that has arrived: an answer that waits in a socket is none that is missing."""
        for probe in self._all():
            probe.read()

    def _all(self) -> list[Probe]:
        return [*self._probes.values(), *self._retired]

    def _flush(self) -> None:
        self._recorder.flush()
        self._loop.call_at(time.monotonic_ns() + _FLUSH_NS, self._flush, _SLACK_NS)

    def _report(self) -> None:
        self._report_facts()
        gc.collect(1)
        self._loop.call_at(time.monotonic_ns() + SECOND_NS, self._report, _SLACK_NS)

    def _report_facts(self) -> None:
        pulse = self._pulses.take()
        probes = self._all()
        stalls, self._loop.stalls = self._loop.stalls, []
        self._recorder.report(
            {
                "lag_max_ns": self._loop.lag_max_ns,
                "run_delay_ns": pulse.run_delay_ns,
                "cpu_ns": pulse.cpu_ns,
                "in_flight": self._echoes.in_flight() + sum(len(probe.pending) for probe in probes),
                "dropped": self._loop.dropped,
                "socket_drops": self._echoes.drops(),
                "late": self._echoes.late + sum(probe.pending.late for probe in probes),
                "duplicates": self._echoes.duplicates + sum(probe.pending.duplicates for probe in probes),
                "stalls": stalls,
            }
        )
        self._loop.lag_max_ns = 0

    # --- the end ---------------------------------------------------------------------------------------------------

    def _stop(self, drain_s: float) -> None:
        if self._stop_by_ns:
            return
        self._stop_by_ns = time.monotonic_ns() + int(drain_s * SECOND_NS)
        self._loop.stop_ticking()
        self._loop.call_at(0, self._drain)

    def _drain(self) -> None:
        now_ns = time.monotonic_ns()
        self._echoes.read()
        if now_ns >= self._stop_by_ns:
            self._echoes.cancel()
            self._read()
            for probe in self._all():
                probe.pending.fail_all(now_ns, SampleClass.CANCELLED_BY_STOP, "")
        if self._echoes.in_flight() or any(len(probe.pending) for probe in self._all()):
            self._loop.call_at(now_ns + SECOND_NS // 100, self._drain)
        else:
            self._loop.end()


def main() -> None:
    """Run the second process: arguments are the run's token and the wanted precedence."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the first process says when to stop, or is gone: end of stdin
    take_precedence(sys.argv[2])
    Reach(int(sys.argv[1])).run()


if __name__ == "__main__":
    main()
