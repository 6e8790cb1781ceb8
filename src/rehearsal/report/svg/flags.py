"""Labels on poles above a crowded row: none covers another one, no pole runs through a label.

A label may stand centred on its pole, to the right or to the left of it, in one of a few rows. A beam search from left to
right finds rows that are as low as possible; where nothing fits, a label is left out (its number stays in the row).
"""

from __future__ import annotations

from dataclasses import dataclass

from rehearsal.report import texts

_ROWS = 7
_BEAM = 40
_GAP = 6.0
_CLEAR = 2.5  # between a pole and a label that it passes
_DROPPED = 25.0
_LEANING = 0.3
_HEIGHT = 4.0  # what one more row costs
_LONGEST = 150.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A label that wants a place above `pole`."""

    pole: float
    label: str
    css: str


@dataclass(frozen=True, slots=True)
class Flag:
    """A label with its place: `row` 0 is the lowest, None means left out."""

    pole: float
    left: float
    right: float
    row: int | None
    label: str
    css: str


@dataclass(frozen=True, slots=True)
class _Try:
    cost: float
    highest: int
    flags: tuple[Flag, ...]


def placed(wanted: list[Wanted], left: float, right: float, size: float) -> list[Flag]:
    """Return a place for every wanted label, which come sorted by their poles; all stay between left and right."""
    beam = [_Try(0.0, -1, ())]
    for one in wanted:
        label = texts.fitted(one.label, _LONGEST, size)
        wide = texts.width(label, size)
        places = [_Spot(one.pole - wide / 2, 0.0), _Spot(one.pole, _LEANING), _Spot(one.pole - wide, _LEANING)]
        inside = [spot for spot in places if spot.left >= left and spot.left + wide <= right]
        beam = sorted((tried for old in beam for tried in _extended(old, one, label, wide, inside)), key=_cost)[:_BEAM]
    return list(beam[0].flags)


@dataclass(frozen=True, slots=True)
class _Spot:
    left: float
    cost: float


def _cost(tried: _Try) -> float:
    return tried.cost + _HEIGHT * tried.highest


def _extended(old: _Try, one: Wanted, label: str, wide: float, spots: list[_Spot]) -> list[_Try]:
    found = [
        _Try(
            old.cost + _DROPPED * (1 if one.css == "ok" else 4),
            old.highest,
            (*old.flags, Flag(one.pole, 0, 0, None, label, one.css)),
        )
    ]
    near = [flag for flag in old.flags[-40:] if flag.row is not None]
    for spot in spots:
        for row in range(_ROWS):
            flag = Flag(one.pole, spot.left, spot.left + wide, row, label, one.css)
            if not any(_clash(flag, other) for other in near):
                found.append(_Try(old.cost + row + spot.cost, max(old.highest, row), (*old.flags, flag)))
    return found


def _clash(one: Flag, other: Flag) -> bool:
    if one.row is None or other.row is None:
        return False
    if one.row == other.row:
        return one.left < other.right + _GAP and other.left < one.right + _GAP
    upper, lower = (one, other) if one.row > other.row else (other, one)
    return lower.left - _CLEAR < upper.pole < lower.right + _CLEAR
