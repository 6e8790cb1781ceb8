"""Live migrations of canaries through Nova's API, and everything that was seen of each.

Only canaries are moved. What was seen is recorded and not judged here: success is decided from the record and the
samples. A migration that fails is a fact, not an error of ours: nothing in here raises because of the cloud.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any

from rehearsal import beacon
from rehearsal import domainjob
from rehearsal import suitable
from rehearsal.canary import console_end
from rehearsal.canary import listen
from rehearsal.cloud import CLOUD_ERRORS
from rehearsal.cloud import sentence
from rehearsal.events import MigrationBegan
from rehearsal.events import MigrationEnded

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable
    from collections.abc import Sequence

    from rehearsal.canary import Canary
    from rehearsal.events import Event
    from rehearsal.target import Target

_POLL_S = 0.5
_SERVER_EVERY = 4
"""While it moves, the server itself is asked at every fourth look only: each question costs Nova as much as the move's state."""
_FINAL = frozenset({"completed", "done", "finished", "failed", "error", "cancelled", "aborted"})
_LISTEN_S = 30.0
_BEACON_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Move:
    """A migration to make: `id` is unique in the run, `target` is a compute host."""

    id: str
    canary: Canary
    source: str
    target: str
    occasion: str


@dataclass(slots=True)
class _UnderWay:
    """A migration in its course, and what Nova said of it; times are seconds since it was asked for."""

    move: Move
    before: beacon.Heard | None
    began_s: float  # on the monotonic clock
    known: set[str] = field(default_factory=set)
    accepted_s: float | None = None
    looks: int = 0
    series: list[tuple[float, str]] = field(default_factory=list)
    servers: list[tuple[float, str]] = field(default_factory=list)
    status: str = ""
    server_status: str = ""
    host: str = ""
    instance_name: str = ""
    trouble: str = ""
    ended_s: float | None = None
    given_up: bool = False
    total_s: float = 0.0
    listens_until_s: float | None = None
    after: beacon.Heard | None = None

    @property
    def lasts_s(self) -> float:
        """How long ago it was asked for."""
        return round(time.monotonic() - self.began_s, 3)


def plan_moves(
    connection: Any, canaries: Iterable[Canary], occasion: str, number: int = 1
) -> tuple[list[Move], dict[str, str]]:
    """Return one move for each canary, to the next usable host after its own, and why the others get none.

    `number` is that of the first id; a run that goes on gives the next one.
    """
    moves: list[Move] = []
    unmoved: dict[str, str] = {}
    try:
        hosts, _ = suitable.computes(connection.compute.services(binary="nova-compute"))
    except CLOUD_ERRORS as error:
        reason = f"Nova does not say which computes there are: {sentence(error)}"
        return moves, {canary.name: reason for canary in canaries}
    for canary in canaries:
        try:
            source = str(connection.compute.get_server(canary.server_id).compute_host or "")
        except CLOUD_ERRORS as error:
            unmoved[canary.name] = f"{canary.name} was not found: {sentence(error)}"
            continue
        target = next_host(hosts, source)
        if target:
            moves.append(Move(f"{occasion}-{number + len(moves)}-{canary.name}", canary, source, target, occasion))
        else:
            unmoved[canary.name] = f"{canary.name} has nowhere to go: no other compute than {source} is up and enabled"
    return moves, unmoved


def next_host(hosts: Sequence[str], source: str) -> str:
    """Return the host after `source` in a circle, or an empty string if there is no other."""
    others = [host for host in sorted(hosts) if host != source]
    return next((host for host in others if host > source), others[0] if others else "")


def migrate(  # noqa: PLR0913 - the last two by keyword
    connection: Any,
    moves: Iterable[Move],
    record: Callable[[Event], object],
    log: Callable[[str], None],
    *,
    target: Target | None = None,
    timeout_s: float = 300,
) -> list[MigrationEnded]:
    """Make moves at the same time and return what was seen at the end of each. `target` is asked by SSH for libvirt's account.

    A migration that is not over after `timeout_s` is asked to stop.
    """
    ended: list[MigrationEnded] = []
    under_way = [_begin(connection, move, record, log) for move in moves]
    while under_way:
        for each in list(under_way):
            if each.ended_s is None and not each.given_up:
                _look(connection, each, timeout_s)
            elif _has_answered(each, record):
                ended.append(_end(connection, each, record, log, target))
                under_way.remove(each)
        if under_way:
            time.sleep(_POLL_S)
    return ended


def _begin(connection: Any, move: Move, record: Callable[[Event], object], log: Callable[[str], None]) -> _UnderWay:
    before = listen(move.canary, record, timeout_s=_BEACON_TIMEOUT_S)
    record(
        MigrationBegan(
            migration=move.id, canary=move.canary.name, server_id=move.canary.server_id, source=move.source,
            target=move.target, occasion=move.occasion,
        )
    )  # fmt: skip
    log(f"live migration of {move.canary.name}: {move.source} to {move.target}")
    each = _UnderWay(move, before, time.monotonic())
    try:
        each.known = _known_migrations(connection, move)
        each.began_s = time.monotonic()
        connection.compute.live_migrate_server(move.canary.server_id, host=move.target, block_migration="auto")
        each.accepted_s = each.lasts_s
    except (*CLOUD_ERRORS, ValueError) as error:
        each.trouble = f"Nova refused: {sentence(error)}"
        _look_at_server(connection, each, 0.0)
        each.given_up = True
    return each


def _look(connection: Any, each: _UnderWay, timeout_s: float) -> None:
    """Look once at a migration that is under way; note its end, or that its time is up."""
    now_s = each.lasts_s
    if now_s >= timeout_s:
        each.trouble = each.trouble or f"it was not over after {timeout_s:g} s and was asked to stop"
        each.given_up = True
        _abort(connection, each.move)
        return
    _look_at_migration(connection, each, now_s)
    over = each.status in _FINAL
    if (over or each.looks % _SERVER_EVERY == 0) and _look_at_server(connection, each, now_s) and over:
        each.ended_s = each.lasts_s
    each.looks += 1


def _has_answered(each: _UnderWay, record: Callable[[Event], object]) -> bool:
    """Ask the beacon once: after a move the network may still be on its way. Return whether it is not to be asked again."""
    if each.listens_until_s is None:
        each.total_s = each.lasts_s if each.ended_s is None else each.ended_s
        each.listens_until_s = time.monotonic() + (_LISTEN_S if each.accepted_s is not None else 0)
    each.after = listen(each.move.canary, record, timeout_s=_BEACON_TIMEOUT_S)
    return each.after is not None or time.monotonic() >= each.listens_until_s


def _end(
    connection: Any,
    each: _UnderWay,
    record: Callable[[Event], object],
    log: Callable[[str], None],
    target: Target | None,
) -> MigrationEnded:
    before, after = each.before, each.after
    asked = target is not None and each.accepted_s is not None
    facts: dict[str, Any] = {
        "accepted_s": each.accepted_s,
        "status_series": each.series,
        "server_series": each.servers,
        "domain_job": domainjob.completed(target, each.host, each.instance_name) if target and asked else {},
    }
    if before and after and before.boot_id == after.boot_id:
        facts["guest_clock_stood_still_s"] = beacon.stood_still_s(before, after)
        facts["guest_noticed"] = beacon.between(before, after)
    elif before:
        # A guest that died or was booted again says why on its console, and nowhere else.
        facts["console"] = console_end(connection, each.move.canary.server_id)
    ended = MigrationEnded(
        migration=each.move.id,
        canary=each.move.canary.name,
        status=each.status,
        host_after=each.host,
        server_status=each.server_status,
        boot_id_before=before.boot_id if before else "",
        boot_id_after=after.boot_id if after else "",
        total_s=each.total_s,
        detail=each.trouble,
        facts=facts,
    )
    record(ended)
    log(f"live migration of {each.move.canary.name}: {told(ended)}")
    return ended


def told(ended: MigrationEnded) -> str:
    """Return what became of a migration in one line for the terminal."""
    parts = [
        f"{ended.status or 'status not seen'} after {ended.total_s:.1f} s",
        f"now on {ended.host_after or 'an unknown host'}",
    ]
    stood = ended.facts.get("guest_clock_stood_still_s")
    if stood:
        parts.append(f"guest stood still for {stood[0] * 1000:.0f} to {stood[1] * 1000:.0f} ms")
    if ended.boot_id_before and ended.boot_id_after and ended.boot_id_before != ended.boot_id_after:
        parts.append("the guest was BOOTED AGAIN")
    if ended.boot_id_before and not ended.boot_id_after:
        parts.append("the guest is SILENT")
    return ", ".join([*parts, *([ended.detail] if ended.detail else [])])


def _known_migrations(connection: Any, move: Move) -> set[str]:
    """Return the ids of the migrations that the canary has behind it; raises what openstacksdk raises."""
    return {str(each.uuid) for each in connection.compute.migrations(server_id=move.canary.server_id)}


def _look_at_migration(connection: Any, seen: _UnderWay, now_s: float) -> None:
    """Note the state of the migration that Nova made of our request: the one that was not there before."""
    try:
        found = list(connection.compute.migrations(server_id=seen.move.canary.server_id))
    except CLOUD_ERRORS as error:
        seen.trouble = f"Nova's migrations could not be read: {sentence(error)}"
        return
    ours = next(
        (each for each in found if str(each.uuid) not in seen.known and each.migration_type == "live-migration"), None
    )
    if ours is not None and ours.status != seen.status:
        seen.status = str(ours.status)
        seen.series.append((now_s, seen.status))


def _look_at_server(connection: Any, seen: _UnderWay, now_s: float) -> bool:
    """Note the server's state; return whether nothing is being done to it."""
    try:
        server = connection.compute.get_server(seen.move.canary.server_id)
    except CLOUD_ERRORS as error:
        seen.trouble = f"the server could not be read: {sentence(error)}"
        return False
    seen.server_status = str(server.status)
    seen.host = str(server.compute_host or "")
    seen.instance_name = str(server.instance_name or "")
    state = f"{server.status}{f' ({server.task_state})' if server.task_state else ''} on {seen.host}"
    if not seen.servers or seen.servers[-1][1] != state:
        seen.servers.append((now_s, state))
    return not server.task_state and server.status != "MIGRATING"


def _abort(connection: Any, move: Move) -> None:
    try:
        for each in connection.compute.server_migrations(move.canary.server_id):
            connection.compute.abort_server_migration(each, move.canary.server_id, ignore_missing=True)
    except CLOUD_ERRORS:
        return  # it cannot be stopped: what becomes of it is seen by the check after it
