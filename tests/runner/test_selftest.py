"""A run proves its prober before it decides anything with it, and stops where it cannot."""

from __future__ import annotations

import hashlib

import pytest

from rehearsal.calibration import calibrate
from rehearsal.hosts import backends
from rehearsal.recording import events
from rehearsal.recording.journal import read
from rehearsal.runner import selftest
from rehearsal.runner.watch import Watch
from tests.made.small_run import EVERYTHING
from tests.made.small_run import Small

# openstacksdk warns about itself whenever a connection is configured.
pytestmark = pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning")

WATCHED = EVERYTHING - {"probes"}
"""Only with probes there is something to be proved."""


def done(outcome):
    return events.CalibrationDone(outcome, f"it went {outcome}", seal=hashlib.sha256(b"{}").hexdigest(), sealed="{}")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A small run whose calibrations end as `outcomes` say, one after the other, and whose prober then stays away."""

    def make(*outcomes):
        small = Small(tmp_path, {"one": f"echo one >> {tmp_path / 'trace'}"})
        waiting = list(outcomes)
        monkeypatch.setattr(selftest, "calibration", lambda _run: done(waiting.pop(0)))
        monkeypatch.setattr(backends, "find", lambda *_: backends.Backends({}))
        monkeypatch.setattr(Watch, "start", lambda *_: None)
        small.waiting = waiting
        return small

    return make


def test_it_is_proved_before_anything_else(run):
    """The first phase is the calibration, it is recorded, and the run goes on."""
    small = run("ok")
    assert small.go(without=WATCHED) is None
    assert small.events(events.PhaseBegan)[0].phase == "calibration"
    assert [event.outcome for event in small.events(events.CalibrationDone)] == ["ok"]
    assert "calibration" in small.events(events.RunBegan)[0].parts
    assert small.events(events.RunBegan)[0].rates["icmp"] == 50
    assert small.traced() == ["one"]


@pytest.mark.parametrize("outcome", ["fail", "unknown"])
@pytest.mark.parametrize("keep_going", [True, False])
def test_without_a_proof_nothing_is_upgraded(run, outcome, keep_going):
    """A calibration that did not succeed stops the run before its first step, also with --keep-going, and says how to go on."""
    small = run(outcome)
    stopped = small.go(without=WATCHED, keep_going=keep_going)
    assert (stopped.reason, small.traced()) == ("calibration", [])
    assert f"it went {outcome}" in stopped.sentence
    again, in_spite = stopped.next_commands
    assert again == f"rehearse run --resume {small.run.path}"
    assert in_spite == f"{again} --without calibration"
    assert small.events(events.RunEnded)[-1].reason == "calibration"


def test_a_resumed_run_is_proved_once(run):
    """A run that goes on repeats the calibration until one has succeeded, and not after that."""
    small = run("fail", "ok", "never asked for")
    small.go(without=WATCHED)
    assert small.go(without=WATCHED) is None
    assert small.go(without=WATCHED) is None
    assert [event.outcome for event in small.events(events.CalibrationDone)] == ["fail", "ok"]
    assert small.waiting == ["never asked for"]


def test_only_an_explicit_order_leaves_it_out(run):
    """--without calibration goes on without a proof, and is noted."""
    small = run("never asked for")
    assert small.go(without=WATCHED | {"calibration"}) is None
    assert small.traced() == ["one"]
    assert any("Without calibration" in note.text for note in small.events(events.Note))
    assert "calibration" not in small.events(events.RunBegan)[0].parts


def test_without_probes_there_is_nothing_to_prove(run):
    """A run that measures nothing needs no proof, and does not claim one."""
    small = run("never asked for")
    assert small.go() is None
    assert small.waiting
    assert "calibration" not in small.events(events.RunBegan)[0].parts


def test_what_cannot_be_carried_out_is_unknown(tmp_path, monkeypatch):
    """A calibration that breaks off is recorded as unknown with its reason."""

    def broken(*_, **__):
        raise calibrate.CalibrationError("known service 1 was never sampled")

    monkeypatch.setattr(calibrate, "calibrate", broken)
    found = selftest.calibration(Small(tmp_path, {"one": "true"}).run)
    assert found.outcome == "unknown"
    assert "known service 1 was never sampled" in found.sentence


def test_a_real_calibration_has_a_recording_of_its_own(tmp_path, monkeypatch):
    """The real thing, short: sealed, recorded beside the run's journals, a second attempt beside the first."""
    monkeypatch.setattr(selftest, "TRIALS", 1)
    small = Small(tmp_path, {"one": "true"})
    (small.run.path / "calibration").mkdir()
    found = selftest.calibration(small.run)
    assert hashlib.sha256(found.sealed.encode()).hexdigest() == found.seal
    assert len(found.trials) == 1
    [sealed, told] = [
        record.event for record in read(small.run.path / "calibration-2" / "journal" / "calibration.jsonl").records
    ]
    assert (sealed.seal, told) == (found.seal, found)
