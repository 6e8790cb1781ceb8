"""Whether this run proved its measuring instrument before it used it: outages of known length, measured by its own prober.

Pure. A recording from before there were calibrations gets a remark; a run that was to have one and has none, or whose
calibration did not succeed, proves nothing about what it measured. What the run then found to be bad stays found.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from rehearsal.figures.outcome import Outcome
from rehearsal.judging.sentences import finding
from rehearsal.recording import events

if TYPE_CHECKING:
    from rehearsal.judging.rooms import Finding
    from rehearsal.recording.history import History


def findings(history: History) -> list[Finding]:
    """Return what forbids to rely on this run's measurements; none if an instrument that measured was proved."""
    done = [event for _, event in history.of(events.CalibrationDone)]
    parts = history.last.event.parts
    if any(_is_proof(event) for event in done) or not _is_measured(history, parts):
        return []
    if done:
        last = done[-1]
        why = last.sentence.rstrip(".") if last.outcome != Outcome.OK else "its outages are not those that were sealed"
        return [finding("calibration.not-passed", Outcome.UNKNOWN, "calibration", reason=why)]
    if not parts:
        return []
    which = "calibration.missing" if "calibration" in parts else "calibration.skipped"
    return [finding(which, Outcome.UNKNOWN, "calibration")]


def remarks(history: History) -> list[str]:
    """Return what a reader should know about a recording that says nothing about calibrations."""
    parts = history.last.event.parts
    if parts or history.of(events.CalibrationDone) or not _is_measured(history, parts):
        return []
    return [
        "No calibration on record: the measuring instrument was not proved in this run (it was recorded before runs proved it)."
    ]


def _is_proof(done: events.CalibrationDone) -> bool:
    return done.outcome == Outcome.OK and hashlib.sha256(done.sealed.encode()).hexdigest() == done.seal


def _is_measured(history: History, parts: list[str]) -> bool:
    return bool(history.prober_runs) or "probes" in parts
