"""Own claims decide gates as built-in checks do, are recorded and reported, and need their directory only to be checked."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

from rehearsal.cli.after import make_report
from rehearsal.figures.outcome import Outcome
from rehearsal.own.ownclaims import read
from rehearsal.recording import events
from rehearsal.recording import rundir
from rehearsal.runner import ownsuite
from rehearsal.runner import suites
from tests.made.ownclaims import two_hosts
from tests.made.ownclaims import write
from tests.made.small_run import EVERYTHING
from tests.made.small_run import Small

pytestmark = [pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"), pytest.mark.timeout(900)]

BUILT_IN = '''"""A suite."""

import pytest

from rehearsal.figures.expectation import expect, same


@pytest.mark.check("{suite}.holds")
def test_holds():
    """One is one."""
    expect(same(1, 1))
'''
OWN = '''
from rehearsal.api import check


@check("own.everywhere", gates=("preflight", "postflight"))
def test_everywhere(target, recorded):
    """The target is known."""
    assert target.hosts


@check("own.after-two", gates="step", steps="two", remedy="Make it {wanted}.")
def test_after_two(step, canaries):
    """Step two is what it should be."""
    found = step.id + str(len(canaries))
    assert found == "{wanted}"
'''
HANGS = '''
import signal
import time

from rehearsal.api import check


@check("own.hangs", timeout_s=1)
def test_hangs():
    """It does not even notice its time limit."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    time.sleep(600)


def test_after():
    pass
'''


@pytest.fixture
def small(tmp_path, monkeypatch):
    root = tmp_path / "root"
    for suite in ("preflight", "postflight"):
        write(root / "suites" / suite, {"test_demo.py": BUILT_IN.format(suite=suite)})
    (root / "conftest.py").write_text('pytest_plugins = ("rehearsal.claims.pytest_plugin",)\n')
    (root / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = ["--import-mode=importlib"]\nmarkers = ["check(id): x"]\n'
    )
    monkeypatch.setattr(suites, "suites_root", lambda: root)
    return Small(tmp_path, {"one": "true", "two": "true"})


def test_own_claims_stop_a_run_and_are_reported_without_their_directory(small, tmp_path, capsys):
    """A step's own claim fails: the run stops there; mended, it goes on; the report says which files were checked."""
    directory = write(tmp_path / "own", {"test_mine.py": OWN.replace("{wanted}", "two1")})
    orders = {"without": EVERYTHING - {"suites"}}
    stopped = small.go(own=read(directory, small.target, {}), **orders)
    assert "gate" == stopped.reason
    assert "Step two is what it should be" in stopped.sentence
    told = capsys.readouterr().out
    assert "expected found == 'two1'; observed 'two0' == 'two1'" in told
    assert "remedy: Make it two1." in told

    write(directory, {"test_mine.py": OWN.replace("{wanted}", "two0")})
    assert None is small.go(own=read(directory, small.target, {}), **orders)
    decided = [(each.gate, each.action) for each in small.events(events.GateDecided)]
    assert [
        ("preflight", "went on"),
        ("step:two:own", "stopped"),
        ("step:two:own", "went on"),
        ("postflight", "went on"),
    ] == decided
    readings = small.events(events.OwnClaimsRead)
    assert 2 == len({reading.sha256 for reading in readings})
    assert [{"test_mine.py"}] * 2 == [{file["name"] for file in reading.files} for reading in readings]

    shutil.rmtree(directory)
    elsewhere = shutil.copytree(small.run.path, tmp_path / "elsewhere" / small.run.run)
    results = make_report(rundir.RunDirectory(elsewhere))
    own = {(check.gate, check.id, check.outcome) for check in results.checks if check.suite == "own"}
    assert {
        ("preflight", "own.everywhere", Outcome.OK),
        ("step:two:own", "own.after-two", Outcome.OK),
        ("postflight", "own.everywhere", Outcome.OK),
    } == own
    assert readings[-1].sha256 in results.provenance["own claims"]
    assert not any(gap.what.startswith("Own claim") for gap in results.not_proven)
    assert "Make it two0." in {check.remedy for check in results.checks}


def test_own_claims_that_are_not_checked_any_more_are_not_proven(small, tmp_path):
    """A run that goes on without its directory says so: what was listed and not checked did not hold by itself."""
    directory = write(tmp_path / "own", {"test_mine.py": OWN.replace("{wanted}", "two0")})
    orders = {"without": EVERYTHING - {"suites"}}
    small.go(own=read(directory, small.target, {}), until_step="one", **orders)
    assert None is small.go(own=None, **orders)
    gaps = {gap.what: gap.why for gap in make_report(small.run).not_proven}
    assert "it was not checked at postflight: The target is known." == gaps["Own claim own.everywhere"]
    assert "it was never checked: Step two is what it should be." == gaps["Own claim own.after-two"]


def test_what_ignores_its_time_limit_is_ended(tmp_path, monkeypatch):
    """The process is ended, and its claim does not pass; changed files are told."""
    monkeypatch.setattr(ownsuite, "_GRACE_S", 30.0)
    directory = write(tmp_path / "own", {"test_mine.py": HANGS})
    run, recorded = rundir.new_run(tmp_path / "reports"), []
    two_hosts().save(run.target)
    claims = read(directory, two_hosts(), {})
    write(directory, {"helper.py": ""})
    hanging = tuple(each for each in claims.claims if each.check == "own.hangs")
    own = ownsuite.OwnSuite(dataclasses.replace(claims, claims=hanging), run, recorded.append)
    gate = own.alone("preflight", "preflight", {"REHEARSE_PLAN": ""})
    assert Outcome.UNKNOWN == gate.outcome
    assert {Outcome.UNKNOWN} == {Outcome(check.outcome) for check in gate.checks if check.check == "own.hangs"}
    assert "no claim of suite own ended for" in gate.trouble
    assert any(isinstance(each, events.Note) and "helper.py" in each.text for each in recorded)
