"""Which of many lengths is the worst: an open end beats every number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.judging.losses import Loss
    from rehearsal.judging.windows import Window


@dataclass(frozen=True, slots=True)
class Length:
    """A length with its bounds (ns): certainly at least, most likely, possibly at most (None: open, not known)."""

    certain_ns: int
    point_ns: int
    possible_ns: int | None


@dataclass(frozen=True, slots=True)
class Budget:
    """What is allowed, and who says so: `contract`, `default`, `plan`, `rehearsal:<run ids>`."""

    longest_ns: int
    total_ns: int | None
    count: int | None
    source: str


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
