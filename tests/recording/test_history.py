"""Loading recordings: whole ones, broken-off ones, old ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rehearsal.figures.outcome import Outcome
from rehearsal.judging.judge import judge
from rehearsal.outage import derive
from rehearsal.recording import events
from rehearsal.recording.history import HistoryError
from rehearsal.recording.history import load
from rehearsal.recording.history import silences
from rehearsal.recording.journal import Journal
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.samplestream import UNDECLARED
from rehearsal.recording.samplestream import samples
from tests.made import wrong_rules
from tests.made.synthetic import Scenario
from tests.made.synthetic import ScriptedMigration
from tests.made.synthetic import Trouble
from tests.made.synthetic import at_ns
from tests.made.synthetic import probes_of
from tests.made.synthetic import samples_of
from tests.made.synthetic import write_run

GOLDEN = Path(__file__).parents[1] / "data" / "golden-run"
S = 1_000_000_000


def test_a_recording_is_merged_into_one_history(tmp_path):
    """Journals of runner, prober and suites become facts in order of time."""
    script = Scenario(migrations=(ScriptedMigration("m1", "canary-0", 155, 160),))
    history = load(write_run(tmp_path, script))
    moments = [record.t_ns for record in history.records]
    assert moments == sorted(moments)
    assert [run.step for run in history.steps] == ["keystone", "nova"]
    assert [run.rc for run in history.steps] == [0, 0]
    assert [phase for phase, *_ in history.phases] == ["preflight", "canaries", "baseline", "steps"]
    assert len(history.probes) == len(probes_of(script))
    assert all(probe.ended_ns == at_ns(script.duration_s) for probe in history.probes)
    assert history.migrations[0].ended.status == "completed"
    assert history.last.reason == "finished"
    assert (history.began_ns, history.ended_ns) == (at_ns(0), at_ns(170))


def test_trap_07_nanoseconds_survive_store_and_load(tmp_path):
    """An outage of 0.3 s keeps its four instants, to the nanosecond, from the prober to the trace."""
    script = Scenario(troubles=(Trouble("nova", 120.123456789, 120.423456789),), deep_hz=0, canaries=())
    history = load(write_run(tmp_path, script))
    probe = next(each for each in history.probes if each.service == "nova")
    (stored,) = [window for window in judge(history).windows if window.probe == probe.declared.probe]
    direct = samples_of(script, probe.declared, 0, 60), samples_of(script, probe.declared, 60, 120)
    late = samples_of(script, probe.declared, 120, 170)
    (outage,) = derive(np.concatenate([*direct, late]), period_ns=probe.declared.period_ns).outages
    assert (stored.last_good_ns, stored.first_bad_ns) == (outage.last_good_ns, outage.first_bad_ns)
    assert (stored.last_bad_ns, stored.first_good_ns) == (outage.last_bad_ns, outage.first_good_ns)
    assert stored.length.certain_ns <= 300_000_000 <= stored.length.possible_ns
    assert wrong_rules.in_whole_seconds(stored.first_bad_ns, stored.first_good_ns) == 0


def test_a_runner_that_was_killed_leaves_what_it_wrote(tmp_path):
    """Without RunEnded and StepEnded the end is None and the history ends with its last record."""
    history = load(write_run(tmp_path, Scenario(runner_dies_s=120.0)))
    assert history.last.ended_ns is None
    assert history.steps[-1].ended_ns is None
    assert history.ended_ns == at_ns(170)  # the prober went on for a while


def test_a_prober_that_died_ends_its_probes_at_its_last_sign_of_life(tmp_path):
    """Without ProberStopped a probe's end is not known, only when its prober was last heard of."""
    history = load(write_run(tmp_path, Scenario(prober_dies_s=125.0)))
    assert history.prober_runs[0].stopped_ns is None
    assert {probe.ended_ns for probe in history.probes} == {None}
    assert {probe.broke_off_ns for probe in history.probes} == {at_ns(125)}


def test_a_prober_that_stood_still_was_silent(tmp_path):
    """Missing heartbeats are a silence."""
    history = load(write_run(tmp_path, Scenario(stalls=((80.0, 86.5),))))
    assert silences(history) == [(at_ns(79), at_ns(87), "the prober gave no sign of life")]


def test_a_probe_that_is_declared_again_goes_on(tmp_path):
    """The second prober of a resumed run gives the same numbers: samples go to the declaration of their time."""
    history = load(write_run(tmp_path, Scenario(prober_pause=(90.0, 100.0))))
    number = history.probes[0].declared.probe
    first, second = [probe for probe in history.probes if probe.declared.probe == number]
    assert (first.ended_ns, second.from_ns) == (at_ns(90), at_ns(100))
    counts = {first.index: 0, second.index: 0}
    for chunk in samples(history):
        for probe in (first, second):
            mine = chunk[chunk["probe"] == probe.index]
            assert (mine["sent"] >= probe.from_ns).all()
            counts[probe.index] += len(mine)
    assert counts == {first.index: 900, second.index: 700}


def test_samples_of_nobody_are_marked(tmp_path):
    """Samples of a number that no record declares get no probe, and are told."""
    run_dir = write_run(tmp_path, Scenario())
    journal = run_dir / "journal" / "prober.jsonl"
    lines = [line for line in journal.read_text().splitlines() if '"nova deep"' not in line]
    journal.write_text("\n".join(lines) + "\n")
    history = load(run_dir)
    assert sum(int((chunk["probe"] == UNDECLARED).sum()) for chunk in samples(history)) == 170
    assert any("undeclared probes" in remark for remark in judge(history).quality.remarks)


def test_a_probe_s_period_may_change(tmp_path):
    """A probe keeps what it was told about its period, with the time."""
    run_dir = write_run(tmp_path, Scenario())
    with Journal(run_dir / "journal" / "prober-more.jsonl", clock=lambda: (at_ns(155), 0)) as journal:
        journal.write(events.PeriodChanged(1, 10_000_000))
    history = load(run_dir)
    assert history.probes[0].periods == ((at_ns(0), 100_000_000), (at_ns(155), 10_000_000))


def test_a_torn_last_line_is_dropped(tmp_path):
    """What a crash tears is not read; what was whole is."""
    run_dir = write_run(tmp_path, Scenario())
    with (run_dir / "journal" / "runner.jsonl").open("a") as journal:
        journal.write('{"t": 1, "kind": "run-en')
    assert load(run_dir).last.reason == "finished"


def test_a_folder_without_a_recording_is_named(tmp_path):
    """One sentence with the path and what to do."""
    with pytest.raises(HistoryError, match="no recording here"):
        load(tmp_path)
    (tmp_path / "journal").mkdir()
    with pytest.raises(HistoryError, match="no record of a run"):
        load(tmp_path)


def test_damage_is_kept_with_its_line(tmp_path):
    """A line that is no record is told, with its place; the others are read."""
    run_dir = write_run(tmp_path, Scenario())
    path = run_dir / "journal" / "runner.jsonl"
    with path.open("a") as journal:
        journal.write("[]\n")
    place = len(path.read_bytes().splitlines())
    history = load(run_dir)
    flaws = [str(flaw) for journal in history.journals for flaw in journal.flaws]
    assert flaws == [
        f"journal/runner.jsonl, line {place}: there is no checksum: the line was changed after it was written"
    ]
    assert history.last.reason == "finished"


def test_a_run_without_a_prober_is_loaded_and_unknown(tmp_path):
    """A runner that was killed before it started the prober leaves a run that proves nothing."""
    run_dir = write_run(tmp_path, Scenario(runner_dies_s=0.3))
    (run_dir / "journal" / "prober.jsonl").unlink()
    (run_dir / "samples" / "prober.smp").unlink()
    results = judge(load(run_dir))
    assert results.outcome is Outcome.UNKNOWN
    assert results.quality.samples == 0
    assert results.quality.blind_share == 1.0


def test_the_golden_run_loads_for_ever():
    """A recording of the first days still tells the same, in spite of unknown kinds, unknown keys and a torn end."""
    history = load(GOLDEN)
    results = judge(history)
    assert [step.rc for step in results.steps] == [0, 0]
    assert {window.kind for window in results.windows} == {"down", "degraded"}
    down = next(loss for loss in results.matrix if (loss.step, loss.service, loss.kind) == ("nova", "nova", "down"))
    slow = next(loss for loss in results.matrix if (loss.step, loss.service, loss.kind) == ("nova", "nova", "degraded"))
    expected = json.loads((GOLDEN / "expected.json").read_text())
    for name, loss in (("down", down), ("degraded", slow)):
        assert loss.count == expected[name]["count"]
        assert loss.total.certain_ns == expected[name]["certain_ns"]
        assert loss.total.possible_ns == expected[name]["possible_ns"]
        # Every lane's bounds hold, also those of the lane that looked once a second.
        lanes = [window for window in results.windows if (window.service, window.kind) == ("nova", name)]
        assert len(lanes) == 3
        begin, end = min(one.last_good_ns for one in lanes), max(one.first_good_ns for one in lanes)
        assert loss.total.possible_ns == end - begin
    assert results.outcome == expected["outcome"]
    assert results.quality.samples == expected["samples"]
    assert results.migrations[0].network.possible_ns == expected["migration_possible_ns"]
    assert SampleClass.HTTP_5XX_LB.name in results.windows[0].classes
