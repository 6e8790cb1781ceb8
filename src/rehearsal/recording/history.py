"""The merged view of one recording: journals as facts in order, samples as a stream.

Reads only; nothing is judged here. Invariant: whatever a crash can leave behind can be loaded, and what is missing
shows as None, never as a guess.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any
from typing import TypeVar

import numpy as np

from rehearsal.recording import events
from rehearsal.recording import runfiles
from rehearsal.recording.boots import on_one_clock
from rehearsal.recording.boots import shifted_chunks
from rehearsal.recording.chain import Flaw
from rehearsal.recording.declarations import completed
from rehearsal.recording.journal import JournalError
from rehearsal.recording.journal import Record
from rehearsal.recording.journal import merged
from rehearsal.recording.journal import read_recording
from rehearsal.recording.samples import Account
from rehearsal.recording.samples import read_chunks
from rehearsal.recording.samples import sample_files

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from rehearsal.recording.boots import Boot
    from rehearsal.recording.journal import JournalRead

_EventT = TypeVar("_EventT", bound=events.Event)
_FLAWS_MOST = 5
_RUNNER = "journal/runner.jsonl"
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


@dataclass(frozen=True, slots=True)
class History:
    """Everything that was recorded about one run."""

    run_dir: Path
    records: tuple[Record, ...]
    attempts: tuple[Attempt, ...]
    steps: tuple[StepRun, ...]
    phases: tuple[tuple[str, int, int | None, str], ...]  # phase, began, ended, outcome
    probes: tuple[Probe, ...]
    prober_runs: tuple[ProberRun, ...]
    migrations: tuple[MigrationRun, ...]
    suites: tuple[SuiteRun, ...]
    began_ns: int
    ended_ns: int
    boots: tuple[Boot, ...]  # of the machine, if it was rebooted during the run: see `boots`
    _numbers: dict[int, tuple[tuple[int, int], ...]] = field(repr=False)  # number in the store: (from, index)
    journals: tuple[JournalRead, ...] = ()  # each as it was found
    accounts: dict[str, Account] = field(default_factory=dict, repr=False)  # of sample files that were read whole

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

    def samples(self, *, settled_ns: int | None = None) -> Iterator[NDArray[np.void]]:
        """Yield the samples in the order of the store; `probe` is the index of the declaration it belongs to.

        Samples of a number that nobody declared get `UNDECLARED`. `settled_ns`: see `samples.read_chunks`.
        """
        table = np.full(1 << 16, UNDECLARED, np.uint16)
        several = []
        for number, spans in self._numbers.items():
            table[number] = spans[0][1]
            if len(spans) > 1:
                several.append(number)
        for chunk in self._chunks(settled_ns):
            numbers = chunk["probe"].copy()
            renumbered = chunk if chunk.flags.writeable else chunk.copy()
            renumbered["probe"] = table[numbers]
            for number in several:
                self._split(number, np.flatnonzero(numbers == number), renumbered)
            yield renumbered

    def _chunks(self, settled_ns: int | None) -> Iterator[NDArray[np.void]]:
        for path in sample_files(self.run_dir):
            account = Account(f"samples/{path.name}")
            if self.boots:
                yield from shifted_chunks(read_chunks(path, account=account), self.boots)
            else:
                yield from read_chunks(path, settled_ns=settled_ns, account=account)
            if settled_ns is None or self.boots:
                self.accounts[path.name] = account

    def _split(self, number: int, mine: NDArray[np.intp], chunk: NDArray[np.void]) -> None:
        """Give the samples of a number that was declared again to the declaration of their time."""
        spans = self._numbers[number]
        begins = np.array([begin for begin, _ in spans], np.int64)
        place = np.maximum(np.searchsorted(begins, chunk["sent"][mine], side="right") - 1, 0)
        chunk["probe"][mine] = np.array([index for _, index in spans], np.uint16)[place]


UNDECLARED = (1 << 16) - 1


def load(run_dir: Path) -> History:
    """Read a run directory. Raises JournalError (HistoryError is one) with a sentence for the operator."""
    if not (run_dir / "journal").is_dir():
        raise HistoryError(f"{run_dir}: no recording here (no folder `journal`). Name a run directory below reports/.")
    runfiles.check(run_dir)
    journals = of_one_recording(read_recording(run_dir))
    records, boots = on_one_clock(tuple(merged(journals)))
    attempts = _attempts(records)
    if not attempts:
        flaws = [str(flaw) for each in journals for flaw in each.flaws if flaw.decides]
        why = f" Damaged: {'; '.join(flaws[:_FLAWS_MOST])}." if flaws else ""
        raise HistoryError(
            f"{run_dir}: the runner's journal ({_RUNNER}) holds no record of a run.{why} Nothing can be told from it: restore it from "
            "its copy."
        )
    prober_runs = _prober_runs(records)
    probes = _probes(records, prober_runs)
    numbers: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for probe in probes:
        numbers[probe.declared.probe].append((probe.from_ns, probe.index))
    return History(
        run_dir=run_dir,
        records=records,
        attempts=attempts,
        steps=_steps(records),
        phases=_phases(records),
        probes=probes,
        prober_runs=prober_runs,
        migrations=_migrations(records),
        suites=_suites(records),
        began_ns=attempts[0].began_ns,
        ended_ns=_ended_ns(records, attempts),
        boots=boots,
        _numbers={number: tuple(spans) for number, spans in numbers.items()},
        journals=tuple(journals),
    )


def of_one_recording(journals: list[JournalRead]) -> list[JournalRead]:
    """Return the journals that belong together, and of the others only that they do not."""
    marks = [each.opened for each in journals if each.opened is not None]
    if not marks:
        return journals
    runner = next((each.opened for each in journals if each.file == _RUNNER and each.opened is not None), marks[0])
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


def _ended_ns(records: tuple[Record, ...], attempts: tuple[Attempt, ...]) -> int:
    last = attempts[-1].ended_ns
    return max(record.t_ns for record in records) if last is None else last


def _attempts(records: Iterable[Record]) -> tuple[Attempt, ...]:
    found: list[Attempt] = []
    for record in records:
        event = record.event
        if isinstance(event, events.RunBegan):
            found.append(Attempt(event.attempt, record.t_ns, None, "", "", event))
        elif isinstance(event, events.RunEnded) and found:
            found[-1] = dataclasses.replace(found[-1], ended_ns=record.t_ns, reason=event.reason, detail=event.detail)
    return tuple(found)


def _steps(records: Iterable[Record]) -> tuple[StepRun, ...]:
    found: list[StepRun] = []
    for record in records:
        event = record.event
        if isinstance(event, events.StepBegan):
            found.append(StepRun(event.step, event.attempt, record.t_ns, None, None, "", event))
        elif isinstance(event, events.StepEnded):
            for place in range(len(found) - 1, -1, -1):
                if found[place].step == event.step and found[place].attempt == event.attempt:
                    found[place] = dataclasses.replace(found[place], ended_ns=record.t_ns, rc=event.rc, note=event.note)
                    break
    return tuple(found)


def _phases(records: Iterable[Record]) -> tuple[tuple[str, int, int | None, str], ...]:
    found: list[tuple[str, int, int | None, str]] = []
    for record in records:
        event = record.event
        if isinstance(event, events.PhaseBegan):
            found.append((event.phase, record.t_ns, None, ""))
        elif isinstance(event, events.PhaseEnded):
            for place in range(len(found) - 1, -1, -1):
                if found[place][0] == event.phase and found[place][2] is None:
                    found[place] = event.phase, found[place][1], record.t_ns, event.outcome
                    break
    return tuple(found)


def _migrations(records: Iterable[Record]) -> tuple[MigrationRun, ...]:
    found: list[MigrationRun] = []
    for record in records:
        event = record.event
        if isinstance(event, events.MigrationBegan):
            found.append(MigrationRun(record.t_ns, event, None, None))
        elif isinstance(event, events.MigrationEnded):
            for place in range(len(found) - 1, -1, -1):
                if found[place].began.migration == event.migration and found[place].ended is None:
                    found[place] = dataclasses.replace(found[place], ended_ns=record.t_ns, ended=event)
                    break
    return tuple(found)


def _suites(records: Iterable[Record]) -> tuple[SuiteRun, ...]:
    found: list[SuiteRun] = []
    for record in records:
        event = record.event
        if isinstance(event, events.SuiteBegan):
            found.append(SuiteRun(record.t_ns, event, None))
        elif isinstance(event, events.SuiteEnded):
            for place in range(len(found) - 1, -1, -1):
                if found[place].event.suite == event.suite and found[place].event.gate == event.gate:
                    found[place] = dataclasses.replace(found[place], rc=event.rc)
                    break
    return tuple(found)


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
