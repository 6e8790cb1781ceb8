"""The command line: exit codes, one sentence for each mistake, no traceback."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC
from datetime import datetime

import pytest

from rehearsal import cli
from rehearsal.cli import usage
from rehearsal.recording import rundir
from tests.made.ownclaims import two_hosts
from tests.made.repository import as_arguments
from tests.made.repository import make_repository


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "COMMAND"),
        (["nonsense"], "invalid choice"),
        (["run", "--mode", "lab"], "invalid choice"),
        (["report"], "RUN"),
        (["report", "nowhere"], "There is no run 'nowhere'"),
        (["report", "latest"], "There is no run"),
        (["run", "--resume", "nowhere"], "There is no run"),
        (["plan", "--plan", "/nonexistent.yml"], "There is no such plan"),
        (["plan", "--set", "osism"], "NAME=VALUE"),
        (["plan", "--set", "osmis=1"], "no variable 'osmis'"),
        (["clean", "nowhere"], "There is no run"),
    ],
)
def test_usage_errors(tmp_path, capsys, monkeypatch, words, told):
    """A command that cannot be carried out ends with 64 and says in few words why."""
    monkeypatch.setenv("REHEARSE_REPORTS", str(tmp_path / "reports"))
    options = make_repository(tmp_path)
    if words and words[0] in {"run", "plan", "clean"}:
        words = [*words, *as_arguments(options)]
    assert 64 == cli.main(words)
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error


def test_target_is_printed(tmp_path, capsys):
    """`rehearse target` prints hosts, VIPs, endpoints and releases, and ends with 0."""
    assert 0 == cli.main(["target", *as_arguments(make_repository(tmp_path))])
    output = capsys.readouterr().out
    for word in ("compute-1", "127.0.0.12", "api.example.test", "OpenStack 2024.2", "kolla/release", ":8774/v2.1"):
        assert word in output
    assert "sesame" not in output


def test_target_with_a_problem(tmp_path, capsys):
    """`rehearse target` ends with 64 if something forbids a rehearsal, and still prints what it found."""
    options = make_repository(tmp_path, {"environments/openstack/secure.yml": None})
    assert 64 == cli.main(["target", *as_arguments(options)])
    printed = capsys.readouterr()
    assert "compute-1" in printed.out
    assert "error: Neither clouds.yaml nor a readable secure.yaml" in printed.err


def test_doubts_do_not_forbid(tmp_path, capsys):
    """A warning is printed and changes no exit code."""
    options = make_repository(
        tmp_path, {"inventory/group_vars/all/kolla.yml": "docker_namespace: kolla/release/2025.1\n"}
    )
    assert 0 == cli.main(["target", *as_arguments(options)])
    assert "warning: docker_namespace is" in capsys.readouterr().err


def test_plan_is_printed(tmp_path, capsys):
    """`rehearse plan` prints every step with its command, budgets and their sources, for this cloud's hosts."""
    assert 0 == cli.main(["plan", "--set", "osism=10.2.1", *as_arguments(make_repository(tmp_path))])
    output = capsys.readouterr().out
    for word in (
        "nova-compute-1",
        "osism apply -a upgrade",
        "10.2.1",
        "(source: default)",
        "live migrations (mixed)",
        "hold point",
    ):
        assert word in output


def test_a_plan_can_be_checked_without_a_cloud(capsys):
    """`rehearse plan --check` reads a plan and needs no cloud."""
    assert 0 == cli.main(["plan", "--check"])
    assert ": valid, " in capsys.readouterr().out


def test_an_unexpected_error_is_one_sentence(monkeypatch, capsys):
    """What nobody expected ends with 70, one sentence, and the place of the traceback."""

    def broken(_options):
        raise RuntimeError("never thought of")

    monkeypatch.setattr("rehearsal.cli.after.list_runs", broken)
    assert 70 == cli.main(["list"])
    error = capsys.readouterr().err
    assert error.startswith("Internal error: RuntimeError: never thought of.")
    assert 1 == len(error.strip().splitlines())


def test_list_names_runs(tmp_path, capsys):
    """`rehearse list` names every run, judged or not."""
    run = rundir.new_run(tmp_path)
    assert 0 == cli.main(["list", "--reports", str(tmp_path)])
    assert run.run in capsys.readouterr().out


def test_runs_are_found(tmp_path):
    """A run is found by its path, its id and as the latest; a second one in the same second gets its own id."""
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    first, second = rundir.new_run(tmp_path, now), rundir.new_run(tmp_path, now)
    assert ("20260102T030405Z", "20260102T030405Z-2") == (first.run, second.run)
    for name in (str(second.path), second.run, "latest", str(tmp_path / "latest")):
        assert second == rundir.find_run(name, tmp_path)
    assert [first, second] == rundir.all_runs(tmp_path)
    with pytest.raises(rundir.RunNotFound, match="20260102T030405Z-2"):
        rundir.find_run("other", tmp_path)


def test_mistakes_in_own_claims_refuse_the_run(tmp_path, capsys):
    """Each with its file, line and remedy, before there is a run; `none` goes without."""
    options = make_repository(tmp_path, {"environments/rehearse/test_mine.py": "def test_one(undefined):\n    pass\n"})
    words = ["--plan", "version-upgrade", "--reports", str(tmp_path / "reports"), *as_arguments(options)]
    for command in ("preflight", "run"):
        assert 64 == cli.main([command, *words])
        told = capsys.readouterr().err
        assert "test_mine.py:1) Define it in conftest.py" in told
        assert "Traceback" not in told
    assert not (tmp_path / "reports").exists()
    assert 0 == cli.main(["run", "--dry-run", "--suites", "none", *words])


def test_a_dry_run_lists_own_claims(tmp_path, capsys):
    """Which there are, where they are checked, and from which files."""
    options = make_repository(tmp_path)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "test_mine.py").write_text(
        "from rehearsal.api import check\n\n\n@check('own.late', gates='step', steps='nowhere')\ndef test_late(step):\n    pass\n"
    )
    assert 0 == cli.main(["run", "--dry-run", "--suites", str(mine), *as_arguments(options)])
    told = capsys.readouterr().out
    assert f"own claims: 1 of {mine} (1 file, SHA-256 " in told
    assert "own.late" in told
    assert "after no step of this plan" in told


def test_a_resumed_run_keeps_its_own_claims(tmp_path, capsys):
    """Those of the last attempt, wherever they lay; a directory that is gone is told and does not stop the run."""
    target = two_hosts()
    options = Namespace(suites="", without=[], **dict.fromkeys(("configuration", "interface", "clouds", "key"), ""))
    assert None is usage.own_claims_again(options, target, str(tmp_path / "gone"))
    assert "not checked any more" in capsys.readouterr().err
    assert None is usage.own_claims_again(options, target, "")
