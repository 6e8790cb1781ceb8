"""The one reader of a recording: journals as facts in order of time, and what became of what they say was begun.

Reads only; nothing is judged here. Whoever asks what was recorded asks here, of a run that is over or still going: all
of it (`load`), or the journals that hold the answer (`read`). The samples are a stream of their own (`samplestream`).
Invariant: whatever a crash can leave behind can be loaded, and what is missing shows as None, never as a guess.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from dataclasses import dataclass
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import TypeVar

from rehearsal.recording import events
from rehearsal.recording import journal
from rehearsal.recording import runfiles
from rehearsal.recording.boots import on_one_clock
from rehearsal.recording.chain import Flaw
from rehearsal.recording.declarations import completed
from rehearsal.recording.journal import JournalError

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable

    from rehearsal.recording.boots import Boot
    from rehearsal.recording.journal import JournalRead
    from rehearsal.recording.journal import Record
    from rehearsal.recording.samples import Account

_EventT = TypeVar("_EventT", bound=events.Event)
_BeganT = TypeVar("_BeganT", bound=events.Event)
_EndedT = TypeVar("_EndedT", bound=events.Event)
RUNNER, PROBER = "journal/runner.jsonl", "journal/prober.jsonl"
_FLAWS_MOST = 5
_BEATS_APART_NS = 3_000_000_000  # the prober beats once a second; two missed beats are a silence


class HistoryError(JournalError):
    """A run directory whose recording cannot be read: says which one and what to do."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One process of the runner. `ended_ns` None: it was killed, or it still runs."""

    number: int
    began_ns: int
    ended_ns: int | None
    reason: str
    detail: str
    event: events.RunBegan


@dataclass(frozen=True, slots=True)
class StepRun:
    """One attempt at one step. `ended_ns` None: its end was not seen."""

    step: str
    attempt: int
    began_ns: int
    ended_ns: int | None
    rc: int | None
    note: str
    event: events.StepBegan


@dataclass(frozen=True, slots=True)
class ProberRun:
    """One process of the prober. `stopped_ns` None: it died or was killed, or it still runs."""

    started_ns: int
    stopped_ns: int | None
    last_beat_ns: int
    event: events.ProberStarted
    stopped: events.ProberStopped | None


@dataclass(frozen=True, slots=True)
class Probe:
    """One declaration of a probe, with the time in which it measured. `index` names it in `History.samples`.

    `ended_ns` None: probing broke off, and the last sample is the last that is known.
    """

    index: int
    declared: events.ProbeDeclared
    from_ns: int
    ended_ns: int | None
    broke_off_ns: int | None  # when its prober was last heard of, if it broke off
    periods: tuple[tuple[int, int], ...]
    prober_run: int  # which process of the prober

    @property
    def name(self) -> str:
        """The name for people; a probe that goes on after a restart keeps it."""
        return self.declared.name

    @property
    def lane(self) -> str:
        """The lane."""
        return self.declared.lane

    @property
    def reaches_canary(self) -> bool:
        """True if it reaches a guest instead of a service."""
        return bool(self.declared.canary)

    @property
    def service(self) -> str:
        """The row of the matrix that it speaks of."""
        return "canaries" if self.reaches_canary else self.declared.service


@dataclass(frozen=True, slots=True)
class MigrationRun:
    """One live migration. `ended` None: its end was not seen."""

    migration: str
    began_ns: int
    began: events.MigrationBegan
    ended_ns: int | None
    ended: events.MigrationEnded | None


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """One pytest process at one gate, and when it began."""

    began_ns: int
    event: events.SuiteBegan
    rc: int | None


@dataclass(frozen=True)
class History:
    """What was recorded about one run, or what the journals that were read say of it; each answer is made when asked for."""

    run_dir: Path = Path()
    journals: tuple[JournalRead, ...] = ()  # each as it was found
    records: tuple[Record, ...] = ()
    boots: tuple[Boot, ...] = ()  # of the machine, if it was rebooted during the run: see `boots`
    accounts: dict[str, Account] = field(default_factory=dict, repr=False)  # of sample files that were read whole

    @cached_property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts of the runner, in order; never none in what `load` returns."""
        return _attempts(self.records)

    @cached_property
    def steps(self) -> tuple[StepRun, ...]:
        """Every attempt at every step, in order."""
        pairs = _pairs(self, events.StepBegan, events.StepEnded, lambda event: (event.step, event.attempt))
        return tuple(
            StepRun(
                began.step,
                began.attempt,
                began_ns,
                ended_ns,
                ended.rc if ended else None,
                ended.note if ended else "",
                began,
            )
            for began_ns, began, ended_ns, ended in pairs
        )

    @cached_property
    def phases(self) -> tuple[tuple[str, int, int | None, str], ...]:
        """The phases in order: name, begin (ns), end (ns), outcome."""
        pairs = _pairs(self, events.PhaseBegan, events.PhaseEnded, lambda event: event.phase)
        return tuple(
            (began.phase, began_ns, ended_ns, ended.outcome if ended else "")
            for began_ns, began, ended_ns, ended in pairs
        )

    @cached_property
    def migrations(self) -> tuple[MigrationRun, ...]:
        """The live migrations that were asked for, in order."""
        pairs = _pairs(self, events.MigrationBegan, events.MigrationEnded, lambda event: event.migration)
        return tuple(MigrationRun(pair[1].migration, *pair) for pair in pairs)

    @cached_property
    def suites(self) -> tuple[SuiteRun, ...]:
        """The suites in the order in which they began."""
        pairs = _pairs(self, events.SuiteBegan, events.SuiteEnded, lambda event: (event.suite, event.gate))
        return tuple(SuiteRun(began_ns, began, ended.rc if ended else None) for began_ns, began, _, ended in pairs)

    @cached_property
    def prober_runs(self) -> tuple[ProberRun, ...]:
        """The processes of the prober, in order."""
        return _prober_runs(self.records)

    @cached_property
    def probes(self) -> tuple[Probe, ...]:
        """Every declaration of a probe, in order."""
        return _probes(self.records, self.prober_runs)

    @property
    def declared(self) -> dict[int, events.ProbeDeclared]:
        """By a probe's number in the store: its last declaration, as it was written."""
        return {event.probe: event for _, event in self.of(events.ProbeDeclared)}

    @cached_property
    def numbers(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """By a probe's number in the store: from when on (ns) it means which of `probes`."""
        found: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for probe in self.probes:
            found[probe.declared.probe].append((probe.from_ns, probe.index))
        return {number: tuple(spans) for number, spans in found.items()}

    @property
    def canaries_up(self) -> list[events.CanaryUp]:
        """The canaries that came up and are not gone, sorted by name; the last one of a name counts."""
        found: dict[str, events.CanaryUp] = {}
        for record in self.records:
            if isinstance(record.event, events.CanaryUp):
                found[record.event.canary] = record.event
            elif isinstance(record.event, events.CanaryGone):
                found.pop(record.event.canary, None)
        return [found[name] for name in sorted(found)]

    @property
    def began_ns(self) -> int:
        """When the first attempt began."""
        return self.attempts[0].began_ns

    @cached_property
    def ended_ns(self) -> int:
        """When the last attempt ended, or the last that is known of it."""
        ended_ns = self.last.ended_ns
        return max(record.t_ns for record in self.records) if ended_ns is None else ended_ns

    @property
    def first(self) -> events.RunBegan:
        """The first attempt's opening record."""
        return self.attempts[0].event

    @property
    def last(self) -> Attempt:
        """The last attempt."""
        return self.attempts[-1]

    @property
    def plan(self) -> dict[str, Any]:
        """The plan as the last attempt recorded it; `judging.plans` reads it."""
        return self.last.event.plan

    @property
    def rebooted(self) -> bool:
        """True if the machine was rebooted during the run."""
        return bool(self.boots)

    def of(self, kind: type[_EventT]) -> list[tuple[int, _EventT]]:
        """Return all events of one kind with their times (ns)."""
        return [(record.t_ns, record.event) for record in self.records if isinstance(record.event, kind)]

    @property
    def damage(self) -> list[Flaw]:
        """What was read and is not as it was written; not what a writer that was killed left behind."""
        return [flaw for each in self.journals for flaw in each.flaws if flaw.decides]

    def walls(self) -> list[tuple[int, int]]:
        """Return pairs (monotonic ns, wall ns): the first, the last, and wherever the wall clock was set."""
        pairs: list[tuple[int, int]] = []
        offset = None
        for record in self.records:
            now = record.w_ns - record.t_ns
            if offset is None or abs(now - offset) > 1_000_000:
                pairs.append((record.t_ns, record.w_ns))
                offset = now
        last = self.records[-1]
        if pairs[-1][0] != last.t_ns:
            pairs.append((last.t_ns, last.w_ns))
        return pairs


def load(run_dir: Path) -> History:
    """Read a run directory. Raises JournalError (HistoryError is one) with a sentence for the operator."""
    if not (run_dir / "journal").is_dir():
        raise HistoryError(f"{run_dir}: no recording here (no folder `journal`). Name a run directory below reports/.")
    runfiles.check(run_dir)
    history = read(run_dir)
    if not history.attempts:
        flaws = map(str, history.damage[:_FLAWS_MOST])
        why = f" Damaged: {'; '.join(flaws)}." if history.damage else ""
        raise HistoryError(
            f"{run_dir}: the runner's journal ({RUNNER}) holds no record of a run.{why} Nothing can be told from it: restore it from "
            "its copy."
        )
    return history


def read(run_dir: Path, *names: str) -> History:
    """Read the journals of a recording, all or those named, each as it was found; one that is not there says nothing.

    The samples are left alone. Raises OSError, RunFileRefused.
    """
    found = names or [f"journal/{path.name}" for path in sorted((run_dir / "journal").glob("*.jsonl"))]
    journals = _of_one_recording([journal.read(run_dir / name, name) for name in found if (run_dir / name).exists()])
    merged = sorted((record for each in journals for record in each.records), key=lambda record: record.t_ns)
    records, boots = on_one_clock(merged)
    return History(run_dir, tuple(journals), records, boots)


def _of_one_recording(journals: list[JournalRead]) -> list[JournalRead]:
    """Return the journals that belong together, and of the others only that they do not."""
    marks = [each.opened for each in journals if each.opened is not None]
    if not marks:
        return journals
    runner = next((each.opened for each in journals if each.file == RUNNER and each.opened is not None), marks[0])
    began_unchecked = any(each.unchecked for each in journals if each.opened is not None)
    return [_if_of(runner, each, began_unchecked=began_unchecked) for each in journals]


def _if_of(runner: events.JournalOpened, journal: JournalRead, *, began_unchecked: bool) -> JournalRead:
    opened = journal.opened
    if opened is None:
        if began_unchecked or (not journal.records and not journal.flaws):
            return journal  # of before there were checksums; or empty: its writer had nothing to say
        what = "it has no checksums although the other journals do: it is damaged, or does not belong to this recording"
    elif opened.recording != runner.recording:
        what = f"it belongs to another recording (of run {opened.run})"
    elif opened.file != journal.file:
        what = f"it was written as {opened.file}: this is a copy, or it was renamed"
    else:
        return journal
    return dataclasses.replace(journal, records=[], flaws=[*journal.flaws, Flaw(journal.file, "", what)])


def _attempts(records: Iterable[Record]) -> tuple[Attempt, ...]:
    found: list[Attempt] = []
    for record in records:
        event = record.event
        if isinstance(event, events.RunBegan):
            found.append(Attempt(event.attempt, record.t_ns, None, "", "", event))
        elif isinstance(event, events.RunEnded) and found:
            found[-1] = dataclasses.replace(found[-1], ended_ns=record.t_ns, reason=event.reason, detail=event.detail)
    return tuple(found)


def _pairs(
    history: History, began: type[_BeganT], ended: type[_EndedT], key: Callable[[Any], object]
) -> list[tuple[int, _BeganT, int | None, _EndedT | None]]:
    """Return what began with its end, each with its time (ns). An end belongs to the last of its key that is still open."""
    found: list[tuple[int, _BeganT, int | None, _EndedT | None]] = []
    still_open: dict[object, list[int]] = defaultdict(list)
    for record in history.records:
        if isinstance(record.event, began):
            still_open[key(record.event)].append(len(found))
            found.append((record.t_ns, record.event, None, None))
        elif isinstance(record.event, ended) and (places := still_open[key(record.event)]):
            place = places.pop()
            found[place] = (*found[place][:2], record.t_ns, record.event)
    return found


def _prober_runs(records: Iterable[Record]) -> tuple[ProberRun, ...]:
    found: list[ProberRun] = []
    for record in records:
        event = record.event
        if isinstance(event, events.ProberStarted):
            found.append(ProberRun(record.t_ns, None, record.t_ns, event, None))
        elif not found:
            continue
        elif isinstance(event, events.ProberStopped):
            found[-1] = dataclasses.replace(found[-1], stopped_ns=record.t_ns, stopped=event)
        elif isinstance(event, events.ProberBeat):
            found[-1] = dataclasses.replace(found[-1], last_beat_ns=record.t_ns)
    return tuple(found)


def _probes(records: Iterable[Record], runs: tuple[ProberRun, ...]) -> tuple[Probe, ...]:
    found: list[Probe] = []
    current: dict[int, int] = {}  # number in the store: place in `found`
    run = -1
    for record in records:
        event = record.event
        if isinstance(event, events.ProberStarted):
            run += 1
            _end_all(found, current, runs, run - 1)
        elif isinstance(event, events.ProbeDeclared):
            place = current.get(event.probe)
            if place is not None:
                found[place] = dataclasses.replace(found[place], ended_ns=record.t_ns)
            current[event.probe] = len(found)
            begun = (record.t_ns, event.period_ns)
            found.append(Probe(len(found), completed(event), record.t_ns, None, None, (begun,), run))
        elif isinstance(event, events.PeriodChanged) and event.probe in current:
            probe = found[current[event.probe]]
            periods = (*probe.periods, (record.t_ns, event.period_ns))
            found[probe.index] = dataclasses.replace(probe, periods=periods)
        elif isinstance(event, events.ProbeRetired) and event.probe in current:
            place = current.pop(event.probe)
            found[place] = dataclasses.replace(found[place], ended_ns=record.t_ns)
    _end_all(found, current, runs, run)
    return tuple(found)


def _end_all(found: list[Probe], current: dict[int, int], runs: tuple[ProberRun, ...], run: int) -> None:
    """End the probes of a prober that is gone: by its own word, or when it was last heard of."""
    if run < 0:
        return
    stopped_ns, heard_ns = runs[run].stopped_ns, runs[run].last_beat_ns
    for place in current.values():
        broke_off_ns = None if stopped_ns is not None else max(heard_ns, found[place].from_ns)
        found[place] = dataclasses.replace(found[place], ended_ns=stopped_ns, broke_off_ns=broke_off_ns)
    current.clear()


def silences(history: History) -> list[tuple[int, int, str]]:
    """Return when the prober said nothing about itself although it should have: (from, to, why)."""
    beats = [moment for moment, _ in history.of(events.ProberBeat)]
    found = []
    for run in history.prober_runs:
        until = run.stopped_ns if run.stopped_ns is not None else run.last_beat_ns
        heard = [run.started_ns, *[moment for moment in beats if run.started_ns < moment <= until], until]
        found += [
            (before, after, "the prober gave no sign of life")
            for before, after in itertools.pairwise(heard)
            if after - before > _BEATS_APART_NS
        ]
    return found
