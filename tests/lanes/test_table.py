"""The table of lanes: whole, and the same wherever it is asked."""

from __future__ import annotations

import pytest

from rehearsal.lanes import declare
from rehearsal.lanes import table
from rehearsal.lanes.load import Load
from rehearsal.lanes.load import load_of
from rehearsal.lanes.rates import USUAL
from rehearsal.lanes.rates import rates_of
from rehearsal.lanes.spec import spec_from
from rehearsal.lanes.table import Asks
from rehearsal.lanes.table import Judge
from rehearsal.lanes.table import Lane
from rehearsal.lanes.table import Place
from rehearsal.lanes.table import Rate
from rehearsal.lanes.table import Transport


@pytest.mark.parametrize("lane", table.LANES, ids=lambda lane: lane.name)
def test_a_row_is_whole(lane):
    """Every lane says what it measures, when an answer is late and lost, and how often it asks whoever is not the prober."""
    assert lane.measures
    assert 0 <= lane.soft_s <= lane.hard_s <= 60
    assert bool(lane.rates) is (lane.place is not Place.PROBER)
    assert "" in {rate.of for rate in lane.rates} or not lane.rates
    assert lane.judge is not Judge.ASIDE or not lane.coarse
    assert table.of(lane.name) is lane


def test_no_two_rates_have_one_name():
    """What `--rate` says is said of one of them."""
    names = [rate.name for rate in table.RATES]
    assert sorted(set(names)) == sorted(names)
    assert {*names} < {*USUAL}


def test_what_users_have_and_what_explains():
    """Outages are those of requests to the VIP and of pings; the rest explains, or watches the prober."""
    by = {judge: [lane.name for lane in table.LANES if lane.judge is judge] for judge in Judge}
    assert by == {
        Judge.USERS: ["vip-new", "vip-reused", "deep", "icmp"],
        Judge.WITNESS: ["write"],
        Judge.ASIDE: ["backend-new", "backend-reused", "tcp", "udp"],
        Judge.NEVER: ["control"],
    }


def test_a_lane_of_another_release_judges_nothing():
    """It is shown and counted as a load, and nothing fails by it."""
    lane = table.of("quic-new")
    assert (lane.name, lane.is_of_users, lane.needs_token, lane.measures) == ("quic-new", False, False, "")
    assert load_of([("quic-new", 2.0)]) == Load(requests_per_s=2, connections_per_s=2)
    assert "quic-new" not in table.BY_NAME


def test_a_lane_kind_is_a_row(monkeypatch):
    """A row alone: its probes are declared, accepted, sampled at its rate, and counted as a load."""
    row = Lane(
        "vip-slow", Place.VIP, Transport.HTTP, Asks.ROOT, Judge.USERS, "slow", soft_s=1, hard_s=9,
        rates=(Rate("vip-slow", 3, "something new"),),
    )  # fmt: skip
    monkeypatch.setattr(table, "LANES", (*table.LANES, row))
    monkeypatch.setitem(table.BY_NAME, row.name, row)
    where = declare.Where("nova", "https://api.example:8774/", "192.0.2.1", "public")
    rates = {**rates_of({}), "vip-slow": 4.0}
    spec = declare.shallow_probes(where, rates)[-1]
    assert (spec.name, spec.rate, spec.period_ns) == ("nova public slow", "vip-slow", 250_000_000)
    assert (spec.soft_ns, spec.deadline_ns) == (1_000_000_000, 9_000_000_000)
    assert spec_from(spec.to_dict()) == spec
    assert load_of([("vip-slow", 4.0)]) == Load(requests_per_s=4, connections_per_s=4)
