"""The mathematics of an outage: from samples to outages with four instants, bounds, and what could have passed unseen.

Pure functions of numpy arrays of dtype SAMPLE; no file, no clock. Invariant: for any true signal that does not flip
between two consecutive failed samples, certain <= truth <= possible, and folding in pieces equals the whole.
The reasons behind each rule are in `docs/decisions/0010-outages.md`.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

import numpy as np

from rehearsal.sampleclass import CountsAs
from rehearsal.sampleclass import SampleClass
from rehearsal.samples import BLIND
from rehearsal.samples import FOLLOW_UP

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Samples = NDArray[np.void]
    Int64s = NDArray[np.int64]
    Codes = NDArray[np.uint8]
    Mask = NDArray[np.bool_]

OPEN_NS = np.iinfo(np.int64).max
"""The end of something whose end nobody saw."""

GOOD, SLOW, DOWN, NOTHING, GOOD_ONLY = range(5)
"""What a sample says here. GOOD_ONLY proves that the service was up, but not whether its answer was prompt."""

JOIN_GOOD = 3
JOIN_NS = 1_000_000_000
LAG_BIN_NS = 100_000
_LAG_BINS = 20_000

_CODE_OF = {
    CountsAs.GOOD: GOOD,
    CountsAs.DEGRADED: SLOW,
    CountsAs.DOWN: DOWN,
    CountsAs.PROBER_FAULT: NOTHING,
    CountsAs.UNKNOWN: NOTHING,
}
_CODES = np.full(256, NOTHING, np.uint8)
_LOST = np.zeros(256, np.bool_)  # the failure is proved when it was sent, not when it was done
for _class in SampleClass:
    _CODES[_class] = _CODE_OF[_class.counts_as]
    _LOST[_class] = _class.proof_is_sent


# --- what a trace is made of ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outage:
    """A maximal run of failed (`down`) or slow (`degraded`) samples of one probe, with its four instants (ns).

    None as `last_good_ns` or `first_good_ns`: censored, the recording began or ended inside it. `certain_parts` are
    the disjoint stretches in which it certainly was going on; more than one if the prober was blind in between.
    """

    kind: str
    last_good_ns: int | None  # onset is not earlier
    first_bad_ns: int  # onset is not later
    last_bad_ns: int  # end is not earlier
    first_good_ns: int | None  # end is not later
    first_good_sent_ns: int | None
    proof_ns: int  # the earliest moment by which it certainly had begun
    certain_parts: tuple[tuple[int, int], ...]
    failed: int
    classes: tuple[tuple[int, int], ...]  # (class, how many)
    good_before: int  # good samples since the outage before, or since the beginning

    @property
    def certain_ns(self) -> int:
        """It lasted at least this long."""
        return sum(to_ns - from_ns for from_ns, to_ns in self.certain_parts)

    @property
    def possible_ns(self) -> int | None:
        """It lasted at most this long; None: open."""
        if self.last_good_ns is None or self.first_good_ns is None:
            return None
        return self.first_good_ns - self.last_good_ns

    @property
    def point_from_ns(self) -> int:
        """The likeliest onset: half way between the last good and the first bad sample."""
        if self.last_good_ns is None:
            return self.first_bad_ns
        return (self.last_good_ns + self.first_bad_ns) // 2

    @property
    def point_to_ns(self) -> int:
        """The likeliest end."""
        if self.kind == "degraded" or self.first_good_sent_ns is None:
            return self.last_bad_ns
        return max(self.last_bad_ns, (self.last_bad_ns + self.first_good_sent_ns) // 2)

    @property
    def is_censored(self) -> bool:
        """True if the recording began or ended inside it."""
        return self.possible_ns is None

    @property
    def is_blip(self) -> bool:
        """A single failed sample: judged by count, since its certain length may be 0."""
        return self.failed == 1


@dataclass(slots=True)
class Tally:
    """What one probe saw in one stretch of time. `floor_ns` OPEN_NS: nothing was seen until the end of the stretch.

    `late_ns`: how much of it the probe was late or did not fire.
    """

    from_ns: int
    to_ns: int
    samples: int = 0
    failed: int = 0
    slow: int = 0
    nothing: int = 0
    floor_ns: int = 0
    late_ns: int = 0


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that is derived from the samples of one probe."""

    samples: int
    failed: int
    slow: int
    nothing: int
    first_sent_ns: int | None
    last_sent_ns: int | None
    gap_max_ns: int  # the largest real distance between two consecutive `sent`
    outages: tuple[Outage, ...]
    degraded: tuple[Outage, ...]
    blind: tuple[tuple[int, int], ...]  # late ticks and ticks that never came
    tallies: tuple[Tally, ...]  # one for each stretch asked for
    latency: tuple[tuple[int, int, int], ...]  # per bin: from, median, p99 of done - sent (good and slow samples)
    lags: Int64s  # how many samples were sent late by n x LAG_BIN_NS
    lag_max_ns: int
    stragglers: int  # samples that came too late to be put in their place: not used


# --- samples to codes ----------------------------------------------------------------------------------------------


def codes_of(samples: Samples, blind: Sequence[tuple[int, int]] = ()) -> Codes:
    """Tell for each sample what it proves. `blind`: disjoint spans in order.

    A failure seen by a prober that was blind proves nothing. A good answer stays a proof, because both of its stamps
    are true; if it seems slow, the slowness may be the prober's own.
    """
    codes: Codes = _CODES[samples["sample_class"]]
    troubled = np.flatnonzero((codes == DOWN) | (codes == SLOW))
    if len(troubled) == 0:
        return codes
    doubtful: Mask = (samples["flags"][troubled] & BLIND) != 0
    if blind:
        begins = np.array([begin for begin, _ in blind], np.int64)
        ends = np.array([end for _, end in blind], np.int64)
        for moments in (samples["sent"][troubled], samples["done"][troubled]):
            place = np.searchsorted(begins, moments, side="right") - 1
            doubtful |= (place >= 0) & (moments <= ends[np.maximum(place, 0)])
    codes[troubled[doubtful]] = np.where(codes[troubled[doubtful]] == DOWN, NOTHING, GOOD_ONLY)
    return codes


# --- runs of bad samples -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Piece:
    """Bad samples without a blind one in between."""

    first_sent: int
    last_sent: int
    least_done: int
    least_lost: int  # the least `sent` of those whose proof is `sent`; OPEN_NS if none
    most_done: int

    def take(self, later: _Piece) -> None:
        self.last_sent = later.last_sent
        self.least_done = min(self.least_done, later.least_done)
        self.least_lost = min(self.least_lost, later.least_lost)
        self.most_done = max(self.most_done, later.most_done)


@dataclass(slots=True)
class _Run:
    """An outage that is still growing."""

    last_good: int | None
    round_trip: int | None  # of the last good sample: a lost answer proves no more than that
    good_before: int
    first_bad: int
    last_bad: int = 0
    most_done: int = 0
    pieces: list[_Piece] = field(default_factory=list)
    failed: int = 0
    classes: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Roles:
    """Which codes play which part for one kind of outage."""

    kind: str
    bad: int
    role: NDArray[np.uint8]  # by code: 0 good, 1 bad, 2 says nothing about it, 3 says nothing and cuts


_DOWN_ROLES = _Roles("down", DOWN, np.array([0, 0, 1, 3, 0], np.uint8))
_SLOW_ROLES = _Roles("degraded", SLOW, np.array([0, 1, 2, 3, 3], np.uint8))


class _RunFinder:
    """Finds the outages of one kind in segments that follow each other in time."""

    def __init__(self, roles: _Roles) -> None:
        self._roles = roles
        self._run: _Run | None = None
        self._cut = False  # a blind sample since the last bad one
        self._good_since = 0
        self._last_good: tuple[int, int] | None = None  # sent, done
        self._last_not_slow: int | None = None
        self.found: list[Outage] = []

    def add(self, codes: Codes, sent: Int64s, done: Int64s, classes: NDArray[np.uint8]) -> None:
        role = self._roles.role[codes]
        bad = np.flatnonzero(role == 1)
        if len(bad) == 0 and self._run is None:
            self._remember_good(role, codes, sent, done)
            return
        decided = np.flatnonzero(role <= 1)
        is_bad = role[decided] == 1
        if len(bad) == 0:
            self._close_at_first_good(decided, sent, done)
            if self._run is not None:
                self._cut = self._cut or bool((role == 3).any())
            else:
                self._remember_good(role, codes, sent, done)
            return
        self._walk(role, codes, sent, done, classes, bad, decided, is_bad)

    def finish(self) -> tuple[Outage, ...]:
        """End of the recording: what is still going on is censored."""
        if self._run is not None:
            self._close(None, None)
        return tuple(self.found)

    def _remember_good(self, role: NDArray[np.uint8], codes: Codes, sent: Int64s, done: Int64s) -> None:
        good = np.flatnonzero(role == 0)
        if len(good):
            self._good_since += len(good)
            self._last_good = int(sent[good[-1]]), int(done[good[-1]])
        if self._roles.kind == "degraded":
            self._remember_not_slow(codes, sent)

    def _remember_not_slow(self, codes: Codes, sent: Int64s) -> None:
        known = np.flatnonzero((codes == GOOD) | (codes == DOWN))
        if len(known):
            self._last_not_slow = int(sent[known[-1]])

    def _close_at_first_good(self, decided: NDArray[np.intp], sent: Int64s, done: Int64s) -> None:
        if len(decided):
            self._close(int(sent[decided[0]]), int(done[decided[0]]))

    def _walk(  # noqa: PLR0913, PLR0917 - the columns of one segment
        self,
        role: NDArray[np.uint8],
        codes: Codes,
        sent: Int64s,
        done: Int64s,
        classes: NDArray[np.uint8],
        bad: NDArray[np.intp],
        decided: NDArray[np.intp],
        is_bad: Mask,
    ) -> None:
        cuts = np.cumsum(role == 3)
        at = np.flatnonzero(is_bad)  # positions of the bad among the decided
        new_run = np.ones(len(bad), np.bool_)
        new_run[1:] = np.diff(at) > 1
        new_piece = new_run.copy()
        new_piece[1:] |= np.diff(cuts[bad]) > 0
        pieces = np.flatnonzero(new_piece)
        last_of_piece = np.append(pieces[1:], len(bad)) - 1
        bad_sent, bad_done, bad_class = sent[bad], done[bad], classes[bad]
        lost_sent = np.where(_LOST[bad_class], bad_sent, OPEN_NS)
        columns = zip(
            bad_sent[pieces].tolist(),
            bad_sent[last_of_piece].tolist(),
            np.minimum.reduceat(bad_done, pieces).tolist(),
            np.minimum.reduceat(lost_sent, pieces).tolist(),
            np.maximum.reduceat(bad_done, pieces).tolist(),
            strict=True,
        )
        made = [_Piece(*values) for values in columns]
        runs = np.flatnonzero(new_run)
        run_ends = np.append(runs[1:], len(bad))
        piece_from = np.searchsorted(pieces, runs).tolist()
        piece_to = [*piece_from[1:], len(made)]
        onset_bound = self._onset_bounds(codes, sent, bad[runs])
        previous_at = -1
        for number, (run_from, run_to) in enumerate(zip(runs.tolist(), run_ends.tolist(), strict=True)):
            first_at, last_at = int(at[run_from]), int(at[run_to - 1])
            good_here = first_at - previous_at - 1
            continues = self._run is not None and good_here == 0
            if self._run is not None and not continues:  # it ended with the first good sample of this segment
                self._close_at_first_good(decided, sent, done)
            if good_here:
                good = decided[first_at - 1]
                self._last_good = int(sent[good]), int(done[good])
                self._good_since += good_here
            if not continues:
                self._open(int(bad_sent[run_from]), onset_bound[number])
            joins = continues and not self._cut and int(cuts[bad[run_from]]) == 0
            self._grow(
                made[piece_from[number] : piece_to[number]],
                bad_class[run_from:run_to],
                joins=joins,
            )
            self._cut = False
            previous_at = last_at
            if last_at + 1 < len(decided):
                good = decided[last_at + 1]
                self._close(int(sent[good]), int(done[good]))
        rest = len(decided) - previous_at - 1
        if rest:
            self._good_since += rest
            self._last_good = int(sent[decided[-1]]), int(done[decided[-1]])
        if self._run is not None:
            self._cut = int(cuts[-1]) > int(cuts[bad[-1]])
        if self._roles.kind == "degraded":
            self._remember_not_slow(codes, sent)

    def _onset_bounds(self, codes: Codes, sent: Int64s, firsts: NDArray[np.intp]) -> list[int | None]:
        """For slow answers: when each run cannot have begun yet, because an answer came promptly or was a failure."""
        if self._roles.kind == "down":
            return [None] * len(firsts)
        known = np.flatnonzero((codes == GOOD) | (codes == DOWN))
        place = np.searchsorted(known, firsts) - 1
        return [int(sent[known[index]]) if index >= 0 else self._last_not_slow for index in place.tolist()]

    def _open(self, first_bad: int, onset_bound: int | None) -> None:
        last_good = self._last_good[0] if self._last_good is not None else None
        round_trip = self._last_good[1] - self._last_good[0] if self._last_good is not None else None
        if self._roles.kind == "degraded":
            last_good = onset_bound
        self._run = _Run(last_good, round_trip, self._good_since, first_bad)
        self._good_since = 0

    def _grow(self, pieces: list[_Piece], classes: NDArray[np.uint8], *, joins: bool) -> None:
        run = self._run
        assert run is not None
        if joins and run.pieces:
            run.pieces[-1].take(pieces[0])
            run.pieces += pieces[1:]
        else:
            run.pieces += pieces
        run.last_bad = pieces[-1].last_sent
        run.most_done = max(run.most_done, *(piece.most_done for piece in pieces))
        run.failed += len(classes)
        if len(classes) == 1:
            name = int(classes[0])
            run.classes[name] = run.classes.get(name, 0) + 1
            return
        for name, count in enumerate(np.bincount(classes).tolist()):
            if count:
                run.classes[name] = run.classes.get(name, 0) + count

    def _close(self, good_sent: int | None, good_done: int | None) -> None:
        run = self._run
        assert run is not None
        slow = self._roles.kind == "degraded"
        round_trip = run.round_trip
        if round_trip is None and good_sent is not None and good_done is not None:
            round_trip = good_done - good_sent
        if slow and good_done is not None:
            good_done = max(good_done, run.most_done)
        self.found.append(
            Outage(
                kind=self._roles.kind,
                last_good_ns=run.last_good,
                first_bad_ns=run.first_bad,
                last_bad_ns=run.most_done if slow else run.last_bad,
                first_good_ns=good_done,
                first_good_sent_ns=good_sent,
                proof_ns=run.first_bad if slow else min(_proof(piece, round_trip) for piece in run.pieces),
                certain_parts=_slow_parts(run.pieces) if slow else _down_parts(run.pieces, round_trip),
                failed=run.failed,
                classes=tuple(sorted(run.classes.items())),
                good_before=run.good_before,
            )
        )
        self._run = None
        self._cut = False


def _proof(piece: _Piece, round_trip: int | None) -> int:
    """Return the moment by which the first failure of a piece had certainly happened.

    A lost packet may have been the answer, so its proof is `sent` plus a round trip as it was before the outage, or
    else after it; if no round trip is known, only the deadline proves.
    """
    if round_trip is None or piece.least_lost == OPEN_NS:
        return piece.least_done
    return min(piece.least_done, piece.least_lost + round_trip)


def _down_parts(pieces: list[_Piece], round_trip: int | None) -> tuple[tuple[int, int], ...]:
    """From the earliest proof of a failure to the last failed sample, piece by piece."""
    parts = ((_proof(piece, round_trip), piece.last_sent) for piece in pieces)
    return tuple((begin, end) for begin, end in parts if end > begin)


def _slow_parts(pieces: list[_Piece]) -> tuple[tuple[int, int], ...]:
    """From the first slow request to its last answer, piece by piece, nothing counted twice."""
    parts: list[tuple[int, int]] = []
    for piece in pieces:
        begin = max(piece.first_sent, parts[-1][1]) if parts else piece.first_sent
        if piece.most_done > begin:
            parts.append((begin, piece.most_done))
    return tuple(parts)


# --- what could have passed unseen ---------------------------------------------------------------------------------


class _Gaps:
    """The detection floor: how long the service could have been away between two promptly answered samples.

    Stretches that recorded trouble explains are left out: they are judged as what they are.
    """

    def __init__(self, begin_ns: int, tallies: Sequence[Tally]) -> None:
        # The beginning of probing opens the first gap; its `done` proves nothing.
        self._sent = np.array([begin_ns], np.int64)
        self._done = np.array([OPEN_NS], np.int64)
        self._tallies = tallies

    def add(self, codes: Codes, sent: Int64s, done: Int64s, settled_ns: int) -> None:
        """Take a segment after which every sample is sent later than `settled_ns`."""
        known = codes <= DOWN
        if not known.all():
            codes, sent, done = codes[known], sent[known], done[known]
        trouble = codes != GOOD
        carried = len(self._sent)
        sent = np.concatenate([self._sent, sent])
        done = np.concatenate([self._done, done])
        trouble = np.concatenate([np.zeros(carried, np.bool_), trouble])
        if len(sent) == 0:
            return
        ends = np.full(len(sent), OPEN_NS, np.int64)
        proofs = np.where(trouble, OPEN_NS, done)
        ends[:-1] = np.minimum.accumulate(proofs[::-1])[::-1][1:]
        keep = int(np.searchsorted(ends, settled_ns, side="right"))
        if trouble.any():
            last_trouble = int(np.flatnonzero(trouble)[-1])
            _end_before_trouble(sent, ends, trouble)
            keep = max(keep, last_trouble + 1)
        final = ~trouble[:keep]
        self._count(sent[:keep][final], ends[:keep][final])
        self._sent, self._done = sent[keep:], done[keep:]

    def finish(self, end_ns: int | None) -> None:
        """Close the last gap at the end of probing; None: it died, and nobody knows what came then."""
        if len(self._sent) == 0:
            return
        ends = np.full(len(self._sent), OPEN_NS if end_ns is None else end_ns, np.int64)
        ends[:-1] = np.minimum.accumulate(self._done[::-1])[::-1][1:]
        if end_ns is not None:
            np.minimum(ends, end_ns, out=ends)
        self._count(self._sent, np.maximum(ends, self._sent))

    def _count(self, sent: Int64s, ends: Int64s) -> None:
        if len(sent) == 0:
            return
        reach = None
        first, last = int(sent[0]), int(ends.max())
        for tally in self._tallies:
            if tally.to_ns <= first or tally.from_ns >= last:
                continue
            if reach is None:
                reach = np.maximum.accumulate(ends)
            low = int(np.searchsorted(reach, tally.from_ns, side="right"))
            high = int(np.searchsorted(sent, tally.to_ns, side="left"))
            if low >= high:
                continue
            if last == OPEN_NS and int(ends[low:high].max()) == OPEN_NS:
                tally.floor_ns = OPEN_NS
                continue
            widths = ends[low:high] - np.maximum(sent[low:high], tally.from_ns)
            tally.floor_ns = max(tally.floor_ns, int(widths.max()))


def _end_before_trouble(sent: Int64s, ends: Int64s, trouble: Mask) -> None:
    """A gap that reaches a failed or slow sample ends with the last good one before it: the rest is in its bounds."""
    places = np.arange(len(sent))
    next_trouble = np.minimum.accumulate(np.where(trouble, places, len(sent))[::-1])[::-1]
    last_good = np.maximum.accumulate(np.where(trouble, -1, places))
    has_next = next_trouble < len(sent)
    at = next_trouble[has_next]
    before = last_good[np.maximum(at - 1, 0)]
    limit = np.where(before >= 0, sent[np.maximum(before, 0)], 0)
    reaches = sent[at] <= ends[has_next]
    ends[has_next] = np.where(reaches, np.maximum(limit, sent[has_next]), ends[has_next])


# --- the prober's own lateness -------------------------------------------------------------------------------------


class _Lateness:
    """When the probe itself was late or did not fire, and how late it was."""

    def __init__(self, periods: Sequence[tuple[int, int]]) -> None:
        self._from = np.array([moment for moment, _ in periods], np.int64)
        self._period = np.array([period for _, period in periods], np.int64)
        self._last_due: int | None = None
        self.blind: list[tuple[int, int]] = []
        self.lags = np.zeros(_LAG_BINS + 1, np.int64)
        self.lag_max_ns = 0

    def add(self, due: Int64s, sent: Int64s, flags: NDArray[np.uint8]) -> None:
        scheduled = (flags & FOLLOW_UP) == 0
        if not scheduled.all():
            due, sent = due[scheduled], sent[scheduled]
        if len(due) == 0:
            return
        lag = np.maximum(sent - due, 0)
        self.lag_max_ns = max(self.lag_max_ns, int(lag.max()))
        counts = np.bincount(np.minimum(lag // LAG_BIN_NS, _LAG_BINS))
        self.lags[: len(counts)] += counts
        period: Int64s | int
        if len(self._from) == 1:
            period = int(self._period[0])
        else:
            period = self._period[np.maximum(np.searchsorted(self._from, due, side="right") - 1, 0)]
        late = lag > period
        if late.any():
            self.blind += zip(due[late].tolist(), sent[late].tolist(), strict=True)
        previous = np.empty_like(due)
        previous[1:] = due[:-1]
        previous[0] = due[0] if self._last_due is None else self._last_due
        missing = due - previous > 2 * period
        if len(self._from) > 1 and missing.any():
            # Around a change of period the longer of the two periods is the rule.
            before = self._period[np.maximum(np.searchsorted(self._from, previous, side="right") - 1, 0)]
            missing &= due - previous > 2 * np.maximum(before, period)
        if missing.any():
            first = previous + period
            self.blind += zip(first[missing].tolist(), sent[missing].tolist(), strict=True)
        self._last_due = int(due[-1])
        if len(self.blind) > 10_000:
            self.blind = merged(self.blind)


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the union of spans (from, to) as disjoint spans in order."""
    found: list[tuple[int, int]] = []
    for from_ns, to_ns in sorted(spans):
        if to_ns <= from_ns:
            continue
        if found and from_ns <= found[-1][1]:
            if to_ns > found[-1][1]:
                found[-1] = found[-1][0], to_ns
        else:
            found.append((from_ns, to_ns))
    return found


def clipped(spans: Iterable[tuple[int, int]], from_ns: int, to_ns: int) -> list[tuple[int, int]]:
    """Return what of the spans lies within [from_ns, to_ns]."""
    inside = ((max(low, from_ns), min(high, to_ns)) for low, high in spans)
    return [(low, high) for low, high in inside if high > low]


def measure(spans: Iterable[tuple[int, int]]) -> int:
    """Return the length (ns) of the union of spans."""
    return sum(to_ns - from_ns for from_ns, to_ns in merged(spans))


class _Latencies:
    """Median and 99th percentile of the answer time, bin by bin."""

    def __init__(self, origin_ns: int, bin_ns: int) -> None:
        self._origin = origin_ns
        self._bin = bin_ns
        self._number: int | None = None
        self._held: list[Int64s] = []
        self.found: list[tuple[int, int, int]] = []

    def add(self, sent: Int64s, answer: Int64s) -> None:
        if len(sent) == 0:
            return
        first = (int(sent[0]) - self._origin) // self._bin
        last = (int(sent[-1]) - self._origin) // self._bin
        edges = self._origin + self._bin * np.arange(first, last + 2)
        places = np.searchsorted(sent, edges)
        for number, low, high in zip(range(first, last + 1), places[:-1].tolist(), places[1:].tolist(), strict=True):
            if low == high:
                continue
            if number != self._number:
                self.close()
                self._number = number
            self._held.append(answer[low:high].copy())

    def close(self) -> None:
        if self._number is not None and self._held:
            values = np.concatenate(self._held)
            middle, high = (len(values) - 1) // 2, max(0, -(-99 * len(values) // 100) - 1)
            ordered = np.partition(values, [middle, high])
            from_ns = self._origin + self._number * self._bin
            self.found.append((from_ns, int(ordered[middle]), int(ordered[high])))
        self._held = []


# --- one probe, in pieces ------------------------------------------------------------------------------------------


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
        samples = in_order(np.concatenate(self._pending) if len(self._pending) > 1 else self._pending[0])
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
        self._gaps = _Gaps(begin_ns, self._tallies)

    def add(self, samples: Samples) -> None:
        """Take samples of any of the lanes, in any order."""
        self._waiting.add(samples)

    def settle(self, settled_ns: int) -> None:
        """Derive up to a moment: everything sent at or before it was added."""
        samples = self._waiting.ready(settled_ns)
        if samples is not None:
            sent, done = np.ascontiguousarray(samples["sent"]), np.ascontiguousarray(samples["done"])
            self._gaps.add(codes_of(samples, self._blind), sent, done, settled_ns)

    def finish(self, end_ns: int | None) -> list[int]:
        """Return the floor of each stretch. `end_ns`: when probing ended as it was meant to; None: it broke off."""
        self.settle(OPEN_NS - 1)
        self._gaps.finish(end_ns)
        return [tally.floor_ns for tally in self._tallies]


class ProbeFold:
    """Derives the trace of one probe from its samples, in whatever pieces they come.

    `begin_ns`: when probing began. `periods`: (from, period), the first at or before `begin_ns`. `stretches`: spans of
    time to be tallied. `blind`: spans in which the prober could not see (its controls failed).
    """

    def __init__(  # noqa: PLR0913 - keyword-only, each a fact of its own
        self,
        *,
        begin_ns: int,
        periods: Sequence[tuple[int, int]],
        stretches: Sequence[tuple[int, int]] = (),
        blind: Sequence[tuple[int, int]] = (),
        bin_ns: int = 60_000_000_000,
        origin_ns: int | None = None,
    ) -> None:
        self._blind = merged(blind)
        self._waiting = _Waiting()
        self._down = _RunFinder(_DOWN_ROLES)
        self._slow = _RunFinder(_SLOW_ROLES)
        self._tallies = [Tally(from_ns, to_ns) for from_ns, to_ns in stretches]
        self._gaps = _Gaps(begin_ns, self._tallies)
        self._lateness = _Lateness(periods)
        self._latencies = _Latencies(begin_ns if origin_ns is None else origin_ns, bin_ns)
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
        self._gaps.finish(end_ns)
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
        )

    def _derive(self, samples: Samples, settled_ns: int) -> None:
        sent = np.ascontiguousarray(samples["sent"])
        done = np.ascontiguousarray(samples["done"])
        codes = codes_of(samples, self._blind)
        classes = samples["sample_class"]
        self._counts += np.bincount(codes, minlength=5)
        self._down.add(codes, sent, done, classes)
        self._slow.add(codes, sent, done, classes)
        self._gaps.add(codes, sent, done, settled_ns)
        self._lateness.add(np.ascontiguousarray(samples["due"]), sent, samples["flags"])
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


# --- many probes, from a stream ------------------------------------------------------------------------------------


class StreamFold:
    """Feeds many probes' folds from blocks of a sample store, which are in the order of completion.

    `shared`: by probe, the fold in which several lanes are seen together. A sample may be stored as late as its answer
    came. So a moment counts as settled when samples were stored that were
    done `horizon_ns` later, and one whole batch after that: after a stall everything in flight completes at once.
    """

    def __init__(
        self,
        folds: dict[int, ProbeFold],
        *,
        horizon_ns: int,
        shared: dict[int, FloorFold] | None = None,
        batch: int = 1 << 20,
    ) -> None:
        self._folds = folds
        self._shared = shared or {}
        self._horizon = horizon_ns
        self._batch = batch
        self._blocks: list[Samples] = []
        self._held = 0
        self._newest = 0
        self._newest_before: int | None = None
        self.unknown: dict[int, int] = {}  # samples of probes that nobody declared

    def add(self, block: Samples) -> None:
        """Take the next block; it must not be changed afterwards."""
        if not len(block):
            return
        self._blocks.append(block)
        self._held += len(block)
        if self._held >= self._batch:
            self._feed()

    def finish(self) -> None:
        """Feed what is left; then the folds can be finished."""
        self._feed()

    def _feed(self) -> None:
        if not self._held:
            return
        settled = None if self._newest_before is None else self._newest_before - self._horizon
        for block in self._blocks:
            self._newest = max(self._newest, int(block["done"].max()))
            for probe, part in split_by_probe(block):
                fold = self._folds.get(probe)
                if fold is None:
                    self.unknown[probe] = self.unknown.get(probe, 0) + len(part)
                    continue
                fold.add(part)
                if probe in self._shared:
                    self._shared[probe].add(part)
        self._blocks, self._held = [], 0
        if settled is not None:
            for fold in self._folds.values():
                fold.settle(settled)
            for shared in set(self._shared.values()):
                shared.settle(settled)
        self._newest_before = self._newest


def split_by_probe(samples: Samples) -> Iterable[tuple[int, Samples]]:
    """Yield each probe's samples of a block, in the block's order; without a copy if they stand together."""
    numbers = samples["probe"]
    if len(numbers) and (numbers[1:] < numbers[:-1]).any():
        samples = samples[np.argsort(numbers, kind="stable")]
        numbers = samples["probe"]
    starts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
    for low, high in zip(starts.tolist(), [*starts[1:].tolist(), len(numbers)], strict=True):
        yield int(numbers[low]), samples[low:high]


# --- joining -------------------------------------------------------------------------------------------------------


def join(outages: Sequence[Outage]) -> list[tuple[Outage, ...]]:
    """Join outages into downtime windows: separated by fewer than three good samples or less than a second."""
    windows: list[list[Outage]] = []
    for outage in outages:
        if windows and _flaps(windows[-1][-1], outage):
            windows[-1].append(outage)
        else:
            windows.append([outage])
    return [tuple(window) for window in windows]


def _flaps(before: Outage, after: Outage) -> bool:
    if before.first_good_sent_ns is None or after.last_good_ns is None:
        return True
    return after.good_before < JOIN_GOOD or after.last_good_ns - before.first_good_sent_ns < JOIN_NS
