"""How far the measurement can be trusted: lanes, load, blindness, calibration, answer times, and every probe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.report import answertimes
from rehearsal.report import lanewords
from rehearsal.report.section import Section
from rehearsal.report.svg import latency

if TYPE_CHECKING:
    from typing import Any

    from rehearsal.report.section import Page

_BLIND_MOST = 40  # intervals listed one by one, the longest


def _parts(page: Page) -> dict[str, Any]:
    longest = sorted(page.results.quality.blind, key=lambda span: span[0] - span[1])
    return {
        "lanes": lanewords.shown(page.results),
        "answers": answertimes.rows(page.results),
        "blind": sorted(longest[:_BLIND_MOST]),
        "sparkline": latency.sparkline,
        "median_span": latency.median_span,
        "highest_p99": latency.highest_p99,
    }


SECTION = Section("quality", "Measurement", after="differences", parts=_parts)
