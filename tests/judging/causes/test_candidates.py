"""Causes: scripted runs in which it is known what happened on the hosts, and what of it can have been felt."""

from __future__ import annotations

import itertools

import pytest

from rehearsal.judging.judge import judge
from rehearsal.recording import events
from rehearsal.recording.history import load
from tests.made.synthetic import WALL_NS
from tests.made.synthetic import Scenario
from tests.made.synthetic import ScriptedMigration
from tests.made.synthetic import Trouble
from tests.made.synthetic import at_ns
from tests.made.synthetic import write_run

HOST = "control-0"
SKEW_NS = 7_000_000_000  # the host's clock is wrong by so much


@pytest.fixture
def judged(tmp_path):
    numbers = itertools.count()

    def write_and_judge(**script):
        return judge(load(write_run(tmp_path / f"run-{next(numbers)}", Scenario(**script))))

    return write_and_judge


def wall(at_s):
    """The host's wrong clock."""
    return WALL_NS + round(at_s * 1e9) + SKEW_NS


def clock(at_s, host=HOST, took_s=0.004):
    return at_s, events.WitnessClock(host, at_ns(at_s - took_s), at_ns(at_s), wall(at_s - took_s / 2))


def watched(*more, hosts=(HOST,), until_s=169.0):
    """What the witness of a run says that watched everything."""
    told = [(0.2, events.WitnessBegan(list(hosts)))]
    for host in hosts:
        told += [(0.5, events.WitnessSight(host, "host", "watching")), clock(0.6, host), clock(120, host)]
        told += [(0.7, events.WitnessSight(host, part, "watching")) for part in ("docker", "haproxy")]
        told += [(until_s, events.WitnessEnded(host))]
    return (*told, *more)


def container(at_s, name, action, host=HOST, arrives_s=0.02, **more):
    return at_s + arrives_s, events.ContainerChanged(host, name, action, wall(at_s), **more)


def replaced(name, from_s, to_s, host=HOST, **more):
    """As kolla does it: told to end, ends, another one starts."""
    return (
        container(from_s, name, "kill", host, signal="15"),
        container(from_s + 0.2, name, "die", host, exit_code=0),
        container(from_s + 0.2, name, "stop", host),
        container(to_s, name, "start", host, **more),
    )


def proxy(at_s, name, status, before, server=HOST):
    return at_s, events.ProxyChanged(HOST, name, server, status, before, wall(at_s - 1.0), wall(at_s), check="L4CON")


def windows(results, lane="vip-new", kind="down"):
    return [window for window in results.windows if (window.lane, window.kind) == (lane, kind)]


def test_a_restart_explains_the_outage_that_began_with_it(judged):
    """The host's clock is seven seconds wrong, and still it is known that the outage began with the container's end."""
    results = judged(troubles=(Trouble("nova", 120, 124),), more=watched(*replaced("nova_api", 119.98, 123.5)))
    (window,) = windows(results)
    assert window.explained == "explained"
    assert window.causes[0].startswith("nova_api on control-0 restarted 0.")
    assert window.causes[0].endswith("s before the first sign (exit code 0)")
    assert window.causes[1:] == ["step nova was running"]
    (happening,) = results.happenings
    assert (happening.kind, happening.what, happening.service) == ("container", "restarted", "nova")
    assert abs(happening.from_ns - at_ns(119.98)) <= happening.error_ns + 1_000
    assert abs(happening.to_ns - at_ns(123.5)) <= happening.error_ns + 1_000
    assert (
        2_000_000 <= happening.error_ns <= 3_000_000
    )  # half a round trip, and what a clock drifts until its next reading


def test_a_container_that_did_not_end_when_asked_is_told_as_such(judged):
    """Docker asks, waits for its time limit, and kills: the outage is that long because of the service, not of the new image."""
    more = watched(
        container(120, "nova_api", "kill", signal="15"),
        container(132, "nova_api", "kill", signal="9"),
        container(132.1, "nova_api", "die", exit_code=137),
        container(133, "nova_api", "start"),
    )
    results = judged(troubles=(Trouble("nova", 120.1, 134),), more=more)
    (window,) = windows(results)
    assert window.causes[0].startswith("nova_api on control-0 restarted")
    assert "(it did not stop when signalled and was killed 12.00 s later, exit code 137)" in window.causes[0]


def test_slow_answers_are_explained_too(judged):
    """A degraded window is as good as an outage, and may begin while an answer is waited for."""
    slow = Trouble("nova", 120, 124, kind="slow", answer_s=3.0)
    results = judged(troubles=(slow,), more=watched(*replaced("nova_api", 120.6, 123.5)))
    assert {window.explained for window in windows(results, kind="degraded")} == {"explained"}
    assert windows(results, kind="degraded")[0].causes[0].startswith("nova_api on control-0 restarted")


def test_what_happened_too_late_or_elsewhere_is_excluded_and_says_why(judged):
    """Near in time is not enough, nor is belonging to the service."""
    more = watched(
        *replaced("nova_api", 126, 128), *replaced("grafana", 120, 122), *replaced("nova_compute", 120.1, 122)
    )
    results = judged(troubles=(Trouble("nova", 120, 124),), more=more)
    (window,) = windows(results)
    assert (window.explained, window.causes) == ("step", ["step nova was running"])
    assert any("nova_api on control-0 restarted" in text and "too late" in text for text in window.excluded)
    assert any("grafana" in text and "it does not serve nova" in text for text in window.excluded)
    assert any("nova_compute" in text and "it does not answer for nova" in text for text in window.excluded)


def test_without_anything_that_fits_it_is_unattributed(judged):
    """Outside of steps, with every host watched: nobody knows why, and that is what is said."""
    results = judged(troubles=(Trouble("nova", 104.5, 106.5),), more=watched())
    (window,) = windows(results)
    assert (window.explained, window.causes, window.unseen) == ("unattributed", [], [])


def test_where_nobody_watched_nothing_is_excluded(judged):
    """The same outage while the containers were not watched: not unattributed, but not watched."""
    blind = (
        (100.0, events.WitnessSight(HOST, "docker", "blind", "Docker closed the stream of its events")),
        (108.0, events.WitnessSight(HOST, "docker", "watching")),
    )
    results = judged(troubles=(Trouble("nova", 104.5, 106.5),), more=watched(*blind))
    (window,) = windows(results)
    assert (window.explained, window.causes) == ("not watched", [])
    assert window.unseen == ["containers of control-0: Docker closed the stream of its events"]
    (gap,) = [gap for gap in results.unwatched if gap.part == "docker"]
    assert (gap.from_ns, gap.to_ns) == (at_ns(100), at_ns(108))
    assert any("What happened to containers on control-0" in gap.what for gap in results.not_proven)


def test_a_recording_without_a_witness_is_still_judged(judged):
    """Older runs: what two looks revealed is all there is, and it is said that nobody watched."""
    results = judged(troubles=(Trouble("nova", 104.5, 106.5),))
    assert {window.explained for window in results.windows} == {"not watched"}
    assert windows(results)[0].unseen == ["the hosts were not watched"]
    assert any("not watched" in gap.why for gap in results.not_proven)
    assert (results.happenings, results.unwatched) == ([], [])


def test_two_equally_specific_candidates_are_ambiguous(judged):
    """Two API servers were replaced at the same moment: which of them it was is not known."""
    both = (*replaced("nova_api", 119.99, 123), *replaced("nova_api", 119.95, 122, host="control-1"))
    results = judged(troubles=(Trouble("nova", 120, 124),), more=watched(*both, hosts=(HOST, "control-1")))
    (window,) = windows(results)
    assert window.explained == "ambiguous"
    assert [text.partition(" restarted")[0] for text in window.causes[:2]] == [
        "nova_api on control-0",
        "nova_api on control-1",
    ]


def test_the_more_specific_comes_first(judged):
    """The service's own container, then HAProxy's view of it, then what all services share."""
    more = watched(
        *replaced("mariadb", 119.9, 121),
        *replaced("nova_conductor", 119.95, 121),
        *replaced("nova_api", 119.9, 123),
        proxy(120.2, "nova_api_external_back", "DOWN", "UP", "BACKEND"),
        proxy(124.5, "nova_api_external_back", "UP", "DOWN", "BACKEND"),
    )
    results = judged(troubles=(Trouble("nova", 120, 124),), vips=("public",), more=more)
    (window,) = windows(results)
    assert [text.split()[0] for text in window.causes] == ["nova_api", "nova_conductor", "HAProxy", "mariadb", "step"]
    assert "nova_api_external_back has no server (L4CON)" in window.causes[2]


def test_a_backend_that_haproxy_takes_out_explains(judged):
    """HAProxy found the server dead before users felt it: nothing else happened."""
    more = watched(proxy(104.6, "nova_api_back", "DOWN", "UP"), proxy(109.6, "nova_api_back", "UP", "DOWN"))
    results = judged(troubles=(Trouble("nova", 104.5, 106.5),), more=more)
    (window,) = windows(results)
    assert window.explained == "explained"
    assert "nova_api_back: server control-0 is DOWN" in window.causes[0]
    assert [(each.kind, each.subject, each.what, each.service) for each in results.happenings] == [
        ("proxy", "nova_api_back/control-0", "DOWN", "nova")
    ]


def test_an_address_that_moves_explains_only_what_uses_it(judged):
    """The internal address moved: users of the internal VIP felt it, and HAProxy elsewhere is out of scope."""
    vip = "192.0.2.9"
    hosts = (HOST, "control-1")
    more = watched(
        (1.0, events.VipChanged(HOST, vip, held=True, wall_ns=wall(1), first=True)),
        (1.0, events.VipChanged("control-1", vip, held=False, wall_ns=wall(1), first=True)),
        (104.4, events.VipChanged(HOST, vip, held=False, wall_ns=wall(104.4))),
        (104.9, events.VipChanged("control-1", vip, held=True, wall_ns=wall(104.9))),
        hosts=hosts,
    )
    results = judged(troubles=(Trouble("nova", 104.5, 105.5),), more=more)
    (window,) = windows(results)
    assert window.causes == ["address 192.0.2.9 moved from control-0 to control-1, 0.13 s before the first sign"] or (
        window.causes[0].startswith("address 192.0.2.9 moved from control-0 to control-1")
    )


def test_a_container_that_has_just_started_explains_what_is_slow_then(judged):
    """Cold caches: the restart was over, its service was not healthy yet."""
    more = watched(
        *replaced("nova_api", 100, 102),
        container(112, "nova_api", "health_status", health="healthy"),
    )
    slow = Trouble("nova", 104.5, 108, kind="slow", answer_s=2.0)
    results = judged(troubles=(slow,), more=more)
    (window,) = windows(results, kind="degraded")
    assert window.causes[0].startswith("nova_api on control-0 was starting, since ")
    assert results.happenings[0].ready_ns is not None


def test_a_canary_is_explained_by_its_own_host(judged):
    """Open vSwitch on the host where it is, its port's binding in OVN; another guest's port is excluded."""
    hosts = ("compute-0", "compute-1")
    server = "server-canary-0"
    port = {"port": "port-0", "server_id": server, "wall_ns": wall(130)}
    more = watched(
        *replaced("openvswitch_vswitchd", 129.9, 131, host="compute-0"),
        *replaced("openvswitch_vswitchd", 129.7, 131, host="compute-1"),
        (3.0, events.PortMoved("control-0", before="", chassis="compute-0", up=True, first=True, **port)),
        (130.0, events.PortMoved("control-0", before="compute-0", chassis="compute-0", up=False, **port)),
        (130.1, events.PortMoved("control-1", before="compute-0", chassis="compute-0", up=False, **port)),
        clock(121, "control-0"),
        hosts=hosts,
    )
    results = judged(troubles=(Trouble("canary-0", 130, 131.5),), more=more)
    window = windows(results, "icmp")[0]
    assert window.causes[0].startswith("OVN: the port of canary-0 down on compute-0")
    assert window.causes[1].startswith("openvswitch_vswitchd on compute-0 restarted")
    assert window.causes[2].startswith("openvswitch_vswitchd on compute-1 restarted")
    assert len([each for each in results.happenings if each.kind == "port"]) == 1


def test_a_gateway_that_moves_explains_a_guest_that_is_lost(judged):
    """Wherever the guest is. What is told first is where it was: no move."""
    gateway = {"port": "cr-lrp-1"}
    more = watched(
        (3.0, events.GatewayMoved(HOST, before="", chassis="compute-7", first=True, wall_ns=wall(3), **gateway)),
        (129.9, events.GatewayMoved(HOST, before="compute-7", chassis="", wall_ns=wall(129.9), **gateway)),
        (130.4, events.GatewayMoved(HOST, before="", chassis="compute-8", wall_ns=wall(130.4), **gateway)),
        (150.0, events.GatewayMoved(HOST, before="compute-8", chassis="", wall_ns=wall(150), **gateway)),
        (151.0, events.GatewayMoved(HOST, before="", chassis="compute-8", wall_ns=wall(151), **gateway)),
        (170.0, events.GatewayMoved(HOST, before="compute-8", chassis="", wall_ns=wall(170), **gateway)),
    )
    results = judged(troubles=(Trouble("canary-0", 130, 131.5),), more=more)
    told = [(each.host, each.what) for each in results.happenings if each.kind == "gateway"]
    assert told == [("compute-8", "moved from compute-7"), ("compute-8", "left and came back"), ("compute-8", "left")]
    window = windows(results, "icmp")[0]
    assert window.explained == "explained"
    assert window.causes[0].startswith("OVN: the gateway of the canaries' router moved from compute-7 to compute-8")


def test_a_step_that_may_not_touch_the_service_explains_nothing(judged):
    """A step was running, but the plan does not let it touch what failed: that is no explanation."""
    results = judged(troubles=(Trouble("nova", 80, 82),), more=watched())
    (window,) = windows(results)
    assert (window.step, window.explained, window.causes) == ("keystone", "unattributed", [])
    assert window.excluded == ["step keystone was running; the plan does not let it touch nova"]


def test_a_ports_move_is_part_of_the_migration_that_moves_it(judged):
    """Both fit; the migration is the cause."""
    port = {"port": "port-0", "server_id": "server-canary-0", "wall_ns": wall(157)}
    more = watched(
        (3.0, events.PortMoved(HOST, before="", chassis="compute-0", up=True, first=True, **port)),
        (157.0, events.PortMoved(HOST, before="compute-0", chassis="compute-1", up=True, **port)),
    )
    results = judged(
        troubles=(Trouble("canary-0", 157, 158),),
        migrations=(ScriptedMigration("m1", "canary-0", 155, 160),),
        more=more,
    )
    window = windows(results, "icmp")[0]
    assert window.explained == "explained"
    assert window.causes[0] == "live migration m1 from compute-0"
    assert window.causes[1].startswith("OVN: the port of canary-0 moved from compute-0 to compute-1")


def test_a_host_cut_off_is_not_watched_from_when_it_was_last_heard(judged):
    """The runner was killed: no word of the end, and nothing is known after the last one."""
    told = [each for each in watched() if not isinstance(each[1], events.WitnessEnded)]
    results = judged(more=tuple(told))
    last = max(results.unwatched, key=lambda gap: gap.to_ns)
    assert (last.part, last.from_ns, last.to_ns) == ("host", at_ns(120), results.ended_ns)


def test_what_happened_in_a_gap_shows_in_when_it_started(judged):
    """Watching broke off for ten seconds; Docker itself still knows when the container ended and began."""

    def listed(at_s, started, finished):
        row = {
            "name": "nova_api",
            "id": "1",
            "status": "running",
            "started_at": started,
            "finished_at": finished,
            "health": "none",
        }
        return at_s, events.ContainersSeen(HOST, wall(at_s), [row])

    def stamp(at_s):
        import datetime as dt

        ns = wall(at_s)
        whole = dt.datetime.fromtimestamp(ns // 10**9, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{whole}.{ns % 10**9:09d}Z"

    more = watched(
        listed(0.8, "2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        (116, events.WitnessSight(HOST, "host", "blind", "the connection ended", heard_ns=at_ns(116))),
        (126, events.WitnessSight(HOST, "host", "watching")),
        listed(126.1, stamp(123), stamp(119.9)),
    )
    results = judged(troubles=(Trouble("nova", 120, 124),), more=more)
    (window,) = windows(results)
    assert window.causes[0].startswith("nova_api on control-0 restarted")
    assert window.unseen == ["everything of control-0: the connection ended"]


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ([("die", {"exit_code": 137})], ["stopped"]),
        ([("oom", {}), ("die", {"exit_code": 137}), ("start", {})], ["restarted"]),
        ([("kill", {"signal": "1"})], ["signalled"]),
        ([("pause", {}), ("unpause", {})], ["paused"]),
        ([("start", {}), ("die", {"exit_code": 0})], ["ran"]),
        ([("start", {})], ["started"]),
        ([("health_status", {"health": "unhealthy"}), ("health_status", {"health": "healthy"})], ["unhealthy"]),
        ([("start", {}), ("die", {"exit_code": 1}), ("start", {})], ["started", "restarted"]),
    ],
)
def test_dockers_words_become_happenings(judged, told, what):
    """Each sequence of Docker's events is one of a few things."""
    more = [container(100 + number, "nova_api", action, **facts) for number, (action, facts) in enumerate(told)]
    results = judged(more=watched(*more))
    assert what == [each.what for each in results.happenings]
