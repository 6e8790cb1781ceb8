"""Before and after: nothing that belonged to the cloud's users was lost, and the migrations succeeded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rehearsal.claims import comparisons
from rehearsal.expectation import expect

if TYPE_CHECKING:
    from fixtures.canaries import KnownMigration


@pytest.mark.check("postflight.migration", service="nova")
def test_migration(migration: KnownMigration) -> None:
    """The live migration completed: other host, server ACTIVE, and not booted again."""
    expect(comparisons.migrated(migration.ended, migration.began))
