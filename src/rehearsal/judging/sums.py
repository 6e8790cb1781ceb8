"""The worst of windows and losses, and sums of those that are too many to be listed: nothing is left out without saying how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.figures.length import Length
from rehearsal.figures.length import together

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.judging.losses import Loss
    from rehearsal.judging.windows import Window


@dataclass(frozen=True, slots=True)
class MoreWindows:
    """Windows of one lane that are too many to be listed: how many, and what they are together (added up)."""

    lane: str
    kind: str
    count: int
    failed: int
    longest_ns: int  # the possible length of the longest of them
    total: Length


def longest_first(windows: Iterable[Window]) -> list[Window]:
    """Return windows by length, down before degraded of the same length."""
    return sorted(windows, key=lambda window: (window.length, window.kind == "down"), reverse=True)


def worst_loss(losses: Iterable[Loss], kind: str) -> Loss | None:
    """Return the loss of that kind with the longest window, None if nothing was lost."""
    found = [loss for loss in losses if loss.kind == kind and loss.count]
    return max(found, key=lambda loss: loss.longest, default=None)


def summed(rest: Iterable[Window]) -> list[MoreWindows]:
    """Return windows by lane and kind: how many, and their lengths added up bound by bound."""
    return joined(
        MoreWindows(
            lane=window.lane,
            kind=window.kind,
            count=1,
            failed=window.failed,
            longest_ns=window.length.possible_ns or window.length.point_ns,
            total=window.length,
        )
        for window in rest
    )


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
            total=together(one.total for one in found),
        )
        for (lane, kind), found in groups.items()
    ]
