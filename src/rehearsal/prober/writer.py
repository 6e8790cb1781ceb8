"""What the first process writes: its journal and the sample store, by a thread of its own.

A disk that stalls must not delay a sample, so the loop only hands over. Invariant: if something cannot be written,
`failure` says so, and the prober ends instead of measuring into the void.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from rehearsal.prober.sink import DetailCap
from rehearsal.prober.sink import request_id
from rehearsal.recording.events import Event
from rehearsal.recording.events import ProberBlind
from rehearsal.recording.events import SampleDetail
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.samples import SAMPLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rehearsal.recording.journal import Journal
    from rehearsal.recording.samples import SampleStoreWriter

_FLUSH_S = 1.0
_CONTROL_FAULTS = frozenset({SampleClass.OK, SampleClass.SLOW_OK, SampleClass.CANCELLED_BY_STOP})


class Recording:
    """The first process's recorder."""

    def __init__(self, journal: Journal, store: SampleStoreWriter, run_token: int) -> None:
        self._journal = journal
        self._store = store
        self._run_token = run_token
        self._cap = DetailCap()
        self._rows: list[tuple[int, int, int, int, int, int, int]] = []
        self._blocks: list[NDArray[np.void]] = []
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._controls: set[int] = set()
        self._thread = threading.Thread(target=self._write, name="recording", daemon=True)
        self.failure = ""
        self.recorded = 0
        self._thread.start()

    def watch_control(self, probe: int) -> None:
        """Say that a probe must never fail: when it does, the prober is blind."""
        self._controls.add(probe)

    def sample(  # noqa: PLR0913, PLR0917, D102 - as in Recorder
        self, probe: int, sample_class: SampleClass, flags: int, seq: int, due_ns: int, sent_ns: int, done_ns: int
    ) -> None:
        self._rows.append((probe, sample_class, flags, seq, due_ns, sent_ns, done_ns))
        self.recorded += 1
        if probe in self._controls and sample_class not in _CONTROL_FAULTS:
            self.event(ProberBlind(sent_ns, done_ns, f"the local control failed: {sample_class.name}"))

    def samples(self, block: NDArray[np.void]) -> None:
        """Take samples of the second process (dtype SAMPLE)."""
        self._blocks.append(block)
        self.recorded += len(block)

    def detail(self, detail: SampleDetail) -> None:  # noqa: D102 - as in Recorder
        if self._cap.passes(detail.probe):
            self.event(detail)

    def request_id(self, probe: int, seq: int) -> str:  # noqa: D102 - as in Recorder
        return request_id(self._run_token, probe, seq)

    def event(self, event: Event) -> None:
        """Write an event soon."""
        self._events.put(event)

    def event_now(self, event: Event) -> None:
        """Write an event whose moment matters; waits for the disk."""
        self._journal.write(event)

    def finish(self) -> None:
        """Write what is left and end the thread; the journal stays open."""
        self._events.put(None)
        self._thread.join()

    def _write(self) -> None:
        try:
            self._write_until_told()
        except Exception as error:  # noqa: BLE001 - whatever it is, the prober must not go on as if it recorded
            self.failure = f"cannot record: {error}"

    def _write_until_told(self) -> None:
        flush_at = time.monotonic() + _FLUSH_S
        going = True
        while going:
            try:
                event = self._events.get(timeout=max(0.0, flush_at - time.monotonic()))
            except queue.Empty:
                pass
            else:
                if event is None:
                    going = False
                else:
                    self._journal.write(event)
            if not going or time.monotonic() >= flush_at:
                flush_at += _FLUSH_S
                self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        blocks, self._blocks = self._blocks, []
        if rows:
            self._store.append(np.array(rows, dtype=SAMPLE))
        for block in blocks:
            self._store.append(block)
        self._store.flush()
