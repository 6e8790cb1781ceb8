"""The instruments themselves: what each lane could see, what probing cost, and how well known outages were measured."""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rehearsal.figures.length import Length
from rehearsal.figures.outcome import Outcome
from rehearsal.judging.losses import lane_floor
from rehearsal.lanes.load import load_of
from rehearsal.outage import LAG_BIN_NS
from rehearsal.outage import measure
from rehearsal.recording import events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from rehearsal.judging.observing.observation import Observation
    from rehearsal.judging.observing.observation import Seen
    from rehearsal.recording.history import History

# --- lanes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lane:
    """All probes of one lane at one VIP: what they could see together. Lateness is how long after its time a sample was sent.

    `floor_ns`: the worst of its probes in the worst step (`floor_step`), None if nobody knows; `blind_ns`: of the
    probe that was blind longest. `proving_nothing` samples were taken while blind or ended by the prober's own fault.
    """

    lane: str
    vip: str  # public | internal | ""
    probes: list[str]
    period_ns: tuple[int, int]  # shortest and longest
    samples: int
    failed: int
    slow: int
    proving_nothing: int
    floor_ns: int | None
    floor_step: str
    gap_max_ns: int
    blind_ns: int
    late_p50_ns: int | None
    late_p99_ns: int | None


@dataclass(frozen=True, slots=True)
class Load:
    """What probing cost those who were probed, a second: as declared (the most at any time), and as it was (on average).

    `samples_per_s` is the most of requests and packets together: not their sum, unless both are at their most at once.
    A packet is an echo request to a guest (ICMP, TCP, UDP); what goes to the prober's own controls costs nobody.
    """

    requests_per_s: float = 0.0
    connections_per_s: float = 0.0  # of the requests, those over a connection of their own
    packets_per_s: float = 0.0
    samples_per_s: float = 0.0
    sent_requests_per_s: float = 0.0
    sent_packets_per_s: float = 0.0
    watched_ns: int = 0  # how long there was a prober


@dataclass(frozen=True, slots=True)
class BlindCause:
    """Why the whole prober could not see, how often and how long."""

    why: str
    count: int
    total_ns: int
    longest_ns: int


@dataclass(frozen=True, slots=True)
class Trial:
    """A known fault and what was measured of it. `seen` False: no window, so only the floor speaks about it."""

    kind: str
    true_ns: int
    seen: bool
    certain_ns: int
    point_ns: int
    possible_ns: int | None
    floor_ns: int | None
    covered: bool  # certain <= truth <= possible, or truth <= floor
    blind: bool  # the prober could not see at some moment of it, or was gone before its end

    @property
    def length(self) -> Length:
        """What was measured."""
        return Length(self.certain_ns, self.point_ns, self.possible_ns)

    @property
    def error_ns(self) -> int | None:
        """How far the point estimate is from the truth; None if there is none."""
        return self.point_ns - self.true_ns if self.seen and not self.blind else None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Known outages, measured before anything that was not known. `seal_fits`: the lengths are those that were sealed."""

    at_ns: int
    outcome: Outcome
    sentence: str
    seal: str
    seal_fits: bool
    trials: list[Trial]


def lanes(observation: Observation) -> list[Lane]:
    """Return every lane at every VIP in the order in which its first probe was declared."""
    groups: dict[tuple[str, str], list[Seen]] = defaultdict(list)
    for seen in observation.seen:
        groups[seen.probe.lane, seen.probe.declared.vip].append(seen)
    return [_lane(lane, vip, found) for (lane, vip), found in groups.items()]


def _lane(lane: str, vip: str, found: list[Seen]) -> Lane:
    named: dict[str, list[Seen]] = defaultdict(list)
    for seen in found:
        named[seen.probe.name].append(seen)
    floor_ns, floor_step = _worst_floor(named.values())
    lags = sum((seen.trace.lags for seen in found), np.zeros(1, np.int64))
    periods = [period for seen in found for _, period in seen.probe.periods]
    return Lane(
        lane=lane,
        vip=vip,
        probes=list(named),
        period_ns=(min(periods), max(periods)),
        samples=sum(seen.trace.samples for seen in found),
        failed=sum(seen.trace.failed for seen in found),
        slow=sum(seen.trace.slow for seen in found),
        proving_nothing=sum(seen.trace.nothing for seen in found),
        floor_ns=floor_ns,
        floor_step=floor_step,
        gap_max_ns=max(seen.trace.gap_max_ns for seen in found),
        blind_ns=max(sum(measure(seen.trace.blind) for seen in same) for same in named.values()),
        late_p50_ns=percentile(lags, 0.5),
        late_p99_ns=percentile(lags, 0.99),
    )


def _worst_floor(probes: Iterable[list[Seen]]) -> tuple[int | None, str]:
    """Return the longest outage of any probe that could have passed unseen in any step, and in which.

    Of probes that no step met, whatever they measured counts. None: a step's end was not seen by one of them.
    """
    worst_ns, worst_step = -1, ""
    for same in probes:
        stretches = list(dict.fromkeys(piece.stretch for seen in same for piece in seen.pieces))
        for stretch in [each for each in stretches if each.name] or stretches:
            floor = lane_floor(same, stretch)
            if floor is None:
                return None, stretch.name
            if floor > worst_ns:
                worst_ns, worst_step = floor, stretch.name
    return (None, "") if worst_ns < 0 else (worst_ns, worst_step)


def percentile(lags: NDArray[np.int64], share: float) -> int | None:
    """Return the upper edge of the bin that holds a percentile of lateness (ns); None without samples."""
    total = int(lags.sum())
    if not total:
        return None
    return (int(np.searchsorted(np.cumsum(lags), np.ceil(share * total))) + 1) * LAG_BIN_NS


# --- load ----------------------------------------------------------------------------------------------------------


def load(history: History, observation: Observation) -> Load:
    """Return what probing cost: the most of each kind that was declared at any moment, and what was sent on average."""
    spans = [
        (run.started_ns, run.stopped_ns if run.stopped_ns is not None else run.last_beat_ns)
        for run in history.prober_runs
    ]
    watched_ns = measure([(low, high) for low, high in spans if high > low])
    declared = [load_of(lanes) for lanes in _declared(history)]
    sent = load_of((seen.probe.lane, float(seen.trace.samples)) for seen in observation.seen)
    seconds = watched_ns / 1e9
    return Load(
        requests_per_s=max((one.requests_per_s for one in declared), default=0.0),
        connections_per_s=max((one.connections_per_s for one in declared), default=0.0),
        packets_per_s=max((one.packets_per_s for one in declared), default=0.0),
        samples_per_s=max((one.samples_per_s for one in declared), default=0.0),
        sent_requests_per_s=sent.requests_per_s / seconds if seconds else 0.0,
        sent_packets_per_s=sent.packets_per_s / seconds if seconds else 0.0,
        watched_ns=watched_ns,
    )


def _declared(history: History) -> Iterable[list[tuple[str, float]]]:
    """Yield the lanes and rates that were declared together, after each change."""
    changes: list[tuple[int, int, str, float]] = []
    for probe in history.probes:
        changes += [(moment, probe.index, probe.lane, 1e9 / period) for moment, period in probe.periods]
        until = probe.ended_ns if probe.ended_ns is not None else probe.broke_off_ns
        if until is not None:
            changes.append((until, probe.index, probe.lane, 0.0))
    now: dict[int, tuple[str, float]] = {}
    changes.sort(key=lambda change: change[:2])
    for _, together in itertools.groupby(changes, key=lambda change: change[0]):
        now |= {index: (lane, hz) for _, index, lane, hz in together}
        yield list(now.values())


# --- blindness -----------------------------------------------------------------------------------------------------


def blind_causes(blind: Iterable[tuple[int, int, str]]) -> list[BlindCause]:
    """Return why the whole prober could not see, the cause of the longest blindness first."""
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for from_ns, to_ns, why in blind:
        spans[why].append((from_ns, to_ns))
    found = [
        BlindCause(why, len(each), measure(each), max(to_ns - from_ns for from_ns, to_ns in each))
        for why, each in spans.items()
    ]
    return sorted(found, key=lambda cause: -cause.total_ns)


# --- calibration ---------------------------------------------------------------------------------------------------


def calibrations(history: History) -> list[Calibration]:
    """Return every calibration of the run."""
    return [_calibration(moment, done) for moment, done in history.of(events.CalibrationDone)]


def _calibration(moment: int, done: events.CalibrationDone) -> Calibration:
    return Calibration(
        at_ns=moment,
        outcome=_outcome(done.outcome),
        sentence=done.sentence,
        seal=done.seal,
        seal_fits=bool(done.seal) and hashlib.sha256(done.sealed.encode()).hexdigest() == done.seal,
        trials=[
            Trial(
                kind=str(trial.get("kind", "")),
                true_ns=int(trial.get("true_ns") or 0),
                seen=bool(trial.get("seen")),
                certain_ns=int(trial.get("certain_ns") or 0),
                point_ns=int(trial.get("point_ns") or 0),
                possible_ns=None if trial.get("possible_ns") is None else int(trial["possible_ns"]),
                floor_ns=None if trial.get("floor_ns") is None else int(trial["floor_ns"]),
                covered=bool(trial.get("covered")),
                blind=bool(trial.get("blind")),
            )
            for trial in done.trials
        ],
    )


def _outcome(word: str) -> Outcome:
    try:
        return Outcome(word)
    except ValueError:
        return Outcome.UNKNOWN
