"""How many packets to and from each canary were lost: there, back, or on a way that nobody counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.report import printed
from rehearsal.report.section import Section

if TYPE_CHECKING:
    from typing import Any

    from rehearsal.judging.shown.lossrates import LossRate
    from rehearsal.report.section import Page


@dataclass(frozen=True, slots=True)
class Row:
    """A rate with its words; `when` is empty for the whole run."""

    rate: LossRate
    when: str
    share: str


def _row(rate: LossRate) -> Row:
    if rate.certain is None or rate.possible is None:
        share = ""
    elif rate.certain == rate.possible:
        share = printed.share(rate.certain)
    else:
        share = f"{printed.share(rate.certain)} to {printed.share(rate.possible)}"
    return Row(rate, "" if rate.stretch is None else rate.stretch.when, share)


def _parts(page: Page) -> dict[str, Any]:
    rows = [_row(rate) for rate in page.results.of("loss_rates")]
    return {"whole": [row for row in rows if not row.when], "places": [row for row in rows if row.when]}


SECTION = Section("loss-rates", "Loss rates", after="canaries", parts=_parts)
