"""A gate that looks at one step says what the judge says about the whole recording."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from rehearsal.judging import onestep
from rehearsal.judging.judge import judge
from rehearsal.judging.observing.observation import observe
from rehearsal.recording.history import load
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.samples import read_chunks
from rehearsal.recording.samples import sample_files
from tests.made.synthetic import Scenario
from tests.made.synthetic import ScriptedMigration
from tests.made.synthetic import ScriptedStep
from tests.made.synthetic import Trouble
from tests.made.synthetic import at_ns
from tests.made.synthetic import write_run

ALLOWED = {"longest_s": 4.0, "total_s": 15.0, "slow_longest_s": 20.0, "source": "plan"}
STEPS = tuple(
    ScriptedStep(f"step-{n}", 100.0 + 60 * n, 140.0 + 60 * n, ("nova",), (), {"nova": dict(ALLOWED)}) for n in range(5)
)
LONG = Scenario(duration_s=420.0, steps=STEPS, http_hz=5.0, icmp_hz=10.0, tcp_hz=5.0, deep_hz=0.5)


def disturbed(seed):
    """Troubles of all kinds, many of them about a step's boundary or long before it."""
    chance = random.Random(seed)
    around = [step.from_s for step in STEPS] + [step.to_s for step in STEPS]
    troubles, stalls = [], []
    for _ in range(9):
        from_s = chance.choice(around) + chance.uniform(-45, 15)
        to_s = from_s + chance.choice((0.3, 1.5, 6.0, 40.0))
        who = chance.choice(("keystone", "nova", "canary-0"))
        troubles.append(Trouble(who, from_s, to_s, chance.choice(("down", "slow", "stalled", "down"))))
        troubles.append(Trouble(who, to_s + 0.4, to_s + 0.9))
    for _ in range(3):
        from_s = chance.uniform(5, 400)
        stalls.append((from_s, from_s + chance.uniform(0.2, 2)))
    move = ScriptedMigration("m", "canary-0", 190.0, 205.0)
    return replace(LONG, troubles=tuple(troubles), stalls=tuple(sorted(stalls)), migrations=(move,))


SCENARIOS = {
    "calm": LONG,
    **{f"disturbed {seed}": disturbed(seed) for seed in range(6)},
    "down until the step": replace(LONG, troubles=(Trouble("nova", 30, 161),)),
    "not there until the step": replace(LONG, stalls=((85.0, 175.0),)),
    "down and not there until the step": replace(LONG, troubles=(Trouble("nova", 60, 178),), stalls=((65.0, 172.0),)),
    "well long before, then nothing known, then down": replace(
        LONG, troubles=(Trouble("nova", 85, 172, sample_class=SampleClass.LOCAL_FAULT), Trouble("nova", 172, 176))
    ),
    "well long before, then away, then down": replace(
        LONG, stalls=((85.0, 172.0),), troubles=(Trouble("nova", 171, 176),)
    ),
    "flaps across a time of which nothing is known": replace(
        LONG,
        troubles=(
            Trouble("nova", 105, 118),
            Trouble("nova", 118.5, 172, sample_class=SampleClass.LOCAL_FAULT),
            Trouble("nova", 172, 176),
        ),
    ),
    "a prober that ended in an outage": replace(
        LONG, prober_pause=(150.0, 153.0), troubles=(Trouble("nova", 145, 155), Trouble("nova", 230, 233))
    ),
    "off path": replace(disturbed(7), off_path=("192.0.2.1", "192.0.2.2")),
    "another prober": replace(disturbed(8), prober_pause=(150.0, 153.0)),
    "runner died": replace(disturbed(9), runner_dies_s=310.0, prober_dies_s=320.0),
}


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_step_alone_is_judged_as_in_the_whole(name, tmp_path):
    history = load(write_run(tmp_path / "run", SCENARIOS[name]))
    whole = judge(history).matrix
    for step in STEPS:
        assert onestep.losses_of(history, step.id) == [loss for loss in whole if loss.step == step.id]


def test_after_a_calm_time_only_the_stretch_of_the_step_is_folded(tmp_path):
    history = load(write_run(tmp_path / "run", LONG))
    part = onestep.observation_of(history, at_ns(STEPS[-1].from_s))
    whole = observe(history)
    assert sum(seen.trace.samples for seen in part.seen) < sum(seen.trace.samples for seen in whole.seen) / 2


def test_a_step_that_never_began_has_no_cells(tmp_path):
    assert onestep.losses_of(load(write_run(tmp_path / "run", LONG)), "no such step") == []


def test_blocks_long_before_a_moment_are_passed_over_and_none_after_it(tmp_path):
    (path,) = sample_files(write_run(tmp_path / "run", LONG))
    whole = list(read_chunks(path))
    for second in (0.0, 100.0, 250.0, 419.0, 900.0):
        rest = list(read_chunks(path, settled_ns=at_ns(second)))
        passed = whole[: len(whole) - len(rest)]
        assert all((chunk["due"] < at_ns(second) + 60 * 10**9).all() for chunk in passed)
        assert all(np.array_equal(one, other) for one, other in zip(rest, whole[len(passed) :], strict=True))
    assert len(list(read_chunks(path, settled_ns=at_ns(250)))) < len(whole) - 2
