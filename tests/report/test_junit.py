"""junit.xml: what a CI system is told."""

# ruff: noqa: RUF001 - the dash between two bounds is an en dash

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

from rehearsal.report import junit
from tests.made import results as made


def cases(results):
    return list(ET.fromstring(junit.document(results).encode()).iter("testcase"))


def test_the_shape_is_that_of_junit():
    root = ET.fromstring(junit.document(made.full()).encode())
    assert root.tag == "testsuites"
    assert [suite.get("name") for suite in root] == [
        "run",
        "findings",
        "downtime",
        "canaries",
        "migrations",
        "checks",
        "steps",
    ]
    for suite in root:
        assert suite.tag == "testsuite"
        assert {"name", "tests", "failures", "errors", "time"} <= set(suite.attrib)
        assert int(suite.get("tests")) == len(suite)
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("errors")) == len(suite.findall("testcase/error"))
        for case in suite:
            assert case.tag == "testcase"
            assert set(case.attrib) == {"classname", "name", "time"}
            assert len(case) <= 1


def test_there_is_one_case_for_every_finding_step_cell_check_migration_and_canary():
    results = made.full()
    parts = results.findings, results.steps, results.matrix, results.checks, results.migrations, results.canaries
    assert len(cases(results)) == 1 + sum(len(part) for part in parts)


def test_names_are_unique_and_do_not_depend_on_what_was_measured():
    names = [
        [(case.get("classname"), case.get("name")) for case in cases(made.full(seed=seed, bad=bad))]
        for seed, bad in ((1, False), (2, False))
    ]
    assert names[0] == names[1]
    assert len(set(names[0])) == len(names[0])


def test_a_failed_run_fails_and_unknown_is_an_error_never_skipped():
    failed = replace(made.empty(), outcome=made.FAIL, sentence="It broke.")
    (case,) = cases(failed)
    assert case.find("failure").get("message") == "It broke."
    (case,) = cases(made.empty())
    assert case.find("error") is not None
    assert case.find("skipped") is None


def test_a_cell_over_budget_tells_bounds_budget_and_source():
    results = replace(
        made.empty(),
        matrix=[
            made.loss(
                "nova",
                "nova",
                count=1,
                longest=made.length(2.0043, 2.06, 2.14),
                total=made.length(2.0043, 2.06, 2.14),
                failed=41,
                outcome=made.FAIL,
                reason="over",
            )
        ],
    )
    case = cases(results)[1]
    assert (case.get("classname"), case.get("name")) == ("downtime.nova", "nova down")
    assert case.find("failure").text.replace("\u00a0", " ").replace("\u202f", "") == (
        "longest 2.06 s [2.00–2.14 s], total 2.06 s [2.00–2.14 s]; shorter ones than 0.21 s may be missing from this; 41 of 1200 samples failed; budget ≤ 1 s, total ≤ 5 s default"
    )


def test_controls_and_surrogates_do_not_break_the_file():
    results = replace(made.empty(), checks=[made.check(claim='a\x00\x1b[31m\ud800"<&>', outcome=made.FAIL)])
    assert cases(results)[1].find("failure").get("message") == 'a<U+0000><U+001B>[31m<U+D800>"<&>'
