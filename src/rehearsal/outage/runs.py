"""Runs of failed and of slow samples become outages, in segments that follow each other in time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

import numpy as np

from rehearsal.outage.codes import DOWN
from rehearsal.outage.codes import GOOD
from rehearsal.outage.codes import LOST
from rehearsal.outage.codes import SLOW
from rehearsal.outage.trace import OPEN_NS
from rehearsal.outage.trace import Outage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Int64s = NDArray[np.int64]
    Codes = NDArray[np.uint8]
    Mask = NDArray[np.bool_]


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

    last_good: int | None  # when it was sent
    round_trip: int | None  # the largest of the recent ones: a lost answer proves no more than that
    good_before: int
    first_bad: int
    last_bad: int = 0
    most_done: int = 0
    pieces: list[_Piece] = field(default_factory=list)
    failed: int = 0
    classes: dict[int, int] = field(default_factory=dict)
    failures: list[Int64s] = field(default_factory=list)  # rows (sent, done, class) of its failed samples


_BIN_NS = 1_000_000_000
_RECENT_BINS = 60
RECENT_NS = _RECENT_BINS * _BIN_NS
"""A lost packet is judged by the round trips of so long before the outage."""


class _Goods:
    """The good samples so far: which was the last that was answered by a moment, and how long answers took lately."""

    def __init__(self) -> None:
        self._answered: int | None = None  # when the last was sent that was done when the segment before ended
        self._sent = np.empty(0, np.int64)  # those of this segment, and those still without an answer when it began
        self._done = np.empty(0, np.int64)
        self._new = 0  # place of the first good sample of this segment
        self._longest: deque[tuple[int, int]] = deque()  # bin, largest round trip in it, of the segments before

    def add(self, sent: Int64s, done: Int64s, until_ns: int) -> None:
        """Take the good samples of a segment. `until_ns`: when the first sample of the segment was sent."""
        self._summarize(self._sent[self._new :], self._done[self._new :])
        while self._longest and self._longest[0][0] <= until_ns // _BIN_NS - _RECENT_BINS:
            self._longest.popleft()
        answered = self._done <= until_ns
        if answered.any():
            self._answered = max(self._answered or 0, int(self._sent[answered][-1]))
        self._new = int(np.count_nonzero(~answered))
        self._sent = np.concatenate([self._sent[~answered], sent])
        self._done = np.concatenate([self._done[~answered], done])

    def _summarize(self, sent: Int64s, done: Int64s) -> None:
        if len(sent) == 0:
            return
        bins = sent // _BIN_NS
        starts = np.flatnonzero(np.concatenate([[True], bins[1:] != bins[:-1]]))
        longest = np.maximum.reduceat(done - sent, starts)
        for number, most in zip(bins[starts].tolist(), longest.tolist(), strict=True):
            if self._longest and self._longest[-1][0] == number:
                self._longest[-1] = number, max(self._longest[-1][1], most)
            else:
                self._longest.append((number, most))

    def last_answered(self, moment_ns: int) -> int | None:
        """Return when the last good sample was sent that was answered by then; None: there was none.

        One that was still waiting proves nothing about the time before: what is sent again, or held by a proxy, is
        answered after the outage that it met.
        """
        place = int(np.searchsorted(self._sent, moment_ns)) - 1
        while place >= 0 and self._done[place] > moment_ns:
            place -= 1
        if place < 0:
            return self._answered
        return max(self._answered or 0, int(self._sent[place]))

    def round_trip(self, moment_ns: int) -> int | None:
        """Return the largest round trip of what was sent in the minute before a moment of this segment.

        What was sent later does not count: it may not be known yet.
        """
        first = moment_ns // _BIN_NS - _RECENT_BINS + 1
        longest = [most for number, most in self._longest if number >= first]
        low, high = np.searchsorted(self._sent, [first * _BIN_NS, moment_ns]).tolist()
        low = max(low, self._new)
        if low < high:
            longest.append(int((self._done[low:high] - self._sent[low:high]).max()))
        return max(longest, default=None)


@dataclass(slots=True)
class Roles:
    """Which codes play which part for one kind of outage."""

    kind: str
    bad: int
    role: NDArray[np.uint8]  # by code: 0 good, 1 bad, 2 says nothing about it, 3 says nothing and cuts


DOWN_ROLES = Roles("down", DOWN, np.array([0, 0, 1, 3, 0], np.uint8))
SLOW_ROLES = Roles("degraded", SLOW, np.array([0, 1, 2, 3, 3], np.uint8))


class RunFinder:
    """Finds the outages of one kind in segments that follow each other in time."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles
        self._run: _Run | None = None
        self._cut = False  # a blind sample since the last bad one
        self._good_since = 0
        self._goods = _Goods()
        self._last_not_slow: int | None = None
        self.found: list[Outage] = []

    def add(self, codes: Codes, sent: Int64s, done: Int64s, classes: NDArray[np.uint8]) -> None:
        """Take a segment, ordered by `sent`, that comes after the last one."""
        role = self._roles.role[codes]
        if self._roles.kind == "down" and len(sent):
            good = role == 0
            self._goods.add(sent[good], done[good], int(sent[0]))
        bad = np.flatnonzero(role == 1)
        if len(bad) == 0 and self._run is None:
            self._remember_good(role, codes, sent)
            return
        decided = np.flatnonzero(role <= 1)
        is_bad = role[decided] == 1
        if len(bad) == 0:
            self._close_at_first_good(decided, sent, done)
            if self._run is not None:
                self._cut = self._cut or bool((role == 3).any())
            else:
                self._remember_good(role, codes, sent)
            return
        self._walk(role, codes, sent, done, classes, bad, decided, is_bad)

    def finish(self) -> tuple[Outage, ...]:
        """End of the recording: what is still going on is censored."""
        if self._run is not None:
            self._close(None, None)
        return tuple(self.found)

    def _remember_good(self, role: NDArray[np.uint8], codes: Codes, sent: Int64s) -> None:
        self._good_since += int(np.count_nonzero(role == 0))
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
        if self._roles.kind == "down":
            new_piece[1:] |= np.diff(cuts[bad]) > 0
        else:
            new_piece |= _nobody_waited(sent[bad], done[bad], np.flatnonzero(new_run))
        pieces = np.flatnonzero(new_piece)
        last_of_piece = np.append(pieces[1:], len(bad)) - 1
        bad_sent, bad_done, bad_class = sent[bad], done[bad], classes[bad]
        lost_sent = np.where(LOST[bad_class], bad_sent, OPEN_NS)
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
            self._good_since += good_here
            if not continues:
                self._open(int(bad_sent[run_from]), onset_bound[number])
            joins = continues and self._joins(int(bad_sent[run_from]), int(cuts[bad[run_from]]))
            self._grow(
                made[piece_from[number] : piece_to[number]],
                bad_class[run_from:run_to],
                np.stack([column[run_from:run_to] for column in (bad_sent, bad_done, bad_class)]).astype(np.int64),
                joins=joins,
            )
            self._cut = False
            previous_at = last_at
            if last_at + 1 < len(decided):
                good = decided[last_at + 1]
                self._close(int(sent[good]), int(done[good]))
        rest = len(decided) - previous_at - 1
        self._good_since += rest
        if self._run is not None:
            self._cut = int(cuts[-1]) > int(cuts[bad[-1]])
        if self._roles.kind == "degraded":
            self._remember_not_slow(codes, sent)

    def _joins(self, sent: int, cuts: int) -> bool:
        """Tell whether the first bad sample of a segment goes on with the last piece of the segment before."""
        if self._roles.kind == "down":
            return not self._cut and cuts == 0
        return self._run is not None and sent <= self._run.most_done

    def _onset_bounds(self, codes: Codes, sent: Int64s, firsts: NDArray[np.intp]) -> list[int | None]:
        """For slow answers: when each run cannot have begun yet, because an answer came promptly or was a failure."""
        if self._roles.kind == "down":
            return [None] * len(firsts)
        known = np.flatnonzero((codes == GOOD) | (codes == DOWN))
        place = np.searchsorted(known, firsts) - 1
        return [int(sent[known[index]]) if index >= 0 else self._last_not_slow for index in place.tolist()]

    def _open(self, first_bad: int, onset_bound: int | None) -> None:
        last_good = self._goods.last_answered(first_bad)
        if self._roles.kind == "degraded":
            last_good = onset_bound
        self._run = _Run(last_good, self._goods.round_trip(first_bad), self._good_since, first_bad)
        self._good_since = 0

    def _grow(self, pieces: list[_Piece], classes: NDArray[np.uint8], failures: Int64s, *, joins: bool) -> None:
        run = self._run
        assert run is not None
        run.failures.append(failures)
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
                round_trip_ns=None if slow else round_trip,
                failures=np.concatenate(run.failures, axis=1),
            )
        )
        self._run = None
        self._cut = False


def _nobody_waited(sent: Int64s, done: Int64s, runs: NDArray[np.intp]) -> Mask:
    """Tell which slow requests were sent when all slow ones before them in their run were answered.

    What is certain of slow answers is the waiting itself.
    """
    breaks = np.zeros(len(sent), np.bool_)
    for low, high in zip(runs.tolist(), [*runs[1:].tolist(), len(sent)], strict=True):
        if high - low > 1:
            breaks[low + 1 : high] = sent[low + 1 : high] > np.maximum.accumulate(done[low : high - 1])
    return breaks


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
    """The time in which somebody was waiting for a slow answer, nothing counted twice."""
    parts: list[tuple[int, int]] = []
    for piece in pieces:
        begin = max(piece.first_sent, parts[-1][1]) if parts else piece.first_sent
        if piece.most_done > begin:
            parts.append((begin, piece.most_done))
    return tuple(parts)
