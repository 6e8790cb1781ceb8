"""How far the measurement itself can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

import numpy as np

from rehearsal.figures import words
from rehearsal.judging import damage
from rehearsal.judging import instruments
from rehearsal.judging import trust
from rehearsal.judging.losses import blind_share
from rehearsal.judging.observing.observation import absences
from rehearsal.recording import events

if TYPE_CHECKING:
    from rehearsal.judging.observing.observation import Observation
    from rehearsal.recording.history import History
    from rehearsal.recording.history import ProberRun

_BLIND_MOST = 500


@dataclass(frozen=True, slots=True)
class Quality:
    """How far the measurement itself can be trusted."""

    samples: int
    probes: int
    dropped: int
    lag_p99_ns: int | None
    lag_max_ns: int | None
    blind: list[tuple[int, int, str]]
    blind_share: float
    load_per_s: float
    steal_ns: int
    run_delay_ns: int
    prober_stopped: bool
    remarks: list[str] = field(default_factory=list)
    lag_p50_ns: int | None = None
    cpu_ns: int = 0  # used by the prober's processes
    socket_drops: int = 0  # answers that the kernel dropped because the prober was too slow
    late_replies: int = 0  # came after their sample had been given up
    duplicates: int = 0
    load: instruments.Load = field(default_factory=instruments.Load)
    blind_causes: list[instruments.BlindCause] = field(default_factory=list)


def quality(history: History, observation: Observation) -> Quality:
    """Return what the prober told about itself, and what its samples show of its lateness."""
    beats = [beat for _, beat in history.of(events.ProberBeat)]
    absent = absences(history)
    runs = history.prober_runs
    begun_ns = runs[0].started_ns if runs else history.began_ns
    blind = sorted([*observation.blind, *absent])
    lags = sum((seen.trace.lags for seen in observation.seen), np.zeros(1, np.int64))
    load = instruments.load(history, observation)
    samples = sum(seen.trace.samples for seen in observation.seen)
    dropped = sum(_dropped(history, run) for run in runs)
    return Quality(
        samples=samples,
        probes=len({seen.probe.name for seen in observation.seen}),
        dropped=dropped,
        lag_p99_ns=instruments.percentile(lags, 0.99),
        lag_max_ns=max((seen.trace.lag_max_ns for seen in observation.seen if seen.trace.samples), default=None),
        blind=_longest(blind),
        blind_share=blind_share(observation, absent, begun_ns, history.ended_ns) if runs else 1.0,
        load_per_s=load.samples_per_s,
        steal_ns=sum(beat.steal_ns for beat in beats),
        run_delay_ns=sum(beat.run_delay_ns for beat in beats),
        prober_stopped=bool(runs) and all(run.stopped is not None for run in runs),
        remarks=_remarks(history, observation, dropped, len(blind)),
        lag_p50_ns=instruments.percentile(lags, 0.5),
        cpu_ns=sum(beat.cpu_ns for beat in beats),
        socket_drops=sum(beat.socket_drops for beat in beats),
        late_replies=sum(beat.late for beat in beats),
        duplicates=sum(beat.duplicates for beat in beats),
        load=load,
        blind_causes=instruments.blind_causes(blind),
    )


def unknown_quality(history: History) -> Quality:
    """Return what stands there when it could not be worked out: no figures, and only what the records themselves say."""
    return Quality(
        samples=0,
        probes=0,
        dropped=0,
        lag_p99_ns=None,
        lag_max_ns=None,
        blind=[],
        blind_share=0.0,
        load_per_s=0.0,
        steal_ns=0,
        run_delay_ns=0,
        prober_stopped=bool(history.prober_runs) and all(run.stopped is not None for run in history.prober_runs),
        remarks=["How far the measurement can be trusted could not be worked out."],
    )


def _dropped(history: History, run: ProberRun) -> int:
    """Return what one prober gave up; its beats count from its start."""
    until = run.stopped_ns if run.stopped_ns is not None else run.last_beat_ns
    told = [beat.dropped for moment, beat in history.of(events.ProberBeat) if run.started_ns <= moment <= until]
    return max([*told, run.stopped.dropped if run.stopped else 0])


def _longest(blind: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    if len(blind) <= _BLIND_MOST:
        return blind
    return sorted(sorted(blind, key=lambda span: span[0] - span[1])[:_BLIND_MOST])


def _remarks(history: History, observation: Observation, dropped: int, blind: int) -> list[str]:
    found = []
    if not history.prober_runs:
        found.append("No prober ran: nothing was measured.")
    if history.last.ended_ns is not None and any(run.stopped is None for run in history.prober_runs):
        found.append("The prober died: from its last sign of life until another was started, nothing is known.")
    found += [*trust.remarks(history), *damage.remarks(history)]
    if dropped:
        found.append(f"The prober dropped {words.plural(dropped, 'sample')}, because it was too far behind.")
    if blind > _BLIND_MOST:
        found.append(f"The prober was blind {words.number(blind)} times; the {_BLIND_MOST} longest are listed.")
    if observation.undeclared:
        found.append(f"{words.plural(observation.undeclared, 'sample')} of undeclared probes were ignored.")
    stragglers = sum(seen.trace.stragglers for seen in observation.seen)
    if stragglers:
        found.append(f"{words.plural(stragglers, 'sample')} were stored too late to be ordered: ignored.")
    drops = sum(beat.socket_drops for _, beat in history.of(events.ProberBeat))
    if drops:
        found.append(f"The kernel dropped {words.plural(drops, 'answer')} because the prober was too slow.")
    return found
