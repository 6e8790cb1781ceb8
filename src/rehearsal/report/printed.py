"""Figures as the page prints them: the words of `say`, and no line breaks between a number and its unit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rehearsal.figures import say
from rehearsal.figures.say import HOUR
from rehearsal.figures.say import MINUS
from rehearsal.figures.say import MINUTE
from rehearsal.figures.say import SECOND
from rehearsal.figures.say import Shown
from rehearsal.figures.say import count
from rehearsal.figures.say import rounded

if TYPE_CHECKING:
    from rehearsal.figures.length import Budget
    from rehearsal.figures.length import Length

__all__ = ["HOUR", "MINUS", "MINUTE", "SECOND", "Shown", "count", "rounded"]

_GAP = "\u00a0"
_BREAKS = re.compile(r"(?<=[\d≥≤]) (?=[\da-z%])|(?<=\bmin) (?=\d)|(?<=\bh) (?=\d)")


def _unbroken(text: str) -> str:
    """Return a figure that no line break tears apart: a number stays with its unit, and with the sign before it."""
    return _BREAKS.sub(_GAP, text)


def plural(number: int, one: str, many: str = "") -> str:
    """Return `1 step` or `3 steps`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def bounded(length: Length, budget_ns: int | None = None) -> Shown:
    """Show a length with its bounds so that each of the three stays on its own side of the budget (ns)."""
    shown = say.bounded(length, budget_ns)
    return Shown(_unbroken(shown.point), _unbroken(shown.span), shown.open)


def at_most(ns: int, limit_ns: int | None = None) -> str:
    """Show an upper figure (a floor, a blind time; ns): rounded up, but never across the limit (ns)."""
    return _unbroken(say.at_most(ns, limit_ns))


def about(ns: int) -> str:
    """Show an upper figure (ns) that is judged against nothing: a latency, a lag."""
    return _unbroken(say.about(ns))


def duration(ns: int) -> str:
    """Show how long something took (ns): `4.2 s`, `11 min 42 s`, `6 h 02 min`."""
    return _unbroken(say.duration(ns))


def lasted(seconds: float) -> str:
    """Show how long something took that was timed in seconds, as `duration` does."""
    return _unbroken(say.lasted(seconds))


def exactly(ns: int) -> str:
    """Show a budget (ns) with every digit that it has and none more: `0 s`, `0.5 s`, `2 min`."""
    return _unbroken(say.exactly(ns))


def fixed(ns: int, decimals: int) -> str:
    """Show a figure (ns) with that many decimals of a second, cut."""
    return _unbroken(say.fixed(ns, decimals))


def allowed(budget: Budget) -> str:
    """Say what a budget allows, without its source: `≤ 1 s, total ≤ 5 s, at most 3`; 0 is `none allowed`."""
    return _unbroken(say.allowed(budget))


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
