"""What one of the operator's tests says about itself, and at which gates it is therefore checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.claims.outcomes import OWN
from rehearsal.own.directory import LIMIT_S
from rehearsal.recording.stretch import POSTFLIGHT
from rehearsal.recording.stretch import PREFLIGHT
from rehearsal.recording.stretch import Kind

if TYPE_CHECKING:
    from collections.abc import Collection

GATES = (PREFLIGHT, Kind.STEP, POSTFLIGHT)
USUAL = (PREFLIGHT, POSTFLIGHT)
_ID = re.compile(rf"{OWN}(\.[A-Za-z0-9_-]+)+")


@dataclass(frozen=True, slots=True)
class Marking:
    """Where a claim is checked, and how long it may take. Without services and steps: after every step."""

    gates: tuple[str, ...] = USUAL
    services: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    timeout_s: float = LIMIT_S

    def applies(self, gate: str, step: str = "", services: Collection[str] = ()) -> bool:
        """Return whether the claim is checked at a gate; at `step`, after the step of that id with these services."""
        if gate not in self.gates:
            return False
        anywhere = gate != Kind.STEP or not (self.services or self.steps)
        return anywhere or step in self.steps or not {*self.services}.isdisjoint(services)


def mistakes(check: str, marking: Marking, fixtures: Collection[str]) -> list[tuple[str, str]]:
    """Return what is wrong with a claim's marks, as (sentence, remedy)."""
    found = []
    if not _ID.fullmatch(check):
        found.append(
            (f"The id {check!r} is none of an own claim.", f"Begin it with {OWN}. (letters, digits, dots, hyphens).")
        )
    if wrong := [gate for gate in marking.gates if gate not in GATES]:
        found.append((f"{check}: there is no gate {wrong[0]!r}.", f"Name some of {', '.join(GATES)}."))
    if not marking.gates:
        found.append((f"{check} is checked at no gate.", f"Name some of {', '.join(GATES)} in gates=."))
    if (marking.services or marking.steps) and Kind.STEP not in marking.gates:
        found.append((f"{check} names steps or services, but is not checked after steps.", 'Add gates=("step",).'))
    of_a_step = sorted({"step", "step_losses"} & {*fixtures})
    if of_a_step and marking.gates != (Kind.STEP,):
        sentence = f"{check} takes {of_a_step[0]}, and is checked where there is no step."
        found.append((sentence, 'Say gates=("step",) in its @check.'))
    if not isinstance(marking.timeout_s, int | float) or not marking.timeout_s > 0:
        found.append((f"{check}: its timeout_s is no number of seconds over 0.", "Write for instance timeout_s=300."))
    return found
