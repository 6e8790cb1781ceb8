"""What happened on the hosts during the run: facts of the witness, brought onto one clock. They are what a cause can be."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from rehearsal.judging import plans
from rehearsal.judging.hosts.containerevents import of_containers
from rehearsal.judging.hosts.hostclocks import HostClocks
from rehearsal.judging.hosts.traffic import of_addresses
from rehearsal.judging.hosts.traffic import of_chassis
from rehearsal.judging.hosts.traffic import of_gateways
from rehearsal.judging.hosts.traffic import of_ports
from rehearsal.judging.hosts.traffic import of_proxies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.judging.hosts.hostclocks import Happening
    from rehearsal.recording.history import History

_MOST = 5_000


def happenings_of(history: History) -> list[Happening]:
    """Return everything that happened on the hosts, in order of time; of more than _MOST, those of the plan's services."""
    clocks = HostClocks(history)
    services = plans.services(history)
    found = [
        *of_containers(history, clocks),
        *of_proxies(history, clocks),
        *of_addresses(history, clocks),
        *of_ports(history, clocks),
        *of_gateways(history, clocks),
        *of_chassis(history, clocks),
    ]
    found = [dataclasses.replace(each, service=service_of(each, services)) for each in found]
    if len(found) > _MOST:
        found = sorted(found, key=lambda each: not each.service)[:_MOST]
    return sorted(found, key=lambda each: (each.from_ns, each.host, each.subject))


def service_of(happening: Happening, services: Iterable[str]) -> str:
    """Return the service that a container or an HAProxy backend belongs to by its name; empty if to none of these."""
    if happening.kind not in {"container", "proxy"}:
        return ""
    name = happening.subject.partition("/")[0]
    mine = [service for service in services if name == service or name.startswith((f"{service}_", f"{service}-"))]
    return max(mine, key=len, default="")
