"""Runs of answered samples: exactly which samples were answered between two moments, in little room."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.outage.timing import Answered
from rehearsal.outage.timing import Periods

MS = 1_000_000


def folded(due, done, periods, cuts=()):
    """The runs of some samples, given in pieces."""
    fold = Answered(Periods(periods))
    for piece in zip(np.split(due, cuts), np.split(done, cuts), strict=True):
        fold.add(*piece)
    return fold.runs()


def spelled(runs):
    """The samples that runs stand for, with the latest moment by which each was answered."""
    return {
        due + number * period: due + number * period + most
        for due, count, period, most in runs.T.tolist()
        for number in range(count)
    }


@given(data=st.data())
def test_runs_stand_for_exactly_the_samples_that_were_answered(data):
    """Whatever failed or was dropped between, in whatever pieces they come; no answer is dated earlier than it came."""
    period_ns = data.draw(st.sampled_from([20, 100, 1000])) * MS
    kept = data.draw(st.lists(st.booleans(), max_size=200))
    due = np.flatnonzero(np.array(kept, bool)).astype(np.int64) * period_ns + 7
    took = data.draw(st.lists(st.integers(0, 300 * MS), min_size=len(due), max_size=len(due)))
    done = due + np.array(took, np.int64)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(due)), max_size=4)))
    found = spelled(folded(due, done, [(0, period_ns)], cuts))
    assert due.tolist() == list(found)
    for moment, answered in zip(found, done.tolist(), strict=True):
        assert answered <= found[moment] < answered + period_ns // 4 + 1


def test_a_steady_lane_takes_little_room():
    """An hour at 10 Hz, answered in about the same time, in pieces of a second."""
    due = np.arange(36_000, dtype=np.int64) * 100 * MS
    runs = folded(due, due + 5 * MS, [(0, 100 * MS)], range(10, 36_000, 10))
    assert runs.shape[1] <= 36_000 / 32


def test_a_change_of_rate_begins_another_run():
    """Samples of another period are no part of a run, and lose nothing."""
    due = np.array([0, 100, 200, 250, 300, 350], np.int64) * MS
    runs = folded(due, due, [(0, 100 * MS), (210 * MS, 50 * MS)])
    assert [3, 3] == runs[1].tolist()
    assert due.tolist() == list(spelled(runs))
