"""What was not observed is never a pass: every observation that a run should have made is taken away, one after the other."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal.claims.outcomes import trouble_of
from rehearsal.figures.outcome import Outcome
from rehearsal.judging.judge import judge
from rehearsal.recording import events
from rehearsal.recording.history import load
from rehearsal.recording.journal import Journal
from rehearsal.recording.rundir import RunDirectory
from rehearsal.runner import suites
from tests.made import synthetic
from tests.made.damaging import told_otherwise
from tests.made.synthetic import Scenario
from tests.made.synthetic import at_ns
from tests.made.synthetic import looks
from tests.made.synthetic import write_run

PARTS = ["calibration", "probes", "canaries", "writes", "migrations", "suites", "witness"]
NUMBERS = itertools.count()
SEAL = "0"


def began(script, **fields):
    target = {"cloud": "synthetic", "hosts": ["control-0", "compute-0", "compute-1"],
              "groups": {"compute": ["compute-0.example", "compute-1"]}}  # fmt: skip
    return dataclasses.replace(synthetic._began(script), target=target, parts=PARTS, **fields)


def calibrated():
    return (1.0, events.CalibrationDone("ok", "proved", hashlib.sha256(SEAL.encode()).hexdigest(), SEAL))


def record(tmp_path_factory, keep=lambda event: event, **fields):
    """Write a run that observed everything, then let `keep` change each of the runner's events or drop it (None)."""
    run_dir = tmp_path_factory.mktemp(f"run{next(NUMBERS)}")
    script = Scenario(more=(*looks(), calibrated()), http_hz=2.0, icmp_hz=10.0, deep_hz=0.0, tcp_hz=0.0)
    write_run(run_dir, script)
    path = run_dir / "journal" / "runner.jsonl"
    records = load(run_dir).records
    path.unlink()
    clock = {"ns": 0}
    with Journal(path, clock=lambda: (clock["ns"], synthetic.WALL_NS + clock["ns"])) as journal:
        for each in records:
            if each.source == path.name:
                clock["ns"] = each.t_ns
                event = began(script, **fields) if isinstance(each.event, events.RunBegan) else each.event
                kept = keep(event)
                if kept is not None:
                    journal.write(kept)
    return judge(load(run_dir))


def without(kind, **wanted):
    """Drop the events of a kind that have these values."""
    return lambda event: (
        None
        if isinstance(event, kind) and all(getattr(event, name) == value for name, value in wanted.items())
        else event
    )


def broken(kind, changed, **wanted):
    """Change the events of a kind that have these values."""
    return lambda event: (
        dataclasses.replace(event, **changed)
        if isinstance(event, kind) and all(getattr(event, name) == value for name, value in wanted.items())
        else event
    )


SERVERS = [{"id": "1", "name": "web", "status": "ACTIVE"}]
HOSTS = ("control-0", "compute-0", "compute-1")
CASES = {
    **{f"no look at the cloud {label}": (without(events.CloudFacts, label=label), "The cloud was not observed")
       for label in ("before", "after")},
    "no look at the cloud at all": (without(events.CloudFacts), "The cloud was not observed before"),
    **{f"a failed look at the cloud {label}": (
        broken(events.CloudFacts, {"error": "ports could not be read: 503"}, label=label), "ports could not be read: 503")
       for label in ("before", "after")},
    **{f"a kind that was not seen {label}": (
        broken(events.CloudFacts, {"facts": {"servers": SERVERS}}, label=label), "ports were not observed")
       for label in ("before", "after")},
    **{f"no look at {host} {label}": (without(events.HostFacts, label=label, host=host), f"Host {host} was not observed")
       for label in ("before", "after") for host in HOSTS},
    **{f"a failed look at {host} {label}": (
        broken(events.HostFacts, {"containers": [], "error": "no route"}, label=label, host=host), "no route")
       for label in ("before", "after") for host in HOSTS},
    "no look at any host": (without(events.HostFacts), "No host was observed"),
    "a compute without its canary": (without(events.CanaryUp, canary="canary-1"), "No canary was on compute-1"),
    "no canary at all": (without(events.CanaryUp), "no canaries"),
    "an error that the runner noted": (
        lambda event: events.Note("error", "Probe x was not declared: full") if isinstance(event, events.CanaryGone) else event,
        "Probe x was not declared"),
    **{f"a suite that ended with {rc}": (broken(events.SuiteEnded, {"rc": rc}, gate="step:nova"), "suite inflight")
       for rc in (1, 2, 3, 4, 5, -9, -15, 77, None)},
    "a suite whose end was not seen": (without(events.SuiteEnded, gate="step:nova"), "was not seen"),
    "a gate that was decided unknown": (
        broken(events.GateDecided, {"outcome": "unknown"}, gate="step:nova"), "decided UNKNOWN"),
}  # fmt: skip


def test_a_run_that_observed_everything_passes(tmp_path_factory):
    """Nothing is missing, nothing is unknown: no false alarm."""
    results = record(tmp_path_factory)
    assert [finding for finding in results.findings if finding.outcome is not Outcome.OK] == []
    assert Outcome.OK is results.outcome


@pytest.mark.parametrize("case", CASES)
def test_whatever_was_not_observed_makes_the_verdict_unknown(tmp_path_factory, case):
    """With a sentence that says what."""
    keep, sentence = CASES[case]
    results = record(tmp_path_factory, keep)
    assert Outcome.UNKNOWN is results.outcome
    assert any(sentence in finding.sentence and finding.outcome is Outcome.UNKNOWN for finding in results.findings), [
        finding.sentence for finding in results.findings
    ]


@settings(max_examples=25, deadline=None)
@given(cases=st.sets(st.sampled_from(sorted(CASES)), min_size=2, max_size=4))
def test_several_at_once_are_no_better(tmp_path_factory, cases):
    """Two things that are missing do not make up for one another."""

    def keep(event):
        for case in sorted(cases):
            event = None if event is None else CASES[case][0](event)
        return event

    assert record(tmp_path_factory, keep).outcome is Outcome.UNKNOWN


def test_what_the_operator_left_out_is_listed_and_no_finding(tmp_path_factory):
    """Canaries only on one host, as ordered: a gap; and a part that was left out is named with its option."""
    one = without(events.CanaryUp, canary="canary-1")
    results = record(tmp_path_factory, one, argv=["rehearse", "run", "--canary-host", "compute-0"])
    assert not any("No canary was on" in finding.sentence for finding in results.findings)
    assert any("no canary there, as requested" in gap.why for gap in results.not_proven)
    parts = [part for part in PARTS if part != "canaries"]
    keep = without(events.CanaryUp)

    def ordered(event):
        return dataclasses.replace(event, parts=parts) if isinstance(event, events.RunBegan) else keep(event)

    results = record(tmp_path_factory, ordered)
    assert not any("no canaries" in finding.sentence for finding in results.findings)
    assert any("--without canaries" in gap.why for gap in results.not_proven)


@pytest.mark.parametrize("reason", ["cannot record: No space left on device", "cannot record: Input/output error"])
def test_a_prober_that_could_not_write_says_so(tmp_path, reason):
    """It ended by itself, and its own word for why is the finding."""
    run_dir = write_run(tmp_path, Scenario())
    told_otherwise(
        run_dir / "journal" / "prober.jsonl",
        lambda event: dataclasses.replace(event, reason=reason) if isinstance(event, events.ProberStopped) else event,
    )
    results = judge(load(run_dir))
    assert Outcome.UNKNOWN is results.outcome
    assert any(reason in finding.sentence for finding in results.findings)


@pytest.mark.parametrize("gate", ["preflight", "step:nova", "postflight"])
def test_a_gate_whose_suite_never_ran_is_unknown(tmp_path, gate):
    """No record of a check, whatever was decided."""
    run_dir = write_run(tmp_path, Scenario())
    for path in (run_dir / "journal").glob("suite-*.jsonl"):
        kept = [line for line in path.read_text().splitlines() if f'"gate":"{gate}"' not in line]
        path.write_text("".join(f"{line}\n" for line in kept))
    results = judge(load(run_dir))
    assert Outcome.UNKNOWN is results.outcome


def test_a_check_that_was_listed_and_has_no_result_is_unknown(tmp_path):
    """The suite said that it was going to check it."""
    run_dir = write_run(tmp_path, Scenario())
    listed = {"check": "inflight.downtime", "node_id": "x::y", "suite": "inflight", "claim": "Down for as long as allowed",
              "host": "", "container": "", "service": "nova"}  # fmt: skip
    journal = run_dir / "journal" / "suite-09-inflight.jsonl"
    with Journal(journal, clock=lambda: (at_ns(152.5), synthetic.WALL_NS)) as suite:
        suite.write(events.ClaimsListed("inflight", "step:nova", [listed]))
    assert Outcome.UNKNOWN is judge(load(run_dir)).outcome


@given(rc=st.integers(-64, 255) | st.none(), passed=st.booleans())
def test_only_an_end_that_fits_its_checks_is_no_trouble(rc, passed):
    """Zero, and one or two where a check failed or is unknown: these are pytest's words for that."""
    assert (trouble_of("preflight", rc, passed=passed) == "") == (
        rc == 0 or (not passed and rc is not None and rc > 0 and rc not in {3, 4, 5})
    )


@pytest.mark.parametrize(("body", "words"), [
    ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "killed by signal 9"),
    ("import sys\nsys.exit(3)", "internal error"),
    ("import sys\nsys.exit(5)", "without finding a check"),
    ("import sys\nsys.exit(1)", "exit code 1, although every check passed"),
])  # fmt: skip
def test_the_runner_s_gate_is_unknown_when_its_suite_breaks(tmp_path, monkeypatch, body, words):
    """All checks on record passed; the process that made them did not end as it should."""
    run = RunDirectory(tmp_path)
    run.make()
    done = synthetic.check("preflight")
    fake = tmp_path / "fake.py"
    fake.write_text(
        "import os, pathlib\nfrom rehearsal.recording.journal import Journal\nfrom tests.made import synthetic\n"
        "journal = Journal(pathlib.Path(os.environ['REHEARSE_JOURNAL']))\n"
        f"journal.write(synthetic.check('preflight'))\njournal.close()\n{body}\n"
    )
    whole = suites.subprocess.Popen

    def started(argv, **more):
        more["env"]["PYTHONPATH"] = str(synthetic.__file__).rpartition("/tests/")[0]
        return whole([argv[0], str(fake)], **more)

    monkeypatch.setattr(suites.subprocess, "Popen", started)
    gate = suites.run_suite(run, suite="preflight", gate="preflight", environment={}, record=lambda _: None)
    assert [check.check for check in gate.checks] == [done.check]
    assert Outcome.UNKNOWN is gate.outcome
    assert words in gate.sentence
