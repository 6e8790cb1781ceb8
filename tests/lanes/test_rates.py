"""How often lanes ask, and what all of them together cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.lanes.load import Load
from rehearsal.lanes.load import load_of
from rehearsal.lanes.rates import LEAST_HZ
from rehearsal.lanes.rates import MOST_HZ
from rehearsal.lanes.rates import OCCASIONS
from rehearsal.lanes.rates import USUAL
from rehearsal.lanes.rates import RateRefused
from rehearsal.lanes.rates import checked
from rehearsal.lanes.rates import from_word
from rehearsal.lanes.rates import period_ns
from rehearsal.lanes.rates import rates_of
from rehearsal.lanes.spec import check_period

some_rates = st.dictionaries(st.sampled_from(sorted(USUAL)), st.floats(LEAST_HZ, MOST_HZ), max_size=8)


@given(given=some_rates)
def test_every_lane_has_a_rate_that_the_prober_accepts(given):
    """What was said counts; an occasion is never sampled less than its lane usually is, unless that was said."""
    rates = rates_of(given)
    assert set(rates) == set(USUAL)
    for name, hz in rates.items():
        check_period(name, period_ns(hz))
        if name in given:
            assert hz == given[name]
        elif name in OCCASIONS:
            assert hz >= rates[OCCASIONS[name][0].name]
        else:
            assert hz == USUAL[name].hz


@pytest.mark.parametrize(
    ("word", "told", "remedy"),
    [
        ("icpm=20", "'icpm' is no lane", "icmp"),
        ("icmp", "names no rate", "LANE=HZ"),
        ("icmp=fast", "names no rate", "icmp=20"),
        ("icmp=0", "0.0 is no rate", "500"),
        ("icmp=501", "501.0 is no rate", "500"),
        ("icmp=inf", "inf is no rate", "500"),
        ("icmp=nan", "names no rate", "LANE=HZ"),
    ],
)
def test_a_rate_that_cannot_be_is_refused_with_a_remedy(word, told, remedy):
    """Unknown lanes, words that are no number, and rates that would harm or prove nothing."""
    with pytest.raises(RateRefused, match=told) as caught:
        from_word(word)
    assert remedy in caught.value.remedy


def test_a_rate_is_no_truth_value():
    """YAML's `yes` is not once a second."""
    with pytest.raises(RateRefused):
        checked("icmp", True)
    assert (checked("icmp", 20), from_word("deep=0.5")) == (20.0, ("deep", 0.5))


@given(text=st.text(max_size=30))
def test_any_word_is_a_rate_or_refused(text):
    """Whatever stands behind --rate: a rate of a known lane, or one sentence."""
    try:
        name, hz = from_word(text)
    except RateRefused as refusal:
        told = refusal
    else:
        assert name in USUAL
        assert 0 < hz <= MOST_HZ
        return
    assert str(told)
    assert told.remedy


def test_a_load_is_told_by_what_it_costs():
    """Requests, those over new connections among them, and packets; the prober's own control costs nobody."""
    load = load_of(
        [("vip-new", 10), ("vip-reused", 20), ("backend-reused", 1), ("deep", 0.5), ("icmp", 50), ("control", 9)]
    )
    assert load == Load(requests_per_s=31.5, connections_per_s=10.5, packets_per_s=50)
    assert str(load) == "31.5 requests/s (10.5 over new connections), 50 packets/s"
    assert load + load == Load(63, 21, 100)
    assert not load.excess()


def test_too_much_is_told():
    """Above a cap of the prober, in one sentence with both numbers."""
    assert Load(packets_per_s=3001).excess() == "3001 samples a second would exceed the cap of 3000."
    assert "500 new connections a second" in Load(requests_per_s=500, connections_per_s=500).excess()
