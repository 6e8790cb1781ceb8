"""The rules of an outage, one fact each; the numbers are those of docs/traps.md."""

from __future__ import annotations

import numpy as np
import pytest

from rehearsal.outage import OPEN_NS
from rehearsal.outage import ProbeFold
from rehearsal.outage import derive
from rehearsal.outage import join
from rehearsal.outage import measure
from rehearsal.outage import merged
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.samples import BLIND
from rehearsal.recording.samples import SAMPLE
from tests.made import wrong_rules

MS = 1_000_000
S = 1000 * MS
PERIOD = 100 * MS
ANSWER = 8 * MS
OK = SampleClass.OK


def sampled(until_s, *, period=PERIOD, bad=(), cls=SampleClass.REFUSED, took=None, without=(), first_ns=0):
    """Samples of a service that fails in the spans `bad` (seconds); none is taken in the spans `without`."""
    rows = []
    for index in range(round(until_s * S / period)):
        sent = first_ns + index * period
        if any(low * S <= sent < high * S for low, high in without):
            continue
        fails = any(low * S <= sent < high * S for low, high in bad)
        rows.append(
            (1, int(cls if fails else OK), 0, index, sent, sent, sent + ((took or ANSWER) if fails else ANSWER))
        )
    return np.array(rows, SAMPLE)


def seconds(ns):
    return ns / S


@pytest.mark.parametrize("lasts_s", [0.3, 1.0, 2.5, 7.0, 14.0])
@pytest.mark.parametrize(
    ("cls", "took"),
    [
        (SampleClass.NO_REPLY, 1 * S),
        (SampleClass.TIMEOUT_CONNECT, 900 * MS),
        (SampleClass.TIMEOUT_TTFB, 10 * S),
    ],
)
def test_trap_01_a_timeout_longer_than_the_outage_does_not_hide_it(lasts_s, cls, took):
    """Packets dropped for a while are an outage with bounds that contain the truth, whatever the deadline is."""
    samples = sampled(40, bad=[(10.05, 10.05 + lasts_s)], cls=cls, took=took)
    assert wrong_rules.patient_failures(samples, (10.05, 10.05 + lasts_s), timeout_s=20) == []
    (outage,) = derive(samples, period_ns=PERIOD).outages
    assert outage.certain_ns <= lasts_s * S <= outage.possible_ns
    assert outage.possible_ns - lasts_s * S <= 2 * PERIOD + ANSWER
    if cls is not SampleClass.TIMEOUT_TTFB:
        assert outage.certain_ns >= lasts_s * S - 2 * PERIOD - took * (cls is SampleClass.TIMEOUT_TTFB)


def test_trap_02_the_onset_is_when_the_request_was_sent():
    """A request that stalls for 5 s before it fails puts the onset at its sending, not at its end."""
    samples = sampled(20, bad=[(10, 10.05)], cls=SampleClass.TIMEOUT_TTFB, took=5 * S)
    assert wrong_rules.onset_when_caught_ns(samples) == 15 * S
    (outage,) = derive(samples, period_ns=PERIOD).outages
    assert outage.first_bad_ns == 10 * S
    assert outage.last_good_ns == 10 * S - PERIOD


def test_trap_03_one_failed_sample_is_an_outage():
    """A single failed sample between good ones is an outage, a blip, with a certain length of 0."""
    samples = sampled(5, bad=[(2, 2.05)])
    assert wrong_rules.outages_of_two_and_more(samples) == []
    (outage,) = derive(samples, period_ns=PERIOD).outages
    assert outage.failed == 1
    assert outage.certain_ns == 0
    assert outage.possible_ns == 2 * PERIOD + ANSWER


def test_trap_04_spans_and_sums_are_told_apart():
    """1 s down, 3 s up, 1 s down are two windows of 1 s, 2 s in total."""
    outages = derive(sampled(10, bad=[(2, 3), (6, 7)]), period_ns=PERIOD).outages
    assert wrong_rules.span_s(outages) > 4.5
    assert len(join(outages)) == 2
    for outage in outages:
        assert outage.certain_ns <= 1 * S <= outage.possible_ns
    assert sum(outage.certain_ns for outage in outages) <= 2 * S <= sum(outage.possible_ns for outage in outages)


def test_trap_04_three_flaps_are_one_window_with_three_numbers():
    """Three flaps of 0.3 s, 0.3 s apart, are one window: its span, its bad time, and the good samples within."""
    outages = derive(sampled(10, bad=[(2, 2.3), (2.6, 2.9), (3.2, 3.5)]), period_ns=PERIOD).outages
    (window,) = join(outages)
    assert len(window) == 3
    assert wrong_rules.span_s(outages) > 1.3
    assert sum(outage.certain_ns for outage in window) <= 0.9 * S <= sum(outage.possible_ns for outage in window)
    span = window[-1].first_good_ns - window[0].last_good_ns
    assert 1.5 * S <= span <= 1.5 * S + 2 * PERIOD + ANSWER
    assert sum(outage.good_before for outage in window[1:]) == 6


def test_trap_05_losses_are_located_and_not_only_counted():
    """Two lost packets 60 s apart are two blips, not one outage of 0.4 s."""
    samples = sampled(120, period=200 * MS, bad=[(30, 30.1), (90, 90.1)], cls=SampleClass.NO_REPLY, took=S)
    assert wrong_rules.losses_times_interval_s(samples, 0.2) == 0.4
    windows = join(derive(samples, period_ns=200 * MS).outages)
    assert [len(window) for window in windows] == [1, 1]
    assert [window[0].first_bad_ns for window in windows] == [30 * S, 90 * S]
    assert all(window[0].failed == 1 for window in windows)


def test_trap_06_counting_goes_on_after_a_long_loss():
    """14, 3 and 3 s of loss are three outages of 14, 3 and 3 s."""
    bad = [(10, 24), (30, 33), (40, 43)]
    samples = sampled(50, period=20 * MS, bad=bad, cls=SampleClass.NO_REPLY, took=S)
    assert wrong_rules.losses_until_the_counter_stops_s(samples, 0.02) == 12.6
    outages = derive(samples, period_ns=20 * MS).outages
    assert [round(seconds(outage.point_to_ns - outage.point_from_ns)) for outage in outages] == [14, 3, 3]


def test_trap_13_different_errors_are_one_outage():
    """Refused, reset and 503 in one run of failures are one outage that lists all three."""
    samples = sampled(5, bad=[(2, 2.3)])
    bad = np.flatnonzero(samples["sample_class"])
    samples["sample_class"][bad] = [SampleClass.REFUSED, SampleClass.RST_MIDSTREAM, SampleClass.HTTP_5XX_LB]
    assert wrong_rules.split_by_error(samples) == 3
    (outage,) = derive(samples, period_ns=PERIOD).outages
    assert dict(outage.classes) == {
        SampleClass.REFUSED: 1,
        SampleClass.RST_MIDSTREAM: 1,
        SampleClass.HTTP_5XX_LB: 1,
    }


def test_trap_14_a_run_that_starts_in_an_outage_is_censored():
    """Without a good sample before it, an outage has no onset and no upper bound."""
    samples = sampled(5, bad=[(0, 2)])
    assert wrong_rules.from_first_bad_to_first_good_s(samples) == 2
    (outage,) = derive(samples, period_ns=PERIOD).outages
    assert outage.last_good_ns is None
    assert outage.possible_ns is None
    assert outage.certain_ns >= 1.8 * S


def test_trap_15_a_run_that_ends_in_an_outage_is_censored_and_loses_nothing():
    """Without a good sample after it, an outage has no end; every sample of it counts."""
    samples = sampled(5, bad=[(3, 9)])
    assert wrong_rules.closed_outages(samples) == []
    trace = derive(samples, period_ns=PERIOD)
    (outage,) = trace.outages
    assert outage.first_good_ns is None
    assert outage.possible_ns is None
    assert outage.failed == 20
    assert trace.samples == len(samples)


def test_trap_16_a_cancelled_sample_proves_nothing():
    """A sample that the stop of the run cancelled neither ends an outage nor makes one."""
    samples = sampled(5, bad=[(3, 9)])
    samples["sample_class"][-1] = SampleClass.CANCELLED_BY_STOP
    assert not wrong_rules.cancelled_is_good(samples)[-1]
    trace = derive(samples, period_ns=PERIOD)
    assert trace.nothing == 1
    assert trace.outages[0].first_good_ns is None
    assert trace.outages[0].failed == 19
    healthy = sampled(5)
    healthy["sample_class"][-1] = SampleClass.CANCELLED_BY_STOP
    assert derive(healthy, period_ns=PERIOD).outages == ()


def test_trap_17_there_is_no_shortest_outage():
    """An outage of 0.3 s is reported as 0.3 s, not as 0, not as 1 s."""
    (outage,) = derive(sampled(5, bad=[(2.05, 2.35)]), period_ns=PERIOD).outages
    assert outage.certain_ns <= 300 * MS <= outage.possible_ns
    assert outage.point_to_ns - outage.point_from_ns == 300 * MS
    assert wrong_rules.at_least_a_second_s(0.3) == 1


def test_trap_25_a_gap_is_neither_up_nor_down():
    """3 s without a sample are no outage, but one of 3 s could have passed unseen."""
    samples = sampled(10, without=[(4, 7)])
    assert wrong_rules.share_good(samples) == 1
    trace = derive(
        samples,
        period_ns=PERIOD,
        begin_ns=0,
        end_ns=10 * S,
        stretches=[(0, 3 * S), (3 * S, 8 * S)],
    )
    assert trace.outages == ()
    assert trace.tallies[0].floor_ns == PERIOD + ANSWER
    assert trace.tallies[1].floor_ns == 3 * S + PERIOD + ANSWER
    assert measure(trace.blind) == 3 * S


def test_trap_26_a_stalled_prober_is_blind_and_sees_no_outage():
    """What a prober sends late after 2 s of SIGSTOP counts for blindness and floor, not as an outage."""
    samples = sampled(10)
    stalled = (samples["due"] >= 4 * S) & (samples["due"] < 6 * S)
    samples["sent"][stalled] = 6 * S
    samples["done"][stalled] = 6 * S + ANSWER
    samples["flags"][stalled] = BLIND
    samples["sample_class"][np.flatnonzero(stalled)[:3]] = SampleClass.TIMEOUT_TTFB
    assert len(wrong_rules.outages_of_two_and_more(samples)) == 1
    trace = derive(samples, period_ns=PERIOD, stretches=[(0, 10 * S)])
    assert trace.outages == ()
    assert trace.nothing == 3
    assert measure(trace.blind) >= 1.9 * S
    assert trace.tallies[0].floor_ns >= 2 * S


def test_a_blind_stretch_within_an_outage_cuts_what_is_certain():
    """What lies between failures before and after a blind stretch is possible, but not certain."""
    samples = sampled(10, bad=[(2, 6)])
    blind = (samples["sent"] >= 3 * S) & (samples["sent"] < 5 * S)
    samples["flags"][blind] = BLIND
    (outage,) = derive(samples, period_ns=PERIOD).outages
    assert len(outage.certain_parts) == 2
    assert outage.certain_ns == 2 * (900 * MS - ANSWER)
    assert outage.possible_ns == 4 * S + PERIOD + ANSWER


def test_an_outage_within_a_blind_stretch_is_unknown():
    """A control that failed makes failures meanwhile prove nothing."""
    samples = sampled(10, bad=[(4, 5)])
    trace = derive(samples, period_ns=PERIOD, blind=[(3 * S, 6 * S)])
    assert trace.outages == ()
    assert trace.nothing == 10


def test_what_was_not_known_when_the_probe_was_retired_proves_nothing():
    """A guest that is removed right after its probe was retired leaves no outage behind."""
    samples = sampled(5, bad=[(4.85, 9)], cls=SampleClass.NO_REPLY, took=S)
    (outage,) = derive(samples, period_ns=PERIOD).outages
    assert outage.is_censored
    fold = ProbeFold(begin_ns=0, periods=[(0, PERIOD)], retired_ns=5 * S)
    fold.add(samples)
    assert fold.finish(5 * S).outages == ()


def test_a_slow_answer_proves_that_the_service_was_up():
    """An answer after the soft deadline ends an outage, and is a degraded window of its own."""
    samples = sampled(10, bad=[(2, 3)])
    slow = (samples["sent"] >= 3 * S) & (samples["sent"] < 4 * S)
    samples["sample_class"][slow] = SampleClass.SLOW_OK
    samples["done"][slow] = samples["sent"][slow] + 3 * S
    trace = derive(samples, period_ns=PERIOD)
    (down,), (degraded,) = trace.outages, trace.degraded
    assert down.first_good_ns == 6 * S
    assert degraded.first_bad_ns == 3 * S
    assert degraded.last_bad_ns == 3.9 * S + 3 * S
    assert degraded.certain_ns == 3.9 * S
    assert degraded.last_good_ns == 2.9 * S  # a refusal is no slow answer


@pytest.mark.parametrize("kept", [1, 3, 8])
def test_what_was_answered_after_the_outage_is_not_the_last_good_sample_before_it(kept):
    """The last requests before the first failure waited, and were answered when it was over: it may have begun with them."""
    samples = sampled(20, bad=[(10, 12)])
    waiting = slice(100 - kept, 100)
    samples["done"][waiting] = 12 * S + 50 * MS
    trace = derive(samples, period_ns=PERIOD, stretches=[(0, 19 * S)])
    (outage,) = trace.outages
    assert outage.last_good_ns == 10 * S - (kept + 1) * PERIOD
    assert outage.possible_ns == 2 * S + (kept + 1) * PERIOD + ANSWER
    assert trace.tallies[0].floor_ns == PERIOD + ANSWER  # what may have begun so early is this outage


def test_a_slow_answer_ends_no_gap_before_it_is_there():
    """Between two prompt answers, one waited for 3 s: the service may have been down for as long, and was slow for it."""
    samples = sampled(10)
    samples["done"][50] += 3 * S
    samples["sample_class"][50] = SampleClass.SLOW_OK
    only_slow = samples[(samples["sent"] <= 5 * S) | (samples["sent"] > 7.9 * S)]
    (tally,) = derive(only_slow, period_ns=PERIOD, stretches=[(0, 9 * S)]).tallies
    assert tally.floor_ns == 8 * S + ANSWER - 4.9 * S
    samples["flags"][50] = BLIND  # it seems slow to a prober that stood still: a proof of life, and none of promptness
    blind = samples[(samples["sent"] <= 5 * S) | (samples["sent"] > 7.9 * S)]
    (tally,) = derive(blind, period_ns=PERIOD, stretches=[(0, 9 * S)]).tallies
    assert tally.floor_ns == 8 * S + ANSWER - 4.9 * S
    assert tally.slow_floor_ns == 8 * S + ANSWER - 4.9 * S


@pytest.mark.parametrize("seconds_ago", [0.2, 5, 55, 300])
def test_a_lost_packet_is_proved_by_the_largest_round_trip_of_the_last_minute(seconds_ago):
    """A path queues before it drops: the last round trip is short again, the one that a lost packet may take is not."""
    samples = sampled(620, bad=[(600, 602)], cls=SampleClass.NO_REPLY, took=10 * S)
    samples["done"][6000 - round(seconds_ago * 10)] += 140 * MS
    (outage,) = derive(samples, period_ns=PERIOD).outages
    round_trip = ANSWER + 140 * MS if seconds_ago < 60 else ANSWER
    assert outage.proof_ns == 600 * S + round_trip
    assert outage.certain_ns == 1.9 * S - round_trip
    assert outage.round_trip_ns == round_trip


def test_without_a_round_trip_of_the_last_minute_the_first_one_after_it_proves_else_the_deadline():
    """Nothing was answered before the first lost packet: what the path delays is known from the first answer, or not at all."""
    samples = sampled(10, bad=[(-1, 3)], cls=SampleClass.NO_REPLY, took=1 * S)
    samples["done"][30] += 70 * MS
    (outage,) = derive(samples, period_ns=PERIOD).outages
    assert outage.proof_ns == ANSWER + 70 * MS
    (outage,) = derive(samples[:30], period_ns=PERIOD).outages
    assert outage.proof_ns == 1 * S
    assert outage.round_trip_ns is None


def test_a_late_tick_does_not_make_an_answer_slow():
    """A seemingly slow answer to a stalled prober is a proof of life and nothing else."""
    samples = sampled(5)
    samples["sample_class"][20] = SampleClass.SLOW_OK
    samples["flags"][20] = BLIND
    samples["done"][20] += 2 * S
    trace = derive(samples, period_ns=PERIOD)
    assert trace.degraded == ()
    assert trace.outages == ()


def test_stalls_answered_slowly_do_not_count_twice():
    """Stretches that a recorded outage or slow spell explains are not in the floor."""
    samples = sampled(10, bad=[(2, 5)])
    trace = derive(samples, period_ns=PERIOD, stretches=[(0, 9 * S)])
    assert trace.tallies[0].floor_ns == PERIOD + ANSWER


def test_the_floor_of_a_broken_off_recording_is_open():
    """When probing broke off, anything can have happened after its last good sample."""
    samples = sampled(5)
    stretches = [(0, 4 * S), (4 * S, 10 * S)]
    trace = derive(samples, period_ns=PERIOD, stretches=stretches)
    assert [tally.floor_ns for tally in trace.tallies] == [PERIOD + ANSWER, OPEN_NS]
    ended = derive(samples, period_ns=PERIOD, end_ns=5 * S, stretches=stretches)
    assert ended.tallies[1].floor_ns == PERIOD + ANSWER


def test_nothing_recorded_is_nothing_known():
    """A trace of no samples has no outage, no latency, and an open floor."""
    trace = derive(np.zeros(0, SAMPLE), period_ns=PERIOD, stretches=[(0, S)])
    assert trace.samples == 0
    assert trace.outages == ()
    assert trace.first_sent_ns is None
    assert trace.latency == ()
    assert trace.tallies[0].floor_ns == OPEN_NS


def test_latency_is_told_per_minute():
    """Median and 99th percentile of good answers, minute by minute."""
    samples = sampled(120)
    samples["done"][5] += 500 * MS
    (first, median, p99), (second, *_) = derive(samples, period_ns=PERIOD, begin_ns=0).latency
    assert (first, second) == (0, 60 * S)
    assert median == ANSWER
    assert p99 == ANSWER


def test_spans_are_united():
    """Spans that touch or overlap become one."""
    assert merged([(5, 7), (1, 3), (3, 4), (6, 9), (2, 2)]) == [(1, 4), (5, 9)]
