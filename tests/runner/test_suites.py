"""Gates: judged from the claims that a suite wrote down, never from pytest's exit code."""

from __future__ import annotations

import pytest

from rehearsal.figures.outcome import Outcome
from rehearsal.recording import events
from rehearsal.recording import history
from rehearsal.recording import rundir
from rehearsal.runner import gates
from rehearsal.runner import suites
from rehearsal.runner.attempt import Attempt
from rehearsal.runner.orders import Orders
from tests.made.small_run import Small

pytestmark = pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning")

HEAD = '''"""A suite for the tests of gates."""

import pytest

from rehearsal.figures.expectation import NotObserved, expect, same


'''
HOLDS = '''@pytest.mark.check("demo.holds")
def test_holds():
    """One is one."""
    expect(same(1, 1))


'''
FAILS = '''@pytest.mark.check("demo.fails", service="nova")
def test_fails():
    """One is two."""
    expect(same(2, 1, host="compute-0", container="nova_compute"))


'''
UNKNOWN = '''@pytest.mark.check("demo.unknown")
def test_unknown():
    """Nobody saw it."""
    raise NotObserved("it was dark")


'''
SKIPPED = '''@pytest.mark.check("demo.skipped")
@pytest.mark.skip(reason="not today")
def test_skipped():
    """It is skipped."""


'''


@pytest.fixture
def gate(tmp_path, monkeypatch):
    root = tmp_path / "root"
    (root / "suites" / "demo").mkdir(parents=True)
    (root / "conftest.py").write_text('pytest_plugins = ("rehearsal.claims.pytest_plugin",)\n')
    (root / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = ["--import-mode=importlib"]\nmarkers = ["check(id, service=None, scope=None): x"]\n'
    )
    monkeypatch.setattr(suites, "suites_root", lambda: root)
    run = rundir.new_run(tmp_path / "reports")
    recorded = []

    def ask(text):
        (root / "suites" / "demo" / "test_demo.py").write_text(HEAD + text)
        found = suites.run_suite(run, suite="demo", gate="preflight", environment={}, record=recorded.append)
        return run, found, recorded

    return ask


@pytest.mark.parametrize(
    ("text", "outcome", "sentence"),
    [
        (HOLDS, Outcome.OK, "1 of 1 check passed"),
        (HOLDS + FAILS + UNKNOWN, Outcome.FAIL, "1 of 3 checks failed, 1 undecided"),
        (HOLDS + UNKNOWN, Outcome.UNKNOWN, "1 of 2 checks undecided"),
        (SKIPPED, Outcome.UNKNOWN, "1 of 1 check undecided"),
        ("", Outcome.UNKNOWN, "no check was run"),
        ("raise RuntimeError('not even collected')\n", Outcome.UNKNOWN, ""),
    ],
)
def test_the_worst_claim_decides(gate, text, outcome, sentence):
    """The worst claim is the gate; a suite that claims nothing, or cannot be read, is unknown."""
    run, found, recorded = gate(text)
    assert outcome == found.outcome, found.log.read_text()
    assert sentence in found.sentence
    assert [events.SuiteBegan, events.SuiteEnded] == [type(event) for event in recorded]
    assert (run.path / recorded[0].page).exists()
    assert (run.path / recorded[0].log).exists()


def test_failures_are_told_with_their_place(gate, capsys):
    """What does not hold is printed with host and container, failures before what is unknown."""
    _, found, _ = gate(UNKNOWN + FAILS)
    suites.tell(found)
    lines = capsys.readouterr().out.splitlines()
    assert "FAIL, 1 of 2 checks failed, 1 undecided" in lines[0]
    assert "FAIL  One is two (compute-0 nova_compute)" in lines[1]
    assert "expected 2; observed 1" in lines[2]
    assert any("UNKNOWN  Nobody saw it" in line for line in lines)


def test_each_suite_has_its_own_journal(gate):
    """Two gates of one run leave two journals, two logs and two pages."""
    run, _, _ = gate(HOLDS)
    gate(HOLDS)
    assert ["suite-01-demo.jsonl", "suite-02-demo.jsonl"] == sorted(
        path.name for path in (run.path / "journal").glob("suite-*")
    )


def test_a_failed_gate_stops_and_can_be_passed(tmp_path, monkeypatch):
    """A failed gate stops the run with its claim and two commands; asked again it decides anew; --from passes over it."""
    root = tmp_path / "root"
    (root / "suites" / "inflight").mkdir(parents=True)
    (root / "suites" / "preflight").mkdir()
    (root / "suites" / "preflight" / "test_demo.py").write_text(HEAD + HOLDS)
    (root / "conftest.py").write_text('pytest_plugins = ("rehearsal.claims.pytest_plugin",)\n')
    (root / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = ["--import-mode=importlib"]\nmarkers = ["check(id, service=None, scope=None): x"]\n'
    )
    claim = root / "suites" / "inflight" / "test_demo.py"
    claim.write_text(HEAD + FAILS)
    monkeypatch.setattr(suites, "suites_root", lambda: root)
    trace = tmp_path / "trace"
    run = Small(tmp_path, {"one": f"echo one >> {trace}", "two": f"echo two >> {trace}"})
    run.run.plan.write_text(run.run.plan.read_text().replace("gates: []", "gates: [inflight]", 1))
    orders = {"without": frozenset({"probes", "canaries", "migrations"}), "from_step": "one", "until_step": "one"}

    stopped = run.go(**orders)
    assert "gate" == stopped.reason
    assert "One is two (compute-0 nova_compute)" in stopped.sentence
    again = f"rehearse run --resume {run.run.path}"
    assert (again, f"{again} --from two") == stopped.next_commands
    assert "gate" == run.go(**orders).reason  # the step is not repeated, its gate is asked again
    assert ["one"] == run.traced()
    claim.write_text(HEAD + HOLDS)
    assert run.go(**orders) is None
    assert ["one"] == run.traced()
    assert ["stopped", "stopped", "went on"] == [
        e.action for e in run.events(events.GateDecided) if e.gate == "step:one"
    ]


@pytest.mark.parametrize(
    ("text", "outcome", "end"),
    [(HOLDS, Outcome.OK, ("went on", "finished")), (FAILS, Outcome.FAIL, ("stopped", "gate"))],
)
def test_one_suite_alone_is_recorded_like_a_run(gate, tmp_path, text, outcome, end):
    """Attempt, gate and end are in the journal, no part of a run is claimed, and the outcome is the gate's."""
    run, _, _ = gate(text)
    target = Small(tmp_path, {"one": "true"}).target
    attempt = Attempt(run, None, target, Orders(mode="demo", suite_alone=True))
    assert outcome is gates.alone(attempt, "demo", expect="from")
    told = history.load(run.path)
    assert ("demo", [], {}) == (told.first.mode, told.first.parts, told.first.plan)
    ((_, decided),) = told.of(events.GateDecided)
    assert ("demo", outcome, end) == (decided.gate, decided.outcome, (decided.action, told.last.reason))
    assert [("demo", Outcome.OK)] == [(phase, ended) for phase, _, _, ended in told.phases]
