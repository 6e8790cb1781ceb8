"""From a recording to its three files."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from rehearsal.history import load
from rehearsal.judge import judge
from rehearsal.report import write
from rehearsal.results_json import from_json
from tests.synthetic import Scenario
from tests.synthetic import Trouble
from tests.synthetic import write_run

SCENARIOS = {
    "clean": Scenario(),
    "nova down": Scenario(troubles=(Trouble("nova", 120, 131.4), Trouble("keystone", 80, 81.5, "slow"))),
    "killed": Scenario(runner_dies_s=120, prober_dies_s=125),
    "killed at once": Scenario(runner_dies_s=3),
}


@pytest.fixture(params=sorted(SCENARIOS), scope="module")
def written(request, tmp_path_factory):
    run_dir = write_run(tmp_path_factory.mktemp("run"), SCENARIOS[request.param])
    results = judge(load(run_dir))
    return run_dir, results, write(run_dir, results)


def test_three_files_are_written_and_nothing_else(written):
    run_dir, _, paths = written
    assert sorted(path.name for path in paths) == ["junit.xml", "report.html", "results.json"]
    assert not list(run_dir.glob(".*"))


def test_results_come_back_from_their_file(written):
    run_dir, results, _ = written
    assert from_json((run_dir / "results.json").read_text(encoding="utf-8")) == results


def test_page_junit_and_results_give_the_same_verdict(written):
    run_dir, results, _ = written
    case = ET.parse(run_dir / "junit.xml").getroot().find("testsuite/testcase[@name='verdict']")
    tag = {"ok": [], "fail": ["failure"], "unknown": ["error"]}[results.outcome.value]
    assert [child.tag for child in case] == tag
    assert f'<p class="stamp">{results.outcome.shown}</p>' in (run_dir / "report.html").read_text(encoding="utf-8")


def test_writing_again_gives_the_same_bytes(written):
    run_dir, _, paths = written
    first = {path: path.read_bytes() for path in paths}
    write(run_dir, judge(load(run_dir)))
    assert {path: path.read_bytes() for path in paths} == first
