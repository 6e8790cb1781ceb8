"""Steps that are over before anybody has looked: what was not sampled during one is judged by what is known around it."""

from __future__ import annotations

import pytest

from tests.on_lab import small_runs

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

SERVICES = ("keystone", "placement", "glance", "neutron", "nova")
HEAD = """
name: quick
title: Steps of a twentieth of a second
from_release: "2024.2"
to_release: "2024.2"
services: [keystone, placement, glance, neutron, nova]
defaults:
  keystone: &calm {longest_s: 10, total_s: 20, slow_longest_s: 120, slow_total_s: 240}
  placement: *calm
  glance: *calm
  neutron: *calm
  nova: *calm
  canaries: {longest_s: 2, total_s: 5}
baseline_s: 10
settle_s: 1
rates: {vip-new: 0.4, vip-reused: 0.4, internal-new: 0.2, internal-reused: 0.2, deep: 0.2, deep-fresh: 0.2, backend-new: 0.2, backend-reused: 0.2, tcp: 5, udp: 2}
steps:
  - {id: facts, title: Gather facts, command: [osism, apply, facts], gates: []}
"""


def quick_plan(steps=25):
    """Return a plan of steps that take a twentieth of a second each, one after the other without a gate in between.

    Facts are gathered first, as every plan must on a cloud that has none.
    """
    return HEAD + "".join(
        f'  - {{id: quick-{number}, title: Quick {number}, command: [sleep, "0.05"], services: [{SERVICES[number % 5]}], '
        "focus: [], retag: false, gates: []}\n"
        for number in range(steps)
    )


def test_steps_that_nobody_sampled_are_judged_all_the_same():
    """Twenty-five steps of 0.05 s between samples of 0.4 Hz and less: each has its cells, and all are OK.

    The run itself is not PASS: it leaves out migrations and calibration, which say nothing here.
    """
    process, reports = small_runs.start_plan(
        "quick", quick_plan(), "--without", "migrations", "--without", "calibration"
    )
    process.wait(600)
    log = (reports / "run.log").read_text()[-4000:]
    results = small_runs.results_of(small_runs.run_in(reports))
    assert [] == [each for each in results["findings"] if "sampled" in each["sentence"]], log
    steps = {cell["stretch"]["name"] for cell in results["matrix"] if cell["stretch"]["kind"] == "step"}
    assert {"facts", *(f"quick-{number}" for number in range(25))} == steps
    unsampled = [cell for cell in results["matrix"] if cell["stretch"]["kind"] == "step" and not cell["samples"]]
    assert unsampled, "no step was quicker than the samples: this test proves nothing here"
    assert {"ok"} == {cell["outcome"] for cell in results["matrix"] if cell["stretch"]["kind"] == "step"}, log
