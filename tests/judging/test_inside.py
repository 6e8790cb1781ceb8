"""What guests noticed from inside, and what each lane to them saw."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from rehearsal.figures.length import Length
from rehearsal.figures.outcome import Outcome
from rehearsal.judging import inside
from rehearsal.judging.judge import judge
from rehearsal.judging.shown import flows
from rehearsal.plan.allowances import GuestSpec
from rehearsal.recording import events
from rehearsal.recording.history import load
from tests.made.synthetic import START_NS
from tests.made.synthetic import Scenario
from tests.made.synthetic import ScriptedMigration
from tests.made.synthetic import Trouble
from tests.made.synthetic import write_run

S = 1_000_000_000
MOVE = ScriptedMigration("m1", "canary-0", 155, 160)


def report(at_s, *, boot="b", up_s=None, **facts):
    """A report of canary-0, as it is recorded at this second of the run."""
    whole = {
        "beacon": 1, "uptime_s": at_s + 100 if up_s is None else up_s, "asked_ns": START_NS + round(at_s * S),
        "told_ns": START_NS + round((at_s + 0.01) * S), "file_sha256": "s", "file_sha256_made": "s", "pauses": 0,
        "stalls": 0, "writes": round(10 * at_s), "write_errors": 0, "direct": True, **facts,
    }  # fmt: skip
    return at_s, events.BeaconHeard("canary-0", boot, whole)


@pytest.fixture
def run(tmp_path):
    """Record a short run without probes of APIs, with these reports, and return its history."""
    numbers = itertools.count()

    def record(*more, **script):
        usual = {
            "services": ("nova",),
            "http_hz": 1.0,
            "deep_hz": 0,
            "icmp_hz": 5.0,
            "tcp_hz": 0,
            "canaries": ("canary-0",),
        }
        scenario = Scenario(**{**usual, "migrations": (MOVE,), "more": tuple(more), **script})
        return load(write_run(tmp_path / f"run-{next(numbers)}", scenario))

    return record


def figures(history):
    """Return the figures of canary-0 by name, of the reports alone that the test made."""
    return {row.figure: row for row in inside.guests(history)}


def test_a_guest_that_noticed_nothing_is_ok(run):
    """The same boot, the same checksum, writes that went well; and what was not asked is unknown."""
    found = figures(run(report(50), report(100), report(154), report(159)))
    assert {name for name, row in found.items() if row.outcome is Outcome.OK} == {
        "boot", "file", "pause", "clock", "stall", "writes",
    }  # fmt: skip
    assert found["metadata"].outcome is found["dns"].outcome is Outcome.UNKNOWN
    assert found["pause"].budget_ns == 5 * S


def test_another_boot_fails_between_the_two_reports_that_show_it(run):
    """A guest that was booted again is named with the reports between which that was."""
    row = figures(run(report(50), report(100, boot="c"), report(140, boot="c")))["boot"]
    assert row.outcome is Outcome.FAIL
    assert row.from_ns == START_NS + 50 * S
    assert row.to_ns == START_NS + round(100.01 * S)


def test_another_server_of_the_same_name_has_another_boot_and_that_is_no_restart(run):
    """A canary that was made anew starts its own life."""
    anew = events.CanaryUp("canary-0", "another", "compute-0", "192.0.2.10", "10.0.0.1", "n", "c", 7)
    found = figures(run(report(50), report(70), (90, anew), report(100, boot="c"), report(140, boot="c")))
    assert found["boot"].outcome is Outcome.OK


@pytest.mark.parametrize(
    ("facts", "outcome", "why"),
    [
        ({"file_sha256": "t"}, Outcome.FAIL, "not what it was"),
        (
            {"file_sha256": "", "message": "Input/output error"},
            Outcome.FAIL,
            "cannot be read any more: Input/output error",
        ),
        ({"file_sha256": "", "message": ""}, Outcome.UNKNOWN, "no two reports"),
    ],
)
def test_the_file_must_survive(run, facts, outcome, why):
    """Another checksum, or none any more, fails; a checksum that was not told proves nothing."""
    row = figures(run(report(100), report(140, **facts)))["file"]
    assert row.outcome is outcome
    assert why in row.reason


def test_a_failed_write_fails_wherever_it_was(run):
    """The disk refused a write: there is no budget for that."""
    row = figures(run(report(50), report(100), report(140, write_errors=2)))["writes"]
    assert row.outcome is Outcome.FAIL
    assert "2 writes to its disk failed" in row.reason
    assert row.during == "nova"


@pytest.mark.parametrize("figure", ["pause", "stall"])
def test_pauses_and_stalls_are_judged_in_a_migration_and_shown_elsewhere(run, figure):
    """6 s are too much while the guest moves; outside of migrations they are shown; 4 s are within the budget."""

    def late(length_ms, at_s):
        return {f"{figure}s": 1, f"{figure}_list": [[at_s + 100, length_ms]], f"{figure}_longest_ms": length_ms}

    found = figures(run(report(100), report(154), report(159, **late(6000, 156))))[figure]
    assert found.outcome is Outcome.FAIL
    assert (found.during, found.length) == ("m1", Length(6 * S, 6 * S, 6 * S))
    assert "the budget is 5 s" in found.reason
    found = figures(
        run(report(100), report(140, **late(6000, 120)), report(154, **late(6000, 120)), report(159, **late(6000, 120)))
    )
    assert found[figure].outcome is Outcome.OK
    assert found[figure].during == "nova"
    assert found[figure].length.possible_ns == 6 * S
    assert figures(run(report(154), report(159, **late(4000, 156))))[figure].outcome is Outcome.OK


def test_a_pause_whose_length_nobody_knows_is_judged_by_the_longest_ever(run):
    """The shell's beacon keeps no list: what was not longer than the longest before lies somewhere below it."""
    longer = {"pauses": 1, "pause_longest_ms": 7000, "pause_list": []}
    row = figures(run(report(100, **longer), report(154, **longer), report(159, **{**longer, "pauses": 2})))["pause"]
    assert row.outcome is Outcome.UNKNOWN
    assert row.length == Length(0, 7 * S, 7 * S)


def test_a_clock_that_stood_still_is_seen_against_ours(run):
    """The hypervisor stops the clock with the guest: 6 s are missing from it across the migration."""
    row = figures(run(report(100), report(154), report(159, up_s=253)))["clock"]
    assert row.outcome is Outcome.FAIL
    assert row.length.certain_ns < 6 * S < row.length.possible_ns
    assert figures(run(report(100), report(140)))["clock"].outcome is Outcome.UNKNOWN


def test_a_migration_lies_between_the_reports_around_it_and_no_others(run):
    """The report that ends a migration is recorded before its end: what comes after it is not in the migration."""
    late = {"pauses": 1, "pause_list": [[262, 6000]], "pause_longest_ms": 6000}
    found = figures(run(report(154), report(159), report(165, up_s=259, **late)))
    assert (found["clock"].count, found["clock"].outcome) == (1, Outcome.OK)
    assert (found["pause"].during, found["pause"].outcome) == ("", Outcome.OK)


def asks(ok, failed, windows=(), **more):
    """What a beacon tells about its questions."""
    return {
        "asks": {
            "metadata": {"asked": ok + failed, "ok": ok, "what": "it", "windows": list(windows), "open": [], **more}
        }
    }


def planned(history, allowed):
    """The same run by a plan that says what guests may notice."""

    def replanned(event):
        is_it = isinstance(event, events.RunBegan)
        return dataclasses.replace(event, plan={**event.plan, "guests": allowed}) if is_it else event

    records = tuple(dataclasses.replace(record, event=replanned(record.event)) for record in history.records)
    return dataclasses.replace(history, records=records)


def test_metadata_is_shown_with_bounds_and_judged_only_by_a_budget_of_the_plan(run):
    """Three questions in a row failed: at most 20 s; without a budget that is shown."""
    window = [220.0, 225.0, 235.0, 240.0, 3]
    history = run(report(110, **asks(20, 0)), report(145, **asks(24, 3, [window])))
    row = figures(history)["metadata"]
    assert row.outcome is Outcome.OK
    assert row.length == Length(5 * S, 12_500_000_000, 20 * S)
    assert "3 of 7 questions failed (it)" in row.reason
    assert row.budget_ns is None
    assert figures(planned(history, {"metadata_s": 4.0}))["metadata"].outcome is Outcome.FAIL
    assert figures(planned(history, {"metadata_s": 10.0}))["metadata"].outcome is Outcome.UNKNOWN


def test_what_never_answered_is_unknown(run):
    """A cloud without metadata service lost nothing."""
    row = figures(run(report(110, **asks(0, 10)), report(145, **asks(0, 17))))["metadata"]
    assert row.outcome is Outcome.UNKNOWN
    assert "never gave it a good answer" in row.reason


def test_peers_are_rows_with_the_way_of_what_was_lost(run):
    """Gaps between guests, also one that has not ended, and which way datagrams were lost."""

    def peer(sent, answered, **more):
        return {"gap_limit_ms": 300, "peers": [{"name": "canary-1", "sent": sent, "answered": answered, **more}]}

    ended = figures(
        run(
            report(110, **peer(100, 100)),
            report(145, **peer(450, 430, gaps=1, gap_list=[[230, 2000]], lost_there=15, lost_back=5)),
        )
    )["peer canary-1"]
    assert ended.length == Length(2 * S, 2 * S, 2 * S)
    assert "330 of 350 questions were answered, 15 lost on the way there and 5 on the way back" in ended.reason
    going_on = figures(run(report(110, **peer(100, 100)), report(145, **peer(450, 300, silent_ms=15000.0))))[
        "peer canary-1"
    ]
    assert going_on.length.possible_ns == 15 * S
    assert (
        figures(run(report(110, **peer(9, 0)), report(145, **peer(99, 0))))["peer canary-1"].outcome is Outcome.UNKNOWN
    )


def test_old_reports_and_silence_make_no_error(run):
    """Reports without moments of their own, silent beacons and beacons that tell nothing are read."""
    silent = (120, events.BeaconHeard("canary-0", "", {"error": "no answer"}))
    bare = [(at_s, events.BeaconHeard("canary-0", "b", {"uptime_s": at_s})) for at_s in (80, 130)]
    found = figures(run(*bare, silent))
    assert found["boot"].outcome is Outcome.OK
    assert found["file"].outcome is Outcome.UNKNOWN
    assert figures(run(silent))["boot"].outcome is Outcome.UNKNOWN


def test_the_plans_defaults_are_the_judges(run):
    """A plan that says nothing is judged as one that says what is usual."""
    usual = GuestSpec().model_dump()
    history = run(report(154), report(159))
    before = {row.figure: row.budget_ns for row in inside.guests(history)}
    assert {row.figure: row.budget_ns for row in inside.guests(planned(history, usual))} == before


def test_what_a_guest_noticed_fails_the_run_and_what_it_did_not_tell_is_named(run):
    """A changed file is a finding; an unknown figure is among what was not proven."""
    results = judge(run(report(100), report(140, file_sha256="t")))
    assert results.outcome is Outcome.FAIL
    assert any("from inside: its checksummed file is not what it was" in each.sentence for each in results.findings)
    assert any(gap.what == "canary-0 from inside: dns" for gap in results.not_proven)


def test_lanes_to_a_canary_stand_side_by_side(run):
    """ICMP and TCP saw the same gap; TCP's own is shown with what was to be expected, the datagrams with their way."""
    lost = events.DatagramsLost(1, START_NS + 120 * S, START_NS + 122 * S, 40, 30, 10)
    history = run((130, lost), icmp_hz=50.0, tcp_hz=20.0, troubles=(Trouble("canary-0", 120, 122),), migrations=())
    found = {flow.lane: flow for flow in judge(history).of("flows")}
    assert set(found) == {"icmp", "tcp"}
    icmp = found["icmp"].longest
    assert icmp.certain_ns <= 2 * S <= icmp.possible_ns
    assert found["tcp"].expected_ns == round(2.2 * icmp.possible_ns) + 200_000_000
    assert found["icmp"].expected_ns is None
    number = next(probe.declared.probe for probe in history.probes if probe.lane == "icmp")
    assert flows.ways_of(history, {number}) == ((30, 10, 0) if number == 1 else (0, 0, 0))
    assert flows.ways_of(history, {1}) == (30, 10, 0)
    assert flows.ways_of(history, {1}, START_NS + 123 * S) == (0, 0, 0)


def test_ipv6_that_is_not_measured_is_among_what_was_not_proven(run):
    """A canary that the cloud does not route over IPv6 loses nothing there that anybody could know."""
    up = events.CanaryUp(
        "canary-0", "id", "compute-0", "192.0.2.10", "10.0.0.1", "n", "b", 7, without_ipv6="there is no pool"
    )
    (gap,) = [each for each in judge(run((61, up))).not_proven if "IPv6" in each.what]
    assert ("What canary-0 loses over IPv6", "there is no pool") == (gap.what, gap.why)
    assert not [each for each in judge(run()).not_proven if "IPv6" in each.what]


def test_each_family_has_rows_of_its_own_and_is_judged(run):
    """What only IPv6 lost is the canary's outage, shown where it was lost; what both lost is one outage and not two."""
    alone = Trouble("canary-0 icmp v6", 120, 122)
    both = Trouble("canary-0", 130, 131)
    results = judge(run(icmp_hz=50.0, ipv6=True, troubles=(alone, both), migrations=()))
    found = {flow.lane: flow for flow in results.of("flows")}
    assert {"icmp": 1, "icmp v6": 2} == {lane: flow.count for lane, flow in found.items()}
    assert found["icmp"].longest.possible_ns < 1.2 * S
    assert found["icmp v6"].longest.certain_ns <= 2 * S <= found["icmp v6"].longest.possible_ns
    (canary,) = results.canaries
    assert canary.longest == found["icmp v6"].longest
    assert canary.total.certain_ns <= 3 * S <= canary.total.possible_ns <= 3.3 * S
    assert "2 outages" in canary.reason


def test_the_networks_excess_over_the_hypervisors_own_account(run):
    """What the network was away beyond the time that libvirt itself says the guest was stopped."""
    history = run(icmp_hz=50.0, troubles=(Trouble("canary-0", 156, 157.5),))
    (move,) = history.migrations
    move.ended.facts["domain_job"] = {"total downtime": 0.3}
    (migration,) = judge(history).migrations
    assert migration.hypervisor_downtime_ns == 300_000_000
    assert abs(migration.network_excess_ns - 1_200_000_000) < 60_000_000
