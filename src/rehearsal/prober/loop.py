"""One process's ticks, sockets and deadlines.

An exchange is a generator: it yields `(fd, events, until_ns)` and is resumed with READY when the descriptor is ready,
EXPIRED when `until_ns` (monotonic) has passed, STOPPED when the prober stops.

Invariants: a deadline is declared missed only after a look at the socket that began later than the deadline, so a
prober that was stopped finds the answer waiting instead of calling it a timeout. A stall of the prober itself reaches
from the last look that left nothing unread to the moment when everything that waited has been read: what is read
meanwhile may have arrived at any moment of it.
"""

from __future__ import annotations

import heapq
import select
from collections import deque
from collections.abc import Callable
from collections.abc import Generator
from time import monotonic_ns
from typing import TYPE_CHECKING
from typing import Protocol

if TYPE_CHECKING:
    from rehearsal.prober.schedule import Schedule

READY, EXPIRED, STOPPED = range(3)
READ = select.EPOLLIN | select.EPOLLRDHUP
WRITE = select.EPOLLOUT

Wait = tuple[int, int, int]
Exchange = Generator[Wait, int, None]

_BATCH = 8  # sockets served before the schedule gets its turn again: a handshake costs up to half a millisecond
_STALL_NS = 20_000_000  # lateness above this is counted as the prober's own stall
_LONGEST_SLEEP_NS = 100_000_000  # a stall shorter than what is left of a sleep cannot be noticed
_REMEMBERED_NS = 120_000_000_000  # stalls: twice the longest deadline there may be


class Ticking(Protocol):
    """Something that fires on a schedule."""

    schedule: Schedule

    def tick(self, seq: int, due_ns: int) -> None:
        """Send the sample `seq` that is or was due at `due_ns`."""


class Loop:
    """Runs exchanges, ticks and watchers of one process, single-threaded, without hidden work of its own."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ticks: list[tuple[int, int, Ticking]] = []
        self._ticking: set[int] = set()
        self._deadlines: list[tuple[int, int, int]] = []
        self._flights: dict[int, _Flight] = {}
        self._registered: dict[int, int] = {}  # fd -> number of the flight that waits for it, 0 for nobody
        self._watchers: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[int, int, int, Callable[[], None]]] = []  # from, number, until, call
        self._later: deque[Callable[[], None]] = deque()
        self._number = 0
        self._running = True
        self.lag_max_ns = 0  # since somebody set it to 0
        self.stalls: list[tuple[int, int]] = []  # began, ended, since somebody emptied it
        self.dropped = 0  # samples given up after stalls, since the start
        self._clear_ns = monotonic_ns()  # of what had arrived by then, nothing waits to be read
        self._stalled_from_ns: int | None = None  # the stall that is not over yet
        self._past_stalls: deque[tuple[int, int]] = deque()
        self._past_stalled_ns = 0

    # --- what others ask for ---------------------------------------------------------------------------------------

    def add(self, ticking: Ticking) -> None:
        """Let it tick from now on; also after its schedule was changed."""
        self._number += 1
        self._ticking.add(id(ticking))
        heapq.heappush(self._ticks, (ticking.schedule.due_ns, self._number, ticking))

    def remove(self, ticking: Ticking) -> None:
        """Let it tick no more; its exchanges in flight go on."""
        self._ticking.discard(id(ticking))
        self._ticks = [entry for entry in self._ticks if entry[2] is not ticking]
        heapq.heapify(self._ticks)

    def look_again(self, ticking: Ticking) -> None:
        """Let it tick soon, because its last sample was not good (see `Schedule.sooner`)."""
        if id(ticking) in self._ticking and ticking.schedule.sooner(monotonic_ns()):
            self.remove(ticking)
            self.add(ticking)

    def start(self, exchange: Exchange) -> None:
        """Run an exchange up to its first wait, and on from there when it can."""
        self._number += 1
        flight = _Flight(self._number, exchange)
        try:
            wait = next(exchange)
        except StopIteration:
            return
        self._flights[flight.number] = flight
        self._await(flight, wait)

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call `ready` whenever this descriptor can be read, until `forget`. Raises OSError if it cannot be watched."""
        self._epoll.register(fd, select.EPOLLIN)
        self._watchers[fd] = ready

    def forget(self, fd: int) -> None:
        """Say that a descriptor is about to be closed."""
        if self._watchers.pop(fd, None) is not None or self._registered.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def call_at(self, when_ns: int, call: Callable[[], None], slack_ns: int = 0) -> None:
        """Call once at a monotonic moment (ns) or as soon after it as possible.

        `slack_ns`: it may wait so long for something else to wake the process, which costs more than most calls.
        """
        self._number += 1
        when_ns = max(when_ns, monotonic_ns())
        heapq.heappush(self._timers, (when_ns, self._number, when_ns + slack_ns, call))

    def later(self, call: Callable[[], None]) -> None:
        """Call when no socket waits to be read: when many answers come at once, each must be stamped before any is judged."""
        self._later.append(call)

    def in_flight(self) -> int:
        """Return how many exchanges wait for something, or for being judged."""
        return len(self._flights) + len(self._later)

    def end(self) -> None:
        """Let `run` return."""
        self._running = False

    def stop_ticking(self) -> None:
        """Send nothing new."""
        self._ticks.clear()
        self._ticking.clear()

    def stop_exchanges(self) -> None:
        """Tell every exchange in flight that the prober stops; each records itself and ends."""
        for flight in list(self._flights.values()):
            self._resume(flight, STOPPED)

    # --- the loop --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Go round until `end`."""
        self._clear_ns = monotonic_ns()
        while self._running:
            awaited_ns, is_quiet = self._sleep()
            looked_ns = monotonic_ns()
            self._note_late(awaited_ns, looked_ns)
            if is_quiet and self._stalled_from_ns is None:  # the sleep ended with a look
                looked_ns, events = awaited_ns, []
            else:
                events = self._epoll.poll(0, _BATCH)
            for fd, _ in events:
                watcher = self._watchers.get(fd)
                if watcher is not None:
                    watcher()
                    continue
                flight = self._flights.get(self._registered.get(fd, 0))
                if flight is not None and flight.fd == fd:
                    self._resume(flight, READY)
            if len(events) < _BATCH:
                self._cleared(looked_ns)
            self._fire_ticks()
            if len(events) < _BATCH:
                self._fire_deadlines(looked_ns)
                self._call_later(_BATCH)
            self._fire_timers()
            self._note_late(looked_ns, monotonic_ns())  # its own work can keep it from looking as well
        self._call_later(len(self._later))
        self._end_stall(monotonic_ns())  # nothing more will be read

    def _sleep(self) -> tuple[int, bool]:
        """Wait for a socket or the next moment; return by when this should have ended (monotonic ns), and if no socket did.

        epoll itself would round to whole milliseconds, select does not.
        """
        now_ns = monotonic_ns()
        until_ns = now_ns + _LONGEST_SLEEP_NS
        if self._ticks:
            until_ns = min(until_ns, self._ticks[0][0])
        if self._deadlines:
            until_ns = min(until_ns, self._deadlines[0][0])
        for timer in self._timers:
            until_ns = min(until_ns, timer[2])
        if self._later:
            return until_ns, False
        ready, _, _ = select.select([self._epoll], [], [], max(0, until_ns - now_ns) / 1e9)
        return until_ns, not ready

    def _fire_ticks(self) -> None:
        now_ns = monotonic_ns()
        while self._ticks and self._ticks[0][0] <= now_ns:
            due_ns, number, ticking = self._ticks[0]
            self.note_lag(due_ns, now_ns)
            samples, dropped = ticking.schedule.take(now_ns)
            self.dropped += dropped
            heapq.heapreplace(self._ticks, (ticking.schedule.due_ns, number, ticking))
            for seq, sample_due_ns in samples:
                ticking.tick(seq, sample_due_ns)
            now_ns = monotonic_ns()

    def note_lag(self, due_ns: int, now_ns: int) -> None:
        """Take note that what was due then is done now."""
        self.lag_max_ns = max(self.lag_max_ns, now_ns - due_ns)
        self._note_late(due_ns, now_ns)

    # --- the prober's own stalls -----------------------------------------------------------------------------------

    @property
    def stalled_ns(self) -> int:
        """Return how long all stalls were since the start, with the one that is going on."""
        going_on_ns = 0 if self._stalled_from_ns is None else monotonic_ns() - self._stalled_from_ns
        return self._past_stalled_ns + going_on_ns

    def stalled_between(self, from_ns: int, to_ns: int) -> int:
        """Return how much of a time (ns) the prober itself was stalled."""
        stalls = [*self._past_stalls]
        if self._stalled_from_ns is not None:
            stalls.append((self._stalled_from_ns, monotonic_ns()))
        return sum(max(0, min(ended_ns, to_ns) - max(began_ns, from_ns)) for began_ns, ended_ns in stalls)

    def arrived_from_ns(self, read_ns: int) -> int:
        """Return the earliest moment at which something can have arrived that was read just now."""
        return read_ns if self._stalled_from_ns is None else min(read_ns, self._stalled_from_ns)

    def _note_late(self, awaited_ns: int, now_ns: int) -> None:
        """Begin a stall if something comes much later than it should, and that is not the fault of one that is over."""
        if self._stalled_from_ns is None and now_ns - max(awaited_ns, self._stalled_until_ns()) > _STALL_NS:
            self._stalled_from_ns = max(self._clear_ns, self._stalled_until_ns())

    def _stalled_until_ns(self) -> int:
        return self._past_stalls[-1][1] if self._past_stalls else 0

    def _cleared(self, looked_ns: int) -> None:
        """Everything that had arrived when the loop looked has been read."""
        self._clear_ns = looked_ns
        self._end_stall(monotonic_ns())

    def _end_stall(self, now_ns: int) -> None:
        if self._stalled_from_ns is None:
            return
        stall, self._stalled_from_ns = (self._stalled_from_ns, now_ns), None
        self._past_stalled_ns += now_ns - stall[0]
        self.stalls.append(stall)
        self._past_stalls.append(stall)
        while self._past_stalls[0][1] < now_ns - _REMEMBERED_NS:
            self._past_stalls.popleft()

    def _fire_deadlines(self, looked_ns: int) -> None:
        while self._deadlines and self._deadlines[0][0] <= looked_ns:
            _, number, generation = heapq.heappop(self._deadlines)
            flight = self._flights.get(number)
            if flight is not None and flight.generation == generation:
                self._resume(flight, EXPIRED)

    def _call_later(self, most: int) -> None:
        for _ in range(min(most, len(self._later))):
            self._later.popleft()()

    def _fire_timers(self) -> None:
        while self._timers and self._timers[0][0] <= monotonic_ns():
            heapq.heappop(self._timers)[3]()

    def _resume(self, flight: _Flight, cause: int) -> None:
        try:
            wait = flight.exchange.send(cause)
        except StopIteration:
            del self._flights[flight.number]
            return
        self._await(flight, wait)

    def _await(self, flight: _Flight, wait: Wait) -> None:
        fd, events, until_ns = wait
        if fd in self._registered:
            self._epoll.modify(fd, events | select.EPOLLONESHOT)
        else:
            self._epoll.register(fd, events | select.EPOLLONESHOT)
        self._registered[fd] = flight.number
        flight.fd = fd
        if flight.until_ns != until_ns:
            flight.until_ns = until_ns
            flight.generation += 1
            heapq.heappush(self._deadlines, (until_ns, flight.number, flight.generation))


class _Flight:
    """An exchange that waits."""

    __slots__ = ("exchange", "fd", "generation", "number", "until_ns")

    def __init__(self, number: int, exchange: Exchange) -> None:
        self.number = number
        self.exchange = exchange
        self.fd = -1
        self.generation = 0
        self.until_ns = 0
