"""A runner that is killed in the middle of a step: what is recorded stays true, the run goes on, nothing is left behind.

That `rehearse clean` finds what a runner left that never goes on: test_canaries.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.on_lab import small_runs
from tests.on_lab.lab_nodes import on

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

LISTED = ("server list --all-projects", "network list", "floating ip list", "project list", "security group list")


def left_in_cloud(run: Path) -> list[str]:
    """Return what in the cloud bears the run's name."""
    listed = [on("lab-manager", "openstack", "--os-cloud", "admin", *words.split(), "-f", "value") for words in LISTED]
    return [line for text in listed for line in text.splitlines() if run.name in line]


def report_of(run: Path) -> tuple[int, dict]:
    """Rebuild the report outside of the lab, where no address of the cloud can be reached."""
    done = subprocess.run(
        [*small_runs.REHEARSE, "report", str(run)], check=False, capture_output=True, text=True, timeout=120
    )
    assert (run / "report.html").stat().st_size > 10_000, done.stderr
    return done.returncode, json.loads((run / "results.json").read_text())


def test_a_killed_runner_leaves_the_truth_and_is_gone_on_with(tmp_path):
    """Killed: unknown. Resumed: every step ends well and nothing is left. Copied elsewhere: the same to the last figure."""
    process, reports = small_runs.start("killed", 20, "--keep-going", "--without", "migrations")
    try:
        small_runs.wait_for_step(reports, "wait")
        time.sleep(3)
        os.kill(small_runs.pid_of(*small_runs.REHEARSE, "run", known_by=reports), signal.SIGKILL)
        assert process.wait(30) != 0
        run = small_runs.run_in(reports)

        code, results = report_of(run)
        assert (code, results["outcome"]) == (2, "unknown")
        (step,) = [each for each in results["steps"] if each["id"] == "wait"]
        assert (step["rc"], step["outcome"]) == (None, "unknown")
        assert left_in_cloud(run)

        process = small_runs.go(
            reports,
            "run",
            "--yes",
            "--keep-going",
            "--without",
            "writes",
            "--without",
            "migrations",
            "--resume",
            str(run),
        )
        process.wait(400)
    finally:
        process.terminate()
        process.wait(120)
    log = (reports / "run.log").read_text()
    assert "waiting for it" in log or "succeeded while the runner was not running" in log, log
    results = small_runs.results_of(run)
    assert results["end_reason"] == "finished", log
    assert {(each["id"], each["rc"]) for each in results["steps"]} == {("pull", 0), ("wait", 0)}, log
    watched = {
        each["outcome"] for each in results["matrix"] if each["stretch"]["name"] == "wait" and each["kind"] == "down"
    }
    assert watched == {"unknown"}, log  # nobody measured while there was no prober
    assert results["outcome"] == "fail", log  # a step that only waits replaces nothing, and that is seen as well

    assert left_in_cloud(run) == []
    copy = tmp_path / "elsewhere" / run.name
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("results.json", "report.html", "junit.xml"))
    code, again = report_of(copy)
    assert code == 1
    assert again == results
