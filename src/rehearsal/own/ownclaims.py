"""Own claims are read before a run begins: which there are, or every mistake in them, with file, line and remedy."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.cloud.target import Problem
from rehearsal.figures.say import exact_s
from rehearsal.outside.terminal import shown
from rehearsal.own.directory import LIMIT_S
from rehearsal.own.directory import Files
from rehearsal.own.directory import files_of
from rehearsal.own.directory import needed
from rehearsal.own.directory import problem_of
from rehearsal.own.marking import Marking
from rehearsal.recording.events import OwnClaimsRead

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping

    from rehearsal.cloud import Target
    from rehearsal.plan import StepSpec

READ_WITHIN_S = 120.0
GATE = "REHEARSE_OWN_GATE"
"""`preflight`, `step` or `postflight`; unset (a claim that is repeated by hand): whatever was named."""
LIST = "REHEARSE_OWN_LIST"
"""The file into which a session that only lists its claims writes them."""


class OwnClaimsRefused(Exception):  # noqa: N818 - sentences for people
    """The directory cannot be used; `problems` are all that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class OwnClaim:
    """One claim: its id, its sentence, and where it is checked."""

    check: str
    claim: str
    marking: Marking


@dataclass(frozen=True, slots=True)
class OwnClaims:
    """A directory of own claims, as it was read; of a test for many hosts, one claim each."""

    directory: Path
    files: Files
    claims: tuple[OwnClaim, ...]

    @property
    def event(self) -> OwnClaimsRead:
        """What the journal keeps: which files these claims are from, so that the report can say which were checked."""
        files = [{"name": name, "sha256": sha256} for name, sha256 in self.files.by_name.items()]
        told = {
            each.check: {"check": each.check, "claim": each.claim, "gates": list(each.marking.gates)}
            for each in self.claims
        }
        return OwnClaimsRead(str(self.directory), self.files.sha256, files, list(told.values()))

    @property
    def sentence(self) -> str:
        """How many there are, where, and which: for people."""
        tests, files = len({each.check for each in self.claims}), len(self.files.by_name)
        return f"{tests} of {self.directory} ({files} file{'s' if files != 1 else ''}, SHA-256 {self.files.sha256})"

    def at(self, gate: str, step: StepSpec | None = None) -> tuple[OwnClaim, ...]:
        """Return the claims that are checked at `preflight`, `postflight` or, with a step, after it."""
        where = (step.id, step.services) if step else ("", ())
        return tuple(each for each in self.claims if each.marking.applies(gate, *where))

    def unused(self, steps: Iterable[StepSpec]) -> set[str]:
        """Return the ids of claims that are checked only after steps, and after none of these."""
        after = {each.check for step in steps for each in self.at("step", step)}
        return {each.check for each in self.claims if each.marking.gates == ("step",)} - after

    @property
    def longest_s(self) -> float:
        """The longest time limit of a claim."""
        return max((each.marking.timeout_s for each in self.claims), default=LIMIT_S)


def read(directory: Path, target: Target, environment: Mapping[str, str]) -> OwnClaims:
    """Return the claims of a directory, for this target. Raises OwnClaimsRefused with every mistake in it.

    Its files are imported in a process of their own, which checks nothing. `environment`: what makes it see the target.
    """
    if problem := problem_of(directory):
        raise OwnClaimsRefused([problem])
    try:
        files = files_of(directory)
    except (OSError, ValueError) as error:
        raise OwnClaimsRefused(
            [Problem(f"The directory cannot be read: {error}.", str(directory), "Name another one with --suites DIR.")]
        ) from error
    with tempfile.TemporaryDirectory(prefix="rehearse-own-") as folder:
        target.save(Path(folder, "target.json"))
        listed = _listed(directory, Path(folder), environment)
    problems = [Problem(**each) for each in listed["problems"]]
    if not problems and not listed["claims"]:
        problems.append(
            Problem(
                "There is no test in this directory.",
                str(directory),
                "Tests are functions test_… in files test_….py (docs/own-claims.md); --suites none goes without.",
            )
        )
    if problems:
        raise OwnClaimsRefused(problems)
    return OwnClaims(directory, files, tuple(_claim(each) for each in listed["claims"]))


def _claim(listed: dict[str, Any]) -> OwnClaim:
    marking: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in listed["marking"].items()
    }
    return OwnClaim(listed["check"], listed["claim"], Marking(**marking))


def _listed(directory: Path, folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what a process that only lists the claims wrote down, with one problem more if it did not end as it should."""
    path = folder / "own.json"
    argv = [sys.executable, "-P", "-m", "pytest", str(directory), *needed(directory), "--collect-only", "-q"]
    own = {LIST: str(path), "REHEARSE_TARGET": str(folder / "target.json"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=READ_WITHIN_S,
            check=False,
            cwd=directory,
            env={**os.environ, **environment, **own},
        )
        code, said = done.returncode, done.stdout
    except subprocess.TimeoutExpired:
        code, said = None, ""
    listed: dict[str, Any] = (
        json.loads(path.read_text()) if path.exists() else {"reading": "", "claims": [], "problems": []}
    )
    if code is None:
        told = f"Reading the own claims took longer than {exact_s(READ_WITHIN_S)}."
        listed["problems"].append(_problem(listed, directory, told, "Wait for things inside of tests, not on import."))
    elif code not in {0, 5} and not listed["problems"]:
        lines = [line.strip() for line in shown(said).splitlines() if line.strip()]
        telling = (
            [line for line in lines if line.startswith(("INTERNALERROR>", "ERROR"))] or lines or ["it said nothing"]
        )
        told = f"pytest cannot read the own claims (exit code {code}): {telling[-1][:300]}"
        listed["problems"].append(_problem(listed, directory, told, f"See: {shlex.join(argv)}"))
    return listed


def _problem(listed: dict[str, Any], directory: Path, sentence: str, remedy: str) -> dict[str, str]:
    return asdict(Problem(sentence, listed["reading"] or str(directory), remedy))
