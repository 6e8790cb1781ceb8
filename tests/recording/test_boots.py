"""A manager that is rebooted during a run: nothing that was recorded before is lost, and no FAIL becomes anything else."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal.figures.outcome import Outcome
from rehearsal.judging.judge import judge
from rehearsal.recording import events
from rehearsal.recording.boots import MOMENTS
from rehearsal.recording.boots import MOMENTS_IN_FACTS
from rehearsal.recording.history import load
from rehearsal.recording.samples import SampleStoreWriter
from rehearsal.recording.samples import read_chunks
from tests.judging.test_inside import report
from tests.made.synthetic import Scenario
from tests.made.synthetic import ScriptedMigration
from tests.made.synthetic import ScriptedStep
from tests.made.synthetic import Trouble
from tests.made.synthetic import _began
from tests.made.synthetic import at_ns
from tests.made.synthetic import check
from tests.made.synthetic import write_run

S = 1_000_000_000
CUT_S = 95.0
STEPS = (
    ScriptedStep("keystone", 30, 50, ("keystone",), ("keystone",), {"keystone": {"longest_s": 2.0, "total_s": 4.0}}),
    ScriptedStep("nova", 120, 140, ("nova",), ("nova_api",), {"nova": {"longest_s": 2.0, "total_s": 4.0}}),
)


def _again(script):
    """The opening record of the attempt after the reboot."""
    return dataclasses.replace(_began(script), attempt=2)


def rebooted(run_dir, *, up_before_s, set_back_s=0.0):  # noqa: C901 - kind by kind
    """Rewrite a recording as if the machine had been rebooted at CUT_S: until then its clock was `up_before_s` ahead."""
    shift_ns, cut_ns = round(up_before_s * S), at_ns(CUT_S)
    for path in (run_dir / "journal").glob("*.jsonl"):
        written = []
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if record["t"] < cut_ns:
                record["t"] += shift_ns
                for kind, names in MOMENTS.items():
                    if record["kind"] == events.kind_of(kind):
                        record.update({name: record[name] + shift_ns for name in names})
                if record["kind"] == "beacon-heard":
                    moments = MOMENTS_IN_FACTS[events.BeaconHeard]
                    record["facts"].update(
                        {name: record["facts"][name] + shift_ns for name in moments if name in record["facts"]}
                    )
                if "boot_id" in record and record["kind"] in {"run-began", "prober-started"}:
                    record["boot_id"] = "the boot before"
            else:
                record["w"] -= round(set_back_s * S)
            written.append(json.dumps(record))
        path.write_text("\n".join(written) + "\n")
    path = run_dir / "samples" / "prober.smp"
    chunks = [chunk.copy() for chunk in read_chunks(path)]
    path.unlink()
    with SampleStoreWriter(path) as writer:
        for chunk in chunks:
            if chunk["sent"].min() < cut_ns:
                for name in ("due", "sent", "done"):
                    chunk[name] += shift_ns
            writer.append(chunk)
            writer.flush()
    return run_dir


def script_with(**fields):
    usual = {"duration_s": 160.0, "steps": STEPS, "prober_pause": (90.0, 100.0), "baseline_s": 20.0, "http_hz": 5.0,
             "icmp_hz": 10.0, "tcp_hz": 0.0, "deep_hz": 0.0}  # fmt: skip
    script = Scenario(**{**usual, **fields})
    return dataclasses.replace(script, more=((96.0, _again(script)), *script.more))


def failures(results):
    return {(each.subject, each.sentence) for each in results.findings if each.outcome is Outcome.FAIL}


FAILURES = {
    "a step": {"steps": (dataclasses.replace(STEPS[0], rc=2), STEPS[1])},
    "a gate": {"steps": (dataclasses.replace(STEPS[0], gate=("ok", "fail")), STEPS[1])},
    "an outage": {"troubles": (Trouble("keystone", 35.0, 41.0),)},
    "an outage of another service": {"troubles": (Trouble("nova", 35.0, 41.0),)},
    "an outage of a canary": {"troubles": (Trouble("canary-0", 36.0, 45.0),)},
    "a canary that was booted again": {"more": ((60.0, events.BeaconHeard("canary-0", "another boot")),)},
    "a guest's file": {"more": (report(20), report(60, file_sha256="other"))},
    "a guest's pause": {
        "migrations": (ScriptedMigration("m1", "canary-0", 55, 65),),
        "more": (report(52), report(68, pauses=1, pause_longest_ms=9_000.0, pause_limit_ms=100)),
    },
    "a check": {"checks": (check("step:keystone", "fail", node_id="own"),)},
    "something lost": {
        "more": (
            (10.0, events.CloudFacts("before", {"servers": [{"id": "1", "name": "web"}]})),
            (150.0, events.CloudFacts("after", {"servers": []})),
        )
    },
    "clean-up": {"more": ((70.0, events.PhaseBegan("canaries")), (71.0, events.PhaseEnded("canaries", "fail")))},
}


@pytest.mark.parametrize("what", FAILURES)
def test_a_failure_recorded_before_a_reboot_stays_a_failure(tmp_path, what):
    """Whatever failed before the machine was rebooted fails with the same sentence, as if it had stayed up."""
    script = script_with(**FAILURES[what])
    upright = failures(judge(load(write_run(tmp_path / "up", script))))
    assert upright
    results = judge(load(rebooted(write_run(tmp_path / "down", script), up_before_s=90_000)))
    assert Outcome.FAIL is results.outcome
    assert upright == failures(results)


@settings(max_examples=12, deadline=None)
@given(
    who=st.sampled_from(["keystone", "nova", "canary-0"]),
    from_s=st.floats(30.5, 40.0),
    lasts_s=st.floats(4.5, 9.0),
    up_before_s=st.floats(-4_900, 2_000_000).filter(lambda each: abs(each) > 300),
    set_back_s=st.sampled_from([0.0, 0.0, 30.0, 86_400.0]),
)
def test_every_cell_is_the_same_whenever_the_machine_had_booted(  # noqa: PLR0917 - what is generated
    tmp_path_factory, who, from_s, lasts_s, up_before_s, set_back_s
):
    """What was lost in a step is the same to the nanosecond, however the two boots' clocks stand to one another."""
    script = script_with(troubles=(Trouble(who, from_s, from_s + lasts_s), Trouble("nova", 125.0, 126.0)))
    upright = judge(load(write_run(tmp_path_factory.mktemp("up"), script)))
    if set_back_s and abs(up_before_s + set_back_s) < 300:
        set_back_s = 0.0
    run_dir = rebooted(
        write_run(tmp_path_factory.mktemp("down"), script), up_before_s=up_before_s, set_back_s=set_back_s
    )
    results = judge(load(run_dir))
    assert results.outcome is Outcome.FAIL
    in_steps = [loss for loss in upright.matrix if loss.step in {"keystone", "nova"}]
    assert in_steps == [loss for loss in results.matrix if loss.step in {"keystone", "nova"}]
    assert upright.quality.samples == results.quality.samples


def test_a_reboot_is_told_and_leaves_the_verdict_unknown_at_best(tmp_path):
    """Nobody measured while the machine booted: without a failure the run is undecided, and says why."""
    run_dir = rebooted(write_run(tmp_path, script_with()), up_before_s=90_000)
    history = load(run_dir)
    assert len(history.boots) == 2
    assert [attempt.number for attempt in history.attempts] == [1, 2]
    results = judge(history)
    assert results.outcome is Outcome.UNKNOWN
    assert "rebooted" in results.sentence
    assert any("no prober ran between two attempts" in why for _, _, why in results.quality.blind)


def test_every_moment_in_an_event_is_known(tmp_path):
    """A field of an event that is a moment of the monotonic clock is put on the common clock with its record."""
    lengths = {"period_ns", "deadline_ns", "soft_ns", "lag_max_ns", "run_delay_ns", "steal_ns", "cpu_ns"}
    of_the_host = {"wall_ns", "after_wall_ns"}
    for kind in events.KINDS.values():
        names = {field.name for field in dataclasses.fields(kind) if field.name.endswith("_ns")}
        assert names - lengths - of_the_host == set(MOMENTS.get(kind, ())), kind
