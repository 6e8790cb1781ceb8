"""What this run did not prove, and why."""

from __future__ import annotations

from rehearsal.report import printed
from rehearsal.report.section import Section

SECTION = Section(
    "not-proven", "Not proven", after="checks", tally=lambda results: printed.count(len(results.not_proven))
)
