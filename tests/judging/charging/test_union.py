"""Several lanes of one service: which of what they saw is one outage, whose bounds hold, and what lies on which side."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.judging.charging.union import ONE_LEAST
from rehearsal.judging.charging.union import Sighting
from rehearsal.judging.charging.union import Witness
from rehearsal.judging.charging.union import apart
from rehearsal.judging.charging.union import extent
from rehearsal.judging.charging.union import incidents
from rehearsal.judging.charging.union import split
from rehearsal.judging.charging.union import united
from rehearsal.outage import OPEN_NS
from rehearsal.outage import Trace
from rehearsal.outage import derive
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.samples import SAMPLE

MS = 1_000_000
S = 1000 * MS


@dataclass(frozen=True)
class Lane:
    """One lane, and what it saw of a service that is down in the given spans (ns); `seen` as the judge is given it."""

    period_ms: int
    trace: Trace
    seen: SimpleNamespace

    @property
    def sightings(self):
        return [Sighting(outage, self.period_ms * MS, self.seen) for outage in self.trace.outages]

    @property
    def outage(self):
        """The only outage that it saw."""
        (outage,) = self.trace.outages
        return outage


def lane(period_ms, down, *, until_s=60, phase_ms=0, rtt_ms=5, given_up_ms=0, held=(), vip="public", late_ns=1):
    """A lane that looks every so often; a request is decided half way, or given up so late.

    `late_ns`: by how much less than this its samples are sent late, each by another time.
    `held`: of the requests that would fail, those (by number) that wait instead, and are answered when it is over.
    """
    due = np.arange(phase_ms * MS, round(until_s * S), period_ms * MS)
    sent = due + np.arange(len(due)) * 104_729 % late_ns
    samples = np.zeros(len(sent), SAMPLE)
    samples["due"], samples["sent"] = due, sent
    samples["done"] = sent + rtt_ms * MS
    moment = sent + rtt_ms * MS // 2
    for low, high in down:
        fails = np.flatnonzero((moment >= low) & (moment < high))
        samples["sample_class"][fails] = SampleClass.TIMEOUT_TTFB if given_up_ms else SampleClass.HTTP_5XX_LB
        samples["done"][fails] += given_up_ms * MS
        waits = [each for number, each in enumerate(fails.tolist()) if number in held]
        samples["sample_class"][waits] = SampleClass.OK
        samples["done"][waits] = high + rtt_ms * MS // 2
    trace = derive(samples, period_ns=period_ms * MS)
    declared = SimpleNamespace(period_ns=period_ms * MS, vip=vip)
    return Lane(period_ms, trace, SimpleNamespace(trace=trace, probe=SimpleNamespace(declared=declared)))


def together(*lanes):
    """The outages of a service as all of its lanes saw them."""
    sightings = [sighting for each in lanes for sighting in each.sightings]
    return incidents(sightings, [Witness(each.seen) for each in lanes])


# --- whose bounds hold ---------------------------------------------------------------------------------------------


def test_the_bounds_hold_for_every_lane():
    """Reads once a second that failed with a fast lane may have failed for longer: nobody but they looked at that."""
    down = [(20_000 * MS, 21_300 * MS)]
    fast, slow = lane(100, down), lane(1000, down, phase_ms=400)
    (one,) = together(fast, slow)
    both, alone = united(one), united(fast.sightings)
    assert both.count == 1
    assert both.length.certain_ns == alone.length.certain_ns
    assert both.spans == (extent(slow.outage),) == ((19_400 * MS, 21_405 * MS),)
    assert both.length.possible_ns == slow.outage.possible_ns > alone.length.possible_ns
    assert both.length.point_ns == alone.length.point_ns  # the likeliest length is as the fastest has it


def test_what_only_a_slow_lane_saw_has_its_own_bounds():
    """Reads that fail while the root document is fine are an outage with the reads' own bounds.

    Four failures may have been four short outages of everything, as far as anybody was answered between them.
    """
    slow = lane(1000, [(30 * S, 33_500 * MS)], phase_ms=400)
    for other, certain_ns in ((lane(60_000, []), 2995 * MS), (lane(2001, []), 1995 * MS), (lane(100, []), 0)):
        (alone,) = together(other, slow)
        found = united(alone)
        assert found.count == 1
        assert found.length.certain_ns == certain_ns
        assert found.length.possible_ns == slow.outage.possible_ns == 5005 * MS


def test_a_longer_outage_of_a_slow_lane_does_not_hide_in_a_shorter_one():
    """Reads that fail for longer than the fast lane may have been out for as long as they were."""
    fast, slow = lane(100, [(20 * S, 21 * S)]), lane(1000, [(20 * S, 26 * S)], phase_ms=400)
    (one,) = together(fast, slow)
    union = united(one)
    assert union.count == 1
    assert union.length.certain_ns == fast.outage.certain_ns
    assert union.length.possible_ns == slow.outage.possible_ns > 6 * S


@pytest.mark.parametrize(("low", "high"), [(-1 * S, 30 * S), (30 * S, 99 * S), (-1 * S, 3 * S), (57 * S, 99 * S)])
def test_a_slow_lane_that_fails_at_an_end_of_the_recording_leaves_it_open(low, high):
    """That a fast lane met nothing of it, or only a part, does not give it a beginning or an end."""
    slow = lane(1000, [(low, high)], phase_ms=400)
    (alone,) = together(lane(100, []), slow)
    length = united(alone).length
    assert length.possible_ns is None
    assert (length.certain_ns > 20 * S) is (slow.trace.failed >= ONE_LEAST)
    in_part = together(lane(100, [(max(low, 1 * S), min(high, 58 * S))]), slow)
    lengths = [united(one).length for one in in_part]
    assert [length.possible_ns for length in lengths].count(None) == 1
    assert sum(length.certain_ns for length in lengths) > 0.5 * S


@pytest.mark.parametrize("fastest_ms", [100, 20_000])
def test_a_rare_lane_is_bounded_by_its_own_samples(fastest_ms):
    """One failed write of one every 20 s says nothing for certain and leaves nearly 40 s possible, whoever else looked."""

    def lengths(down, until_s=120):
        lanes = [lane(20_000, down, until_s=until_s)]
        lanes += [lane(fastest_ms, [], until_s=until_s)] if fastest_ms < 20_000 else []
        return [united(one).length for one in together(*lanes)]

    (once,) = lengths([(39 * S, 41 * S)])
    assert once.certain_ns == 0
    assert 39 * S < once.possible_ns < 41 * S
    (twice,) = lengths([(39 * S, 61 * S)])
    assert 59 * S < twice.possible_ns < 61 * S
    assert twice.certain_ns == (0 if fastest_ms == 100 else 20 * S - 5 * MS)
    (open_ended,) = lengths([(99 * S, 130 * S)])
    assert open_ended.possible_ns is None


def test_outages_of_two_lanes_at_different_times_are_two():
    """What cannot have been at the same time is counted apart and summed."""
    lanes = lane(100, [(10 * S, 11 * S)]), lane(100, [(20 * S, 22 * S)], phase_ms=50)
    union = united(sighting for each in lanes for sighting in each.sightings)
    assert union.count == len(together(*lanes)) == 2
    assert union.length.certain_ns <= 3 * S <= union.length.possible_ns


def test_the_union_of_nothing_is_nothing():
    assert united([]).length.possible_ns == 0
    assert united([]).count == 0
    assert incidents([]) == []


# --- which are one outage ------------------------------------------------------------------------------------------


def test_lanes_that_fail_one_after_the_other_without_a_good_answer_between_saw_one_outage():
    """The one lane's last failure and the other's first may lie side by side: nobody proves that it was well between."""
    (one,) = together(lane(1000, [(19_500 * MS, 20_200 * MS)]), lane(1000, [(20_200 * MS, 20_900 * MS)], phase_ms=500))
    assert len(one) == 2


def test_a_good_answer_of_any_lane_between_tells_two_outages_apart():
    """Shallow lanes a few failures apart: what another lane answered between them ended the first."""
    lanes = lane(100, [(20 * S, 21 * S), (21_300 * MS, 22 * S)]), lane(100, [(20 * S, 21 * S)], phase_ms=50)
    assert [len(one) for one in together(*lanes)] == [2, 1]


@given(
    st.integers(100, 4000),
    st.sampled_from([20, 50, 100]),
    st.lists(
        st.tuples(
            st.integers(0, 99),
            st.sampled_from([0, 2, 5, 20, 80]),
            st.builds(range, st.integers(0, 30), st.just(999), st.sampled_from([1, 3, 7, 20, 999])),
        ),
        min_size=2,
        max_size=4,
    ),
)
def test_one_outage_is_told_as_one_however_long_its_lanes_waited_for_answers(length_ms, period_ms, lanes):
    """A request that is still under way, or is held until the outage is over, was not answered between two failures."""
    down = [(10 * S, 10 * S + length_ms * MS)]
    found = together(
        *(
            lane(period_ms, down, until_s=20, phase_ms=phase_ms % period_ms, rtt_ms=rtt_ms, held=held)
            for phase_ms, rtt_ms, held in lanes
        )
    )
    assert len(found) <= 1
    for one in found:
        length = united(one).length
        assert length.certain_ns <= length_ms * MS <= length.possible_ns


def test_an_answer_that_was_still_under_way_tells_nothing_apart():
    """The last failure of one lane was sent while the first good answer of the other was on its way."""
    down = [(5050 * MS, 5602 * MS)]
    assert len(together(lane(20, down, rtt_ms=4), lane(20, down, phase_ms=1, rtt_ms=0))) == 1


@given(given_up_ms=st.integers(150, 2000), lasts_ms=st.integers(500, 4000), phase_ms=st.integers(1, 99))
def test_failures_that_overlap_make_nothing_uncertain(given_up_ms, lasts_ms, phase_ms):
    """Between requests that are given up later than the next one is sent there is no room for a good sample.

    While a step concerns their service lanes look more often than they were declared to.
    """
    down = [(5000 * MS, (5000 + lasts_ms) * MS)]
    lanes = [lane(100, down, given_up_ms=given_up_ms), lane(100, down, phase_ms=phase_ms, given_up_ms=given_up_ms)]
    for each in lanes:
        each.seen.probe.declared.period_ns = 500 * MS
    (one,) = together(*(replace(each, period_ms=500) for each in lanes))
    assert united(one).length.certain_ns >= lanes[0].trace.outages[0].certain_ns


@pytest.mark.parametrize("period_ms", [5000, 2500])
def test_failures_that_a_slow_lane_meets_by_chance_are_not_one_outage(period_ms):
    """Every look of a slow lane meets one of four short outages; the fast lanes were well between them."""
    down = [(at * S - 100 * MS, at * S + 300 * MS) for at in (20, 25, 30, 35)]
    slow = lane(period_ms, down)
    found = together(lane(200, down), lane(200, down, phase_ms=100), slow)
    assert len(found) == 4
    for one, (low, high) in zip(found, down, strict=True):
        length = united(one).length
        assert length.certain_ns <= high - low <= length.possible_ns
        assert united(one).spans[0][0] <= low
    if period_ms == 5000:
        assert slow.trace.outages[0].certain_ns > 14 * S  # what it would be if nobody else had looked


def test_two_long_outages_with_good_answers_between_stay_two():
    """Two outages of 6 s, 12 s apart: a lane that looks at just the wrong moments does not make them one of 24 s."""
    down = [(20 * S, 26 * S), (38 * S, 44 * S)]
    slow = lane(17_000, down, phase_ms=5500)
    assert len(slow.trace.outages) == 1
    first, second = together(lane(100, down), slow)
    for one in (first, second):
        length = united(one).length
        assert length.certain_ns <= 6 * S <= length.possible_ns


@pytest.mark.parametrize(("period_ms", "is_told"), [(500, False), (150, True)])
def test_reads_that_failed_all_the_time_while_everything_did_twice(period_ms, is_told):
    """Reads fail for 10 s, everything for the first and the last 3 s of it. The others met two outages: so they are counted.

    That reads were down between as well is certain only of as many failures as no short outages explain.
    """
    fast = lane(100, [(20 * S, 23 * S), (27 * S, 30 * S)])
    reads = lane(period_ms, [(20 * S, 30 * S)])
    found = together(fast, reads)
    assert len(found) == 2
    certain_ns = united(sighting for one in found for sighting in one).length.certain_ns
    assert certain_ns <= 10 * S
    assert (certain_ns > 9 * S) is is_told
    assert (certain_ns < 7 * S) is not is_told
    (alone,) = together(reads)
    assert united(alone).length.certain_ns > 9 * S


@pytest.mark.parametrize(("failures", "is_told"), [(ONE_LEAST - 1, False), (ONE_LEAST, True)])
def test_many_failures_in_a_row_are_one_outage_of_what_only_that_lane_sees(failures, is_told):
    """A few failures of reads alone may be as many short outages that nobody else met; twenty in a row are not."""
    slow = lane(1000, [(10 * S - 1, 10 * S + failures * S - 1)])
    (part,) = apart(slow.sightings[0], [Witness(lane(100, []).seen)])
    assert part.outage.failed == failures
    assert (part.outage.certain_ns > 0) is is_told
    assert part.outage.possible_ns == slow.trace.outages[0].possible_ns


@pytest.mark.parametrize("met", [(10, 12), (48, 50), (30, 31)])
def test_that_everything_failed_for_a_while_makes_no_long_outage_of_reads_shorter(met):
    """Reads fail for 40 s, and with them everything for a second or two: no less is certain than if everything else was well."""
    slow = lane(1000, [(10 * S, 50 * S)], phase_ms=400)
    more = [lane(100, [(met[0] * S, met[1] * S)]), slow]
    certain = [united(sighting for one in together(*more) for sighting in one).length.certain_ns]
    certain += [united(one).length.certain_ns for one in together(lane(100, []), slow)]
    assert 35 * S < min(certain) <= max(certain) <= 40 * S


def test_a_lane_is_no_witness_against_itself_nor_is_one_that_looks_too_rarely():
    down = [(10 * S, 15 * S)]
    (sighting,) = (one := lane(100, down)).sightings
    for witness in (one, lane(210, []), lane(100, [], until_s=9)):
        assert apart(sighting, [Witness(witness.seen)]) == [sighting]


def test_another_address_is_no_witness_of_what_it_never_met():
    """The internal VIP alone is down: that the public one answers is no doubt. What both met, both are witnesses of."""
    down = [(10 * S, 12 * S)]
    (sighting,) = lane(200, down, vip="internal").sightings
    assert apart(sighting, [Witness(lane(200, [], phase_ms=90, vip="public").seen)]) == [sighting]
    (doubted,) = apart(sighting, [Witness(lane(200, [], phase_ms=90, vip="internal").seen)])
    assert doubted.outage.certain_ns == 0
    met_in_part = lane(100, [(10 * S, 11 * S)], vip="public")
    (doubted,) = apart(sighting, [Witness(met_in_part.seen)])
    assert 0.7 * S < doubted.outage.certain_ns < 1.2 * S


def test_what_another_lane_met_all_the_time_is_not_cut():
    down = [(10 * S, 15 * S)]
    (sighting,) = lane(1000, down).sightings
    (part,) = apart(sighting, [Witness(lane(100, down).seen), Witness(lane(500, down, phase_ms=77).seen)])
    assert part.outage.certain_parts == sighting.outage.certain_parts


@given(
    st.lists(st.tuples(st.integers(600, 9000), st.integers(150, 6000)), max_size=5),
    st.lists(st.tuples(st.integers(150, 7000), st.integers(0, 6999), st.integers(0, 40)), max_size=4),
    st.integers(0, 20),
)
def test_each_outage_is_told_with_bounds_that_hold_however_slow_lanes_meet_it(pauses, slow_lanes, rtt_ms):
    """A fast lane meets every outage and is well between them; slower ones of any period meet them as it happens."""
    down, moment = [], 0
    for pause, length in pauses:
        down.append(((moment + pause) * MS, (moment + pause + length) * MS))
        moment += pause + length
    until_s = moment / 1000 + 15
    lanes = [lane(100, down, until_s=until_s, rtt_ms=rtt_ms)]
    lanes += [
        lane(period_ms, down, until_s=until_s, phase_ms=phase_ms % period_ms, rtt_ms=slow_ms)
        for period_ms, phase_ms, slow_ms in slow_lanes
    ]
    found = together(*lanes)
    assert len(found) == len(down)
    for one, (low, high) in zip(found, down, strict=True):
        union = united(one)
        assert union.length.certain_ns <= min(high - low, union.length.point_ns)
        is_open = any(sighting.outage.is_censored for sighting in one)
        assert (union.length.possible_ns is None) is is_open
        assert is_open or high - low <= union.length.possible_ns
        assert min(begin for begin, _ in union.spans) <= low
        assert max(end for _, end in union.spans) >= high


@given(
    st.lists(st.tuples(st.integers(2500, 9000), st.integers(50, 6000)), max_size=4),
    st.lists(
        st.tuples(st.sampled_from([20, 50, 100, 250, 500, 1000]), st.integers(0, 900), st.integers(0, 20)),
        min_size=1,
        max_size=4,
    ),
)
def test_the_union_of_lanes_contains_the_truth(pauses, lanes):
    """Lanes of any periods and phases that look at the same service: certain <= truth <= possible, if all was seen."""
    down, moment = [], 0
    for pause, length in pauses:
        down.append(((moment + pause) * MS, (moment + pause + length) * MS))
        moment += pause + length
    until_s = moment / 1000 + 5
    looked = [
        lane(period_ms, down, until_s=until_s, phase_ms=phase_ms, rtt_ms=rtt_ms)
        for period_ms, phase_ms, rtt_ms in lanes
    ]
    union = united(sighting for each in looked for sighting in each.sightings)
    noticed = [
        (low, high) for low, high in down if any(low < to_ns and from_ns < high for from_ns, to_ns in union.spans)
    ]
    truth = sum(high - low for low, high in noticed)
    assert union.length.certain_ns <= union.length.point_ns
    assert union.length.certain_ns <= truth
    assert union.length.possible_ns is None or truth <= union.length.possible_ns
    assert union.count <= len(noticed)
    assert len(together(*looked)) == len(noticed)


# --- what lies on two sides of a border ----------------------------------------------------------------------------


@given(st.integers(5000, 9000), st.integers(20, 6000), st.sampled_from([50, 100, 700]), st.integers(1, 99))
def test_what_is_split_is_neither_lost_nor_doubled(begin_ms, length_ms, period_ms, share):
    """Failures, what is certain and what is possible are those of both halves together, wherever the border lies."""
    for outage in lane(period_ms, [(begin_ms * MS, (begin_ms + length_ms) * MS)]).trace.outages:
        low, high = extent(outage)
        border = low + (high - low) * share // 100
        before, after = split(outage, border)
        assert extent(before) == (low, border)
        assert extent(after) == (border, high)
        assert before.possible_ns + after.possible_ns == outage.possible_ns
        assert before.certain_ns + after.certain_ns == outage.certain_ns
        assert before.failed + after.failed == outage.failed
        assert np.array_equal(np.concatenate([before.failures, after.failures], axis=1), outage.failures)
        assert (before.failures[0] < border).all()
        assert (after.failures[0] >= border).all()
        assert all(to_ns <= border for _, to_ns in before.certain_parts)
        assert all(from_ns >= border for from_ns, _ in after.certain_parts)
        for half in (before, after):
            assert half.certain_ns <= half.possible_ns
            assert sum(count for _, count in half.classes) == half.failed


def test_what_is_split_stays_open_where_it_was_open():
    """Each half is open on the side of which nobody knows, and closed at the border."""
    before, after = split(lane(100, [(50 * S, 99 * S)]).outage, 55 * S)
    assert before.possible_ns is not None
    assert extent(after) == (55 * S, OPEN_NS)
    assert after.is_censored
    at_the_beginning = lane(100, [(-1 * S, 9 * S)]).outage
    before, after = split(at_the_beginning, 5 * S)
    assert before.is_censored
    assert after.possible_ns == extent(at_the_beginning)[1] - 5 * S


@given(
    period_ms=st.sampled_from([50, 100, 200, 500]),
    times=st.integers(1, 6),
    share=st.floats(0.2, 0.8),
    flaps=st.integers(2, ONE_LEAST - 1),
    rtt_ms=st.integers(0, 3),
)
def test_a_service_that_flaps_in_step_with_one_lane_is_not_down_throughout(period_ms, times, share, flaps, rtt_ms):
    """Periods that are alike, or multiples: what another lane was answered between two refused samples is known."""
    every_ms = period_ms * times
    down = [((number * every_ms - 5) * MS, (number * every_ms + 5) * MS) for number in range(10, 10 + flaps)]
    meets = lane(every_ms, down, rtt_ms=0, late_ns=200_000)
    misses = lane(period_ms, down, rtt_ms=rtt_ms, phase_ms=round(share * period_ms))
    assert not misses.sightings
    assert flaps == meets.outage.failed
    for outage in together(meets, misses):
        assert united(outage).length.certain_ns <= 10 * MS


@given(share=st.floats(0.2, 0.8), flaps=st.integers(3, ONE_LEAST - 1), every=st.sampled_from([3, 5, 10]))
def test_what_a_rare_lane_was_answered_between_is_known_too(share, flaps, every):
    """A lane that looks a few times less often proves only the moments at which it looked, but those it does."""
    down = [((number * 200 - 5) * MS, (number * 200 + 5) * MS) for number in range(50, 50 + flaps)]
    meets = lane(200, down, rtt_ms=0, late_ns=200_000)
    misses = lane(200 * every, down, rtt_ms=1, phase_ms=round(200 * share))
    first, last = meets.outage.first_bad_ns, meets.outage.last_bad_ns
    looks = [due for due in range(round(200 * share) * MS, 60 * S, 200 * every * MS) if first < due < last]
    certain_ns = sum(united(each).length.certain_ns for each in together(meets, misses))
    assert certain_ns <= (flaps - 1 - len(looks)) * 200 * MS + 1 * MS


@given(share=st.floats(0.2, 0.8), fails_s=st.integers(8, 40), every=st.sampled_from([1, 3, 5]))
def test_a_long_outage_of_one_lane_alone_stays_one(share, fails_s, every):
    """New connections fail for long, kept ones only at first: what is certain is not cut where the others were answered."""
    begins, ends = 10 * S, (10 + fails_s) * S
    alone = lane(200, [(begins, ends)], rtt_ms=0)
    other = lane(200 * every, [(begins, begins + 200 * every * MS)], rtt_ms=1, phase_ms=round(200 * share))
    found = [united(each).length.certain_ns for each in together(alone, other)]
    assert sum(found) >= alone.outage.certain_ns - 2 * 200 * every * MS - 400 * MS
