"""Monotonic instants as wall-clock times, for people only."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from typing import TYPE_CHECKING

from rehearsal.figures import say
from rehearsal.report.printed import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Clock:
    """Pairs of (monotonic ns, wall ns), sorted; each instant is shown by the last pair before it.

    Without any pair, instants are shown relative to `began_ns`.
    """

    pairs: tuple[tuple[int, int], ...]
    began_ns: int

    def wall_ns(self, t_ns: int) -> int | None:
        """Return the wall-clock time (ns since 1970) of an instant, None if no pair was recorded."""
        if not self.pairs:
            return None
        place = max(0, bisect_right(self.pairs, (t_ns, 1 << 80)) - 1)
        monotonic, wall = self.pairs[place]
        return wall + t_ns - monotonic

    def pieces(self, from_ns: int, to_ns: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of [from, to] in which one pair holds: inside of each, wall-clock time runs evenly."""
        borders = [monotonic for monotonic, _ in self.pairs[1:] if from_ns < monotonic <= to_ns]
        yield from zip([from_ns, *borders], [*(border - 1 for border in borders), to_ns], strict=True)

    def at(self, t_ns: int, decimals: int = 0) -> str:
        """Return the UTC time of day, cut (not rounded) to that many decimals: `06:24:48.123`."""
        wall = self.wall_ns(t_ns)
        if wall is None:
            return f"t+{say.fixed(t_ns - self.began_ns, max(1, decimals))}"
        text = datetime.fromtimestamp(wall // SECOND, UTC).strftime("%H:%M:%S")
        return f"{text}.{wall % SECOND // 10 ** (9 - decimals):0{decimals}d}" if decimals else text

    def day(self, t_ns: int) -> str:
        """Return the UTC date, `2026-11-24`, or an empty string if no pair was recorded."""
        wall = self.wall_ns(t_ns)
        return "" if wall is None else datetime.fromtimestamp(wall // SECOND, UTC).strftime("%Y-%m-%d")
