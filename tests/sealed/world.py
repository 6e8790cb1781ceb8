"""A sealed world: what really happened to each service, and what an honest prober recorded of it.

A `World` is a script of the truth (faults, queues, the prober's own stalls, steps, migrations). `recorded(world)` takes
every sample that its lanes would have taken, request by request: where the request was when the service went down decides
its outcome, nothing else. It knows for each sample which fault it met, which the prober cannot know. All times are
seconds since the run began.
"""

from __future__ import annotations

import bisect
import math
import random
from dataclasses import dataclass
from dataclasses import field

from rehearsal.recording.sampleclass import SampleClass as Class
from rehearsal.recording.sampleflags import BLIND
from rehearsal.recording.sampleflags import FRESH
from rehearsal.recording.sampleflags import RETRANSMITTED

USER_LANES = ("vip-new", "vip-reused", "deep", "write")
PACKETS = ("icmp", "udp", "tcp")
DOWN = ("refuse", "5xx", "reset", "blackhole", "held-503")
SLOW = ("hold", "slow")
_CONNECT_S = 0.9
_CATCH_UP = 5
_LOOK_AGAIN_S = 1.0
_ANSWERS_WITH = {"refuse": Class.REFUSED, "5xx": Class.HTTP_5XX_LB, "reset": Class.RST_ON_CONNECT}


@dataclass(frozen=True)
class Lane:
    """How one probe looks at one service, or at one canary."""

    who: str
    kind: str
    period_s: float
    offset_s: float = 0.0
    answer_s: float = 0.008
    jitter_s: float = 0.002
    soft_s: float = 1.0
    hard_s: float = 10.0
    kept: int = 3  # connections that are idle at the beginning, if they are kept
    vip: str = "internal"

    @property
    def name(self) -> str:
        """The probe's name."""
        return f"{self.who} {self.vip} {self.kind}" if self.kind.startswith("vip") else f"{self.who} {self.kind}"

    @property
    def is_packet(self) -> bool:
        """True if it reaches a canary by single packets."""
        return self.kind in PACKETS


@dataclass(frozen=True)
class Fault:
    """What `who` suffers in [from_s, to_s). `lanes` empty: every lane meets it; `vip` empty: at every VIP.

    `takes_s`: how long a slow answer takes, or how long HAProxy holds a request before it says 503. `drains`: requests
    that are being worked on when it goes down are still answered.
    """

    who: str
    from_s: float
    to_s: float
    how: str = "refuse"
    lanes: tuple[str, ...] = ()
    takes_s: float = 2.0
    drains: bool = False
    vip: str = ""

    @property
    def length_s(self) -> float:
        """How long it lasts."""
        return self.to_s - self.from_s

    def meets(self, lane: Lane) -> bool:
        """True if that lane can see it."""
        return self.who == lane.who and (not self.lanes or lane.kind in self.lanes) and self.vip in {"", lane.vip}


@dataclass(frozen=True)
class Queue:
    """Packets to `who` wait in [from_s, to_s): the delay grows for `ramp_s`, then stays.

    `turns_s`: from turn to turn packets take the long way or one that is quicker by a half (0: always the long way).
    """

    who: str
    from_s: float
    to_s: float
    delay_s: float
    ramp_s: float = 0.0
    turns_s: float = 0.0

    def at(self, moment_s: float) -> float:
        """How long a packet that is sent now has to wait."""
        if not self.from_s <= moment_s < self.to_s:
            return 0.0
        grown = min(1.0, (moment_s - self.from_s) / self.ramp_s) if self.ramp_s else 1.0
        quick = bool(self.turns_s) and int((moment_s - self.from_s) / self.turns_s) % 2 == 1
        return self.delay_s * grown * (0.5 if quick else 1.0)


@dataclass(frozen=True)
class Stall:
    """The prober stands still; what waited for it is read `backlog_s` later at most.

    `told`: the prober says that it was blind until everything was read. Those before 2026-12 said that they saw again when
    the first late sample was sent, and excused a slow answer only if they had stood still for longer than a period.
    """

    from_s: float
    to_s: float
    backlog_s: float = 0.0
    told: bool = True

    @property
    def told_to_s(self) -> float:
        """Until when the prober says that it was blind."""
        return self.to_s + (self.backlog_s if self.told else 0.0)


@dataclass(frozen=True)
class Step:
    """A step and what it may disturb."""

    id: str
    from_s: float
    to_s: float
    budgets: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Move:
    """A live migration of a canary."""

    id: str
    canary: str
    from_s: float
    to_s: float


@dataclass(frozen=True)
class World:
    """The whole truth of a run."""

    shape: str
    lanes: tuple[Lane, ...]
    steps: tuple[Step, ...]
    duration_s: float = 40.0
    faults: tuple[Fault, ...] = ()
    queues: tuple[Queue, ...] = ()
    stalls: tuple[Stall, ...] = ()
    moves: tuple[Move, ...] = ()
    defaults: dict[str, dict[str, float]] = field(default_factory=dict)
    settle_s: float = 2.0
    baseline_s: float = 5.0
    seed: int = 1

    @property
    def services(self) -> tuple[str, ...]:
        """Who is watched, canaries left out."""
        return tuple(dict.fromkeys(lane.who for lane in self.lanes if not lane.is_packet))

    @property
    def canaries(self) -> tuple[str, ...]:
        """The guests that are watched."""
        return tuple(dict.fromkeys(lane.who for lane in self.lanes if lane.is_packet))


@dataclass(frozen=True, slots=True)
class Taken:
    """One sample, and the number of the fault that made it fail (-1: none)."""

    lane: int
    seq: int
    due_s: float
    sent_s: float
    done_s: float
    sample_class: Class
    flags: int
    fault: int

    @property
    def is_good(self) -> bool:
        """True if it proves that the service was up."""
        return self.sample_class in {Class.OK, Class.SLOW_OK}


def recorded(world: World) -> list[Taken]:
    """Return all samples of all lanes, lane by lane, by `sent`."""
    return [taken for number, _ in enumerate(world.lanes) for taken in _Taking(world, number).all()]


class _Taking:
    """One lane's samples."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number, self.lane = world, number, world.lanes[number]
        self.rng = random.Random(world.seed * 1009 + number)
        met = [(index, fault) for index, fault in enumerate(world.faults) if fault.meets(self.lane)]
        self.down = sorted(
            ((f.from_s, f.to_s, index, f) for index, f in met if f.how in DOWN), key=lambda each: each[:3]
        )
        self.slow = [f for _, f in met if f.how in SLOW]
        self.queues = [queue for queue in world.queues if queue.who == self.lane.who]
        self.idle = [0.0] * (self.lane.kept if self.lane.kind == "vip-reused" else 0)  # free from then on

    def all(self) -> list[Taken]:
        """Return them by `sent`."""
        lane = self.lane
        found: list[Taken] = []
        before, due, seq, again = -1.0, lane.offset_s, 0, math.inf
        while due < self.world.duration_s - 1e-9:
            stall = self._stalled(due)
            later = sum(due + ahead * lane.period_s < stall.to_s for ahead in range(1, _CATCH_UP + 1)) if stall else 0
            if later < _CATCH_UP:  # what is older is given up
                sent = (stall.to_s if stall else due) + min(0.01, self.rng.expovariate(1 / 0.0003))
                sent = before = max(sent, before + 1e-6)
                found.append(self._taken(seq, due, sent))
                again = min(again, self._again_s(found[-1]))
            seq, due = seq + 1, due + lane.period_s
            if again < due:
                due, again = again, math.inf
        return found

    def _again_s(self, taken: Taken) -> float:
        """When the lane looks again because a sample was not good."""
        if self.lane.is_packet or taken.sample_class in {Class.OK, Class.CANCELLED_BY_STOP}:
            return math.inf
        return taken.done_s + max(_LOOK_AGAIN_S, self.lane.period_s / 10)

    def _stalled(self, moment_s: float) -> Stall | None:
        return next((stall for stall in self.world.stalls if stall.from_s <= moment_s < stall.to_s), None)

    def _taken(self, seq: int, due: float, sent: float) -> Taken:
        lane, flags = self.lane, 0
        if lane.kind == "vip-reused" and not any(free <= sent for free in self.idle):
            flags |= FRESH
        sample_class, done, fault = self._asked(sent, fresh=lane.kind != "vip-reused" or bool(flags))
        if sample_class is Class.OK and done - sent > lane.soft_s:
            sample_class = Class.SLOW_OK
        if lane.is_packet:  # the kernel stamps arrivals, and an echo after its deadline is none
            if sample_class is Class.SLOW_OK or (sample_class is Class.OK and done - sent >= lane.hard_s):
                sample_class, done = Class.NO_REPLY, sent + lane.hard_s
        else:
            if done - sent > lane.hard_s:
                sample_class, done = Class.TIMEOUT_TTFB, sent + lane.hard_s
            sample_class, done, flags = self._read(sent, done, sample_class, flags)
        if fault == -2:  # retransmitted
            flags, fault = flags | RETRANSMITTED, -1
        if sent - due > lane.period_s:
            flags |= BLIND
        if lane.kind == "vip-reused":
            self._give_back(sent, done, sample_class)
        if done > self.world.duration_s:
            sample_class, done = Class.CANCELLED_BY_STOP, self.world.duration_s
        return Taken(self.number, seq, due, sent, done, sample_class, flags, fault)

    def _give_back(self, sent: float, done: float, sample_class: Class) -> None:
        place = next((place for place, free in enumerate(self.idle) if free <= sent), None)
        if place is not None:
            self.idle.pop(place)
        if sample_class in {Class.OK, Class.SLOW_OK}:
            self.idle.append(done)

    def _read(self, sent: float, done: float, sample_class: Class, flags: int) -> tuple[Class, float, int]:
        """What a stalled prober makes of an answer that waited for it."""
        stall = self._stalled(done)
        if stall is None:
            return sample_class, done, flags
        waited = self.rng.uniform(0.0, stall.backlog_s)
        done = stall.to_s + waited
        if sample_class in {Class.OK, Class.SLOW_OK}:
            stood = stall.to_s - max(sent, stall.from_s) + (waited if stall.told else 0.0)
            sample_class = Class.SLOW_OK if done - sent > self.lane.soft_s else Class.OK
            excused = stood > (0.0 if stall.told else self.lane.period_s)
            if sample_class is Class.SLOW_OK and excused and done - sent - stood <= self.lane.soft_s:
                flags |= BLIND
        elif stall.to_s - max(sent, stall.from_s) > self.lane.period_s:
            flags |= BLIND
        return sample_class, done, flags

    # --- on the wire -----------------------------------------------------------------------------------------------

    def _asked(self, sent: float, *, fresh: bool) -> tuple[Class, float, int]:
        """Return what became of a request: class, when it was known, and the fault (-2: lost once and sent again)."""
        lane = self.lane
        round_trip = lane.answer_s + self.rng.uniform(0.0, lane.jitter_s)
        way, work = round_trip / 4, round_trip / 2
        arrives = sent + way + max((queue.at(sent) for queue in self.queues), default=0.0)
        down = self._down_at(arrives)
        if down is not None and down[3].how == "blackhole":
            if lane.is_packet:
                return Class.NO_REPLY, sent + lane.hard_s, down[2]
            if fresh:
                return Class.TIMEOUT_CONNECT, sent + _CONNECT_S, down[2]
            return self._sent_again(sent, arrives, way, work, down[2])
        if down is not None:
            return self._refused(sent, arrives, way, work, down)
        return self._worked_on(sent, arrives, way, work)

    def _refused(self, sent: float, arrives: float, way: float, work: float, down) -> tuple[Class, float, int]:
        _, to_s, index, fault = down
        if self.lane.is_packet:
            return Class.UNREACHABLE, arrives + way, index
        if fault.how != "held-503":
            return _ANSWERS_WITH[fault.how], arrives + way, index
        if to_s - arrives >= fault.takes_s:
            return Class.HTTP_5XX_LB, arrives + fault.takes_s + way, index
        again = self._down_at(to_s + 1e-6)
        if again is not None and again[3].how == "blackhole":
            return Class.TIMEOUT_TTFB, sent + self.lane.hard_s, again[2]
        if again is not None:  # let go into the next fault
            return self._refused(sent, to_s + 1e-6, way, work, again)
        return self._worked_on(sent, to_s + 1e-6, way, work)

    def _worked_on(self, sent: float, begins: float, way: float, work: float) -> tuple[Class, float, int]:
        for fault in self.slow:
            if fault.from_s <= begins < fault.to_s:
                if fault.how == "hold":
                    begins = fault.to_s
                else:
                    work = fault.takes_s - 2 * way
        leaves = begins + work
        met = next((each for each in self.down if begins <= each[0] < leaves), None) or self._down_at(begins)
        if met is not None:
            from_s, to_s, index, fault = met
            if fault.how == "blackhole" and from_s <= leaves < to_s:
                if self.lane.is_packet:
                    return Class.NO_REPLY, sent + self.lane.hard_s, index
                return self._sent_again(sent, leaves, way, 0.0, index)  # it is the answer that is sent again
            if fault.how in {"refuse", "reset", "5xx"} and not fault.drains:
                how = Class.HTTP_5XX_LB if fault.how == "5xx" else Class.RST_MIDSTREAM
                return how, max(from_s, begins) + way, index
        return Class.OK, leaves + way, -1

    def _sent_again(self, sent: float, first: float, way: float, work: float, index: int) -> tuple[Class, float, int]:
        """A kept connection in a black hole: TCP sends again, twice as late each time, until it gets through."""
        wait, moment = 0.2 + self.rng.uniform(0, 0.02), first
        while moment - sent <= self.lane.hard_s:
            moment += wait
            wait *= 2
            down = self._down_at(moment)
            if down is None:
                return Class.OK, moment + work + way, -2
            if down[3].how != "blackhole":
                return Class.RST_MIDSTREAM, moment + way, down[2]
        return Class.TIMEOUT_TTFB, sent + self.lane.hard_s, index

    def _down_at(self, moment: float):
        place = bisect.bisect_right(self.down, (moment, math.inf)) - 1
        while place >= 0:
            if self.down[place][0] <= moment < self.down[place][1]:
                return self.down[place]
            place -= 1
        return None
