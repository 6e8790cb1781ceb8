"""Which of many lengths is the worst: an open end beats every number."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.judging.results import Length
    from rehearsal.judging.results import Loss
    from rehearsal.judging.results import Window


def weight(length: Length) -> tuple[bool, int, int]:
    """Return a key by which lengths sort from short to long."""
    return (length.possible_ns is None, length.point_ns, length.possible_ns or length.certain_ns)


def longest_first(windows: Iterable[Window]) -> list[Window]:
    """Return windows by length, down before degraded of the same length."""
    return sorted(windows, key=lambda window: (weight(window.length), window.kind == "down"), reverse=True)


def worst_loss(losses: Iterable[Loss], kind: str) -> Loss | None:
    """Return the loss of that kind with the longest window, None if nothing was lost."""
    found = [loss for loss in losses if loss.kind == kind and loss.count]
    return max(found, key=lambda loss: weight(loss.longest), default=None)
