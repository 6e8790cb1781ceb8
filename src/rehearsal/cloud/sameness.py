"""What is the same thing before and after, although it is called differently or was made anew, by plan and not by loss.

Pure functions over the rows of a CloudFacts. An agent keeps its host when that begins to go by its full name (OVS and OVN
do so since 2025.1). A server that its operator moved is where it is. Octavia replaces an amphora by another one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping

Row = dict[str, Any]
BY_HOST = ("agents", "services", "hypervisors")
"""Kinds whose rows are named `WHAT on HOST`, or by the host alone."""
MOVABLE = ("ports", "servers")
OLDER = "read at an older microversion"
"""The key of CloudFacts.facts that maps a kind to why it had to be."""
_AMPHORA = re.compile(r"amphora-.+")
_PORT_OF_AMPHORA = re.compile(r"octavia-lb-vrrp-.+")
_GATEWAY = "OVN Controller Gateway agent"


def same_host(one: str, other: str) -> bool:
    """Return whether two names mean one host: nova and neutron may know by its full name what the inventory calls short."""
    return one == other or (("." in one) != ("." in other) and one.partition(".")[0] == other.partition(".")[0])


def found_again(kind: str, row: Row, after: Iterable[Row]) -> Row | None:
    """Return the row that tells of the same thing afterwards: by its id, else by what it is and the host it is on."""
    rows = list(after)
    same = next((each for each in rows if each["id"] == row["id"]), None)
    if same is not None or kind not in BY_HOST:
        return same
    what, host = what_and_host(str(row["id"]))
    others = [each for each in rows if _is(each, what, host)]
    return others[0] if len(others) == 1 else None


def by_their_old_ids(kind: str, old: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the rows of afterwards under the id that they had before, where that is another one."""
    named = [{**row, "id": str(row.get("id") or row.get("name"))} for row in rows]
    new = dict(zip((row["id"] for row in named), rows, strict=True))
    for key, row in old.items():
        again = None if key in new else found_again(kind, {**row, "id": key}, named)
        if again is not None and again["id"] not in old:
            new[key] = {**new.pop(again["id"]), **{part: row[part] for part in ("id", "name") if part in row}}
    return new


def _is(row: Row, what: str, host: str) -> bool:
    other_what, other_host = what_and_host(str(row["id"]))
    return what == other_what and same_host(host, other_host)


def what_and_host(name: str) -> tuple[str, str]:
    """Return what the id of a row of BY_HOST says: `WHAT on HOST`, or a host alone."""
    what, _, host = name.rpartition(" on ")
    return what.replace(_GATEWAY, "OVN Controller agent"), host


def failed_over(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Return the ids of the amphorae, and of their ports, that octavia replaced: as many new ones came as old ones went."""
    old, new = ({str(row["id"]): row for row in _rows(facts, "servers")} for facts in (before, after))
    gone = {key for key, row in old.items() if key not in new and _AMPHORA.fullmatch(str(row["name"]))}
    came = [row for key, row in new.items() if key not in old and _AMPHORA.fullmatch(str(row["name"]))]
    if not gone or len([row for row in came if row.get("status") == "ACTIVE"]) < len(gone):
        return set()
    ports = {
        str(row["id"])
        for row in _rows(before, "ports")
        if row.get("device") in gone or _PORT_OF_AMPHORA.fullmatch(str(row["name"]))
    }
    return gone | ports


def _rows(facts: Mapping[str, Any], kind: str) -> list[Row]:
    found = facts.get(kind)
    return found if isinstance(found, list) else []
