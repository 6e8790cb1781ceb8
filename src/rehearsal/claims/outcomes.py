"""What became of every claim that a suite listed, from its journal alone.

Invariant: a claim that was listed appears once, also if the process that should have checked it did not live to do so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from rehearsal.figures.outcome import Outcome
from rehearsal.recording.events import CheckDone
from rehearsal.recording.events import ClaimsListed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.recording.events import Event


OWN = "own"
"""The suite that an operator's own claims are, and how their ids begin."""
_ENDS = {3: "with an internal error of pytest", 4: "because pytest could not be used so", 5: "without finding a check"}


def trouble_of(suite: str, rc: int | None, *, passed: bool) -> str:
    """Return why the end of a suite's process leaves its gate undecided; empty if it ended as its checks say.

    `rc` is pytest's exit code (negative: killed by that signal; None: its end was not seen), `passed`: no check failed
    or is unknown.
    """
    if rc is None:
        return f"the end of suite {suite} was not seen"
    if rc < 0:
        return f"suite {suite} was killed by signal {-rc}"
    if rc in _ENDS:
        return f"suite {suite} ended {_ENDS[rc]} (exit code {rc})"
    if rc != 0 and passed:
        return f"suite {suite} ended with exit code {rc}, although every check passed"
    return ""


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
