"""What happened on the hosts, as marks on the timeline: a row for a service's containers, one for HAProxy's view of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from rehearsal.report import printed
from rehearsal.report.svg import elements

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.judging.hosts.hostclocks import Happening
    from rehearsal.judging.hosts.unwatched import Unwatched
    from rehearsal.report.svg.elements import Scale

KINDS = {"container": "containers", "proxy": "HAProxy", "port": "port in OVN"}
SHARED = (
    "mariadb",
    "rabbitmq",
    "memcached",
    "haproxy",
    "keepalived",
    "proxysql",
    "openvswitch",
    "ovn_",
    "nova_libvirt",
)
_IN_OVN = {"chassis": "OVN chassis", "gateway": "OVN gateway"}
SHARED_MOST = 14
_LEAST = 2.0  # a restart of 0.3 s in six hours must not vanish
_TIPS_MOST = 400
_STANDING = ("DOWN", "MAINT", "NOLB", "DRAIN", "stopped", "unhealthy", "paused", "left")


def of_group(title: str, happenings: Iterable[Happening]) -> list[tuple[str, list[Happening]]]:
    """Return the rows of marks of one service or canary: label and what happened; only kinds of which something happened."""
    mine = [each for each in happenings if each.service == title or (each.kind == "port" and each.subject == title)]
    rows = ((label, [each for each in mine if each.kind == kind]) for kind, label in KINDS.items())
    return [(label, found) for label, found in rows if found]


def shared(happenings: Iterable[Happening]) -> list[tuple[str, list[Happening]]]:
    """Return a row for each container, address or chassis that services have in common and to which something happened."""
    rows: dict[str, list[Happening]] = {}
    for each in happenings:
        if not each.service and (
            each.kind in {"vip", *_IN_OVN} or (each.kind == "container" and each.subject.startswith(SHARED))
        ):
            rows.setdefault(_IN_OVN.get(each.kind, each.subject), []).append(each)
    return sorted(rows.items())[:SHARED_MOST]


def marks(happenings: Iterable[Happening], y: float, scale: Scale) -> Markup:
    """Return one row of marks around the height y. What lasts (a server that is down) differs from what is over at once."""
    drawn = []
    for number, each in enumerate(happenings):
        left = scale.x(each.from_ns)
        wide = max(_LEAST, scale.x(scale.to_ns if each.to_ns is None else each.to_ns) - left)
        css = "mark down" if each.what.startswith(_STANDING) else "mark"
        drawn.append(elements.box(left, y - 4, wide, 8, css, _tip(each) if number < _TIPS_MOST else ""))
    return Markup("").join(drawn)


def unwatched(gaps: Iterable[Unwatched], y: float, scale: Scale) -> Markup:
    """Return when something of a host was not watched, around the height y."""
    return Markup("").join(
        elements.box(
            scale.x(gap.from_ns),
            y - 4,
            max(_LEAST, scale.x(gap.to_ns) - scale.x(gap.from_ns)),
            8,
            "unwatched",
            f"{gap.host}, {gap.part}: not watched for {printed.duration(gap.to_ns - gap.from_ns)}: {gap.why}",
        )
        for gap in list(gaps)[:_TIPS_MOST]
    )


def _tip(each: Happening) -> str:
    took = "end not seen" if each.to_ns is None else printed.duration(each.to_ns - each.from_ns)
    where = f" on {each.host}" if each.host else ""
    detail = f", {each.detail}" if each.detail else ""
    return f"{each.subject}{where}: {each.what}, {took}{detail}"
