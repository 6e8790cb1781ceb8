"""Live migrations of canaries through Nova's API, and everything that was seen of each.

Only canaries are moved. What was seen is recorded and not judged here: success is decided from the record and the
samples. A migration that fails is a fact, not an error of ours: nothing in here raises because of the cloud.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from rehearsal import beacon
from rehearsal.canaries import suitable
from rehearsal.canaries.hearing import console_end
from rehearsal.canaries.hearing import listen
from rehearsal.cloud.connection import CLOUD_ERRORS
from rehearsal.cloud.connection import sentence
from rehearsal.figures import say
from rehearsal.figures.length import Length
from rehearsal.recording.events import MigrationBegan
from rehearsal.recording.events import MigrationEnded

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable
    from collections.abc import Sequence

    from rehearsal.canaries.model import Canary
    from rehearsal.recording.events import Event

    Account = Callable[[str, str], dict[str, str | float]]

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
class _Seen:
    """What Nova said in the course of one migration; times are seconds since it was asked for."""

    series: list[tuple[float, str]]
    servers: list[tuple[float, str]]
    status: str = ""
    server_status: str = ""
    host: str = ""
    instance_name: str = ""
    trouble: str = ""
    ended_s: float | None = None


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
    move: Move,
    record: Callable[[Event], object],
    log: Callable[[str], None],
    *,
    account: Account | None = None,
    timeout_s: float = 300,
) -> MigrationEnded:
    """Make one move and return what was seen at its end. `account`: libvirt's own, of a host and an instance name.

    A migration that is not over after `timeout_s` is asked to stop.
    """
    before = listen(move.canary, record, timeout_s=_BEACON_TIMEOUT_S)
    record(
        MigrationBegan(
            migration=move.id, canary=move.canary.name, server_id=move.canary.server_id, source=move.source,
            target=move.target, occasion=move.occasion,
        )
    )  # fmt: skip
    log(f"live migration of {move.canary.name}: {move.source} to {move.target}")
    began_s = time.monotonic()
    seen = _Seen([], [])
    accepted_s = None
    try:
        known = _known_migrations(connection, move)
        began_s = time.monotonic()
        connection.compute.live_migrate_server(move.canary.server_id, host=move.target, block_migration="auto")
        accepted_s = time.monotonic() - began_s
    except (*CLOUD_ERRORS, ValueError) as error:
        seen.trouble = f"Nova refused: {sentence(error)}"
        _look_at_server(connection, move, seen, 0.0)
    else:
        _follow(connection, move, seen, known=known, began_s=began_s, timeout_s=timeout_s)
    total_s = seen.ended_s if seen.ended_s is not None else time.monotonic() - began_s
    after = _listen_after(move.canary, record, moved=accepted_s is not None)
    facts: dict[str, Any] = {
        "accepted_s": accepted_s,
        "status_series": seen.series,
        "server_series": seen.servers,
        "domain_job": account(seen.host, seen.instance_name) if account and accepted_s is not None else {},
    }
    if before and after and before.boot_id == after.boot_id:
        facts["guest_clock_stood_still_s"] = beacon.stood_still_s(before, after)
        facts["guest_noticed"] = beacon.between(before, after)
    elif before:
        # A guest that died or was booted again says why on its console, and nowhere else.
        facts["console"] = console_end(connection, move.canary.server_id)
    ended = MigrationEnded(
        migration=move.id,
        canary=move.canary.name,
        status=seen.status,
        host_after=seen.host,
        server_status=seen.server_status,
        boot_id_before=before.boot_id if before else "",
        boot_id_after=after.boot_id if after else "",
        total_s=round(total_s, 3),
        detail=seen.trouble,
        facts=facts,
    )
    record(ended)
    log(f"live migration of {move.canary.name}: {told(ended)}")
    return ended


def told(ended: MigrationEnded) -> str:
    """Return what became of a migration in one line for the terminal."""
    parts = [
        f"{ended.status or 'status not seen'} after {say.lasted(ended.total_s)}",
        f"now on {ended.host_after or 'an unknown host'}",
    ]
    stood = ended.facts.get("guest_clock_stood_still_s")
    if stood:
        low, high = (round(max(0.0, each) * say.SECOND) for each in stood)
        parts.append(f"guest stood still for {say.between(Length.between(low, high))}")
    if ended.boot_id_before and ended.boot_id_after and ended.boot_id_before != ended.boot_id_after:
        parts.append("the guest was BOOTED AGAIN")
    if ended.boot_id_before and not ended.boot_id_after:
        parts.append("the guest is SILENT")
    return ", ".join([*parts, *([ended.detail] if ended.detail else [])])


def _follow(  # noqa: PLR0913 - one loop and its clock
    connection: Any, move: Move, seen: _Seen, *, known: set[str], began_s: float, timeout_s: float
) -> None:
    """Poll Nova until the migration is over and the server is settled, or the time is up."""
    for look in itertools.count():
        now_s = round(time.monotonic() - began_s, 3)
        if now_s >= timeout_s:
            break
        _look_at_migration(connection, move, seen, now_s, known)
        over = seen.status in _FINAL
        if (over or look % _SERVER_EVERY == 0) and _look_at_server(connection, move, seen, now_s) and over:
            seen.ended_s = round(time.monotonic() - began_s, 3)
            return
        time.sleep(_POLL_S)
    seen.trouble = seen.trouble or f"it was not over after {say.exact_s(timeout_s)} and was aborted"
    _abort(connection, move)


def _known_migrations(connection: Any, move: Move) -> set[str]:
    """Return the ids of the migrations that the canary has behind it; raises what openstacksdk raises."""
    return {str(each.uuid) for each in connection.compute.migrations(server_id=move.canary.server_id)}


def _look_at_migration(connection: Any, move: Move, seen: _Seen, now_s: float, known: set[str]) -> None:
    """Note the state of the migration that Nova made of our request: the one that was not there before."""
    try:
        found = list(connection.compute.migrations(server_id=move.canary.server_id))
    except CLOUD_ERRORS as error:
        seen.trouble = f"Nova's migrations could not be read: {sentence(error)}"
        return
    ours = next(
        (each for each in found if str(each.uuid) not in known and each.migration_type == "live-migration"), None
    )
    if ours is not None and ours.status != seen.status:
        seen.status = str(ours.status)
        seen.series.append((now_s, seen.status))


def _look_at_server(connection: Any, move: Move, seen: _Seen, now_s: float) -> bool:
    """Note the server's state; return whether nothing is being done to it."""
    try:
        server = connection.compute.get_server(move.canary.server_id)
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


def _listen_after(canary: Canary, record: Callable[[Event], object], *, moved: bool) -> beacon.Heard | None:
    """Ask the beacon until it answers: right after a move the network may still be on its way to the new host."""
    ends_s = time.monotonic() + (_LISTEN_S if moved else 0)
    while True:
        heard = listen(canary, record, timeout_s=_BEACON_TIMEOUT_S)
        if heard is not None or time.monotonic() >= ends_s:
            return heard
        time.sleep(_POLL_S)
