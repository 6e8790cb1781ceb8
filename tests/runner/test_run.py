"""The runner, without a cloud: real commands that leave traces in a file, and the file tells in which order what happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from rehearsal import cli
from rehearsal.recording import events
from rehearsal.recording import rundir
from rehearsal.recording.journal import read
from rehearsal.runner import steps
from rehearsal.runner import stepshell
from tests.made.small_run import Small

# openstacksdk warns about itself whenever a connection is configured.
pytestmark = pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning")


@pytest.fixture
def small(tmp_path):
    def make(**commands):
        trace = tmp_path / "trace"
        given = {
            name.replace("_", "-"): text.replace("SAY", "echo").replace("TRACE", f">> {trace}")
            for name, text in commands.items()
        }
        return Small(tmp_path, given)

    return make


def wait_for(condition, within_s=20.0):
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"not within {within_s} s")


def test_steps_run_in_order(small):
    """Steps are carried out in the plan's order, each once, and their ends are recorded."""
    run = small(one="SAY one TRACE", two="SAY two TRACE", three="SAY three TRACE")
    assert run.go() is None
    assert ["one", "two", "three"] == run.traced()
    assert [("one", 0), ("two", 0), ("three", 0)] == [(e.step, e.rc) for e in run.events(events.StepEnded)]
    assert "finished" == run.events(events.RunEnded)[-1].reason
    assert ["clean-up"] == [e.phase for e in run.events(events.PhaseEnded)][-1:]


def test_facts_are_taken_around_each_step(small):
    """Before and after a step with a gate every host is looked at; one that does not answer is recorded with an error."""
    run = small(one="true", two="true")
    one, two = run.run.plan.read_text().rsplit("gates: []", 1)
    run.run.plan.write_text(f"{one}gates: [inflight]{two}")
    run.go()
    labels = [e.label for e in run.events(events.HostFacts)]
    assert ["before", "step:two:before", "step:two:after", "after"] == list(dict.fromkeys(labels))
    assert all(e.error for e in run.events(events.HostFacts))


def test_output_is_logged_with_times_and_without_secrets(small):
    """A step's output, also what goes to stderr, is in its log; the cloud's password is not."""
    run = small(one="echo hello; echo password is sesame-open-4711 >&2; printf torn")
    run.go()
    lines = (run.run.logs / "one.1.log").read_text().splitlines()
    assert ["hello", "password is [redacted]", "torn"] == [line.partition(" ")[2] for line in lines]
    assert all(line[:4].isdigit() and line[23] == "Z" for line in lines)


def test_output_is_shown_live(small, capfd):
    """A step's output appears on the terminal with the step's name."""
    run = small(one="echo from the step")
    run.go()
    assert "one | from the step" in capfd.readouterr().out


def test_a_failed_step_stops_the_run(small):
    """After a failed step nothing more is done; the sentence names the log, and the next command resumes."""
    run = small(one="SAY one TRACE", two="SAY two TRACE; exit 3", three="SAY three TRACE")
    stopped = run.go()
    assert ["one", "two"] == run.traced()
    assert "step" == stopped.reason
    assert "exit code 3" in stopped.sentence
    assert str(run.run.logs / "two.1.log") in stopped.sentence
    assert f"rehearse run --resume {run.run.path}" == stopped.next_commands[0]


def test_resume_repeats_nothing_that_was_finished(small):
    """A resumed run carries out the failed step again and goes on; finished steps are not repeated."""
    run = small(one="SAY one TRACE", two="SAY two TRACE; test -e OK", three="SAY three TRACE")
    text = run.run.plan.read_text().replace("OK", str(run.root / "ok"))
    run.run.plan.write_text(text)
    assert run.go() is not None
    (run.root / "ok").touch()
    assert run.go() is None
    assert ["one", "two", "two", "three"] == run.traced()
    assert [1, 2] == [e.attempt for e in run.events(events.RunBegan)]
    assert [1, 2] == [e.attempt for e in run.events(events.StepBegan) if e.step == "two"]


def test_keep_going(small):
    """With --keep-going a failed step is noted and the next one begins."""
    run = small(one="exit 1", two="SAY two TRACE")
    assert run.go(keep_going=True) is None
    assert ["two"] == run.traced()
    assert any("Step one failed" in e.text for e in run.events(events.Note))


def test_from_and_until(small):
    """Only the steps between --from and --until are carried out; the run says that the rest is not proven."""
    run = small(one="SAY one TRACE", two="SAY two TRACE", three="SAY three TRACE", four="SAY four TRACE")
    run.go(from_step="two", until_step="three")
    assert ["two", "three"] == run.traced()
    assert any("--until" in e.text for e in run.events(events.Note))


def test_unknown_step_is_refused(small, capsys):
    """A step that the plan does not have, or a reversed pair, is a usage error with 64 and one line."""
    run = small(one="true", two="true")
    for words, told in ((["--from", "nope"], "no step 'nope'"), (["--from", "two", "--until", "one"], "comes before")):
        assert 64 == cli.main(run.words(*words))
        error = capsys.readouterr().err
        assert told in error
        assert 1 == len(error.strip().splitlines())


def test_dry_run_does_nothing(small, capsys):
    """--dry-run prints the steps, carries out none, and makes no run."""
    run = small(one="SAY one TRACE")
    runs = len(rundir.all_runs(run.reports))
    assert 0 == cli.main(run.words("--dry-run"))
    assert "1. one" in capsys.readouterr().out
    assert [] == run.traced()
    assert runs == len(rundir.all_runs(run.reports))


def test_nothing_without_a_yes(small, capsys):
    """Without --yes and without a terminal nothing is carried out."""
    run = small(one="SAY one TRACE")
    assert 64 == cli.main([word for word in run.words() if word != "--yes"])
    assert "--yes" in capsys.readouterr().err
    assert [] == run.traced()


def test_a_hold_point_needs_a_yes(small):
    """A hold point that nobody releases stops the run before its step."""
    run = small(one="SAY one TRACE", two="SAY two TRACE")
    plan = yaml.safe_load(run.run.plan.read_text())
    plan["steps"][1]["hold"] = "The backup was restored."
    run.run.plan.write_text(yaml.safe_dump(plan))
    stopped = run.go(yes=False)
    assert ("hold", ["one"]) == (stopped.reason, run.traced())
    assert "The backup was restored." in stopped.sentence


def test_time_limit(small):
    """A step that exceeds its time limit is stopped; its exit code counts as not seen."""
    run = small(one="sleep 60")
    plan = yaml.safe_load(run.run.plan.read_text())
    plan["steps"][0]["timeout_s"] = 0.5
    run.run.plan.write_text(yaml.safe_dump(plan))
    began = time.monotonic()
    stopped = run.go()
    assert time.monotonic() - began < 30
    assert run.events(events.StepEnded)[0].rc is None
    assert "time limit" in stopped.sentence


def test_a_command_that_is_not_there(small):
    """A command that cannot be started is a failed step with a sentence, not an exception."""
    run = small(one="true")
    plan = yaml.safe_load(run.run.plan.read_text())
    plan["steps"][0]["command"] = ["/nonexistent/command"]
    run.run.plan.write_text(yaml.safe_dump(plan))
    assert "cannot be started" in run.go().sentence


def test_the_release_is_looked_at_again(small):
    """A step that changes what the cloud claims to be is noticed, and the suites' target follows."""
    run = small(one="true")
    versions = run.options.interface / "versions" / "kolla-ansible.yml"
    plan = yaml.safe_load(run.run.plan.read_text())
    plan["steps"][0]["command"] = ["sed", "-i", "s/2024.2/2025.1/", str(versions)]
    run.run.plan.write_text(yaml.safe_dump(plan))
    run.go()
    assert "2025.1" == json.loads(run.run.target.read_text())["release"]["openstack"]
    assert "2024.2" == json.loads(run.run.target_from.read_text())["release"]["openstack"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_tells_the_step(small, number):
    """Ctrl-C and SIGTERM reach the running step, the run ends as interrupted, and nothing more is begun."""
    run = small(one="trap 'echo told TRACE; exit 0' INT TERM; SAY begun TRACE; sleep 60 & wait", two="SAY two TRACE")
    process = subprocess.Popen(run.command_line(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: "begun" in run.traced())
    time.sleep(0.3)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert ["begun", "told"] == run.traced(), output
    ran = rundir.all_runs(run.reports)[-1]
    records = [record.event for record in read(ran.runner_journal).records]
    assert "interrupted" == records[-1].reason
    assert [None] == [event.rc for event in records if isinstance(event, events.StepEnded)]
    assert f"rehearse run --resume {ran.path}" in output


def killed_in_the_middle(run, begun="begun"):
    """Start a run, kill the runner with SIGKILL in its first step, and return the run's directory."""
    process = subprocess.Popen(run.command_line(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: begun in run.traced())
    wait_for(lambda: any(rundir.all_runs(run.reports)[-1].logs.glob("one.1.pid")))
    process.kill()
    process.wait()
    return rundir.all_runs(run.reports)[-1]


def test_kill_9_then_resume_waits_for_the_step(small):
    """A step that outlives its runner is waited for by the resumed run, its exit code is known, and it is not repeated."""
    run = small(one="SAY begun TRACE; sleep 2; SAY finished TRACE", two="SAY two TRACE")
    run.run = killed_in_the_middle(run)
    assert steps.running_pid(steps.step_files(run.run, "one", 1)) is not None
    assert run.go() is None
    assert ["begun", "finished", "two"] == run.traced()
    ended = [(event.step, event.attempt, event.rc) for event in run.events(events.StepEnded)]
    assert [("one", 1, 0), ("two", 1, 0)] == ended


def test_kill_9_of_everything_then_resume_repeats_the_step(small):
    """A step that died with its runner is unknown, and the resumed run carries it out again."""
    run = small(one="SAY begun TRACE; test -e OK || sleep 60", two="SAY two TRACE")
    run.source.write_text(run.source.read_text().replace("OK", str(run.root / "ok")))
    run.run = killed_in_the_middle(run)
    shell = steps.running_pid(steps.step_files(run.run, "one", 1))
    child = int(Path(f"/proc/{shell}/task/{shell}/children").read_text().split()[0])
    os.kill(shell, signal.SIGKILL)
    os.killpg(child, signal.SIGKILL)
    (run.root / "ok").touch()
    assert run.go() is None
    assert ["begun", "begun", "two"] == run.traced()
    assert [("one", 1, None), ("one", 2, 0), ("two", 1, 0)] == [
        (e.step, e.attempt, e.rc) for e in run.events(events.StepEnded)
    ]


def test_a_reused_process_number_is_not_the_step(small):
    """A process with the step's number but another start is not taken for the step."""
    run = small(one="true")
    attempt = steps.step_files(run.run, "one", 1)
    stepshell.write_json(attempt.pid, {**stepshell.identity(os.getpid()), "start_ticks": 1})
    assert steps.running_pid(attempt) is None
    stepshell.write_json(attempt.pid, stepshell.identity(os.getpid()))
    assert os.getpid() == steps.running_pid(attempt)


def test_only_one_runner(small):
    """A second runner is kept out of a run that is going on."""
    run = small(one="SAY begun TRACE; until test -e OK; do sleep 0.1; done")
    run.source.write_text(run.source.read_text().replace("OK", str(run.root / "ok")))
    process = subprocess.Popen(run.command_line(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: "begun" in run.traced())
        second = subprocess.run(run.command_line("--resume", "latest"), capture_output=True, text=True, check=False)
        assert 64 == second.returncode
        assert "is still running" in second.stderr
    finally:
        (run.root / "ok").touch()
        process.wait(60)
