"""Differences between before and after: the unexpected ones one by one, the expected ones by what changed into what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.report import printed
from rehearsal.report.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.judging.differences import Difference

ODD_MOST = 400
_NAMES_MOST = 16
_GROUPS_MOST = 200


@dataclass(frozen=True, slots=True)
class Alike:
    """Expected differences of one kind from the same to the same."""

    kind: str
    change: str
    before: str
    after: str
    count: int
    names: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What is shown, and how many differences are only counted."""

    odd: list[Difference]
    odd_total: int
    alike: list[Alike]
    expected_total: int
    left_out: int


def sorted_out(differences: Iterable[Difference]) -> Changes:
    """Split differences by expectation; expected ones are grouped."""
    odd: list[Difference] = []
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for one in differences:
        if one.expected:
            groups.setdefault((one.kind, one.change, one.before, one.after), []).append(one.name)
        else:
            odd.append(one)
    alike = [Alike(*key, len(names), _few(names)) for key, names in groups.items()]
    expected = sum(one.count for one in alike)
    shown = odd[:ODD_MOST], alike[:_GROUPS_MOST]
    left_out = len(odd) + expected - len(shown[0]) - sum(one.count for one in shown[1])
    return Changes(shown[0], len(odd), shown[1], expected, left_out)


def _few(names: list[str]) -> str:
    rest = len(names) - _NAMES_MOST
    return ", ".join(names[:_NAMES_MOST]) + (f" and {rest} more" if rest > 0 else "")


SECTION = Section(
    "differences",
    "Before and after",
    after="not-proven",
    parts=lambda page: {"changes": sorted_out(page.results.differences)},
    tally=lambda results: printed.count(len(results.differences)),
)
