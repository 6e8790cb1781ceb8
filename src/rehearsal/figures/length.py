"""A length: how long something was, between two bounds that hold. Its order, its sum, and whether it fits a budget.

``certain_ns <= truth <= possible_ns``; `possible_ns` None is an open length: nobody saw the end. Lengths are ordered by
what most likely was, an open one above all others; of equals, the one that possibly was longer is longer, then the one of
which more is certain. The words of a length are in `say`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import total_ordering
from typing import TYPE_CHECKING

from rehearsal.figures.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable


@total_ordering
@dataclass(frozen=True, slots=True)
class Length:
    """A length with its bounds (ns): certainly at least, most likely, possibly at most (None: open, not known)."""

    certain_ns: int
    point_ns: int
    possible_ns: int | None

    @classmethod
    def between(cls, certain_ns: int, possible_ns: int | None) -> Length:
        """Return a length of which only the bounds are known: most likely the middle of them."""
        return cls(certain_ns, certain_ns if possible_ns is None else (certain_ns + possible_ns) // 2, possible_ns)

    @property
    def is_open(self) -> bool:
        """True if nobody knows how long it can have been at most."""
        return self.possible_ns is None

    @property
    def doubt_ns(self) -> int:
        """How far its bounds lie apart (ns); of an open length 0, for there is no second bound."""
        return 0 if self.possible_ns is None else self.possible_ns - self.certain_ns

    def __lt__(self, other: Length) -> bool:
        """Tell whether it was shorter, most likely."""
        return self._rank < other._rank

    def __add__(self, other: Length) -> Length:
        """Return both together, bound by bound; one open length makes the sum open."""
        ends = self.possible_ns is not None and other.possible_ns is not None
        return Length(
            self.certain_ns + other.certain_ns,
            self.point_ns + other.point_ns,
            (self.possible_ns or 0) + (other.possible_ns or 0) if ends else None,
        )

    def against(self, *, budget_ns: int) -> Outcome:
        """Judge the length against a budget (ns).

        ok if even the possible length fits, fail if even the certain length does not, otherwise unknown: the resolution
        does not support a verdict. An open length is never ok.
        """
        if self.certain_ns > budget_ns:
            return Outcome.FAIL
        if self.possible_ns is not None and self.possible_ns <= budget_ns:
            return Outcome.OK
        return Outcome.UNKNOWN

    @property
    def _rank(self) -> tuple[bool, int, int, int]:
        return (self.is_open, self.point_ns, self.possible_ns or 0, self.certain_ns)


@dataclass(frozen=True, slots=True)
class Budget:
    """What is allowed, and who says so: `contract`, `default`, `plan`, `rehearsal:<run ids>`."""

    longest_ns: int
    total_ns: int | None
    count: int | None
    source: str


NOTHING = Length(0, 0, 0)


def longest(lengths: Iterable[Length]) -> Length:
    """Return how long the longest of lengths was: each bound is the largest of its kind; of none, `NOTHING`."""
    found = list(lengths)
    if not found:
        return NOTHING
    ends = [each.possible_ns for each in found if each.possible_ns is not None]
    return Length(
        max(each.certain_ns for each in found),
        max(each.point_ns for each in found),
        max(ends) if len(ends) == len(found) else None,
    )


def together(lengths: Iterable[Length]) -> Length:
    """Return the sum of lengths; of none, `NOTHING`."""
    return sum(lengths, NOTHING)
