"""Every check of the suites was seen to fail: a fault turns it red, a test on the lab makes that fault, and the page says so."""

from __future__ import annotations

from lab import proofs
from lab.faults import FAULTS
from rehearsal.claims import catalogue
from tests.on_lab import test_check_faults
from tests.on_lab import test_run_faults
from tests.on_lab import test_run_truth


def test_every_check_has_a_fault_that_turns_it_red():
    """No check is without a fault, and no fault turns red what no suite has."""
    checks = catalogue.catalogue()
    assert set(catalogue.SUITES) == {check.suite for check in checks}
    assert [] == [check.id for check in checks if not proofs.faults_of(check)]
    assert set() == {check for fault in FAULTS.values() for check in fault.checks} - {check.id for check in checks}


def test_every_fault_is_made_by_a_test_that_expects_what_it_turns_red():
    """Pre-flight's are made one by one or together at rest; those of a run, by a test that says so."""
    at_rest = {name for names in test_check_faults.TOGETHER for name in names} | set(test_check_faults.ONE_BY_ONE)
    seen = {(name, check) for name in at_rest for check in FAULTS[name].checks if check.startswith("preflight.")}
    for module in (test_run_faults, test_run_truth):
        for test in vars(module).values():
            seen |= {mark.args for mark in getattr(test, "pytestmark", ()) if getattr(mark, "name", "") == "reddens"}
    assert {(fault.name, check) for fault in FAULTS.values() for check in fault.checks} == seen


def test_the_page_is_current():
    """docs/checks.md is what the code says; renew it with `python -m lab.proofs > docs/checks.md`."""
    assert proofs.page(catalogue.catalogue()) == (catalogue.root() / "docs" / "checks.md").read_text()
