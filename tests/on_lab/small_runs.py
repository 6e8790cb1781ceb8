"""Small runs on the lab: nothing is replaced, the steps wait or do what is done already; all that is recorded is real."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rehearsal.claims.outcomes import checks_of
from rehearsal.recording.journal import read
from tests.on_lab.lab_nodes import LAB
from tests.on_lab.lab_nodes import OUT
from tests.on_lab.lab_nodes import ROOT
from tests.on_lab.lab_nodes import on

REHEARSE = (sys.executable, "-m", "rehearsal.cli")

PLAN = """
name: small
title: Nothing is replaced
from_release: "2024.2"
to_release: "2025.1"
services: [keystone, placement, glance, neutron, nova]
defaults:
  keystone: &calm {longest_s: 60, total_s: 120, slow_longest_s: 120, slow_total_s: 300}
  placement: *calm
  glance: *calm
  neutron: *calm
  nova: *calm
  canaries: {longest_s: 60, total_s: 60}
baseline_s: 5
settle_s: 2
rates: {vip-new: 2, vip-reused: 2, focus-vip-new: 10, focus-vip-reused: 10, internal-new: 0.2, internal-reused: 0.2, deep: 0.5, deep-fresh: 0.1,
        backend-new: 0.1, backend-reused: 0.1, udp: 5, tcp: 10}
steps:
  - id: pull
    title: Pull what is there
    command: [osism, apply, -a, pull, common//keystone//memcached]
    retag: false
  - id: wait
    title: Wait
    command: [sleep, "%d"]
    containers: [keystone_fernet, memcached]
    focus: [placement]
    disturbs:
      placement: {longest_s: 1.5, total_s: 1.5, slow_longest_s: 120, slow_total_s: 300}
      glance: {longest_s: 60, total_s: 120, slow_longest_s: 8, slow_total_s: 10}
"""


def start(
    name: str, wait_s: float, *arguments: str, environment: dict[str, str] | None = None
) -> tuple[subprocess.Popen[bytes], Path]:
    """Start the small plan on the manager; return the process, and where the run and `run.log` will lie."""
    return start_plan(name, PLAN % wait_s, "--without", "writes", *arguments, environment=environment)


def start_plan(
    name: str, text: str, *arguments: str, environment: dict[str, str] | None = None
) -> tuple[subprocess.Popen[bytes], Path]:
    """Start a plan on the manager; return the process, and where the run and `run.log` will lie."""
    reports = OUT / name
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    plan = reports / "plan.yml"
    plan.write_text(text)
    words = ("run", "--yes", "--plan", str(plan), "--reports", str(reports), *arguments)
    return go(reports, *words, environment=environment), reports


def go(reports: Path, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start `rehearse` on the manager; what it says is added to `run.log`."""
    settings = [f"{name}={value}" for name, value in (environment or {}).items()]
    command = [*LAB, "exec", "lab-manager", "--", "env", *settings, *REHEARSE, *arguments]
    with (reports / "run.log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)


def pid_of(*command: str, known_by: Path) -> int:
    """Return the process that was started with this command and works below a folder; not what started it."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if words[: len(command)] == [*command] and any(word.startswith(str(known_by)) for word in words):
            return int(path.parent.name)
    raise AssertionError(f"no process {' '.join(command)} that works below {known_by}")


def rehearse(name, wait_s, *arguments, meanwhile=None, environment=None):
    """Run the small plan to its end; return its run directory, every claim of every gate, and what it said."""
    process, reports = start(name, wait_s, *arguments, environment=environment)
    try:
        if meanwhile:
            meanwhile(reports)
        process.wait(600)
    finally:
        process.terminate()
        process.wait(120)
    run = run_in(reports)
    return run, claims_of(run), (reports / "run.log").read_text()


def run_in(reports: Path) -> Path:
    """Return the run directory."""
    return next(path for path in sorted(reports.iterdir()) if (path / "journal").is_dir() and not path.is_symlink())


def claims_of(run: Path):
    """Return what became of every claim of every gate of a run."""
    return [
        each
        for path in sorted((run / "journal").glob("suite-*.jsonl"))
        for each in checks_of(record.event for record in read(path).records)
    ]


def facts_of(run: Path, kind: str):
    """Return the recorded events of a kind, in order."""
    return [record.event for record in read(run / "journal" / "runner.jsonl").records if record.kind == kind]


def results_of(run: Path):
    """Return the results as they were written last."""
    return json.loads((run / "results.json").read_text())


def wait_for_step(reports: Path, step: str, timeout_s: float = 400) -> None:
    """Wait until the command of a step has begun."""
    deadline = time.monotonic() + timeout_s
    while not any(f'"step":"{step}"' in path.read_text() for path in reports.glob("*/journal/runner.jsonl")):
        assert time.monotonic() < deadline, (reports / "run.log").read_text()
        time.sleep(0.5)


def clean(run: Path):
    """Remove what a run left in the cloud."""
    return on("lab-manager", *REHEARSE, "clean", str(run), "--yes", timeout_s=200, check=False)
