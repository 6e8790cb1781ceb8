"""A session with own claims: each becomes one record, as a built-in check does, whatever the operator's code does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rehearsal.claims.outcomes import checks_of
from rehearsal.own.directory import needed
from rehearsal.own.ownclaims import GATE
from rehearsal.recording.journal import read
from tests.made.ownclaims import two_hosts
from tests.made.ownclaims import write

CLAIMS = '''
import time

import pytest

from helper import FIVE
from rehearsal.api import NotObserved
from rehearsal.api import check
from rehearsal.api import expect
from rehearsal.api import same


class Service:
    is_running = False

    def __repr__(self):
        return "<service chrony>"


@check("own.holds", hosts=("compute", "control-0"), service="ntp", remedy="Restart it.")
def test_holds(host, limit):
    """Five is five
    on each host.

    More for developers.
    """
    assert limit == FIVE


@check("own.compares", remedy="Restart it.")
def test_compares():
    """Four is five."""
    found = 4
    assert found == FIVE


@check("own.says")
def test_says():
    """A message is what was observed."""
    assert not FIVE, "chrony is not synchronised"


@check("own.attribute")
def test_attribute():
    """The values that pytest tells."""
    assert Service().is_running


@check("own.gives-up")
def test_gives_up():
    """A failure without an assertion."""
    pytest.fail("the link is down")


@check("own.expects")
def test_expects():
    """The way of the built-in checks."""
    expect(same("new", "old", host="compute-0", container="nova_compute"))


@check("own.unseen")
def test_unseen():
    """The third outcome."""
    raise NotObserved("it was dark")


@check("own.breaks")
def test_breaks():
    """What raises proves nothing."""
    raise OSError("connection lost")


@check("own.hangs", timeout_s=1)
def test_hangs():
    """A claim that hangs is unknown."""
    time.sleep(600)


@check("own.secret")
def test_secret():
    """What is secret is not shown."""
    print("printed gAAAAABmVerySecretFernetTokenOfThisCloud00")
    raise OSError("token=gAAAAABmVerySecretFernetTokenOfThisCloud00")


@pytest.mark.skip(reason="not today")
def test_skipped():
    pass


@check("own.after", gates="step")
def test_after(step):
    """Only after a step."""


def test_chrony_is_plain(host):
    assert host.backend.host.name
'''
FILES = {
    "conftest.py": "import pytest\n\n\n@pytest.fixture\ndef limit():\n    return 5\n",
    "helper.py": "FIVE = 5\n",
    "test_all.py": CLAIMS,
    "logging.py": "raise RuntimeError('a name of the standard library')\n",
}
OUTCOMES = {
    "own.holds": "ok",
    "own.compares": "fail",
    "own.says": "fail",
    "own.attribute": "fail",
    "own.gives-up": "fail",
    "own.expects": "fail",
    "own.unseen": "unknown",
    "own.breaks": "unknown",
    "own.hangs": "unknown",
    "own.secret": "unknown",
    "own.all.skipped": "unknown",
    "own.all.chrony_is_plain": "ok",
}


def session(tmp_path, files, *, gate, **settings):
    directory = write(tmp_path / "own", files)
    two_hosts().save(tmp_path / "target.json")
    journal = tmp_path / "journal.jsonl"
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("REHEARSE_", "PYTEST_", "OS_"))}
    ours = {
        "REHEARSE_TARGET": tmp_path / "target.json",
        "REHEARSE_JOURNAL": journal,
        "REHEARSE_GATE": gate,
        GATE: gate,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", str(directory), *needed(directory), "-q"],
        cwd=directory,
        env=clean | {key: str(value) for key, value in (ours | settings).items()},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return checks_of([record.event for record in read(journal).records]), done, journal


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """All of them at once: a session costs a second or more."""
    return session(tmp_path_factory.mktemp("session"), FILES, gate="preflight")


def test_each_claim_becomes_its_outcome(checked):
    """As for built-in checks; a plain test counts as well, and what is for another gate is not there."""
    records, done, _ = checked
    assert OUTCOMES == {record.check: record.outcome for record in records}, done.stdout
    assert {"own"} == {record.suite for record in records}
    assert {"preflight"} == {record.gate for record in records}


def test_what_a_record_says(checked):
    """Sentence, host, service and remedy, as the operator wrote them."""
    by_id = {}
    for record in checked[0]:
        by_id.setdefault(record.check, []).append(record)
    holds = by_id["own.holds"]
    assert ["compute-0", "control-0"] == sorted(record.host for record in holds)
    assert {("Five is five on each host.", "ntp", "Restart it.")} == {
        (each.claim, each.service, each.remedy) for each in holds
    }
    assert "chrony is plain" == by_id["own.all.chrony_is_plain"][0].claim
    (compares,) = by_id["own.compares"]
    assert ("found == FIVE", "4 == 5") == (compares.expected, compares.observed)
    (says,) = by_id["own.says"]
    assert ("not FIVE", "chrony is not synchronised") == (says.expected, says.observed)
    (attribute,) = by_id["own.attribute"]
    assert "Service().is_running" == attribute.expected
    assert "False; where False = <service chrony>.is_running" in attribute.observed
    (expects,) = by_id["own.expects"]
    assert ("new", "old", "compute-0", "nova_compute") == (
        expects.expected,
        expects.observed,
        expects.host,
        expects.container,
    )
    assert "the link is down" == by_id["own.gives-up"][0].detail
    assert "its time limit of 1 s" in by_id["own.hangs"][0].detail
    assert "it was dark" in by_id["own.unseen"][0].detail


def test_what_is_secret_is_nowhere(checked):
    """Own output passes the same nets as everything else."""
    _, done, journal = checked
    assert "VerySecret" not in done.stdout + done.stderr + journal.read_text()


def test_a_claim_is_repeated_by_its_command(checked, tmp_path):
    """The command of a record works where the operator is, and checks exactly that claim."""
    (compares,) = [record for record in checked[0] if record.check == "own.compares"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("REHEARSE_", "PYTEST_", "OS_"))}
    done = subprocess.run(
        compares.repeat, shell=True, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=240, check=False
    )
    assert "1 failed" in done.stdout, done.stdout + done.stderr
    assert "found == FIVE" in done.stdout
