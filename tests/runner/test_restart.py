"""A prober that dies is started again: its probes go on under their names, and the time between is not known."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

from rehearsal.hosts import backends
from rehearsal.lanes.rates import rates_of
from rehearsal.recording import events
from rehearsal.recording import rundir
from rehearsal.recording.journal import read
from rehearsal.recording.samples import samples_by_probe
from rehearsal.runner import declared
from rehearsal.runner import watch as watching
from tests.prober.farside import FarSide
from tests.prober.taking import web_spec

pytestmark = pytest.mark.realtime


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """A watch with one probe of a loopback server, its notes in `notes`."""
    server = FarSide()
    spec = web_spec(
        f"{server.url}/v2.1/",
        probe=1,
        name="nova public new",
        service="nova",
        lane="vip-new",
        rate="vip-new",
        vip="public",
        interface="public",
        period_ns=200_000_000,
    )
    monkeypatch.setattr(declared, "api_probes", lambda *_, **__: [spec])
    monkeypatch.setattr(declared, "backend_probes", lambda *_: [])
    monkeypatch.setattr(watching, "_RESTART_AFTER_S", (0.0,) * watching.MOST_RESTARTS)
    run = rundir.new_run(tmp_path)
    notes = []
    made = watching.Watch(run, notes.append, {}, rates_of({}))
    made.run, made.notes = run, notes
    yield made
    made.stop()
    server.close()


def journal(run, kind):
    path = run.path / "journal" / "prober.jsonl"
    return [record.event for record in read(path).records if isinstance(record.event, kind)] if path.exists() else []


def kill(watch):
    prober = watch._prober
    os.kill(prober.pid, signal.SIGKILL)
    prober._process.wait()


def test_a_prober_that_was_killed_goes_on_under_the_same_names(watch):
    """Killed in the middle: told, started again, the same probe with the same number, and no sample's number twice."""
    watch.start(None, None, ["nova"], backends.Backends({}))
    time.sleep(2.5)
    kill(watch)
    watch.look_after()
    time.sleep(1.5)
    watch.stop()
    told = [note.text for note in watch.notes]
    assert any("The prober died" in text for text in told)
    assert any("restarted: 1 probes continue" in text for text in told)
    again = [(each.probe, each.name) for each in journal(watch.run, events.ProbeDeclared) if each.lane == "vip-new"]
    assert [(1, "nova public new")] * 2 == again
    assert 2 == len(journal(watch.run, events.ProberStarted))
    seqs = samples_by_probe(watch.run.path)[1]["seq"]
    assert len(seqs) > 8
    assert len(np.unique(seqs)) == len(seqs)


def test_a_focus_is_kept_over_a_restart(watch):
    """What was sampled faster is sampled faster again."""
    watch.start(None, None, ["nova"], backends.Backends({}))
    watch.focus(["nova"])
    kill(watch)
    watch.look_after()
    watch.stop()
    fast = journal(watch.run, events.PeriodChanged)
    assert len({each.period_ns for each in fast}) == 1
    assert 2 == len(fast)


def test_a_prober_that_always_dies_is_given_up(watch):
    """It is started again a bounded number of times; then the run goes on without it, and that is said once."""
    watch.start(None, None, ["nova"], backends.Backends({}))
    for _ in range(watching.MOST_RESTARTS):
        kill(watch)
        watch.look_after()
        assert watch._prober is not None
    kill(watch)
    for _ in range(3):
        watch.look_after()
    assert watch._prober is None
    assert 1 == sum("from here on nothing is measured" in note.text for note in watch.notes)
    assert 1 + watching.MOST_RESTARTS == len(journal(watch.run, events.ProberStarted))
    watch.focus(["nova"])
    watch.stop()
