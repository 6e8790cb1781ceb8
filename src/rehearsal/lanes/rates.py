"""How often each lane asks: what is usual (`table`), and what an operator may say instead. Pure; rates are in Hz.

After a sample that was not good a lane with a long period looks again sooner (`Schedule.sooner`): how long an outage
lasted is then known to a second or two at its end, and to a period at its beginning.

A lane that is sampled faster on an occasion (`focus-`: the running step concerns its service; `migration-`: its guest
moves) is never sampled slower then, unless somebody says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.lanes import table
from rehearsal.lanes.spec import SECOND_NS
from rehearsal.lanes.table import Rate

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST_HZ, MOST_HZ = 1 / 600, 500.0
"""As in `spec.check_period`: rarer proves nothing, more often would harm the target."""


class RateRefused(Exception):  # noqa: N818 - it is refused, nothing is broken
    """A rate that cannot be; `str()` is one sentence, `remedy` another."""

    def __init__(self, sentence: str, remedy: str) -> None:
        super().__init__(sentence)
        self.remedy = remedy


OCCASIONS = {
    **{
        rate.focus: (rate, rate.focus_hz, "the running step concerns the service")
        for rate in table.RATES
        if rate.focus_hz
    },
    **{
        lane.migration: (lane.rate(), lane.migration_hz, "it is live-migrated")
        for lane in table.LANES
        if lane.migration_hz
    },
}
"""Rates of an occasion: the rate that they take the place of, Hz, and when."""
USUAL = {rate.name: rate for rate in table.RATES} | {
    name: Rate(name, hz, f"{rate.words}, while {when}") for name, (rate, hz, when) in OCCASIONS.items()
}
"""Every rate there is."""


def checked(name: str, hz: float) -> float:
    """Return a rate that can be. Raises RateRefused."""
    if name not in USUAL:
        raise RateRefused(f"{name!r} is no lane with a rate.", f"Known: {', '.join(USUAL)}.")
    if isinstance(hz, bool) or not isinstance(hz, int | float) or not LEAST_HZ * (1 - 1e-9) <= hz <= MOST_HZ:
        raise RateRefused(f"{hz!r} is no rate for {name}.", f"Give a number of Hz between 1/600 and {MOST_HZ:g}.")
    return float(hz)


def from_word(word: str) -> tuple[str, float]:
    """Return what `LANE=HZ` says. Raises RateRefused."""
    name, equals, text = word.partition("=")
    try:
        hz = float(text)
    except ValueError:
        hz = float("nan")
    if not equals or hz != hz:  # noqa: PLR0124 - not a number
        raise RateRefused(f"{word!r} names no rate.", "Write LANE=HZ, for example icmp=20.")
    return name, checked(name, hz)


def rates_of(given: Mapping[str, float]) -> dict[str, float]:
    """Return the rate of every lane: as given, else as usual; on an occasion at least that of the lane itself."""
    rates = {name: float(given.get(name, usual.hz)) for name, usual in USUAL.items()}
    least = {name: rates[rate.name] for name, (rate, _, _) in OCCASIONS.items() if name not in given}
    return rates | {name: max(rates[name], hz) for name, hz in least.items()}


AS_USUAL: Mapping[str, float] = rates_of({})


def period_ns(hz: float) -> int:
    """Return the period of a rate (ns), within what the prober accepts."""
    return min(max(round(SECOND_NS / hz), round(SECOND_NS / MOST_HZ)), 600 * SECOND_NS)
