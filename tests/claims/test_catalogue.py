"""The catalogue says of every check by which fault it was seen to fail, and the page that shows it is current."""

from __future__ import annotations

import pytest

from rehearsal.claims import catalogue


def test_every_check_has_a_fault_or_an_honest_reason():
    """No check is without a fault, unless a sentence says why."""
    found = catalogue.catalogue()
    assert {"preflight", "inflight", "postflight"} == {check.suite for check in found}
    for check in found:
        assert check.proof.faults or len(check.proof.reason.split()) >= 5, check.id


def test_every_fault_is_made_by_a_test_on_the_lab():
    """Each fault that the catalogue names for a check is made by a test that expects exactly this check to turn red."""
    from lab import faults
    from tests.on_lab import test_check_faults
    from tests.on_lab import test_run_faults
    from tests.on_lab import test_run_truth
    from tests.on_lab.made_faults import FAULTS

    made = {(name, check) for name, fault in FAULTS.items() for check, _, _ in fault.reds}
    made |= {(name, red[0]) for name, red in test_check_faults.ONE_BY_ONE.items()}
    made |= {(name, check) for name, seen in (test_run_faults.SEEN | test_run_truth.SEEN).items() for check in seen}
    named = {(name, check.taken_over or check.id) for check in catalogue.catalogue() for name in check.proof.faults}
    assert set() == named - made
    together = {name for names in test_check_faults.TOGETHER for name in names}
    assert set(FAULTS) == together
    assert set(test_check_faults.ONE_BY_ONE) <= set(faults.FAULTS)


def test_the_page_is_current():
    """docs/checks.md is what the code says; renew it with `python -m rehearsal.claims.catalogue > docs/checks.md`."""
    assert catalogue.page(catalogue.catalogue()) == (catalogue.root() / "docs" / "checks.md").read_text()


def test_postflight_takes_over_every_claim_that_can_hold_after_an_upgrade():
    """Post-flight is all of pre-flight, except what is only about images for a step that is still to come."""
    found = catalogue.catalogue()
    before = {check.id.partition(".")[2] for check in found if check.suite == "preflight"}
    after = {check.id.partition(".")[2] for check in found if check.suite == "postflight"}
    assert {"target-image"} == before - after


@pytest.mark.parametrize(
    ("source", "tells"),
    [
        ('def test_x():\n    """It is."""\n', "needs one @pytest.mark.check"),
        ('@pytest.mark.check("preflight.x")\ndef test_x():\n    pass\n', "needs one @pytest.mark.check"),
        ('@pytest.mark.check("inflight.x")\ndef test_x():\n    """It is."""\n', "must begin with preflight."),
        ('@pytest.mark.check("preflight.x")\ndef test_x():\n    """It is."""\n', "has no entry in PROOFS"),
    ],
)
def test_a_test_without_id_claim_or_proof_is_refused(tmp_path, source, tells):
    """A suite cannot grow by a test that nobody can name, read, or has seen fail."""
    (tmp_path / "suites" / "preflight").mkdir(parents=True)
    (tmp_path / "suites" / "preflight" / "test_x.py").write_text(source)
    with pytest.raises(catalogue.CatalogueError, match=tells):
        catalogue.catalogue(tmp_path)
