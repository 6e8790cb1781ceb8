"""What a section of the page is: a place, a name, a template of the module's name, and the cases that it has in junit.xml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable
    from pathlib import Path

    from rehearsal.figures.outcome import Outcome
    from rehearsal.judging.results import Results
    from rehearsal.report.clock import Clock


@dataclass(frozen=True, slots=True)
class Page:
    """What a section is made of. The run directory is read only for its logs and the names of its files."""

    results: Results
    clock: Clock
    run_dir: Path


@dataclass(frozen=True, slots=True)
class Case:
    """A test case for a CI system: where it belongs, its stable name, what became of it and why."""

    classname: str
    name: str
    outcome: Outcome
    message: str
    detail: str = ""
    time_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page. `after`: the anchor of the one before it; empty: it is the first.

    `parts`: what its template needs beside the results. `tally`: what the list of contents adds to its name. `cases`:
    those of the suite `suite` in junit.xml.
    """

    anchor: str
    name: str
    after: str = ""
    parts: Callable[[Page], dict[str, Any]] = lambda _: {}
    tally: Callable[[Results], str] = lambda _: ""
    suite: str = ""
    cases: Callable[[Results], Iterable[Case]] = lambda _: ()
