"""What services and guests may lose: the strict values of a plan, and its budgets. Seconds."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator
from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field

from rehearsal.figures import say

MOST_S = 366 * 86_400.0
LEAST_S = 0.001
MOST_COUNT = 1_000_000
LONGEST_ID = 120  # a file name has 255 bytes, and an attempt's number and an ending follow
LONGEST_NAME = 300


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
