"""The oracle: it knows the truth of a sealed world, and says what of a judgement contradicts it.

UNKNOWN is always allowed, and counted. What is not: more certain than true, less possible than true, OK where the truth
exceeds a budget, FAIL where it does not, an outage charged to a step that it never touched, and grade A after an outage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.figures.outcome import Outcome
from rehearsal.recording.sampleflags import BLIND
from tests.made.synthetic import START_NS
from tests.sealed.world import DOWN
from tests.sealed.world import SLOW
from tests.sealed.world import USER_LANES

if TYPE_CHECKING:
    from rehearsal.judging.losses import Loss
    from rehearsal.judging.results import Results
    from rehearsal.judging.windows import Window
    from tests.sealed.world import Taken
    from tests.sealed.world import World

_NEAR_S = 0.002  # rounding, and a sample's way
OUTSIDE, BEFORE = "", "before"
CLEAN_LEAST = 300  # three hundred samples without a failure: fewer than 1 in 100 failed, with 95 % confidence


@dataclass(frozen=True)
class Wrong:
    """One contradiction. `kind`: certain, possible, false-ok, false-fail, charge, grade."""

    kind: str
    where: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """What the oracle says of one judgement."""

    wrong: tuple[Wrong, ...]
    cells: int
    unknown: int
    avoidable: tuple[str, ...]


@dataclass(frozen=True)
class Truly:
    """One stretch in which a service was truly down for some of its users. `hit`: a sample that proves something failed."""

    from_s: float
    to_s: float
    hit: bool
    common: bool  # every user lane would have met it

    @property
    def length_s(self) -> float:
        """How long."""
        return self.to_s - self.from_s

    def inside(self, low: float, high: float) -> float:
        """How much of it lies in there."""
        return max(0.0, min(self.to_s, high) - max(self.from_s, low))


def label_of(told: Loss | Window) -> str:
    """Return the name of the place to which a loss or a window is charged, as this oracle has it."""
    return BEFORE if told.stretch.kind == "control" else told.step


def _seconds(ns: int | None) -> float:
    return math.inf if ns is None else ns / 1e9


def _at(ns: int | None, otherwise: float) -> float:
    return otherwise if ns is None else (ns - START_NS) / 1e9


class Oracle:
    """What is true of one world, and what was seen of it."""

    def __init__(self, world: World, samples: list[Taken], *, strict: bool = False) -> None:
        self.world = world
        self.strict = strict
        self.by_lane: list[list[Taken]] = [[] for _ in world.lanes]
        for each in samples:
            self.by_lane[each.lane].append(each)
        self.hits: dict[int, list[Taken]] = {}
        for each in samples:
            if (
                each.fault >= 0
                and not each.flags & BLIND
                and not self._blind(each.sent_s)
                and not self._blind(each.done_s)
            ):
                self.hits.setdefault(each.fault, []).append(each)
        self.pieces = self._pieces()

    def _blind(self, moment: float) -> bool:
        return any(stall.from_s <= moment <= stall.told_to_s for stall in self.world.stalls)

    # --- the truth -------------------------------------------------------------------------------------------------

    def _pieces(self) -> list[tuple[str, float, float]]:
        """Steps with their settling time, and what lies between."""
        world = self.world
        steps = sorted(world.steps, key=lambda step: step.from_s)
        found, moment = [], 0.0
        for place, step in enumerate(steps):
            end = min(step.to_s + world.settle_s, world.duration_s)
            if place + 1 < len(steps):
                end = min(end, steps[place + 1].from_s)
            if step.from_s > moment:
                found.append((OUTSIDE if place else BEFORE, moment, step.from_s))
            found.append((step.id, step.from_s, max(end, step.from_s)))
            moment = max(moment, end)
        if moment < world.duration_s:
            found.append((OUTSIDE, moment, world.duration_s))
        return found

    def user_lanes(self, who: str) -> list[int]:
        """The lanes by which a service, or a canary, is judged."""
        kinds = ("icmp",) if who in self.world.canaries else USER_LANES
        return [n for n, lane in enumerate(self.world.lanes) if lane.who == who and lane.kind in kinds]

    def truths(
        self, who: str, how: tuple[str, ...] = DOWN, lanes: list[int] | None = None, *, told: bool = False
    ) -> list[Truly]:
        """When it was down for anybody whom these lanes stand for, merged.

        `told`: as far as it could be told at all: without what only some lanes could have met, and none did, and two
        as one if nobody looked in between.
        """
        lanes = self.user_lanes(who) if lanes is None else lanes
        met = [
            (fault, n)
            for n, fault in enumerate(self.world.faults)
            if fault.how in how and any(fault.meets(self.world.lanes[lane]) for lane in lanes)
        ]
        found: list[Truly] = []
        for fault, number in sorted(met, key=lambda each: each[0].from_s):
            hit = any(each.lane in lanes for each in self.hits.get(number, []))
            common = all(fault.meets(self.world.lanes[lane]) for lane in lanes)
            low, high = max(0.0, fault.from_s), min(self.world.duration_s, fault.to_s)
            if high <= low or (told and not hit and not common):
                continue
            if found and (low <= found[-1].to_s or (told and self._nobody_knew_better(found[-1].to_s, low, lanes))):
                last = found[-1]
                found[-1] = Truly(last.from_s, max(last.to_s, high), last.hit or hit, last.common and common)
            else:
                found.append(Truly(low, high, hit, common))
        return found

    def _nobody_knew_better(self, ended_s: float, began_s: float, lanes: list[int]) -> bool:
        """Two are one if no sample of any lane was good from the one to the other: the assumption of docs/measuring.md."""
        return not any(
            each.is_good and each.done_s >= ended_s and each.sent_s <= began_s
            for n in lanes
            for each in self.by_lane[n]
        )

    def filled(self, truths: list[Truly], lanes: list[int]) -> list[Truly]:
        """The same, with what lies between two of them added where no sample was good from its first to its last moment.

        That is the assumption of docs/measuring.md: nothing recovered and failed again between two failed samples. It must not be made
        where any lane of the service proved otherwise.
        """
        met = {fault: {each.lane for each in hits} for fault, hits in self.hits.items()}
        found: list[Truly] = []
        for truth in truths:
            if found and not self._proved_apart(found[-1], truth, lanes, met):
                found[-1] = Truly(found[-1].from_s, truth.to_s, found[-1].hit or truth.hit, False)
            else:
                found.append(truth)
        return found

    def _proved_apart(self, one: Truly, other: Truly, lanes: list[int], met: dict[int, set[int]]) -> bool:
        """A lane that met one of them, and so sees what caused it, was well in between.

        Flapping that is faster than it looks is not its to prove: nothing is, between two failed samples of a lane.
        `strict`: any good sample of any lane proves it.
        """
        faults = [
            number
            for number, fault in enumerate(self.world.faults)
            if fault.from_s >= one.from_s and fault.to_s <= other.to_s
        ]
        witnesses = {lane for number in faults for lane in met.get(number, ())} & set(lanes)
        if self.strict:
            witnesses = set(lanes)
        return any(
            each.is_good and each.sent_s >= one.to_s and each.done_s <= other.from_s
            for lane in witnesses
            if self.strict or other.from_s - one.to_s >= 2 * self.world.lanes[lane].period_s
            for each in self.by_lane[lane]
        )

    # --- what is wrong ---------------------------------------------------------------------------------------------

    def judge(self, results: Results) -> Verdict:
        """Return everything that contradicts the truth."""
        wrong: list[Wrong] = []
        avoidable: list[str] = []
        cells = [loss for loss in results.matrix if label_of(loss) != BEFORE]
        if not cells:
            wrong.append(Wrong("no-judgement", "run", results.sentence))
        for loss in cells:
            for who in self.world.canaries if loss.service == "canaries" else (loss.service,):
                wrong += self._cell(loss, who) if loss.kind == "down" else self._slow_cell(loss, who)
            if loss.outcome is Outcome.UNKNOWN and (self.world.shape == "plain" or self._is_avoidable(loss)):
                avoidable.append(f"{loss.service} {loss.kind} during {label_of(loss) or 'nothing'}: {loss.reason}")
        wrong += self._of_the_run(results)
        wrong += self._windows(results)
        for move in results.migrations:
            wrong += self._move(move)
            if move.outcome is Outcome.UNKNOWN and self._quiet(
                move.canary, _at(move.began_ns, 0), _at(move.ended_ns, 0)
            ):
                avoidable.append(f"migration {move.id}: {move.reason}")
        wrong += self._grades(results)
        if not self.world.faults and not self.world.stalls and results.outcome is Outcome.FAIL:
            wrong.append(Wrong("false-fail", "run", results.sentence))
        unknown = sum(loss.outcome is Outcome.UNKNOWN for loss in cells)
        return Verdict(tuple(wrong), len(cells), unknown, tuple(avoidable))

    def budget(self, step: str, service: str) -> dict[str, float]:
        """What the plan allows."""
        spec = next((each.budgets.get(service) for each in self.world.steps if each.id == step), None)
        return spec or self.world.defaults.get(service) or {}

    def _limits(self, step: str, service: str, prefix: str = "") -> tuple[float, float]:
        spec = self.budget(step, service)
        total = spec.get(f"{prefix}total_s", math.inf)
        return spec.get(f"{prefix}longest_s", total), total

    def _in(self, label: str) -> list[tuple[float, float]]:
        return [(low, high) for name, low, high in self.pieces if name == label]

    def _touches(self, truth: Truly, label: str, slack: float = _NEAR_S) -> bool:
        return any(truth.from_s <= high + slack and truth.to_s >= low - slack for low, high in self._in(label))

    def _owner(self, truth: Truly) -> str:
        """What was being done when it truly began."""
        return next((name for name, low, high in self.pieces if low <= truth.from_s < high), OUTSIDE)

    def _is_step(self, label: str) -> bool:
        return label not in {OUTSIDE, BEFORE}

    def _moving(self, who: str, truth: Truly) -> bool:
        return any(
            move.canary == who and truth.from_s <= move.to_s + 2 and truth.to_s >= move.from_s - 2
            for move in self.world.moves
        )

    def _cell(self, loss: Loss, who: str) -> list[Wrong]:
        where = f"{who} during {label_of(loss) or 'nothing'}"
        lanes = self.user_lanes(who)
        truths = self.truths(who)
        longest_b, total_b = self._limits(label_of(loss), loss.service)
        filled = self.filled(truths, lanes)
        # An onset that several steps may own is shown where it is judged most strictly: bounds yes, FAIL no.
        own = [truth for truth in filled if self._touches(truth, label_of(loss), self._onset_doubt_s(lanes, truth))]
        shown, shown_total = max((t.length_s for t in own), default=0.0), sum(t.length_s for t in own)
        touching = [truth for truth in filled if self._touches(truth, label_of(loss))]
        most, most_total = max((t.length_s for t in touching), default=0.0), sum(t.length_s for t in touching)
        found = []
        if len(self.world.canaries) < 2 or loss.service != "canaries":
            if _seconds(loss.longest.certain_ns) > shown + _NEAR_S:
                found.append(
                    Wrong("certain", where, f"longest ≥ {_seconds(loss.longest.certain_ns):.3f}, true {shown:.3f}")
                )
            if _seconds(loss.total.certain_ns) > shown_total + _NEAR_S:
                found.append(
                    Wrong("certain", where, f"total ≥ {_seconds(loss.total.certain_ns):.3f}, true {shown_total:.3f}")
                )
            found += self._possible(loss, who, where, self.truths(who, told=True))
        if loss.outcome is Outcome.FAIL and loss.service != "canaries":
            allowed = most <= longest_b and most_total <= total_b and not self._is_over_anywhere(own, lanes)
            if allowed:
                text = f"true {most:.3f} ({most_total:.3f}) of {longest_b:.3f} ({total_b:.3f}): {loss.reason}"
                found.append(Wrong("false-fail", where, text))
        if loss.outcome is Outcome.OK and self._is_step(label_of(loss)):
            found += self._false_ok(loss, who, where, self.truths(who, told=True))
        return found

    def _is_over_anywhere(self, truths: list[Truly], lanes: list[int], prefix: str = "") -> bool:
        """An outage that fails whatever may own its beginning is shown where it may belong."""
        who = self.world.services[0]
        for truth in truths:
            onset = Truly(truth.from_s, truth.from_s, truth.hit, truth.common)
            doubt_s = self._onset_doubt_s(lanes, truth)
            owners = [name for name, _, _ in self.pieces if self._touches(onset, name, doubt_s)]
            if BEFORE not in owners and truth.length_s > max(self._limits(name, who, prefix)[0] for name in owners):
                return True
        return False

    def _onset_doubt_s(self, lanes: list[int], truth: Truly) -> float:
        """How long before an outage its last good sample can have been sent, at most."""
        near = max((self.world.lanes[n].period_s + 2 * self.world.lanes[n].answer_s for n in lanes), default=0.0)
        stalls = [
            stall
            for stall in self.world.stalls
            if stall.from_s <= truth.from_s + near and truth.from_s - near <= stall.told_to_s
        ]
        return near + sum(stall.told_to_s - stall.from_s for stall in stalls)

    def _possible(self, loss: Loss, who: str, where: str, truths: list[Truly]) -> list[Wrong]:
        """What truly lay well inside a step, and was seen, must be possible there."""
        slack = 2 + 2 * max(self.world.lanes[lane].period_s for lane in self.user_lanes(who))
        inside = [
            truth
            for truth in truths
            if truth.hit
            and not self._moving(who, truth)
            and any(truth.from_s - slack >= low and truth.to_s <= high for low, high in self._in(label_of(loss)))
        ]
        if not self._is_step(label_of(loss)) or not inside:
            return []
        found = []
        most, total = max(t.length_s for t in inside), sum(t.length_s for t in inside)
        if _seconds(loss.longest.possible_ns) < most - _NEAR_S:
            found.append(
                Wrong("possible", where, f"longest ≤ {_seconds(loss.longest.possible_ns):.3f}, true {most:.3f}")
            )
        if _seconds(loss.total.possible_ns) < total - _NEAR_S:
            found.append(Wrong("possible", where, f"total ≤ {_seconds(loss.total.possible_ns):.3f}, true {total:.3f}"))
        return found

    def _mine(self, truth: Truly, label: str) -> float:
        """How much of an outage a step must answer for, however it is charged: what began in another step is that one's."""
        owner = self._owner(truth)
        if owner != label and self._is_step(owner):
            return 0.0
        return max((truth.inside(low, high) for low, high in self._in(label)), default=0.0)

    def _false_ok(self, loss: Loss, who: str, where: str, truths: list[Truly]) -> list[Wrong]:
        longest_b, total_b = self._limits(label_of(loss), loss.service)
        seen = [t for t in truths if (t.hit or t.common) and not self._moving(who, t)]
        worst = max((self._mine(t, label_of(loss)) for t in seen), default=0.0)
        if longest_b == 0 and not any(
            t.hit for t in seen if self._mine(t, label_of(loss)) > 0
        ):  # none may be seen, with a resolution of two periods
            longest_b = total_b = 2 * min(self.world.lanes[lane].period_s for lane in self.user_lanes(who))
        total = sum(self._mine(t, label_of(loss)) for t in seen if t.hit)
        told = f"floor {_seconds(loss.floor_ns):.3f}: {loss.reason}"
        if worst > longest_b + _NEAR_S:
            return [Wrong("false-ok", where, f"true {worst:.3f}, allowed {longest_b:.3f}, {told}")]
        if total > total_b + _NEAR_S:
            return [Wrong("false-ok", where, f"true total {total:.3f}, allowed {total_b:.3f}, {told}")]
        return []

    def _of_the_run(self, results: Results) -> list[Wrong]:
        """What began in a step is that step's, to its very end: somewhere it must be told."""
        found = []
        cells = {(label_of(loss), loss.service): loss for loss in results.matrix if loss.kind == "down"}
        for service in (*self.world.services, *self.world.canaries):
            row = "canaries" if service in self.world.canaries else service
            for truth in self.truths(service, told=True):
                owner = self._owner(truth)
                if not (truth.hit or truth.common) or not self._is_step(owner) or self._moving(service, truth):
                    continue
                allowed = self._limits(owner, row)[0]
                if allowed == 0 and not truth.hit:
                    allowed = 2 * min(self.world.lanes[lane].period_s for lane in self.user_lanes(service))
                if truth.length_s <= allowed + _NEAR_S:
                    continue
                touched = [cells.get((label, row)) for label, _, _ in self.pieces if self._touches(truth, label)]
                if all(cell is not None and cell.outcome is Outcome.OK for cell in touched):
                    text = f"true {truth.length_s:.3f} from {truth.from_s:.3f}, {owner} allows {allowed:.3f}"
                    found.append(Wrong("false-ok", f"{service}, the whole run", text))
        return found

    def _slow_cell(self, loss: Loss, who: str) -> list[Wrong]:
        """Slow spells are held to less: they are certain only of waiting that had a cause outside of the prober."""
        lanes = self.user_lanes(who)
        kinds = {fault.how for fault in self.world.faults if any(fault.meets(self.world.lanes[n]) for n in lanes)}
        longest_b = self._limits(label_of(loss), loss.service, "slow_")[0]
        where = f"{who}, slow, during {label_of(loss) or 'nothing'}"
        reach = max((self.world.lanes[lane].answer_s for lane in lanes), default=0.0) + 0.02
        if kinds & {"blackhole", "held-503"}:
            reach += max(self.world.lanes[lane].hard_s for lane in lanes)  # what is sent again is answered late
        reach += max((fault.takes_s for fault in self.world.faults if fault.how == "slow"), default=0.0)
        wide = [
            Truly(t.from_s, t.to_s + reach, t.hit, t.common) for t in self.truths(who, (*SLOW, "blackhole", "held-503"))
        ]
        filled = self.filled(wide, lanes)
        own = [t for t in filled if self._touches(t, label_of(loss), self._onset_doubt_s(lanes, t))]
        shown = max((t.length_s for t in own), default=0.0)
        most = max((t.length_s for t in filled if self._touches(t, label_of(loss))), default=0.0)
        found = []
        if _seconds(loss.longest.certain_ns) > shown + 0.02 and loss.service != "canaries":
            found.append(
                Wrong("certain", where, f"longest ≥ {_seconds(loss.longest.certain_ns):.3f}, true ≤ {shown:.3f}")
            )
        if loss.outcome is Outcome.FAIL and most <= longest_b and not self._is_over_anywhere(own, lanes, "slow_"):
            found.append(Wrong("false-fail", where, f"true ≤ {most:.3f} of {longest_b:.3f}: {loss.reason}"))
        if loss.outcome is Outcome.OK and self._is_step(label_of(loss)):
            soft = max((self.world.lanes[lane].soft_s for lane in lanes), default=0.0)
            held = [t for t in self.truths(who, ("hold",)) if t.common and t.length_s > soft]
            down = self.truths(who)
            held = [t for t in held if not any(d.from_s <= t.to_s and d.to_s >= t.from_s for d in down)]
            worst = max((self._mine(t, label_of(loss)) - soft for t in held), default=0.0)
            if worst > longest_b + 0.02:
                found.append(Wrong("false-ok", where, f"true > {worst:.3f} of {longest_b:.3f}: {loss.reason}"))
        return found

    def _windows(self, results: Results) -> list[Wrong]:
        """Each window by itself, against what its own lane met."""
        found = []
        names = {lane.name: number for number, lane in enumerate(self.world.lanes)}
        for window in results.windows:
            number = names.get(window.probe_name)
            if number is None or window.kind != "down":
                continue
            low, high = _at(window.last_good_ns, 0.0), _at(window.first_good_ns, self.world.duration_s)
            truths = self.truths(self.world.lanes[number].who, lanes=[number])
            inside = [t for t in truths if t.to_s >= low and t.from_s <= high]
            most = max((t.to_s for t in inside), default=0) - min((t.from_s for t in inside), default=0)
            where = f"window of {window.probe_name} at {_at(window.first_bad_ns, 0):.3f}"
            if _seconds(window.length.certain_ns) > most + _NEAR_S:
                found.append(Wrong("certain", where, f"≥ {_seconds(window.length.certain_ns):.3f}, true {most:.3f}"))
            owners = {name for name, _, _ in self.pieces for t in inside if self._touches(t, name, 0.0)}
            owners |= {move.id for move in self.world.moves}
            if window.attribution == "step" and label_of(window) not in owners:
                found.append(Wrong("charge", where, f"charged to {label_of(window)}; it touched {sorted(owners)}"))
            if window.length.possible_ns is None:
                continue
            bad_from, bad_to = _at(window.first_bad_ns, 0.0) - 1e-6, _at(window.last_bad_ns, 0.0) + 1e-6
            met = {
                fault
                for fault, hits in self.hits.items()
                for each in hits
                if each.lane == number and bad_from <= each.sent_s <= bad_to and self.world.faults[fault].from_s <= high
            }  # what was sent again may have met the next one, after the service was well
            true = [f for n, f in enumerate(self.world.faults) if n in met]
            # What began while nobody did anything, or what other lanes prove to be several, is shown in parts.
            parts = [
                (_at(one.last_good_ns, 0.0), _at(one.first_good_ns, math.inf))
                for one in results.windows
                if one is not window and one.probe_name == window.probe_name and one.kind == "down"
            ]
            borders = {step.from_s for step in self.world.steps} | {move.from_s for move in self.world.moves}
            at_low = any(abs(low - border) < 1e-6 for border in borders)
            at_high = any(abs(high - border) < 1e-6 for border in borders)
            from_s = low if at_low or any(a < low <= b for a, b in parts) else 0.0
            to_s = high if at_high or any(a <= high < b for a, b in parts) else math.inf
            mine = [t for t in truths if any(f.from_s >= t.from_s and f.to_s <= t.to_s for f in true)]
            total = sum(t.inside(from_s, to_s) for t in mine)
            if _seconds(window.length.possible_ns) < total - _NEAR_S:
                found.append(Wrong("possible", where, f"≤ {_seconds(window.length.possible_ns):.3f}, true {total:.3f}"))
        return found

    def _move(self, move) -> list[Wrong]:
        low, high = _at(move.began_ns, 0), _at(move.ended_ns, self.world.duration_s)
        budget = _seconds(move.budget.longest_ns) if move.budget else math.inf
        touching = [
            t
            for t in self.filled(self.truths(move.canary), self.user_lanes(move.canary))
            if t.from_s <= high + 2 and t.to_s >= low - 2
        ]
        most = sum(t.length_s for t in touching)
        where, found = f"migration {move.id}", []
        if move.network is not None and _seconds(move.network.certain_ns) > most + _NEAR_S:
            found.append(Wrong("certain", where, f"≥ {_seconds(move.network.certain_ns):.3f}, true {most:.3f}"))
        if move.outcome is Outcome.FAIL and most <= budget:
            found.append(Wrong("false-fail", where, f"true {most:.3f} of {budget:.3f}: {move.reason}"))
        began = [t for t in self.truths(move.canary) if low <= t.from_s < high]
        if move.outcome is Outcome.OK and any(t.length_s > budget + _NEAR_S for t in began):
            found.append(Wrong("false-ok", where, f"true {max(t.length_s for t in began):.3f} of {budget:.3f}"))
        return found

    def _clean_in_steps(self, who: str) -> int:
        """How many samples of it were taken in steps: enough of them exclude that it flapped often."""
        spans = [(low, high) for name, low, high in self.pieces if self._is_step(name)]
        return sum(
            any(low <= each.sent_s < high for low, high in spans)
            for lane in self.user_lanes(who)
            for each in self.by_lane[lane]
        )

    def _grades(self, results: Results) -> list[Wrong]:
        found = []
        for service in (*self.world.services, *self.world.canaries):
            row = "canaries" if service in self.world.canaries else service
            if results.grades.get(row) != "A":
                continue
            in_steps = [
                t
                for t in self.truths(service)
                if any(self._is_step(name) and t.inside(low, high) > 0 for name, low, high in self.pieces)
                and not self._moving(service, t)
            ]
            if any(t.hit for t in in_steps):
                found.append(Wrong("grade", service, "A, and a sample failed in a step"))
            elif len(in_steps) >= 3 and self._clean_in_steps(service) < CLEAN_LEAST:
                found.append(Wrong("grade", service, f"A, and it was down {len(in_steps)} times between samples"))
        return found

    # --- what need not have been unknown -------------------------------------------------------------------------

    def _quiet(self, who: str, low: float, high: float) -> bool:
        """True if nothing was wrong for a while around, and there is a while around."""
        lanes = self.user_lanes(who)
        if not lanes:
            return False
        slowest = max(self.world.lanes[lane].period_s for lane in lanes)
        around = 3.0 + 2 * slowest
        if low - around < 0 or high + around > self.world.duration_s:
            return False
        lanes_hard = max(self.world.lanes[lane].hard_s for lane in lanes)
        troubles = [(f.from_s, f.to_s + lanes_hard) for f in self.world.faults if f.who == who]
        troubles += [(queue.from_s, queue.to_s) for queue in self.world.queues]
        troubles += [(stall.from_s, stall.to_s + stall.backlog_s) for stall in self.world.stalls]
        return not any(a <= high + around and b >= low - around for a, b in troubles)

    def _is_avoidable(self, loss: Loss) -> bool:
        prefix = "" if loss.kind == "down" else "slow_"
        allowed = self._limits(label_of(loss), loss.service, prefix)[0]
        subjects = self.world.canaries if loss.service == "canaries" else (loss.service,)
        for who in subjects:
            lanes = [self.world.lanes[n] for n in self.user_lanes(who)]
            if not lanes:
                return False
            best = min(lanes, key=lambda lane: lane.period_s)
            if allowed < 2 * best.period_s + best.answer_s + best.jitter_s + 0.05:
                return False
            if not all(self._quiet(who, low, high) for low, high in self._in(label_of(loss)) or [(0.0, 0.0)]):
                return False
        return True
