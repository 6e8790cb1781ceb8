"""Recordings that go on after a reboot of the machine, put on one clock.

Monotonic clocks of two boots have nothing in common, and a recording has times of both. Each boot's part keeps its own
clock, so that every length inside of it is exact; the parts are put one after the other on the first boot's clock, as far
apart as the wall clock says, and never over one another. So nothing that was recorded before a reboot is lost, and nothing
is measured across it: whoever measured was gone.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.recording import events

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Iterator
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from rehearsal.recording.journal import Record

MOMENTS: dict[type[events.Event], tuple[str, ...]] = {
    events.ProberBlind: ("began_ns", "ended_ns"),
    events.DatagramsLost: ("from_ns", "to_ns"),
    events.WitnessSight: ("heard_ns",),
    events.WitnessClock: ("asked_ns", "answered_ns"),
}
"""The fields of events that are moments of this machine's monotonic clock; a moment of 0 was never."""
MOMENTS_IN_FACTS: dict[type[events.Event], tuple[str, ...]] = {events.BeaconHeard: ("asked_ns", "told_ns")}
"""Those that stand in what a guest told."""
_BACK_NS = 60_000_000_000  # blocks of one boot are in order of time but for what was in flight


@dataclass(frozen=True, slots=True)
class Boot:
    """What was recorded between two boots of the machine: its own times (ns), and what is added to them."""

    boot_id: str
    from_ns: int
    to_ns: int
    shift_ns: int


def on_one_clock(records: Sequence[Record]) -> tuple[tuple[Record, ...], tuple[Boot, ...]]:
    """Return all records on the clock of the first boot, in order of time, and the boots, if there is more than one.

    A boot is told by the boot id of an attempt, and a record's boot by the distance of its two clocks.
    """
    offsets: dict[str, int] = {}
    attempts = [record for record in records if isinstance(record.event, events.RunBegan)]
    for record in sorted(attempts, key=_attempt):
        offsets.setdefault(_began(record).boot_id, record.w_ns - record.t_ns)
    if len(offsets) < 2:
        return tuple(records), ()
    parts: dict[str, list[Record]] = {boot_id: [] for boot_id in offsets}
    for record in records:
        distance = record.w_ns - record.t_ns
        parts[min(offsets, key=lambda boot_id: abs(distance - offsets[boot_id]))].append(record)
    boots = _in_a_row(parts, offsets)
    moved = (_shifted(record, boot.shift_ns) for boot in boots for record in parts[boot.boot_id])
    return tuple(sorted(moved, key=lambda record: record.t_ns)), boots


def _began(record: Record) -> events.RunBegan:
    assert isinstance(record.event, events.RunBegan)
    return record.event


def _attempt(record: Record) -> tuple[int, int]:
    return _began(record).attempt, record.w_ns


def _in_a_row(parts: dict[str, list[Record]], offsets: dict[str, int]) -> tuple[Boot, ...]:
    found: list[Boot] = []
    for boot_id, records in parts.items():
        times = [record.t_ns for record in records]
        shift_ns = offsets[boot_id] - next(iter(offsets.values()))
        if found:  # a wall clock that was set back in between puts no boot before or into the one before it
            shift_ns = max(shift_ns, found[-1].to_ns + found[-1].shift_ns + 1 - min(times))
        found.append(Boot(boot_id, min(times), max(times), shift_ns))
    return tuple(found)


def _shifted(record: Record, shift_ns: int) -> Record:
    event = record.event
    names = MOMENTS.get(type(event), ())
    if names:
        moved = {name: at_ns + shift_ns if (at_ns := getattr(event, name)) else at_ns for name in names}
        event = dataclasses.replace(event, **moved)
    if isinstance(event, events.BeaconHeard):
        told = {
            name: event.facts[name] + shift_ns
            for name in MOMENTS_IN_FACTS[events.BeaconHeard]
            if isinstance(event.facts.get(name), int)
        }
        event = dataclasses.replace(event, facts={**event.facts, **told})
    return dataclasses.replace(record, t_ns=record.t_ns + shift_ns, event=event)


def shifted_chunks(chunks: Iterable[NDArray[np.void]], boots: Sequence[Boot]) -> Iterator[NDArray[np.void]]:
    """Yield the blocks of one sample file on the clock of the first boot. They come as they were written: boot by boot."""
    place, latest_ns = 0, None
    for chunk in chunks:
        if not len(chunk):
            continue
        low_ns, high_ns = int(chunk["sent"].min()), int(chunk["sent"].max())
        for later in range(place, len(boots)):
            went_back = later == place and latest_ns is not None and high_ns < latest_ns - _BACK_NS
            if not went_back and boots[later].from_ns - _BACK_NS <= low_ns and high_ns <= boots[later].to_ns + _BACK_NS:
                latest_ns = high_ns if later != place or latest_ns is None else max(latest_ns, high_ns)
                place = later
                break
        moved = chunk.copy()
        for name in ("due", "sent", "done"):
            moved[name] += boots[place].shift_ns
        yield moved
