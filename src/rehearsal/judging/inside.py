"""What guests noticed from inside: reboots, a file, pauses, stalls, metadata, names, each other. Pure.

A beacon counts from its boot; what happened is the difference of two reports of one boot, and lies somewhere between
them: the guest's own clock never goes onto the timeline. What may not be at all (another boot, another checksum, a write
that failed) fails wherever it is; pauses and stalls are judged while the guest migrates, because then somebody chose to
move it; everything else is shown, unless the plan sets a budget for it. What no report tells is unknown and named.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal import beacon
from rehearsal.figures import words
from rehearsal.figures.length import NOTHING
from rehearsal.figures.length import Length
from rehearsal.figures.outcome import Outcome
from rehearsal.judging import plans
from rehearsal.judging.charging import budgets
from rehearsal.outside import bounded
from rehearsal.recording import events

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence

    from rehearsal.recording.history import History
    from rehearsal.recording.history import MigrationRun

_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class GuestFigure:
    """What a canary noticed from inside: the worst of it, and between which two of its reports (ns) that was.

    `figure`: boot, file, pause (of its heartbeat), clock (stood still in a migration), stall (of a write), writes,
    metadata, dns, `peer NAME`. `length` None: not a matter of time. `during`: the migrations, else the steps, in between.
    `budget_ns` None: shown, not judged; pauses, stalls and the clock are judged in migrations only.
    """

    canary: str
    figure: str
    outcome: Outcome
    reason: str
    length: Length | None = None
    count: int = 0
    from_ns: int | None = None
    to_ns: int | None = None
    during: str = ""
    budget_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two reports of one boot, one after the other; `during`: the migration, else the steps, between them."""

    before: beacon.Heard
    after: beacon.Heard
    during: str
    migrating: bool

    @property
    def from_ns(self) -> int:
        """When the first of them was asked for."""
        return self.before.asked_ns

    @property
    def to_ns(self) -> int:
        """When the second was told."""
        return self.after.told_ns


@dataclass(frozen=True, slots=True)
class _Lost:
    """What one pair tells about one figure: how long at most, how often, and anything worth adding."""

    pair: Pair
    length: Length
    count: int
    more: str = ""


@dataclass(frozen=True, slots=True)
class _Guest:
    """One canary: the reports of each of its servers, and the pairs of them."""

    name: str
    lives: tuple[tuple[beacon.Heard, ...], ...]
    pairs: tuple[Pair, ...]

    @property
    def reports(self) -> list[beacon.Heard]:
        """All reports in order."""
        return list(itertools.chain.from_iterable(self.lives))


def guests(history: History) -> list[GuestFigure]:
    """Return what every canary noticed, a row a figure; none for a run without canaries."""
    rows: list[GuestFigure] = []
    for guest in _guests(history):
        rows += [
            _boot(guest),
            _file(guest),
            _late(guest, history, "pause", "the guest's own heartbeat was late"),
            _clock(guest, history),
            _late(guest, history, "stall", "a write to its disk took too long"),
            _writes(guest),
            _asked(guest, history, "metadata", "the metadata service"),
            _asked(guest, history, "dns", "the resolver that DHCP gave"),
            *_peers(guest, history),
        ]
    return rows


# --- reports and pairs -----------------------------------------------------------------------------------------------


def _guests(history: History) -> list[_Guest]:
    lives: dict[str, list[list[beacon.Heard]]] = {}
    servers: dict[str, str] = {}
    told: list[tuple[int, events.CanaryUp | events.BeaconHeard]] = [
        *history.of(events.CanaryUp),
        *history.of(events.BeaconHeard),
    ]
    for moment, event in sorted(told, key=lambda item: item[0]):
        life = lives.setdefault(event.canary, [[]])
        if isinstance(event, events.CanaryUp):
            if servers.get(event.canary, event.server_id) != event.server_id:
                life.append([])  # another server of the same name
            servers[event.canary] = event.server_id
        else:
            report = _report(moment, event)
            if report is not None:
                life[-1].append(report)
    return [
        _Guest(name, tuple(tuple(life) for life in mine), tuple(_pairs(name, mine, history)))
        for name, mine in lives.items()
    ]


def _report(moment: int, event: events.BeaconHeard) -> beacon.Heard | None:
    """Return a report; None for silence, and for what is no beacon's. The first ones have no moments of their own."""
    if not event.boot_id or not bounded.is_number(event.facts.get("uptime_s")):
        return None
    asked, told = (event.facts.get(name) for name in ("asked_ns", "told_ns"))
    return beacon.Heard(
        {**event.facts, "boot_id": event.boot_id},
        int(asked) if bounded.is_number(asked) else moment,
        int(told) if bounded.is_number(told) else moment,
    )


def _pairs(canary: str, lives: Iterable[Sequence[beacon.Heard]], history: History) -> Iterable[Pair]:
    moves = [move for move in history.migrations if move.began.canary == canary]
    for life in lives:
        for before, after in itertools.pairwise(life):
            if before.boot_id != after.boot_id:
                continue
            low, high = before.told_ns, after.asked_ns
            moving = [
                move.began.migration for move in moves if move.began_ns <= high and low < _over_ns(move, life, history)
            ]
            steps = [
                run.step
                for run in history.steps
                if run.began_ns <= high and (history.ended_ns if run.ended_ns is None else run.ended_ns) >= low
            ]
            yield Pair(before, after, ", ".join(moving or dict.fromkeys(steps)), bool(moving))


def _over_ns(move: MigrationRun, life: Iterable[beacon.Heard], history: History) -> int:
    """Return when a migration is over for the guest: with its first report after the beginning, which ends the pair around it."""
    end_ns = history.ended_ns if move.ended_ns is None else move.ended_ns
    return min([end_ns, *(report.told_ns for report in life if report.asked_ns >= move.began_ns)])


# --- what may not be at all ------------------------------------------------------------------------------------------


def _boot(guest: _Guest) -> GuestFigure:
    for life in guest.lives:
        for before, after in itertools.pairwise(life):
            if before.boot_id != after.boot_id:
                return GuestFigure(
                    guest.name, "boot", Outcome.FAIL, "it rebooted: its boot id changed",
                    count=1, from_ns=before.asked_ns, to_ns=after.told_ns,
                )  # fmt: skip
    heard = len(guest.reports)
    if heard < 2:
        told = "heard once only" if heard else "never heard"
        return GuestFigure(guest.name, "boot", Outcome.UNKNOWN, f"its beacon was {told}")
    return GuestFigure(guest.name, "boot", Outcome.OK, f"the same boot in {words.plural(heard, 'report')}")


def _file(guest: _Guest) -> GuestFigure:
    before: beacon.Heard | None = None
    told = 0
    for report in guest.reports:
        found, made = (str(report.facts.get(name) or "") for name in ("file_sha256", "file_sha256_made"))
        message = bounded.text_of(str(report.facts.get("message") or ""))
        if found and made and found != made:
            why = "its checksummed file is not what it was"
        elif not found and message and before is not None:
            why = f"its checksummed file cannot be read any more: {message}"
        else:
            if found:
                before, told = report, told + 1
            continue
        began = report.asked_ns if before is None else before.asked_ns
        return GuestFigure(guest.name, "file", Outcome.FAIL, why, count=1, from_ns=began, to_ns=report.told_ns)
    if told < 2:
        return GuestFigure(guest.name, "file", Outcome.UNKNOWN, "no two reports tell the checksum of its file")
    return GuestFigure(guest.name, "file", Outcome.OK, f"the same checksum in {words.plural(told, 'report')}")


def _writes(guest: _Guest) -> GuestFigure:
    noticed = [(pair, beacon.between(pair.before, pair.after)) for pair in guest.pairs]
    writes = sum(each["writes"] for _, each in noticed)
    failed = [(pair, each["write_errors"]) for pair, each in noticed if each["write_errors"] > 0]
    if failed:
        pair, _ = failed[0]
        count = sum(errors for _, errors in failed)
        return _row(
            guest, "writes", Outcome.FAIL, f"{words.plural(count, 'write')} to its disk failed", pair, count=count
        )
    if writes <= 0:
        return GuestFigure(guest.name, "writes", Outcome.UNKNOWN, "no two reports tell of writes to its disk")
    past = "" if any(report.facts.get("direct") for report in guest.reports) else ", through the guest's page cache"
    return GuestFigure(guest.name, "writes", Outcome.OK, f"none of {words.plural(writes, 'write')} failed{past}")


# --- what lasts ------------------------------------------------------------------------------------------------------


def _late(guest: _Guest, history: History, figure: str, what: str) -> GuestFigure:
    """Pauses and stalls: how late, as the guest itself noticed."""
    lost = []
    for pair in guest.pairs:
        noticed = beacon.between(pair.before, pair.after)
        count, longest_ms = noticed[f"{figure}s"], noticed[f"{figure}s_longest_ms"]
        if count > 0:
            told = pair.after.facts.get(f"{figure}_longest_ms") if longest_ms is None else longest_ms
            most = round(told * _MS) if bounded.is_number(told) else None
            lost.append(_Lost(pair, Length(0 if longest_ms is None or most is None else most, most or 0, most), count))
    return _judged(guest, figure, lost, _Allowed(history, figure), what, only_migrating=True)


def _clock(guest: _Guest, history: History) -> GuestFigure:
    """The pauses that a guest cannot notice: its hypervisor stopped its clock with it. Seen while it migrates only."""
    lost = []
    for pair in guest.pairs:
        if pair.migrating:
            low, high = (round(each * 1e9) for each in beacon.stood_still_s(pair.before, pair.after))
            lost.append(_Lost(pair, Length.between(low, high), 1))
    allowed = _Allowed(history, "pause")
    if not lost:
        reason = "no two reports lie around a migration of it"
        return GuestFigure(guest.name, "clock", Outcome.UNKNOWN, reason, budget_ns=allowed.now_ns)
    return _judged(guest, "clock", lost, allowed, "its clock stood still", only_migrating=True)


def _asked(guest: _Guest, history: History, figure: str, who: str) -> GuestFigure:
    lost, asked, failed, ever, what = [], 0, 0, False, ""
    for pair in guest.pairs:
        found = beacon.asks_between(pair.before, pair.after).get(figure)
        if found is None:
            continue
        asked, failed, ever, what = asked + found.asked, failed + found.failed, ever or found.ever, found.what or what
        if found.ever and found.failed > 0:
            low = None if found.at_least_ms is None else round(found.at_least_ms * _MS)
            high = None if found.at_most_ms is None else round(found.at_most_ms * _MS)
            lost.append(_Lost(pair, Length.between(low or 0, high), max(1, found.runs)))
    allowed = _Allowed(history, figure)
    budget_ns = allowed.now_ns
    if not asked:
        none = ": it gave none" if figure == "dns" and any("asks" in report.facts for report in guest.reports) else ""
        reason = f"{who} was not queried from inside{none}"
        return GuestFigure(guest.name, figure, Outcome.UNKNOWN, reason, budget_ns=budget_ns)
    if not ever:
        reason = f"{who} never gave it a good answer, so that nothing could be lost ({words.plural(asked, 'question')})"
        return GuestFigure(guest.name, figure, Outcome.UNKNOWN, reason, budget_ns=budget_ns)
    row = _judged(guest, figure, lost, allowed, f"{who} did not answer", good=f"{who} answered always")
    more = f"; {failed} of {words.plural(asked, 'question')} failed{f' ({what})' if what else ''}"
    return dataclasses.replace(row, reason=f"{row.reason}{more}")


def _peers(guest: _Guest, history: History) -> list[GuestFigure]:
    """East-west: what became of the questions to each other canary of the same network."""
    noticed = [(pair, beacon.between(pair.before, pair.after)["peers"]) for pair in guest.pairs]
    rows = []
    for name in dict.fromkeys(itertools.chain.from_iterable(peers for _, peers in noticed)):
        lost, asked, answered, there, back = [], 0, 0, 0, 0
        for pair, peers in noticed:
            told = peers.get(name)
            if told is None:
                continue
            asked, answered = asked + told["asked"], answered + told["answered"]
            there, back = there + told["lost_there"], back + told["lost_back"]
            silent_ms = _silent_ms(pair.after, name)
            longest = round(max(told["longest_ms"], silent_ms) * _MS)
            if told["gaps"] > 0 or silent_ms:
                lost.append(_Lost(pair, Length.between(longest, longest), told["gaps"] + bool(silent_ms)))
        allowed = _Allowed(history, "peer")
        budget_ns = allowed.now_ns
        figure = f"peer {name}"
        if not answered:
            reason = f"{name} never answered ({words.plural(asked, 'question')})"
            rows.append(GuestFigure(guest.name, figure, Outcome.UNKNOWN, reason, budget_ns=budget_ns))
            continue
        row = _judged(guest, figure, lost, allowed, f"{name} did not answer", good=f"{name} answered always")
        ways = f", {there} lost on the way there and {back} on the way back" if there or back else ""
        rows.append(
            dataclasses.replace(
                row, reason=f"{row.reason}; {answered} of {words.plural(asked, 'question')} were answered{ways}"
            )
        )
    return rows


def _silent_ms(report: beacon.Heard, peer: str) -> float:
    """Return how long a peer had been silent when this was told, if that was a gap already; else 0."""
    peers, limit = report.facts.get("peers"), report.facts.get("gap_limit_ms")
    for each in peers if isinstance(peers, list) else []:
        silent = each.get("silent_ms") if isinstance(each, dict) and each.get("name") == peer else None
        if bounded.is_number(silent) and bounded.is_number(limit) and silent >= limit:
            return float(silent)
    return 0.0


# --- one row ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Allowed:
    """How long a figure may be, by the plan of its time."""

    history: History
    figure: str

    @property
    def now_ns(self) -> int | None:
        """By the plan of the last attempt (ns): None if it does not say."""
        return budgets.guest_ns(plans.last(self.history), self.figure)

    def between(self, pair: Pair) -> list[int | None]:
        """By the plans that were followed from one report to the next (ns): two if it was edited in between."""
        moments = (pair.from_ns, pair.to_ns)
        return list(dict.fromkeys(budgets.guest_ns(plans.at(self.history, at_ns), self.figure) for at_ns in moments))


def _judged(  # noqa: PLR0913 - the last three by keyword
    guest: _Guest,
    figure: str,
    lost: Sequence[_Lost],
    allowed: _Allowed,
    what: str,
    *,
    only_migrating: bool = False,
    good: str = "",
) -> GuestFigure:
    """Return the row of a figure: the worst that was seen, judged if there is a budget for it and it is in its scope."""
    if not guest.pairs:
        return GuestFigure(
            guest.name, figure, Outcome.UNKNOWN, "there are no two reports of one boot", budget_ns=allowed.now_ns
        )
    if not lost:
        reason = good or "none was seen"
        return GuestFigure(guest.name, figure, Outcome.OK, reason, length=NOTHING, count=0, budget_ns=allowed.now_ns)
    judged = [
        (Outcome.OK if only_migrating and not each.pair.migrating else _against(each, allowed.between(each.pair)), each)
        for each in lost
    ]
    outcome, worst = max(judged, key=lambda item: (-item[0].rank, item[1].length, -item[1].pair.from_ns))
    count = sum(each.count for each in lost)
    times = f"{words.number(count)} times, the longest" if count > 1 else "once,"
    known = [each for each in allowed.between(worst.pair) if each is not None]
    budget_ns = min(known, default=None)
    reason = f"{what} {times} for {words.between(worst.length, budget_ns)}"
    if outcome is not Outcome.OK and budget_ns is not None:
        reason += f"; the budget is {words.exactly(budget_ns)}"
    return _row(guest, figure, outcome, reason, worst.pair, length=worst.length, count=count, budget_ns=budget_ns)


def _against(lost: _Lost, allowed: list[int | None]) -> Outcome:
    """Judge against every plan that may have been followed; where they disagree, nobody knows which one counts."""
    found = {Outcome.OK if each is None else lost.length.against(budget_ns=each) for each in allowed}
    return found.pop() if len(found) == 1 else Outcome.UNKNOWN


def _row(  # noqa: PLR0913 - the last three by keyword
    guest: _Guest,
    figure: str,
    outcome: Outcome,
    reason: str,
    pair: Pair,
    *,
    length: Length | None = None,
    count: int = 0,
    budget_ns: int | None = None,
) -> GuestFigure:
    return GuestFigure(
        guest.name, figure, outcome, reason, length, count, pair.from_ns, pair.to_ns, pair.during, budget_ns
    )
