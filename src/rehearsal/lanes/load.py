"""What probing costs those who are probed: requests and packets a second, computed before the first sample. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.lanes import table
from rehearsal.lanes.spec import ProbeRefused
from rehearsal.lanes.table import Place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.lanes.spec import ProbeSpec

MOST_SAMPLES_PER_S = 3000.0
MOST_CONNECTIONS_PER_S = 400.0


@dataclass(frozen=True, slots=True)
class Load:
    """A load. A request is one HTTP request, a packet one echo request (ICMP, TCP, UDP) to a guest.

    `connections_per_s` of the requests go over a connection of their own.
    """

    requests_per_s: float = 0.0
    connections_per_s: float = 0.0
    packets_per_s: float = 0.0

    @property
    def samples_per_s(self) -> float:
        """All of it."""
        return self.requests_per_s + self.packets_per_s

    def __add__(self, other: Load) -> Load:
        return Load(
            self.requests_per_s + other.requests_per_s,
            self.connections_per_s + other.connections_per_s,
            self.packets_per_s + other.packets_per_s,
        )

    def excess(self) -> str:
        """Return in one sentence why it is too much; empty if it is not."""
        if self.samples_per_s > MOST_SAMPLES_PER_S:
            return f"{self.samples_per_s:.0f} samples a second would exceed the cap of {MOST_SAMPLES_PER_S:.0f}."
        if self.connections_per_s > MOST_CONNECTIONS_PER_S:
            return (
                f"{self.connections_per_s:.0f} new connections a second would exceed the cap of "
                f"{MOST_CONNECTIONS_PER_S:.0f}."
            )
        return ""

    def __str__(self) -> str:
        return (
            f"{self.requests_per_s:.1f} requests/s ({self.connections_per_s:.1f} over new connections), "
            f"{self.packets_per_s:.0f} packets/s"
        )


def load_of(lanes: Iterable[tuple[str, float]]) -> Load:
    """Return the load of probes, each given as its lane and its rate (Hz); the prober's own control costs nobody."""
    requests = connections = packets = 0.0
    for name, hz in lanes:
        lane = table.of(name)
        if not lane.is_web:
            packets += hz
        elif lane.place is not Place.PROBER:
            requests += lane.requests * hz
            connections += 0.0 if lane.kept else lane.requests * hz
    return Load(requests, connections, packets)


def load_of_specs(specs: Iterable[ProbeSpec]) -> Load:
    """Return the load of probes as they are declared."""
    return load_of((spec.lane, spec.samples_per_s) for spec in specs)


def check_load(specs: Iterable[ProbeSpec]) -> float:
    """Return the load of all probes together (samples per second). Raises ProbeRefused above the caps."""
    load = load_of_specs(specs)
    if excess := load.excess():
        raise ProbeRefused(excess.removesuffix("."))
    return load.samples_per_s
