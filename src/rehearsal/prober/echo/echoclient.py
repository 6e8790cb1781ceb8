"""The first process's side of the second one: starts it, passes orders on, takes its frames, starts it again if it dies."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from rehearsal.lanes.spec import SECOND_NS
from rehearsal.prober.echo.echoprocess import DETAIL
from rehearsal.prober.echo.echoprocess import FRAME
from rehearsal.prober.echo.echoprocess import LOST
from rehearsal.prober.echo.echoprocess import SAMPLES
from rehearsal.recording.events import DatagramsLost
from rehearsal.recording.events import ProberBlind
from rehearsal.recording.events import SampleDetail
from rehearsal.recording.samples import SAMPLE

if TYPE_CHECKING:
    from rehearsal.lanes.spec import ProbeSpec
    from rehearsal.prober.loop import Loop
    from rehearsal.prober.writer import Recording

_PIPE_BYTES = 1 << 20  # holds minutes of samples while the first process is stopped
_STALL_SHOWN_NS = SECOND_NS // 10


@dataclass(slots=True)
class Report:
    """How the second process is doing; sums since the last report except `dropped` and `in_flight`."""

    lag_max_ns: int = 0
    run_delay_ns: int = 0
    cpu_ns: int = 0
    in_flight: int = 0
    dropped: int = 0
    socket_drops: int = 0
    late: int = 0
    duplicates: int = 0


class Reaching:
    """The second process as the first one sees it."""

    def __init__(self, loop: Loop, recording: Recording, run_token: int, precedence: str) -> None:
        self._loop = loop
        self._recording = recording
        self._run_token = run_token
        self._precedence = precedence
        self._process: subprocess.Popen[bytes] | None = None
        self._specs: dict[int, ProbeSpec] = {}
        self._next_seq: dict[int, int] = {}
        self._frames = bytearray()
        self._heard_ns = 0
        self._stopping = False
        self._report = Report()

    @property
    def is_over(self) -> bool:
        """True if there is nothing more to hear."""
        return self._process is None

    def wait_until_ready(self, timeout_s: float = 20.0) -> None:
        """Wait for its first words, so that no probe is declared to a process that is still starting."""
        if self._process is not None and self._process.stdout is not None:
            select.select([self._process.stdout], [], [], timeout_s)

    def declare(self, spec: ProbeSpec, seq: int) -> None:
        """Let a probe begin with this sequence number."""
        self._specs[spec.probe] = spec
        self._next_seq[spec.probe] = seq
        self._order({"op": "declare", "probe": spec.to_dict(), "seq": seq})

    def retire(self, probe: int) -> int:
        """Let a probe end; return the first sequence number that is surely free."""
        spec = self._specs.pop(probe)
        self._order({"op": "retire", "probe": probe})
        in_flight = int(spec.deadline_ns / spec.period_ns) + int(spec.samples_per_s) + 1
        return self._next_seq.pop(probe) + in_flight

    def period(self, probe: int, period_ns: int) -> None:
        """Let a probe fire with another period."""
        self._specs[probe] = dataclasses.replace(self._specs[probe], period_ns=period_ns)
        self._order({"op": "period", "probe": probe, "period_ns": period_ns})

    def stop(self, drain_s: float) -> None:
        """Let it drain and end."""
        self._stopping = True
        self._order({"op": "stop", "drain_s": drain_s})

    def take_report(self) -> Report:
        """Return how it did since this was last asked."""
        report, self._report = self._report, Report(in_flight=self._report.in_flight, dropped=self._report.dropped)
        return report

    def close(self) -> None:
        """End it if it has not ended by itself."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    # --- the process -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process and tell it what was declared."""
        command = [sys.executable, "-m", "rehearsal.prober.echo.echoprocess", str(self._run_token), self._precedence]
        process = self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if process.stdout is not None:
            fd = process.stdout.fileno()
            with contextlib.suppress(OSError):
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            os.set_blocking(fd, False)
            self._loop.watch(fd, self._hear)
        self._frames.clear()
        self._heard_ns = time.monotonic_ns()
        for number, spec in self._specs.items():
            self._order({"op": "declare", "probe": spec.to_dict(), "seq": self._next_seq[number]})

    def _order(self, order: dict[str, Any]) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # if it died, `_hear` finds out
                self._process.stdin.write(json.dumps(order).encode() + b"\n")
                self._process.stdin.flush()

    def _hear(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        fd = self._process.stdout.fileno()
        try:
            data = os.read(fd, _PIPE_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._loop.forget(fd)
            self._ended()
            return
        self._heard_ns = time.monotonic_ns()
        self._frames += data
        at = 0
        while len(self._frames) - at >= FRAME.size:
            kind, length = FRAME.unpack_from(self._frames, at)
            if len(self._frames) - at - FRAME.size < length:
                break
            self._take(kind, bytes(self._frames[at + FRAME.size : at + FRAME.size + length]))
            at += FRAME.size + length
        del self._frames[:at]

    def _take(self, kind: bytes, body: bytes) -> None:
        if kind == SAMPLES:
            block = np.frombuffer(body, dtype=SAMPLE)
            self._recording.samples(block)
            for probe in np.unique(block["probe"]).tolist():
                last = int(block["seq"][block["probe"] == probe].max())
                if probe in self._next_seq:
                    self._next_seq[probe] = max(self._next_seq[probe], last + 1)
            return
        if kind == DETAIL:
            self._recording.detail(SampleDetail(*json.loads(body)))
            return
        if kind == LOST:
            self._recording.event(DatagramsLost(*json.loads(body)))
            return
        facts = json.loads(body)
        report = self._report
        report.lag_max_ns = max(report.lag_max_ns, facts["lag_max_ns"])
        report.run_delay_ns += facts["run_delay_ns"]
        report.cpu_ns += facts["cpu_ns"]
        report.in_flight = facts["in_flight"]
        report.dropped = facts["dropped"]
        report.socket_drops = facts["socket_drops"]
        report.late = facts["late"]
        report.duplicates = facts["duplicates"]
        for began_ns, ended_ns in facts["stalls"]:
            if ended_ns - began_ns > _STALL_SHOWN_NS:
                self._recording.event(ProberBlind(began_ns, ended_ns, "the prober (icmp, tcp) was not running"))

    def _ended(self) -> None:
        if self._process is None:
            return
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process = None
        if self._stopping:
            return
        cause = f"the prober (icmp, tcp) died with exit code {code}"
        self._recording.event(ProberBlind(self._heard_ns, time.monotonic_ns(), cause))
        for number, spec in self._specs.items():  # what was in flight is lost: leave its numbers free
            self._next_seq[number] += int(2 * spec.samples_per_s) + 1
        self.start()
