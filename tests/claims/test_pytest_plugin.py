"""The recorder writes every claim down exactly once, whatever became of it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from rehearsal.claims.outcomes import checks_of
from rehearsal.recording.events import CheckDone
from rehearsal.recording.events import ClaimsListed
from rehearsal.recording.journal import read

INI = """
[pytest]
addopts = --import-mode=importlib -p rehearsal.claims.pytest_plugin -p no:cacheprovider -p no:hypothesispytest
markers = check(id, service=None, scope=None): id
timeout = 30
"""

HEAD = """
import os
import pytest
from rehearsal.figures.expectation import NotObserved, expect, same
"""


@pytest.fixture
def run_suite(tmp_path):
    def run(source, *arguments, gate="preflight", suite="preflight", journal=True):
        folder = tmp_path / "suites" / suite
        folder.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pytest.ini").write_text(INI)
        (folder / "test_cloud.py").write_text(HEAD + textwrap.dedent(source))
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("REHEARSE_", "PYTEST_"))}
        path = tmp_path / "journal" / f"suite-01-{suite}.jsonl"
        environment["REHEARSE_GATE"] = gate
        if journal:
            environment["REHEARSE_JOURNAL"] = str(path)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *arguments, f"suites/{suite}"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        everything = [record.event for record in read(path).records] if path.exists() else []
        records = [event for event in everything if isinstance(event, CheckDone)]
        listed = [claim["node_id"] for event in everything if isinstance(event, ClaimsListed) for claim in event.claims]
        if done.returncode != 9:
            assert set(listed) <= {record.node_id for record in records}
            assert records == checks_of(everything)
        return {record.node_id.rpartition("::")[2]: record for record in records}, records, done

    return run


EVERY_COURSE = '''
@pytest.fixture
def broken():
    raise RuntimeError("no cloud")

@pytest.fixture
def breaks_afterwards():
    yield
    raise RuntimeError("could not put it away")

@pytest.mark.check("preflight.holds", service="nova")
def test_holds():
    """Two and two
    are four.

    More for developers.
    """
    expect(same(4, 2 + 2, host="node-1"))

@pytest.mark.check("preflight.fails")
@pytest.mark.parametrize("host", ["node-1", "node-2"])
def test_fails(host):
    """The tag is right."""
    expect(same("new", "old" if host == "node-2" else "new", host=host, container="nova_api"))

@pytest.mark.check("preflight.bare-assertion")
def test_bare_assertion():
    """Assertions count without expect."""
    assert 1 == 2

@pytest.mark.check("preflight.raises")
def test_raises():
    """A test that raises proves nothing."""
    raise OSError("connection lost")

@pytest.mark.check("preflight.skips")
def test_skips():
    """A skipped test proves nothing."""
    pytest.skip("not today")

@pytest.mark.check("preflight.unseen")
@pytest.mark.parametrize("container", ["nova_api"])
def test_unseen(container):
    """Missing facts prove nothing."""
    raise NotObserved("the host did not answer")

@pytest.mark.check("preflight.broken")
def test_broken(broken):
    """A broken fixture proves nothing."""

@pytest.mark.check("preflight.fixture-assertion")
def test_after(breaks_afterwards):
    """A broken teardown takes an ok away."""
    expect(same(1, 1))

@pytest.mark.check("preflight.empty")
@pytest.mark.parametrize("host", [])
def test_empty(host):
    """Nothing to check proves nothing."""

@pytest.mark.check("preflight.late")
@pytest.mark.timeout(1)
def test_late():
    """A check that hangs proves nothing."""
    import time
    time.sleep(20)

@pytest.mark.xfail(strict=True)
@pytest.mark.check("preflight.xfail")
def test_xfail():
    """Expecting a failure does not make it good."""
    expect(same(1, 2))

@pytest.mark.check("preflight.deselected")
def test_narrowed_away():
    """Deselected is not checked."""

def test_without_an_id():
    pass
'''

DYING = '''
@pytest.mark.check("preflight.dies")
@pytest.mark.parametrize("host", ["node-1"])
def test_dies(host):
    """It dies."""
    os._exit(9)
'''


def outcomes(by_name):
    return {name: record.outcome for name, record in by_name.items()}


EXPECTED_COURSES = {
    "test_holds": "ok",
    "test_fails[node-1]": "ok",
    "test_fails[node-2]": "fail",
    "test_bare_assertion": "fail",
    "test_raises": "unknown",
    "test_skips": "unknown",
    "test_unseen[nova_api]": "unknown",
    "test_broken": "unknown",
    "test_after": "unknown",
    "test_empty[NOTSET]": "unknown",
    "test_late": "unknown",
    "test_xfail": "fail",
    "test_narrowed_away": "unknown",
}


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_every_course_becomes_the_right_outcome(run_suite, workers):
    """Only a failed expectation is a fail; skipped, broken, hanging, dying and deselected checks are unknown; each once."""
    source, expected = EVERY_COURSE, dict(EXPECTED_COURSES)
    if workers:
        source, expected = source + DYING, expected | {"test_dies[node-1]": "unknown"}
    by_name, records, done = run_suite(source, "-k", "not narrowed", *workers)
    assert expected == outcomes(by_name), done.stdout
    assert len(expected) == len(records)
    fail = by_name["test_fails[node-2]"]
    assert ("preflight.fails", "new", "old", "node-2", "nova_api") == (
        fail.check,
        fail.expected,
        fail.observed,
        fail.host,
        fail.container,
    )
    assert "The tag is right." == fail.claim
    assert "suites/preflight/test_cloud.py::test_fails[node-2]" in fail.repeat
    assert ("Two and two are four.", "nova", "node-1") == (
        by_name["test_holds"].claim,
        by_name["test_holds"].service,
        by_name["test_holds"].host,
    )
    assert "not checked: the host did not answer" == by_name["test_unseen[nova_api]"].detail
    assert "nova_api" == by_name["test_unseen[nova_api]"].container
    assert "connection lost" in by_name["test_raises"].detail
    assert "no cloud" in by_name["test_broken"].detail
    assert "could not put it away" in by_name["test_after"].detail
    assert 1 == done.returncode
    assert f"FAIL: {len(expected)} claims, 2 PASS, 3 FAIL, {len(expected) - 5} UNKNOWN" in done.stdout
    assert "deselected" in by_name["test_narrowed_away"].detail
    if workers:
        died = by_name["test_dies[node-1]"]
        assert ("preflight.dies", "It dies.", "node-1") == (died.check, died.claim, died.host)
        assert "the process that ran this check died" == died.detail
    assert "FAIL    preflight.fails [node-2 nova_api] expected new; observed old" in done.stdout


def test_a_file_that_cannot_be_read_is_unknown(run_suite):
    """A collection error is one unknown that says why; it can never look like an empty, green suite."""
    _, records, _ = run_suite("raise RuntimeError('no configuration here')")
    assert [("preflight.collection", "unknown")] == [(record.check, record.outcome) for record in records]
    assert "no configuration here" in records[0].detail


def test_what_was_not_reached_is_unknown(run_suite):
    """A suite that is cut short leaves an unknown for each claim that it did not check."""
    source = '''
    @pytest.mark.check("preflight.one")
    @pytest.mark.parametrize("number", range(3))
    def test_one(number):
        """It stops here."""
        expect(same(0, number + 1))
    '''
    by_name, records, _ = run_suite(source, "-x")
    assert {"test_one[0]": "fail", "test_one[1]": "unknown", "test_one[2]": "unknown"} == outcomes(by_name)
    assert 3 == len(records)
    assert "ended before its turn" in by_name["test_one[2]"].detail


def test_all_skipped_is_not_a_success(run_suite):
    """A suite in which everything was skipped ends with 2, not with pytest's 0."""
    source = '''
    @pytest.mark.check("preflight.one")
    def test_one():
        """It is skipped."""
        pytest.skip("no time")
    '''
    _, _, done = run_suite(source, journal=False)
    assert 2 == done.returncode
    assert "UNKNOWN preflight.one [test_cloud.py::test_one] not checked: no time" in done.stdout


def test_postflight_names_what_it_takes_over(run_suite):
    """A claim of pre-flight that post-flight makes again carries post-flight's name and the gate that asked."""
    source = '''
    @pytest.mark.check("preflight.one")
    def test_one():
        """It is fine."""
        expect(same(1, 1))
    '''
    _, records, done = run_suite(source, suite="postflight", gate="step:nova")
    assert [("postflight.one", "postflight", "step:nova")] == [(each.check, each.suite, each.gate) for each in records]
    assert 0 == done.returncode


def test_a_suite_that_is_killed_leaves_unknowns(tmp_path, run_suite):
    """When the whole pytest process dies, every claim that it had listed and not checked is unknown."""
    source = '''
    @pytest.mark.check("preflight.one")
    @pytest.mark.parametrize("host", ["node-1", "node-2", "node-3"])
    def test_one(host):
        """It is fine."""
        if host == "node-2":
            os._exit(9)
        expect(same(1, 1))
    '''
    _, records, _ = run_suite(source)
    assert [("node-1", "ok")] == [(each.host, each.outcome) for each in records]
    events = [record.event for record in read(tmp_path / "journal" / "suite-01-preflight.jsonl").records]
    assert [("node-1", "ok"), ("node-2", "unknown"), ("node-3", "unknown")] == [
        (each.host, each.outcome) for each in checks_of(events)
    ]
    assert "It is fine." == checks_of(events)[2].claim


def test_secrets_and_terminal_sequences_are_in_nothing_that_a_suite_tells(run_suite, tmp_path):
    """Not in the journal, nor in pytest's own output, nor on the page: what a check quotes can be anything."""
    _, records, done = run_suite(
        '''
        def seen(name):  # as it comes from a host: it does not stand in the source
            return "-".join(["of", "the", name])


        @pytest.mark.check("demo.quotes")
        def test_quotes():
            """A check that quotes what it saw."""
            print("password=" + seen("output") + " \\x1b]52;c;x\\x07")
            raise RuntimeError("X-Auth-Token: " + seen("error") + " \\x1b]0;t\\x07\\u202e " + "x" * 3932 + " token=" + seen("cut"))


        @pytest.mark.check("demo.fails")
        def test_fails():
            """A check that fails."""
            expect(same({"password": seen("value")}, {"password": seen("other")}))
        ''',
        "--html=page.html",
        "--self-contained-html",
    )
    assert 2 == len(records)
    journal = (tmp_path / "journal" / "suite-01-preflight.jsonl").read_text()
    page = (tmp_path / "page.html").read_text()
    for told in (journal, page, done.stdout, done.stderr):
        for secret in ("output", "error", "value", "other", "cu"):
            assert f"of-the-{secret}" not in told, secret
        assert "\x1b" not in told
        assert "\u202e" not in told
