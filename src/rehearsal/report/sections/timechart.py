"""What was being done, and below it, on the same axis, what every probe saw."""

from __future__ import annotations

from rehearsal.report.section import Section
from rehearsal.report.svg import timeline

SECTION = Section(
    "timeline",
    "Timeline",
    after="matrix",
    parts=lambda page: {"timeline": timeline.draw(page.results, page.clock)},
)
