"""The judge on scripted recordings: what really happened is known, and the verdict must say so."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import json

import pytest

from rehearsal.figures.outcome import Outcome
from rehearsal.judging.judge import judge
from rehearsal.recording import events
from rehearsal.recording.history import load
from rehearsal.recording.journal import Journal
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.stretch import BETWEEN
from rehearsal.recording.stretch import CONTROL
from rehearsal.recording.stretch import step as step_of
from rehearsal.report.resultsjson import to_json
from tests.made import wrong_rules
from tests.made.synthetic import START_NS
from tests.made.synthetic import WALL_NS
from tests.made.synthetic import Scenario
from tests.made.synthetic import ScriptedMigration
from tests.made.synthetic import ScriptedStep
from tests.made.synthetic import Trouble
from tests.made.synthetic import at_ns
from tests.made.synthetic import check
from tests.made.synthetic import default_steps
from tests.made.synthetic import plan_of
from tests.made.synthetic import write_run

S = 1_000_000_000


@pytest.fixture
def judged(tmp_path):
    numbers = itertools.count()

    def write_and_judge(**script):
        return judge(load(write_run(tmp_path / f"run-{next(numbers)}", Scenario(**script))))

    return write_and_judge


def place(word):
    """What a word of these tests means: `before` the steps, `""` between them, else the step of that id."""
    return {"before": CONTROL, "": BETWEEN}.get(word) or step_of(word)


def cell(results, where, service, kind="down"):
    wanted = place(where), service, kind
    (found,) = [loss for loss in results.matrix if (loss.stretch, loss.service, loss.kind) == wanted]
    return found


def contains(length, seconds):
    return length.certain_ns <= seconds * S <= length.possible_ns


def steps_with(**budget):
    keystone, nova = default_steps()
    return dataclasses.replace(keystone, disturbs={"keystone": {"source": "plan", **budget}}), nova


def about(results, subject):
    return [finding for finding in results.findings if finding.subject.startswith(subject)]


# --- nothing happens -----------------------------------------------------------------------------------------------


def test_a_quiet_run_is_ok(judged):
    """Nothing failed, everything was watched: ok, with a sentence that says what was seen."""
    results = judged()
    assert results.outcome is Outcome.OK
    assert results.findings == []
    assert results.windows == []
    assert {loss.outcome for loss in results.matrix} == {Outcome.OK}
    assert cell(results, "nova", "keystone").floor_ns < 0.2 * S
    assert results.sentence.startswith("All 2 steps succeeded; no outage was seen")


def test_results_survive_json(judged):
    """Results written as JSON and read again are equal."""
    results = judged(
        troubles=(Trouble("nova", 120, 122), Trouble("canary-0", 130, 131)),
        migrations=(ScriptedMigration("m1", "canary-0", 155, 160),),
    )
    assert json.loads(to_json(results))["outcome"] == results.outcome


def test_the_same_recording_gives_the_same_results(tmp_path):
    """A copied run directory is judged alike, byte for byte."""
    script = Scenario(troubles=(Trouble("nova", 120, 122),))
    one = to_json(judge(load(write_run(tmp_path / "one", script))))
    assert to_json(judge(load(write_run(tmp_path / "two", script)))) == one


# --- outages and budgets -------------------------------------------------------------------------------------------


def test_an_outage_within_the_budget_is_ok_and_shown(judged):
    """An outage that even at its longest fits the budget is ok; its bounds contain the truth."""
    results = judged(troubles=(Trouble("keystone", 80, 82.0),))
    loss = cell(results, "keystone", "keystone")
    assert results.outcome is Outcome.OK
    assert loss.count == 1
    assert contains(loss.longest, 2.0)
    assert contains(loss.total, 2.0)
    assert abs(loss.longest.point_ns - 2.0 * S) < 0.1 * S
    assert cell(results, "keystone", "nova").count == 0
    assert "keystone during keystone; budget 10 s)" in results.sentence


def test_an_outage_beyond_the_budget_fails_and_says_by_how_much(judged):
    """An outage that even at its shortest exceeds the budget fails the run, with service, step and budget."""
    results = judged(troubles=(Trouble("nova", 115, 127),))
    assert results.outcome is Outcome.FAIL
    assert "nova during nova" in results.sentence
    assert "the budget is 10 s (plan)" in results.sentence


def test_an_outage_of_another_service_fails_against_the_default(judged):
    """A service that a step does not name is judged against the plan's default."""
    results = judged(troubles=(Trouble("nova", 80, 82),))
    assert cell(results, "keystone", "nova").outcome is Outcome.FAIL
    assert cell(results, "keystone", "nova").budget.source == "default"


def test_trap_17_a_short_outage_is_not_excused(judged):
    """0.3 s against a budget of 0.1 s fails: there is no grace."""
    results = judged(
        troubles=(Trouble("keystone", 80, 80.5),), steps=steps_with(longest_s=0.1, slow_longest_s=1), deep_hz=0
    )
    assert cell(results, "keystone", "keystone").outcome is Outcome.FAIL
    assert wrong_rules.within_grace(0.5, 0.1)


def test_trap_31_no_verdict_uses_a_rounded_figure(judged):
    """A certain length one nanosecond above the budget fails, whatever both look like when rounded."""
    troubles = (Trouble("keystone", 80, 82),)
    certain_ns = cell(judged(troubles=troubles), "keystone", "keystone").longest.certain_ns
    below = judged(troubles=troubles, steps=steps_with(longest_s=(certain_ns - 1) / S, slow_longest_s=9))
    exact = judged(troubles=troubles, steps=steps_with(longest_s=certain_ns / S, slow_longest_s=9))
    assert cell(below, "keystone", "keystone").outcome is Outcome.FAIL
    assert wrong_rules.rounded_fits(certain_ns, certain_ns - 1)
    assert cell(exact, "keystone", "keystone").outcome is Outcome.UNKNOWN


def test_trap_41_many_blips_fail_by_their_count(judged):
    """Thirty isolated failed samples have no certain length, but they are thirty."""
    keystone, nova = default_steps()
    long = (dataclasses.replace(keystone, to_s=105), dataclasses.replace(nova, from_s=115))
    blips = tuple(
        Trouble("keystone", 71 + number * 1.15, 71.05 + number * 1.15, lanes=("vip-new",)) for number in range(30)
    )
    allowed = {"longest_s": 5, "total_s": 60, "count": 20, "slow_longest_s": 9, "source": "contract"}
    steps = (dataclasses.replace(long[0], disturbs={"keystone": allowed}), long[1])
    loss = cell(judged(troubles=blips, steps=steps, http_hz=20.0), "keystone", "keystone")
    assert loss.total.certain_ns == 0
    assert wrong_rules.total_fits(loss.total, allowed["total_s"])
    assert loss.count == 30
    assert loss.outcome is Outcome.FAIL
    assert "30 outages; the budget is 20 (contract)" in loss.reason


def test_trap_42_a_budget_between_the_bounds_is_unknown_and_says_what_would_decide(judged):
    """Certain <= budget < possible is unknown, with the sampling rate that would decide."""
    loss = cell(
        judged(troubles=(Trouble("keystone", 80, 82),), steps=steps_with(longest_s=2.05, slow_longest_s=9), deep_hz=0),
        "keystone",
        "keystone",
    )
    assert loss.longest.certain_ns <= 2.05 * S < loss.longest.possible_ns
    assert wrong_rules.point_fits(loss.longest, 2.05)
    assert loss.outcome is Outcome.UNKNOWN
    assert "would decide" in loss.reason


def test_a_budget_of_zero_is_a_budget_on_the_count(judged):
    """Zero means no failed sample; it is ok only if the floor is within the declared resolution."""
    zero = {"longest_s": 0, "slow_longest_s": 1}
    quiet = cell(judged(steps=steps_with(**zero), deep_hz=0), "keystone", "keystone")
    assert quiet.outcome is Outcome.OK
    coarse = cell(judged(steps=steps_with(**zero), stalls=((80, 80.4),), deep_hz=0), "keystone", "keystone")
    assert coarse.outcome is Outcome.UNKNOWN
    declared = steps_with(**zero, resolution_s=1.0)
    assert cell(judged(steps=declared, stalls=((80, 80.4),), deep_hz=0), "keystone", "keystone").outcome is Outcome.OK
    blip = cell(judged(steps=steps_with(**zero), troubles=(Trouble("keystone", 80, 80.1),)), "keystone", "keystone")
    assert blip.outcome is Outcome.FAIL


def test_a_floor_above_the_budget_is_unknown(judged):
    """If an outage longer than the budget could have passed unseen, nothing is proven."""
    loss = cell(judged(steps=steps_with(longest_s=0.05, slow_longest_s=1)), "keystone", "keystone")
    assert loss.outcome is Outcome.UNKNOWN
    assert "could have passed unseen" in loss.reason


def test_without_a_budget_a_loss_is_unknown(judged):
    """What the plan does not speak of is no pass once something was lost, and harmless if nothing was."""
    usual = {"longest_s": 1.0, "slow_longest_s": 2.0, "source": "default"}
    results = judged(defaults={"canaries": usual, "keystone": usual}, troubles=(Trouble("nova", 80, 81),))
    assert cell(results, "keystone", "nova").outcome is Outcome.UNKNOWN
    assert "no budget" in cell(results, "keystone", "nova").reason
    assert cell(results, "", "nova").outcome is Outcome.OK


# --- slow answers --------------------------------------------------------------------------------------------------


def test_slow_answers_are_windows_with_bounds_and_a_budget_of_their_own(judged):
    """A service behind HAProxy that stalls for 5 s shows as slow answers: never dropped, never called down."""
    results = judged(troubles=(Trouble("nova", 120, 125, "stalled"),))
    slow = cell(results, "nova", "nova", "degraded")
    assert results.outcome is Outcome.OK
    assert cell(results, "nova", "nova").count == 0
    assert slow.count == 1
    assert contains(slow.longest, 5.0)
    assert {window.kind for window in results.windows} == {"degraded"}


def test_slow_answers_beyond_their_budget_fail(judged):
    """Slow answers certainly longer than their budget fail the step."""
    results = judged(troubles=(Trouble("nova", 115, 140, "stalled"),), hard_s=30.0)
    assert results.outcome is Outcome.FAIL
    assert "slow answers" in results.sentence


def test_slow_answers_without_a_budget_may_last_as_long_as_downtime(judged):
    """Where only downtime has a budget, slow answers within it are ok; beyond it nobody allowed or forbade them."""
    spec = {"longest_s": 10, "total_s": 20}
    short = judged(troubles=(Trouble("keystone", 80, 84, "stalled"),), steps=steps_with(**spec))
    assert cell(short, "keystone", "keystone", "degraded").outcome is Outcome.OK
    long = judged(troubles=(Trouble("keystone", 75, 93, "stalled"),), steps=steps_with(**spec), hard_s=30.0)
    assert cell(long, "keystone", "keystone", "degraded").outcome is Outcome.UNKNOWN


# --- lanes ---------------------------------------------------------------------------------------------------------


def test_trap_22_lanes_are_not_counted_twice(judged):
    """Public and internal VIP, new and reused connections: one outage of the service, as long as it was."""
    results = judged(troubles=(Trouble("nova", 120, 121.5),), vips=("internal", "public"), deep_hz=0)
    assert wrong_rules.sum_over_lanes_s(results.windows) > 5
    loss = cell(results, "nova", "nova")
    assert loss.count == 1
    assert contains(loss.total, 1.5)
    assert loss.total.possible_ns < 1.5 * S + 0.3 * S


def test_an_outage_of_one_vip_alone_is_an_outage_of_the_service(judged):
    """What only the public VIP's users lost is in the matrix."""
    results = judged(troubles=(Trouble("nova", 120, 121.5, vip="public"),), vips=("internal", "public"), deep_hz=0)
    longest = cell(results, "nova", "nova").longest
    assert contains(longest, 1.5)
    assert longest.certain_ns > 1.3 * S  # the other VIP was well, and says nothing about this one
    assert {window.probe_name for window in results.windows} == {"nova public vip-new", "nova public vip-reused"}


@pytest.mark.parametrize("vip", ["public", "internal"])
def test_an_outage_of_one_vip_over_the_budget_fails(judged, vip):
    """Every request to one VIP is refused for 1.5 s, and the default is 1 s: that the other one answered is no doubt."""
    results = judged(troubles=(Trouble("nova", 85, 86.5, vip=vip),), vips=("internal", "public"), deep_hz=0)
    assert cell(results, "keystone", "nova").outcome is Outcome.FAIL


@pytest.mark.parametrize("held_s", [0.2, 1.0, 2.5])
def test_requests_that_wait_for_the_end_of_an_outage_do_not_make_it_two(judged, held_s):
    """New connections are refused for 5 s; on the kept ones, what is sent near the end waits until it is over."""
    troubles = (
        Trouble("keystone", 80, 85, lanes=("vip-new",)),
        Trouble("keystone", 80, 85 - held_s, lanes=("vip-reused",)),
        Trouble("keystone", 85 - held_s, 85, "stalled", lanes=("vip-reused",)),
    )
    spec = {"longest_s": 9.0, "total_s": 9.0, "slow_longest_s": 9.0, "count": 1}
    loss = cell(judged(troubles=troubles, steps=steps_with(**spec), deep_hz=0), "keystone", "keystone")
    assert loss.count == 1
    assert loss.outcome is Outcome.OK
    assert contains(loss.longest, 5)


def test_a_rarely_sampled_vip_does_not_decide_and_is_named(judged):
    """What the internal VIP alone could have hidden is listed as not proven; the public one decides."""
    results = judged(vips=("public", "internal"), deep_hz=0)
    assert results.outcome is Outcome.OK
    assert cell(results, "nova", "nova").floor_ns < 0.1 * S  # new and kept connections together
    coarse = judged(vips=("public", "internal"), deep_hz=0, steps=steps_with(longest_s=0.03, slow_longest_s=1))
    assert any("keystone at the internal VIP" in gap.what for gap in coarse.not_proven)


def test_a_backend_alone_is_shown_and_not_charged_to_users(judged):
    """One backend of several down, the VIP fine: a window on the timeline, nothing in the matrix."""
    results = judged(
        troubles=(Trouble("nova", 120, 130, lanes=("backend-new",)),), lanes=("vip-new", "vip-reused", "backend-new")
    )
    assert results.outcome is Outcome.OK
    assert cell(results, "nova", "nova").count == 0
    assert [window.lane for window in results.windows] == ["backend-new"]


def test_trap_37_a_refusal_of_the_token_filter_is_charged_to_keystone(tmp_path):
    """Nova's authenticated read that only the token filter refuses is keystone's outage."""
    script = Scenario(troubles=(Trouble("nova", 120, 123, lanes=("deep",), sample_class=SampleClass.HTTP_5XX_BACKEND),))
    run_dir = write_run(tmp_path / "run", script)
    moments = iter((120, 121, 122, 122))
    with Journal(run_dir / "journal" / "prober.jsonl", clock=lambda: (at_ns(next(moments, 122) + 0.5), 0)) as journal:
        for second in (120, 121, 122):
            journal.write(events.SampleDetail(6, second, 11, "503", 503, "token-filter"))
    results = judge(load(run_dir))
    assert wrong_rules.charged_by_url(results.windows) == {"nova"}
    assert cell(results, "nova", "nova").count == 0
    assert cell(results, "nova", "keystone").count == 1


def test_a_service_that_nobody_watched_is_unknown(judged):
    """A service of the plan without a probe has no figure and no pass."""
    script = Scenario()
    plan = plan_of(dataclasses.replace(script, services=("keystone", "nova", "glance")))
    began = dataclasses.replace(_run_began(script), plan=plan, attempt=2)
    results = judged(more=((0.05, began),))
    assert cell(results, "nova", "glance").outcome is Outcome.UNKNOWN
    assert cell(results, "nova", "glance").floor_ns is None
    assert results.outcome is Outcome.UNKNOWN


def test_trap_19_missing_data_has_no_number(judged):
    """Where nothing was sampled there is no floor, no length, and the reason says so."""
    results = judged(services=("keystone",), canaries=())
    canaries = cell(results, "nova", "canaries")
    assert canaries.samples == 0
    assert canaries.floor_ns is None
    assert wrong_rules.missing_is_a_number(canaries.floor_ns) == 2.718
    assert canaries.outcome is Outcome.UNKNOWN


def _run_began(script):
    return events.RunBegan(
        run=script.run,
        mode="rehearsal",
        attempt=2,
        argv=["rehearse", "run", "--resume", script.run],
        version="0.1.0",
        revision="0000000",
        host="manager",
        boot_id="boot-of-the-prober",
        plan=plan_of(script),
        plan_sha256="0" * 64,
        target={},
    )


# --- attribution ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("from_s", "to_s", "charges"),
    [
        (80, 81, [("keystone", "step")]),
        (99, 106, [("keystone", "step")]),  # its tail spills over
        (99, 112, [("keystone", "step")]),  # also into the next step: its cause is known
        (101, 102, [("keystone", "step")]),  # while the step settles
        (104, 106, [("", "between")]),
        (106, 112, [("", "between"), ("nova", "pre-existing")]),
        (20, 30, [("before", "pre-existing")]),
        (65, 75, [("before", "pre-existing"), ("keystone", "pre-existing")]),
        (65, 105, [("before", "pre-existing"), ("keystone", "pre-existing")]),
        (65, 112, [("before", "pre-existing"), ("keystone", "pre-existing"), ("nova", "pre-existing")]),
    ],
)
def test_an_outage_is_charged_to_what_was_done_when_it_began(judged, from_s, to_s, charges):
    """Onset decides, and the tail stays with it; what began while no step ran is each step's as far as it reaches."""
    results = judged(troubles=(Trouble("nova", from_s, to_s),), deep_hz=0)
    found = {(window.stretch, window.attribution) for window in results.windows}
    assert found == {(place(where), attribution) for where, attribution in charges}
    for where, _ in charges:
        assert cell(results, where, "nova").count == 1
    assert sum(loss.count for loss in results.matrix) == len(charges)


def test_what_is_split_at_a_step_has_the_length_that_it_had_on_each_side(judged):
    """Of 65 to 75 s, with a step from 70 s on: 5 s before it, 5 s in it, and the step's are judged."""
    results = judged(troubles=(Trouble("nova", 65, 75),), deep_hz=0)
    before, within = cell(results, "before", "nova"), cell(results, "keystone", "nova")
    assert contains(before.longest, 5)
    assert contains(within.longest, 5)
    assert (before.outcome, within.outcome) == (Outcome.OK, Outcome.FAIL)
    assert results.outcome is Outcome.FAIL


def test_a_blip_before_a_step_takes_nothing_out_of_it(judged):
    """One failed sample just before a step and 20 s down in it: shown together or not, the step is charged with the 20 s."""
    results = judged(troubles=(Trouble("nova", 69.4, 69.5), Trouble("nova", 70.3, 90.3)), deep_hz=0)
    loss = cell(results, "keystone", "nova")
    assert loss.outcome is Outcome.FAIL
    assert contains(loss.longest, 20)
    assert cell(results, "before", "nova").count == 1


def test_what_happens_before_the_first_step_is_the_control(judged):
    """The baseline shows what the cloud does by itself: it is told, and no step is blamed for it."""
    results = judged(troubles=(Trouble("nova", 20, 30),))
    loss = cell(results, "before", "nova")
    assert results.outcome is Outcome.OK
    assert loss.count == 1
    assert loss.reason.startswith("control, not judged: one outage")


def test_a_certain_outage_between_steps_is_an_alarm(judged):
    """No step was running, but users lost more than any step may cost: fail."""
    results = judged(troubles=(Trouble("nova", 103, 108),), deep_hz=0)
    assert cell(results, "", "nova").outcome is Outcome.FAIL
    assert "nova outside of steps" in results.sentence


def test_a_tail_is_not_called_a_quiet_step(judged):
    """A step into which an earlier outage reaches says so: it had failed samples, but none began in it."""
    results = judged(troubles=(Trouble("nova", 99, 113),), deep_hz=0)
    loss = cell(results, "nova", "nova")
    assert loss.count == 0
    assert loss.failed > 0
    assert (
        loss.reason
        == f"no outage began here; {loss.failed} failed samples of what began before are charged where it began"
    )


@pytest.mark.parametrize(
    ("lanes", "stalls", "outcome"),
    [
        ((), (), Outcome.OK),  # it went on all the time
        (
            ("deep",),
            (),
            Outcome.UNKNOWN,
        ),  # all other lanes were well: each failed read may have been an outage of its own
        ((), ((105.0, 111.0),), Outcome.UNKNOWN),  # it may have been over while the prober stood still
    ],
)
def test_what_may_have_begun_again_in_a_step_is_that_steps_too(judged, lanes, stalls, outcome):
    """From 97 s, in one step, to 113 s, in another that allows nothing: the other is free of it only if it is surely one."""
    keystone, nova = default_steps()
    nova = dataclasses.replace(nova, disturbs={"nova": {"longest_s": 0.0, "slow_longest_s": 9.0, "source": "plan"}})
    results = judged(troubles=(Trouble("nova", 97, 113, lanes=lanes),), stalls=stalls, steps=(keystone, nova))
    loss = cell(results, "nova", "nova")
    assert (loss.outcome, loss.count) == (outcome, 0)
    assert cell(results, "keystone", "nova").count == 1
    assert {window.attribution for window in results.windows} == ({"step"} if outcome is Outcome.OK else {"ambiguous"})


def test_an_onset_at_a_border_is_ambiguous_and_names_both(judged):
    """If nobody knows whether it began before or after a border, both sides are named."""
    results = judged(troubles=(Trouble("nova", 109.9, 112),), lanes=("vip-new",), deep_hz=0, http_hz=1.0)
    (window,) = results.windows
    assert window.last_good_ns < at_ns(110) < window.first_bad_ns
    assert (window.step, window.attribution) == ("nova", "ambiguous")
    assert window.causes == ["began at the border of nova and no step"]


def test_container_starts_are_candidates_for_causes(judged):
    """A container of the service that started during the window is named, with its host and how far off it was."""

    def facts(label, started, image):
        nova = {"name": "nova_api", "image": image, "started_at": started, "image_id": image}
        other = {"name": "grafana", "image": "g", "started_at": started, "image_id": "g"}
        return events.HostFacts(label, "control-0", [nova, other])

    script = Scenario(troubles=(Trouble("nova", 121, 123),))
    wall = dt.datetime.fromtimestamp(WALL_NS // S + 122, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    results = judged(
        troubles=script.troubles,
        more=(
            (60, facts("before", "2026-01-01T00:00:00.000000000Z", "nova-api:1")),
            (153, facts("after", wall, "nova-api:2")),
        ),
    )
    assert all("nova_api on control-0 started" in window.causes[0] for window in results.windows)
    assert not any("grafana" in cause for window in results.windows for cause in window.causes)


# --- what hid an outage, or moved it ---------------------------------------------------------------------------------


def test_a_request_in_flight_when_the_service_dies_moves_no_outage_before_the_step(judged):
    """Answers take 0.6 s: the first that fails was sent before the step, and failed in it. The step owns the 20 s."""
    results = judged(troubles=(Trouble("nova", 70.2, 90.2),), answer_s=0.6, soft_s=2.0, deep_hz=0)
    (first, *_) = sorted(results.windows, key=lambda window: window.first_bad_ns)
    assert first.first_bad_ns < at_ns(70)
    assert cell(results, "keystone", "nova").outcome is Outcome.FAIL
    assert cell(results, "before", "nova").count == 0


@pytest.mark.parametrize(
    ("first_s", "second_s", "outcomes"),
    [
        (60.0, 60.0, {Outcome.OK}),
        (60.0, 1.0, {Outcome.OK, Outcome.UNKNOWN}),
        (1.0, 60.0, {Outcome.OK, Outcome.UNKNOWN}),
        (1.0, 1.0, {Outcome.FAIL, Outcome.UNKNOWN}),
    ],
)
def test_an_onset_that_two_steps_may_own_fails_one_only_if_it_fails_both(judged, first_s, second_s, outcomes):
    """Nobody knows in which of two steps, one right after the other, an outage of 6 s began."""
    allowed = [{"nova": {"longest_s": each, "slow_longest_s": 60.0, "source": "plan"}} for each in (first_s, second_s)]
    steps = (
        ScriptedStep("one", 80, 100, ("nova",), ("nova_api",), allowed[0]),
        ScriptedStep("two", 100, 130, ("nova",), ("nova_api",), allowed[1]),
    )
    results = judged(troubles=(Trouble("nova", 99.9, 106),), steps=steps, lanes=("vip-new",), deep_hz=0, http_hz=2.0)
    assert results.windows[0].attribution == "ambiguous"
    cells = [cell(results, name, "nova") for name in ("one", "two")]
    assert {loss.outcome for loss in cells} == outcomes
    assert sum(loss.count for loss in cells) == 1
    strictest = min(zip((first_s, second_s), ("one", "two"), strict=True))[1]
    assert first_s == second_s or cell(results, strictest, "nova").count == 1


def test_slow_answers_beside_a_stall_of_the_prober_hide_no_downtime(judged):
    """For 6 s the prober stands still between slow answers: 5.8 s down would have passed, and 1 s is the budget."""
    troubles = (
        Trouble("nova", 79.0, 80.05, "slow", answer_s=1.5),
        Trouble("nova", 80.1, 85.9),
        Trouble("nova", 85.95, 87.0, "slow", answer_s=1.5),
    )
    usual = {"longest_s": 1.0, "slow_longest_s": 60.0, "source": "default"}
    defaults = {"keystone": usual, "nova": usual, "canaries": usual}
    results = judged(troubles=troubles, stalls=((80.0, 86.0),), deep_hz=0, defaults=defaults)
    loss = cell(results, "keystone", "nova")
    assert loss.floor_ns > 5.8 * S
    assert loss.outcome is Outcome.UNKNOWN
    assert not results.grades.get("nova")


@pytest.mark.parametrize("lasts_s", [12.0, 30.0])
def test_reads_that_fail_for_longer_than_the_budget_are_not_ok(judged, lasts_s):
    """One read every 5 s, some of them failed, 1 s is the budget, and all that is asked more often was well."""
    results = judged(troubles=(Trouble("nova", 71, 71 + lasts_s, lanes=("deep",)),), deep_hz=0.2)
    loss = cell(results, "keystone", "nova")
    assert loss.outcome is Outcome.UNKNOWN
    assert contains(loss.longest, lasts_s)


@pytest.mark.parametrize("from_s", [75.0 + 0.6 * n for n in range(9)])
def test_a_longer_outage_of_reads_does_not_hide_in_a_shorter_one_of_everything(judged, from_s):
    """Everything fails for 0.7 s, and 1 s is the budget; reads, one every 5 s, go on failing for 4 s."""
    troubles = (Trouble("nova", from_s, from_s + 0.7), Trouble("nova", from_s, from_s + 4, lanes=("deep",)))
    results = judged(troubles=troubles, deep_hz=0.2)
    loss = cell(results, "keystone", "nova")
    if any(window.lane == "deep" for window in results.windows):
        assert contains(loss.longest, 4)
        assert loss.outcome is Outcome.UNKNOWN
    else:  # no read met it: what reads alone could have lost is not proven
        assert loss.outcome is Outcome.OK
        assert any("reads of nova" in gap.what for gap in results.not_proven)


@pytest.mark.parametrize("together_s", [0.0, 1.0, 3.0])
def test_more_failures_make_no_better_verdict(judged, together_s):
    """Reads fail for 26 s, over any budget; that everything else failed with them at first is no doubt about that."""
    troubles = (Trouble("nova", 72, 72 + together_s), Trouble("nova", 72, 98, lanes=("deep",)))
    loss = cell(judged(troubles=troubles), "keystone", "nova")
    assert loss.outcome is Outcome.FAIL
    assert 20 * S < loss.longest.certain_ns <= 26 * S <= loss.longest.possible_ns


@pytest.mark.parametrize(("from_s", "to_s"), [(166.0, 999.0), (-1.0, 4.0)])
def test_reads_that_fail_at_an_end_of_the_recording_are_open(judged, from_s, to_s):
    """Nobody saw the end, or the beginning, of what only reads showed."""
    results = judged(troubles=(Trouble("nova", from_s, to_s, lanes=("deep",)),))
    loss = cell(results, "before" if from_s < 0 else "", "nova")
    assert loss.longest.possible_ns is None
    assert loss.outcome is Outcome.UNKNOWN


def test_counts_and_totals_say_what_may_be_missing_from_them(judged):
    """Outages shorter than the floor are in no count and in no total."""
    results = judged(troubles=(Trouble("nova", 80, 80.5), Trouble("nova", 90, 90.3)), deep_hz=0)
    loss = cell(results, "keystone", "nova")
    assert loss.count == 2
    assert loss.reason.endswith("may be missing from this")
    quiet = cell(judged(), "keystone", "nova")
    assert "no outage longer than" in quiet.reason


@pytest.mark.parametrize(("http_hz", "grade"), [(1.0, "B"), (10.0, "A")])
def test_grade_a_needs_enough_samples_to_exclude_flapping(judged, http_hz, grade):
    """A service that flaps faster than it is asked can look well in a few samples by luck; in hundreds it cannot."""
    usual = {"longest_s": 5.0, "slow_longest_s": 5.0, "source": "default"}
    defaults = {"keystone": usual, "nova": usual, "canaries": usual}
    results = judged(http_hz=http_hz, deep_hz=0, lanes=("vip-new",), services=("keystone", "nova"), defaults=defaults)
    assert results.grades["nova"] == grade


# --- canaries and migrations ---------------------------------------------------------------------------------------


def test_a_canary_out_of_reach_is_in_the_matrix_and_named(judged):
    """The canary that lost most fills the cell, by name."""
    results = judged(troubles=(Trouble("canary-1", 120, 123.0),))
    loss = cell(results, "nova", "canaries")
    assert loss.outcome is Outcome.FAIL
    assert loss.reason.startswith("canary-1: ")
    assert contains(loss.longest, 3.0)
    assert [canary.outcome for canary in results.canaries] == [Outcome.OK, Outcome.FAIL]
    assert contains(results.canaries[1].longest, 3.0)


def test_a_gap_in_a_migration_is_charged_to_the_migration(judged):
    """Time out of reach during a migration has a budget of its own and is not in the matrix."""
    results = judged(
        troubles=(Trouble("canary-0", 156, 157.5),), migrations=(ScriptedMigration("m1", "canary-0", 155, 160),)
    )
    (migration,) = results.migrations
    assert migration.outcome is Outcome.OK
    assert contains(migration.network, 1.5)
    assert (migration.budget.longest_ns, migration.budget.source) == (5 * S, "default")
    assert all(loss.count == 0 for loss in results.matrix)
    assert {window.attribution for window in results.windows} == {"migration"}
    assert results.canaries[0].total.possible_ns == 0


@pytest.mark.parametrize(
    ("fields", "outcome", "reason"),
    [
        ({"status": "error"}, Outcome.FAIL, "nova says error"),
        ({"status": ""}, Outcome.UNKNOWN, "status was not seen"),
        ({"host_after": "compute-0"}, Outcome.FAIL, "still on compute-0"),
        ({"server_status": "ERROR"}, Outcome.FAIL, "the server is ERROR"),
        ({"rebooted": True}, Outcome.FAIL, "another boot id"),
    ],
)
def test_trap_39_completed_is_not_enough(judged, fields, outcome, reason):
    """Completed, host changed, ACTIVE, same boot id, window closed: all of them, and what was not seen is unknown."""
    migration = ScriptedMigration("m1", "canary-0", 155, 160, **fields)
    assert wrong_rules.completed_is_fine(migration.status) is ("status" not in fields)
    results = judged(migrations=(migration,))
    assert results.migrations[0].outcome is outcome
    assert reason in results.migrations[0].reason
    assert results.outcome is outcome


def test_a_migration_that_loses_the_guest_for_good_fails(judged):
    """Completed, but never reachable again: the window does not close."""
    results = judged(
        troubles=(Trouble("canary-0", 156, 1000),), migrations=(ScriptedMigration("m1", "canary-0", 155, 160),)
    )
    assert results.migrations[0].outcome is Outcome.FAIL
    assert "its return was not seen" in results.migrations[0].reason


def test_a_migration_beyond_its_budget_fails(judged):
    """7 s out of reach, 5 s allowed."""
    results = judged(
        troubles=(Trouble("canary-0", 155.5, 162.5),), migrations=(ScriptedMigration("m1", "canary-0", 155, 163),)
    )
    assert results.migrations[0].outcome is Outcome.FAIL
    assert "the budget is 5 s" in results.migrations[0].reason


# --- the prober itself ---------------------------------------------------------------------------------------------


def test_trap_14_a_run_that_starts_in_an_outage_is_unknown(judged):
    """Left-censored within the budget's reach: unknown, not ok."""
    results = judged(troubles=(Trouble("nova", 0, 0.5),))
    assert not wrong_rules.no_failure_is_ok(results.windows)
    assert cell(results, "before", "nova").outcome is Outcome.UNKNOWN
    assert "began or ended in the middle" in cell(results, "before", "nova").reason


def test_trap_15_a_run_that_stops_in_an_outage_is_unknown(judged):
    """Right-censored: the end is not known, every sample counts."""
    results = judged(troubles=(Trouble("nova", 169.4, 400),))
    loss = cell(results, "", "nova")
    assert loss.outcome is Outcome.UNKNOWN
    assert loss.longest.possible_ns is None


@pytest.mark.parametrize("both", [False, True])
def test_trap_21_one_flaky_control_proves_nothing(judged, both):
    """One off-path control fails: the outage stands. Both fail: the prober was blind, and it is none."""
    flaky = tuple(Trouble(f"control 198.51.100.{number}", 118, 126) for number in ((1, 2) if both else (1,)))
    results = judged(off_path=("198.51.100.1", "198.51.100.2"), troubles=(Trouble("nova", 120, 121.5), *flaky))
    loss = cell(results, "nova", "nova")
    assert wrong_rules.blind_if_any([True, both])
    assert loss.count == (0 if both else 1)
    assert bool(results.quality.blind) is both
    if both:
        assert loss.floor_ns > 1.5 * S


def test_trap_23_a_step_of_the_wall_clock_does_no_harm(judged):
    """The wall clock jumps by an hour, both ways, during an outage: the same length, the same verdict."""
    troubles = (Trouble("nova", 120, 122),)
    plain = judged(troubles=troubles)
    jumped = judged(troubles=troubles, wall_steps=((121, 3600), (121.5, -7200)))
    assert cell(jumped, "nova", "nova") == cell(plain, "nova", "nova")
    assert jumped.outcome is plain.outcome
    assert len(jumped.clock_pairs) > len(plain.clock_pairs)
    window = next(each for each in jumped.windows if each.service == "nova")
    by_wall_s = wrong_rules.by_wall_clock_s(jumped.clock_pairs, window.first_bad_ns, window.first_good_ns)
    assert abs(by_wall_s) > 3000


def test_trap_24_a_prober_that_died_makes_the_run_unknown_and_says_when(judged):
    """After its last sign of life everything is unknown, and the finding says when that was."""
    results = judged(prober_dies_s=125.0)
    assert wrong_rules.no_failure_is_ok(results.windows)
    assert results.outcome is Outcome.UNKNOWN
    assert "died 2 min" in about(results, "prober")[0].sentence
    assert cell(results, "keystone", "keystone").outcome is Outcome.OK
    assert cell(results, "nova", "nova").outcome is Outcome.UNKNOWN
    assert not results.quality.prober_stopped
    assert any(why == "the prober had died" for _, _, why in results.quality.blind)


def test_trap_26_sigstop_is_blindness_and_unknown_and_no_outage(judged):
    """Two seconds of SIGSTOP are no outage; the floor grows, and a budget below it is undecided."""
    results = judged(stalls=((120.0, 122.0),))
    assert results.windows == []
    assert wrong_rules.no_failure_is_ok(results.windows)
    loss = cell(results, "nova", "keystone")
    assert loss.floor_ns >= 2 * S
    assert loss.outcome is Outcome.UNKNOWN
    assert cell(results, "nova", "nova").outcome is Outcome.OK  # it may be away for 10 s here
    assert results.quality.blind_share > 0.01
    assert results.outcome is Outcome.UNKNOWN


def test_blindness_counts_as_possible_downtime_where_the_total_is_limited(judged):
    """Blind for longer than the budget's total leaves, and for more than the plan's share of the step: unknown."""
    steps = steps_with(longest_s=5, total_s=3, slow_longest_s=9)
    results = judged(stalls=((80.0, 84.0),), steps=steps)
    assert cell(results, "keystone", "keystone").outcome is Outcome.UNKNOWN
    assert "blind" in cell(results, "keystone", "keystone").reason


def test_a_small_hiccup_of_the_prober_is_no_alarm(judged):
    """Late by 0.2 s now and then, far below every budget: still ok."""
    results = judged(stalls=tuple((75.0 + 5 * number, 75.2 + 5 * number) for number in range(12)))
    assert results.outcome is Outcome.OK


# --- steps, gates, checks ------------------------------------------------------------------------------------------


def test_a_failed_gate_fails_the_run(judged):
    """A failed check of a step's gate fails the step, and the sentence says what was expected and seen."""
    keystone, nova = default_steps()
    results = judged(steps=(keystone, dataclasses.replace(nova, gate=("ok", "fail"))))
    assert results.outcome is Outcome.FAIL
    assert [step.outcome for step in results.steps] == [Outcome.OK, Outcome.FAIL]
    assert "expected 2025.1, observed 2024.2" in about(results, "step:nova")[0].sentence
    assert results.checks[0].outcome is Outcome.FAIL


def test_a_gate_without_records_is_unknown(judged):
    """A suite that recorded nothing proves nothing, whatever its exit code was."""
    keystone, nova = default_steps()
    results = judged(steps=(keystone, dataclasses.replace(nova, gate=())))
    assert results.steps[1].outcome is Outcome.UNKNOWN
    assert "no record of any check" in results.steps[1].note
    assert results.outcome is Outcome.UNKNOWN


def test_a_failed_command_fails_its_step(judged):
    """An exit code other than 0 fails the step."""
    keystone, nova = default_steps()
    results = judged(steps=(keystone, dataclasses.replace(nova, rc=2)))
    assert results.steps[1].outcome is Outcome.FAIL
    assert "exit code 2" in results.steps[1].note


def test_a_step_whose_end_was_not_seen_is_unknown(judged):
    """A runner killed in the middle of a step: what was seen stands, the rest is unknown, and steps after it did not run."""
    results = judged(runner_dies_s=120.0)
    assert results.outcome is Outcome.UNKNOWN
    assert [step.outcome for step in results.steps] == [Outcome.OK, Outcome.UNKNOWN]
    assert "The run has not ended" in about(results, "run")[0].sentence
    assert cell(results, "keystone", "keystone").outcome is Outcome.OK


def test_a_run_killed_before_a_step_names_the_steps_that_did_not_run(judged):
    """Steps that never began are listed."""
    results = judged(runner_dies_s=105.0)
    assert results.steps[1].attempts == 0
    assert any("1 step did not run: nova" in finding.sentence for finding in results.findings)
    assert any(gap.what == "Step nova" for gap in results.not_proven)


def test_an_interrupted_run_is_unknown(judged):
    """Ctrl-C: unknown, and it says interrupted."""
    results = judged(end_reason="interrupted")
    assert results.outcome is Outcome.UNKNOWN
    assert results.sentence == "Undecided: the run was interrupted."


def test_a_resumed_run_is_judged_by_its_last_attempt(judged):
    """A step that failed and passed when it was repeated is ok; its attempts are told; its suite counts anew."""
    keystone, nova = default_steps()
    failed = ScriptedStep("nova", 110, 115, ("nova",), ("nova_api",), nova.disturbs, rc=2, gate=(), attempt=1)
    again = dataclasses.replace(nova, from_s=125, attempt=2)
    results = judged(
        steps=(keystone, failed, again), more=((118, events.RunEnded("step")), (120, _run_began(Scenario())))
    )
    (step,) = [step for step in results.steps if step.id == "nova"]
    assert step.outcome is Outcome.OK
    assert step.attempts == 2
    assert results.outcome is Outcome.OK
    assert [finding.outcome for finding in results.findings] == [Outcome.OK]


def test_a_step_that_ran_on_while_nobody_measured_is_unknown(judged):
    """Between two attempts there was no prober: what happened to the running step's users is unknown."""
    results = judged(prober_pause=(120.0, 135.0), more=((134, _run_began(Scenario())),))
    loss = cell(results, "nova", "nova")
    assert loss.outcome is Outcome.UNKNOWN
    assert "not measured for" in loss.reason
    assert len(results.strips) == len({strip.name for strip in results.strips})
    assert any(state == "blind" for _, _, state in results.strips[0].runs)
    assert ("no prober ran between two attempts") in {why for _, _, why in results.quality.blind}


def test_preflight_and_postflight_count(judged):
    """A failed check after the last step fails the run."""
    results = judged(checks=(check("postflight", "fail", node_id="x", claim="No server was lost"),))
    assert results.outcome is Outcome.FAIL
    assert "No server was lost" in results.sentence


def test_skipped_checks_are_not_proven(judged):
    """A check that was not carried out is unknown and listed."""
    results = judged(
        checks=(check("postflight", "unknown", node_id="x", claim="Volumes", observed="", detail="not checked"),)
    )
    assert results.outcome is Outcome.UNKNOWN
    assert any(gap.what == "Volumes" for gap in results.not_proven)


# --- before and after ----------------------------------------------------------------------------------------------


def containers(label, host="control-0", **images):
    """Containers by name and image; image `x:1` is of the old release, `x:2` of the new one."""
    releases = {"1": "2024.2", "2": "2025.1"}
    rows = [
        {
            "name": name,
            "image": f"registry.example.test/kolla/{ref}",
            "image_id": f"id of {ref}",
            "started_at": ref,
            "labels": {"de.osism.release.openstack": releases[ref[-1]]},
        }
        for name, ref in images.items()
    ]
    return events.HostFacts(label, host, rows)


def test_trap_40_an_old_image_is_found_although_everything_runs(judged):
    """A container that a finished step should have brought to the new image and that still runs the old one fails."""
    before = containers("before", keystone="k:1", nova_api="n:1")
    after = containers("after", keystone="k:2", nova_api="n:1")
    assert wrong_rules.same_states(before, after)
    results = judged(more=((60, before), (153, after)))
    assert results.outcome is Outcome.FAIL
    assert "nova_api on control-0 (registry.example.test/kolla/n:1)" in results.sentence
    (image,) = [each for each in results.differences if each.kind == "image"]
    assert (image.name, image.expected) == ("keystone on control-0", True)
    assert (image.before[-3:], image.after[-3:]) == ("k:1", "k:2")


def test_a_moved_tag_is_another_image(judged):
    """The same reference with another image id is a difference."""
    before = containers("before", grafana="g:1")
    after = dataclasses.replace(before, label="after", containers=[{**before.containers[0], "image_id": "other"}])
    results = judged(more=((60, before), (153, after)))
    (image,) = results.differences
    assert not image.expected
    assert results.outcome is Outcome.FAIL


def test_an_image_that_was_right_before_needs_no_change(judged):
    """A container that already ran the new release and stays as it is, is no finding."""
    results = judged(more=((60, containers("before", keystone="k:2")), (153, containers("after", keystone="k:2"))))
    assert results.outcome is Outcome.OK
    assert results.differences == []


@pytest.mark.parametrize(("host", "updated", "expected"), [
    ("manager", True, True), ("manager", False, False), ("control-0", True, False),
])  # fmt: skip
def test_the_managers_own_containers_may_change(judged, host, updated, expected):
    """Containers that are none of OpenStack's are told and do not fail the run; expected if a step updates the manager."""
    labels = {"de.osism.release.openstack": "2024.2"}
    plain = {
        "name": "kolla-ansible",
        "image": "osism/kolla-ansible:1",
        "image_id": "1",
        "started_at": "a",
        "labels": labels,
    }
    before = events.HostFacts("before", host, [plain])
    after = events.HostFacts("after", host, [{**plain, "image": "osism/kolla-ansible:2", "image_id": "2"}])
    keystone, nova = default_steps()
    steps = dataclasses.replace(keystone, does={"updates_manager": updated}), nova
    results = judged(more=((60, before), (153, after)), steps=steps)
    assert results.outcome is Outcome.OK
    assert [(each.kind, each.expected) for each in results.differences] == [("image", expected)]


def test_what_was_lost_fails_and_what_changed_is_told(judged):
    """A server that is gone fails the run; a changed one is told with what changed."""

    def cloud(label, *rows):
        return events.CloudFacts(label, {"servers": list(rows)})

    one = {"id": "1", "name": "db", "status": "ACTIVE", "host": "compute-0"}
    two = {"id": "2", "name": "web", "status": "ACTIVE", "host": "compute-0"}
    results = judged(more=((60, cloud("before", one, two)), (165, cloud("after", {**one, "status": "ERROR"}))))
    assert results.outcome is Outcome.FAIL
    assert {(each.name, each.change, each.after) for each in results.differences} == {
        ("db", "changed", "status ERROR"),
        ("web", "lost", ""),
    }
    assert "Lost since before the upgrade: server web" in results.sentence


@pytest.mark.parametrize("namespace", ["osism-release/2025.1", "kolla-mirror", "openstack.kolla", "kolla/release"])
def test_a_mirror_hides_no_change(judged, namespace):
    """Wherever the images lie: what the plan did not replace and changed fails, what a step should have replaced as well."""

    def mirrored(facts):
        rows = [{**row, "image": row["image"].replace("/kolla/", f":5000/{namespace}/")} for row in facts.containers]
        return dataclasses.replace(facts, containers=rows)

    before, after = (
        containers("before", keystone="k:1", grafana="g:1"),
        containers("after", keystone="k:2", grafana="g:2"),
    )
    results = judged(more=((60, mirrored(before)), (153, mirrored(after))))
    assert "Image changed, although no step of the plan replaces it: grafana on control-0" in results.sentence
    stale = judged(more=((60, mirrored(before)), (153, mirrored(containers("after", keystone="k:1", grafana="g:1")))))
    assert "keystone on control-0" in stale.sentence


def test_two_empty_looks_compare_nothing(judged):
    """Hosts on which no container was seen, before and after, are not proven."""
    looks = (60, containers("before")), (153, containers("after"))
    assert any("container" in gap.what.lower() for gap in judged(more=looks).not_proven)


def test_planned_changes_are_no_losses(judged):
    """An agent whose host goes by its full name is the same one; an amphora that octavia replaced is told as expected."""

    def cloud(label, agent, amphora):
        servers = [{"id": amphora, "name": f"amphora-{amphora}", "status": "ACTIVE"}]
        return events.CloudFacts(label, {"servers": servers, "agents": [{"id": agent, "name": agent, "alive": True}]})

    before = cloud("before", "OVN Controller agent on node-0", "1")
    results = judged(more=((60, before), (165, cloud("after", "OVN Controller agent on node-0.example.org", "2"))))
    assert {("amphora-1", "lost", True), ("amphora-2", "new", False)} == {
        (each.name, each.change, each.expected) for each in results.differences
    }
    assert "Lost" not in results.sentence


def test_a_host_that_was_not_observed_is_not_proven(judged):
    """A look that failed is named, and the host is not taken for empty."""
    results = judged(
        more=(
            (60, containers("before", keystone="k:1")),
            (153, events.HostFacts("after", "control-0", error="it cannot be reached")),
        )
    )
    assert results.differences == []
    assert any("control-0" in gap.what for gap in results.not_proven)


# --- size ----------------------------------------------------------------------------------------------------------


def test_strips_stay_small_whatever_happens(judged):
    """A probe that flaps all the time still has a short strip that shows trouble."""
    flaps = tuple(Trouble("nova", 10 + number * 0.4, 10.15 + number * 0.4) for number in range(350))
    results = judged(troubles=flaps)
    for strip in results.strips:
        assert len(strip.runs) <= 240
        assert strip.runs[0][0] >= START_NS
        for before, after in itertools.pairwise(strip.runs):
            assert before[1] == after[0]
        assert not strip.failed or any(state == "bad" for _, _, state in strip.runs)


def test_a_window_of_lost_packets_says_by_what_they_prove_it(judged):
    """A lost packet may have been the answer: its window names the round trip that counts; what was answered needs none."""
    results = judged(troubles=(Trouble("canary-0", 120, 123), Trouble("nova", 130, 132)), canaries=("canary-0",))
    said = {window.lane: window.proof for window in results.windows}
    assert said["icmp"].startswith("A packet counts as lost after ")
    assert said["icmp"].endswith(", the largest round trip near it.")
    assert "" == said["vip-new"]
