"""Taking samples in the test's own process, and what was recorded of them."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from rehearsal.lanes.spec import ProbeSpec
from rehearsal.prober.loop import Loop
from rehearsal.prober.schedule import Schedule
from rehearsal.prober.sink import request_id
from rehearsal.prober.web.tokens import Tokens
from rehearsal.prober.web.webprobe import WebProbe

if TYPE_CHECKING:
    from rehearsal.recording.sampleclass import SampleClass

MS = 1_000_000


@dataclass
class Row:
    probe: int
    sample_class: SampleClass
    flags: int
    seq: int
    due: int
    sent: int
    done: int


@dataclass
class Kept:
    """A recorder that keeps everything in memory."""

    rows: list[Row] = field(default_factory=list)
    details: list[dict] = field(default_factory=list)

    def sample(self, *values):
        self.rows.append(Row(*values))

    def detail(self, detail):
        self.details.append(dataclasses.asdict(detail))

    def request_id(self, probe, seq):
        return request_id(0xABCD, probe, seq)

    @property
    def classes(self):
        return [row.sample_class for row in self.rows]

    @property
    def messages(self):
        return " | ".join(detail["message"] for detail in self.details)


def web_spec(url, **changes):
    """Return a shallow probe of nova on this server, fast enough for a test."""
    path = changes.pop("path", "/v2.1/")
    settings = {"address": "127.0.0.1", **changes.pop("settings", {})}
    values = {
        "probe": 1,
        "name": "nova",
        "lane": "vip-new",
        "service": "nova",
        "target": url + path,
        "period_ns": 50 * MS,
        "deadline_ns": 8000 * MS,  # the far side is in Python, on a machine that may be busy
        "soft_ns": 0,
        "settings": settings,
        **changes,
    }
    return ProbeSpec(**values)


class Patient(Schedule):
    """A schedule that drops nothing, however busy the machine of the tests is."""

    def take(self, now_ns):
        if now_ns < self.due_ns:
            return [], 0
        taken = [(self.seq, self.due_ns)]
        self.seq += 1
        self.due_ns = max(self.due_ns + self.period_ns, now_ns)
        return taken, 0


class Limited:
    """A probe that takes only so many samples, also when a busy machine lets several fall due at once."""

    def __init__(self, probe, samples):
        self.schedule = probe.schedule
        self._probe = probe
        self._samples = samples

    def tick(self, seq, due_ns):
        if seq < self._samples:
            self._probe.tick(seq, due_ns)


def take_web(spec, samples=1, *, tokens=None, while_running=None, kind=WebProbe):
    """Take this many scheduled samples of one probe of the web, in this process; return what was recorded."""
    loop, kept = Loop(), Kept()
    schedule = Patient.starting(probe=spec.probe, period_ns=spec.period_ns, now_ns=time.monotonic_ns())
    probe = kind(spec, schedule, loop, kept, tokens or Tokens())
    limited = Limited(probe, samples)
    loop.add(limited)

    def look():
        if schedule.seq >= samples:
            loop.remove(limited)
            if not loop.in_flight():
                loop.end()
                return
        loop.call_at(time.monotonic_ns() + 2 * MS, look)

    look()
    if while_running is not None:
        while_running(loop)
    loop.run()
    probe.close()
    return kept
