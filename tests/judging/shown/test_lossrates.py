"""Loss rates of canaries: on which way, of how many packets, for how long, and with which doubt."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rehearsal.judging.judge import judge
from rehearsal.judging.shown import lossrates
from rehearsal.recording import events
from rehearsal.recording.history import load
from rehearsal.recording.stretch import migration
from rehearsal.report.page import render
from rehearsal.report.resultsjson import to_json
from tests.made import results as made
from tests.made.synthetic import START_NS
from tests.made.synthetic import Scenario
from tests.made.synthetic import ScriptedMigration
from tests.made.synthetic import Trouble
from tests.made.synthetic import write_run

S = 1_000_000_000
MOVE = ScriptedMigration("m1", "canary-0", 155, 160)


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """Judge a run whose canary counts what reaches it: the script's lane over TCP stands for datagrams."""
    monkeypatch.setitem(lossrates._WAYS, "tcp", ("there", "back"))

    def made_of(*lost, **script):
        told = [
            (to_s, events.DatagramsLost(number, START_NS + round(from_s * S), START_NS + round(to_s * S), there + back, there, back))
            for from_s, to_s, there, back, number in lost
        ]  # fmt: skip
        usual = {
            "services": ("nova",), "http_hz": 1.0, "deep_hz": 0, "icmp_hz": 10.0, "tcp_hz": 10.0,
            "canaries": ("canary-0",), "migrations": (MOVE,),
        }  # fmt: skip
        history = load(write_run(tmp_path / "run", Scenario(**{**usual, "more": tuple(told), **script})))
        return judge(history)

    return made_of


def number_of(lane):
    """Probes are numbered as the script declares them: one over a new and one over a kept connection, then the canary's."""
    return {"icmp": 3, "tcp": 4}[lane]


def rates_of(results):
    return {(rate.way, rate.stretch): rate for rate in results.of("loss_rates")}


def test_nothing_lost_is_a_rate_of_zero_of_what_was_sent(judged):
    """One row a way, of the whole run; a step or a migration in which nothing was lost has none."""
    found = rates_of(judged())
    assert {("round trip", None), ("there", None), ("back", None)} == {*found}
    for rate in found.values():
        assert (0, 0, 0.0, 0.0) == (rate.lost, rate.unknown, rate.certain, rate.possible)
        assert rate.sent >= 9 * rate.watched_ns / S
        assert 100 * S < rate.watched_ns


def test_what_was_lost_is_told_by_its_way_and_by_its_place(judged):
    """20 of 21 were lost in the migration: 14 never reached the guest, 6 answers never came back from it."""
    results = judged((156.9, 159.1, 14, 6, number_of("tcp")), troubles=(Trouble("canary-0", 157, 159),))
    found = rates_of(results)
    there, back = found["there", migration("m1")], found["back", migration("m1")]
    assert (14, 6) == (there.lost, back.lost)
    assert there.sent - 14 == back.sent
    assert there.certain == 14 / there.sent
    assert {None, migration("m1")} == {place for _, place in found}
    assert (14, 6) == (found["there", None].lost, found["back", None].lost)
    trips = found["round trip", migration("m1")]
    assert trips.certain == trips.possible == trips.lost / trips.sent > 0.3


def test_what_nobody_counted_widens_both_ways(judged):
    """Without the guest's count either way may have lost all of them, or none."""
    found = rates_of(judged(troubles=(Trouble("canary-0", 157, 159),)))
    there, back = found["there", migration("m1")], found["back", migration("m1")]
    assert 0 == there.lost == back.lost
    assert 15 < there.unknown == back.unknown
    assert 0.0 == there.certain < there.possible == there.unknown / there.sent


def test_rates_stand_in_results_json_and_on_the_page(judged, tmp_path):
    """The page says them in per cent, with how long was watched; results.json holds every figure of them."""
    results = judged((156.9, 159.1, 14, 6, number_of("tcp")), troubles=(Trouble("canary-0", 157, 159),))
    written = json.loads(to_json(results))["loss_rates"]
    assert len(results.of("loss_rates")) == len(written)
    assert {"kind": "migration", "name": "m1"} in [each["stretch"] for each in written]
    page = render(results, tmp_path).replace("\u00a0", " ")
    section = page[page.index('<section id="loss-rates">') :].partition("</section>")[0]
    assert section.count("<tr") == 2 + len(written)
    assert "during m1" in section
    assert " %" in section
    without = render(replace(made.empty(), shown={}), tmp_path)
    assert "No packet was sent to a canary in this run" in without
