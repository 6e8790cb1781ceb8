"""The witness with real processes: plain sh stands where ssh would, the program on the host is the real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from rehearsal.hosts.packing import packed
from rehearsal.recording import events
from rehearsal.recording.journal import read
from rehearsal.witness import Witness
from rehearsal.witness import watching

HERE = watching.COMMAND.replace("sudo -n python3", sys.executable)


def wait_for(condition, within_s=20.0):
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {within_s} s")


def recorded(path, kind):
    if not path.exists():
        return []
    return [record.event for record in read(path).records if isinstance(record.event, kind)]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def host_writing_its_pid(folder, name="one"):
    """A command line as ssh's would be; the shell leaves its process id and becomes the program."""
    return ["sh", "-c", f"echo $$ > {folder}/{name}.part; mv {folder}/{name}.part {folder}/{name}.pid; {HERE}"]


def pid_of(folder, name="one"):
    path = folder / f"{name}.pid"
    return wait_for(lambda: int(path.read_text()) if path.exists() else 0)


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "journal" / "witness.jsonl"


@pytest.fixture
def witness(journal):
    notes = []
    made = Witness(journal, lambda level, text: notes.append((level, text)))
    made.notes = notes
    yield made
    made.stop()


def test_a_host_is_watched_until_it_is_told_to_stop(witness, journal, tmp_path):
    """Its clock is read, what cannot be watched is told, and at the end nothing is left running."""
    witness.start({"one": host_writing_its_pid(tmp_path)}, ["192.0.2.9"])
    (clock,) = wait_for(lambda: recorded(journal, events.WitnessClock))
    assert clock.asked_ns < clock.answered_ns
    assert abs(clock.wall_ns - time.time_ns()) < 60 * 10**9
    wait_for(lambda: recorded(journal, events.VipChanged))
    pid = pid_of(tmp_path)
    assert alive(pid)
    assert "1 of 1 hosts heard" in witness.stop()
    assert not alive(pid)
    assert [("host", "watching")] == [
        (each.part, each.state) for each in recorded(journal, events.WitnessSight) if each.part == "host"
    ]
    (ended,) = recorded(journal, events.WitnessEnded)
    assert ended.cpu_ns > 0
    assert [(each.address, each.held) for each in recorded(journal, events.VipChanged)] == [("192.0.2.9", False)]


def test_a_host_that_breaks_off_is_blind_from_when_it_was_last_heard_and_tried_again(witness, journal, tmp_path):
    """The gap is recorded with both ends: last heard, and heard again."""
    witness.start({"one": host_writing_its_pid(tmp_path)})
    wait_for(lambda: recorded(journal, events.WitnessClock))
    (tmp_path / "one.pid").rename(tmp_path / "first")
    os.kill(int((tmp_path / "first").read_text()), signal.SIGKILL)
    wait_for(lambda: len([e for e in recorded(journal, events.WitnessSight) if e.part == "host"]) == 3)
    first, lost, again = [e for e in recorded(journal, events.WitnessSight) if e.part == "host"]
    assert ["watching", "blind", "watching"] == [first.state, lost.state, again.state]
    assert lost.heard_ns > 0
    assert lost.why == "the connection ended"
    assert pid_of(tmp_path) != int((tmp_path / "first").read_text())


def test_a_host_out_of_reach_is_told_once_with_ssh_s_own_words(witness, journal, monkeypatch):
    """However often it is tried: one record, one note."""
    monkeypatch.setattr(watching, "FIRST_RETRY_S", 0.05)
    monkeypatch.setattr(watching, "LAST_RETRY_S", 0.05)
    monkeypatch.setattr(watching, "NOTED_AFTER_S", 0.1)
    witness.start({"far": ["sh", "-c", "echo 'ssh: connect to host far port 22: No route to host' >&2; exit 255"]})
    wait_for(lambda: witness.notes)
    time.sleep(1.0)
    witness.stop()
    (sight,) = recorded(journal, events.WitnessSight)
    assert (sight.part, sight.state, sight.heard_ns) == ("host", "blind", 0)
    assert sight.why == "ssh: connect to host far port 22: No route to host"
    ((level, text),) = witness.notes
    assert level == "warning"
    assert text.startswith("far: what happens there is not watched: ssh: connect")
    assert recorded(journal, events.WitnessEnded) == []


def test_nothing_stays_on_the_host_if_the_runner_is_killed(tmp_path, journal):
    """The process that watches is killed with -9: its pipes close, and the program on the host ends by itself."""
    script = f"""
        import sys, time
        from pathlib import Path
        from rehearsal.witness import Witness
        Witness(Path({str(journal)!r}), print).start({{"one": {host_writing_its_pid(tmp_path)!r}}})
        time.sleep(600)
    """
    runner = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    try:
        pid = pid_of(tmp_path)
        wait_for(lambda: recorded(journal, events.WitnessClock))
        assert alive(pid)
    finally:
        runner.kill()
        runner.wait()
    wait_for(lambda: not alive(pid), within_s=5.0)


def test_nothing_stays_on_the_host_if_the_network_goes_silent():
    """Neither end of file nor reset: what is not heard from for a while ends by itself."""
    program = packed(watching.PROGRAM)
    assert r"SILENCE_S = 60\n" in program
    process = subprocess.Popen(
        [sys.executable, "-c", program.replace(r"SILENCE_S = 60\n", r"SILENCE_S = 1\n")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        process.stdin.write(b"{}\n")
        process.stdin.flush()
        assert b'"hello"' in process.stdout.readline()
        time.sleep(0.5)
        process.stdin.write(b'{"ping":1}\n')
        process.stdin.flush()
        while b'"pong"' not in process.stdout.readline():
            pass
        assert -signal.SIGALRM == process.wait(10)


def test_nothing_stays_on_the_host_if_its_output_breaks():
    """Nobody reads any more: the next word ends it."""
    process = subprocess.Popen(
        [sys.executable, "-c", packed(watching.PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        process.stdin.write(b"{}\n")
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b'{"ping":1}\n')
        process.stdin.flush()
        assert 1 == process.wait(10)


def test_a_second_attempt_goes_on_in_the_same_journal_after_a_torn_line(tmp_path, journal):
    """One writer after the other; the torn last record of a killed one is dropped."""
    journal.parent.mkdir()
    journal.write_text(
        '{"t":1,"w":1,"kind":"witness-began","hosts":["one"],"vips":[]}\n{"t":2,"w":2,"kind":"container-ch'
    )
    witness = Witness(journal, lambda level, text: None)
    witness.start({"one": host_writing_its_pid(tmp_path)})
    wait_for(lambda: recorded(journal, events.WitnessClock))
    witness.stop()
    assert len(recorded(journal, events.WitnessBegan)) == 2


def test_it_watches_nothing_if_there_are_no_hosts(witness, journal):
    """No thread, no journal."""
    witness.start({})
    assert witness.stop() == ""
    assert not journal.exists()
