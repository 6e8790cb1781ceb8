"""How a run stands: what fails now and since when, what is left of budgets, guests out of reach. Nothing is judged."""

from __future__ import annotations

import numpy as np
import pytest

from rehearsal.lanes.spec import ProbeSpec
from rehearsal.plan import PlanSpec
from rehearsal.recording.events import MigrationBegan
from rehearsal.recording.events import PhaseBegan
from rehearsal.recording.events import StepBegan
from rehearsal.recording.events import StepEnded
from rehearsal.recording.events import SuiteBegan
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.sampleflags import BLIND
from rehearsal.recording.samples import SAMPLE
from rehearsal.recording.samples import SampleStoreWriter
from rehearsal.recording.samples import read_new
from rehearsal.runner.failing import Failing
from rehearsal.runner.overview import Overview

SECOND = 1_000_000_000
OK, BAD, NOTHING = SampleClass.OK, SampleClass.HTTP_5XX_LB, SampleClass.CANCELLED_BY_STOP
PLAN = PlanSpec.model_validate(
    {
        "name": "small",
        "title": "Small",
        "from_release": "2024.2",
        "to_release": "2025.1",
        "services": ["nova", "glance"],
        "defaults": {"nova": {"longest_s": 1.0}, "glance": {"longest_s": 5.0}, "canaries": {"longest_s": 30.0}},
        "steps": [
            {"id": "one", "title": "The first", "command": ["true"], "services": ["glance"]},
            {
                "id": "two",
                "title": "Nova's API",
                "command": ["true"],
                "services": ["nova", "glance"],
                "disturbs": {"nova": {"longest_s": 60.0, "total_s": 65.0}},
            },
        ],
    }
)


def spec(number, lane, service, canary=""):
    return ProbeSpec(number, f"{service} {lane}", lane, service, "", SECOND, SECOND, canary=canary)


PROBES = {
    1: spec(1, "vip-new", "nova"),
    2: spec(2, "deep", "nova"),
    3: spec(3, "vip-new", "glance"),
    4: spec(4, "backend-new", "nova"),
    5: spec(5, "icmp", "canary", "cmp-1"),
    6: spec(6, "icmp", "canary", "cmp-2"),
}


def block(*samples):
    """Return samples given as (probe, class, second when it was due[, flags])."""
    rows = [
        (probe, found, flags[0] if flags else 0, int(due_s * 10), *(int(due_s * SECOND),) * 3)
        for probe, found, due_s, *flags in samples
    ]
    return np.array(rows, SAMPLE)


class World:
    def __init__(self, folder):
        self.now_s = 100.0
        self.writer = SampleStoreWriter(folder / "samples" / "prober.smp")
        self.overview = Overview(PLAN, PLAN.steps, lambda: PROBES, self.writer.path, lambda: int(self.now_s * SECOND))
        self.overview.lines()

    def step(self, name):
        self.overview.heard(PhaseBegan("steps"))
        self.overview.heard(StepBegan(name, "", [], [], 1, ""))

    def sampled(self, *samples, now_s):
        self.writer.append(block(*samples))
        self.writer.flush()
        self.now_s = now_s
        return self.overview.lines()


@pytest.fixture
def world(tmp_path):
    found = World(tmp_path)
    yield found
    found.writer.close()


def test_where_the_run_is(world):
    """A phase, a step with its number of all, title and time, and within it what goes on."""
    world.overview.heard(PhaseBegan("baseline"))
    world.now_s = 112.0
    assert ["baseline · 12 s · run 12 s"] == world.overview.lines()
    world.step("two")
    world.now_s = 200.0
    assert ["step 2 of 2, two: Nova's API · 1 min 28 s · run 1 min 40 s"] == world.overview.lines()
    world.overview.heard(StepEnded("two", 1, 0))
    world.overview.heard(SuiteBegan("inflight", "step:two", [], ""))
    world.now_s = 203.0
    assert ["step 2 of 2, two: Nova's API · 1 min 31 s · suite inflight · 3.0 s · run 1 min 43 s"] == (
        world.overview.lines()
    )
    world.overview.heard(PhaseBegan("migrations-after"))
    world.overview.heard(MigrationBegan("m", "cmp-1", "", "", "", "after"))
    assert ["live migration of cmp-1 · 0.0 s · run 1 min 43 s"] == world.overview.lines()


def test_what_fails_now(world):
    """A service fails since the first failed sample in a row of any probe that sees it as users do; a backend explains only."""
    world.step("two")
    lines = world.sampled((1, OK, 101), (2, OK, 101), (3, OK, 101), (4, BAD, 101), now_s=101.5)
    assert "  no service is failing" == lines[1]
    lines = world.sampled((1, BAD, 102), (1, BAD, 103), (2, BAD, 102.5), (3, OK, 103), now_s=105)
    assert "  failing: nova for 3.0 s of a budget of 60 s" == lines[1]
    assert "  budget left: glance 5.0 s of 5 s, nova 57 s of 60 s" == lines[2]
    lines = world.sampled((1, OK, 104), (3, BAD, 104), now_s=105)
    assert "  failing: nova for 2.5 s of a budget of 60 s, glance for 1.0 s of a budget of 5 s" == lines[1]
    lines = world.sampled((2, OK, 106), (3, OK, 106), now_s=106.5)
    assert "  no service is failing" == lines[1]
    assert "  budget left: glance 3.0 s of 5 s, nova 56 s of 60 s" == lines[2]


def test_a_total_is_counted_without_counting_time_twice(world):
    """Two probes that fail at the same time are one loss; what is left is the lesser of the longest and the total."""
    world.step("two")
    world.sampled((1, BAD, 110), (1, OK, 140), (2, BAD, 120), (2, OK, 150), now_s=150.5)
    lines = world.sampled((1, BAD, 160), (1, OK, 170), now_s=170.5)
    assert "  budget left: glance 5.0 s of 5 s, nova 15 s of 60 s" == lines[2]  # 65 in all, 40 and 10 are gone
    world.step("one")
    assert "  budget left: glance 5.0 s of 5 s" == world.overview.lines()[2]


def test_guests_out_of_reach(world):
    """Canaries that do not answer are named, with the budget of the step."""
    world.step("one")
    lines = world.sampled((5, OK, 101), (6, OK, 101), now_s=101.1)
    assert "  all 2 guests are reachable" == lines[-1]
    lines = world.sampled((5, SampleClass.NO_REPLY, 102), (6, OK, 102), now_s=104)
    assert "  unreachable guests: 1 of 2: cmp-1 for 2.0 s of a budget of 30 s" == lines[-1]
    assert "  no service is failing" == lines[1]


def test_a_prober_that_says_nothing_leaves_nothing_known(world):
    """What failed last is not told as failing when no sample came for a while."""
    world.step("one")
    world.sampled((3, BAD, 101), now_s=102)
    world.now_s = 108.0
    assert "  no measurement for 7.0 s" == world.overview.lines()[1]


def test_samples_that_prove_nothing_change_nothing(tmp_path):
    """A stop, the prober's own stall, and a request given up after later ones were answered."""
    failing = Failing(tmp_path / "none")
    failing.look()
    failing.take(block((1, BAD, 1), (1, NOTHING, 2), (1, OK, 3, BLIND)))
    assert {1: SECOND} == failing.since
    failing.take(block((1, OK, 20)))
    failing.take(block((1, SampleClass.TIMEOUT_TTFB, 5)))
    assert {} == failing.since
    assert [(1, SECOND, 20 * SECOND)] == failing.ended


def test_a_file_that_grows_is_read_from_where_it_was_left(tmp_path):
    """A block that is not whole is left for later, and none is read twice; what was there before is not read at all."""
    path = tmp_path / "samples" / "prober.smp"
    with SampleStoreWriter(path) as writer:
        writer.append(block((1, BAD, 1)))
        writer.flush()
        failing = Failing(path)
        failing.look()
        assert {} == failing.since
        writer.append(block((1, BAD, 2)))
        writer.flush()
    whole = path.read_bytes()
    begin = failing._offset
    path.write_bytes(whole[: begin + 30])
    assert ([], begin) == read_new(path, begin)
    path.write_bytes(whole)
    blocks, end = read_new(path, begin)
    assert [2 * SECOND] == [int(due) for found in blocks for due in found["due"]]
    assert ([], end) == read_new(path, end)
    assert len(whole) == end
