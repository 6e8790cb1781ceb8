"""A room that raises takes nothing else with it: its part and the verdict are unknown, and everything else is written."""

from __future__ import annotations

import contextlib
import json
from unittest import mock
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal import report
from rehearsal.cli.after import make_report
from rehearsal.figures.outcome import Outcome
from rehearsal.judging import judge
from rehearsal.judging.rooms import LOG
from rehearsal.judging.rooms import Rooms
from rehearsal.recording import history
from rehearsal.recording.rundir import RunDirectory
from tests.made.synthetic import Scenario
from tests.made.synthetic import ScriptedMigration
from tests.made.synthetic import Trouble
from tests.made.synthetic import default_steps
from tests.made.synthetic import write_run

OF_THE_JUDGE = (
    "judging.judge.observe", "judging.judge.pieces_of", "judging.judge.groups_of", "judging.judge.world_of", "judging.judge.matrix", "judging.judge.course.checks",
    "judging.judge.course.steps", "judging.judge.moves.migrations", "judging.judge.moves.canaries", "judging.judge.differences", "judging.judge.quality",
    "judging.judge.guests", "judging.shown.flows.flows", "judging.judge.views.windows", "judging.judge.views.strips", "judging.judge.instruments.lanes",
    "judging.judge.instruments.calibrations", "judging.judge.grades.grades", "judging.judge.notproven.gaps", "judging.judge.summary.sentence",
    "judging.judge.AnswerTimes.add", "judging.judge.AnswerTimes.found", "judging.judge._provenance",
    "judging.findings._of_the_end", "judging.findings._of_steps", "judging.findings._of_gates",
    "judging.findings._of_losses", "judging.findings._of_canaries", "judging.findings._of_guests",
    "judging.findings._of_migrations", "judging.findings._of_differences", "judging.findings._of_the_prober",
    "judging.trust.findings",
)  # fmt: skip
OF_THE_PAGE = (
    "report.page._contents", "report.page.headline.facts", "report.sections.timechart.timeline.draw",
    "report.sections.windowlist.closeup.draw", "report.sections.windowlist.listed", "report.lanewords.shown",
    "report.answertimes.rows", "report.sections.provenance._dump", "report.sections.checklist.sorted_out",
    "report.sections.beforeafter.sorted_out", "report.sections.logs.files", "report.sections.logs.log",
    "report.sections.matrix.built", "report.page.printed.bounded", "report.sections.matrix.shown", "report.sections.checklist.Case",
)  # fmt: skip
ERRORS = (
    ValueError("a line\nof <b>two</b>"),
    KeyError("key"),
    ZeroDivisionError(),
    RecursionError("too deep"),
    TypeError(),
)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A run without a fault, one whose gate failed, and one with an outage over its budget."""
    moved = (ScriptedMigration("m1", "canary-0", 155, 160),)
    first, second = default_steps()
    failed = (first, type(second)(**{**{f: getattr(second, f) for f in second.__slots__}, "gate": ("fail",)}))
    small = {"duration_s": 170.0, "http_hz": 5.0, "icmp_hz": 10.0, "tcp_hz": 0.0, "migrations": moved}
    scripts = {
        "well": Scenario(**small),
        "gate": Scenario(**small, steps=failed),
        "outage": Scenario(**small, troubles=(Trouble("nova", 115, 140),)),
    }
    return {name: write_run(tmp_path_factory.mktemp(name), script) for name, script in scripts.items()}


@contextlib.contextmanager
def raising(names, error):
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(mock.patch(f"rehearsal.{name}", side_effect=error))
        yield


@settings(max_examples=60, deadline=None)
@given(
    rooms=st.sets(st.sampled_from(OF_THE_JUDGE), min_size=1, max_size=3),
    error=st.sampled_from(ERRORS),
    name=st.sampled_from(["well", "gate", "outage"]),
)
def test_whatever_room_raises_there_is_a_report_and_no_better_verdict(recordings, rooms, error, name):
    """The verdict is unknown, or a failure that another room saw; a finding names the room; all three files are written."""
    run_dir = recordings[name]
    whole = judge.judge(history.load(run_dir))
    broken = Rooms()
    with raising(rooms, error):
        results = judge.judge(history.load(run_dir), broken)
        paths = report.write(run_dir, results, broken)
    assert broken.broken
    assert results.outcome is not Outcome.OK
    assert whole.outcome is Outcome.FAIL or results.outcome is Outcome.UNKNOWN
    told = {finding.subject: finding for finding in results.findings}
    for each in broken.broken:
        if each.room.startswith(("page", "junit")):
            continue
        if each.room != "summary":
            assert told[f"judge:{each.room}"].outcome is Outcome.UNKNOWN
        assert type(error).__name__ in each.why
        assert "Traceback" in each.traceback
    assert [path.name for path in paths] == ["results.json", "junit.xml", "report.html"]
    assert json.loads(paths[0].read_text())["outcome"] == results.outcome.value
    ET.fromstring(paths[1].read_text())
    page = paths[2].read_text()
    assert results.outcome.shown in page
    assert "<b>two</b>" not in page


@pytest.mark.parametrize("room", OF_THE_JUDGE)
def test_a_failure_that_others_saw_stays_a_failure(recordings, room):
    """A broken room makes nothing better: what fails without it fails with it, unless nobody else can know."""
    outcomes = {}
    for name in ("gate", "outage"):
        with raising([room], ValueError("broken")):
            outcomes[name] = judge.judge(history.load(recordings[name])).outcome
    sees = {"gate": {"judging.judge.course.checks", "judging.judge.course.steps"}, "outage": {"judging.judge.observe", "judging.judge.groups_of", "judging.judge.matrix"}}  # fmt: skip
    for name, outcome in outcomes.items():
        assert outcome is (Outcome.UNKNOWN if room in sees[name] else Outcome.FAIL), name


@pytest.mark.parametrize("room", OF_THE_PAGE)
def test_a_section_that_raises_is_replaced_by_a_sentence(recordings, tmp_path, room):
    """The rest of the page, the other files and the verdict are as they would have been."""
    run_dir = recordings["outage"]
    results = judge.judge(history.load(run_dir))
    whole = report.render(results, run_dir)
    rooms = Rooms()
    with raising([room], ValueError("broken <script>")):
        page = report.render(results, run_dir, rooms)
        report.write(run_dir, results, rooms)
    assert rooms.broken
    assert "<script" not in page
    assert results.outcome.shown in page
    if "junit" not in room:
        assert page.count("This section could not be written") == len(
            [each for each in {each.room for each in rooms.broken} if each not in {"page: head", "page: contents"} and "junit" not in each]
        )  # fmt: skip
    anchors = ("findings", "canaries", "migrations", "not-proven", "quality", "logs")
    assert [anchor for anchor in anchors if f'id="{anchor}"' in whole] == [
        anchor for anchor in anchors if f'id="{anchor}"' in page
    ]


def test_the_traceback_is_kept_for_a_file_and_goes_with_the_next_report(recordings, capsys):
    """The operator reads one sentence with the file's name; a later report that is well leaves no old traceback."""
    run = RunDirectory(recordings["well"])
    with raising(["judging.judge.guests"], ValueError("a pure defect")):
        results = make_report(run)
    assert results.outcome is Outcome.UNKNOWN
    said = capsys.readouterr()
    assert "what the canaries noticed from inside could not be judged" in said.out + said.err
    assert "Traceback" not in said.out + said.err
    assert "a pure defect" in (run.path / LOG).read_text()
    assert "Not judged: what the canaries noticed from inside" in run.report.read_text()
    assert make_report(run).outcome is judge.judge(history.load(run.path)).outcome
    assert not (run.path / LOG).exists()


def test_a_damaged_store_is_a_finding_and_everything_else_is_written(tmp_path):
    """Samples that cannot be read leave steps, checks and migrations, and the samples that can be read."""
    script = Scenario(checks=(), migrations=(ScriptedMigration("m1", "canary-0", 155, 160, status="error"),))
    run_dir = write_run(tmp_path, script)
    store = run_dir / "samples" / "prober.smp"
    data = bytearray(store.read_bytes())
    data[len(data) // 2] ^= 0xFF
    store.write_bytes(bytes(data))
    results = judge.judge(history.load(run_dir))
    assert results.outcome is Outcome.FAIL  # nova says that the migration failed
    assert any("samples/prober.smp, byte" in finding.sentence for finding in results.findings)
    assert [step.outcome for step in results.steps] == [Outcome.OK, Outcome.OK]
    assert results.matrix
    report.write(run_dir, results)
