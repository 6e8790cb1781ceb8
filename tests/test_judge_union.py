"""Several lanes, one outage: what is counted, and whose bounds hold."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.judging.union import Sighting
from rehearsal.judging.union import united
from rehearsal.outage import Outage
from rehearsal.outage import derive
from rehearsal.sampleclass import SampleClass
from rehearsal.samples import SAMPLE

MS = 1_000_000
S = 1000 * MS


def seen(period_ms, down, *, until_s=60, phase_ms=0, rtt_ms=5):
    """Sightings of one lane of a service that is down in the given spans (ns)."""
    sent = np.arange(phase_ms * MS, until_s * S, period_ms * MS)
    samples = np.zeros(len(sent), SAMPLE)
    samples["due"] = samples["sent"] = sent
    samples["done"] = sent + rtt_ms * MS
    moment = sent + rtt_ms * MS // 2
    for low, high in down:
        samples["sample_class"][(moment >= low) & (moment < high)] = SampleClass.HTTP_5XX_LB
    return [Sighting(outage, period_ms * MS) for outage in derive(samples, period_ns=period_ms * MS).outages]


def test_a_slow_lane_adds_nothing_to_what_a_fast_lane_saw():
    """An authenticated read once a second that fails within the window of a fast lane does not widen its bounds."""
    down = [(20_000 * MS, 21_300 * MS)]
    fast = seen(100, down)
    both = united([*fast, *seen(1000, down, phase_ms=400)])
    assert both.count == 1
    assert both.length.possible_ns == united(fast).length.possible_ns
    assert both.length.certain_ns >= united(fast).length.certain_ns


def test_what_only_a_slow_lane_saw_has_its_own_bounds():
    """Reads that fail while the root document is fine are an outage with the reads' own bounds."""
    alone = united(seen(1000, [(30 * S, 33_500 * MS)], phase_ms=400), budget_ns=20 * S, finest_ns=100 * MS)
    assert alone.count == 1
    assert alone.length.certain_ns <= 3.5 * S <= alone.length.possible_ns


def test_a_slow_lane_that_goes_on_failing_widens():
    """Reads that fail for longer than the fast lane count for as long as they did."""
    sightings = [*seen(100, [(20 * S, 21 * S)]), *seen(1000, [(20 * S, 26 * S)], phase_ms=400)]
    union = united(sightings)
    assert union.count == 1
    assert union.length.certain_ns <= 6 * S <= union.length.possible_ns
    assert union.length.certain_ns > 4.5 * S


def test_a_lane_too_rare_for_the_budget_bears_witness_only():
    """One failed token of one every 30 s counts, but its bounds of a minute do not decide about a budget of 30 s."""
    rare = seen(30_000, [(29 * S, 31 * S)], until_s=120)
    assert united(rare).length.possible_ns > 59 * S
    witness = united(rare, budget_ns=30 * S, finest_ns=100 * MS)
    assert witness.count == 1
    assert witness.length.possible_ns < 1 * S
    assert united(rare, budget_ns=30 * S, finest_ns=30 * S).length.possible_ns > 59 * S  # there is no faster lane
    long = seen(30_000, [(32 * S, 33 * S)], until_s=120, rtt_ms=5000)  # its answer took time: a minute is exceeded
    assert united(long, budget_ns=62 * S, finest_ns=100 * MS).length.possible_ns < 6 * S
    assert united(long, budget_ns=130 * S, finest_ns=100 * MS).length.possible_ns > 59 * S
    late = seen(1000, [(39 * S, 40 * S)], rtt_ms=19_000)  # here the answer itself is nearly all of the budget
    assert united(late, budget_ns=20 * S, finest_ns=100 * MS).length.possible_ns > 20 * S
    twice = united(seen(30_000, [(29 * S, 61 * S)], until_s=120), budget_ns=30 * S, finest_ns=100 * MS)
    assert twice.length.certain_ns > 29 * S
    assert twice.length.possible_ns > 60 * S


def test_a_rare_lane_is_a_witness_whatever_the_budget():
    """Failed writes count from the first to the last that failed; what lies around them, most of a minute, decides nothing."""

    def rare(down, until_s=120):
        return [Sighting(each.outage, each.period_ns, rare=True) for each in seen(20_000, down, until_s=until_s)]

    once = united(rare([(39 * S, 41 * S)]), budget_ns=45 * S, finest_ns=100 * MS)
    assert once.count == 1
    assert once.length.possible_ns < 1 * S
    twice = united(rare([(39 * S, 61 * S)]), budget_ns=45 * S, finest_ns=100 * MS)
    assert 19 * S < twice.length.certain_ns <= twice.length.possible_ns < 21 * S
    shown = united(rare([(39 * S, 61 * S)]))
    assert shown.length.possible_ns > 60 * S
    assert united(rare([(99 * S, 130 * S)]), budget_ns=45 * S, finest_ns=100 * MS).length.possible_ns is None


def test_outages_of_two_lanes_at_different_times_are_two():
    """What cannot have been at the same time is counted apart and summed."""
    union = united([*seen(100, [(10 * S, 11 * S)]), *seen(100, [(20 * S, 22 * S)], phase_ms=50)])
    assert union.count == 2
    assert union.length.certain_ns <= 3 * S <= union.length.possible_ns


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
    sightings = [
        sighting
        for period_ms, phase_ms, rtt_ms in lanes
        for sighting in seen(period_ms, down, until_s=until_s, phase_ms=phase_ms, rtt_ms=rtt_ms)
    ]
    union = united(sightings)
    noticed = [
        (low, high) for low, high in down if any(low < to_ns and from_ns < high for from_ns, to_ns in union.spans)
    ]
    truth = sum(high - low for low, high in noticed)
    assert union.length.certain_ns <= union.length.point_ns
    assert union.length.certain_ns <= truth
    assert union.length.possible_ns is None or truth <= union.length.possible_ns
    assert union.count <= len(noticed)


def test_an_outage_has_its_instants():
    """The union of nothing is nothing."""
    assert united([]).length.possible_ns == 0
    assert united([]).count == 0
    assert isinstance(seen(100, [(10 * S, 11 * S)])[0].outage, Outage)
