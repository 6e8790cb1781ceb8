"""A place in a run, and every name that a recording gives to one: of stretches, gates, looks and phases.

A name alone would not tell a step from the time before it. So places are compared as values; as text they stand only in
journals and results, and that text is written and read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What kinds of places there are in a run."""

    CONTROL = "control"  # before the first step: what the cloud does by itself
    STEP = "step"
    MIGRATION = "migration"  # of a canary, which is judged by itself
    BETWEEN = "between"  # later, while no step runs: gates, holds, the end


@dataclass(frozen=True, slots=True)
class Stretch:
    """One place in a run; `name` is a step's or a migration's id, else empty."""

    kind: Kind
    name: str = ""

    @property
    def step(self) -> str:
        """The step's id; empty for everything that is not a step."""
        return self.name if self.kind is Kind.STEP else ""

    @property
    def is_step(self) -> bool:
        """True for a step."""
        return self.kind is Kind.STEP

    @property
    def is_migration(self) -> bool:
        """True for a live migration."""
        return self.kind is Kind.MIGRATION

    @property
    def is_doing(self) -> bool:
        """True while somebody does something to the cloud: in a step or a live migration."""
        return self.is_step or self.is_migration

    @property
    def when(self) -> str:
        """When it was, as a sentence says it."""
        match self.kind:
            case Kind.CONTROL:
                return "before the first step"
            case Kind.BETWEEN:
                return "outside of steps"
            case _:
                return f"during {self.name}"

    @property
    def title(self) -> str:
        """Its name in a table: a step's id, else when it was."""
        return self.step or self.when

    @property
    def subject(self) -> str:
        """What a finding about it is about: `step:nova`, `migration:m1`, else the run."""
        return f"{self.kind}:{self.name}" if self.is_doing else "run"


CONTROL = Stretch(Kind.CONTROL)
BETWEEN = Stretch(Kind.BETWEEN)


def step(name: str) -> Stretch:
    """Return the place that a step is."""
    return Stretch(Kind.STEP, name)


def migration(name: str) -> Stretch:
    """Return the place that a live migration is."""
    return Stretch(Kind.MIGRATION, name)


# --- before, during, after -------------------------------------------------------------------------------------------


class Side(StrEnum):
    """On which side of the steps, or of one step, something was; canaries are migrated on occasions of these names, too."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Look:
    """When hosts or the cloud are looked at: right before or after one step; without a step, before or after all of them."""

    side: Side
    step: str = ""

    def __str__(self) -> str:
        """Return the label of what is seen, as journals have it: `before`, `step:nova:after`."""
        return f"{step(self.step).subject}:{self.side}" if self.step else str(self.side)

    @property
    def when(self) -> str:
        """When it was, as a sentence says it."""
        if self.step:
            return f"{self.side} {self.step}"
        return "before the first step" if self.side is Side.BEFORE else "after the last step"


BEFORE, AFTER = Look(Side.BEFORE), Look(Side.AFTER)


def look_of(label: str) -> Look | None:
    """Return when something with this label was seen; None for a label of a suite's own."""
    own, _, side = label.rpartition(":")
    step_id = own.removeprefix(step("").subject)
    known = side in {Side.BEFORE, Side.AFTER} and (not own or own != step_id)
    return Look(Side(side), step_id) if known else None


# --- gates -----------------------------------------------------------------------------------------------------------

SUITES = PREFLIGHT, INFLIGHT, POSTFLIGHT = ("preflight", "inflight", "postflight")


@dataclass(frozen=True, slots=True)
class Gate:
    """Where a suite decides whether the run goes on: after a step, or without one before the first or after the last."""

    suite: str
    step: str = ""

    def __str__(self) -> str:
        """Return its name, as journals have it: `preflight`, `step:nova`, `step:nova:postflight`."""
        if not self.step:
            return self.suite
        own = step(self.step).subject
        return own if self.suite == INFLIGHT else f"{own}:{self.suite}"

    @property
    def subject(self) -> str:
        """What a finding about it is about."""
        return f"gate:{self}"


def is_gate_of(name: str, step_id: str) -> bool:
    """Tell whether a gate of that name, of whatever suite, is one of the step's."""
    own = step(step_id).subject
    return name == own or name.startswith(f"{own}:")


# --- phases ----------------------------------------------------------------------------------------------------------


class Phase(StrEnum):
    """What the runner does one after the other; the live migrations of an occasion are a phase of their own."""

    CALIBRATION = "calibration"
    PREFLIGHT = PREFLIGHT
    CANARIES = "canaries"
    BASELINE = "baseline"
    STEPS = "steps"
    POSTFLIGHT = POSTFLIGHT
    CLEAN_UP = "clean-up"


def migrations(occasion: str) -> str:
    """Return the phase in which canaries are migrated on an occasion."""
    return f"migrations-{occasion}"
