"""What the plan says that a step does is expected in the recording; the same without the plan's word is not."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from rehearsal.figures.outcome import Outcome
from rehearsal.judging.judge import judge
from rehearsal.recording import events
from rehearsal.recording.history import load
from tests.made.synthetic import Scenario
from tests.made.synthetic import default_steps
from tests.made.synthetic import write_run

HOST = "compute-1"
AGENT = {"id": f"OVN Controller agent on {HOST}", "name": f"OVN Controller agent on {HOST}", "alive": True}
SERVER = {"id": "1", "name": "web", "status": "ACTIVE", "host": HOST}


@pytest.fixture
def judged(tmp_path):
    numbers = itertools.count()

    def run(more, **does):
        keystone, nova = default_steps()
        steps = keystone, dataclasses.replace(nova, does=does)
        name = f"run-{next(numbers)}"
        return judge(
            load(write_run(tmp_path / name, Scenario(http_hz=2, icmp_hz=10, tcp_hz=0, steps=steps, more=more)))
        )

    return run


def looks(before, after, **of_after):
    """Two looks at the host: containers by name, each with when it was started."""

    def rows(started):
        return [
            {"name": name, "image": "r/k:1", "image_id": "1", "started_at": at, "labels": {}}
            for name, at in started.items()
        ]

    return (
        (60.0, events.HostFacts("before", HOST, rows(before))),
        (164.0, dataclasses.replace(events.HostFacts("after", HOST, rows(after)), **of_after)),
    )


def cloud(before, after):
    return (60.0, events.CloudFacts("before", before)), (164.0, events.CloudFacts("after", after))


def told(results):
    return [(each.kind, each.change, each.expected) for each in results.differences]


def test_all_containers_of_a_host_that_reboots_start_anew(judged):
    again = looks(
        {"nova_libvirt": "monday", "ovn_controller": "monday"}, {"nova_libvirt": "tuesday", "ovn_controller": "tuesday"}
    )
    assert [] == told(judged(again, reboots=[HOST])) == told(judged(again, restarts=["nova_libvirt", "ovn_controller"]))
    assert 2 == len(told(judged(again)))
    assert 1 == len(told(judged(again, restarts=["nova_libvirt"])))


def test_what_a_host_that_is_out_no_longer_has_is_no_loss(judged):
    gone = looks({"nova_libvirt": "monday"}, {}) + cloud({"agents": [AGENT]}, {"agents": []})
    planned, lost = judged(gone, takes_out=[HOST]), judged(gone)
    assert [("agent", "lost", True), ("container", "lost", True)] == told(planned)
    assert Outcome.OK is planned.outcome
    assert [("agent", "lost", False), ("container", "lost", False)] == told(lost)
    assert Outcome.FAIL is lost.outcome


def test_a_host_that_comes_back_must_have_everything_again(judged):
    """Out in one step and in again in another: nothing that it had may be missing."""
    gone = looks({"nova_libvirt": "monday"}, {})
    assert Outcome.FAIL is judged(gone, takes_out=["compute-0"], brings_in=[HOST]).outcome


def test_a_host_that_is_out_need_not_answer(judged):
    silent = looks({"nova_libvirt": "monday"}, {}, error="no route to host")
    planned, unplanned = (
        [each for each in results.findings if each.subject == f"host:{HOST}"]
        for results in (judged(silent, takes_out=[HOST]), judged(silent))
    )
    assert [] == planned
    assert "was not observed after the last step" in unplanned[0].sentence


def test_agents_of_a_host_that_is_brought_in_are_expected(judged):
    new = cloud({"agents": []}, {"agents": [AGENT]})
    assert [("agent", "new", True)] == told(judged(new, brings_in=[HOST]))
    assert [("agent", "new", False)] == told(judged(new))


def test_servers_may_move_where_the_plan_says(judged):
    moved = cloud({"servers": [SERVER]}, {"servers": [SERVER | {"host": "compute-0"}]})
    assert [("server", "changed", True)] == told(judged(moved, moves_servers=[HOST]))
    assert [("server", "changed", False)] == told(judged(moved))
    ill = cloud({"servers": [SERVER]}, {"servers": [SERVER | {"host": "compute-0", "status": "ERROR"}]})
    assert [("server", "changed", False)] == told(judged(ill, moves_servers=[HOST]))


def test_that_a_host_is_silent_while_it_reboots_is_told_as_planned(judged):
    """Nothing is known of that time, but it is said why."""
    watched = [
        (0.2, events.WitnessBegan([HOST])),
        (0.5, events.WitnessSight(HOST, "host", "watching")),
        (115.0, events.WitnessSight(HOST, "host", "blind", "the connection broke off")),
        (130.0, events.WitnessSight(HOST, "host", "watching")),
        (176.0, events.WitnessEnded(HOST, "stop")),
    ]
    planned, unplanned = (
        next(gap.why for gap in results.unwatched if "broke off" in gap.why)
        for results in (judged(tuple(watched), reboots=[HOST]), judged(tuple(watched)))
    )
    assert f"{unplanned}; step nova makes the host silent, as planned" == planned
