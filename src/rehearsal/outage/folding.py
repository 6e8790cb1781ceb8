"""Folding: many samples, in whatever pieces they come, become one trace. Pieces give what the whole gives."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

import numpy as np

from rehearsal.outage.codes import DOWN
from rehearsal.outage.codes import GOOD
from rehearsal.outage.codes import GOOD_ONLY
from rehearsal.outage.codes import NOTHING
from rehearsal.outage.codes import SLOW
from rehearsal.outage.codes import codes_of
from rehearsal.outage.floor import DOWN_FLOOR
from rehearsal.outage.floor import SLOW_FLOOR
from rehearsal.outage.floor import Gaps
from rehearsal.outage.runs import DOWN_ROLES
from rehearsal.outage.runs import SLOW_ROLES
from rehearsal.outage.runs import RunFinder
from rehearsal.outage.spans import clipped
from rehearsal.outage.spans import measure
from rehearsal.outage.spans import merged
from rehearsal.outage.timing import Answered
from rehearsal.outage.timing import Latencies
from rehearsal.outage.timing import Lateness
from rehearsal.outage.timing import Periods
from rehearsal.outage.trace import OPEN_NS
from rehearsal.outage.trace import Tally
from rehearsal.outage.trace import Trace
from rehearsal.recording.samples import FOLLOW_UP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Samples = NDArray[np.void]
    Int64s = NDArray[np.int64]
    Codes = NDArray[np.uint8]


class _Waiting:
    """Samples that wait until everything sent before them is there, too."""

    def __init__(self) -> None:
        self._pending: list[Samples] = []
        self._settled_ns: int | None = None
        self.stragglers = 0

    def add(self, samples: Samples) -> None:
        if self._settled_ns is not None and len(samples):
            late = samples["sent"] <= self._settled_ns
            if late.any():
                self.stragglers += int(late.sum())
                samples = samples[~late]
        if len(samples):
            self._pending.append(samples)

    def ready(self, settled_ns: int) -> Samples | None:
        """Return what was sent at or before a moment, in order, and wait with the rest; None if there is nothing."""
        if self._settled_ns is not None and settled_ns <= self._settled_ns:
            return None
        self._settled_ns = settled_ns
        if not self._pending:
            return None
        samples = in_order(joined(self._pending))
        count = int(np.searchsorted(samples["sent"], settled_ns, side="right"))
        self._pending = [samples[count:].copy()] if count < len(samples) else []
        return samples[:count] if count else None


class FloorFold:
    """Derives what could have passed unseen by several lanes together: an outage of all of them at once.

    `begin_ns`: when the first of them began. `stretches`: spans of time to be tallied.
    """

    def __init__(
        self, *, begin_ns: int, stretches: Sequence[tuple[int, int]], blind: Sequence[tuple[int, int]] = ()
    ) -> None:
        self._blind = merged(blind)
        self._waiting = _Waiting()
        self._tallies = [Tally(from_ns, to_ns) for from_ns, to_ns in stretches]
        self._gaps = [Gaps(begin_ns, self._tallies, kind) for kind in (DOWN_FLOOR, SLOW_FLOOR)]

    def add(self, samples: Samples) -> None:
        """Take samples of any of the lanes, in any order."""
        self._waiting.add(samples)

    def settle(self, settled_ns: int) -> None:
        """Derive up to a moment: everything sent at or before it was added."""
        samples = self._waiting.ready(settled_ns)
        if samples is not None:
            sent, done = np.ascontiguousarray(samples["sent"]), np.ascontiguousarray(samples["done"])
            codes = codes_of(samples, self._blind)
            for gaps in self._gaps:
                gaps.add(codes, sent, done, settled_ns)

    def finish(self, end_ns: int | None) -> list[Tally]:
        """Return the floors of each stretch. `end_ns`: when probing ended as it was meant to; None: it broke off."""
        self.settle(OPEN_NS - 1)
        for gaps in self._gaps:
            gaps.finish(end_ns)
        return self._tallies


class ProbeFold:
    """Derives the trace of one probe from its samples, in whatever pieces they come.

    `begin_ns`: when probing began. `periods`: (from, period), the first at or before `begin_ns`. `stretches`: spans of
    time to be tallied. `blind`: spans in which the prober could not see (its controls failed). `retired_ns`: when the
    probe was ended on purpose.
    """

    def __init__(  # noqa: PLR0913 - keyword-only, each a fact of its own
        self,
        *,
        begin_ns: int,
        periods: Sequence[tuple[int, int]],
        stretches: Sequence[tuple[int, int]] = (),
        blind: Sequence[tuple[int, int]] = (),
        retired_ns: int | None = None,
        bin_ns: int = 60_000_000_000,
        origin_ns: int | None = None,
    ) -> None:
        self._blind = merged(blind)
        self._retired = retired_ns
        self._waiting = _Waiting()
        self._down = RunFinder(DOWN_ROLES)
        self._slow = RunFinder(SLOW_ROLES)
        self._tallies = [Tally(from_ns, to_ns) for from_ns, to_ns in stretches]
        self._gaps = [Gaps(begin_ns, self._tallies, kind) for kind in (DOWN_FLOOR, SLOW_FLOOR)]
        self._lateness = Lateness(Periods(periods))
        self._answered = Answered(Periods(periods))
        self._latencies = Latencies(begin_ns if origin_ns is None else origin_ns, bin_ns)
        self._counts = np.zeros(5, np.int64)
        self._first: int | None = None
        self._last: int | None = None
        self._gap_max = 0

    def add(self, samples: Samples) -> None:
        """Take samples in any order; they are kept until their time is settled."""
        self._waiting.add(samples)

    def settle(self, settled_ns: int) -> None:
        """Derive up to a moment: everything sent at or before it was added."""
        samples = self._waiting.ready(settled_ns)
        if samples is not None:
            self._derive(samples, settled_ns)

    def finish(self, end_ns: int | None = None) -> Trace:
        """Tell the trace. `end_ns`: when probing ended as it was meant to; None: it broke off."""
        self.settle(OPEN_NS - 1)
        for gaps in self._gaps:
            gaps.finish(end_ns)
        self._latencies.close()
        blind = merged(self._lateness.blind)
        begins = [begin for begin, _ in blind]
        for tally in self._tallies:
            first = max(0, bisect.bisect_right(begins, tally.from_ns) - 1)
            last = bisect.bisect_left(begins, tally.to_ns)
            tally.late_ns = measure(clipped(blind[first:last], tally.from_ns, tally.to_ns))
        return Trace(
            samples=int(self._counts.sum()),
            failed=int(self._counts[DOWN]),
            slow=int(self._counts[SLOW]),
            nothing=int(self._counts[NOTHING]),
            first_sent_ns=self._first,
            last_sent_ns=self._last,
            gap_max_ns=self._gap_max,
            outages=self._down.finish(),
            degraded=self._slow.finish(),
            blind=tuple(blind),
            tallies=tuple(self._tallies),
            latency=tuple(self._latencies.found),
            lags=self._lateness.lags,
            lag_max_ns=self._lateness.lag_max_ns,
            stragglers=self._waiting.stragglers,
            answered=self._answered.runs(),
        )

    def _derive(self, samples: Samples, settled_ns: int) -> None:
        sent = np.ascontiguousarray(samples["sent"])
        done = np.ascontiguousarray(samples["done"])
        codes = codes_of(samples, self._blind, self._retired)
        classes = samples["sample_class"]
        self._counts += np.bincount(codes, minlength=5)
        self._down.add(codes, sent, done, classes)
        self._slow.add(codes, sent, done, classes)
        for gaps in self._gaps:
            gaps.add(codes, sent, done, settled_ns)
        due = np.ascontiguousarray(samples["due"])
        self._lateness.add(due, sent, samples["flags"])
        scheduled = ((codes == GOOD) | (codes == SLOW)) & ((samples["flags"] & FOLLOW_UP) == 0)
        self._answered.add(due[scheduled], done[scheduled])
        answered = (codes == GOOD) | (codes == SLOW) | (codes == GOOD_ONLY)
        if answered.all():
            self._latencies.add(sent, done - sent)
        else:
            self._latencies.add(sent[answered], (done - sent)[answered])
        self._tally(codes, sent)
        if self._last is not None:
            self._gap_max = max(self._gap_max, int(sent[0]) - self._last)
        if len(sent) > 1:
            self._gap_max = max(self._gap_max, int(np.diff(sent).max()))
        self._first = int(sent[0]) if self._first is None else self._first
        self._last = int(sent[-1])

    def _tally(self, codes: Codes, sent: Int64s) -> None:
        first, last = int(sent[0]), int(sent[-1])
        for tally in self._tallies:
            if tally.from_ns > last or tally.to_ns <= first:
                continue
            low, high = np.searchsorted(sent, [tally.from_ns, tally.to_ns]).tolist()
            counts = np.bincount(codes[low:high], minlength=5)
            tally.samples += high - low
            tally.failed += int(counts[DOWN])
            tally.slow += int(counts[SLOW])
            tally.nothing += int(counts[NOTHING])


def joined(parts: Sequence[Samples]) -> Samples:
    """Return arrays of samples one after the other; `np.concatenate` would look at every field of every array."""
    if len(parts) == 1:
        return parts[0]
    found: Samples = np.concatenate([part.view(f"V{part.dtype.itemsize}") for part in parts]).view(parts[0].dtype)
    return found


def in_order(samples: Samples) -> Samples:
    """Return the samples ordered by `sent`, then by sequence number; unchanged if they are."""
    sent = samples["sent"]
    if len(sent) > 1 and not (sent[1:] > sent[:-1]).all():
        return samples[np.lexsort((samples["seq"], sent))]
    return samples


def derive(  # noqa: PLR0913 - keyword-only, each a fact of its own
    samples: Samples,
    *,
    period_ns: int,
    begin_ns: int | None = None,
    end_ns: int | None = None,
    stretches: Sequence[tuple[int, int]] = (),
    blind: Sequence[tuple[int, int]] = (),
) -> Trace:
    """Derive the trace of one probe from all of its samples at once."""
    first = int(samples["sent"].min()) if len(samples) else 0
    begin = first if begin_ns is None else begin_ns
    fold = ProbeFold(begin_ns=begin, periods=[(begin, period_ns)], stretches=stretches, blind=blind)
    fold.add(samples)
    return fold.finish(end_ns)
