"""How often each lane asks: what is usual, and what an operator may say instead. Pure; rates are in Hz.

After a sample that was not good a lane with a long period looks again sooner (`Schedule.sooner`): how long an outage
lasted is then known to a second or two at its end, and to a period at its beginning.

A lane that is sampled faster on an occasion (`focus-`: the running step concerns its service; `migration-`: its guest
moves) is never sampled slower then, unless somebody says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.lanes.spec import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST_HZ, MOST_HZ = 1 / 600, 500.0
"""As in `spec.check_period`: rarer proves nothing, more often would harm the target."""
FOCUS, MIGRATION, V6 = "focus-", "migration-", "-v6"


class RateRefused(Exception):  # noqa: N818 - it is refused, nothing is broken
    """A rate that cannot be; `str()` is one sentence, `remedy` another."""

    def __init__(self, sentence: str, remedy: str) -> None:
        super().__init__(sentence)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Rate:
    """What is usual for a lane, and what the lane is."""

    hz: float
    lane: str


USUAL = {
    "vip-new": Rate(10, "APIs at the public VIP, over new connections"),
    "vip-reused": Rate(10, "APIs at the public VIP, over kept connections"),
    "internal-new": Rate(1, "APIs at the internal VIP, over new connections"),
    "internal-reused": Rate(1, "APIs at the internal VIP, over kept connections"),
    "deep": Rate(1, "authenticated reads, with a token from before the run"),
    "deep-fresh": Rate(0.5, "authenticated reads, with a fresh token"),
    "token-issue": Rate(1 / 30, "keystone issues a token"),
    "backend-new": Rate(1, "each API server past HAProxy, over new connections"),
    "backend-reused": Rate(1, "each API server past HAProxy, over kept connections"),
    "icmp": Rate(50, "pings of each canary"),
    "tcp": Rate(20, "an established connection to each canary"),
    "udp": Rate(20, "datagrams to each canary and back, counted on both sides"),
    "icmp-v6": Rate(50, "pings of each canary over IPv6, where the cloud routes it"),
    "tcp-v6": Rate(10, "an established connection to each canary over IPv6"),
    "udp-v6": Rate(10, "datagrams to each canary and back over IPv6"),
    "guest-beat": Rate(20, "a canary's own heart, by which it notices that it stood still"),
    "guest-write": Rate(4, "a canary writes past the page cache to its own disk"),
    "guest-peer": Rate(5, "a canary asks the other canaries of its network"),
    "write": Rate(1 / 20, "something cheap is created and deleted in the canaries' project"),
    "focus-vip-new": Rate(10, "services of the running step: new connections to the public VIP"),
    "focus-vip-reused": Rate(20, "services of the running step: kept connections to the public VIP"),
    "focus-internal-new": Rate(2, "services of the running step: new connections to the internal VIP"),
    "focus-internal-reused": Rate(2, "services of the running step: kept connections to the internal VIP"),
    "focus-deep": Rate(2, "services of the running step: authenticated reads, with a token from before the run"),
    "focus-deep-fresh": Rate(2, "services of the running step: authenticated reads, with a fresh token"),
    "focus-token-issue": Rate(0.5, "keystone issues a token, while a step concerns it"),
    "focus-write": Rate(0.2, "services of the running step: something cheap is created and deleted"),
    "focus-backend-new": Rate(5, "services of the running step: each API server, new connections"),
    "focus-backend-reused": Rate(5, "services of the running step: each API server, kept connections"),
    "migration-icmp": Rate(100, "pings of a canary that is being migrated"),
}
"""Every rate there is. Kept connections cost no handshake, so that they carry the focus."""


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
    for name, hz in list(rates.items()):
        for occasion in (FOCUS, MIGRATION):
            if name.startswith(occasion) and name not in given:
                rates[name] = max(hz, rates[name.removeprefix(occasion)])
    return rates


def period_ns(hz: float) -> int:
    """Return the period of a rate (ns), within what the prober accepts."""
    return min(max(round(SECOND_NS / hz), round(SECOND_NS / MOST_HZ)), 600 * SECOND_NS)
