"""Sealed worlds of every shape: the judge may say that it does not know, but nothing that is not so.

A failing example prints its world. More of them: `python -m tests.sealed.attack --seeds 1000`.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal.sampleclass import CountsAs
from tests.sealed import shapes
from tests.sealed.attack import judged
from tests.sealed.oracle import Oracle
from tests.sealed.world import Fault
from tests.sealed.world import recorded

# Two things that no recording shows: a delay that grew faster than anybody looked, and what old probers did not tell of
# their own stalls.
ALWAYS = [shape for shape in shapes.SHAPES if shape not in {"B5-jump", "B6-untold"}]
_AVOIDABLE = ("A-quiet", "A-steps", "A-moves")
_SEEDS = 25


@pytest.mark.parametrize("shape", ALWAYS)
def test_nothing_is_told_that_is_not_so(shape, tmp_path):
    """No bound beside the truth, no false OK, no false FAIL, no charge to a step that was not touched, no grade A after an outage."""
    for seed in range(_SEEDS):
        world = shapes.SHAPES[shape](random.Random(seed))
        assert judged(world, tmp_path).wrong == (), (seed, world)


@settings(suppress_health_check=list(HealthCheck))
@given(rng=st.randoms(use_true_random=False), shape=st.sampled_from(ALWAYS))
def test_nothing_is_told_that_is_not_so_in_any_world(rng, shape, tmp_path):
    """The same, with other worlds every time in the profile `thorough`; the simplest that contradicts is shown."""
    world = shapes.SHAPES[shape](rng)
    assert judged(world, tmp_path).wrong == (), world


@pytest.mark.parametrize("shape", _AVOIDABLE)
def test_what_good_samples_nearby_decide_is_not_unknown(shape, tmp_path):
    """A piece without a sample of its own is judged by the last good sample before it and the first after it."""
    for seed in range(_SEEDS):
        world = shapes.SHAPES[shape](random.Random(seed))
        assert judged(world, tmp_path).avoidable == (), (seed, world)


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
