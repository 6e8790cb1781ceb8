"""The catalogue reads the suites: ids, claims, and what post-flight takes over."""

from __future__ import annotations

import pytest

from fixtures.needs import KINDS
from rehearsal.claims import catalogue
from rehearsal.cloud import expected


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
    ],
)
def test_a_test_without_id_or_claim_is_refused(tmp_path, source, tells):
    """A suite cannot grow by a test that nobody can name or read."""
    (tmp_path / "suites" / "preflight").mkdir(parents=True)
    (tmp_path / "suites" / "preflight" / "test_x.py").write_text(source)
    with pytest.raises(catalogue.CatalogueError, match=tells):
        catalogue.catalogue(tmp_path)


def test_what_a_check_needs_is_known():
    """Each need is a role or a container of kolla's, or a kind that says by itself why there is none."""
    known = {*KINDS, *expected.roles(), *expected.container_names()}
    assert set() == {need for check in catalogue.catalogue() for need in check.needs} - known
