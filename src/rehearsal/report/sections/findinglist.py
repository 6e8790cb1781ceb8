"""Everything that stands against the verdict, one sentence each."""

from __future__ import annotations

from rehearsal.report import printed
from rehearsal.report.section import Case
from rehearsal.report.section import Section

SECTION = Section(
    "findings",
    "Findings",
    parts=lambda page: {"findings": sorted(page.results.findings, key=lambda finding: finding.outcome.rank)},
    tally=lambda results: printed.count(len(results.findings)),
    suite="findings",
    cases=lambda results: [
        Case("findings", f"{each.id} {each.subject}", each.outcome, each.sentence) for each in results.findings
    ],
)
