"""The pytest plugin that writes one `CheckDone` record for every claim of a suite.

Invariant: every collected claim ends up in the journal exactly once, whatever became of it. A claim that was skipped, not
reached, or whose test broke or whose process died is recorded as unknown with the reason; only a failed expectation is a
fail; nothing is tried again. With pytest-xdist the controller alone writes.

Only tests with a `check` marker below a `suites/` folder are claims; in any other pytest session this plugin is silent.
In a session with an operator's own claims (`rehearsal.own`), every test is one.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import sys
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import pytest

from rehearsal.claims.asserted import asserted
from rehearsal.claims.catalogue import check_id
from rehearsal.claims.catalogue import claim_sentence
from rehearsal.claims.outcomes import OWN
from rehearsal.cloud.secrets import files_of as secret_files
from rehearsal.cloud.secrets import remember_secrets
from rehearsal.figures import expectation
from rehearsal.figures.expectation import NotObserved
from rehearsal.figures.outcome import Outcome
from rehearsal.figures.outcome import worst
from rehearsal.figures.say import exact_s
from rehearsal.outside.redact import remember_environment
from rehearsal.outside.terminal import shown
from rehearsal.recording.events import CheckDone
from rehearsal.recording.events import ClaimsListed
from rehearsal.recording.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Generator
    from collections.abc import Iterator
    from collections.abc import Mapping
    from collections.abc import Sequence


JOURNAL_VARIABLE = "REHEARSE_JOURNAL"
GATE_VARIABLE = "REHEARSE_GATE"
_REPEAT_VARIABLES = (
    "REHEARSE_RUN_DIR",
    "REHEARSE_GATE",
    "REHEARSE_STEP",
    "REHEARSE_TARGET",
    "REHEARSE_PLAN",
    "REHEARSE_EXPECT",
)
_COLLECTED = (
    "rehearsal_collected"  # key of xdist's workerinput: the folder into which workers write what they collected
)
OWN_PLUGIN = "rehearsal.own.ownsession"
_TIMED_OUT = re.compile(r"Timeout \(>([\d.]+)s\)")  # pytest-timeout ends a test as pytest.fail() would
NOT_APPLICABLE = pytest.StashKey[dict[str, str]]()
"""Checks that make no claim about this cloud or step, each with the reason."""
_PLACES = ("host", "container", "service")
_LONGEST_DETAIL = 4000


@dataclass(frozen=True, slots=True)
class Claim:
    """A collected test with its stable id, before it ran."""

    check: str
    node_id: str
    suite: str
    sentence: str
    host: str = ""
    container: str = ""
    service: str = ""
    remedy: str = ""


@dataclass(slots=True)
class _Course:
    """What has been seen of one claim so far."""

    claim: Claim
    outcome: Outcome | None = None
    judged: dict[str, Any] = field(default_factory=dict)
    detail: str = ""
    duration_s: float = 0.0


def suite_of(path: Path) -> str:
    """Return the name of the suite that a test file belongs to (the folder below `suites/`), or an empty string."""
    parts = path.parts
    places = [place for place, part in enumerate(parts[:-2]) if part == "suites"]
    return parts[places[-1] + 1] if places else ""


def suite_in(config: pytest.Config, path: Path) -> str:
    """Return the name of the suite that a test file belongs to in this session, or an empty string."""
    return OWN if config.pluginmanager.has_plugin(OWN_PLUGIN) else suite_of(path)


def own_id(item: pytest.Item) -> str:
    """Return the id of an operator's test that was given none: `own.FILE.TEST`, without `test_`."""
    file = item.path.relative_to(item.config.rootpath).with_suffix("")
    test = item.nodeid.partition("[")[0].split("::")[1:]
    return ".".join([OWN, *(part.removeprefix("test_") for part in (*file.parts, *test))])


def claim_of(item: pytest.Item) -> Claim | None:
    """Return the claim that a collected test makes, or None if it makes none."""
    suite = suite_in(item.config, item.path)
    marker = item.get_closest_marker("check")
    marked = str(marker.args[0]) if marker and marker.args else ""
    if not suite or not (marked or suite == OWN):
        return None
    says = marker.kwargs if marker else {}
    callspec = getattr(item, "callspec", None)
    where = place_of(callspec.params if callspec else {})
    where["service"] = where["service"] or str(says.get("service") or "")
    sentence = claim_sentence(getattr(getattr(item, "obj", None), "__doc__", None))
    if suite == OWN:
        marked = marked or own_id(item)
        sentence = sentence or marked.rpartition(".")[2].replace("_", " ").replace("-", " ")
    else:
        marked = check_id(marked, suite)
    return Claim(marked, item.nodeid, suite, sentence, **where, remedy=str(says.get("remedy") or ""))


def place_of(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the host, container and service that a test's parameters name, themselves or in a field of theirs."""
    where = dict.fromkeys(_PLACES, "")
    for name, value in parameters.items():
        place = name.rpartition("_")[2]  # `compute_host` is a host
        if place in _PLACES and isinstance(value, str):
            where[place] = value
        for place, attribute in (
            ("host", "host"),
            ("container", "container"),
            ("service", "service"),
            ("service", "role"),
        ):
            told = getattr(value, attribute, None)
            if isinstance(told, str):
                where[place] = where[place] or told
    return where


def pytest_configure(config: pytest.Config) -> None:
    """Register the half of the recorder that this process needs."""
    _remember_secrets()
    worker = hasattr(config, "workerinput")
    config.pluginmanager.register(_Witness(config), "rehearsal-witness")
    if not worker:
        config.pluginmanager.register(_Recorder(config), "rehearsal-recorder")


def _remember_secrets() -> None:
    """What the suites print, and what they record, is without the configuration's secrets."""
    remember_environment(os.environ)
    if configuration := os.environ.get("REHEARSE_CONFIGURATION", ""):
        remember_secrets(*secret_files(Path(configuration)))


class _Witness:
    """In the process that runs the tests: adds to pytest's reports what the journal needs to know."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.deselected: list[Claim] = []

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.deselected += [claim for claim in map(claim_of, items) if claim]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell the controller, in a file that survives this process, which claims there are."""
        workerinput = getattr(self.config, "workerinput", None)
        if workerinput is None:
            return
        folder = Path(workerinput[_COLLECTED])
        claims = [claim for claim in map(claim_of, session.items) if claim]
        data: dict[str, Any] = {"collected": [dataclasses.asdict(claim) for claim in claims]}
        data["deselected"] = [dataclasses.asdict(claim) for claim in self.deselected]
        data["not_applicable"] = self.config.stash.get(NOT_APPLICABLE, {})
        path = folder / f"{workerinput['workerid']}.json"
        path.with_suffix(".part").write_text(json.dumps(data))
        path.with_suffix(".part").rename(path)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        return (yield from _not_observed_is_a_skip())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self) -> Generator[None, object, object]:
        expectation.take()
        return (yield from _not_observed_is_a_skip())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        claim = claim_of(item)
        if claim is None:
            return report
        judged = expectation.take()
        outcome, detail = judge_phase(call, report)
        if outcome is Outcome.FAIL and call.excinfo and (judged is None or judged.holds):
            judged = asserted(call.excinfo)
        show_nothing_secret(report)
        # An attribute with plain data travels with the report from a worker to the controller.
        report.rehearsal = {  # type: ignore[attr-defined]
            "claim": dataclasses.asdict(claim),
            "judged": dataclasses.asdict(judged) if judged else {},
            "outcome": outcome.value if outcome else "",
            "detail": detail,
        }
        return report


def _not_observed_is_a_skip() -> Generator[None, object, object]:
    try:
        return (yield)
    except NotObserved as unseen:
        raise pytest.skip.Exception(str(unseen), _use_item_location=True) from None


def judge_phase(call: pytest.CallInfo[None], report: pytest.TestReport) -> tuple[Outcome | None, str]:
    """Return what one phase (setup, call, teardown) of a test proves, and why; None if it proves nothing by itself."""
    error = call.excinfo.value if call.excinfo else None
    if error is None:
        passed = report.when == "call" and report.passed
        return (Outcome.OK if passed else None), ""
    if isinstance(error, pytest.skip.Exception | pytest.xfail.Exception):
        return Outcome.UNKNOWN, f"not checked: {error.msg or 'skipped'}"
    late = _TIMED_OUT.match(str(error)) if isinstance(error, pytest.fail.Exception) else None
    if report.when == "call" and isinstance(error, AssertionError | pytest.fail.Exception) and not late:
        return Outcome.FAIL, shown(str(error))[:_LONGEST_DETAIL]
    doing = {"setup": "while it was prepared", "call": "while it ran", "teardown": "while it was cleaned up"}
    if late:
        limit = exact_s(float(late[1]))
        return (
            Outcome.UNKNOWN,
            f"not finished within its time limit of {limit}: it was ended {doing[report.when or 'call']}",
        )
    broke = shown(f"the check broke {doing[report.when or 'call']}: {type(error).__name__}: {error}")
    return Outcome.UNKNOWN, broke[:_LONGEST_DETAIL]


def show_nothing_secret(report: pytest.TestReport) -> None:
    """Take secrets and terminal sequences out of what pytest prints, and pytest-html writes, about a test.

    Tracebacks become text: what they quote can be anything.
    """
    report.sections = [(name, shown(text)) for name, text in report.sections]
    if isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        report.longrepr = (path, line, shown(reason))
    elif report.longrepr is not None:
        report.longrepr = shown(report.longreprtext)  # pytest takes a text as well


class _Recorder:
    """In the controlling process: the only writer of the journal."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        path = os.environ.get(JOURNAL_VARIABLE)
        self.journal = Journal(Path(path)) if path else None
        self.gate = os.environ.get(GATE_VARIABLE, "")
        self.courses: dict[str, _Course] = {}
        self.records: dict[str, CheckDone] = {}
        self.broken_files: dict[str, CheckDone] = {}
        self.listed = False

    # --- what there is to check

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[_COLLECTED] = str(self._collected_folder())

    def _collected_folder(self) -> Path:
        factory = self.config._tmp_path_factory  # type: ignore[attr-defined]  # noqa: SLF001 - no public way outside a fixture
        folder: Path = factory.getbasetemp() / "collected"
        folder.mkdir(exist_ok=True)
        return folder

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for claim in filter(None, map(claim_of, session.items)):
            self.courses.setdefault(claim.node_id, _Course(claim))
        if not self.config.pluginmanager.has_plugin("dsession"):
            self._list()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        self._adopt_collected()
        self._list()

    def _list(self) -> None:
        """Write down what is going to be checked, so that the end of this process cannot make a claim disappear."""
        if self.listed or self.config.option.collectonly:
            return
        self.listed = True
        for suite in sorted({course.claim.suite for course in self.courses.values()}):
            claims = [listing(course.claim) for course in self.courses.values() if course.claim.suite == suite]
            reasons = {check: why for check, why in self._not_applicable().items() if check.startswith(f"{suite}.")}
            if self.journal:
                self.journal.write(ClaimsListed(suite, self.gate or suite, claims, reasons))

    def _not_applicable(self) -> dict[str, str]:
        return self.config.stash.setdefault(NOT_APPLICABLE, {})

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        for claim in filter(None, map(claim_of, items)):
            self._deselected(claim)

    def _deselected(self, claim: Claim) -> None:
        if claim.node_id not in self.records:
            self._write(_Course(claim, Outcome.UNKNOWN, detail="not checked: it was deselected on the command line"))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a file that cannot be collected: its claims are not known, so one record stands for all of them."""
        suite = suite_in(self.config, Path(report.nodeid.split("::")[0]))
        if report.passed or not suite or report.nodeid in self.broken_files:
            return
        claim = Claim(f"{suite}.collection", report.nodeid, suite, "Every check of this file can be read.")
        reason = shown(str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else report.longreprtext.strip())
        course = _Course(
            claim, Outcome.UNKNOWN, detail=f"its checks could not be collected: {reason[-_LONGEST_DETAIL:]}"
        )
        self.broken_files[report.nodeid] = self._write(course)

    # --- what became of it

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if str(report.when) == "???":  # what xdist reports when a worker died in the middle of a test
            self._adopt_collected()
            course = self.courses.get(report.nodeid)
            if course and report.nodeid not in self.records:
                course.outcome, course.detail = Outcome.UNKNOWN, "the process that ran this check died"
                self._write(course)
            return
        seen = getattr(report, "rehearsal", None)
        if seen is None:
            return
        course = self.courses.setdefault(report.nodeid, _Course(Claim(**seen["claim"])))
        course.duration_s += report.duration
        course.judged = seen["judged"] or course.judged
        if seen["outcome"]:
            course.outcome = worst(filter(None, [course.outcome, Outcome(seen["outcome"])]))
            course.detail = course.detail or seen["detail"]
        if report.when == "teardown" and report.nodeid not in self.records:
            course.outcome = course.outcome or Outcome.UNKNOWN
            self._write(course)

    def _adopt_collected(self) -> None:
        """Take over what workers said that they collected."""
        folder = self._collected_folder()
        for path in sorted(folder.glob("*.json")):
            data = json.loads(path.read_text())
            for claim in (Claim(**each) for each in data["collected"]):
                self.courses.setdefault(claim.node_id, _Course(claim))
            self._not_applicable().update(data["not_applicable"])
            for claim in (Claim(**each) for each in data["deselected"]):
                self._deselected(claim)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Record what was never reached, and never let a session without evidence look like a success."""
        if self.config.pluginmanager.has_plugin("dsession"):
            self._adopt_collected()
        if not self.config.option.collectonly:
            for node_id, course in self.courses.items():
                if node_id not in self.records:
                    course.outcome = worst([course.outcome or Outcome.UNKNOWN, Outcome.UNKNOWN])
                    course.detail = course.detail or "not checked: the suite ended before its turn came"
                    self._write(course)
        if self.journal:
            self.journal.close()
        done = [Outcome(record.outcome) for record in self._all_records()]
        if (
            done
            and worst(done) is Outcome.UNKNOWN
            and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
        ):
            session.exitstatus = Outcome.UNKNOWN.exit_code

    def _all_records(self) -> Iterator[CheckDone]:
        yield from self.records.values()
        yield from self.broken_files.values()

    def _write(self, course: _Course) -> CheckDone:
        claim, judged = course.claim, course.judged
        record = CheckDone(
            check=claim.check,
            node_id=claim.node_id,
            suite=claim.suite,
            gate=self.gate or claim.suite,
            outcome=(course.outcome or Outcome.UNKNOWN).value,
            claim=claim.sentence,
            expected=judged.get("expected", ""),
            observed=judged.get("observed", ""),
            repeat=self._repeat(claim.node_id),
            host=judged.get("host") or claim.host,
            container=judged.get("container") or claim.container,
            service=judged.get("service") or claim.service,
            duration_s=round(course.duration_s, 3),
            detail=course.detail,
            remedy=claim.remedy,
        )
        self.records[claim.node_id] = record
        if self.journal:
            self.journal.write(record)
        return record

    def _repeat(self, node_id: str) -> str:
        settings = [f"{name}={shlex.quote(os.environ[name])}" for name in _REPEAT_VARIABLES if os.environ.get(name)]
        root = shlex.quote(str(self.config.rootpath))
        own = self.config.pluginmanager.get_plugin(OWN_PLUGIN)
        needs = shlex.join(own.needed(self.config.rootpath)) if own else ""
        python = f"{shlex.quote(sys.executable)} {'-P ' if own else ''}-m pytest {needs}".rstrip()
        return " ".join([f"cd {root} &&", *settings, python, shlex.quote(node_id)])

    # --- what people see

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        records = list(self._all_records())
        if not records:
            return
        terminalreporter.section("claims about the cloud")
        for record in sorted(records, key=lambda record: (record.outcome, record.check, record.node_id)):
            if record.outcome != Outcome.OK.value:
                terminalreporter.write_line(summary_line(record))
        for check, why in sorted(self._not_applicable().items()):
            terminalreporter.write_line(shown(f"not applicable: {check}: {why}"))
        counts = {outcome: sum(record.outcome == outcome.value for record in records) for outcome in Outcome}
        words = ", ".join(f"{number} {outcome.shown}" for outcome, number in counts.items())
        terminalreporter.write_line(
            f"{worst(Outcome(record.outcome) for record in records).shown}: {len(records)} claims, {words}"
        )


def listing(claim: Claim) -> dict[str, str]:
    """Return a claim with the names that its CheckDone will have."""
    listed = dataclasses.asdict(claim)
    listed["claim"] = listed.pop("sentence")
    return listed


def summary_line(record: CheckDone) -> str:
    """Return one line about a claim that is not ok: outcome, id, where, what should be and what is, or why it is unknown."""
    where = " ".join(word for word in (record.host, record.container, record.service) if word)
    judged = record.outcome == Outcome.FAIL.value and record.expected
    what = f"expected {record.expected}; observed {record.observed}" if judged else record.detail.partition("\n")[0]
    line = f"{Outcome(record.outcome).shown:<8}{record.check} [{where or record.node_id.rpartition('/')[2]}] {what}"
    return shown(line)
