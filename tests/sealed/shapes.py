"""The shapes of trouble, each a generator of sealed worlds: `SHAPES[name](rng)`; the same generator state, the same world.

`rng` is a `random.Random`, or hypothesis's own, which then finds the simplest world that contradicts a judgement.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tests.sealed.world import Fault
from tests.sealed.world import Lane
from tests.sealed.world import Move
from tests.sealed.world import Queue
from tests.sealed.world import Stall
from tests.sealed.world import Step
from tests.sealed.world import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

WHO, CANARY = "nova", "canary-0"
LENIENT = {"longest_s": 60.0, "total_s": 90.0, "slow_longest_s": 60.0, "slow_total_s": 90.0}
USUAL = {"longest_s": 1.0, "slow_longest_s": 2.0}
_TOLD = ("refuse", "5xx", "reset")


def _pick(rng: Random, *of):
    return of[rng.randrange(len(of))]


def _between(rng: Random, low: float, high: float) -> float:
    """A number with a millisecond's steps: easier to read, and to make simpler."""
    return low + rng.randrange(round((high - low) * 1000) + 1) / 1000


def _lane(rng: Random, kind: str, period_s: float, **more) -> Lane:
    return Lane(more.pop("who", WHO), kind, period_s, offset_s=_between(rng, 0.0, period_s), **more)


def _shallow(rng: Random, period_s: float = 0.0, **more) -> tuple[Lane, ...]:
    period_s = period_s or _pick(rng, 0.1, 0.05, 0.2, 0.5)
    return tuple(_lane(rng, kind, period_s, **more) for kind in ("vip-new", "vip-reused"))


def _budget(rng: Random, near_s: float = 1.0) -> dict[str, float]:
    """What is allowed: sometimes a round number, sometimes just about what truly happened."""
    longest = _pick(rng, 0.0, 0.5, 1.0, 5.0, 10.0, near_s * _between(rng, 0.6, 1.6), near_s * _between(rng, 0.95, 1.05))
    budget = {"longest_s": round(longest, 3), "slow_longest_s": _pick(rng, 1.0, 5.0, 60.0)}
    if rng.randrange(2):
        budget["total_s"] = round(longest * _between(rng, 1.0, 2.0), 3)
    return budget


def _world(rng: Random, shape: str, lanes: tuple[Lane, ...], steps: tuple[Step, ...], **more) -> World:
    defaults = {lane.who if not lane.is_packet else "canaries": dict(USUAL) for lane in lanes}
    return World(shape, lanes, steps, defaults=more.pop("defaults", defaults), seed=rng.randrange(1 << 20), **more)


def _step(name: str, low: float, high: float, budget: dict[str, float] | None = None, who: str = WHO) -> Step:
    return Step(name, low, high, {who: budget} if budget else {})


# --- B: outages ----------------------------------------------------------------------------------------------------


def b1_joined(rng: Random) -> World:
    """A blip shortly before a step, or at the end of the step before it, and an outage in it."""
    period = _pick(rng, 0.1, 0.2, 0.05)
    lanes = _shallow(rng, period)
    begin, length = 15.0, _between(rng, 0.3, 12.0)
    step = _step("two", begin, begin + 20.0, _budget(rng, length))
    border = _pick(rng, "before", "between", "step")
    first = _step("one", 5.0, begin if border == "step" else begin - 4.0, dict(LENIENT))
    steps = (step,) if border == "before" else (first, step)
    blip = begin - _between(rng, 0.1, 1.2)
    onset = begin + _between(rng, 0.05, 0.6)
    faults = (
        Fault(WHO, blip, blip + _between(rng, 0.02, period), _pick(rng, *_TOLD)),
        Fault(WHO, onset, onset + length, _pick(rng, *_TOLD)),
    )
    return _world(rng, "B1", lanes, steps, faults=faults, settle_s=_pick(rng, 0.0, 1.0, 2.0))


def b2_in_flight(rng: Random) -> World:
    """Requests that are in flight when the service dies, at the border of a step; answers may take longer than a period."""
    lanes = _shallow(rng, 0.0, answer_s=_between(rng, 0.1, 0.9), jitter_s=_between(rng, 0.0, 0.05), soft_s=2.0)
    begin, length = 15.0, _between(rng, 0.5, 12.0)
    back_to_back = rng.randrange(2) == 1
    budgets = [dict(LENIENT), _budget(rng, length)]
    if rng.randrange(2):
        budgets.reverse()
    steps = [_step("two", begin, begin + 18.0, budgets[1])]
    if back_to_back:
        steps.insert(0, _step("one", 5.0, begin, budgets[0]))
    near = lanes[0].answer_s
    onset = begin + _pick(rng, _between(rng, 0.0, near), _between(rng, -0.6, 0.6))
    faults = (Fault(WHO, onset, onset + length, _pick(rng, *_TOLD), drains=rng.randrange(4) == 0),)
    return _world(rng, "B2", lanes, tuple(steps), faults=faults, settle_s=_pick(rng, 0.0, 2.0))


def b3_kept(rng: Random) -> World:
    """Kept connections in a black hole: what was asked in it is sent again, and answered after its end."""
    kept = rng.randrange(1, 12)
    lanes = _shallow(rng, 0.0, kept=kept, soft_s=_pick(rng, 1.0, 2.0, 5.0))
    if rng.randrange(3) == 0:
        lanes = lanes[1:]
    onset, length = 15.0 + _between(rng, 0.0, 2.0), _between(rng, 0.3, 4.0)
    step = _step("two", 12.0, 30.0, _budget(rng, length))
    faults = (
        Fault(WHO, onset, onset + length, _pick(rng, "blackhole", "blackhole", "held-503"), takes_s=length * 0.7),
    )
    return _world(rng, "B3", lanes, (step,), faults=faults)


def b4_hidden(rng: Random) -> World:
    """The prober stands still beside slow answers, and the service is down meanwhile."""
    lanes = _shallow(rng)
    stood = _between(rng, 1.0, 6.0)
    begin = 15.0
    down = Fault(WHO, begin + 0.1, begin + stood - 0.1, _pick(rng, *_TOLD))
    slow_before = Fault(WHO, begin - _between(rng, 0.3, 2.5), begin + 0.05, "slow", takes_s=_between(rng, 0.9, 3.0))
    slow_after = Fault(WHO, begin + stood - 0.1, begin + stood + _between(rng, 0.1, 2.0), "slow", takes_s=1.5)
    faults = tuple(fault for fault in (down, slow_before, slow_after) if fault is down or rng.randrange(3))
    step = _step("two", 10.0, 30.0, {**_budget(rng, stood), "slow_longest_s": 60.0})
    stalls = (Stall(begin, begin + stood, _between(rng, 0.0, 0.2)),)
    return _world(rng, "B4", lanes, (step,), faults=faults, stalls=stalls)


def b5_queue(rng: Random) -> World:
    """A path that is full, and delays, before it drops. For some periods its delay could be seen."""
    period = _pick(rng, 0.01, 0.02, 0.05, 0.1)
    lanes = (Lane(CANARY, "icmp", period, answer_s=0.002, jitter_s=0.001, hard_s=1.0, soft_s=1.0),)
    onset, length = 12.0 + _between(rng, 0.0, 1.0), _between(rng, 0.2, 4.0)
    delay = _between(rng, 0.02, 0.4)
    ramp = _pick(rng, 0.0, 0.5, 1.0)
    plateau = 8 * period + delay
    queue = Queue(CANARY, onset - plateau - ramp, onset, delay, ramp, _pick(rng, 0.0, period, 2 * period))
    budget = {"longest_s": round(length * _between(rng, 0.8, 1.2), 3), "slow_longest_s": 60.0}
    steps = (Step("two", 8.0, 20.0, {"canaries": budget}),)
    faults = (Fault(CANARY, onset, onset + length, "blackhole"),)
    return _world(rng, "B5", lanes, steps, duration_s=25.0, faults=faults, queues=(queue,))


def b5_jump(rng: Random) -> World:
    """The same, but the delay came so late that no answer shows it: only the deadline proves."""
    world = b5_queue(rng)
    (queue,) = world.queues
    (fault,) = world.faults
    late = Queue(CANARY, fault.from_s - queue.delay_s, fault.from_s, queue.delay_s)
    return changed(world, "B5-jump", queues=(late,))


def b6_backlog(rng: Random) -> World:
    """A prober that stood still reads what waited for it, one after the other, when it goes on."""
    lanes = _shallow(rng, 0.0, answer_s=_between(rng, 0.005, 0.5), soft_s=_pick(rng, 1.0, 0.6))
    lanes += tuple(_lane(rng, "deep", period, answer_s=0.3) for period in (1.0, 5.0)[: rng.randrange(3)])
    stalls = tuple(
        Stall(at, at + _between(rng, 0.5, 4.0), _between(rng, 0.0, 0.3)) for at in (13.0, 22.0)[: rng.randrange(1, 3)]
    )
    slow = Fault(WHO, 12.0 + _between(rng, 0.0, 1.5), 14.0 + _between(rng, 0.0, 3.0), "hold")
    faults = (slow,) if rng.randrange(2) else ()
    allowed = {"longest_s": 10.0, "slow_longest_s": _pick(rng, 0.5, 1.0, 2.0, slow.length_s)}
    return _world(rng, "B6", lanes, (_step("two", 10.0, 30.0, allowed),), faults=faults, stalls=stalls)


def b6_untold(rng: Random) -> World:
    """The same as recorded by a prober that did not count the reading as blind: nothing in the recording can tell."""
    world = b6_backlog(rng)
    stalls = tuple(dataclasses.replace(stall, told=False) for stall in world.stalls)
    return changed(world, "B6-untold", stalls=stalls)


def b7a_deep_alone(rng: Random) -> World:
    """Only authenticated reads fail, for about as long as is allowed."""
    period = _pick(rng, 0.5, 1.0, 2.0, 5.0)
    lanes = (*_shallow(rng, 0.1), _lane(rng, "deep", period))
    onset, length = 15.0 + _between(rng, 0.0, 2.0), period * _between(rng, 0.8, 3.5)
    faults = (Fault(WHO, onset, onset + length, "5xx", ("deep",)),)
    return _world(rng, "B7a", lanes, (_step("two", 10.0, 34.0, _budget(rng, length)),), faults=faults, duration_s=45.0)


def b7b_deep_at_the_ends(rng: Random) -> World:
    """Only authenticated reads fail, when the recording begins or ends."""
    lanes = (*_shallow(rng, 0.1), _lane(rng, "deep", _pick(rng, 0.5, 1.0, 3.0)))
    length = _between(rng, 1.0, 8.0)
    at_the_end = rng.randrange(3) > 0
    step = _step("two", 10.0, 27.9, _budget(rng, length))
    low, high = (30.0 - length, 99.0) if at_the_end else (-1.0, 3.0 + length)
    if not at_the_end:
        step = _step("two", 1.0, 20.0, _budget(rng, length))
    faults = (Fault(WHO, low, high, "5xx", ("deep",)),)
    return _world(rng, "B7b", lanes, (step,), faults=faults, duration_s=30.0, baseline_s=1.0)


def b7c_hidden_in_shorter(rng: Random) -> World:
    """Authenticated reads fail for longer than everything else does."""
    period = _pick(rng, 0.5, 1.0, 2.0, 4.0)
    lanes = (*_shallow(rng, 0.1), _lane(rng, "deep", period))
    begin, length = 16.0 + _between(rng, 0.0, 1.0), _between(rng, 0.3, 4.0)
    short = Fault(WHO, begin, begin + length, "refuse", ("vip-new", "vip-reused"))
    onset = begin + _between(rng, -1.0, 0.5) * period
    deep = Fault(WHO, onset, short.to_s + period * _between(rng, 0.1, 3.0), "5xx", ("deep",))
    near = _pick(rng, length, deep.length_s)
    step = _step("two", 10.0, 34.0, {**_budget(rng, near), "longest_s": round(near * _between(rng, 1.0, 1.2), 3)})
    return _world(rng, "B7c", lanes, (step,), faults=(deep, short), duration_s=45.0)


def b7d_aliased(rng: Random) -> World:
    """Short outages that a slow lane meets again and again, between which faster lanes were well."""
    period = _pick(rng, 2.0, 3.0, 5.0)
    lanes = (*_shallow(rng, _pick(rng, 0.1, 0.2, 0.5)), Lane(WHO, "deep", period, offset_s=1.0))
    short = _between(rng, 0.05, period * 0.6)
    count = rng.randrange(2, 5)
    lead = _between(rng, 0.01, short * 0.9)
    first = 1.0 + period * 5
    faults = tuple(
        Fault(WHO, first + n * period - lead, first + n * period - lead + short, _pick(rng, *_TOLD))
        for n in range(count)
    )
    end = first + count * period + 3
    middle = first + (count / 2) * period
    steps = (_step("one", first - 3, middle, _budget(rng, short)), _step("two", middle, end, _budget(rng, short)))
    return _world(rng, "B7d", lanes, steps, faults=faults, duration_s=end + 12.0)


def b7w_writes(rng: Random) -> World:
    """Only writing fails; its lane looks a few times a minute."""
    period = _pick(rng, 5.0, 10.0, 20.0)
    lanes = (*_shallow(rng, 0.1), Lane(WHO, "write", period, offset_s=2.0))
    length = period * _between(rng, 0.5, 2.5)
    onset = 2.0 + 2 * period - _between(rng, 0.1, min(length, period) * 0.9)
    faults = (Fault(WHO, onset, onset + length, "5xx", ("write",)),)
    end = onset + length + 5
    return _world(
        rng, "B7w", lanes, (_step("two", 5.0, end, _budget(rng, length)),), faults=faults, duration_s=end + 2.5 * period
    )


def b8_flapping(rng: Random) -> World:
    """It goes away and comes back faster than anybody looks."""
    period = _pick(rng, 0.1, 0.2, 0.5)
    lanes = _shallow(rng, period)
    cycle = period * _pick(rng, 0.25, 0.5, 1.0, 1.0, 2.0) * _pick(rng, 1.0, _between(rng, 0.9, 1.1))
    down = cycle * _between(rng, 0.1, 0.7)
    phase = _between(rng, 0.0, period)
    many = rng.randrange(3, 40)
    faults = tuple(
        Fault(WHO, 15.0 + phase + n * cycle, 15.0 + phase + n * cycle + down, _pick(rng, *_TOLD)) for n in range(many)
    )
    step = _step("two", 12.0, 32.0, _budget(rng, down * many))
    return _world(rng, "B8", lanes, (step,), faults=faults)


# --- A: pieces without a sample of their own -----------------------------------------------------------------------


def a_short_steps(rng: Random) -> World:
    """Steps between two samples: of no length, back to back, without baseline; sometimes an outage meets one."""
    period = _pick(rng, 0.5, 0.2, 1.0)
    lanes = _shallow(rng, period)
    only_deep = rng.randrange(3) == 0
    if only_deep:
        lanes = (_lane(rng, "deep", _pick(rng, 0.5, 1.0)),)
    moment, steps = 12.0, []
    for number in range(rng.randrange(1, 5)):
        length = _pick(rng, 0.0, 0.05, 0.1, 0.3)
        allowed = _pick(rng, dict(LENIENT), _budget(rng, 1.0))
        steps.append(_step(f"step-{number}", moment, moment + length, allowed))
        moment += length + _pick(rng, 0.0, 0.01, 0.5, 3.0)
    faults = ()
    if rng.randrange(2):
        onset = 12.0 + _between(rng, -1.0, 1.0)
        faults = (Fault(WHO, onset, onset + _between(rng, 0.05, 8.0), _pick(rng, *_TOLD)),)
    usual = {WHO: {"longest_s": 3.0, "slow_longest_s": 5.0}}
    return _world(
        rng, "A-steps", lanes, tuple(steps), faults=faults, settle_s=_pick(rng, 0.0, 0.1, 2.0), defaults=usual,
        baseline_s=_pick(rng, 0.0, 5.0),
    )  # fmt: skip


def a_migrations(rng: Random) -> World:
    """Live migrations shorter than a period, or as long as a step, of canaries that are looked at rarely."""
    period = _pick(rng, 0.1, 0.5, 1.0, 0.02)
    lanes = (_lane(rng, "icmp", period, who=CANARY, answer_s=0.002, jitter_s=0.001, hard_s=1.0), *_shallow(rng, 0.5))
    begin = 13.0 + _between(rng, 0.0, 1.0)
    length = _pick(rng, 0.0, 0.05, 0.4, 8.0)
    covers = Step("two", begin + length / 4, begin + length / 2, {"canaries": _budget(rng, 1.0)})
    apart = Step("two", 25.0, 25.0 + _pick(rng, 0.05, 2.0), {"canaries": _budget(rng, 1.0)})
    faults = ()
    if rng.randrange(2):
        onset = begin + _between(rng, 0.0, length)
        faults = (Fault(CANARY, onset, onset + _between(rng, 0.05, 7.0), "blackhole"),)
    step = covers if length > 1 and rng.randrange(2) else apart
    moves = (Move("m1", CANARY, begin, begin + length),)
    usual = {WHO: {"longest_s": 3.0, "slow_longest_s": 5.0}, "canaries": {"longest_s": 4.0, "slow_longest_s": 5.0}}
    return _world(rng, "A-moves", lanes, (step,), faults=faults, moves=moves, defaults=usual)


def a_quiet(rng: Random) -> World:
    """Nothing happens at all, whatever the rates: it must be well wherever the budgets can be told."""
    kinds = _pick(rng, "all", "shallow", "deep")
    lanes: tuple[Lane, ...] = ()
    if kinds != "deep":
        lanes += _shallow(rng, _pick(rng, 0.05, 0.1, 0.5, 1.0), answer_s=_between(rng, 0.005, 0.7))
    if kinds != "shallow":
        lanes += (_lane(rng, "deep", _pick(rng, 0.5, 1.0, 5.0)),)
    if kinds == "all":
        lanes += (_lane(rng, "write", 10.0),)
    lanes += (_lane(rng, "icmp", _pick(rng, 0.02, 0.1, 1.0), who=CANARY, answer_s=0.002, jitter_s=0.001, hard_s=1.0),)
    begin = 16.0 + _between(rng, 0.0, 1.0)
    middle = begin + _pick(rng, 0.0, 0.05, 1.0)
    allowed = {"longest_s": _pick(rng, 12.0, 2.5, 5.0), "slow_longest_s": 12.0}
    steps = (
        Step("one", begin, middle, {WHO: dict(allowed), "canaries": dict(allowed)}),
        Step("two", middle, middle + _pick(rng, 0.05, 4.0), {WHO: dict(allowed)}),
    )
    usual = {WHO: {"longest_s": 12.0, "slow_longest_s": 12.0}, "canaries": {"longest_s": 3.0, "slow_longest_s": 5.0}}
    return _world(rng, "A-quiet", lanes, steps, defaults=usual, baseline_s=_pick(rng, 0.0, 5.0))


# --- everything at once --------------------------------------------------------------------------------------------


def _some_faults(rng: Random, kinds: list[str]) -> list[Fault]:
    faults = []
    for _ in range(rng.randrange(5)):
        onset = _between(rng, -2.0, 38.0)
        length = _pick(rng, _between(rng, 0.01, 0.3), _between(rng, 0.3, 3.0), _between(rng, 3.0, 12.0))
        how = _pick(rng, "refuse", "5xx", "reset", "blackhole", "held-503", "hold", "slow")
        only = _pick(rng, (), (), (_pick(rng, *kinds),))
        faults.append(Fault(WHO, onset, onset + length, how, only, takes_s=_between(rng, 0.5, 4.0)))
    return faults


def _some_steps(rng: Random, *, with_canary: bool) -> list[Step]:
    steps, moment = [], _between(rng, 0.0, 12.0)
    for number in range(rng.randrange(1, 5)):
        length = _pick(rng, 0.0, 0.05, 0.1, 2.0, _between(rng, 0.0, 10.0))
        who = "canaries" if with_canary and rng.randrange(3) == 0 else WHO
        allowed = _pick(rng, dict(LENIENT), _budget(rng, 1.0), _budget(rng, 3.0))
        steps.append(Step(f"step-{number}", moment, moment + length, {who: allowed}))
        moment += length + _pick(rng, 0.0, 0.05, 1.0, 4.0)
        if moment > 33:
            break
    return steps


def mixture(rng: Random) -> World:
    """Anything with anything."""
    lanes = list(_shallow(rng, answer_s=_between(rng, 0.002, 0.7), kept=rng.randrange(1, 8)))
    if rng.randrange(3) == 0:
        lanes = lanes[: rng.randrange(2)]
    if rng.randrange(2) or not lanes:
        lanes.append(_lane(rng, "deep", _pick(rng, 0.5, 1.0, 3.0, 5.0)))
    if rng.randrange(3) == 0:
        lanes.append(_lane(rng, "write", _pick(rng, 5.0, 10.0)))
    kinds = [lane.kind for lane in lanes]
    if rng.randrange(3) == 0:
        lanes.append(_lane(rng, "backend-new", 0.5))
    packet = Lane(CANARY, "icmp", _pick(rng, 0.05, 0.1, 0.5), answer_s=0.002, jitter_s=0.01, hard_s=1.0)
    with_canary = rng.randrange(3) == 0
    if with_canary:
        lanes.append(packet)
    faults = _some_faults(rng, kinds)
    if with_canary and rng.randrange(2):
        onset = _between(rng, 5.0, 35.0)
        faults.append(Fault(CANARY, onset, onset + _between(rng, 0.05, 5.0), "blackhole"))
    stalls, moment = [], 3.0
    for _ in range(rng.randrange(3) if rng.randrange(2) else 0):
        moment += _between(rng, 0.5, 15.0)
        stalls.append(Stall(moment, moment + _between(rng, 0.2, 5.0), _between(rng, 0.0, 0.1)))
        moment = stalls[-1].to_s
    steps = _some_steps(rng, with_canary=with_canary)
    moves = ()
    if with_canary and rng.randrange(2):
        begin = _between(rng, 5.0, 30.0)
        moves = (Move("m1", CANARY, begin, begin + _pick(rng, 0.05, 0.5, 5.0)),)
    defaults = {WHO: {"longest_s": 3.0, "slow_longest_s": 5.0}}
    if with_canary:
        defaults["canaries"] = {"longest_s": 2.0, "slow_longest_s": 5.0}
    return _world(
        rng, "mixture", tuple(lanes), tuple(steps), faults=tuple(faults), stalls=tuple(stalls), moves=moves,
        defaults=defaults, settle_s=_pick(rng, 0.0, 0.1, 2.0, 5.0), duration_s=50.0,
    )  # fmt: skip


def changed(world: World, shape: str, **fields) -> World:
    """Return a world with something else in it, under another name."""
    return dataclasses.replace(world, shape=shape, **fields)


SHAPES: dict[str, Callable[[Random], World]] = {
    "B1": b1_joined,
    "B2": b2_in_flight,
    "B3": b3_kept,
    "B4": b4_hidden,
    "B5": b5_queue,
    "B5-jump": b5_jump,
    "B6": b6_backlog,
    "B6-untold": b6_untold,
    "B7a": b7a_deep_alone,
    "B7b": b7b_deep_at_the_ends,
    "B7c": b7c_hidden_in_shorter,
    "B7d": b7d_aliased,
    "B7w": b7w_writes,
    "B8": b8_flapping,
    "A-steps": a_short_steps,
    "A-moves": a_migrations,
    "A-quiet": a_quiet,
    "mixture": mixture,
}
