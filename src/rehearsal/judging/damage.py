"""Whether the recording is as it was written: what is damaged, missing, doubled or not of this run is named here.

Whatever is not as it was written may have said anything, so the verdict is unknown at least, and never better than it was
when the recording was fresh. What a killed writer leaves behind is told and is no damage.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from rehearsal.figures import words
from rehearsal.figures.outcome import Outcome
from rehearsal.judging.sentences import finding
from rehearsal.recording import closing
from rehearsal.recording import events
from rehearsal.recording.chain import Flaw

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Iterator

    from rehearsal.judging.rooms import Finding
    from rehearsal.recording.history import History
    from rehearsal.recording.samples import Written

SUBJECT = "recording"
_PLACES = 3
_FILES = 20
_UNWRITTEN_BEATS = 2
"""Samples of a beat are handed over before the second beat after it is written: both go through one thread."""


def findings(history: History) -> list[Finding]:
    """Return what is not as it was written, one sentence a file; then what killed writers left behind."""
    flaws = _flaws(history)
    deciding = _by_file([flaw for flaw in flaws if flaw.decides])
    found = [_of_file(file, mine, history.run_dir.name) for file, mine in _first(deciding)]
    if len(deciding) > _FILES:
        found.append(finding("recording.more-damaged", Outcome.UNKNOWN, SUBJECT, count=len(deciding) - _FILES))
    if deciding and (before := _verdict_before(history)) is not None and before.outcome == Outcome.FAIL:
        found.append(finding("recording.failed-before", Outcome.FAIL, SUBJECT, verdict=before.sentence))
    told = _by_file([flaw for flaw in flaws if not flaw.decides])
    left = (_places(file, mine) for file, mine in _first(told))
    return [*found, *(finding("recording.torn", Outcome.OK, SUBJECT, places=places) for places in left)]


def remarks(history: History) -> list[str]:
    """Return what a reader should know about a recording that cannot be checked, as a whole or in part."""
    if not history.journals:
        return []
    without = [each.file for each in history.journals if each.opened is None and each.records]
    begun = [each.file for each in history.journals if each.opened is not None and each.unchecked]
    old = " (an older version wrote it)"
    if without and not any(each.opened for each in history.journals):
        return [f"The recording has no checksums{old}: whether anything in it was changed or lost cannot be checked."]
    if names := [*without, *begun]:
        return [f"What was written before there were checksums cannot be checked: {words.listed(names)}."]
    return []


def _flaws(history: History) -> list[Flaw]:
    found = [flaw for each in history.journals for flaw in each.flaws]
    for account in history.accounts.values():
        found += account.flaws
    found += _of_openings(history)
    found += _of_counts(history)
    found += _of_listed_files(history)
    found += [
        Flaw(each.file, "", "its last writer was killed, or is still running", decides=False)
        for each in history.journals
        if each.opened is not None and not each.closed and not any(flaw.decides for flaw in each.flaws)
    ]
    return found


def _by_file(flaws: Iterable[Flaw]) -> dict[str, list[Flaw]]:
    found: defaultdict[str, list[Flaw]] = defaultdict(list)
    for flaw in flaws:
        found[flaw.file].append(flaw)
    return found


def _first(by_file: dict[str, list[Flaw]]) -> Iterator[tuple[str, list[Flaw]]]:
    yield from list(by_file.items())[:_FILES]


def _places(file: str, flaws: list[Flaw]) -> str:
    said = "; ".join(f"{flaw.place}: {flaw.what}" if flaw.place else flaw.what for flaw in flaws[:_PLACES])
    more = f"; and {words.plural(len(flaws) - _PLACES, 'more place')}" if len(flaws) > _PLACES else ""
    return f"{file}, {said}{more}"


def _of_file(file: str, flaws: list[Flaw], run: str) -> Finding:
    places = _places(file, flaws)
    if all(flaw.by_writer for flaw in flaws):
        return finding("recording.incomplete", Outcome.UNKNOWN, SUBJECT, places=places)
    return finding("recording.damaged", Outcome.UNKNOWN, SUBJECT, places=places, run=run)


def _about(history: History) -> list[Any]:
    return [record.event for each in history.journals if each.file == closing.FILE for record in each.about]


def _verdict_before(history: History) -> events.RunJudged | None:
    return next((event for event in reversed(_about(history)) if isinstance(event, events.RunJudged)), None)


# --- samples -------------------------------------------------------------------------------------------------------


def _of_openings(history: History) -> list[Flaw]:
    """Compare what each sample file says of itself with what the journals say."""
    opened = next((each.opened for each in history.journals if each.opened is not None and not each.unchecked), None)
    if opened is None:
        return []
    found = []
    for account in history.accounts.values():
        for writer in account.writers:
            mark = writer.opened.get("recording")
            if mark is None:
                found.append(Flaw(account.file, "", "it has no checksums although the journals do"))
            elif mark != opened.recording:
                run = str(writer.opened.get("run"))[:60]
                found.append(Flaw(account.file, "", f"it belongs to another recording (of run {run})"))
    return found


def _of_counts(history: History) -> list[Flaw]:
    """Compare what each prober says that it stored with what is found."""
    for run in history.prober_runs:
        name = run.event.samples_file
        if name.removeprefix("samples/") not in history.accounts and (history.run_dir / name).exists():
            return []  # it was not read to its end, and the verdict says why
    writers = [writer for account in history.accounts.values() for writer in account.writers]
    found = []
    place = least = matched = 0
    for run in history.prober_runs:
        stopped = run.stopped
        if stopped is None:
            beats = [each.sent for at, each in history.of(events.ProberBeat) if run.started_ns < at <= run.last_beat_ns]
            least += sum(beats[:-_UNWRITTEN_BEATS])
        elif stopped.stored:
            match = next((at for at in range(place, len(writers)) if _is_of(writers[at], stopped.stored)), None)
            if match is None:
                found.append(Flaw(run.event.samples_file, "", _differs(stopped.stored, writers[place:])))
            else:
                place, matched = match + 1, matched + _total([writers[match]])
    found += [
        _unwritten(run.event.samples_file, lost) for run in history.prober_runs if (lost := _lost(run.stopped)) > 0
    ]
    return [*found, *_of_rest(history, _total(writers) - matched, least), *_of_old_counts(history, writers)]


def _is_of(writer: Written, stored: dict[str, int]) -> bool:
    return writer.closed and _counted(writer) == stored


def _lost(stopped: events.ProberStopped | None) -> int:
    return stopped.recorded - sum(stopped.stored.values()) if stopped is not None and stopped.stored else 0


def _unwritten(name: str, lost: int) -> Flaw:
    return Flaw(name, "", f"the prober could not write {words.plural(lost, 'sample')}", by_writer=True)


def _counted(writer: Written) -> dict[str, int]:
    return {str(probe): int(writer.counts[probe]) for probe in np.flatnonzero(writer.counts)}


def _total(writers: Iterable[Written]) -> int:
    return sum(int(writer.counts.sum()) for writer in writers)


def _differs(stored: dict[str, int], writers: list[Written]) -> str:
    told = sum(stored.values())
    nearest = min(writers, key=lambda writer: abs(told - _total([writer])), default=None)
    if nearest is None:
        return f"the prober stored {words.plural(told, 'sample')} and none of them is found"
    counted = _counted(nearest)
    if counted == stored:
        return "the prober stopped in order, but the end of its file is missing"
    probes = [probe for probe in {**stored, **counted} if stored.get(probe, 0) != counted.get(probe, 0)]
    names = words.listed([f"number {probe}" for probe in probes])
    return (
        f"the prober stored {words.plural(told, 'sample')}, and {words.number(_total([nearest]))} are found (of the probes, "
        f"these differ: {names})"
    )


def _of_rest(history: History, rest: int, least: int) -> list[Flaw]:
    """Compare what no prober that stopped accounts for with the beats of those that were killed.

    A prober says once a second how much it has; at most the last of it may be missing.
    """
    killed = [run for run in history.prober_runs if run.stopped is None]
    if killed and rest < least:
        what = f"a prober that was killed had stored at least {words.plural(least, 'sample')}, and {words.number(rest)} are found"
        return [Flaw(killed[0].event.samples_file, "", what)]
    counted = all(run.stopped is not None and run.stopped.stored for run in history.prober_runs)
    if rest and counted and history.prober_runs:
        what = f"{words.plural(rest, 'sample')} in it are in no prober's count"
        return [Flaw(history.prober_runs[0].event.samples_file, "", what)]
    return []


def _of_old_counts(history: History, writers: list[Written]) -> list[Flaw]:
    """The first versions counted all probes together, and only at the end."""
    stopped = [run.stopped for run in history.prober_runs if run.stopped is not None and not run.stopped.stored]
    told, found = sum(each.recorded for each in stopped), _total(writers)
    if not stopped or len(stopped) < len(history.prober_runs) or told == found:
        return []
    what = f"the prober recorded {words.plural(told, 'sample')}, and {words.number(found)} are found"
    return [Flaw(history.prober_runs[0].event.samples_file, "", what)]


# --- files ---------------------------------------------------------------------------------------------------------


def _of_listed_files(history: History) -> list[Flaw]:
    """Compare the files with what the last attempt that ended in order left."""
    listed = next((event for event in reversed(_about(history)) if isinstance(event, events.FilesListed)), None)
    if listed is None:
        return []
    latest = listed.attempts == len(history.attempts)
    there = closing.files_of(history.run_dir)
    found = []
    for each in listed.files:
        name, size_bytes = str(each.get("name")), each.get("bytes")
        if not isinstance(size_bytes, int) or not (latest or closing.only_grows(name)):
            continue
        path = there.get(name)
        if path is None:
            found.append(Flaw(name, "", "the file is missing", closing.is_evidence(name)))
        elif what := _changed(path, size_bytes, str(each.get("sha256")), grows=closing.only_grows(name)):
            found.append(Flaw(name, "", what, closing.is_evidence(name)))
    return found


def _changed(path: Any, size_bytes: int, sha256: str, *, grows: bool) -> str:
    now_bytes = path.stat().st_size
    if now_bytes < size_bytes:
        return f"only {words.number(now_bytes)} of the {words.number(size_bytes)} bytes that it had when the run ended are left"
    same = closing.sha256_of(path, size_bytes) == sha256
    return "" if same and (grows or now_bytes == size_bytes) else "it was changed after the run had ended"
