"""Before and after: nothing that belonged to the cloud's users was lost, and the migrations succeeded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fixtures.recorded import cloud_before
from rehearsal.claims import comparisons
from rehearsal.figures.expectation import expect

if TYPE_CHECKING:
    from fixtures.cloud import Cloud
    from rehearsal.plan import Effects
    from rehearsal.recording.history import History
    from rehearsal.recording.history import MigrationRun


@pytest.mark.check("postflight.nothing-lost")
@pytest.mark.parametrize("kind", comparisons.KINDS)
def test_nothing_lost(kind: str, cloud: Cloud, recorded: History, effects: Effects) -> None:
    """Every server, port, volume, network, router, address, agent and service that existed before still exists, in the same state.

    What rehearsals made themselves does not count; what is new does not matter.
    """
    expect(comparisons.nothing_lost(kind, cloud_before(recorded), cloud.facts(), effects))


@pytest.mark.check("postflight.migration", service="nova")
def test_migration(migration: MigrationRun) -> None:
    """The live migration completed: the server is on another host, ACTIVE, and has not rebooted."""
    expect(comparisons.migrated(migration.ended, migration.began))
