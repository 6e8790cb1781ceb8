"""What the report draws: windows with their four instants, and a strip for each probe, bounded in size."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from rehearsal.figures import say
from rehearsal.figures.length import Length
from rehearsal.judging.causes.candidates import Candidates
from rehearsal.judging.charging.union import united
from rehearsal.judging.losses import lane_floor
from rehearsal.judging.observing.observation import life_of
from rehearsal.judging.sums import longest_first
from rehearsal.judging.sums import summed
from rehearsal.outage import measure
from rehearsal.outage import merged
from rehearsal.recording.sampleclass import SampleClass

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence

    from rehearsal.judging.causes.candidates import Explanation
    from rehearsal.judging.causes.reach import World
    from rehearsal.judging.charging.troubles import Attribution
    from rehearsal.judging.charging.troubles import Group
    from rehearsal.judging.charging.troubles import Trouble
    from rehearsal.judging.observing.observation import Observation
    from rehearsal.judging.observing.observation import Seen
    from rehearsal.judging.sums import MoreWindows
    from rehearsal.outage import Outage
    from rehearsal.recording.history import History
    from rehearsal.recording.stretch import Stretch

WINDOWS_MOST = 3_000
"""Windows that results list one by one: of more, the longest; the rest is summed by lane."""
_LOST = frozenset(each.name for each in SampleClass if each.proof_is_sent)
_RUNS_MOST = 240
_BLIND_SHOWN_NS = 100_000_000
_ORDER = ("good", "blind", "slow", "bad")  # what comes later covers what came before


@dataclass(frozen=True, slots=True)
class Window:
    """A downtime (`kind` down) or slow-answer (`kind` degraded) window of one probe, with its four instants.

    A flapping window (`outages` > 1) has three lengths: `length` is what its outages lasted together, `span` reaches
    from the first onset to the last end, and `good_within` counts the good samples in between.
    """

    probe: int
    probe_name: str
    lane: str
    service: str
    canary: str
    kind: str
    last_good_ns: int | None
    first_bad_ns: int
    last_bad_ns: int
    first_good_ns: int | None
    length: Length
    outages: int  # more than 1: flapping
    failed: int  # samples
    classes: dict[str, int]
    stretch: Stretch  # what it is charged to
    attribution: Attribution
    causes: list[str] = field(default_factory=list)
    span: Length | None = None
    good_within: int = 0
    explained: str = ""  # explained | ambiguous | step | unattributed | not watched; "" in older files
    excluded: list[str] = field(default_factory=list)  # what was near, and why it is no cause
    unseen: list[str] = field(default_factory=list)  # what could have told and was not watched when it began
    proof: str = ""  # from when on a lost packet proves that it was down: a sentence; empty if none was lost

    @property
    def step(self) -> str:
        """The id of the step it is charged to; empty if none."""
        return self.stretch.step


@dataclass(frozen=True, slots=True)
class Strip:
    """One probe as a row of the timeline: runs of equal state, (from_ns, to_ns, state), state good|slow|bad|blind."""

    probe: int
    name: str
    lane: str
    service: str
    canary: str
    period_ns: int
    samples: int
    failed: int
    slow: int
    floor_ns: int | None
    runs: list[tuple[int, int, str]]
    latency: list[tuple[int, int, int]]  # per minute: (from_ns, median ns, p99 ns)
    gap_max_ns: int = 0  # the largest real distance between two samples, however short its period is meant to be
    blind_ns: int = 0  # late ticks and ticks that never came, together


def windows(groups: Iterable[Group], history: History, world: World) -> tuple[list[Window], list[MoreWindows]]:
    """Return every window of every lane in order of time; of more than WINDOWS_MOST, the longest and the sum of the rest."""
    candidates = Candidates(history, world)
    found: list[Window] = []
    for group in groups:
        explanation = candidates.explain(group)
        found += [_window(trouble, group, explanation) for trouble in group.troubles]
    found.sort(key=lambda window: (window.first_bad_ns, window.probe))
    ordered = longest_first(found)
    listed = sorted(ordered[:WINDOWS_MOST], key=lambda window: (window.first_bad_ns, window.probe))
    return listed, summed(ordered[WINDOWS_MOST:])


def _window(trouble: Trouble, group: Group, explanation: Explanation) -> Window:
    first, last = trouble.outages[0], trouble.outages[-1]
    probe = trouble.seen.probe.declared
    classes: Counter[int] = Counter()
    for outage in trouble.outages:
        classes.update(dict(outage.classes))
    return Window(
        probe=probe.probe,
        probe_name=probe.name,
        lane=probe.lane,
        service=group.service,
        canary=probe.canary,
        kind=trouble.kind,
        last_good_ns=first.last_good_ns,
        first_bad_ns=first.first_bad_ns,
        last_bad_ns=last.last_bad_ns,
        first_good_ns=last.first_good_ns,
        length=united(trouble.sightings).length,
        outages=len(trouble.outages),
        failed=sum(outage.failed for outage in trouble.outages),
        classes={_class_name(number): count for number, count in sorted(classes.items())},
        stretch=group.charge.stretch,
        attribution=group.charge.attribution,
        causes=explanation.causes,
        span=_span(first, last),
        good_within=sum(outage.good_before for outage in trouble.outages[1:]),
        explained=explanation.explained,
        excluded=explanation.excluded,
        unseen=explanation.unseen,
        proof=_proof(first),
    )


def _proof(outage: Outage) -> str:
    """Say by what lost packets prove that it was down: a packet that was lost may have been an answer."""
    if not any(_class_name(number) in _LOST for number, _ in outage.classes):
        return ""
    if outage.round_trip_ns is None:
        return "A packet counts as lost once its deadline has passed."
    return f"A packet counts as lost after {say.about(outage.round_trip_ns)}, the largest round trip near it."


def _class_name(number: int) -> str:
    try:
        return SampleClass(number).name
    except ValueError:
        return f"class {number}"


def _span(first: Outage, last: Outage) -> Length:
    """From the first onset to the last end, as if all of a flapping window were down."""
    certain = max(0, last.last_bad_ns - first.proof_ns)
    point = max(certain, last.point_to_ns - first.point_from_ns)
    if first.last_good_ns is None or last.first_good_ns is None:
        return Length(certain, point, None)
    possible = last.first_good_ns - first.last_good_ns
    return Length(certain, min(point, possible), possible)


# --- strips --------------------------------------------------------------------------------------------------------


def strips(observation: Observation, history: History) -> list[Strip]:
    """Return a strip for each probe; one that goes on after a restart is one strip."""
    named: dict[tuple[str, str, str, str], list[Seen]] = {}
    for seen in observation.seen:
        declared = seen.probe.declared
        named.setdefault((declared.name, declared.lane, declared.service, declared.canary), []).append(seen)
    return [_strip(same, history) for same in named.values()]


def _strip(same: Sequence[Seen], history: History) -> Strip:
    first = same[0].probe
    stretches = {piece.stretch for seen in same for piece in seen.pieces}
    floors = [lane_floor(same, stretch) for stretch in stretches]
    known = [floor for floor in floors if floor is not None]
    runs: list[tuple[int, int, str]] = []
    for before, seen in zip([None, *same], same, strict=False):
        mine = _runs(seen, history)
        if before is not None and mine and runs and runs[-1][1] < mine[0][0]:
            runs.append((runs[-1][1], mine[0][0], "blind"))
        runs += mine
    return Strip(
        probe=first.declared.probe,
        name=first.name,
        lane=first.lane,
        service=first.service,
        canary=first.declared.canary,
        period_ns=first.declared.period_ns,
        samples=sum(seen.trace.samples for seen in same),
        failed=sum(seen.trace.failed for seen in same),
        slow=sum(seen.trace.slow for seen in same),
        floor_ns=max(known) if known and len(known) == len(floors) else None,
        runs=_few(runs),
        latency=[point for seen in same for point in seen.trace.latency],
        gap_max_ns=max(seen.trace.gap_max_ns for seen in same),
        blind_ns=sum(measure(seen.trace.blind) for seen in same),
    )


def _runs(seen: Seen, history: History) -> list[tuple[int, int, str]]:
    trace = seen.trace
    if trace.first_sent_ns is None or trace.last_sent_ns is None:
        return []
    low, high = life_of(seen.probe, history)
    high = max(high, trace.last_sent_ns)
    layers = {
        "blind": [(from_ns, to_ns) for from_ns, to_ns in trace.blind if to_ns - from_ns >= _BLIND_SHOWN_NS],
        "slow": [_shown(outage, trace.last_sent_ns) for outage in trace.degraded],
        "bad": [_shown(outage, trace.last_sent_ns) for outage in trace.outages],
    }
    if high - trace.last_sent_ns > 2 * seen.probe.declared.period_ns:
        layers["blind"].append((trace.last_sent_ns, high))
    edges = {low, high}
    for spans in layers.values():
        edges.update(edge for span in spans for edge in span if low < edge < high)
    ordered = sorted(edges)
    states = ["good"] * max(0, len(ordered) - 1)
    place = {edge: number for number, edge in enumerate(ordered)}
    for state in _ORDER[1:]:
        for from_ns, to_ns in merged(layers[state]):
            begin, end = place.get(max(from_ns, low)), place.get(min(to_ns, high))
            if begin is not None and end is not None:
                states[begin:end] = [state] * (end - begin)
    found: list[tuple[int, int, str]] = []
    for (from_ns, to_ns), state in zip(itertools.pairwise(ordered), states, strict=True):
        if found and found[-1][2] == state:
            found[-1] = found[-1][0], to_ns, state
        else:
            found.append((from_ns, to_ns, state))
    return found


def _shown(outage: Outage, until_ns: int) -> tuple[int, int]:
    """A blip has no certain length, but it must be seen: it is drawn as long as it most likely was."""
    end = outage.point_to_ns if outage.first_good_ns is not None else max(until_ns, outage.last_bad_ns)
    return outage.point_from_ns, max(end, outage.point_from_ns + 1)


def _few(runs: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Cover the shortest good stretches until no more than _RUNS_MOST runs are left; trouble never disappears."""
    while len(runs) > _RUNS_MOST:
        inner = [to_ns - from_ns for from_ns, to_ns, _ in runs[1:-1]]
        surplus = len(runs) - _RUNS_MOST
        limit = sorted(inner)[min(len(inner) - 1, surplus // 2)]
        kept: list[tuple[int, int, str]] = []
        for run in runs:
            from_ns, to_ns, state = run
            if kept and (to_ns - from_ns <= limit or kept[-1][2] == state):
                kept[-1] = kept[-1][0], to_ns, _graver(kept[-1][2], state)
            else:
                kept.append(run)
        if len(kept) == len(runs):
            break
        runs = kept
    return runs


def _graver(one: str, other: str) -> str:
    return max(one, other, key=_ORDER.index)
