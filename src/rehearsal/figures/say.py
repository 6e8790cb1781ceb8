"""A length has one room: its words. Every text that names a length, anywhere, gets it from here.

A certain length is rounded down, a possible length up, and where rounding would carry a figure across its budget, digits
are added until it no longer does. So one length has the same digits in a sentence, in a table, on the terminal and in a
suite, and no rounding flatters. No verdict is made here: verdicts come from exact nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rehearsal.figures.length import Budget
    from rehearsal.figures.length import Length

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
THIN = "\u202f"  # between thousands
DASH = "\u2013"
MINUS = "\u2212"
_EXACT = 9  # decimals of a second at which nanoseconds are shown whole
_MILLI = 6  # decimals of a second at which milliseconds have three


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
    return f"{number:,}".replace(",", THIN)


def rounded(ns: int, decimals: int, towards: str) -> int:
    """Round a length (ns) to that many decimals of a second, `down`, `up` or to the `nearest`; return ns."""
    unit: int = 10 ** (_EXACT - decimals)
    if towards == "down":
        return ns // unit * unit
    if towards == "up":
        return -(-ns // unit) * unit
    return (2 * ns + unit) // (2 * unit) * unit


@dataclass(frozen=True, slots=True)
class _Digits:
    """The three instants of a length, each rounded to its own side, with the same number of decimals."""

    certain: int
    point: int
    possible: int | None
    decimals: int


def _digits(length: Length, budget_ns: int | None) -> _Digits:
    largest = length.point_ns if length.possible_ns is None else length.possible_ns
    decimals = _decimals(max(largest, length.certain_ns))
    while True:
        certain = rounded(length.certain_ns, decimals, "down")
        point = rounded(length.point_ns, decimals, "nearest")
        possible = None if length.possible_ns is None else rounded(length.possible_ns, decimals, "up")
        pairs = [(certain, length.certain_ns), (point, length.point_ns)]
        if possible is not None and length.possible_ns is not None:
            pairs.append((possible, length.possible_ns))
        keeps_sides = budget_ns is None or all((shown > budget_ns) == (exact > budget_ns) for shown, exact in pairs)
        if decimals == _EXACT or keeps_sides:
            return _Digits(certain, point, possible, decimals)
        decimals += 1


def bounded(length: Length, budget_ns: int | None = None) -> Shown:
    """Show a length with its bounds so that each of the three stays on its own side of the budget (ns)."""
    found = _digits(length, budget_ns)
    low = _spelled(found.certain, found.decimals)
    if found.possible is None:
        return Shown(f"≥ {low}", f"{low} {DASH} open", open=True)
    high = _spelled(found.possible, found.decimals)
    return Shown(_spelled(found.point, found.decimals), f"{_without_unit(low, high)}{DASH}{high}", open=False)


def between(length: Length, budget_ns: int | None = None) -> str:
    """Return a length with its bounds as a sentence says it, with the digits of `bounded`: `3.05 to 3.21 s`.

    What is known exactly is one figure, rounded up.
    """
    found = _digits(length, budget_ns)
    low = _spelled(found.certain, found.decimals)
    if found.possible is None:
        return f"at least {low}" if length.certain_ns else "an unknown time"
    high = _spelled(found.possible, found.decimals)
    if length.certain_ns == length.possible_ns:
        return high
    return f"{_without_unit(low, high)} to {high}" if length.certain_ns else f"at most {high}"


def at_least(ns: int, limit_ns: int | None = None) -> str:
    """Show a lower bound (ns): rounded down, but never across the limit (ns)."""
    decimals = _decimals(ns)
    while decimals < _EXACT and limit_ns is not None and rounded(ns, decimals, "down") <= limit_ns < ns:
        decimals += 1
    return _spelled(rounded(ns, decimals, "down"), decimals)


def at_most(ns: int, limit_ns: int | None = None) -> str:
    """Show an upper figure (a floor, a blind time; ns): rounded up, but never across the limit (ns)."""
    decimals = _decimals(ns)
    while decimals < _EXACT and limit_ns is not None and ns <= limit_ns < rounded(ns, decimals, "up"):
        decimals += 1
    return _spelled(rounded(ns, decimals, "up"), decimals)


def beyond(floor_ns: int | None, limit_ns: int | None = None) -> str:
    """Say below which length (ns) a count or a total may lack something; empty where nobody knows."""
    return "" if floor_ns is None else f"; shorter ones than {at_most(floor_ns, limit_ns)} may be missing from this"


def about(ns: int) -> str:
    """Show an upper figure (ns) that is judged against nothing (a latency, a lag): milliseconds, rounded up."""
    if ns < 0:
        return f"{MINUS}{about(-ns)}"
    for digits in (2, 1, 0):
        milliseconds = -(-ns * 10**digits // 10**_MILLI)
        if milliseconds < 1000:
            break
    if milliseconds < 1000 * 10**digits:
        whole, fraction = divmod(milliseconds, 10**digits)
        return f"{whole}.{fraction:0{digits}d} ms" if digits else f"{whole} ms"
    return at_most(ns)


def duration(ns: int) -> str:
    """Show how long something took (ns): `4.2 s`, `11 min 42 s`, `6 h 02 min`; the last digit is rounded."""
    if ns < 0:
        return f"{MINUS}{duration(-ns)}"
    if ns < 9_950_000_000:
        return f"{ns / SECOND:.1f} s"
    whole = (ns + SECOND // 2) // SECOND
    if whole < 60:
        return f"{whole} s"
    minutes, seconds = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    hours, minutes = divmod((whole + 30) // 60, 60)
    return f"{hours} h {minutes:02d} min"


def lasted(seconds: float) -> str:
    """Show how long something took that was timed in seconds, as `duration` does."""
    return duration(round(seconds * SECOND))


def fixed(ns: int, decimals: int) -> str:
    """Show a moment since the beginning (ns) with that many decimals of a second, cut."""
    return f"{MINUS if ns < 0 else ''}{_spelled_all(abs(ns), decimals)}"


def exactly(ns: int) -> str:
    """Show a budget or a limit (ns) with every digit that it has and none more: `0 s`, `0.5 s`, `2 min`, `24 h`."""
    if ns >= 2 * HOUR and ns % HOUR == 0:
        return f"{ns // HOUR} h"
    if ns >= 2 * MINUTE and ns % MINUTE == 0:
        return f"{ns // MINUTE} min"
    decimals = next(n for n in range(_EXACT + 1) if ns % 10 ** (_EXACT - n) == 0)
    return _spelled(ns, decimals)


def exact_s(seconds: float) -> str:
    """Show what a plan or a program sets in seconds, as `exactly` does."""
    return exactly(round(seconds * SECOND))


def allowed(budget: Budget) -> str:
    """Say what a budget allows, without its source: `≤ 1 s, total ≤ 5 s, at most 3`; 0 is `none allowed`."""
    longest = "none allowed" if budget.longest_ns == 0 else f"≤ {exactly(budget.longest_ns)}"
    total = "" if budget.total_ns is None else f"total ≤ {exactly(budget.total_ns)}"
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
        return "0 s"
    minutes, rest = divmod(ns, MINUTE) if ns >= 10 * MINUTE else (0, ns)
    whole, fraction = divmod(rest, SECOND)
    digits = f".{fraction // 10 ** (_EXACT - decimals):0{decimals}d}" if decimals else ""
    if minutes:
        return f"{count(minutes)} min {whole:02d}{digits} s"
    return f"{whole}{digits} s"


def _spelled_all(ns: int, decimals: int) -> str:
    whole, fraction = divmod(ns, SECOND)
    return f"{whole}.{fraction // 10 ** (_EXACT - decimals):0{decimals}d} s"


def _without_unit(low: str, high: str) -> str:
    return low.removesuffix(" s") if "min" not in low + high else low
