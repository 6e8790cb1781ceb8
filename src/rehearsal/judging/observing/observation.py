"""What the probes saw, piece by piece of the run: every sample is folded once, into traces and tallies.

A piece is a step (with its settling time), a canary's migration, or what lies outside of both.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.judging import plans
from rehearsal.judging.charging import budgets
from rehearsal.lanes import table
from rehearsal.lanes.table import Place
from rehearsal.outage import FloorFold
from rehearsal.outage import ProbeFold
from rehearsal.outage import StreamFold
from rehearsal.outage import measure
from rehearsal.outage import merged
from rehearsal.recording import events
from rehearsal.recording.history import silences
from rehearsal.recording.samplestream import UNDECLARED
from rehearsal.recording.samplestream import samples
from rehearsal.recording.stretch import BETWEEN
from rehearsal.recording.stretch import CONTROL
from rehearsal.recording.stretch import migration
from rehearsal.recording.stretch import step

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from rehearsal.outage import Tally
    from rehearsal.outage import Trace
    from rehearsal.recording.history import History
    from rehearsal.recording.history import Probe
    from rehearsal.recording.stretch import Stretch

_SLACK_NS = 5_000_000_000
_LATENCY_BINS = 400
_MINUTE_NS = 60_000_000_000
_LOOPBACK = ("127.", "localhost", "[::1]", "::1")


@dataclass(frozen=True, slots=True)
class Piece:
    """When a place in the run was. A step may be over within the same moment."""

    from_ns: int
    to_ns: int
    stretch: Stretch


@dataclass(frozen=True, slots=True)
class Seen:
    """One declaration of a probe, and what it saw. `tallies` are those of `pieces`, one for one."""

    probe: Probe
    trace: Trace
    pieces: tuple[Piece, ...]

    def tallies(self, stretch: Stretch) -> list[Tally]:
        """Return the tallies of everything that is charged to a place in the run."""
        return [tally for piece, tally in zip(self.pieces, self.trace.tallies, strict=True) if piece.stretch == stretch]


@dataclass(frozen=True, slots=True)
class Joint:
    """What the lanes over new and over kept connections to one service at one VIP saw together: the floors of each piece.

    A floor of OPEN_NS: nobody saw what came after.
    """

    service: str
    vip: str
    pieces: tuple[Piece, ...]
    tallies: tuple[Tally, ...]

    def floors(self, stretch: Stretch, kind: str) -> list[int]:
        """Return the floors (ns) of everything that is charged to a place in the run."""
        both = zip(self.pieces, self.tallies, strict=True)
        return [tally.floor_of(kind) for piece, tally in both if piece.stretch == stretch]


@dataclass(frozen=True, slots=True)
class Observation:
    """What all probes saw. `blind`: (from, to, why), when the prober itself could not see."""

    seen: tuple[Seen, ...]
    joints: tuple[Joint, ...]
    pieces: tuple[Piece, ...]  # of the run, without migrations
    blind: tuple[tuple[int, int, str], ...]
    undeclared: int

    def of_service(self, service: str) -> list[Seen]:
        """Return the probes that see a service as its users do; for canaries, the network's."""
        own = [seen for seen in self.seen if seen.probe.service == service]
        of_users = [seen for seen in own if table.of(seen.probe.lane).is_of_users]
        return of_users or own if service == budgets.CANARIES else of_users

    def migrating(self, canary: str, name: str, lane: str) -> list[tuple[Seen, Tally]]:
        """Return what a lane to a canary saw during a migration."""
        return [
            (seen, tally)
            for seen in self.seen
            if seen.probe.declared.canary == canary and seen.probe.lane == lane
            for tally in seen.tallies(migration(name))
        ]


def observe(
    history: History, *, also: Callable[[NDArray[np.void]], None] | None = None, since_ns: int | None = None
) -> Observation:
    """Fold all samples of a recording. `also` gets every chunk of them, in the order of the store.

    `since_ns`: fold only what was sent from then on; what is told about the time before is worth nothing.
    """
    pieces = pieces_of(history)
    since_ns = history.began_ns if since_ns is None else since_ns
    blind = _own_word(history)
    controls = {probe.index for probe in history.probes if _is_off_path(probe)}
    if len({probe.name for probe in history.probes if probe.index in controls}) > 1:
        blind += _controls_failed(history, controls, since_ns)
    spans = merged((from_ns, to_ns) for from_ns, to_ns, _ in blind)
    bin_ns = _bin_ns(history.ended_ns - history.began_ns)
    folds: dict[int, ProbeFold] = {}
    own_pieces: dict[int, tuple[Piece, ...]] = {}
    for probe in history.probes:
        own_pieces[probe.index] = _clipped(_with_migrations(pieces, history, probe), probe, history)
        folds[probe.index] = ProbeFold(
            begin_ns=max(probe.from_ns, since_ns),
            periods=probe.periods,
            stretches=[(piece.from_ns, piece.to_ns) for piece in own_pieces[probe.index]],
            blind=spans,
            retired_ns=probe.ended_ns,
            bin_ns=bin_ns,
            origin_ns=history.began_ns,
        )
    together = _together(history)
    shared = {
        key: FloorFold(
            begin_ns=max(since_ns, min(probe.from_ns for probe in probes)),
            stretches=[(piece.from_ns, piece.to_ns) for piece in own_pieces[probes[0].index]],
            blind=spans,
        )
        for key, probes in together.items()
    }
    by_probe = {probe.index: shared[key] for key, probes in together.items() for probe in probes}
    stream = _stream(history, folds, shared=by_probe, also=also, since_ns=since_ns)
    seen = tuple(
        Seen(probe, folds[probe.index].finish(probe.ended_ns), own_pieces[probe.index]) for probe in history.probes
    )
    joints = tuple(
        Joint(
            probes[0].service,
            probes[0].declared.vip,
            own_pieces[probes[0].index],
            tuple(shared[key].finish(_common_end(probes))),
        )
        for key, probes in together.items()
    )
    return Observation(seen, joints, pieces, tuple(sorted(blind)), sum(stream.unknown.values()))


def _together(history: History) -> dict[tuple[str, str, int], list[Probe]]:
    """Return the shallow lanes by service, VIP and process of the prober."""
    found: dict[tuple[str, str, int], list[Probe]] = {}
    for probe in history.probes:
        if table.of(probe.lane).is_shallow:
            found.setdefault((probe.service, probe.declared.vip, probe.prober_run), []).append(probe)
    return found


def _common_end(probes: list[Probe]) -> int | None:
    ends = [probe.ended_ns for probe in probes if probe.ended_ns is not None]
    return max(ends) if len(ends) == len(probes) else None


def longest_flight_ns(history: History) -> int:
    """Return how long after it was sent a sample may be stored, with plenty to spare (ns)."""
    return max((probe.declared.deadline_ns for probe in history.probes), default=0) + _SLACK_NS


def _stream(  # noqa: PLR0913 - what is fed, and with what
    history: History,
    folds: dict[int, ProbeFold],
    *,
    since_ns: int,
    only: set[int] | None = None,
    shared: dict[int, FloorFold] | None = None,
    also: Callable[[NDArray[np.void]], None] | None = None,
) -> StreamFold:
    whole = since_ns <= history.began_ns
    horizon_ns = longest_flight_ns(history)
    stream = StreamFold(folds, horizon_ns=horizon_ns, shared=shared)
    for chunk in samples(history, settled_ns=None if whole else since_ns - horizon_ns):
        if not whole:
            chunk = chunk[chunk["sent"] >= since_ns]  # noqa: PLW2901
        if also is not None:
            also(chunk)
        if only is None:
            stream.add(chunk)
        else:
            wanted = chunk["probe"] == UNDECLARED
            for index in only:
                wanted |= chunk["probe"] == index
            stream.add(chunk[wanted])
    stream.finish()
    return stream


def _bin_ns(length_ns: int) -> int:
    """A minute, or as many minutes as keep a strip's latency line short."""
    return _MINUTE_NS * max(1, -(-length_ns // (_MINUTE_NS * _LATENCY_BINS)))


# --- pieces of the run ---------------------------------------------------------------------------------------------


def pieces_of(history: History) -> tuple[Piece, ...]:
    """Cut the run into its steps and the rest; disjoint, in order, without gaps."""
    restarts = [attempt.began_ns for attempt in history.attempts[1:]]
    steps: list[Piece] = []
    for run in history.steps:
        if run.ended_ns is not None:
            end_ns = run.ended_ns + budgets.settle_ns(plans.at(history, run.began_ns))
        else:  # killed in the middle: nobody knows when it ended
            end_ns = min((moment for moment in restarts if moment > run.began_ns), default=history.ended_ns)
        steps.append(Piece(run.began_ns, max(run.began_ns, min(end_ns, history.ended_ns)), step(run.step)))
    steps.sort(key=lambda piece: piece.from_ns)
    cut = [
        dataclasses.replace(piece, to_ns=min(piece.to_ns, after.from_ns)) for piece, after in itertools.pairwise(steps)
    ] + steps[-1:]
    found: list[Piece] = []
    moment = history.began_ns
    for piece in cut:
        if piece.from_ns > moment:
            found.append(Piece(moment, piece.from_ns, BETWEEN if found else CONTROL))
        found.append(piece)
        moment = max(moment, piece.to_ns)
    if history.ended_ns > moment:
        found.append(Piece(moment, history.ended_ns, BETWEEN if found else CONTROL))
    return tuple(found)


def _with_migrations(pieces: tuple[Piece, ...], history: History, probe: Probe) -> tuple[Piece, ...]:
    canary = probe.declared.canary
    moves = [
        Piece(move.began_ns, _move_end(history, move.ended_ns, move.began_ns), migration(move.began.migration))
        for move in history.migrations
        if canary and move.began.canary == canary
    ]
    for move in moves:
        pieces = tuple(itertools.chain.from_iterable(_without(piece, move) for piece in pieces))
    return tuple(sorted((*pieces, *moves), key=lambda piece: piece.from_ns))


def _move_end(history: History, ended_ns: int | None, began_ns: int) -> int:
    if ended_ns is not None:
        return ended_ns
    return min((each.began_ns for each in history.attempts if each.began_ns > began_ns), default=history.ended_ns)


def _without(piece: Piece, hole: Piece) -> list[Piece]:
    before = dataclasses.replace(piece, to_ns=min(piece.to_ns, hole.from_ns))
    after = dataclasses.replace(piece, from_ns=max(piece.from_ns, hole.to_ns))
    return [part for part in (before, after) if part.to_ns > part.from_ns or part == piece]


def life_of(probe: Probe, history: History) -> tuple[int, int]:
    """Return when a probe measured: from its declaration until its end, or until it was last heard of."""
    for end_ns in (probe.ended_ns, probe.broke_off_ns):
        if end_ns is not None:
            return probe.from_ns, end_ns
    return probe.from_ns, history.ended_ns


def _clipped(pieces: tuple[Piece, ...], probe: Probe, history: History) -> tuple[Piece, ...]:
    low, high = life_of(probe, history)
    inside = (
        dataclasses.replace(piece, from_ns=max(piece.from_ns, low), to_ns=min(piece.to_ns, high)) for piece in pieces
    )
    return tuple(piece for piece in inside if piece.to_ns > piece.from_ns or (piece in pieces and low <= piece.to_ns))


# --- when the prober could not see ---------------------------------------------------------------------------------


def _own_word(history: History) -> list[tuple[int, int, str]]:
    return [(event.began_ns, event.ended_ns, event.cause) for _, event in history.of(events.ProberBlind)]


def _is_off_path(probe: Probe) -> bool:
    if table.of(probe.lane).place is not Place.PROBER:
        return False
    target = probe.declared.address or probe.declared.target.partition("://")[2] or probe.declared.target
    return not target.startswith(_LOOPBACK)


def _controls_failed(history: History, controls: set[int], since_ns: int) -> list[tuple[int, int, str]]:
    """Off-path controls say something only if all of them fail at once: one alone may itself be flaky."""
    folds = {
        probe.index: ProbeFold(begin_ns=max(probe.from_ns, since_ns), periods=probe.periods)
        for probe in history.probes
        if probe.index in controls
    }
    _stream(history, folds, since_ns=since_ns, only=controls)
    by_name: dict[str, list[tuple[int, int]]] = {}
    for probe in history.probes:
        if probe.index in controls:
            failed = folds[probe.index].finish(probe.ended_ns).outages
            spans = ((out.first_bad_ns, out.first_good_ns or history.ended_ns) for out in failed)
            by_name.setdefault(probe.name, []).extend(spans)
    failing = [merged(spans) for spans in by_name.values()]
    common = failing[0]
    for spans_of_another in failing[1:]:
        common = overlaps(common, spans_of_another)
    return [(low, high, "all off-path controls failed") for low, high in common]


def overlaps(one: Iterable[tuple[int, int]], other: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return where two unions of spans meet."""
    others = list(other)
    found = [(max(a, c), min(b, d)) for a, b in one for c, d in others if max(a, c) < min(b, d)]
    return merged(found)


def absences(history: History) -> list[tuple[int, int, str]]:
    """Return when nobody measured although somebody should have: no sign of life, died, between two attempts."""
    found = silences(history)
    runs = history.prober_runs
    for run, after in itertools.zip_longest(runs, runs[1:]):
        until = history.ended_ns if after is None else after.started_ns
        if run.stopped_ns is None and until > run.last_beat_ns:
            found.append((run.last_beat_ns, until, "the prober had died" if run.last_beat_ns else "no prober"))
        elif run.stopped_ns is not None and after is not None and until > run.stopped_ns:
            found.append((run.stopped_ns, until, "no prober ran between two attempts"))
    return found


def uncovered_ns(seen: Iterable[Seen], pieces: Iterable[Piece], stretch: Stretch, history: History) -> int:
    """Return how much of a stretch's time none of these declarations measured (ns)."""
    lives = [life_of(each.probe, history) for each in seen]
    missing = 0
    for piece in pieces:
        if piece.stretch == stretch:
            covered = [(max(low, piece.from_ns), min(high, piece.to_ns)) for low, high in lives]
            missing += piece.to_ns - piece.from_ns - measure(covered)
    return missing
