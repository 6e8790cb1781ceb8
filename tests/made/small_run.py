"""A small run for tests of the runner: a repository, a plan of commands that leave traces, and a run directory."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import yaml

from rehearsal import plan as plans
from rehearsal.cloud import discover
from rehearsal.recording import rundir
from rehearsal.recording.journal import read
from rehearsal.runner.interrupts import Interrupts
from rehearsal.runner.orders import Orders
from rehearsal.runner.run import Course
from tests.made.repository import as_arguments
from tests.made.repository import make_repository

if TYPE_CHECKING:
    from pathlib import Path

EVERYTHING = frozenset({"probes", "canaries", "migrations", "suites", "witness"})


class Small:
    """A repository, a plan whose steps write a word each, and a run directory."""

    def __init__(self, tmp_path: Path, commands: dict[str, list[str] | str], **fields: object) -> None:
        self.root = tmp_path
        self.trace = tmp_path / "trace"
        self.options = make_repository(tmp_path)
        self.target = discover(self.options)
        self.source = tmp_path / "plan-source.yml"
        budget = {"longest_s": 1}
        data = {
            "name": "small", "title": "Small", "from_release": "2024.2", "to_release": "2025.1", "services": ["nova"],
            "defaults": {"nova": budget, "canaries": budget}, "baseline_s": 0, "settle_s": 0,
            "steps": [
                {"id": name, "title": name, "gates": [], "command": command if isinstance(command, list) else ["sh", "-c", command]}
                for name, command in commands.items()
            ],
            **fields,
        }  # fmt: skip
        self.source.write_text(yaml.safe_dump(data))
        self.reports = tmp_path / "reports"
        self.run = rundir.new_run(self.reports)
        self.run.plan.write_text(self.source.read_text())

    def say(self, word: str) -> str:
        return f"echo {word} >> {self.trace}"

    def go(self, **orders: object):
        plan = plans.load_plan(self.run.plan)
        given = Orders(**{"yes": True, "without": EVERYTHING, "options": self.options, **orders})
        course = Course(self.run, plan, self.target, given, Interrupts())
        try:
            return course.go()
        finally:
            if course.connection is not None:
                course.connection.close()

    def traced(self) -> list[str]:
        return self.trace.read_text().split() if self.trace.exists() else []

    def events(self, kind: type) -> list:
        return [record.event for record in read(self.run.runner_journal).records if isinstance(record.event, kind)]

    def command_line(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "rehearsal.cli", *self.words(*words)]

    def words(self, *words: str) -> list[str]:
        return [
            "run", "--plan", str(self.source), "--reports", str(self.reports), "--yes",
            *[f"--without={part}" for part in sorted(EVERYTHING)], *as_arguments(self.options), *words,
        ]  # fmt: skip
