"""A full disk below reports/: the step's command, the clean-up and the sentence that says how to go on are not hurt."""

from __future__ import annotations

import errno
import json
import resource
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal.cli import running
from rehearsal.figures.outcome import Outcome
from rehearsal.recording import events
from rehearsal.recording.journal import Journal
from rehearsal.runner import stepshell
from rehearsal.runner.attempt import NOT_RECORDED
from rehearsal.runner.run import Course
from tests.made.small_run import Small

pytestmark = pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning")


def shell(folder, command, most_bytes):
    """Run a command below the step's shell, none of whose files may become larger than this. The command itself may."""
    names = {name: folder / f"one.{name}" for name in ("log", "end", "pid")}
    argv = [
        sys.executable,
        "-m",
        "rehearsal.runner.stepshell",
        "--timeout=30",
        *(f"--{name}={path}" for name, path in names.items()),
        "--",
    ]
    code = subprocess.run(
        [*argv, "sh", "-c", command],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes)),
        timeout=60,
        check=False,
    ).returncode
    return code, names


@given(st.integers(4096, 6000), st.integers(0, 100))
@settings(max_examples=6, deadline=None)
def test_a_log_that_can_take_no_more_does_not_end_the_command(tmp_path_factory, most_bytes, code):
    """A MiB of output, a few KiB of room: the command ends by itself, with its own exit code, and what is missing is told."""
    folder = tmp_path_factory.mktemp("step")
    got, names = shell(folder, f"yes 0123456789 | head -c 1000000; exit {code}", most_bytes)
    assert got == code
    end = json.loads(names["end"].read_text())
    assert end["rc"] == code
    assert "lines of its output could not be written: " in end["note"]
    assert names["log"].stat().st_size <= most_bytes


def test_a_log_is_written_on_once_there_is_room(tmp_path):
    """A line that was cut stays alone, the next ones are whole."""

    class Disk:
        def __init__(self):
            self.taken, self.room = b"", 5

        def write(self, data):
            if self.room == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            part = data[: self.room]
            self.room -= len(part)
            self.taken += part
            return len(part)

    log = stepshell.Log(tmp_path / "log")
    log._file.close()
    log._file = disk = Disk()
    log.write(b"one\n")
    log.write(b"two\n")
    log.write(b"three\n")
    disk.room = 100
    log.write(b"four\n")
    assert disk.taken == b"one\nt\nfour\n"
    assert log.lost == 2


def full_from(monkeypatch, kinds, *, until=10**9):
    """From the first event of this kind on the runner's journal takes nothing, `until` so many were refused."""
    wrote, refused = Journal.write, []

    def write(self, event):
        if (refused or isinstance(event, kinds)) and len(refused) < until and self.path.name == "runner.jsonl":
            refused.append(event)
            raise OSError(errno.ENOSPC, "No space left on device")
        return wrote(self, event)

    monkeypatch.setattr(Journal, "write", write)
    return refused


@pytest.fixture
def small(tmp_path):
    trace = tmp_path / "trace"
    return Small(tmp_path, {"one": f"echo one >> {trace}", "two": f"echo two >> {trace}"})


@pytest.mark.parametrize(
    ("kind", "traced"),
    [
        (events.RunBegan, []),
        (events.PhaseBegan, []),
        (events.StepBegan, []),
        (events.StepEnded, ["one"]),
        (events.HostFacts, []),
    ],
)
def test_nothing_more_is_begun_once_nothing_is_recorded(small, monkeypatch, capfd, kind, traced):
    """What runs is brought to its end, everything is cleaned up, and the way on is said."""
    full_from(monkeypatch, kind)
    cleaned = []
    monkeypatch.setattr(Course, "_remove_canaries", lambda _: cleaned.append(True))
    stopped = small.go()
    assert stopped.reason == NOT_RECORDED
    assert small.traced() == traced
    assert cleaned == [True]
    assert f"--resume {small.run.path}" in stopped.next_commands[0]
    assert running.conclude(small.run, stopped) != Outcome.OK.exit_code
    told = capfd.readouterr().out
    assert 1 == told.count("runner.jsonl cannot be written: ")
    assert "to resume: rehearse run --resume" in told
    assert "Traceback" not in told


@given(
    st.sampled_from([events.PhaseBegan, events.StepBegan, events.StepEnded, events.PhaseEnded, events.RunEnded]),
    st.integers(1, 6),
)
@settings(max_examples=25, deadline=None)
def test_a_recording_with_a_hole_never_passes(tmp_path_factory, kind, count):
    """Also if there is room again before the run ends."""
    root = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        small = Small(root, {"one": ["true"], "two": ["true"]})
        full_from(patch, kind, until=count)
        stopped = small.go()
    assert stopped.reason == NOT_RECORDED
    assert running.conclude(small.run, stopped) != Outcome.OK.exit_code
    data = json.loads((small.run.path / "results.json").read_text())
    assert data["outcome"] != "ok"
    assert "recording has a hole" in json.dumps(data["findings"]) or "has not ended" in json.dumps(data["findings"])


def test_a_report_that_cannot_be_written(small, monkeypatch, capfd):
    """One sentence, the command that writes it later, and no PASS."""
    stopped = small.go()

    def full(_run, **_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(running, "make_report", full)
    assert running.conclude(small.run, stopped) == Outcome.UNKNOWN.exit_code
    told = capfd.readouterr().out
    assert f"rehearse report {small.run.path}" in told
    assert "Traceback" not in told


def test_a_disk_that_fills_in_the_middle_of_a_real_run(tmp_path):
    """The whole command, with a limit on the size of its files: the first step's command ends by itself."""
    trace = tmp_path / "trace"
    small = Small(
        tmp_path, {"one": f"yes 0123456789 | head -c 3000000; echo one >> {trace}", "two": f"echo two >> {trace}"}
    )
    done = subprocess.run(
        small.command_line(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode not in {0, 70}, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert trace.read_text().split()[0] == "one"
