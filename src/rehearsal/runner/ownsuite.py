"""Own claims at a gate: a second process beside the built-in suite's, and both decide together."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.claims.outcomes import OWN
from rehearsal.figures.outcome import worst
from rehearsal.own.directory import files_of
from rehearsal.own.directory import needed
from rehearsal.own.ownclaims import GATE
from rehearsal.recording.events import Note
from rehearsal.recording.stretch import INFLIGHT
from rehearsal.runner import suites
from rehearsal.runner.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from rehearsal.own.ownclaims import OwnClaims
    from rehearsal.plan import StepSpec
    from rehearsal.recording.events import Event
    from rehearsal.recording.rundir import RunDirectory
    from rehearsal.runner.suites import Gate

_GRACE_S = 60.0
"""A process in which no claim ends for so much longer than the longest time limit does not notice that limit."""


@dataclass(frozen=True, slots=True)
class OwnSuite:
    """The own claims of one attempt. `claims` is None if there are none."""

    claims: OwnClaims | None
    run: RunDirectory
    record: Callable[[Event], object]

    def due(self, suite: str, step: StepSpec | None = None) -> bool:
        """Return whether own claims are checked beside a suite (or alone, as the suite `own`)."""
        return self.claims is not None and bool(self.claims.at(_kind(suite, step), step))

    def beside(self, suite: str, gate: Gate, environment: dict[str, str], step: StepSpec | None = None) -> Gate:
        """Check the own claims of this gate as well, if there are any; return what both found as one gate."""
        if not self.due(suite, step):
            return gate
        return together(gate, self.alone(suite, gate.name, environment, step))

    def alone(self, suite: str, name: str, environment: dict[str, str], step: StepSpec | None = None) -> Gate:
        """Check the own claims of a gate."""
        claims = self.claims
        if claims is None:
            raise ValueError("there are no own claims")
        self._tell_changes(claims)
        say(f"gate {name}: own claims of {claims.directory} begin")
        argv = [sys.executable, "-P", "-m", "pytest", str(claims.directory), *needed(claims.directory)]
        return suites.run_suite(
            self.run,
            suite=OWN,
            gate=name,
            environment={**environment, GATE: _kind(suite, step), "PYTHONDONTWRITEBYTECODE": "1"},
            record=self.record,
            own=suites.Start(argv, claims.directory, quiet_most_s=claims.longest_s + _GRACE_S),
        )

    def _tell_changes(self, claims: OwnClaims) -> None:
        """Record it if the files are not those that were read when the attempt began: the report must not be about those."""
        try:
            found = files_of(claims.directory)
        except (OSError, ValueError) as error:
            why = f"The own claims in {claims.directory} cannot be read any more: {error}."
        else:
            changed = sorted(
                name
                for name in {*found.by_name, *claims.files.by_name}
                if found.by_name.get(name) != claims.files.by_name.get(name)
            )
            if not changed:
                return
            why = f"Own claims in {claims.directory} were changed while the run went on: {', '.join(changed)}."
        self.record(Note("warning", why))
        say(f"warning: {why}")


def _kind(suite: str, step: StepSpec | None) -> str:
    """Return at what kind of gate own claims are checked: none beside a suite that a plan repeats after a step."""
    if step is None:
        return suite
    return "step" if suite in {INFLIGHT, OWN} else ""


def together(one: Gate, other: Gate) -> Gate:
    """Return two gates as one: what both checked, and the worse outcome."""
    trouble = "; ".join(filter(None, (one.trouble, other.trouble)))
    log = other.log if other.outcome.rank < one.outcome.rank else one.log
    return suites.Gate(one.name, worst([one.outcome, other.outcome]), (*one.checks, *other.checks), log, trouble)
