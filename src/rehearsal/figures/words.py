"""What sentences are made of: the words of lengths (see `say`), counts and lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.figures.say import SECOND as SECOND_NS
from rehearsal.figures.say import at_least
from rehearsal.figures.say import at_most
from rehearsal.figures.say import between
from rehearsal.figures.say import count as number
from rehearsal.figures.say import duration
from rehearsal.figures.say import exactly

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "SECOND_NS",
    "article",
    "at_least",
    "at_most",
    "between",
    "duration",
    "exactly",
    "listed",
    "number",
    "plural",
]


def plural(count: int, noun: str) -> str:
    """Return `3 outages`, `1 outage`."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def article(phrase: str) -> str:
    """Return a phrase with `a` or `an`."""
    return f"an {phrase}" if phrase[:1] in "aeiou" else f"a {phrase}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return names as a list in a sentence, cut after `most`."""
    shown = list(names[:most])
    if len(names) > most:
        shown.append(f"{len(names) - most} more")
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1] if shown else "none"
