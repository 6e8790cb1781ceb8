"""Damage to a recording is told, with its file and its place, and no verdict becomes better by it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal import cli
from rehearsal.figures.outcome import Outcome
from rehearsal.judging.judge import judge
from rehearsal.recording import events
from rehearsal.recording.history import load
from rehearsal.recording.history import read
from rehearsal.recording.journal import Journal
from rehearsal.recording.journal import JournalError
from rehearsal.recording.rundir import RunDirectory
from rehearsal.recording.samples import SampleStoreWriter
from rehearsal.runner import suites
from rehearsal.runner.past import read_past
from tests.made.synthetic import Scenario
from tests.made.synthetic import Trouble
from tests.made.synthetic import at_ns
from tests.made.synthetic import samples_of
from tests.made.synthetic import write_run

GOLDEN = Path(__file__).parents[1] / "data" / "golden-run"
SMALL = {"canaries": ("canary-0",), "http_hz": 2.0, "icmp_hz": 2.0, "tcp_hz": 0.0, "control": False}
GOOD = Scenario(**SMALL)
BAD = Scenario(**SMALL, troubles=(Trouble("nova", 120, 140),))
NAME = "20261124T062448Z"


def told(results):
    return " ".join([*(finding.sentence for finding in results.findings), *results.quality.remarks])


def judged(run_dir):
    return judge(load(run_dir))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run that passed and one that failed, both closed as a runner closes them."""
    from tests.made import damaging

    folder = tmp_path_factory.mktemp("runs")
    made = {name: write_run(folder / name, script) for name, script in (("good", GOOD), ("bad", BAD))}
    assert [damaging.close(path).outcome for path in made.values()] == [Outcome.OK, Outcome.FAIL]
    return {name: damaging.Patient(path) for name, path in made.items()}


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32), which=st.sampled_from(("good", "bad")))
def test_no_damage_is_passed_over(runs, seed, which):
    """Whatever is changed in whichever file: no traceback, no hang, no better verdict, and the file is named."""
    chance = random.Random(seed)
    effect = runs[which].suffer(chance.choice(runs[which].names()), chance)
    assert effect is None or not effect.wrong, effect


def outcome_of(run_dir):
    try:
        results = judged(run_dir)
    except JournalError as error:
        return None, str(error)
    return results.outcome, told(results)


def lost(lines, place):
    return [*lines[:place], *lines[place + 1 :]]


def doubled(lines, place):
    return [*lines[: place + 1], *lines[place:]]


def swapped(lines, place):
    other = (place + 1) % len(lines)
    return [lines[other] if at == place else lines[place] if at == other else line for at, line in enumerate(lines)]


def flipped(lines, place):
    middle = len(lines[place]) // 2
    bad = lines[place][:middle] + bytes([lines[place][middle] ^ 1]) + lines[place][middle + 1 :]
    return [bad if at == place else line for at, line in enumerate(lines)]


@pytest.mark.parametrize("change", [lost, doubled, swapped, flipped])
@pytest.mark.parametrize("name", ["runner", "suite-01-preflight"])
def test_every_line_of_a_journal_counts(tmp_path, change, name):
    """Each single line that is lost, doubled, out of its place or changed by one bit makes the verdict unknown, and is named."""
    run_dir = write_run(tmp_path, GOOD)
    path = run_dir / "journal" / f"{name}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    last = len(lines) - 1
    for place in range(last if change in {swapped, lost} else last + 1):  # a lost end needs the list of files
        path.write_bytes(b"".join(change(lines, place)))
        outcome, said = outcome_of(run_dir)
        assert outcome is not Outcome.OK, place
        assert f"journal/{name}.jsonl, line" in said, place


@settings(max_examples=40)
@given(bit=st.integers(0, 10**9))
def test_no_flipped_bit_makes_a_pass_of_a_failure(tmp_path_factory, bit):
    """The check that failed is one line; any bit of it may flip, and it is never passed over."""
    failed = events.CheckDone(
        "postflight.x", "x.py::test", "postflight", "postflight", "fail", "It is so.", "yes", "no"
    )
    run_dir = write_run(tmp_path_factory.mktemp("run"), Scenario(**SMALL, checks=(failed,)))
    assert judged(run_dir).outcome is Outcome.FAIL
    (path,) = [each for each in (run_dir / "journal").glob("suite-*") if b'"fail"' in each.read_bytes()]
    lines = path.read_bytes().splitlines(keepends=True)
    place = next(at for at, line in enumerate(lines) if b'"fail"' in line)
    line = bytearray(lines[place])
    line[bit // 8 % len(line)] ^= 1 << bit % 8
    path.write_bytes(b"".join([*lines[:place], bytes(line), *lines[place + 1 :]]))
    results = judged(run_dir)
    assert results.outcome is not Outcome.OK
    assert path.name in told(results)


def test_what_failed_when_it_was_fresh_stays_failed(tmp_path):
    """The failure itself is damaged: the verdict that was kept says what it was."""
    from tests.made import damaging

    failed = events.CheckDone(
        "postflight.x", "x.py::test", "postflight", "postflight", "fail", "It is so.", "yes", "no"
    )
    run_dir = write_run(tmp_path, Scenario(**SMALL, checks=(failed,)))
    before = damaging.close(run_dir)
    (path,) = [each for each in (run_dir / "journal").glob("suite-*") if b'"fail"' in each.read_bytes()]
    path.write_bytes(path.read_bytes().replace(b'"fail"', b'"ok"'))
    results = judged(run_dir)
    assert results.outcome is Outcome.FAIL
    assert before.sentence in told(results)


def test_a_newer_version_without_damage_may_judge_otherwise(tmp_path):
    """A kept verdict counts only against damage."""
    from rehearsal.recording.closing import keep_verdict
    from tests.made import damaging

    run_dir = write_run(tmp_path, GOOD)
    damaging.close(run_dir)
    keep_verdict(run_dir, judged(write_run(tmp_path / "bad", BAD)), 1)
    assert judged(run_dir).outcome is Outcome.OK


@pytest.mark.parametrize("name", ["journal/prober.jsonl", "journal/suite-01-preflight.jsonl", "samples/prober.smp"])
@pytest.mark.parametrize("how", ["cut", "gone", "empty"])
def test_a_file_of_a_run_that_ended_in_order_is_whole(tmp_path, name, how):
    """A cut file looks like one of a killed writer; what was kept when the run ended says that it was none."""
    from tests.made import damaging

    run_dir = write_run(tmp_path, GOOD)
    damaging.close(run_dir)
    path = run_dir / name
    data = path.read_bytes()
    path.unlink()
    if how != "gone":
        path.write_bytes(data[: data.rindex(b"REND" if name.endswith("smp") else b'{"n"')] if how == "cut" else b"")
    results = judged(run_dir)
    assert results.outcome is Outcome.UNKNOWN
    assert f"The recording is damaged: {name}" in told(results)


def test_a_lost_block_at_the_end_is_missed_by_the_probers_own_count(tmp_path):
    """Without any list of files: the prober says how many samples of each probe it stored."""
    run_dir = write_run(tmp_path, GOOD)
    path = run_dir / "samples" / "prober.smp"
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"RBK2")])
    results = judged(run_dir)
    assert results.outcome is Outcome.UNKNOWN
    assert "samples/prober.smp, the prober stored" in told(results)


def test_blocks_out_of_order_twice_or_of_another_run(tmp_path):
    """Each block is whole by itself; the chain says that it is not in its place."""
    from rehearsal.recording import frames

    run_dir = write_run(tmp_path / "a", GOOD)
    other = (write_run(tmp_path / "b", GOOD) / "samples" / "prober.smp").read_bytes()
    path = run_dir / "samples" / "prober.smp"
    whole = path.read_bytes()
    with path.open("rb") as file:
        pieces = [whole[each.offset : each.end] for each in frames.walk(file, len(whole))]
    assert len(pieces) >= 5
    for changed in (
        [pieces[0], pieces[2], pieces[1], *pieces[3:]],
        [*pieces[:2], pieces[1], *pieces[2:]],
        [*pieces[:1], *pieces[2:]],
        [other],
    ):
        path.write_bytes(b"".join(changed))
        results = judged(run_dir)
        assert results.outcome is Outcome.UNKNOWN
        assert "samples/prober.smp" in told(results)


def test_a_journal_of_another_run_is_not_used(tmp_path):
    """A good suite's journal of another run does not stand for this run's own."""
    run_dir, other = write_run(tmp_path / "a", GOOD), write_run(tmp_path / "b", GOOD)
    shutil.copy(other / "journal" / "suite-01-preflight.jsonl", run_dir / "journal" / "suite-01-preflight.jsonl")
    results = judged(run_dir)
    assert results.outcome is Outcome.UNKNOWN
    assert "journal/suite-01-preflight.jsonl, it belongs to another recording" in told(results)
    assert not [check for check in results.checks if check.gate == "preflight"]


def test_a_copy_beside_the_original_is_told(tmp_path):
    """`cp suite-01.jsonl suite-09.jsonl` makes no second evidence."""
    run_dir = write_run(tmp_path, GOOD)
    shutil.copy(run_dir / "journal" / "suite-01-preflight.jsonl", run_dir / "journal" / "suite-09-preflight.jsonl")
    assert "suite-09-preflight.jsonl, it was written as journal/suite-01-preflight.jsonl" in told(judged(run_dir))


WRITER = """
import sys, time
from pathlib import Path
from rehearsal.recording import events
from rehearsal.recording.journal import Journal
journal = Journal(Path(sys.argv[1]))
for number in range(10**9):
    journal.write(events.Note("info", "x" * (number % 3000)))
    if number == 20:
        print("going", flush=True)
"""


def test_what_kill_9_leaves_is_told_and_is_no_damage(tmp_path):
    """Three writers, each killed in full flight and the last line torn as a power cut does: nothing of it is damage."""
    from rehearsal.recording.journal import read

    path = tmp_path / "journal" / "runner.jsonl"
    for cut in (0, 1, 40):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        os.truncate(path, path.stat().st_size - cut)
    found = read(path)
    assert [flaw for flaw in found.flaws if flaw.decides] == []
    assert not found.closed
    with Journal(path) as journal:
        journal.write(events.Note("info", "after all"))
    found = read(path)
    assert [flaw.what for flaw in found.flaws] == ["the line is incomplete: its writer was killed"]
    assert not [flaw for flaw in found.flaws if flaw.decides]
    assert found.closed
    assert found.records[-1].event.text == "after all"
    assert [record.event.writer for record in found.about if isinstance(record.event, events.JournalOpened)] == [
        1,
        2,
        3,
        4,
    ]


def test_a_full_disk_loses_no_line_in_silence(tmp_path, monkeypatch):
    """What could not be written is said by the next line that can; the lines around it are whole."""
    from rehearsal.recording import chain

    run_dir = write_run(tmp_path, Scenario(**SMALL, runner_dies_s=100))
    whole = chain.write_whole

    def full(file, data, size_bytes):
        if b"lost" in data and b"records-lost" not in data:
            raise OSError(28, "No space left on device")
        whole(file, data, size_bytes)

    monkeypatch.setattr(chain, "write_whole", full)
    with Journal(run_dir / "journal" / "runner.jsonl", clock=lambda: (at_ns(169), 0)) as journal:
        with pytest.raises(OSError, match="No space"):
            journal.write(events.Note("info", "lost"))
        journal.write(events.RunEnded("finished"))
    results = judged(run_dir)
    assert results.outcome is Outcome.UNKNOWN
    assert "Not everything could be recorded: journal/runner.jsonl" in told(results)
    assert "No space left on device" in told(results)
    assert "damaged" not in told(results)


def test_a_line_cut_by_a_full_disk_is_taken_back(tmp_path):
    """Half a line stays nowhere: the file ends with the last whole line, and the store with the last whole block."""
    from rehearsal.recording import chain

    path = tmp_path / "x"

    class Full:
        def __init__(self, file):
            self.file, self.truncate = file, file.truncate

        def write(self, data):
            if self.file.tell() > 5:
                raise OSError(28, "No space left on device")
            return self.file.write(data[:4])

    with path.open("ab", buffering=0) as file:
        file.write(b"abc")
        with pytest.raises(OSError, match="No space"):
            chain.write_whole(Full(file), b"defghijklmn", 3)
    assert path.read_bytes() == b"abc"


def test_two_attempts_are_one_chain(tmp_path):
    """A resumed run goes on where the first left off, in every file."""
    from tests.made import damaging

    run_dir = write_run(tmp_path, Scenario(**SMALL, prober_pause=(50.0, 60.0)))
    damaging.close(run_dir)
    assert "damaged" not in told(judged(run_dir))
    began = next(record.event for record in read(run_dir, "journal/runner.jsonl").records)
    with Journal(run_dir / "journal" / "runner.jsonl", clock=lambda: (at_ns(171), 0)) as journal:
        journal.write(events.RunBegan(**{**vars_of(began), "attempt": 2}))
        journal.write(events.RunEnded("finished"))
    assert "damaged" not in told(judged(run_dir))
    damaging.close(run_dir)
    assert "damaged" not in told(judged(run_dir))


def vars_of(event):
    return {name: getattr(event, name) for name in type(event).__dataclass_fields__}


def test_a_killed_probers_beats_say_how_much_there_was(tmp_path):
    """A prober that was killed loses its last second or two, not its last minute."""
    script = Scenario(**SMALL, prober_dies_s=150)
    run_dir = write_run(tmp_path, script)
    path = run_dir / "samples" / "prober.smp"
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"REND")])  # it was killed
    assert "damaged" not in told(judged(run_dir))
    path.write_bytes(whole[: whole.rindex(b"RBK2")])
    assert "a prober that was killed had stored at least" in told(judged(run_dir))


def test_an_old_recording_says_that_it_cannot_be_checked():
    """It has no checksums, and that is no damage."""
    results = judged(GOLDEN)
    assert "The recording has no checksums" in told(results)
    assert "damaged:" not in told(results)


@pytest.mark.parametrize("line", ['{"t":1,"w":1,"ki', '{"t":1,"w":1,"kind":"check-donf"}', '{"t":1}', "[]", '{"t":true,"w":1,"kind":"note"}',
    '{"t":1,"w":1,"kind":"run-ended","reason":7}', '{"t":1' + "0" * 400 + ',"w":1,"kind":"note"}', '{"t":1,"w":1,"kind":"x","a":' + "[" * 9999])  # fmt: skip
def test_an_unreadable_line_of_an_old_recording_decides(tmp_path, line):
    """Without checksums, too, no line is dropped in silence."""
    run_dir = tmp_path / "run"
    shutil.copytree(GOLDEN, run_dir)
    path = run_dir / "journal" / "runner.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:5], line, *lines[5:]]))
    results = judged(run_dir)
    assert results.outcome is Outcome.UNKNOWN
    assert "journal/runner.jsonl, line 6" in told(results)


def test_a_kind_of_a_newer_version_is_told(tmp_path):
    """Under a good checksum nothing is damaged: a newer version has to judge."""
    from dataclasses import dataclass

    run_dir = write_run(tmp_path, GOOD)

    @dataclass(frozen=True, slots=True)
    class FlagOfTomorrow(events.Event):
        text: str

    with Journal(run_dir / "journal" / "runner.jsonl", clock=lambda: (at_ns(171), 0)) as journal:
        journal.write(FlagOfTomorrow("x"))
    results = judged(run_dir)
    assert results.outcome is Outcome.UNKNOWN
    assert "its kind 'flag-of-tomorrow' is not known: a newer version wrote it" in told(results)


def test_a_damaged_journal_is_not_resumed(tmp_path):
    """What was done cannot be told from it, and nothing is done twice."""
    run_dir = write_run(tmp_path, GOOD)
    path = run_dir / "journal" / "runner.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"step-ended"', b'"step-Ended"', 1))
    with pytest.raises(JournalError, match=r"journal/runner\.jsonl, line \d+.*restore"):
        read_past(RunDirectory(run_dir))


# --- no old page says PASS -----------------------------------------------------------------------------------------


def listed(reports, capsys):
    assert cli.main(["list", "--reports", str(reports)]) == 0
    return capsys.readouterr().out


def test_after_a_failed_report_nothing_says_pass(tmp_path, capsys):
    """The page, the results and the list of an earlier, good judgement do not outlive a recording that cannot be read."""
    run_dir = write_run(tmp_path / NAME, GOOD)
    assert cli.main(["report", str(run_dir)]) == 0
    assert "PASS" in listed(tmp_path, capsys)
    (run_dir / "journal" / "runner.jsonl").write_bytes(b"")
    assert "PASS" not in listed(tmp_path, capsys)  # not even before anybody judged again
    assert cli.main(["report", str(run_dir)]) == 64
    assert "PASS" not in listed(tmp_path, capsys)
    assert not [name for name in ("report.html", "results.json", "junit.xml") if (run_dir / name).exists()]


@pytest.mark.parametrize("name", ["journal/prober.jsonl", "samples/prober.smp", "journal/suite-01-preflight.jsonl"])
def test_results_belong_to_one_recording(tmp_path, capsys, name):
    """`list` compares the recording with the one that was judged; a copy elsewhere is the same one."""
    run_dir = write_run(tmp_path / NAME, GOOD)
    assert cli.main(["report", str(run_dir)]) == 0
    shutil.copytree(tmp_path, tmp_path.with_name(tmp_path.name + "-copy"))
    assert "PASS" in listed(tmp_path.with_name(tmp_path.name + "-copy"), capsys)
    data = bytearray((run_dir / name).read_bytes())
    data[len(data) // 2] ^= 1
    (run_dir / name).write_bytes(data)
    assert f"the recording is not the one that was judged: rehearse report {NAME}" in listed(tmp_path, capsys)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"outcome":"ok","sentence":"x"}', '{"outcome":"ok","sentence":"x","provenance":[]}']
)
def test_results_that_are_none_say_nothing(tmp_path, capsys, text):
    """Half a file, another file, or one of an older version is no verdict of this recording."""
    run_dir = write_run(tmp_path / NAME, GOOD)
    (run_dir / "results.json").write_text(text)
    assert "PASS" not in listed(tmp_path, capsys)


def test_the_runners_report_keeps_the_verdict(tmp_path):
    """What `rehearse run` says at its end is recorded with the files as they are then."""
    from rehearsal.cli.after import make_report

    run = RunDirectory(write_run(tmp_path / NAME, BAD))
    assert make_report(run, fresh=True).outcome is Outcome.FAIL
    first, kept = [json.loads(line) for line in (run.path / "journal" / "closing.jsonl").read_text().splitlines()[1::3]]
    assert {each["name"] for each in first["files"]} >= {"journal/runner.jsonl", "samples/prober.smp"}
    assert kept["outcome"] == "fail"
    assert judged(run.path).outcome is Outcome.FAIL


def test_samples_of_a_second_writer_are_counted_for_it(tmp_path):
    """Two probers, one after the other, each with its own count."""
    run_dir = write_run(tmp_path, Scenario(**SMALL, prober_pause=(50.0, 60.0)))
    assert "damaged" not in told(judged(run_dir))
    with SampleStoreWriter(run_dir / "samples" / "prober.smp") as writer:
        writer.append(samples_of(GOOD, next(iter(load(run_dir).probes)).declared, 0, 5))
    assert judged(run_dir).outcome is Outcome.UNKNOWN


def test_a_gate_does_not_pass_on_a_damaged_journal(tmp_path):
    """A line of a suite's journal that is not as it was written may have said that a claim failed."""
    name = "journal/suite-01-preflight.jsonl"
    path = tmp_path / name
    with Journal(path) as journal:
        journal.write(events.Note("warning", "as it was"))
        journal.write(events.Note("warning", "the last one"))
    assert "" == suites.damage_of(read(tmp_path, name))
    path.write_bytes(path.read_bytes().replace(b"as it was", b"as it is!"))
    assert "its journal is damaged" in suites.damage_of(read(tmp_path, name))
    assert "" == suites.damage_of(read(tmp_path, "journal/never-written.jsonl"))
