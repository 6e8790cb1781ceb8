"""What sentences are made of: the words of lengths (see `lengths`), counts and lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.lengths import SECOND as SECOND_NS
from rehearsal.lengths import at_least
from rehearsal.lengths import at_most
from rehearsal.lengths import between
from rehearsal.lengths import count as number
from rehearsal.lengths import duration
from rehearsal.lengths import exactly

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
