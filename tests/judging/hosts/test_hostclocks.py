"""Hosts' clocks: whatever they show and however slowly they answer, the error that is told contains the truth."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from rehearsal.judging.hosts.hostclocks import UNREAD_ERROR_NS
from rehearsal.judging.hosts.hostclocks import HostClocks
from rehearsal.recording import events

S = 1_000_000_000


def clocks_of(readings):
    told = [(answered, events.WitnessClock("one", asked, answered, wall)) for asked, answered, wall in readings]
    return HostClocks(SimpleNamespace(of=lambda _kind: told))


@given(
    offset=st.integers(-(10**18), 10**18),
    drift=st.floats(-90e-6, 90e-6),
    asks=st.lists(
        st.tuples(st.integers(0, 600 * S), st.integers(1, S // 2), st.integers(1, S // 2)), min_size=1, max_size=20
    ),
    happened=st.integers(0, 600 * S),
    delay=st.integers(0, S),
)
def test_the_error_contains_the_truth(offset, drift, asks, happened, delay):
    """For any offset, drift of real clocks and round trip, even a lopsided one."""

    def wall(at):
        return at + offset + round(at * drift)

    readings = [(at, at + there + back, wall(at + there)) for at, there, back in asks]
    moment = clocks_of(readings).moment("one", wall(happened), happened + delay)
    assert abs(moment.at_ns - happened) <= moment.error_ns + delay * 1e-4 + 2
    assert moment.at_ns <= happened + delay


@given(step=st.sampled_from([-3600, -2, 2, 3600]), happened=st.integers(1, 99))
def test_a_clock_that_was_set_is_noticed(step, happened):
    """After the step answers are slow for a while: the quick ones from before it must not be believed any more."""
    at = happened * S

    def wall(ns):
        return ns + 5 * S + (step * S if ns >= 50 * S else 0)

    took = {second: 400_000_000 if 50 <= second < 80 else 2_000_000 for second in range(100)}
    readings = [(ns * S, ns * S + long, wall(ns * S + long // 2)) for ns, long in took.items()]
    moment = clocks_of(readings).moment("one", wall(at), at + 10_000_000)
    assert abs(moment.at_ns - at) <= moment.error_ns + 2


def test_a_clock_that_was_never_read_is_as_late_as_its_word():
    """What a host tells is placed where it arrived, with a second's doubt."""
    moment = clocks_of([]).moment("one", 5, 100 * S)
    assert (moment.at_ns, moment.error_ns) == (100 * S, UNREAD_ERROR_NS)
