"""Which probes an endpoint, an API server behind it or a canary gets: lanes and deadlines, as declared data.

Numbers of probes are given by the caller, who knows which are taken; how often a lane asks is in `rates`. A probe whose
packets go to an IPv6 address says so in its name (`… v6`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any
from urllib.parse import urlsplit

from rehearsal.lanes.answers import DEEP
from rehearsal.lanes.answers import ISSUE
from rehearsal.lanes.answers import SHALLOW
from rehearsal.lanes.rates import USUAL
from rehearsal.lanes.rates import period_ns as period_of
from rehearsal.lanes.spec import SECOND_NS
from rehearsal.lanes.spec import ProbeSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

SHALLOW_SOFT_NS = 2 * SECOND_NS
DEEP_SOFT_NS = 5 * SECOND_NS
HARD_NS = 20 * SECOND_NS
"""HAProxy gives up on a backend that is switched off after 10 s and asks another: what is answered then is late, not lost."""
ECHO_HARD_NS = 10 * SECOND_NS


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
    new_hz: float = USUAL["vip-new"].hz,
    reused_hz: float = USUAL["vip-reused"].hz,
) -> list[ProbeSpec]:
    """Return the pair of shallow probes, over `new` and over `reused` connections, for one service at one VIP.

    `url` is the endpoint of the catalog; only its scheme, host and port count.
    """
    where = {"vip": vip, "interface": interface}
    return _pair(numbers, "vip", service, vip, url, address, cafile, {"new": new_hz, "reused": reused_hz}, where)


def backend_probes(  # noqa: PLR0913 - all by keyword
    numbers: Iterator[int],
    *,
    service: str,
    server: str,
    url: str,
    address: str,
    cafile: str = "",
    new_hz: float = USUAL["backend-new"].hz,
    reused_hz: float = USUAL["backend-reused"].hz,
) -> list[ProbeSpec]:
    """Return the pair of shallow probes that ask one API server past HAProxy; `server` is HAProxy's name for it."""
    rates = {"new": new_hz, "reused": reused_hz}
    return _pair(numbers, "backend", service, f"backend {server}", url, address, cafile, rates, {"server": server})


def _pair(  # noqa: PLR0913, PLR0917 - the facts of two probes
    numbers: Iterator[int],
    lane: str,
    service: str,
    where: str,
    url: str,
    address: str,
    cafile: str,
    rates: dict[str, float],
    asked: dict[str, str],
) -> list[ProbeSpec]:
    return [
        _web(
            next(numbers),
            name=f"{service} {where} {connection}",
            lane=f"{lane}-{connection}",
            service=service,
            target=_root(url) + SHALLOW[service].path,
            hz=hz,
            soft_ns=SHALLOW_SOFT_NS,
            settings={"address": address, "cafile": cafile},
            **asked,
        )
        for connection, hz in rates.items()
    ]


def deep_probe(  # noqa: PLR0913 - all by keyword
    numbers: Iterator[int],
    *,
    service: str,
    url: str,
    address: str,
    vip: str,
    interface: str = "",
    token: str = "kept",  # noqa: S107 - the name of a token, not a token
    cafile: str = "",
    project_id: str = "",
    hz: float = USUAL["deep"].hz,
) -> ProbeSpec:
    """Return the authenticated read of one service; `token` names the token it carries (`kept` or `fresh`)."""
    return _web(
        next(numbers),
        name=f"{service} {vip} deep {token}",
        lane="deep",
        service=service,
        target=_root(url) + DEEP[service].path.replace("{project_id}", project_id),
        hz=hz,
        soft_ns=DEEP_SOFT_NS,
        vip=vip,
        interface=interface,
        settings={"address": address, "cafile": cafile, "token": token},
    )


def issue_probe(  # noqa: PLR0913 - all by keyword
    numbers: Iterator[int],
    *,
    url: str,
    address: str,
    vip: str,
    interface: str = "",
    token: str = "fresh",  # noqa: S107 - the name of a token, not a token
    cafile: str = "",
    hz: float = USUAL["token-issue"].hz,
) -> ProbeSpec:
    """Return the probe that lets keystone issue a token, which reads named after `token` then carry."""
    return _web(
        next(numbers),
        name=f"keystone {vip} token issue",
        lane="deep",
        service="keystone",
        target=_root(url) + ISSUE.path,
        hz=hz,
        soft_ns=DEEP_SOFT_NS,
        vip=vip,
        interface=interface,
        settings={"address": address, "cafile": cafile, "issues": token},
    )


def _web(probe: int, *, name: str, hz: float, settings: dict[str, Any], **fields: Any) -> ProbeSpec:
    return ProbeSpec(
        probe=probe,
        name=_named(name, settings["address"]),
        period_ns=period_of(hz),
        deadline_ns=HARD_NS,
        settings=settings,
        **fields,
    )


def canary_probes(  # noqa: PLR0913 - all by keyword
    numbers: Iterator[int],
    *,
    canary: str,
    address: str,
    beacon_port: int,
    icmp_hz: float = USUAL["icmp"].hz,
    tcp_hz: float = USUAL["tcp"].hz,
    udp_hz: float = 0.0,
) -> list[ProbeSpec]:
    """Return the probes that reach a canary at one of its addresses: ICMP and an established TCP flow to its beacon.

    With `udp_hz`, datagrams as well, for a beacon that echoes and counts them.
    """
    echo: dict[str, Any] = {"address": address, "port": beacon_port}
    place = f"{address} port {beacon_port}"
    lanes = [
        ("icmp", icmp_hz, address, {"address": address}, SECOND_NS, SECOND_NS),
        ("tcp", tcp_hz, place, echo, ECHO_HARD_NS, SHALLOW_SOFT_NS),
        ("udp", udp_hz, place, echo, SECOND_NS, SECOND_NS),
    ]
    return [
        ProbeSpec(
            probe=next(numbers),
            name=_named(f"{canary} {lane}", address),
            lane=lane,
            service="canary",
            canary=canary,
            target=target,
            period_ns=period_of(hz),
            deadline_ns=deadline_ns,
            soft_ns=soft_ns,
            settings=settings,
        )
        for lane, hz, target, settings, deadline_ns, soft_ns in lanes
        if hz
    ]


def _named(name: str, address: str) -> str:
    return f"{name} v6" if ":" in address and " v6 " not in f"{name} " else name


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
