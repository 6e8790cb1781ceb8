"""Which probes an endpoint or a canary gets: lanes, rates and deadlines, as declared data.

Numbers of probes are given by the caller, who knows which are taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any
from urllib.parse import urlsplit

from rehearsal.probe.answers import DEEP
from rehearsal.probe.answers import ISSUE
from rehearsal.probe.answers import SHALLOW
from rehearsal.probe.spec import SECOND_NS
from rehearsal.probe.spec import ProbeSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

SHALLOW_SOFT_NS = 2 * SECOND_NS
DEEP_SOFT_NS = 5 * SECOND_NS
HARD_NS = 10 * SECOND_NS
FAST_NS = SECOND_NS // 10
DEEP_NS = SECOND_NS
ISSUE_NS = 30 * SECOND_NS
ICMP_NS = SECOND_NS // 50
ICMP_MIGRATION_NS = SECOND_NS // 100
ECHO_NS = SECOND_NS // 20


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
    cafile: str = "",
    lane: str = "vip",
    period_ns: int = FAST_NS,
    soft_ns: int = SHALLOW_SOFT_NS,
    deadline_ns: int = HARD_NS,
) -> list[ProbeSpec]:
    """Return the pair of shallow probes, over `new` and over `reused` connections, for one service behind one address.

    `url` is the endpoint of the catalog; only its scheme, host and port count. `lane` is `vip` or `backend`.
    """
    where = vip or lane
    return [
        ProbeSpec(
            probe=next(numbers),
            name=f"{service} {where} {connection}",
            lane=f"{lane}-{connection}",
            service=service,
            target=_root(url) + SHALLOW[service].path,
            period_ns=period_ns,
            deadline_ns=deadline_ns,
            soft_ns=soft_ns,
            vip=vip,
            settings={"address": address, "cafile": cafile},
        )
        for connection in ("new", "reused")
    ]


def deep_probe(  # noqa: PLR0913 - all by keyword
    numbers: Iterator[int],
    *,
    service: str,
    url: str,
    address: str,
    vip: str,
    token: str = "kept",  # noqa: S107 - the name of a token, not a token
    cafile: str = "",
    project_id: str = "",
    period_ns: int = DEEP_NS,
    soft_ns: int = DEEP_SOFT_NS,
    deadline_ns: int = HARD_NS,
) -> ProbeSpec:
    """Return the authenticated read of one service; `token` names the token it carries (`kept` or `fresh`)."""
    return ProbeSpec(
        probe=next(numbers),
        name=f"{service} {vip} deep {token}",
        lane="deep",
        service=service,
        target=_root(url) + DEEP[service].path.replace("{project_id}", project_id),
        period_ns=period_ns,
        deadline_ns=deadline_ns,
        soft_ns=soft_ns,
        vip=vip,
        settings={"address": address, "cafile": cafile, "token": token},
    )


def issue_probe(  # noqa: PLR0913 - all by keyword
    numbers: Iterator[int],
    *,
    url: str,
    address: str,
    vip: str,
    token: str = "fresh",  # noqa: S107 - the name of a token, not a token
    cafile: str = "",
    period_ns: int = ISSUE_NS,
) -> ProbeSpec:
    """Return the probe that lets keystone issue a token, which reads named after `token` then carry."""
    return ProbeSpec(
        probe=next(numbers),
        name=f"keystone {vip} token issue",
        lane="deep",
        service="keystone",
        target=_root(url) + ISSUE.path,
        period_ns=period_ns,
        deadline_ns=HARD_NS,
        soft_ns=DEEP_SOFT_NS,
        vip=vip,
        settings={"address": address, "cafile": cafile, "issues": token},
    )


def canary_probes(  # noqa: PLR0913 - all by keyword
    numbers: Iterator[int],
    *,
    canary: str,
    address: str,
    beacon_port: int,
    icmp_ns: int = ICMP_NS,
    tcp_ns: int = ECHO_NS,
) -> list[ProbeSpec]:
    """Return the probes that reach a canary: ICMP and an established TCP flow to its beacon."""
    common: dict[str, Any] = {"service": "canary", "canary": canary}
    return [
        ProbeSpec(
            probe=next(numbers),
            name=f"{canary} icmp",
            lane="icmp",
            target=address,
            period_ns=icmp_ns,
            deadline_ns=SECOND_NS,
            soft_ns=SECOND_NS,
            settings={"address": address},
            **common,
        ),
        ProbeSpec(
            probe=next(numbers),
            name=f"{canary} tcp",
            lane="tcp",
            target=f"{address} port {beacon_port}",
            period_ns=tcp_ns,
            deadline_ns=HARD_NS,
            soft_ns=SHALLOW_SOFT_NS,
            settings={"address": address, "port": beacon_port},
            **common,
        ),
    ]


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
