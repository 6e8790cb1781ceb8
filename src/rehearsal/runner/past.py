"""What an earlier attempt at a run left behind: the only memory that a resumed run has."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.figures.outcome import Outcome
from rehearsal.recording import history
from rehearsal.recording import runfiles
from rehearsal.recording.events import CalibrationDone
from rehearsal.recording.events import GateDecided
from rehearsal.recording.events import OwnClaimsRead
from rehearsal.recording.events import ProbeDeclared
from rehearsal.recording.journal import JournalError

if TYPE_CHECKING:
    from rehearsal.recording.rundir import RunDirectory
    from rehearsal.recording.stretch import Gate

WENT_ON, STOPPED, IN_SPITE = "went on", "stopped", "went on in spite of it"
"""What became of the run at a gate, as `GateDecided.action`."""


@dataclass(frozen=True, slots=True)
class Past:
    """What happened so far. `steps`: the last return code seen; `attempts`: how often a step was started."""

    attempts: int = 0
    mode: str = "rehearsal"
    steps: dict[str, int | None] = field(default_factory=dict)
    step_attempts: dict[str, int] = field(default_factory=dict)
    open_steps: frozenset[str] = frozenset()
    gates: dict[str, str] = field(default_factory=dict)
    phases: dict[str, str] = field(default_factory=dict)
    probes: dict[str, int] = field(default_factory=dict)
    migration_count: int = 0
    calibrated: bool = False
    rates: dict[str, float] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)  # as the last attempt recorded it
    own: str = ""  # the directory of own claims

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
    """Return what the journals of a run say as far as a resumed run needs it. Raises JournalError."""
    runfiles.check(run.path)
    told = history.read(run.path, history.RUNNER, history.PROBER)
    if damage := [flaw for flaw in told.damage if flaw.file == history.RUNNER and not flaw.by_writer]:
        raise JournalError(
            f"{damage[0]}. What this run has done cannot be told from a damaged journal, and nothing is done twice: restore "
            f"{run.runner_journal} from its copy, or start a new run."
        )
    if not told.attempts:
        return Past()
    latest = {each.step: each for each in told.steps}
    return Past(
        attempts=max(attempt.number for attempt in told.attempts),
        mode=told.last.event.mode,
        steps={each.step: each.rc for each in told.steps if each.ended_ns is not None},
        step_attempts={each.step: each.attempt for each in sorted(told.steps, key=lambda each: each.attempt)},
        open_steps=frozenset(step for step, each in latest.items() if each.ended_ns is None),
        gates={decided.gate: decided.action for _, decided in told.of(GateDecided)},
        phases={phase: outcome for phase, _, ended_ns, outcome in told.phases if ended_ns is not None},
        probes={declared.name: declared.probe for _, declared in told.of(ProbeDeclared)},
        migration_count=len(told.migrations),
        calibrated=any(done.outcome == Outcome.OK for _, done in told.of(CalibrationDone)),
        rates=told.last.event.rates,
        plan=told.plan,
        own=next((read.directory for _, read in reversed(told.of(OwnClaimsRead))), ""),
    )
