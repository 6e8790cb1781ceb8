"""The samples of a recording as a stream of blocks, each sample with the declaration that it belongs to.

Invariant: the cost is linear in the samples, the memory that of a block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rehearsal.recording.boots import shifted_chunks
from rehearsal.recording.samples import Account
from rehearsal.recording.samples import read_chunks
from rehearsal.recording.samples import sample_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rehearsal.recording.history import History

UNDECLARED = (1 << 16) - 1


def samples(history: History, *, settled_ns: int | None = None) -> Iterator[NDArray[np.void]]:
    """Yield the samples in the order of the store; `probe` is the index of the declaration in `history.probes`.

    Samples of a number that nobody declared get `UNDECLARED`. `settled_ns`: see `samples.read_chunks`. What is found in
    files that are read whole goes to `history.accounts`.
    """
    table = np.full(1 << 16, UNDECLARED, np.uint16)
    for number, spans in history.numbers.items():
        table[number] = spans[0][1]
    several = {number: spans for number, spans in history.numbers.items() if len(spans) > 1}
    for chunk in _chunks(history, settled_ns):
        numbers = chunk["probe"].copy()
        renumbered = chunk if chunk.flags.writeable else chunk.copy()
        renumbered["probe"] = table[numbers]
        for number, spans in several.items():
            _split(spans, np.flatnonzero(numbers == number), renumbered)
        yield renumbered


def _chunks(history: History, settled_ns: int | None) -> Iterator[NDArray[np.void]]:
    for path in sample_files(history.run_dir):
        account = Account(f"samples/{path.name}")
        if history.boots:
            yield from shifted_chunks(read_chunks(path, account=account), history.boots)
        else:
            yield from read_chunks(path, settled_ns=settled_ns, account=account)
        if settled_ns is None or history.boots:
            history.accounts[path.name] = account


def _split(spans: tuple[tuple[int, int], ...], mine: NDArray[np.intp], chunk: NDArray[np.void]) -> None:
    """Give the samples of a number that was declared again to the declaration of their time."""
    begins = np.array([begin for begin, _ in spans], np.int64)
    place = np.maximum(np.searchsorted(begins, chunk["sent"][mine], side="right") - 1, 0)
    chunk["probe"][mine] = np.array([index for _, index in spans], np.uint16)[place]
