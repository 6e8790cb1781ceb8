from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from rehearsal.prober.schedule import CATCH_UP
from rehearsal.prober.schedule import LOOK_AGAIN_NS
from rehearsal.prober.schedule import Schedule
from rehearsal.prober.schedule import first_due_ns
from rehearsal.prober.schedule import phase_ns
from tests.made import wrong_rules

PERIODS = st.integers(2_000_000, 10**10)
NOWS = st.integers(10**9, 10**15)


@given(period=PERIODS, now=NOWS, probe=st.integers(0, 65535), waits=st.lists(st.integers(0, 3 * 10**10), max_size=20))
def test_samples_are_due_on_the_grid_whatever_happened_before(period, now, probe, waits):
    """Sample k is due at the first plus k periods; none is due twice, none is skipped without being counted."""
    schedule = Schedule.starting(probe=probe, period_ns=period, now_ns=now)
    first = schedule.due_ns
    assert now < first <= now + period
    expected_seq = 0
    for wait in waits:
        now += wait
        samples, dropped = schedule.take(now)
        assert len(samples) <= CATCH_UP
        expected_seq += dropped
        for seq, due in samples:
            assert (seq, due) == (expected_seq, first + expected_seq * period)
            assert due <= now
            expected_seq += 1
        assert schedule.due_ns > now
        assert schedule.seq == expected_seq


@given(now=NOWS, period=PERIODS, changed=PERIODS)
def test_a_changed_period_starts_within_one_new_period(now, period, changed):
    """After a change the next sample is due within one new period, and numbers go on."""
    schedule = Schedule.starting(probe=3, period_ns=period, now_ns=now, seq=7)
    schedule.change(changed, now)
    assert now < schedule.due_ns <= now + changed
    assert schedule.seq == 7


@given(period=PERIODS, count=st.integers(2, 60))
def test_trap_38_probes_with_equal_periods_do_not_beat_against_each_other(period, count):
    """Phases of any number of neighbouring probes are spread over the period."""
    phases = sorted(phase_ns(probe, period) for probe in range(1, count + 1))
    assert all(0 <= phase < period for phase in phases)
    gaps = [later - earlier for earlier, later in itertools.pairwise(phases)]
    assert min(gaps) > 0.3 * period / count
    assert wrong_rules.most_at_once([0] * count, period // 10) == count
    assert wrong_rules.most_at_once(phases, period // 10) <= 0.1 * count / 0.3 + 1


def test_the_grid_is_fixed():
    """A probe that is declared again falls on the same grid."""
    assert (first_due_ns(5, 100, 12_345) - first_due_ns(5, 100, 99_999)) % 100 == 0


@given(
    probe=st.integers(0, 65535),
    period_ns=PERIODS,
    bad_ns=st.lists(NOWS, max_size=8),
)
def test_after_a_bad_sample_the_next_one_comes_soon(probe, period_ns, bad_ns):
    """Never later than was due, at the latest after a second or a tenth of the period, and never more often than that."""
    schedule = Schedule.starting(probe=probe, period_ns=period_ns, now_ns=0)
    closest_ns = max(LOOK_AGAIN_NS, period_ns // 10)
    for now_ns in sorted(bad_ns):
        schedule.take(now_ns)
        before_ns = schedule.due_ns
        assert schedule.sooner(now_ns) == (schedule.due_ns < before_ns)
        assert schedule.due_ns == min(before_ns, now_ns + closest_ns)
        taken, _ = schedule.take(schedule.due_ns)
        assert 1 == len(taken)
        assert schedule.due_ns == taken[0][1] + period_ns
