"""The shapes of a plan, and what is wrong with one. Strict: unknown keys are errors, values do not change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated
from typing import Literal

from pydantic import AfterValidator
from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field

from rehearsal.figures import say
from rehearsal.recording.stretch import AFTER
from rehearsal.recording.stretch import BEFORE
from rehearsal.recording.stretch import INFLIGHT
from rehearsal.recording.stretch import SUITES

CANARIES = "canaries"
"""The name under which budgets speak of the canaries' reachability."""
GATES = SUITES
PLACEHOLDER = re.compile(r"(?<!\{)\{([a-z_]+)\}(?!\})")
NAMES_FROM_TARGET = ("configuration", "namespace_file", "operator_user", "operator_key")
NAMES_FROM_HOST = ("host", "address", "ssh_options")
SSH_OPTIONS = "{ssh_options}"
"""As a word of its own in a command: ssh's options for the host's own port and jump host, or no word at all."""
NAMES_FROM_PLAN = ("from_release", "to_release")
RESERVED_IDS = {str(look): f"what came {look.when}" for look in (BEFORE, AFTER)}
"""Ids that no step may have, and what the report calls so."""
MOST_S = 366 * 86_400.0
LEAST_S = 0.001
MOST_COUNT = 1_000_000
LONGEST_ID = 120  # a file name has 255 bytes, and an attempt's number and an ending follow
LONGEST_NAME = 300
LONGEST_TEXT = 65_536  # Linux takes 128 KiB as one word of a command


def _tellable(value: float) -> float:
    """Refuse what is told as zero and is not."""
    if 0 < value < LEAST_S:
        raise ValueError(f"Input should be 0, or {say.exact_s(LEAST_S)} or more")
    return value + 0.0  # no negative zero


Seconds = Annotated[float, Field(ge=0, le=MOST_S, allow_inf_nan=False), AfterValidator(_tellable)]
"""A length that can be told: none, or from a millisecond to a year."""
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]


class Strict(BaseModel):
    """Unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BudgetSpec(Strict):
    """What one service may lose during one step. Seconds. `source` says who allows it.

    `resolution_s`: with `longest_s` 0, how long an outage may be that could have passed unseen (default: two periods).
    """

    longest_s: Seconds
    total_s: Seconds | None = None
    count: int | None = Field(default=None, ge=0, le=MOST_COUNT)
    slow_longest_s: Seconds | None = None
    slow_total_s: Seconds | None = None
    resolution_s: Seconds | None = Field(default=None, gt=0)
    source: Name = "plan"


class GuestSpec(Strict):
    """What guests may notice from inside. Seconds; none: it is shown and not judged.

    `pause_s`, `stall_s`: of a heartbeat and of a write while the guest is live-migrated; `metadata_s`, `dns_s`, `peer_s`:
    how long the metadata service, the resolver and another guest of the network may be without an answer, at any time.
    """

    pause_s: Seconds | None = 5.0
    stall_s: Seconds | None = 5.0
    metadata_s: Seconds | None = None
    dns_s: Seconds | None = None
    peer_s: Seconds | None = None


class StepSpec(Strict):
    """One command and what it may disturb.

    `containers` are kolla names that this step replaces (and nothing else may be restarted); `services` are the API
    services whose downtime is charged here; `disturbs` gives budgets by service (or `canaries`).
    `hosts`: groups or hosts whose containers are replaced ([] = everywhere the containers run).
    `retag`: the containers must have the target release's tag afterwards. `gates`: suites after the step.
    `updates_manager`: it replaces the manager's own containers, which are not kolla's.
    `for_each`: a group; the step is repeated for each of its hosts, which the command names as `{host}`.
    `migrate`: an occasion name: canaries are live-migrated after this step (e.g. `mixed`); `migrate_after` says after
    which repetition of a `for_each` step.
    `focus`: services that are sampled faster while it runs; without it, its `services` (see `PlanSpec.focus_of`).
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=LONGEST_ID)
    title: Name
    command: list[str] = Field(min_length=1)
    services: list[str] = []
    containers: list[str] = []
    hosts: list[str] = []
    retag: bool = True
    updates_manager: bool = False
    disturbs: dict[str, BudgetSpec] = {}
    gates: list[str] = [INFLIGHT]
    hold: str = ""  # a sentence that a person must confirm before the step
    timeout_s: Seconds = Field(default=3600, gt=0)
    for_each: str = ""
    migrate: str = Field(default="", pattern=r"^[a-z0-9-]*$", max_length=LONGEST_ID)
    migrate_after: Literal["first", "each", "last"] = "last"
    environment: dict[str, str] = {}
    focus: list[str] | None = None


class PlanSpec(Strict):
    """A whole plan. `defaults` are budgets by service for every step that does not name the service itself.

    `variables` may stand in commands as `{name}`; `rehearse run --set name=value` changes them. `rates`: how often a lane
    asks (Hz), where that is not as usual (`lanes.rates`); `rehearse run --rate LANE=HZ` comes before it.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=LONGEST_ID)
    title: Name
    from_release: Name
    to_release: Name
    services: list[Name] = Field(min_length=1)
    variables: dict[str, str] = {}
    defaults: dict[str, BudgetSpec]
    migration: BudgetSpec = BudgetSpec(longest_s=5.0, source="default")
    guests: GuestSpec = GuestSpec()
    baseline_s: Seconds = 60
    settle_s: Seconds = 5
    blind_share: float = Field(
        default=0.1, ge=0, le=1, allow_inf_nan=False
    )  # of a step; blindness beyond it counts as possible downtime
    rates: dict[str, float] = {}
    focus_most: int = Field(default=2, ge=0, le=MOST_COUNT)  # probing must not become the load that it measures
    steps: list[StepSpec] = Field(min_length=1)

    def focus_of(self, step: StepSpec) -> frozenset[str]:
        """Return the services that are sampled faster while a step runs: none if more than `focus_most` would be.

        What a step itself names as its focus is taken as it is.
        """
        if step.focus is not None:
            return frozenset(step.focus)
        return frozenset(step.services) if len(set(step.services)) <= self.focus_most else frozenset()


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong with a plan: where, what, and what to do."""

    file: str
    line: int
    sentence: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.sentence} {self.remedy}"


class PlanError(Exception):
    """A plan that cannot be used; `mistakes` has all of them."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(map(str, mistakes)))
