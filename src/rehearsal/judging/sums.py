"""Windows that are too many to be listed, as one line a lane: nothing is left out without saying how much it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.results import Length
from rehearsal.results import MoreWindows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.results import Window


def summed(rest: Iterable[Window]) -> list[MoreWindows]:
    """Return windows by lane and kind: how many, and their lengths added up bound by bound."""
    groups: dict[tuple[str, str], list[Window]] = {}
    for window in rest:
        groups.setdefault((window.lane, window.kind), []).append(window)
    return [
        MoreWindows(
            lane=lane,
            kind=kind,
            count=len(found),
            failed=sum(window.failed for window in found),
            longest_ns=max(window.length.possible_ns or window.length.point_ns for window in found),
            total=Length(
                sum(window.length.certain_ns for window in found),
                sum(window.length.point_ns for window in found),
                None
                if any(window.length.possible_ns is None for window in found)
                else sum(window.length.possible_ns or 0 for window in found),
            ),
        )
        for (lane, kind), found in groups.items()
    ]


def joined(sums: Iterable[MoreWindows]) -> list[MoreWindows]:
    """Return sums of the same lane and kind as one."""
    groups: dict[tuple[str, str], list[MoreWindows]] = {}
    for one in sums:
        groups.setdefault((one.lane, one.kind), []).append(one)
    return [
        MoreWindows(
            lane=lane,
            kind=kind,
            count=sum(one.count for one in found),
            failed=sum(one.failed for one in found),
            longest_ns=max(one.longest_ns for one in found),
            total=Length(
                sum(one.total.certain_ns for one in found),
                sum(one.total.point_ns for one in found),
                None
                if any(one.total.possible_ns is None for one in found)
                else sum(one.total.possible_ns or 0 for one in found),
            ),
        )
        for (lane, kind), found in groups.items()
    ]
