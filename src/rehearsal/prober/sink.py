"""Where probes put what they saw; the two processes of the prober have one recorder each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from typing import Protocol

if TYPE_CHECKING:
    from rehearsal.prober.echo.direction import Loss
    from rehearsal.recording.events import SampleDetail
    from rehearsal.recording.sampleclass import SampleClass

MOST_DETAILS_PER_S = 20  # per probe; the samples themselves are all kept


class Recorder(Protocol):
    """Where probes put what they saw; the two processes have one each."""

    def sample(  # noqa: PLR0913, PLR0917 - the fields of SAMPLE in their order
        self, probe: int, sample_class: SampleClass, flags: int, seq: int, due_ns: int, sent_ns: int, done_ns: int
    ) -> None:
        """Take one sample."""

    def detail(self, detail: SampleDetail) -> None:
        """Take a sentence about one sample."""

    def request_id(self, probe: int, seq: int) -> str:
        """Return the request id that a sample sends."""


class LossRecorder(Recorder, Protocol):
    """Where datagrams that were lost are put as well."""

    def lost(self, probe: int, loss: Loss) -> None:
        """Take which way datagrams were lost."""


class DetailCap:
    """Lets a bounded number of details per probe and second pass."""

    def __init__(self) -> None:
        self._second = 0
        self._counts: dict[int, int] = {}

    def passes(self, probe: int) -> bool:
        """Tell whether another detail of this probe may be written this second."""
        second = time.monotonic_ns() // 1_000_000_000
        if second != self._second:
            self._second = second
            self._counts.clear()
        count = self._counts[probe] = self._counts.get(probe, 0) + 1
        return count <= MOST_DETAILS_PER_S


def request_id(run_token: int, probe: int, seq: int) -> str:
    """Return `req-` and a lower-case UUID that says run, probe and sample, so that a service's log can be searched.

    oslo.middleware drops ids of any other shape silently.
    """
    return f"req-{run_token & 0xFFFFFFFF:08x}-{probe:04x}-4000-8000-{seq:012x}"
