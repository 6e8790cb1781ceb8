"""Which probes an endpoint, an API server behind it or a canary gets: one for each lane of the table that asks there.

Their number is 0 until whoever declares them gives them theirs. A probe whose packets go to an IPv6 address says so
in its name (`… v6`).
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any
from urllib.parse import urlsplit

from rehearsal.lanes import table
from rehearsal.lanes.answers import DEEP
from rehearsal.lanes.answers import ISSUE
from rehearsal.lanes.answers import ISSUER
from rehearsal.lanes.answers import SHALLOW
from rehearsal.lanes.rates import AS_USUAL
from rehearsal.lanes.rates import period_ns
from rehearsal.lanes.spec import SECOND_NS
from rehearsal.lanes.spec import ProbeSpec
from rehearsal.lanes.table import Asks
from rehearsal.lanes.table import Place
from rehearsal.lanes.table import Transport
from rehearsal.lanes.writes import WRITES
from rehearsal.recording.declarations import V6
from rehearsal.recording.declarations import family_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rehearsal.lanes.table import Lane
    from rehearsal.lanes.table import Rate

KEPT, FRESH = "kept", "fresh"
"""Names of the tokens that reads carry: issued before the run, issued again and again during it."""
_SETTLING_NS = 60 * SECOND_NS


def services_known() -> frozenset[str]:
    """Return the services for which good answers are declared."""
    return frozenset(SHALLOW) - {"prober"}


@dataclass(frozen=True, slots=True)
class Where:
    """Where a service is asked: the catalog's endpoint `url` (scheme, host and port count), and the address behind its name.

    At one of its VIPs and interfaces; or past HAProxy, at the `server` of that name.
    """

    service: str
    url: str
    address: str
    vip: str = ""
    interface: str = ""
    server: str = ""
    cafile: str = ""


def shallow_probes(where: Where, rates: Mapping[str, float] = AS_USUAL) -> list[ProbeSpec]:
    """Return the probes that carry no token, over new and over kept connections."""
    place = Place.BACKEND if where.server else Place.VIP
    lanes = [lane for lane in table.at(place) if lane.asks is Asks.ROOT]
    path = SHALLOW[where.service].path
    return [_web(lane, lane.rate(where.interface), rates, where, path) for lane in lanes]


def read_probes(where: Where, rates: Mapping[str, float] = AS_USUAL, *, project_id: str = "") -> list[ProbeSpec]:
    """Return the authenticated reads, with the kept and with the fresh token; and at keystone what lets it issue that."""
    lane, probes = table.DEEP, []
    if where.service in DEEP:
        path = DEEP[where.service].path.replace("{project_id}", project_id)
        probes += [
            _web(lane, lane.rate(token), rates, where, path, called=f"{lane.called} {token}", token=token)
            for token in (KEPT, FRESH)
        ]
    if where.service == ISSUER:
        probes.append(_web(lane, lane.rate("issue"), rates, where, ISSUE.path, called="token issue", issues=FRESH))
    return probes


def write_probe(where: Where, rates: Mapping[str, float] = AS_USUAL, **settings: str) -> ProbeSpec:
    """Return the write lane. `settings`: token, tag, description, user_id, project_id (see `ProbeSpec`)."""
    write, lane = WRITES[where.service], table.WRITE
    path = write.create.path.format(project_id=settings["project_id"])
    spec = _web(lane, lane.rate(), rates, where, path, **settings)
    return replace(spec, deadline_ns=_SETTLING_NS) if write.settling else spec


def _web(  # noqa: PLR0913, PLR0917 - what a probe is made of
    lane: Lane,
    rate: Rate,
    rates: Mapping[str, float],
    where: Where,
    path: str,
    called: str = "",
    **settings: str,
) -> ProbeSpec:
    parts = urlsplit(where.url)
    place = f"backend {where.server}" if where.server else where.vip
    return _spec(
        lane, rate, rates, name=f"{where.service} {place} {called or lane.called}", service=where.service,
        target=f"{parts.scheme}://{parts.netloc}{path}", vip=where.vip, interface=where.interface, server=where.server,
        settings={"address": where.address, "cafile": where.cafile, **settings},
    )  # fmt: skip


def canary_probes(
    canary: str, address: str, beacon_port: int, rates: Mapping[str, float] = AS_USUAL, *, udp: bool = False
) -> list[ProbeSpec]:
    """Return the probes that reach a canary at one of its addresses: pings, and an established TCP flow to its beacon.

    With `udp`, datagrams as well, for a beacon that echoes and counts them.
    """
    echo: dict[str, Any] = {"address": address, "port": beacon_port}
    return [
        _spec(
            lane, lane.rate(family_of(address)), rates, name=f"{canary} {lane.called}", service="canary",
            canary=canary, target=f"{address} port {beacon_port}" if lane.has_port else address,
            settings=echo if lane.has_port else {"address": address},
        )
        for lane in table.at(Place.GUEST)
        if udp or lane.transport is not Transport.UDP
    ]  # fmt: skip


def _spec(lane: Lane, rate: Rate, rates: Mapping[str, float], *, name: str, **of: Any) -> ProbeSpec:
    is_v6 = family_of(of["settings"]["address"]) == V6
    return ProbeSpec(
        probe=0,
        name=f"{name} {V6}" if is_v6 and f" {V6} " not in f"{name} " else name,
        lane=lane.name,
        rate=rate.name,
        period_ns=period_ns(rates[rate.name]),
        soft_ns=round(lane.soft_s * SECOND_NS),
        deadline_ns=round(lane.hard_s * SECOND_NS),
        **of,
    )
