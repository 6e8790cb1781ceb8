"""Numbers as sentences use them. Lower bounds are rounded down and upper bounds up, so that no rounding flatters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rehearsal.results import Length

SECOND_NS = 1_000_000_000


def at_least(ns: int) -> str:
    """Return seconds, rounded down."""
    return _seconds(ns, up=False)


def at_most(ns: int) -> str:
    """Return seconds, rounded up."""
    return _seconds(ns, up=True)


def exactly(ns: int) -> str:
    """Return seconds as a plan states them, without trailing zeros."""
    return f"{ns / SECOND_NS:.9f}".rstrip("0").rstrip(".") + " s"


def between(length: Length) -> str:
    """Return a length with its bounds."""
    if length.possible_ns is None:
        return f"at least {at_least(length.certain_ns)}"
    if length.certain_ns == 0:
        return f"at most {at_most(length.possible_ns)}"
    return f"{at_least(length.certain_ns).removesuffix(' s')} to {at_most(length.possible_ns)}"


def plural(count: int, noun: str) -> str:
    """Return `3 outages`, `1 outage`."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def number(count: int) -> str:
    """Return a count with thin spaces between thousands."""
    return f"{count:,}".replace(",", "\u202f")


def article(phrase: str) -> str:
    """Return a phrase with `a` or `an`."""
    return f"an {phrase}" if phrase[:1] in "aeiou" else f"a {phrase}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return names as a list in a sentence, cut after `most`."""
    shown = list(names[:most])
    if len(names) > most:
        shown.append(f"{len(names) - most} more")
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1] if shown else "none"


def _seconds(ns: int, *, up: bool) -> str:
    step = 1_000_000 if ns < SECOND_NS // 10 else 10_000_000 if ns < 100 * SECOND_NS else SECOND_NS
    steps = -(-ns // step) if up else ns // step
    digits = {1_000_000: 3, 10_000_000: 2, SECOND_NS: 0}[step]
    return f"{steps * step / SECOND_NS:.{digits}f} s"
