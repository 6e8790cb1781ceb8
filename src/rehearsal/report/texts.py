"""Texts from a cloud: made harmless to look at, and measured so that labels do not collide.

Escaping is the template's work; this is about characters that would still deceive or break a page: controls, bidirectional
overrides, lone surrogates.
"""

from __future__ import annotations

from rehearsal.outside.plaintext import plain

__all__ = ["fitted", "plain", "shortened", "width"]

_NARROW = frozenset("ijltfrI.,:;|!'()[]/-` ")
_WIDE = frozenset("mwMW@%")
_CAUTION = 1.1  # fonts differ from reader to reader


def width(text: str, size: float) -> float:
    """Estimate the width of a label in a sans-serif font of that size, in the same unit, rather too wide."""
    return sum(_share(character) for character in text) * size * _CAUTION


def fitted(text: str, room: float, size: float) -> str:
    """Return the text, shortened in its middle if it is wider than the room, or an empty string if nothing fits."""
    if width(text, size) <= room:
        return text
    for kept in range(min(len(text) - 1, int(room / size * 4) + 1), 2, -1):
        shortened = f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"
        if width(shortened, size) <= room:
            return shortened
    return ""


def shortened(text: str, most: int) -> str:
    """Return the text, shortened in its middle to at most that many characters."""
    return text if len(text) <= most else f"{text[: most // 2]}…{text[len(text) - (most - most // 2 - 1) :]}"


def _share(character: str) -> float:
    if character in _NARROW:
        return 0.33
    if character in _WIDE:
        return 0.9
    if character.isupper():
        return 0.7
    return 0.56 if ord(character) < 0x2E80 else 1.0
