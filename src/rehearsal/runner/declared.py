"""Which probes a run declares: from the target, its API servers, the canaries and the rates. Numbers are not final.

Every address comes from the operator's own configuration, from keystone's catalog or from HAProxy's configuration; those of
canaries come from the cloud's API when they are made. The prober refuses all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.cloud.addresses import address_of
from rehearsal.cloud.addresses import addresses_of
from rehearsal.cloud.trusted import trust_of
from rehearsal.hosts.backends import GROUPS
from rehearsal.lanes import declare
from rehearsal.lanes import table
from rehearsal.lanes.declare import Where
from rehearsal.lanes.load import Load
from rehearsal.lanes.load import load_of
from rehearsal.lanes.table import Place
from rehearsal.lanes.writes import WRITES
from rehearsal.recording.declarations import INTERFACES
from rehearsal.recording.declarations import PUBLIC
from rehearsal.recording.declarations import USERS_VIP
from rehearsal.recording.declarations import vip_label
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
        for interface in INTERFACES:
            endpoint = target.endpoint(service, interface)
            if endpoint is None:
                continue
            for number, address in enumerate(addresses_of(target, endpoint.url)):
                where = Where(
                    service, endpoint.url, address, vip_label(interface, number), interface, cafile=target.cacert
                )
                specs += declare.shallow_probes(where, rates)
                if where.vip == USERS_VIP and not trust.refusal(endpoint.url):
                    specs += declare.read_probes(where, rates, project_id=project_id)
    return specs


def backend_probes(
    target: Target, servers: Mapping[str, Sequence[Server]], rates: Mapping[str, float]
) -> list[ProbeSpec]:
    """Return the pair of probes of every API server past HAProxy. They explain; what users lose is seen at the VIP."""
    return [
        spec
        for service in sorted(set(servers) & declare.services_known())
        for server in servers[service]
        for spec in declare.shallow_probes(
            Where(service, server.url, server.address, server=server.name, cafile=target.cacert), rates
        )
    ]


def focused(spec: ProbeSpec, rates: Mapping[str, float]) -> float | None:
    """Return how often a probe asks while its service is in focus (Hz); None if the focus does not concern it."""
    return None if spec.canary else rates.get(table.focus(spec.rate))


def migrating(spec: ProbeSpec, rates: Mapping[str, float]) -> float | None:
    """Return how often a probe asks while its guest is migrated (Hz); None: as usual."""
    return rates.get(table.of(spec.lane).migration)


# --- canaries --------------------------------------------------------------------------------------------------------


def canary_probes(canary: Canary, rates: Mapping[str, float]) -> list[ProbeSpec]:
    """Return the probes that reach a canary, for each of its addresses."""
    return [
        spec
        for address in (canary.address, canary.address_v6)
        if address
        for spec in declare.canary_probes(canary.name, address, canary.beacon_port, rates, udp=canary.udp)
    ]


def write_probes(
    target: Target, services: Iterable[str], rates: Mapping[str, float], author: Author, run: str
) -> list[ProbeSpec]:
    """Return the write lane of every API on the public VIP that an ordinary user can write to."""
    specs = []
    for service in sorted(set(services) & set(WRITES)):
        endpoint = target.endpoint(service, PUBLIC)
        address = address_of(target, endpoint.url) if endpoint else ""
        if endpoint is not None and address and not trust_of(target).refusal(endpoint.url):
            where = Where(service, endpoint.url, address, USERS_VIP, PUBLIC, cafile=target.cacert)
            told = {"tag": name_of(run, "write"), "description": description_of(run)}
            who = {"token": WRITER, "user_id": author.user_id, "project_id": author.project_id}
            specs.append(declare.write_probe(where, rates, **told, **who))
    return specs


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
    backends = [
        (service, lane.name, rate)
        for service in services
        for _ in controllers
        for lane in table.at(Place.BACKEND)
        for rate in lane.rates
    ]
    loads = [
        load_declared(specs, rates, focus=focus)
        + load_of((lane, rates[rate.focus if service in focus else rate.name]) for service, lane, rate in backends)
        for focus in {frozenset(), *(plan.focus_of(step) for step in plan.steps)}
    ]
    most = max(loads, key=lambda load: load.samples_per_s)
    if "canaries" in without:
        return most
    count = max(2, len(target.in_group("compute")))
    guest = [(lane, rate) for lane in table.at(Place.GUEST) for rate in lane.rates]
    guests = load_of([(lane.name, rates[rate.name]) for lane, rate in guest] * count)
    writes = load_of((table.WRITE.name, rates[table.WRITE.name]) for service in services if service in WRITES)
    closer = sum(rates[lane.migration] - rates[rate.name] for lane, rate in guest if lane.migration_hz)
    return most + guests + writes + Load(packets_per_s=closer)
