"""The three outcomes, and how many of them become one.

No evidence is never a pass: an empty list of verdicts is unknown, and the worst wins (fail, then unknown, then ok).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Outcome(StrEnum):
    """What a checker says. Shown to people as PASS, FAIL, UNKNOWN."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"

    @property
    def shown(self) -> str:
        """The word for people."""
        return {"ok": "PASS", "fail": "FAIL", "unknown": "UNKNOWN"}[self.value]

    @property
    def exit_code(self) -> int:
        """The exit code of a command that ends with this outcome: 0 ok, 1 fail, 2 unknown."""
        return {"ok": 0, "fail": 1, "unknown": 2}[self.value]

    @property
    def rank(self) -> int:
        """By which outcomes are sorted, the worst first: 0 fail, 1 unknown, 2 ok."""
        return {"fail": 0, "unknown": 1, "ok": 2}[self.value]


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return fail if any failed, else unknown if any is unknown or there is none at all, else ok."""
    seen = set(outcomes)
    if Outcome.FAIL in seen:
        return Outcome.FAIL
    if Outcome.UNKNOWN in seen or not seen:
        return Outcome.UNKNOWN
    return Outcome.OK
