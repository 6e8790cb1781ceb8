"""What became of every claim that a suite listed, from its journal alone.

Invariant: a claim that was listed appears once, also if the process that should have checked it did not live to do so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from rehearsal.events import CheckDone
from rehearsal.events import ClaimsListed
from rehearsal.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.events import Event


def checks_of(events: Iterable[Event]) -> list[CheckDone]:
    """Return what became of every claim of one suite's journal: also of those that its process did not live to check."""
    done: list[CheckDone] = []
    listed: dict[str, CheckDone] = {}
    for event in events:
        if isinstance(event, CheckDone):
            done.append(event)
        elif isinstance(event, ClaimsListed):
            for claim in event.claims:
                fields: dict[str, Any] = {**claim, "gate": event.gate, "outcome": Outcome.UNKNOWN.value}
                listed[claim["node_id"]] = CheckDone(
                    **fields, detail="not checked: the suite died before its turn came"
                )
    reached = {check.node_id for check in done}
    return done + [check for node_id, check in listed.items() if node_id not in reached]
