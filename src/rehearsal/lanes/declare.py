"""Which probes an endpoint, an API server behind it or a canary gets: one for each lane of the table that asks there.

Numbers of probes are given by the caller, who knows which are taken. A probe whose packets go to an IPv6 address says so
in its name (`… v6`).
"""

from __future__ import annotations

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
    from collections.abc import Iterator
    from collections.abc import Mapping

    from rehearsal.lanes.table import Lane
    from rehearsal.lanes.table import Rate

KEPT, FRESH = "kept", "fresh"
"""Names of the tokens that reads carry: issued before the run, issued again and again during it."""
_SETTLING_HARD_S = 60.0


def services_known() -> frozenset[str]:
    """Return the services for which good answers are declared."""
    return frozenset(SHALLOW) - {"prober"}


def endpoint_probes(  # noqa: PLR0913 - all by keyword
    numbers: Iterator[int],
    *,
    service: str,
    url: str,
    address: str,
    vip: str,
    interface: str = "",
    cafile: str = "",
    rates: Mapping[str, float] = AS_USUAL,
) -> list[ProbeSpec]:
    """Return the shallow probes, over new and over kept connections, for one service at one VIP.

    `url` is the endpoint of the catalog; only its scheme, host and port count.
    """
    settings = {"address": address, "cafile": cafile}
    return [
        _spec(next(numbers), lane, lane.rate(interface), rates, name=f"{service} {vip} {lane.called}", service=service,
              target=_root(url) + SHALLOW[service].path, vip=vip, interface=interface, settings=settings)
        for lane in table.asking(Place.VIP, Asks.ROOT)
    ]  # fmt: skip


def backend_probes(  # noqa: PLR0913 - all by keyword
    numbers: Iterator[int],
    *,
    service: str,
    server: str,
    url: str,
    address: str,
    cafile: str = "",
    rates: Mapping[str, float] = AS_USUAL,
) -> list[ProbeSpec]:
    """Return the shallow probes that ask one API server past HAProxy; `server` is HAProxy's name for it."""
    settings = {"address": address, "cafile": cafile}
    return [
        _spec(next(numbers), lane, lane.rate(), rates, name=f"{service} backend {server} {lane.called}",
              service=service, target=_root(url) + SHALLOW[service].path, server=server, settings=settings)
        for lane in table.asking(Place.BACKEND, Asks.ROOT)
    ]  # fmt: skip


def deep_probe(  # noqa: PLR0913 - all by keyword
    numbers: Iterator[int],
    *,
    service: str,
    url: str,
    address: str,
    vip: str,
    interface: str = "",
    token: str = KEPT,
    cafile: str = "",
    project_id: str = "",
    rates: Mapping[str, float] = AS_USUAL,
) -> ProbeSpec:
    """Return the authenticated read of one service; `token` names the token it carries (`kept` or `fresh`)."""
    lane = table.DEEP
    return _spec(
        next(numbers), lane, lane.rate(token), rates, name=f"{service} {vip} {lane.called} {token}", service=service,
        target=_root(url) + DEEP[service].path.replace("{project_id}", project_id), vip=vip, interface=interface,
        settings={"address": address, "cafile": cafile, "token": token},
    )  # fmt: skip


def issue_probe(  # noqa: PLR0913 - all by keyword
    numbers: Iterator[int],
    *,
    url: str,
    address: str,
    vip: str,
    interface: str = "",
    token: str = FRESH,
    cafile: str = "",
    rates: Mapping[str, float] = AS_USUAL,
) -> ProbeSpec:
    """Return the probe that lets keystone issue a token, which reads named after `token` then carry."""
    return _spec(
        next(numbers), table.DEEP, table.DEEP.rate("issue"), rates, name=f"{ISSUER} {vip} token issue",
        service=ISSUER, target=_root(url) + ISSUE.path, vip=vip, interface=interface,
        settings={"address": address, "cafile": cafile, "issues": token},
    )  # fmt: skip


def write_probe(  # noqa: PLR0913 - all by keyword
    numbers: Iterator[int],
    *,
    service: str,
    url: str,
    address: str,
    vip: str,
    token: str,
    tag: str,
    description: str,
    user_id: str,
    project_id: str,
    interface: str = "public",
    cafile: str = "",
    rates: Mapping[str, float] = AS_USUAL,
) -> ProbeSpec:
    """Return the write lane of one service at one VIP. `tag` begins the names of all that it makes."""
    write, lane = WRITES[service], table.WRITE
    return _spec(
        next(numbers), lane, lane.rate(), rates, name=f"{service} {vip} {lane.called}", service=service,
        target=_root(url) + write.create.path.format(project_id=project_id), vip=vip, interface=interface,
        hard_s=_SETTLING_HARD_S if write.settling else lane.hard_s,
        settings={
            "address": address, "cafile": cafile, "token": token, "tag": tag, "description": description,
            "user_id": user_id, "project_id": project_id,
        },
    )  # fmt: skip


def canary_probes(  # noqa: PLR0913 - all by keyword
    numbers: Iterator[int],
    *,
    canary: str,
    address: str,
    beacon_port: int,
    udp: bool = False,
    rates: Mapping[str, float] = AS_USUAL,
) -> list[ProbeSpec]:
    """Return the probes that reach a canary at one of its addresses: pings, and an established TCP flow to its beacon.

    With `udp`, datagrams as well, for a beacon that echoes and counts them.
    """
    echo: dict[str, Any] = {"address": address, "port": beacon_port}
    return [
        _spec(
            next(numbers), lane, lane.rate(family_of(address)), rates, name=f"{canary} {lane.called}", service="canary",
            canary=canary, target=f"{address} port {beacon_port}" if lane.has_port else address,
            settings=echo if lane.has_port else {"address": address},
        )
        for lane in table.asking(Place.GUEST, Asks.ECHO)
        if udp or lane.transport is not Transport.UDP
    ]  # fmt: skip


def _spec(  # noqa: PLR0913 - all but the first by keyword or of one kind
    probe: int, lane: Lane, rate: Rate, rates: Mapping[str, float], *, name: str, hard_s: float | None = None, **of: Any
) -> ProbeSpec:
    is_v6 = family_of(of["settings"]["address"]) == V6
    return ProbeSpec(
        probe=probe,
        name=f"{name} {V6}" if is_v6 and f" {V6} " not in f"{name} " else name,
        lane=lane.name,
        rate=rate.name,
        period_ns=period_ns(rates[rate.name]),
        soft_ns=round(lane.soft_s * SECOND_NS),
        deadline_ns=round((lane.hard_s if hard_s is None else hard_s) * SECOND_NS),
        **of,
    )


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
