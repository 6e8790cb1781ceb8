"""A session that lists own claims and runs none: it writes down which there are, and everything that is wrong with them.

A file that cannot be read, a fixture that nobody defines, an id that is taken: each with its file, line and remedy, before
anything is done to a cloud.
"""

from __future__ import annotations

import importlib.util
import json
import linecache
import traceback
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import pytest

from rehearsal.claims.pytest_plugin import claim_of
from rehearsal.cloud.target import Problem
from rehearsal.outside.terminal import shown
from rehearsal.own.items import NoSuchHost
from rehearsal.own.items import marking_of
from rehearsal.own.items import where_of
from rehearsal.own.marking import mistakes

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST = 300
OURS = ("target", "hosts", "host", "openstack", "canaries", "recorded", "plan", "step", "step_losses")
"""The fixtures for own claims."""


class Listing:
    """Collects, and writes what it has whenever that is more: a session may end in the middle."""

    def __init__(self, directory: Path, path: Path) -> None:
        self.directory = directory
        self.path = path
        self.reading = ""
        self.claims: list[dict[str, Any]] = []
        self.problems: list[Problem] = []

    def _write(self) -> None:
        listed = {
            "reading": self.reading,
            "claims": self.claims,
            "problems": [asdict(problem) for problem in dict.fromkeys(self.problems)],
        }
        self.path.write_text(json.dumps(listed))

    @contextmanager
    def importing_conftest(self) -> Iterator[None]:
        """Say why a conftest.py cannot be imported: pytest itself would end without asking anybody."""
        self.problems += self._taken_names()
        self._write()
        try:
            yield
        except Exception as error:
            self.problems.append(self._broken(error, self.directory / "conftest.py"))
            self._write()
            raise

    def pytest_collectstart(self, collector: pytest.Collector) -> None:
        """Remember which file is read: if the process ends there, it is that one."""
        if isinstance(collector, pytest.File):
            self.reading = str(collector.path)
            self._write()

    def pytest_exception_interact(self, node: pytest.Collector, call: pytest.CallInfo[Any]) -> None:
        """Say why a file cannot be read."""
        if call.excinfo:
            self.problems.append(self._broken(call.excinfo.value, node.path))

    def pytest_collection_modifyitems(self) -> None:
        """All files were read; after a sys.exit() in one of them, this is not called."""
        self.reading = ""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write down the claims and what is wrong with them."""
        first: dict[str, tuple[str, str]] = {}  # id -> the first test that has it, and where that is
        for item in session.items:
            claim = claim_of(item)
            if claim is None:
                continue
            marking, where = marking_of(item), where_of(item)
            test = item.nodeid.partition("[")[0]
            known, known_at = first.setdefault(claim.check, (test, where))
            if known != test:
                sentence = f"Two tests have the id {claim.check}; the other one is at {known_at}."
                self.problems.append(Problem(sentence, where, "Give one of them another id in its @check."))
            for sentence, remedy in [*mistakes(claim.check, marking, _fixtures(item)), *_unknown_fixtures(item)]:
                self.problems.append(Problem(sentence, where, remedy))
            self.claims.append({"check": claim.check, "claim": claim.sentence, "marking": asdict(marking)})
        self._write()

    def _broken(self, error: BaseException, path: Path) -> Problem:
        """Return what is wrong with a file that raised while it was imported, and at which line of the operator's."""
        error = getattr(error, "cause", error)  # of a conftest.py that pytest could not import
        if isinstance(error, pytest.Collector.CollectError):
            error = error.__cause__ or error
        what = " ".join(shown(str(error)).split())[:_LONGEST]
        if isinstance(error, SyntaxError):
            file, line = error.filename or str(path), error.lineno
            return Problem(f"This is no Python: {error.msg}.", f"{file}:{line}", f"Mend: {_line(file, line or 0)}")
        if isinstance(error, NoSuchHost):
            return Problem(what, error.where, "`rehearse target` shows the hosts; groups are those of the inventory.")
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if self._is_own(frame.filename)]
        where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else str(path)
        kind = type(error).__name__
        if isinstance(error, ImportError):
            return Problem(
                f"It cannot be imported: {what}.",
                where,
                "Install what it imports beside rehearse, or put it into the same directory.",
            )
        code = frames[-1].line if frames and frames[-1].line else "the file"
        return Problem(f"It cannot be read: {kind}: {what}", where, f"Mend: {code}")

    def _is_own(self, name: str) -> bool:
        return Path(name).is_relative_to(self.directory)

    def _taken_names(self) -> Iterator[Problem]:
        """Yield the helpers that could not be imported, because something else has their name."""
        for path in sorted(self.directory.iterdir()):
            is_module = path.suffix == ".py" and not path.stem.startswith("test_") and path.stem != "conftest"
            if not (is_module or (path / "__init__.py").is_file()):
                continue
            found = importlib.util.find_spec(path.stem) if path.stem.isidentifier() else None
            if found and found.origin and not self._is_own(found.origin):
                yield Problem(
                    f"Another module of the name {path.stem} is there already ({found.origin}).",
                    str(path),
                    "Give it another name.",
                )


def _line(file: str, number: int) -> str:
    return linecache.getline(file, number).strip() or "the line"


def _fixtures(item: pytest.Item) -> list[str]:
    return list(getattr(item, "fixturenames", ()))


def _unknown_fixtures(item: pytest.Item) -> Iterator[tuple[str, str]]:
    """Yield the fixtures that a test takes and nobody defines, as (sentence, remedy)."""
    info = getattr(item, "_fixtureinfo", None)
    defined = {*info.name2fixturedefs, "request"} if info else {*_fixtures(item)}
    callspec = getattr(item, "callspec", None)
    for name in _fixtures(item):
        if name not in defined and name not in (callspec.params if callspec else {}):
            sentence = f"{item.name.partition('[')[0]} takes {name!r}, and there is no fixture of that name."
            yield sentence, f"Define it in conftest.py, or take one of {', '.join(OURS)}."
