from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal import cli
from rehearsal.calibration.calibrate import LIMIT_NS
from rehearsal.calibration.calibrate import LONGEST_S
from rehearsal.calibration.calibrate import SHORTEST_S
from rehearsal.calibration.calibrate import Calibration
from rehearsal.calibration.calibrate import Truth
from rehearsal.calibration.calibrate import calibrate
from rehearsal.calibration.calibrate import compared
from rehearsal.calibration.calibrate import draw
from rehearsal.figures.outcome import Outcome
from rehearsal.recording import events
from rehearsal.recording.journal import read
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.samples import SAMPLE

MS = 1_000_000
S = 1000 * MS
PERIOD = 100 * MS


def sampled(truths, *, phase=0, count=200):
    """Return what a perfect prober sees of services that refuse during these spans."""
    rows = np.zeros(count, SAMPLE)
    rows["probe"], rows["seq"] = 1, np.arange(count)
    rows["due"] = rows["sent"] = phase + np.arange(count) * PERIOD
    rows["done"] = rows["sent"] + 2 * MS
    for truth in truths:
        answered = rows["sent"] + MS
        rows["sample_class"][(answered >= truth.began_ns[0]) & (answered < truth.ended_ns[0])] = SampleClass.REFUSED
    return rows


def refusing(began, length):
    return Truth("refuse", (began, began), (began + length, began + length))


@given(phase=st.integers(0, PERIOD), began=st.integers(2 * S, 4 * S), length=st.integers(1, 5 * S))
def test_a_true_measurement_is_within_its_bounds(phase, began, length):
    """Whatever phase and length, the truth lies within the bounds, or below the floor if nothing was seen."""
    truth = refusing(began, length)
    [trial] = compared(sampled([truth], phase=phase), [truth], period_ns=PERIOD)
    assert trial.covered
    assert not trial.blind
    assert trial.error_ns is None or abs(trial.error_ns) < LIMIT_NS


@pytest.mark.parametrize("lie_ns", [400 * MS, -400 * MS])
def test_a_prober_that_misreports_fails(lie_ns):
    """A measurement that is 0.4 s off is outside of the bounds, and the calibration fails."""
    truth = refusing(5 * S, 2 * S)
    trials = compared(sampled([refusing(5 * S, 2 * S + lie_ns)]), [truth], period_ns=PERIOD)
    assert not trials[0].covered
    assert Calibration(trials, "", "").outcome is Outcome.FAIL


def test_an_outage_that_a_prober_does_not_see_fails_unless_it_is_below_the_floor():
    """Seeing nothing of 2 s is a failure; seeing nothing of 50 ms between two samples is honest."""
    assert not compared(sampled([]), [refusing(5 * S, 2 * S)], period_ns=PERIOD)[0].covered
    short = refusing(5 * S + 20 * MS, 50 * MS)
    [trial] = compared(sampled([short]), [short], period_ns=PERIOD)
    assert (trial.seen, trial.covered, trial.error_ns) == (False, True, None)


def test_what_a_blind_prober_measured_is_not_judged():
    """Trials in blind time are neither good nor bad; if most are, nobody knows."""
    truths = [refusing(5 * S, 2 * S), refusing(12 * S, S)]
    trials = compared(sampled([]), truths, period_ns=PERIOD, blind=[(5 * S, 6 * S), (12 * S, 13 * S)])
    assert [trial.blind for trial in trials] == [True, True]
    assert Calibration(trials, "", "").outcome is Outcome.UNKNOWN


def test_a_recording_that_ends_too_early_claims_nothing():
    """Where the last good sample is missing nothing is claimed: not judged, rather than a failure."""
    truth = refusing(5 * S + 20 * MS, 50 * MS)
    [trial] = compared(sampled([truth], count=58), [truth], period_ns=PERIOD)
    assert (trial.seen, trial.floor_ns, trial.blind) == (False, None, True)
    assert Calibration([trial], "", "").outcome is Outcome.UNKNOWN


def test_an_error_above_the_limit_fails_even_within_bounds():
    """Bounds that are wide enough do not excuse a point estimate that is far off."""
    truth = refusing(5 * S, 2 * S)
    [trial] = compared(sampled([truth]), [truth], period_ns=PERIOD)
    assert Calibration([trial], "", "").outcome is Outcome.OK
    worse = replace(trial, point_ns=trial.true_ns + LIMIT_NS + 1)
    assert Calibration([worse], "", "").outcome is Outcome.FAIL


@given(seed=st.integers(0, 1000), trials=st.integers(1, 40))
def test_faults_are_drawn_fairly(seed, trials):
    """Every kind comes as often as the others, and no length is outside of its range."""
    plans = draw(random.Random(seed), trials, kinds=("a", "b", "c"), services=3)
    faults = [fault for plan in plans for fault in plan]
    counts = [sum(fault.kind == kind for fault in faults) for kind in "abc"]
    assert sum(counts) == trials
    assert max(counts) - min(counts) <= 1
    assert all(SHORTEST_S * S - 1 <= fault.length_ns <= LONGEST_S * S for fault in faults)


@pytest.mark.realtime
def test_a_real_calibration_is_sealed_before_it_is_measured(tmp_path):
    """Real faults on a real service are within bounds, and their lengths were sealed before the first sample."""
    found = calibrate(tmp_path / "c", trials=5, precedence="none", say=lambda line: None)
    assert len(found.trials) == 5
    assert all(trial.covered or trial.blind for trial in found.trials)
    sealed, done = read(tmp_path / "c" / "journal" / "calibration.jsonl").records
    first_sample = read(tmp_path / "c" / "journal" / "prober.jsonl").records[0]
    assert sealed.t_ns < first_sample.t_ns < done.t_ns
    assert sealed.event.seal == hashlib.sha256(done.event.sealed.encode()).hexdigest()
    lengths = [fault["length_ns"] for plan in json.loads(done.event.sealed)["plans"] for fault in plan]
    for planned, trial in zip(sorted(lengths), sorted(trial.true_ns for trial in found.trials), strict=True):
        assert planned <= trial + MS
    assert isinstance(done.event, events.CalibrationDone)


def test_calibrate_is_a_command(capsys, tmp_path):
    """Nonsense is refused with one sentence."""
    assert cli.main(["calibrate", "--trials", "0"]) == 64
    assert cli.main(["calibrate", "--keep", str(tmp_path)]) == 64
    assert "choose a number between 1 and 200" in capsys.readouterr().err
