"""What may have caused a window: what happened on the hosts, live migrations, the step that was running.

A candidate fits if it happened when the window can have begun, give or take 0.25 s and the errors of the clocks, and if
it reaches what the probe saw: its service, host, virtual address or canary. Those that fit are ranked by how specific they
are, then by how near. They are candidates, not proofs; what was near and does not fit is told with the reason, and so is
what was not watched: where nobody looked, nothing is excluded.

The rule is OpenShift's `hostconnectionintegrity` (origin, 2026), generalised from one node to a cloud.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from rehearsal.figures import words
from rehearsal.judging.causes.reach import HEAVIEST
from rehearsal.judging.causes.reach import Reach
from rehearsal.judging.causes.reach import reaches
from rehearsal.judging.charging.troubles import Attribution
from rehearsal.outage import OPEN_NS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rehearsal.judging.causes.reach import World
    from rehearsal.judging.charging.troubles import Group
    from rehearsal.judging.hosts.hostclocks import Happening
    from rehearsal.recording.history import History

MARGIN_NS = 250_000_000
NEAR_NS = 10_000_000_000
"""What happened so near to an onset and does not fit is told, with the reason."""
LONG_NS = 600_000_000_000
STARTING_NS = 10_000_000_000
"""How long a container is taken to be starting, if its health is not checked."""
STARTING_MOST_NS = 60_000_000_000
_MOST = 5
_STARTING_RANK, _STEP_RANK = 80, 90


@dataclass(frozen=True, slots=True)
class Explanation:
    """What explains a window. `explained`: explained, ambiguous, step (nothing but the step), unattributed, not watched."""

    explained: str
    causes: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Onset:
    """When a window began: not before `low_ns`, not after `high_ns`; `first_bad_ns` is the first sign of it."""

    low_ns: int
    high_ns: int
    first_bad_ns: int
    end_ns: int  # of the window, as far as it was seen


@dataclass(frozen=True, slots=True, order=True)
class _Candidate:
    rank: int
    distance_ns: int
    text: str
    subject: str


class Candidates:
    """Everything that can have been a cause, found by time."""

    def __init__(self, history: History, world: World) -> None:
        self._history = history
        self._world = world
        self._all = sorted(world.happenings, key=lambda each: each.from_ns)
        self._begins = [each.from_ns for each in self._all]
        self._long = [each for each in self._all if each.to_ns is None or each.to_ns - each.from_ns > LONG_NS]

    def near(self, onset: Onset) -> Iterator[Happening]:
        """Yield everything that went on near an onset, or, for what has no known beginning, near the window."""
        low_ns, high_ns = onset.low_ns - NEAR_NS - STARTING_MOST_NS, max(onset.high_ns, onset.end_ns) + NEAR_NS
        first = bisect.bisect_left(self._begins, low_ns - LONG_NS)
        last = bisect.bisect_right(self._begins, high_ns)
        yield from (each for each in self._long if each.from_ns < low_ns - LONG_NS and _end(each) >= low_ns)
        yield from (each for each in self._all[first:last] if _end(each) >= low_ns)

    def explain(self, group: Group) -> Explanation:
        """Explain one window of one service or canary."""
        onset = onset_of(group)
        fits: list[_Candidate] = []
        excluded: list[_Candidate] = []
        for happening in self.near(onset):
            reach = reaches(happening, group, onset.low_ns, self._world)
            candidate = _judged(happening, reach, onset)
            if candidate is None:
                continue
            (excluded if candidate.rank >= HEAVIEST else fits).append(candidate)
        fits += self._migrations(group, onset)
        step, no_step, concerned = self._step(group)
        explained = _explained(fits)
        unseen = self._world.unseen(group, onset.low_ns - MARGIN_NS, onset.high_ns + MARGIN_NS)
        if not fits:
            explained = "step" if concerned else "not watched" if unseen else "unattributed"
        causes = [each.text for each in sorted(fits)][:_MOST]
        return Explanation(
            explained,
            list(dict.fromkeys([*causes, *step])),
            list(dict.fromkeys([*(each.text for each in sorted(excluded)[:_MOST]), *no_step])),
            unseen,
        )

    def _migrations(self, group: Group, onset: Onset) -> list[_Candidate]:
        canaries = {trouble.seen.probe.declared.canary for trouble in group.troubles}
        return [
            _Candidate(
                0, 0, f"live migration {move.began.migration} from {move.began.source}", f"move {move.began.migration}"
            )
            for move in self._history.migrations
            if move.began.canary in canaries
            and move.began_ns <= onset.first_bad_ns
            and (OPEN_NS if move.ended_ns is None else move.ended_ns) >= onset.low_ns - MARGIN_NS
        ]

    def _step(self, group: Group) -> tuple[list[str], list[str], bool]:
        """Return the step as the least specific candidate, or why it is none; and whether the plan lets it touch the service."""
        charge = group.charge
        if charge.attribution not in {Attribution.STEP, Attribution.AMBIGUOUS}:
            return [], [], False
        concerned = any(self._world.step_concerns(each.step, group.service) for each in charge.candidates if each.step)
        if charge.attribution is Attribution.AMBIGUOUS:
            borders = [each.name for each in charge.candidates]
            return (
                ["began at the border of " + " and ".join([*borders, "no step"] if len(borders) == 1 else borders)],
                [],
                concerned,
            )
        if concerned:
            return [f"step {charge.stretch.name} was running"], [], True
        return [], [f"step {charge.stretch.name} was running; the plan does not let it touch {group.service}"], False


def onset_of(group: Group) -> Onset:
    """Return when a window can have begun, by the lanes that saw it.

    A failed answer can have been caused until it was known to fail (docs/measuring.md: its proof), and no later than a good answer to
    the same question would have been there; a slow answer, as long as it was not late yet.
    """
    first_bad_ns = min(trouble.outages[0].first_bad_ns for trouble in group.troubles)
    low_ns = max(trouble.from_ns for trouble in group.troubles if trouble.from_ns <= first_bad_ns)
    high_ns = first_bad_ns
    for trouble in group.troubles:
        outage, soft_ns = trouble.outages[0], trouble.seen.probe.declared.soft_ns
        if outage.first_bad_ns == first_bad_ns:
            late_ns = outage.first_bad_ns + soft_ns
            high_ns = max(high_ns, late_ns if trouble.kind == "degraded" else min(outage.proof_ns, late_ns))
    end_ns = max(trouble.to_ns for trouble in group.troubles)
    return Onset(low_ns, high_ns, first_bad_ns, high_ns if end_ns == OPEN_NS else end_ns)


def _explained(fits: list[_Candidate]) -> str:
    if not fits:
        return "unattributed"
    best = min(each.rank for each in fits)
    return "ambiguous" if len({each.subject for each in fits if each.rank == best}) > 1 else "explained"


def _end(happening: Happening) -> int:
    return OPEN_NS if happening.to_ns is None else happening.to_ns


def _judged(happening: Happening, reach: Reach, onset: Onset) -> _Candidate | None:
    """Return a candidate that fits, one that does not (rank HEAVIEST and more) with the reason, or None: too far off."""
    error_ns = happening.error_ns + MARGIN_NS
    low_ns, high_ns = onset.low_ns - error_ns, onset.high_ns + error_ns
    begin_ns, end_ns = happening.from_ns, _end(happening)
    if happening.kind == "container" and happening.what == "started":  # when it had stopped is not known
        high_ns = max(high_ns, onset.end_ns + error_ns)
    distance_ns = begin_ns - onset.first_bad_ns
    subject = f"{happening.kind} {happening.host} {happening.subject}"
    text = _text(happening, distance_ns)
    fits = begin_ns <= high_ns and end_ns >= low_ns
    if reach.rank is None:
        return _Candidate(HEAVIEST + 1, abs(distance_ns), f"{text}; {reach.why}", subject) if fits else None
    if fits:
        return _Candidate(reach.rank, abs(distance_ns), text, subject)
    after_ns = onset.first_bad_ns - end_ns
    if end_ns < low_ns <= _started_up(happening):
        since = f"{happening.subject} on {happening.host} was starting, since {_ago(after_ns)}"
        return _Candidate(_STARTING_RANK, after_ns, since, subject)
    late_ns, early_ns = begin_ns - high_ns, low_ns - end_ns
    if max(late_ns, early_ns) > NEAR_NS:
        return None
    why = "too late to have caused it" if late_ns > 0 else f"it was over {_ago(after_ns)} before it"
    return _Candidate(HEAVIEST, max(late_ns, early_ns), f"{text}: {why}", subject)


def _started_up(happening: Happening) -> int:
    """Return until when a container that has just started is starting (ns): until it is healthy, if that is known."""
    if happening.kind != "container" or happening.what not in {"restarted", "started"} or happening.to_ns is None:
        return 0
    ready_ns = happening.to_ns + STARTING_NS if happening.ready_ns is None else happening.ready_ns
    return min(ready_ns, happening.to_ns + STARTING_MOST_NS)


def _ago(ns: int) -> str:
    return words.at_most(max(0, ns))


def _text(happening: Happening, distance_ns: int) -> str:
    """Return one happening as a sentence without its full stop, with how far off the window's first sign it began."""
    when = f"{words.at_most(abs(distance_ns))} {'after' if distance_ns > 0 else 'before'} the first sign"
    where = f" on {happening.host}" if happening.host else ""
    there = f" to {happening.host}" if happening.what.startswith("moved") else where
    detail = f" ({happening.detail})" if happening.detail else ""
    match happening.kind:
        case "proxy":
            proxy, _, server = happening.subject.partition("/")
            who = "no server" if server == "BACKEND" else f"server {server} is {happening.what}"
            said = f"HAProxy{where}: {proxy} has {who}" if server == "BACKEND" else f"HAProxy{where}: {proxy}: {who}"
            return f"{said}{detail}, from {when}"
        case "vip":
            return f"address {happening.subject} {happening.what}{there}, {when}"
        case "port" | "gateway":
            what = f"the port of {happening.subject}" if happening.kind == "port" else happening.subject
            return f"OVN: {what} {happening.what}{there}, {when}"
        case "chassis":
            return f"OVN: {happening.subject} {happening.what}, {when}"
        case _:
            return f"{happening.subject}{where} {happening.what} {when}{detail}"
