"""A verdict rests on an instrument that was proved: calibrations in a recording, and their absence."""

from __future__ import annotations

import hashlib

import pytest

from rehearsal.figures.outcome import Outcome
from rehearsal.judging.judge import judge
from rehearsal.recording import events
from rehearsal.recording import history
from tests.made.synthetic import Scenario
from tests.made.synthetic import Trouble
from tests.made.synthetic import looks
from tests.made.synthetic import write_run

EVERYTHING = ["calibration", "probes", "canaries", "migrations", "suites"]


def done(outcome="ok", *, sealed="{}", seal=None):
    seal = hashlib.sha256(sealed.encode()).hexdigest() if seal is None else seal
    return events.CalibrationDone(outcome, f"it went {outcome}", seal=seal, sealed=sealed)


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """Judge a quiet run whose attempt had these parts, with these calibrations; other fields as in Scenario."""

    def make(parts, *calibrations, **fields):
        began = events.RunBegan
        monkeypatch.setattr(events, "RunBegan", lambda **values: began(**values, parts=parts))
        try:
            more = [(1.0 + n, each) for n, each in enumerate(calibrations)]
            run_dir = tmp_path / str(len(list(tmp_path.iterdir())))
            write_run(run_dir, Scenario(more=(*more, *looks()), **fields))
        finally:
            monkeypatch.undo()
        return judge(history.load(run_dir))

    return make


def told(results):
    return [finding for finding in results.findings if finding.subject == "calibration"]


def test_a_proved_instrument_is_nothing_to_talk_about(judged):
    """With a calibration that succeeded, the verdict is that of what was measured."""
    results = judged(EVERYTHING, done())
    assert (results.outcome, told(results)) == (Outcome.OK, [])
    assert not any("alibration" in remark for remark in results.quality.remarks)


@pytest.mark.parametrize(
    ("parts", "calibrations", "words"),
    [
        (EVERYTHING, (), "No calibration on record: the measuring instrument was not proved in this run."),
        (EVERYTHING[1:], (), "as requested (--without calibration)"),
        (EVERYTHING, (done("fail"),), "was not proved in this run: it went fail."),
        (EVERYTHING[1:], (done("unknown"),), "was not proved in this run: it went unknown."),
        (EVERYTHING, (done(seal="0" * 64),), "not those that were sealed"),
        (EVERYTHING, (done("excellent"),), "it went excellent"),
    ],
)
def test_without_a_proof_there_is_no_verdict(judged, parts, calibrations, words):
    """A calibration that is missing, did not succeed, or is not the sealed one makes the run unknown, and says why."""
    results = judged(parts, *calibrations)
    assert results.outcome is Outcome.UNKNOWN
    [finding] = told(results)
    assert finding.outcome is Outcome.UNKNOWN
    assert words in finding.sentence


def test_a_later_proof_counts(judged):
    """A run that was resumed, and calibrated then, was proved."""
    assert told(judged(EVERYTHING, done("fail"), done("ok"))) == []


def test_what_was_found_bad_stays_found(judged):
    """An instrument that was not proved excuses nothing: an alarm stays an alarm."""
    assert judged(EVERYTHING, done("fail"), troubles=(Trouble("nova", 80, 95),)).outcome is Outcome.FAIL


def test_an_old_recording_gets_a_remark(judged):
    """A run that was recorded before there were calibrations keeps its verdict, and a reader is told."""
    results = judged([])
    assert (results.outcome, told(results)) == (Outcome.OK, [])
    assert any("not proved in this run" in remark for remark in results.quality.remarks)


def test_a_backend_lane_explains_and_is_never_a_users_loss(judged):
    """An API server that is away behind a VIP that answers: a window of its own, no downtime, no failed sample."""
    lanes = ("vip-new", "vip-reused", "backend-new", "backend-reused")
    away = Trouble("nova", 80, 98, lanes=("backend-new", "backend-reused"))
    with_it = judged([], lanes=lanes, troubles=(away,))
    assert with_it.outcome is Outcome.OK
    assert {window.lane for window in with_it.windows} == {"backend-new", "backend-reused"}
    cells, calm = (
        [
            (loss.step, loss.kind, loss.count, loss.failed, loss.samples)
            for loss in each.matrix
            if loss.service == "nova"
        ]
        for each in (with_it, judged([]))
    )
    assert cells == calm
