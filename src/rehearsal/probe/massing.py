"""Which icmp probes are fired as volleys: those of one kind that are many, together a thousand packets a second or more.

Invariant: a probe is either on its own or in one volley that fires, and its sequence numbers go on when it moves.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.probe.icmp import family_for
from rehearsal.probe.icmp import size_of
from rehearsal.probe.mmsg import available
from rehearsal.probe.volley import Volley
from rehearsal.probe.volley import VolleySocket

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from collections.abc import Iterable

    from rehearsal.probe.loop import Loop
    from rehearsal.probe.reach import FrameRecorder
    from rehearsal.probe.spec import ProbeSpec

Kind = tuple[int, int, int, int, int]


@dataclass(slots=True)
class Massing:
    """The volleys of the second process."""

    loop: Loop
    recorder: FrameRecorder
    token: bytes
    sockets: dict[tuple[socket.AddressFamily, int], VolleySocket]
    firing: dict[Kind, Volley]

    @classmethod
    def none(cls, loop: Loop, recorder: FrameRecorder, token: bytes) -> Massing:
        """Return a massing without volleys."""
        return cls(loop, recorder, token, {}, {})

    def arrange(self, wanted: dict[Kind, list[ProbeSpec]], seqs: dict[int, int]) -> dict[int, int]:
        """Fire exactly these volleys from now on; `seqs` are the next sequence numbers of probes that are in none yet.

        Returns the next sequence numbers of all probes that were in a volley that ended. Raises OSError if no socket
        can be had.
        """
        freed: dict[int, int] = {}
        for kind, volley in list(self.firing.items()):
            members = {spec.probe for spec in wanted.get(kind, [])}
            if members != {spec.probe for spec in volley.specs}:
                freed |= volley.stop()
                del self.firing[kind]
        for kind, specs in wanted.items():
            if kind not in self.firing:
                where = self._socket(family_for(specs[0]), size_of(specs[0]))
                numbers = [freed.get(spec.probe, seqs.get(spec.probe, 0)) for spec in specs]
                volley = Volley(specs, numbers, where, self.recorder, time.monotonic_ns())
                where.volleys.insert(0, volley)
                self.firing[kind] = volley
                self.loop.call_at(volley.next_ns(), self._firing(volley, where))
        return freed

    def _socket(self, family: socket.AddressFamily, size_bytes: int) -> VolleySocket:
        where = self.sockets.get((family, size_bytes))
        if where is None:
            where = self.sockets[family, size_bytes] = VolleySocket(family, size_bytes, self.token)
        return where

    def _firing(self, volley: Volley, where: VolleySocket) -> Callable[[], None]:
        """Return what reads and fires, and asks to be called again."""

        def fire() -> None:
            if not volley.is_firing:
                return
            now_ns = time.monotonic_ns()
            self.loop.note_lag(volley.next_ns(), now_ns)
            where.hear_if_it_is_time(now_ns)
            dropped = volley.dropped
            volley.fire(now_ns)
            self.loop.dropped += volley.dropped - dropped
            self.loop.call_at(volley.next_ns(), fire)

        return fire

    def all(self) -> Iterable[Volley]:
        """Return every volley that fires or still waits."""
        return [volley for where in self.sockets.values() for volley in where.volleys]

    def is_overdue(self, now_ns: int) -> bool:
        """Tell whether something has reached its deadline."""
        return any(volley.is_overdue(now_ns) for volley in self.all())

    def expire(self, now_ns: int) -> None:
        """Give up what has reached its deadline, forget volleys that are over."""
        for where in self.sockets.values():
            for volley in list(where.volleys):
                volley.expire(now_ns)
                if volley.is_over():
                    where.volleys.remove(volley)

    def drain(self) -> None:
        """Read everything that has arrived."""
        for where in self.sockets.values():
            while where.hear():
                pass

    def stop(self) -> None:
        """Send nothing more."""
        for volley in self.firing.values():
            volley.stop()
        self.firing.clear()

    def cancel(self) -> None:
        """Give up everything because the prober stops."""
        for volley in self.all():
            volley.cancel()

    def in_flight(self) -> int:
        """Return how many samples wait."""
        return sum(volley.in_flight() for volley in self.all())

    def drops(self) -> int:
        """Return how many datagrams the kernel had no room for."""
        return sum(where.echo.drops for where in self.sockets.values())


def kind_of(spec: ProbeSpec) -> Kind:
    """Return what the members of a volley have in common."""
    return int(family_for(spec)), spec.period_ns, spec.deadline_ns, spec.soft_ns, size_of(spec)


def is_possible(kind: Kind) -> bool:
    """Tell whether this machine can fire volleys of this kind."""
    size_bytes = kind[-1]
    return available() and size_bytes % 8 == 0 and size_bytes <= 1000
