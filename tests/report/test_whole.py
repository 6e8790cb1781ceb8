"""From a recording to its three files."""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree as ET

import pytest

from rehearsal.figures.outcome import Outcome
from rehearsal.judging.judge import judge
from rehearsal.recording.history import load
from rehearsal.report import write
from rehearsal.report.resultsjson import to_json
from rehearsal.report.sections import matrix
from tests.made.synthetic import Scenario
from tests.made.synthetic import ScriptedStep
from tests.made.synthetic import Trouble
from tests.made.synthetic import write_run

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


def test_results_are_written_as_they_are(written):
    run_dir, results, _ = written
    assert to_json(results) == (run_dir / "results.json").read_text(encoding="utf-8")


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


# --- a step is a step, whatever its name


def text_of(markup):
    """What a reader sees, with plain spaces."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", markup))).strip()


@pytest.mark.parametrize(
    "name", ["before", "no-step", "outside-of-steps", "before-the-first-step", "between", "control"]
)
def test_a_step_that_is_called_as_the_time_outside_of_steps_is_judged_by_its_budget(tmp_path, name):
    """9.92 s of outage over a budget of 1 s fail the step, its row, its case and the run, as in a step of any name."""
    budget = {"longest_s": 1.0, "total_s": 1.0, "source": "plan"}
    steps = (
        ScriptedStep("keystone", 20, 25, ("keystone",)),
        ScriptedStep(name, 30, 50, ("nova",), disturbs={"nova": budget}),
    )
    script = Scenario(
        steps=steps, troubles=(Trouble("keystone", 12, 13), Trouble("nova", 35, 44.92)), duration_s=60, baseline_s=10,
        lanes=("vip-new",), deep_hz=0, canaries=("canary-0",),
    )  # fmt: skip
    run_dir = write_run(tmp_path, script)
    results = judge(load(run_dir))
    write(run_dir, results)
    assert results.outcome is Outcome.FAIL
    (loss,) = [one for one in results.matrix if (one.step, one.service, one.kind) == (name, "nova", "down")]
    assert (loss.outcome, loss.count) == (Outcome.FAIL, 1)
    assert loss.longest.certain_ns <= 9_920_000_000 <= loss.longest.possible_ns
    assert loss.budget.longest_ns == 1_000_000_000
    assert {window.step for window in results.windows if window.service == "nova"} == {name}

    page = (run_dir / "report.html").read_text(encoding="utf-8")
    rows = {
        anchor: text_of(row)
        for anchor, row in re.findall(
            r'<tr id="([^"]+)">(.*?)</tr>', page.partition('<section id="matrix"')[2], re.DOTALL
        )
    }
    assert list(rows)[:2] == ["step-keystone", f"step-{name}"]
    assert rows[f"step-{name}"].startswith(f"2 {name} ")
    lost = matrix.shown(loss).longest
    assert text_of(f"FAIL {lost.point} [{lost.span}] ≤ 1 s, total ≤ 1 s plan") in rows[f"step-{name}"]
    assert rows["before-the-first-step"].startswith("before the first step ")
    assert "FAIL" not in rows["before-the-first-step"]
    assert f"nova during {name}" in text_of(page)

    found = [(case.get("classname"), case.get("name")) for case in ET.parse(run_dir / "junit.xml").iter("testcase")]
    assert len(set(found)) == len(found)
    (case,) = ET.parse(run_dir / "junit.xml").iterfind(f".//testcase[@classname='downtime.{name}'][@name='nova down']")
    assert case.find("failure") is not None
