"""Numbers as people read them, without ever telling a different story than the exact ones.

A certain length is rounded down, a possible length up, and where rounding would carry a figure across its budget,
digits are added until it no longer does. No verdict is made here: verdicts come from exact nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rehearsal.results import Budget
    from rehearsal.results import Length

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
_GAP = "\u00a0"  # between a number and its unit: no line break there
_THIN = "\u202f"  # between thousands
_DASH = "\u2013"
MINUS = "\u2212"
_EXACT = 9  # decimals of a second at which nanoseconds are shown whole


@dataclass(frozen=True, slots=True)
class Shown:
    """A length with its bounds, ready to print: `3.12 s`, `3.05-3.21`; an open end is spelled out."""

    point: str
    span: str
    open: bool

    def __str__(self) -> str:
        """All of it in one line: `3.12 s [3.05-3.21]`, with a dash that is an en dash."""
        return f"{self.point} [{self.span}]"


def count(number: int) -> str:
    """Return an integer with thin spaces between thousands."""
    return f"{number:,}".replace(",", _THIN)


def plural(number: int, one: str, many: str = "") -> str:
    """Return `1 step` or `3 steps`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def rounded(ns: int, decimals: int, towards: str) -> int:
    """Round a length (ns) to that many decimals of a second, `down`, `up` or to the `nearest`; return ns."""
    unit: int = 10 ** (_EXACT - decimals)
    if towards == "down":
        return ns // unit * unit
    if towards == "up":
        return -(-ns // unit) * unit
    return (2 * ns + unit) // (2 * unit) * unit


def bounded(length: Length, budget_ns: int | None = None) -> Shown:
    """Show a length with its bounds so that each of the three stays on its own side of the budget (ns)."""
    largest = length.point_ns if length.possible_ns is None else length.possible_ns
    decimals = _decimals(largest)
    while True:
        certain = rounded(length.certain_ns, decimals, "down")
        point = rounded(length.point_ns, decimals, "nearest")
        possible = None if length.possible_ns is None else rounded(length.possible_ns, decimals, "up")
        if decimals == _EXACT or budget_ns is None:
            break
        pairs = [(certain, length.certain_ns), (point, length.point_ns)]
        if possible is not None and length.possible_ns is not None:
            pairs.append((possible, length.possible_ns))
        if all((shown > budget_ns) == (exact > budget_ns) for shown, exact in pairs):
            break
        decimals += 1
    low = _spelled(certain, decimals)
    if possible is None:
        return Shown(f"≥{_GAP}{low}", f"{low} {_DASH} open", open=True)
    high = _spelled(possible, decimals)
    return Shown(_spelled(point, decimals), f"{_without_unit(low, high)}{_DASH}{high}", open=False)


def at_most(ns: int, limit_ns: int | None = None) -> str:
    """Show an upper figure (a floor, a blind time; ns): rounded up, but never across the limit (ns)."""
    decimals = _decimals(ns)
    while decimals < _EXACT and limit_ns is not None and ns <= limit_ns < rounded(ns, decimals, "up"):
        decimals += 1
    return _spelled(rounded(ns, decimals, "up"), decimals)


def about(ns: int) -> str:
    """Show a length (ns) that is judged against nothing: a latency, a lag."""
    if ns < SECOND:
        milliseconds = ns / 1e6
        digits = 0 if milliseconds >= 100 else 1 if milliseconds >= 10 else 2
        return f"{milliseconds:.{digits}f}{_GAP}ms"
    return duration(ns)


def duration(ns: int) -> str:
    """Show how long something took (ns): `4.2 s`, `11 min 42 s`, `6 h 02 min`; the last digit is rounded."""
    if ns < 0:
        return f"{MINUS}{duration(-ns)}"
    if ns < 9_950_000_000:
        return f"{ns / SECOND:.1f}{_GAP}s"
    whole = (ns + SECOND // 2) // SECOND
    if whole < 60:
        return f"{whole}{_GAP}s"
    minutes, seconds = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}{_GAP}min{_GAP}{seconds:02d}{_GAP}s"
    hours, minutes = divmod((whole + 30) // 60, 60)
    return f"{hours}{_GAP}h{_GAP}{minutes:02d}{_GAP}min"


def exactly(ns: int) -> str:
    """Show a budget (ns) with every digit that it has and none more: `0`, `0.5 s`, `2 min`."""
    if ns == 0:
        return "0"
    if ns >= 2 * MINUTE and ns % MINUTE == 0:
        return f"{ns // MINUTE}{_GAP}min"
    decimals = next(n for n in range(_EXACT + 1) if ns % 10 ** (_EXACT - n) == 0)
    return _spelled(ns, decimals)


def share(part: float, limit: float | None = None) -> str:
    """Show a share (0 to 1) in per cent: 0 % and 100 % only when exact, and never across the limit (0 to 1)."""
    if part in {0.0, 1.0}:
        return f"{part * 100:.0f}{_GAP}%"
    for digits in range(1, 12):
        shown = round(part * 100, digits)
        same_side = limit is None or (shown > limit * 100) == (part > limit)
        if 0 < shown < 100 and same_side:
            return f"{shown:.{digits}f}{_GAP}%"
    return f"{part * 100!r}{_GAP}%"


def allowed(budget: Budget) -> str:
    """Say what a budget allows, without its source: `≤ 1 s, total ≤ 5 s, at most 3`; 0 is `no failed sample`."""
    longest = "none allowed" if budget.longest_ns == 0 else f"≤{_GAP}{exactly(budget.longest_ns)}"
    total = "" if budget.total_ns is None else f"total ≤{_GAP}{exactly(budget.total_ns)}"
    times = "" if budget.count is None else f"at most {count(budget.count)}"
    return ", ".join(part for part in (longest, total, times) if part)


def _decimals(ns: int) -> int:
    if ns < SECOND // 10:
        return 3
    if ns < 100 * SECOND:
        return 2
    return 1 if ns < 10 * MINUTE else 0


def _spelled(ns: int, decimals: int) -> str:
    if ns == 0:
        return f"0{_GAP}s"
    minutes, rest = divmod(ns, MINUTE) if ns >= 10 * MINUTE else (0, ns)
    whole, fraction = divmod(rest, SECOND)
    digits = f".{fraction // 10 ** (_EXACT - decimals):0{decimals}d}" if decimals else ""
    if minutes:
        return f"{count(minutes)}{_GAP}min{_GAP}{whole:02d}{digits}{_GAP}s"
    return f"{whole}{digits}{_GAP}s"


def _without_unit(low: str, high: str) -> str:
    return low.removesuffix(f"{_GAP}s") if "min" not in low + high else low
