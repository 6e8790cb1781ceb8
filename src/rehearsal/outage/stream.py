"""Many probes from one stream of stored blocks, with little memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rehearsal.outage.folding import joined

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from rehearsal.outage.folding import FloorFold
    from rehearsal.outage.folding import ProbeFold

    Samples = NDArray[np.void]


class StreamFold:
    """Feeds many probes' folds from blocks of a sample store, which are in the order of completion.

    `shared`: by probe, the fold in which several lanes are seen together. A sample may be stored as late as its answer
    came. So a moment counts as settled when samples were stored that were
    done `horizon_ns` later, and one whole batch after that: after a stall everything in flight completes at once.
    """

    def __init__(
        self,
        folds: dict[int, ProbeFold],
        *,
        horizon_ns: int,
        shared: dict[int, FloorFold] | None = None,
        batch: int = 1 << 18,  # small enough for the processor's cache and for memory that is used again
    ) -> None:
        self._folds = folds
        self._shared = shared or {}
        self._horizon = horizon_ns
        self._batch = batch
        self._blocks: list[Samples] = []
        self._held = 0
        self._newest = 0
        self._newest_before: int | None = None
        self.unknown: dict[int, int] = {}  # samples of probes that nobody declared

    def add(self, block: Samples) -> None:
        """Take the next block; it must not be changed afterwards."""
        if not len(block):
            return
        self._blocks.append(block)
        self._held += len(block)
        if self._held >= self._batch:
            self._feed()

    def finish(self) -> None:
        """Feed what is left; then the folds can be finished."""
        self._feed()

    def _feed(self) -> None:
        if not self._held:
            return
        settled = None if self._newest_before is None else self._newest_before - self._horizon
        batch = joined(self._blocks)
        self._newest = max(self._newest, int(batch["done"].max()))
        for probe, part in split_by_probe(batch):
            fold = self._folds.get(probe)
            if fold is None:
                self.unknown[probe] = self.unknown.get(probe, 0) + len(part)
                continue
            fold.add(part)
            if probe in self._shared:
                self._shared[probe].add(part)
        self._blocks, self._held = [], 0
        if settled is not None:
            for fold in self._folds.values():
                fold.settle(settled)
            for shared in set(self._shared.values()):
                shared.settle(settled)
        self._newest_before = self._newest


def split_by_probe(samples: Samples) -> Iterable[tuple[int, Samples]]:
    """Yield each probe's samples of a block, in the block's order; without a copy if they stand together."""
    numbers = samples["probe"]
    if len(numbers) and (numbers[1:] < numbers[:-1]).any():
        samples = samples[np.argsort(numbers, kind="stable")]
        numbers = samples["probe"]
    starts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
    for low, high in zip(starts.tolist(), [*starts[1:].tolist(), len(numbers)], strict=True):
        yield int(numbers[low]), samples[low:high]
