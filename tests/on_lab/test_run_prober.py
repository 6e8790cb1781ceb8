"""A prober that stands still, whose wall clock is set, or that is killed during a step: unknown, never an outage or silence."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from rehearsal.recording.journal import read
from tests.on_lab import small_runs

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

HOUR_S = 3600
SETTABLE_CLOCK = Path(__file__).parent / "settable_clock"


def prober_of(run: Path) -> int:
    """Return the prober's process."""
    return small_runs.pid_of(sys.executable, "-m", "rehearsal.prober", known_by=run)


def cells(results, step):
    """Return what each service's downtime during a step was found to be."""
    return {
        each["service"]: each
        for each in results["matrix"]
        if each["stretch"]["name"] == step and each["kind"] == "down"
    }


def outcomes_of(results, subject):
    """Return how what was found about a subject is judged. A step that only waits replaces nothing, which fails elsewhere."""
    return {each["outcome"] for each in results["findings"] if each["subject"] == subject}


def test_a_prober_that_stands_still_and_a_wall_clock_that_is_set(tmp_path):
    """Stopped for 2 s: blind, and unknown where 2 s are more than the budget. An hour on the clock: no harm at all."""
    clock = small_runs.OUT / "clock.seconds"
    clock.unlink(missing_ok=True)
    stopped = []

    def meanwhile(reports):
        small_runs.wait_for_step(reports, "wait")
        time.sleep(2)
        clock.write_text(str(HOUR_S))
        time.sleep(4)
        group = os.getpgid(prober_of(small_runs.run_in(reports)))
        os.killpg(group, signal.SIGSTOP)
        stopped.append(time.monotonic_ns())
        time.sleep(2)
        stopped.append(time.monotonic_ns())
        os.killpg(group, signal.SIGCONT)

    try:
        run, _, log = small_runs.rehearse(
            "still",
            20,
            "--keep-going",
            "--without",
            "migrations",
            meanwhile=meanwhile,
            environment={"PYTHONPATH": str(SETTABLE_CLOCK), "REHEARSE_TEST_CLOCK": str(clock)},
        )
    finally:
        clock.unlink(missing_ok=True)
    offsets_ns = [each.w_ns - each.t_ns for each in read(run / "journal" / "prober.jsonl").records]
    assert max(offsets_ns) - min(offsets_ns) > (HOUR_S - 1) * 1_000_000_000, "the clock was not set"

    results = small_runs.results_of(run)
    began_ns, ended_ns = next((each["began_ns"], each["ended_ns"]) for each in results["steps"] if each["id"] == "wait")
    assert began_ns < stopped[0] < stopped[1] < ended_ns < began_ns + 60_000_000_000
    blind = [each for each in results["quality"]["blind"] if each[0] < stopped[1] and each[1] > stopped[0]]
    assert max(min(each[1], stopped[1]) - max(each[0], stopped[0]) for each in blind) > 1_800_000_000, blind
    assert [each for each in results["windows"] if each["kind"] == "down" and each["stretch"]["name"] == "wait"] == []
    found = cells(results, "wait")
    assert found["placement"]["outcome"] == "unknown", found["placement"]
    assert found["placement"]["floor_ns"] > 1_800_000_000
    assert "could have passed unseen" in found["placement"]["reason"]
    assert {name for name, cell in found.items() if cell["outcome"] != "ok"} == {"placement"}, log
    assert outcomes_of(results, "step:wait") == {"unknown"}, log


def test_a_killed_prober_makes_the_run_unknown_and_says_when():
    """What it saw until then stays; after that nothing is proven, and the time of its end is told."""
    killed = []

    def meanwhile(reports):
        small_runs.wait_for_step(reports, "wait")
        time.sleep(3)
        os.kill(prober_of(small_runs.run_in(reports)), signal.SIGKILL)
        killed.append(time.monotonic_ns())

    run, _, log = small_runs.rehearse(
        "proberless", 10, "--keep-going", "--without", "migrations", "--without", "canaries", meanwhile=meanwhile
    )
    results = small_runs.results_of(run)
    assert {cell["outcome"] for cell in cells(results, "wait").values()} == {"unknown"}, log
    assert outcomes_of(results, "step:wait") == outcomes_of(results, "prober") == {"unknown"}, log
    assert not results["quality"]["prober_stopped"]
    noted = [at_ns for at_ns, _, text in results["notes"] if text.startswith("The prober died")]
    assert -1_000_000_000 < noted[0] - killed[0] < 5_000_000_000, (noted, killed)
    (told,) = [each["sentence"] for each in results["findings"] if each["subject"] == "prober"]
    said = r"The prober died (\d+) s into the run and was restarted; nothing is known of the [\d.]+ s in between\."
    died_s = int(re.fullmatch(said, told)[1])
    assert abs(died_s - (killed[0] - results["began_ns"]) / 1e9) < 3, (told, killed, results["began_ns"])
