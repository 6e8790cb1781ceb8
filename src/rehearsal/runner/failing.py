"""Which probes fail at the moment and since when, followed in the prober's own samples while it writes them.

For the operator's eyes during a run. Nothing is judged here: a sample that failed is a failure, and its length is what has
passed since the first one in a row was due. What counts is decided by the judge, from the whole recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

import numpy as np

from rehearsal.recording.sampleclass import CountsAs
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.sampleflags import BLIND
from rehearsal.recording.samples import read_new

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_TELLS = np.zeros(256, np.int8)
"""By sample class: 1 for an answer, -1 for a failure, 0 for what proves nothing."""
for _each in SampleClass:
    _TELLS[_each] = {CountsAs.GOOD: 1, CountsAs.DEGRADED: 1, CountsAs.DOWN: -1}.get(_each.counts_as, 0)


@dataclass(slots=True)
class Failing:
    """Follows one sample file from where it ends now. Times are those of the samples: CLOCK_MONOTONIC, ns."""

    path: Path
    since: dict[int, int] = field(default_factory=dict)
    """By the number of a probe that fails now: when the first failed sample in a row was due."""
    ended: list[tuple[int, int, int]] = field(default_factory=list)
    """Failures that are over, as (probe, began, ended), in the order in which they were read; emptied by whoever counts them."""
    last_ns: int = 0
    """When the latest sample was due; 0 before the first one."""
    _good_ns: dict[int, int] = field(default_factory=dict)
    _offset: int = -1

    def look(self) -> None:
        """Read what was written since the last look. A file that is not there yet has nothing."""
        if self._offset < 0:
            self._offset = self.path.stat().st_size if self.path.exists() else 0
        try:
            blocks, self._offset = read_new(self.path, self._offset)
        except FileNotFoundError:
            return
        for samples in blocks:
            self.take(samples)

    def take(self, samples: NDArray[np.void]) -> None:
        """Take one block of samples (dtype SAMPLE), ordered by probe and sequence number."""
        self.last_ns = max(self.last_ns, int(samples["due"].max()))
        tells = _TELLS[samples["sample_class"]]
        tells[samples["flags"] & BLIND > 0] = 0
        telling = tells != 0
        probes, due, tells = samples["probe"][telling], samples["due"][telling], tells[telling]
        turns = np.ones(len(probes), bool)
        turns[1:] = (probes[1:] != probes[:-1]) | (tells[1:] != tells[:-1])
        for index in np.flatnonzero(turns):
            self._turn(int(probes[index]), int(due[index]), good=tells[index] > 0)
        lasts = np.ones(len(probes), bool)
        lasts[:-1] = turns[1:]
        for index in np.flatnonzero(lasts & (tells > 0)):
            self._good_ns[int(probes[index])] = int(due[index])

    def _turn(self, probe: int, due_ns: int, *, good: bool) -> None:
        if good:
            began_ns = self.since.pop(probe, None)
            if began_ns is not None:
                self.ended.append((probe, began_ns, due_ns))
        elif due_ns > self._good_ns.get(probe, 0):  # not one that was given up after later ones were answered
            self.since.setdefault(probe, due_ns)
