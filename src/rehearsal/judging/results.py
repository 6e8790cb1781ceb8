"""What a recording means: the pure result that the report, results.json and junit.xml show.

`judge.judge(history) -> Results` is the only maker. Everything here is derived and can be derived again. Times are
CLOCK_MONOTONIC ns of the prober host unless a name says wall; lengths are ns.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from rehearsal.figures.outcome import Outcome
    from rehearsal.judging.course import Check
    from rehearsal.judging.course import Step
    from rehearsal.judging.differences import Difference
    from rehearsal.judging.hosts.hostclocks import Happening
    from rehearsal.judging.hosts.unwatched import Unwatched
    from rehearsal.judging.inside import GuestFigure
    from rehearsal.judging.instruments import Calibration
    from rehearsal.judging.instruments import Lane
    from rehearsal.judging.losses import Loss
    from rehearsal.judging.moves import Canary
    from rehearsal.judging.moves import Migration
    from rehearsal.judging.observing.latencies import AnswerTime
    from rehearsal.judging.quality import Quality
    from rehearsal.judging.rooms import Finding
    from rehearsal.judging.rooms import Gap
    from rehearsal.judging.sums import MoreWindows
    from rehearsal.judging.windows import Strip
    from rehearsal.judging.windows import Window


@dataclass(frozen=True, slots=True)
class Results:
    """The whole result of one run."""

    run: str
    mode: str
    outcome: Outcome
    sentence: str
    findings: list[Finding]
    began_ns: int
    ended_ns: int
    clock_pairs: list[tuple[int, int]]  # (monotonic ns, wall ns): at least one, for display
    target: dict[str, Any]
    plan: dict[str, Any]
    from_release: str
    to_release: str
    phases: list[tuple[str, int, int | None]]  # (phase, began, ended)
    steps: list[Step]
    services: list[str]
    matrix: list[Loss]
    windows: list[Window]
    strips: list[Strip]
    migrations: list[Migration]
    canaries: list[Canary]
    checks: list[Check]
    not_proven: list[Gap]
    differences: list[Difference]
    quality: Quality
    notes: list[tuple[int, str, str]]  # (t_ns, level, text)
    provenance: dict[str, str]
    end_reason: str
    lanes: list[Lane] = field(default_factory=list)
    answer_times: list[AnswerTime] = field(default_factory=list)
    calibrations: list[Calibration] = field(default_factory=list)
    grades: dict[str, str] = field(default_factory=dict)  # A, B or C by service; "" where there is none
    grade: str = ""  # of the whole run; "" if any of them is not known
    more_windows: list[MoreWindows] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    unwatched: list[Unwatched] = field(default_factory=list)
    guests: list[GuestFigure] = field(default_factory=list)  # what canaries noticed from inside
    shown: dict[str, list[Any]] = field(default_factory=dict)
    """What rooms of `judging.shown` say, by their keys: each is a key of results.json like the others."""

    def of(self, key: str) -> list[Any]:
        """Return the rows of a room of `judging.shown`; none if they are not known."""
        return self.shown.get(key, [])
