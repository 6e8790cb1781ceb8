"""A place in a run: what was being done when something happened. A name alone would not tell a step from the time before it."""

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
    def when(self) -> str:
        """Return when it was, as a sentence says it."""
        match self.kind:
            case Kind.CONTROL:
                return "before the first step"
            case Kind.BETWEEN:
                return "outside of steps"
            case _:
                return f"during {self.name}"


CONTROL = Stretch(Kind.CONTROL)
BETWEEN = Stretch(Kind.BETWEEN)


def step(name: str) -> Stretch:
    """Return the place that a step is."""
    return Stretch(Kind.STEP, name)


def migration(name: str) -> Stretch:
    """Return the place that a live migration is."""
    return Stretch(Kind.MIGRATION, name)
