"""Sealed worlds of every shape: the judge may say that it does not know, but nothing that is not so.

A failing example prints its world. More of them: `python -m tests.sealed.attack --seeds 1000`.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal.recording.sampleclass import CountsAs
from tests.sealed import shapes
from tests.sealed.attack import judged
from tests.sealed.oracle import Oracle
from tests.sealed.world import Fault
from tests.sealed.world import Lane
from tests.sealed.world import Step
from tests.sealed.world import World
from tests.sealed.world import recorded

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sealed.oracle import Verdict

# Two things that no recording shows: a delay that grew faster than anybody looked, and what old probers did not tell of
# their own stalls.
ALWAYS = [shape for shape in shapes.SHAPES if shape not in {"B5-jump", "B6-untold"}]
_AVOIDABLE = ("A-quiet", "A-steps", "A-moves", "plain")
_SEEDS = 15
_JUDGED: dict[str, list[Verdict]] = {}


def _verdicts(shape: str, folder: Path) -> list[Verdict]:
    """The worlds of a shape that are always tried; judged once."""
    if shape not in _JUDGED:
        _JUDGED[shape] = [judged(shapes.SHAPES[shape](random.Random(seed)), folder) for seed in range(_SEEDS)]
    return _JUDGED[shape]


@pytest.mark.parametrize("shape", ALWAYS)
def test_nothing_is_told_that_is_not_so(shape, tmp_path):
    """No bound beside the truth, no false OK, no false FAIL, no charge to a step that was not touched, no grade A after an outage."""
    for seed, verdict in enumerate(_verdicts(shape, tmp_path)):
        assert verdict.wrong == (), (seed, shapes.SHAPES[shape](random.Random(seed)))


@settings(suppress_health_check=list(HealthCheck))
@given(rng=st.randoms(use_true_random=False), shape=st.sampled_from(ALWAYS))
def test_nothing_is_told_that_is_not_so_in_any_world(rng, shape, tmp_path):
    """The same, with other worlds every time in the profile `thorough`; the simplest that contradicts is shown."""
    world = shapes.SHAPES[shape](rng)
    assert judged(world, tmp_path).wrong == (), world


@settings(suppress_health_check=list(HealthCheck), max_examples=30)
@given(
    onset_s=st.floats(8.0, 16.0),
    length_s=st.floats(0.1, 12.0),
    together=st.integers(1, 3),
    how=st.sampled_from(["refuse", "5xx"]),
)
def test_steps_of_no_length_take_no_judgement_away(tmp_path, onset_s, length_s, together, how):
    """Several steps begin at one moment and all but the last have no length; an outage may begin before them and go on."""
    lanes = tuple(Lane(shapes.WHO, kind, 0.2) for kind in ("vip-new", "vip-reused"))
    allowed = {shapes.WHO: {"longest_s": 1.0, "slow_longest_s": 5.0}}
    steps = (
        *(Step(f"none-{number}", 15.0, 15.0, allowed) for number in range(together)),
        Step("last", 15.0, 20.0, allowed),
    )
    fault = Fault(shapes.WHO, onset_s, onset_s + length_s, how)
    world = World("zero", lanes, steps, faults=(fault,), defaults=allowed, settle_s=0.0)
    assert judged(world, tmp_path).wrong == ()


@pytest.mark.parametrize("shape", _AVOIDABLE)
def test_what_good_samples_nearby_decide_is_not_unknown(shape, tmp_path):
    """A piece without a sample of its own is judged by the last good sample before it and the first after it.

    And an outage that is plainly longer, or shorter, than allowed is told to be that.
    """
    for seed, verdict in enumerate(_verdicts(shape, tmp_path)):
        assert verdict.avoidable == (), (seed, shapes.SHAPES[shape](random.Random(seed)))


def test_the_oracle_knows_which_samples_a_fault_made():
    """A refusal is a fault's if the request arrived in it, and every request that arrived in it is refused."""
    fault = Fault(shapes.WHO, 10.0, 12.0)
    world = shapes.changed(shapes.a_quiet(random.Random(1)), "plain", faults=(fault,))
    taken = recorded(world)
    failed = {each for each in taken if each.sample_class.counts_as is CountsAs.DOWN}
    assert failed
    assert failed == {each for each in taken if each.fault == 0}
    assert all(10.0 - 1.0 < each.sent_s < 12.0 for each in failed)
    oracle = Oracle(world, taken)
    assert [(t.from_s, t.to_s, t.hit) for t in oracle.truths(shapes.WHO)] == [(10.0, 12.0, True)]
