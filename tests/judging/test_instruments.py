"""What the results tell about the instruments: answer times, load, lanes, grades, calibration, what is summed."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.figures.outcome import Outcome
from rehearsal.judging import grades
from rehearsal.judging import instruments
from rehearsal.judging.judge import judge
from rehearsal.judging.observing.latencies import bins_of
from rehearsal.judging.observing.latencies import edge_of
from rehearsal.judging.observing.latencies import percentile
from rehearsal.judging.sums import joined
from rehearsal.judging.sums import summed
from rehearsal.recording import events
from rehearsal.recording.history import load
from rehearsal.recording.stretch import BETWEEN
from rehearsal.recording.stretch import CONTROL
from rehearsal.recording.stretch import step
from tests.made import results as made
from tests.made.synthetic import Scenario
from tests.made.synthetic import Trouble
from tests.made.synthetic import write_run

SEALED = '{"salt": "ab", "plans": []}'
DONE = events.CalibrationDone(
    "ok",
    "1 of 1 within its bounds.",
    hashlib.sha256(SEALED.encode()).hexdigest(),
    SEALED,
    [{"kind": "refuse", "true_ns": 5, "seen": True, "certain_ns": 4, "point_ns": 5, "possible_ns": 6, "covered": True}],
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    script = Scenario(
        troubles=(Trouble("nova", 120, 123.0),),
        vips=("internal", "public"),
        stalls=((90.0, 90.4),),
        more=((0.5, DONE), (0.6, replace(DONE, seal="0" * 64, outcome="no such word"))),
    )
    return judge(load(write_run(tmp_path_factory.mktemp("run"), script)))


@given(st.integers(1, 10**12))
def test_a_bin_of_answer_times_is_at_most_a_thirtieth_wide_and_holds_its_length(took_ns):
    edge = edge_of(int(bins_of(np.array([took_ns]))[0]))
    assert took_ns <= edge <= took_ns * 1.0323 + 1


@given(st.lists(st.integers(1, 10**11), min_size=1, max_size=400), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_an_upper_bound_and_near(lengths, share):
    counts = np.bincount(bins_of(np.array(lengths)), minlength=2_000)
    found = percentile(counts, share)
    least = {0.5: 1, 0.95: 59, 0.99: 299}[share]
    assert (found is None) == (len(lengths) < least)
    if found is not None:
        exact = sorted(lengths)[int(np.ceil(share * len(lengths))) - 1]
        assert exact <= found <= exact * 1.0323 + 1


def test_answer_times_stand_before_during_and_after_the_steps(results):
    rows = {(one.service, one.lane, one.stretch): one for one in results.answer_times}
    assert {stretch for _, _, stretch in rows} == {"before", "during", "after"}
    before, during = rows["nova", "vip-new", "before"], rows["nova", "vip-new", "during"]
    assert 2 * 680 <= before.samples <= 2 * 701  # the first step begins after 70 s
    assert 8_000_000 <= before.p50_ns <= before.p95_ns <= before.p99_ns <= before.max_ns < 40_000_000
    assert during.samples < 2 * 820  # what failed has no answer time


def test_lanes_tell_their_vip_floor_largest_gap_and_lateness(results):
    lanes = {(lane.lane, lane.vip): lane for lane in results.lanes}
    vip = lanes["vip-new", "public"]
    assert len(vip.probes) == 2
    assert vip.period_ns == (100_000_000, 100_000_000)
    assert vip.floor_step in {"keystone", "nova"}
    assert 400_000_000 <= vip.gap_max_ns < 700_000_000
    assert vip.floor_ns >= 400_000_000
    assert 0 < vip.late_p50_ns <= vip.late_p99_ns
    assert vip.blind_ns > 0


def test_load_is_told_as_declared_and_as_sent(results):
    load_ = results.quality.load
    assert load_.requests_per_s == pytest.approx(2 * 2 * 2 * 10 + 2)
    assert load_.connections_per_s == pytest.approx(2 * 2 * 10 + 2)
    assert load_.packets_per_s == pytest.approx(2 * 70)
    assert load_.sent_requests_per_s == pytest.approx(82, rel=0.02)
    assert results.quality.load_per_s == pytest.approx(222)


def test_each_kind_of_load_is_told_at_its_own_most(tmp_path):
    """Requests are at their most while services are in focus, packets while a canary migrates; both together at neither alone."""
    plain = load(write_run(tmp_path / "plain"))
    number = {
        lane: next(probe.declared.probe for probe in plain.probes if probe.lane == lane) for lane in ("vip-new", "icmp")
    }
    changes = ((40.0, "vip-new", 50), (50.0, "vip-new", 10), (50.0, "icmp", 100), (60.0, "icmp", 50))
    more = tuple((s, events.PeriodChanged(number[lane], 10**9 // hz)) for s, lane, hz in changes)
    focused = load(write_run(tmp_path / "focused", Scenario(more=more)))
    before, changed = judge(plain).quality.load, judge(focused).quality.load
    assert changed.requests_per_s == pytest.approx(before.requests_per_s + 40)
    assert changed.packets_per_s == pytest.approx(before.packets_per_s + 50)
    assert changed.samples_per_s == pytest.approx(before.samples_per_s + 50)


def test_a_calibration_is_read_back_and_its_seal_is_tried(results):
    good, broken = results.calibrations
    assert (good.outcome, good.seal_fits, good.trials[0].possible_ns) == (Outcome.OK, True, 6)
    assert (broken.outcome, broken.seal_fits) == (Outcome.UNKNOWN, False)


def test_blindness_is_summed_by_cause():
    found = instruments.blind_causes([(0, 5, "a"), (3, 9, "a"), (20, 22, "b")])
    assert [(one.why, one.count, one.total_ns, one.longest_ns) for one in found] == [("a", 2, 9, 6), ("b", 1, 2, 2)]


@pytest.mark.parametrize(
    ("changes", "grade"),
    [
        ({}, "A"),
        ({"failed": 1}, "B"),
        ({"count": 1, "failed": 1}, "B"),
        ({"kind": "degraded", "count": 3, "failed": 9}, "A"),
        ({"outcome": Outcome.FAIL, "count": 1}, "C"),
        ({"left_ns": 1}, "B"),  # what began before it may have gone on
        ({"kind": "degraded", "left_ns": 1}, "A"),
        ({"outcome": Outcome.UNKNOWN}, ""),
        ({"stretch": CONTROL, "outcome": Outcome.FAIL}, "A"),
        ({"stretch": BETWEEN, "outcome": Outcome.FAIL}, "A"),
        ({"stretch": step("before"), "outcome": Outcome.FAIL}, "C"),  # a step of that name is a step
    ],
)
def test_grades(changes, grade):
    cells = [made.loss("a", "nova"), made.loss("b", "nova", **changes)]
    found = grades.grades(cells, complete=True)
    assert found == {"nova": grade}
    assert grades.grades(cells, complete=False) == {"nova": "C" if grade == "C" else ""}


@given(st.lists(st.integers(0, 200), min_size=1, max_size=5), st.integers(0, 1200))
def test_the_best_grade_needs_enough_clean_samples_in_the_steps(samples, elsewhere):
    """Rule of three: fewer than 300 cannot exclude that one request in a hundred fails. Only those of steps count."""
    cells = [made.loss(f"step-{number}", "nova", samples=count) for number, count in enumerate(samples)]
    beside = [made.loss(where, "nova", samples=elsewhere) for where in (CONTROL, BETWEEN)]
    slow = [made.loss(cell.step, "nova", "degraded") for cell in cells]
    expected = "A" if sum(samples) >= grades.CLEAN_LEAST == 300 else "B"
    assert grades.grades([*cells, *beside, *slow], complete=True) == {"nova": expected}


def test_the_worst_grade_is_that_of_the_run_and_one_that_is_missing_leaves_none():
    assert grades.overall({"a": "A", "b": "C", "c": "B"}) == "C"
    assert grades.overall({"a": "A", "b": ""}) == ""
    assert grades.overall({}) == ""


def test_sums_of_windows_add_up_however_they_are_split():
    windows = made.full().windows
    assert joined([*summed(windows[:5]), *summed(windows[5:])]) == joined(summed(windows))
    assert sum(one.count for one in summed(windows)) == len(windows)
