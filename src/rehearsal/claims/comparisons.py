"""Claims about before and after: nothing was lost, migrations succeeded, canaries are reachable."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from rehearsal.expectation import Expectation
from rehearsal.expectation import NotObserved

if TYPE_CHECKING:
    from collections.abc import Collection
    from collections.abc import Iterable
    from collections.abc import Mapping

_MOST_NAMED = 10


def nothing_lost(
    kind: str, before: Mapping[str, str], after: Mapping[str, str], expected_changes: Collection[str] = ()
) -> Expectation:
    """Everything that was there is still there in the same state; `before` and `after` map an id to a name with its state.

    Ids in `expected_changes` are the rehearsal's own and may come and go.
    """
    kept = {key: text for key, text in before.items() if key not in expected_changes}
    lost = [f"lost: {text}" for key, text in sorted(kept.items(), key=lambda pair: pair[1]) if key not in after]
    changed = [
        f"{text} became {after[key]}"
        for key, text in sorted(kept.items(), key=lambda pair: pair[1])
        if key in after and after[key] != text
    ]
    wrong = lost + changed
    told = "; ".join(wrong[:_MOST_NAMED]) + (
        f"; and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
    )
    return Expectation(f"{len(kept)} {kind} as before", told or f"{len(kept)} {kind} as before", holds=not wrong)


def migrated(ended: Any | None, began: Any) -> Expectation:
    """The migration completed, the server is on another host, ACTIVE, and was not restarted.

    `began` is a MigrationBegan, `ended` its MigrationEnded or None. Whether its reachability window closed is judged
    from the samples.
    """
    what = f"{began.canary} moved from {began.source}{f' to {began.target}' if began.target else ''}"
    expected = f"{what}: completed, other host, ACTIVE, same boot id"
    if ended is None:
        raise NotObserved(f"{what}: its end was not recorded")
    boot = None if not ended.boot_id_before or not ended.boot_id_after else ended.boot_id_before == ended.boot_id_after
    facts = [
        f"status {ended.status or 'not seen'}",
        f"on {ended.host_after or 'an unknown host'}",
        f"server {ended.server_status or 'not seen'}",
        {None: "boot id not seen", True: "same boot id", False: "another boot id: the server was restarted"}[boot],
    ]
    well = (
        ended.status == "completed"
        and ended.server_status == "ACTIVE"
        and ended.host_after not in {"", began.source}
        and (not began.target or ended.host_after == began.target)
        and boot is not False
    )
    if well and boot is None:
        raise NotObserved(f"{what}: completed, but the boot id was not seen on both sides")
    return Expectation(
        expected,
        ", ".join(facts) + (f" ({ended.detail})" if ended.detail else ""),
        holds=well,
        host=began.source,
        service="nova",
    )


def reachable(canary: str, address: str, heard: str, boot_id: str, error: str) -> Expectation:
    """The canary answers at its address, and it is the same boot of the same server (`heard`: what it said just now)."""
    expected = f"{canary} at {address} answers with boot id {boot_id or 'of any kind'}"
    if error:
        return Expectation(expected, f"no answer: {error}", holds=False, host=canary, service="canary")
    if not boot_id:
        return Expectation(expected, f"answers with boot id {heard}", holds=True, host=canary, service="canary")
    return Expectation(expected, f"answers with boot id {heard}", holds=heard == boot_id, host=canary, service="canary")


def texts(rows: Iterable[Mapping[str, Any]], *keys: str) -> dict[str, str]:
    """Return id -> `name (state, ...)` for rows of API facts; a row without a key says `?` for it."""
    return {
        str(
            row.get("id") or row.get("name")
        ): f"{row.get('name') or row.get('id')} ({', '.join(str(row.get(key, '?')) for key in keys)})"
        for row in rows
    }
