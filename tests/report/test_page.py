"""The page: whole, offline, harmless, truthful, and complete."""

# ruff: noqa: RUF001 - the dash between two bounds is an en dash

from __future__ import annotations

import dataclasses
import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal.figures.length import Length
from rehearsal.figures.outcome import Outcome
from rehearsal.judging import grades
from rehearsal.judging import summary
from rehearsal.judging.observing.latencies import AnswerTime
from rehearsal.recording.stretch import BETWEEN
from rehearsal.recording.stretch import CONTROL
from rehearsal.recording.stretch import step
from rehearsal.report import headline
from rehearsal.report import junit
from rehearsal.report import render
from rehearsal.report.clock import Clock
from rehearsal.report.sections import matrix
from rehearsal.report.sections import windowlist
from tests.made import results as made

VOID = {"meta", "br", "img", "link", "input", "hr", "col"}
EVIL = "<script>alert(1)</script>\"><img src=x onerror=alert(2)>'`{{7*7}}"


class Reader(HTMLParser):
    """Collects tags, attributes and text; fails on tags that do not nest."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.text, self.ids = [], [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(params=["full", "clean", "empty", "long", "hostile"], scope="module")
def page(request, tmp_path_factory):
    made_of = {
        "full": made.full,
        "clean": lambda: made.full(bad=False),
        "empty": made.empty,
        "long": lambda: made.full(seconds=21_600, http=30, canaries=10, hosts=200),
        "hostile": hostile,
    }
    return render(made_of[request.param](), tmp_path_factory.mktemp("run"))


def changed_texts(value, text):
    """The same results with every string replaced, except those that are words of ours."""
    if isinstance(value, str) and type(value) is str:
        return text
    if dataclasses.is_dataclass(value):
        kept = {"kind", "lane", "attribution", "change"} if hasattr(value, "kind") else {"mode"}
        return replace(
            value,
            **{
                f.name: changed_texts(getattr(value, f.name), text)
                for f in dataclasses.fields(value)
                if f.name not in kept
            },
        )
    if isinstance(value, list):
        return [changed_texts(one, text) for one in value]
    if isinstance(value, tuple):
        return tuple(changed_texts(one, text) for one in value)
    if isinstance(value, dict):
        return {(text if isinstance(key, str) else key): changed_texts(one, text) for key, one in value.items()}
    return value


def hostile():
    results = made.full(hosts=200)
    return changed_texts(
        replace(results, strips=[replace(row, runs=[]) for row in results.strips]), EVIL + "\u202e" + "long-name-" * 30
    )


def test_tags_nest_and_ids_are_unique(page):
    reader = Reader(page)
    anchors = [one for one in reader.ids if not one.startswith("step-")]
    assert len(anchors) == len(set(anchors))
    assert {value[1:] for _, name, value in reader.attributes if name == "href" and value.startswith("#")} <= set(
        reader.ids
    )


def test_nothing_runs_and_nothing_is_fetched(page):
    reader = Reader(page)
    assert not {"script", "img", "iframe", "object", "embed", "link", "base", "form", "image", "use"} & set(reader.tags)
    assert not [name for _, name, _ in reader.attributes if name.startswith("on")]
    assert not [value for _, name, value in reader.attributes if name in {"src", "srcset", "action", "data"}]
    assert not [
        value
        for _, name, value in reader.attributes
        if name in {"href", "xlink:href"} and re.match(r"\s*(\w+:|//)", value)
    ]
    styles = "".join(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))
    assert "@import" not in styles
    assert set(re.findall(r"url\(([^)]*)\)", styles)) <= {
        "#hatch-bad", "#hatch-slow", "#hatch-blind", "#hatch-unseen", "#hatch-fail",
    }  # fmt: skip


def test_the_policy_forbids_everything_but_inline_style(page):
    assert (
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        in page
    )


def test_every_drawing_is_well_formed(page):
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert drawings
    for drawing in drawings:
        ET.fromstring(html.unescape(drawing) if "&" not in drawing else drawing.replace("&nbsp;", " "))


def test_the_page_of_a_long_run_is_small(tmp_path):
    page = render(made.full(seconds=21_600, http=30, canaries=10, hosts=200), tmp_path)
    assert len(page.encode()) < 3_000_000


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x>', "\u202egnihton", "שלום", "x" * 5000])
def test_strings_from_the_cloud_are_shown_and_do_nothing(tmp_path, name):
    results = replace(made.empty(), sentence=name, checks=[made.check(host=name, observed=name, outcome=made.FAIL)])
    page = render(results, tmp_path)
    reader = Reader(page)
    assert "script" not in reader.tags
    assert "img" not in reader.tags
    assert "\u202e" not in page
    assert name.replace("\u202e", "<U+202E>") in "".join(reader.text)


def test_template_syntax_from_the_cloud_is_only_text(tmp_path):
    assert "{{7*7}}" in render(replace(made.empty(), sentence="{{7*7}}"), tmp_path)


def marked(value, path="r"):
    """Every plain string inside the results, replaced by one that occurs nowhere else; returns (value, marks)."""
    if type(value) is str:
        mark = f"mark{abs(hash(path)) % 10**12}"
        return mark, [(path, mark)]
    if dataclasses.is_dataclass(value):
        marks, fields = [], {}
        for field in dataclasses.fields(value):
            if field.name in {"kind", "mode", "attribution", "grades"} | (
                {"stretch"} if isinstance(value, AnswerTime) else set()
            ):
                continue
            fields[field.name], found = marked(getattr(value, field.name), f"{path}.{field.name}")
            marks += found
        return replace(value, **fields), marks
    if isinstance(value, list | tuple):
        pairs = [marked(one, f"{path}[{place}]") for place, one in enumerate(value)]
        return type(value)(one for one, _ in pairs), [mark for _, found in pairs for mark in found]
    if isinstance(value, dict):
        pairs = {key: marked(one, f"{path}[{key}]") for key, one in value.items()}
        return {key: one for key, (one, _) in pairs.items()}, [mark for _, found in pairs.values() for mark in found]
    return value, []


def test_every_text_in_the_results_is_displayed_somewhere(tmp_path):
    results = made.full()
    results = replace(results, strips=[replace(row, runs=[]) for row in results.strips[:3]], services=[])
    results, marks = marked(results)
    page = render(results, tmp_path)
    assert len(marks) > 500
    displayed = set(re.findall(r"mark\d+", page))
    hidden = [path for path, mark in marks if mark not in displayed and not left_to_results_json(path, results)]
    assert hidden == []


def left_to_results_json(path, results):
    """What the page counts and sums instead of printing it: passes check by check, and cells without any loss."""
    place = int(found[1]) if (found := re.search(r"\[(\d+)\]", path)) else 0
    if path.startswith("r.checks["):
        told = path.endswith((".claim", ".id", ".gate", ".suite", ".host"))
        return results.checks[place].outcome is made.OK and not told
    if path.startswith("r.matrix["):
        loss = results.matrix[place]
        return loss.outcome is made.OK and not loss.count and path.endswith((".reason", ".source"))
    return path.startswith("r.lanes[") and ".probes[" in path  # each probe has a row of its own


def test_every_number_of_the_measurement_is_displayed(tmp_path):
    quality = made.quality(
        samples=123_457,
        probes=37,
        dropped=41,
        lag_p99_ns=2_340_000,
        lag_max_ns=45_600_000,
        blind_share=0.0123,
        load_per_s=217.0,
        steal_ns=78_900_000,
        run_delay_ns=5_400_000_000,
    )
    page = render(replace(made.empty(), quality=quality), tmp_path).replace("\u202f", "").replace("\u00a0", " ")
    for text in (
        "123457",
        "37 probes",
        "41 samples dropped",
        "2.34 ms",
        "45.6 ms",
        "1.2 %",
        "217/s",
        "78.9 ms",
        "5.40 s waiting",
    ):
        assert text in page


def cell(page):
    found = re.search(r'<td class="cell (.*?)</td>', page, re.DOTALL)
    assert found
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", found[1].partition(">")[2])).replace("\u00a0", " ").strip()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "PASS 0 floor 0.21 s ≤ 1 s default"),
        ({"floor_ns": None, "samples": 0, "outcome": made.UNKNOWN}, "UNKNOWN never sampled ≤ 1 s default"),
        ({"floor_ns": 1_000_000_001, "outcome": made.UNKNOWN}, "UNKNOWN 0 floor 1.01 s ≤ 1 s default"),
        (
            {
                "count": 1,
                "longest": Length(1_000_400_000, 1_000_500_000, 1_200_000_000),
                "total": Length(1_000_400_000, 1_000_500_000, 1_200_000_000),
                "outcome": made.FAIL,
            },
            "FAIL 1.0005 s [1.0004–1.2000 s] ≤ 1 s, total ≤ 5 s default",
        ),
        (
            {
                "count": 1,
                "longest": Length(300_000_000, 400_000_000, None),
                "total": Length(300_000_000, 400_000_000, None),
                "outcome": made.UNKNOWN,
            },
            "UNKNOWN ≥ 0.30 s [0.30 s – open] ≤ 1 s, total ≤ 5 s default",
        ),
    ],
)
def test_cells_of_the_matrix(tmp_path, changes, text):
    results = replace(made.empty(), matrix=[made.loss("nova", "nova", **changes)], services=["nova"])
    assert cell(render(results, tmp_path)) == text


def test_losses_of_steps_and_services_that_nobody_planned_are_shown(tmp_path):
    results = replace(made.empty(), matrix=[made.loss("", "surprise")], services=["nova"])
    page = render(results, tmp_path)
    assert "outside of steps" in page
    assert ">surprise<" in page


@pytest.mark.parametrize(
    ("where", "anchor", "shown"),
    [
        (CONTROL, "before-the-first-step", "before the first step"),
        (BETWEEN, "outside-of-steps", "outside of steps"),
        (step("unplanned"), "step-unplanned", "unplanned"),
    ],
)
def test_every_row_of_the_matrix_has_an_id_and_says_what_it_is(tmp_path, where, anchor, shown):
    results = replace(made.empty(), matrix=[made.loss(where, "nova")], services=["nova"])
    (row,) = matrix.built(results).rows
    assert (row.id, row.anchor, row.step) == (shown, anchor, None)
    assert f'<tr id="{anchor}">' in render(results, tmp_path)


STEP_NAMES = st.sampled_from(
    ["before", "between", "control", "outside-of-steps", "before-the-first-step", "outside of steps",
     "before the first step", "no-step", "step", "step-before", "matrix", "quality", "not-proven", "flows"]
) | st.from_regex(r"[a-z0-9][a-z0-9-]{0,9}", fullmatch=True)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(planned=st.lists(STEP_NAMES, max_size=6, unique=True), unplanned=st.lists(STEP_NAMES, max_size=3, unique=True))
def test_no_id_stands_twice_and_no_case_hides_another_whatever_steps_are_called(tmp_path_factory, planned, unplanned):
    """Steps that are called as sections, as rows or as times outside of steps have a row, an id and a case of their own."""
    one = made.full(bad=False).steps[0]
    places = [*map(step, dict.fromkeys([*planned, *unplanned])), CONTROL, BETWEEN]
    results = replace(
        made.empty(),
        steps=[replace(one, id=name) for name in planned],
        matrix=[made.loss(where, "nova", samples=number + 1) for number, where in enumerate(places)],
        services=["nova"],
    )
    rows = matrix.built(results).rows
    assert [row.cells[0].down.loss.stretch for row in rows] == places
    assert [row.step.id if row.step else None for row in rows] == planned + [None] * (len(places) - len(planned))
    ids = Reader(render(results, tmp_path_factory.getbasetemp())).ids
    assert len(set(ids)) == len(ids)
    assert {row.anchor for row in rows} <= set(ids)
    cases = [
        (case.get("classname"), case.get("name"))
        for case in ET.fromstring(junit.document(results).encode()).iter("testcase")
    ]
    assert len(set(cases)) == len(cases)


def test_failures_stand_open_before_folded_passes(tmp_path):
    results = replace(
        made.empty(),
        checks=[
            made.check(0, claim="A pass"),
            made.check(1, claim="A failure", outcome=made.FAIL),
            made.check(2, claim="An unknown", outcome=made.UNKNOWN),
        ],
    )
    page = render(results, tmp_path)
    failure, unknown, passed = (page.index(f">{claim}<") for claim in ("A failure", "An unknown", "A pass"))
    assert failure < unknown < passed
    assert page.rindex("<details", 0, passed) > page.rindex("</article>", 0, passed)


def test_passes_are_told_claim_by_claim_with_their_number_and_hosts(tmp_path):
    many = [made.check(n % 5) for n in range(2600)]
    page = render(replace(made.empty(), checks=many), tmp_path)
    assert "2\u202f600 claims" in page
    assert '<td class="r">2\u202f600</td>' in page
    assert "lab-compute-0, lab-compute-1, lab-compute-2, lab-compute-3, lab-compute-4" in page
    assert page.count("Every container carries the tag") == 1
    assert "is in <code>results.json</code>" in page


def test_failures_of_checks_are_kept_whole(tmp_path):
    check = made.check(1, outcome=made.FAIL, observed="observed-of-it", repeat="repeat-of-it", node_id="node-of-it")
    page = render(replace(made.empty(), checks=[made.check(0), check]), tmp_path)
    for text in ("observed-of-it", "repeat-of-it", "node-of-it", check.expected):
        assert text in page


def test_what_the_list_of_windows_leaves_out_is_added_up_exactly(tmp_path):
    one = made.full().windows[0]
    sizes = [1_000_000 * (n + 1) for n in range(900)]
    windows = [
        replace(one, probe=n, first_bad_ns=n, length=Length(size, size + 1, size + 2), failed=2)
        for n, size in enumerate(sizes)
    ]
    results = replace(made.empty(), windows=windows, more_windows=made.full().more_windows)
    listing = windowlist.listed(results)
    assert listing.total == 937
    assert len(listing.rows) <= windowlist.MOST
    assert listing.rows[0].length.certain_ns == max(sizes)
    (rest, more) = listing.rest
    assert rest.total.certain_ns == sum(sizes) - sum(row.length.certain_ns for row in listing.rows)
    assert rest.failed == 2 * rest.count
    assert more == results.more_windows[0]
    text = "".join(Reader(render(results, tmp_path)).text)
    assert "937 windows" in text
    assert "the longest 900 one by one" in text


def test_the_longest_window_of_every_cell_is_listed():
    one = made.full().windows[0]
    windows = [
        replace(one, probe=n, stretch=made.stretch_of(f"step-{n}"), length=Length(1, 2, 3)) for n in range(30)
    ] + [replace(one, length=Length(10**9 + n, 10**9 + n, 10**9 + n)) for n in range(500)]
    listing = windowlist.listed(replace(made.empty(), windows=windows))
    assert {row.step for row in listing.rows} == {f"step-{n}" for n in range(30)} | {one.step}


def test_the_calibration_shows_every_trial_with_truth_and_bounds(tmp_path):
    results = replace(made.empty(), calibrations=[made.calibration(), made.calibration(seal_fits=False)])
    text = re.sub(r"\s+", " ", "".join(Reader(render(results, tmp_path)).text).replace("\u00a0", " "))
    assert "1.234 s1.25 s [1.19–1.31 s]17.0 mswithin its bounds" in text
    assert "not seen; floor 0.24 s" in text
    assert "the prober was blind: says nothing" in text
    assert text.count("which matches") == 1
    assert "which does not match" in text


def test_without_a_calibration_the_page_says_what_is_not_shown(tmp_path):
    assert "No calibration is part of this recording" in render(made.empty(), tmp_path)


def test_a_percentile_that_too_few_answers_support_is_not_printed(tmp_path):
    page = render(replace(made.empty(), answer_times=made.full().answer_times), tmp_path).replace("\u00a0", " ")
    row = re.sub(r"<[^>]*>", " ", page[page.index(">keystone<") :].partition("</tr>")[0]).split()
    assert row[-6:] == ["8.10", "ms", "–", "–", "93.0", "ms"]


def test_steps_that_never_began_take_one_line(tmp_path):
    steps = [replace(step, began_ns=None, ended_ns=None, outcome=made.UNKNOWN) for step in made.full().steps]
    page = render(replace(made.full(), steps=steps, matrix=[made.loss("", "nova")]), tmp_path)
    assert "15 steps never began: <bdi>facts</bdi>, <bdi>pull</bdi>" in page


def test_the_first_screen_has_the_longest_downtime_of_every_service_and_its_grade(tmp_path):
    page = render(made.full(), tmp_path)
    head = page[: page.index("<nav")]
    assert re.search(
        r"nova <span class=\"word fail\">FAIL</span> <span class=\"grade C\">C</span>", re.sub(r"</?bdi>", "", head)
    )
    assert "2.06 s" in head.replace("\u00a0", " ")
    assert "nothing longer than" in head
    assert f"<b>A</b> none of at least {grades.CLEAN_LEAST} samples failed" in head


def test_an_empty_run_claims_nothing(tmp_path):
    text = "".join(Reader(render(made.empty(), tmp_path)).text)
    for sentence in (
        "never a pass",
        "no evidence of an undisturbed service",
        "is not known",
        "whatever is not shown as observed on this page is not proven",
    ):
        assert sentence in text
    assert "PASS" not in text


def test_an_interrupted_run_says_so_at_the_top(tmp_path):
    page = render(replace(made.full(), end_reason="interrupted"), tmp_path)
    assert page.index("The run did not finish: <bdi>interrupted</bdi>") < page.index("<main>")


def test_a_clean_run_says_what_it_would_have_seen(tmp_path):
    results = replace(
        made.empty(),
        outcome=made.OK,
        matrix=[made.loss("a", "nova", samples=21_600, floor_ns=208_400_000)],
        services=["nova"],
    )
    text = "".join(Reader(render(results, tmp_path)).text).replace("\u00a0", " ")
    assert "no failed sample among 21\u202f600; an outage longer than 0.21 s would have been seen" in text
    assert "100 %" not in text


def test_the_local_offset_is_given_once(tmp_path):
    page = render(replace(made.empty(), provenance={"utc offset": "+01:00"}), tmp_path)
    assert page.count("local time was UTC+01:00") == 1


def test_the_same_results_make_the_same_page(tmp_path):
    assert render(made.full(), tmp_path) == render(made.full(), tmp_path)


def test_logs_are_linked_and_the_failed_one_ends_on_the_page(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("13-neutron.1.log", "14-nova.1.log"):
        (logs / name).write_text("".join(f"{name} line {n}\n" for n in range(100)) + "password=hunter22hunter22\n")
    page = render(made.full(), tmp_path)
    assert '<a href="logs/14-nova.1.log">' in page
    assert "14-nova.1.log line 99" in page
    assert "14-nova.1.log line 10\n" not in page
    assert "13-neutron.1.log line" not in page
    assert "hunter22" not in page


def test_a_log_outside_the_run_directory_is_neither_read_nor_linked(tmp_path):
    (tmp_path / "secret.log").write_text("treasure")
    run = tmp_path / "run"
    run.mkdir()
    results = made.full()
    page = render(replace(results, steps=[replace(step, log="../secret.log") for step in results.steps]), run)
    assert "treasure" not in page
    assert 'href="../' not in page


def test_the_sentence_and_the_figures_name_the_same_longest_outage():
    """The most likely length decides, not the widest bounds: 12 s known to 4 s each way before 4 s that may be 19."""
    full = made.full(bad=False)
    one = replace(full.matrix[0], kind="down", count=1, outcome=Outcome.OK)
    matrix = [
        replace(one, stretch=made.stretch_of("neutron"), service="neutron", longest=made.length(3.93, 12.48, 16.2)),
        replace(one, stretch=made.stretch_of("nova"), service="nova", longest=made.length(0.57, 4.43, 19.51)),
    ]
    judged = summary.Judged(full.steps, full.checks, matrix, full.migrations, full.canaries, [], full.quality)
    sentence = summary.sentence(Outcome.OK, [], judged)
    assert "about 12.48 s (3.93 to 16.20 s; neutron during neutron; budget " in sentence
    results = replace(full, matrix=matrix)
    facts = {fact.name: fact for fact in headline.facts(results, Clock(tuple(results.clock_pairs), results.began_ns))}
    assert "neutron during neutron" in facts["Longest downtime"].detail
