"""What an earlier attempt at a run left behind, read from the runner's journal: the only memory that a resumed run has."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.figures.outcome import Outcome
from rehearsal.recording import journal
from rehearsal.recording import runfiles
from rehearsal.recording.events import CalibrationDone
from rehearsal.recording.events import GateDecided
from rehearsal.recording.events import MigrationBegan
from rehearsal.recording.events import PhaseEnded
from rehearsal.recording.events import ProbeDeclared
from rehearsal.recording.events import RunBegan
from rehearsal.recording.events import StepBegan
from rehearsal.recording.events import StepEnded

if TYPE_CHECKING:
    from rehearsal.recording.rundir import RunDirectory
    from rehearsal.recording.stretch import Gate

WENT_ON, STOPPED, IN_SPITE = "went on", "stopped", "went on in spite of it"
"""What became of the run at a gate, as `GateDecided.action`."""


@dataclass(slots=True)
class Past:
    """What happened so far. `steps`: the last return code seen; `attempts`: how often a step was started."""

    attempts: int = 0
    mode: str = "rehearsal"
    steps: dict[str, int | None] = field(default_factory=dict)
    step_attempts: dict[str, int] = field(default_factory=dict)
    open_steps: set[str] = field(default_factory=set)
    gates: dict[str, str] = field(default_factory=dict)
    phases: dict[str, str] = field(default_factory=dict)
    probes: dict[str, int] = field(default_factory=dict)
    migration_count: int = 0
    calibrated: bool = False
    rates: dict[str, float] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)  # as the last attempt recorded it

    def step_done(self, step: str) -> bool:
        """Return whether the step's command was seen to end well."""
        return step in self.steps and self.steps[step] == 0 and step not in self.open_steps

    def gate_passed(self, gate: Gate) -> bool:
        """Return whether the run went on at this gate."""
        return self.gates.get(str(gate)) in {WENT_ON, IN_SPITE}

    def phase_done(self, phase: str) -> bool:
        """Return whether the phase ended well."""
        return self.phases.get(phase) == Outcome.OK


def read_past(run: RunDirectory) -> Past:
    """Read the journals of a run as far as a resumed run needs them. Raises JournalError, FileNotFoundError."""
    runfiles.check(run.path)
    past = Past()
    found = journal.read(run.runner_journal, run.relative(run.runner_journal))
    if damage := [flaw for flaw in found.flaws if flaw.decides and not flaw.by_writer]:
        raise journal.JournalError(
            f"{damage[0]}. What this run has done cannot be told from a damaged journal, and nothing is done twice: restore "
            f"{run.runner_journal} from its copy, or start a new run."
        )
    for record in found.records:
        _note(past, record.event)
    prober = run.path / "journal" / "prober.jsonl"
    if prober.exists():
        for record in journal.read_journal(prober):
            if isinstance(record.event, ProbeDeclared):
                past.probes[record.event.name] = record.event.probe
    return past


def _note(past: Past, event: object) -> None:
    match event:
        case RunBegan():
            past.attempts = max(past.attempts, event.attempt)
            past.mode = event.mode
            past.rates = event.rates
            past.plan = event.plan
        case StepBegan():
            past.step_attempts[event.step] = max(event.attempt, past.step_attempts.get(event.step, 0))
            past.open_steps.add(event.step)
        case StepEnded():
            past.steps[event.step] = event.rc
            past.open_steps.discard(event.step)
        case GateDecided():
            past.gates[event.gate] = event.action
        case PhaseEnded():
            past.phases[event.phase] = event.outcome
        case CalibrationDone():
            past.calibrated = past.calibrated or event.outcome == Outcome.OK
        case MigrationBegan():
            past.migration_count += 1
