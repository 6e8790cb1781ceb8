"""Work that may fail on its own: what a part of the judge or of the report cannot do must not take the rest with it.

A part that raises is a defect of this program, or damage in a recording. Either way it proves nothing: what it should have
said is unknown, and who asked for it is told so. Tracebacks are kept for a file, not for the operator's terminal.
"""

from __future__ import annotations

import functools
import pkgutil
import traceback
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING
from typing import Any
from typing import TypeVar

from rehearsal.recording.journal import JournalError
from rehearsal.recording.runfiles import RunFileRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from rehearsal.figures.outcome import Outcome
    from rehearsal.judging.charging.troubles import Group
    from rehearsal.judging.observing.observation import Observation
    from rehearsal.recording.history import History

_T = TypeVar("_T")
_U = TypeVar("_U")
_LONGEST = 300
LOG = "logs/judge-error.log"
"""Where the tracebacks are kept, below the run directory."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence that explains the verdict, with where it comes from (`step:nova`, `check:...`, `prober`).

    `id`: which sentence of the catalogue (`sentences`) it is.
    """

    outcome: Outcome
    subject: str
    sentence: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that was not proven, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A part that raised: its id, what it should have said, and why it could not."""

    room: str
    what: str
    why: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Given:
    """What a room is asked about: the recording, what the probes saw, and what of it is one outage."""

    history: History
    observation: Observation
    groups: list[Group]


@dataclass(frozen=True, slots=True)
class Room:
    """A part of the judge that registers itself: its key in results.json, what it says, and how it comes to its rows."""

    key: str
    what: str
    work: Callable[[Given], list[Any]]


class Rooms:
    """Asks parts, one after the other, and remembers those that raised."""

    def __init__(self) -> None:
        self.broken: list[Broken] = []

    def ask(self, room: str, what: str, work: Callable[[], _T], otherwise: _U) -> _T | _U:
        """Return what the work returns, or `otherwise` if it raises."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the other parts go on
            self._note(room, what, error)
            return otherwise

    def rows(self, room: str, what: str, work: Callable[[], list[_T]]) -> list[_T]:
        """Return the rows that the work returns, none if it raises."""
        return self.ask(room, what, work, list[_T]())

    def guarded(self, room: str, what: str, work: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a function that takes one piece after the other, until the work raises: then it takes no more."""

        @functools.wraps(work)
        def take(piece: Any) -> None:
            if not self.failed(room):
                self.ask(room, what, lambda: work(piece), None)

        return take

    def failed(self, *rooms: str) -> bool:
        """Return whether one of these raised; of none: whether any did."""
        return any(not rooms or each.room in rooms for each in self.broken)

    def _note(self, room: str, what: str, error: Exception) -> None:
        said = " ".join(str(error).split())[:_LONGEST]
        # A recording that cannot be read says so in a sentence of its own; anything else is named by its kind.
        why = (
            said
            if isinstance(error, JournalError | RunFileRefused) and said
            else f"{type(error).__name__}: {said}".removesuffix(": ")
        )
        text = "".join(traceback.format_exception(error))
        self.broken.append(Broken(room, what, why.rstrip("."), f"{what} ({room}):\n{text}"))


@functools.cache
def declared_in(package: str, name: str) -> dict[str, Any]:
    """Return what the modules of a package declare under a name, by module and in their order: they register themselves."""
    modules = [found.name for found in pkgutil.iter_modules(import_module(package).__path__)]
    return {module: getattr(import_module(f"{package}.{module}"), name) for module in modules}
