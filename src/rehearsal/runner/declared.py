"""Which probes a run declares: from the target, its API servers, the canaries and the rates. Numbers are not final.

Every address comes from the operator's own configuration, from keystone's catalog or from HAProxy's configuration; those of
canaries come from the cloud's API when they are made. The prober refuses all others.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.cloud.addresses import address_of
from rehearsal.cloud.addresses import addresses_of
from rehearsal.cloud.trusted import trust_of
from rehearsal.hosts.backends import GROUPS
from rehearsal.lanes import declare
from rehearsal.lanes.answers import DEEP
from rehearsal.lanes.load import Load
from rehearsal.lanes.load import load_of
from rehearsal.lanes.rates import FOCUS
from rehearsal.lanes.rates import MIGRATION
from rehearsal.lanes.rates import V6 as RATES_V6
from rehearsal.lanes.rates import period_ns
from rehearsal.lanes.writes import WRITES
from rehearsal.prober.web.writing import write_probe
from rehearsal.recording.declarations import V6
from rehearsal.recording.declarations import family_of
from rehearsal.recording.naming import description_of
from rehearsal.recording.naming import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping
    from collections.abc import Sequence

    from rehearsal.canaries.model import Author
    from rehearsal.canaries.model import Canary
    from rehearsal.cloud.balancer import Server
    from rehearsal.cloud.target import Target
    from rehearsal.lanes.spec import ProbeSpec
    from rehearsal.plan import PlanSpec

KEPT, FRESH = "kept", "fresh"
"""Names of the tokens that reads carry: issued before the run, issued again and again during it."""
WRITER = "writer"
"""The token of the canaries' own user, as whom something is written."""


# --- APIs ------------------------------------------------------------------------------------------------------------


def api_probes(
    target: Target, services: Iterable[str], rates: Mapping[str, float], *, project_id: str = ""
) -> list[ProbeSpec]:
    """Return the probes of every API that the plan watches and the target offers.

    Per service on the public VIP: `new` and `reused`, an authenticated read with a token from before the run and one with
    a fresh token; on the internal VIP each pair. An endpoint with addresses of both families has a pair for each.
    """
    specs: list[ProbeSpec] = []
    trust = trust_of(target)
    for service in sorted(set(services) & declare.services_known()):
        for interface in ("public", "internal"):
            endpoint = target.endpoint(service, interface)
            if endpoint is None:
                continue
            for number, address in enumerate(addresses_of(target, endpoint.url)):
                vip = interface if number == 0 else f"{interface} v6"
                where = {
                    "url": endpoint.url,
                    "address": address,
                    "vip": vip,
                    "interface": interface,
                    "cafile": target.cacert,
                }
                kind = "vip" if interface == "public" else "internal"
                specs += declare.endpoint_probes(
                    itertools.repeat(0),
                    service=service,
                    new_hz=rates[f"{kind}-new"],
                    reused_hz=rates[f"{kind}-reused"],
                    **where,
                )
                if vip == "public" and not trust.refusal(endpoint.url):
                    specs += _reads(service, project_id, where, rates)
    return specs


def _reads(service: str, project_id: str, where: dict[str, Any], rates: Mapping[str, float]) -> list[ProbeSpec]:
    numbers = itertools.repeat(0)
    specs = []
    if service in DEEP:
        specs += [
            declare.deep_probe(numbers, service=service, token=token, project_id=project_id, hz=hz, **where)
            for token, hz in ((KEPT, rates["deep"]), (FRESH, rates["deep-fresh"]))
        ]
    if service == "keystone":
        specs.append(declare.issue_probe(numbers, token=FRESH, hz=rates["token-issue"], **where))
    return specs


def backend_probes(
    target: Target, servers: Mapping[str, Sequence[Server]], rates: Mapping[str, float]
) -> list[ProbeSpec]:
    """Return the pair of probes of every API server past HAProxy. They explain; what users lose is seen at the VIP."""
    return [
        spec
        for service in sorted(set(servers) & declare.services_known())
        for server in servers[service]
        for spec in declare.backend_probes(
            itertools.repeat(0),
            service=service,
            server=server.name,
            url=server.url,
            address=server.address,
            cafile=target.cacert,
            new_hz=rates["backend-new"],
            reused_hz=rates["backend-reused"],
        )
    ]


def focused(spec: ProbeSpec, rates: Mapping[str, float]) -> float | None:
    """Return how often a probe asks while its service is in focus (Hz); None if the focus does not concern it."""
    return rates.get(f"{FOCUS}{_rate_of(spec)}")


def _rate_of(spec: ProbeSpec) -> str:
    """Return the name of the rate with which an API probe asks."""
    if spec.lane in {"vip-new", "vip-reused"} and spec.interface != "public":
        return spec.lane.replace("vip", "internal")
    if spec.lane == "deep" and spec.settings.get("issues"):
        return "token-issue"
    return "deep-fresh" if spec.lane == "deep" and spec.settings.get("token") == FRESH else spec.lane


# --- canaries --------------------------------------------------------------------------------------------------------


def canary_probes(canary: Canary, rates: Mapping[str, float]) -> list[ProbeSpec]:
    """Return the probes that reach a canary, for each of its addresses."""
    specs: list[ProbeSpec] = []
    for address in addresses_of_canary(canary):
        family = RATES_V6 if family_of(address) == V6 else ""
        specs += declare.canary_probes(
            itertools.repeat(0),
            canary=canary.name,
            address=address,
            beacon_port=canary.beacon_port,
            icmp_hz=rates[f"icmp{family}"],
            tcp_hz=rates[f"tcp{family}"],
            udp_hz=rates[f"udp{family}"] if canary.udp else 0.0,
        )
    return specs


def write_probes(
    target: Target, services: Iterable[str], rates: Mapping[str, float], author: Author, run: str
) -> list[ProbeSpec]:
    """Return the write lane of every API on the public VIP that an ordinary user can write to."""
    specs = []
    for service in sorted(set(services) & set(WRITES)):
        endpoint = target.endpoint(service, "public")
        address = address_of(target, endpoint.url) if endpoint else ""
        if endpoint is not None and address and not trust_of(target).refusal(endpoint.url):
            specs.append(
                write_probe(
                    itertools.repeat(0),
                    service=service,
                    url=endpoint.url,
                    address=address,
                    vip="public",
                    token=WRITER,
                    tag=name_of(run, "write"),
                    description=description_of(run),
                    user_id=author.user_id,
                    project_id=author.project_id,
                    cafile=target.cacert,
                    period_ns=period_ns(rates["write"]),
                )
            )
    return specs


def addresses_of_canary(canary: Canary) -> tuple[str, ...]:
    """Return the addresses at which a canary can be reached from outside."""
    return tuple(address for address in (canary.address, canary.address_v6) if address)


# --- addresses -------------------------------------------------------------------------------------------------------


def networks_of(specs: Iterable[ProbeSpec]) -> list[str]:
    """Return the addresses that these probes ask, as networks of one address each, for `Prober.start(allowed=...)`."""
    addresses = sorted({str(spec.settings["address"]) for spec in specs})
    return [f"{address}/{128 if ':' in address else 32}" for address in addresses]


# --- load ------------------------------------------------------------------------------------------------------------


def load_declared(
    specs: Sequence[ProbeSpec], rates: Mapping[str, float], *, focus: frozenset[str] = frozenset()
) -> Load:
    """Return the load of declared probes while some services are in focus."""
    return load_of(
        (spec.lane, hz if spec.service in focus and (hz := focused(spec, rates)) is not None else spec.samples_per_s)
        for spec in specs
    )


def load_planned(plan: PlanSpec, target: Target, rates: Mapping[str, float], *, without: frozenset[str]) -> Load:
    """Return the most that probing this plan can ask of this cloud, before anything was looked up.

    As many API servers as HAProxy can have are counted for each service, a canary on every compute (two at least) with
    both families, the services of the widest focus, and one canary that migrates.
    """
    if "probes" in without:
        return Load()
    specs = api_probes(target, plan.services, rates)
    services = sorted({spec.service for spec in specs})
    controllers = next((found for group in GROUPS if (found := target.in_group(group))), ())
    backends = [(f"backend-{how}", service) for service in services for _ in controllers for how in ("new", "reused")]
    loads = [
        load_declared(specs, rates, focus=focus)
        + load_of((lane, rates[f"{FOCUS}{lane}" if service in focus else lane]) for lane, service in backends)
        for focus in {frozenset(), *(plan.focus_of(step) for step in plan.steps)}
    ]
    most = max(loads, key=lambda load: load.samples_per_s)
    if "canaries" in without:
        return most
    count = max(2, len(target.in_group("compute")))
    lanes_of_one = [(lane, rates[f"{lane}{family}"]) for lane in ("icmp", "tcp", "udp") for family in ("", RATES_V6)]
    guests = load_of(lanes_of_one * count)
    writes = load_of([("write", rates["write"]) for service in services if service in WRITES])
    closer = 2 * rates[f"{MIGRATION}icmp"] - rates["icmp"] - rates[f"icmp{RATES_V6}"]
    return most + guests + writes + Load(packets_per_s=closer)
