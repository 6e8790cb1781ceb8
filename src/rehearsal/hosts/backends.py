"""The API servers behind HAProxy, read from HAProxy's own configuration on a host: never guessed.

What cannot be found is said: then there is no lane past HAProxy, and the report does not claim one.
"""

from __future__ import annotations

import contextlib
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rehearsal.cloud import balancer
from rehearsal.cloud.addresses import address_of
from rehearsal.figures import say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.cloud.balancer import Section
    from rehearsal.cloud.balancer import Server
    from rehearsal.cloud.target import Target
    from rehearsal.hosts.ssh import Ssh

GROUPS = ("loadbalancer", "haproxy", "control")
"""Where HAProxy runs: kolla's group, its older name, and where OSISM puts it."""
_READ = "sudo -n sh -c 'cat /etc/kolla/haproxy/haproxy.cfg && cat /etc/kolla/haproxy/services.d/*.cfg'"
_LOOK_S = 20.0


@dataclass(frozen=True, slots=True)
class Backends:
    """The servers of each service, and one sentence for everything that could not be found."""

    servers: dict[str, tuple[Server, ...]]
    missing: tuple[str, ...] = ()


def find(target: Target, services: Iterable[str], ssh: Ssh) -> Backends:
    """Return the API servers behind HAProxy of each service."""
    wanted = sorted(services)
    sections, why = _sections(target, ssh)
    if not sections:
        return Backends({}, (f"No API server is probed past HAProxy: {why}.",))
    return behind(sections, target, wanted)


def behind(sections: tuple[Section, ...], target: Target, services: Iterable[str]) -> Backends:
    """Return the API servers that a configuration of HAProxy names for each service, at the internal VIP or the public one."""
    servers: dict[str, tuple[Server, ...]] = {}
    missing = []
    for service in services:
        asked = []
        for interface in ("internal", "public"):
            endpoint = target.endpoint(service, interface)
            if endpoint is None or service in servers:
                continue
            address, port = address_of(target, endpoint.url), _port(endpoint.url)
            asked.append(f"{address or endpoint.url} port {port}")
            found = balancer.servers_behind(sections, address, port) if address else ()
            if found:
                servers[service] = found
        if asked and service not in servers:
            missing.append(
                f"No API server of {service} is probed past HAProxy: its configuration names none behind {', '.join(asked)}."
            )
    return Backends(servers, tuple(missing))


def _port(url: str) -> int:
    parts = urlsplit(url)
    with contextlib.suppress(ValueError):
        return parts.port or (443 if parts.scheme == "https" else 80)
    return 0


def _sections(target: Target, ssh: Ssh) -> tuple[tuple[Section, ...], str]:
    hosts = next((found for group in GROUPS if (found := target.in_group(group))), ())
    reasons = []
    for host in hosts:
        try:
            done = ssh.run(host, _READ, _LOOK_S)
        except subprocess.TimeoutExpired:
            reasons.append(f"{host.name} did not answer within {say.exact_s(_LOOK_S)}")
            continue
        except OSError as error:
            reasons.append(f"ssh cannot be started: {error}")
            break
        sections = balancer.read(done.stdout)
        if any(section.binds for section in sections):
            return sections, ""
        said = done.stderr.strip().splitlines()
        told = said[-1][:200] if said else "the files name no frontend"
        reasons.append(f"HAProxy's configuration on {host.name} cannot be read ({told})")
    return (), "; ".join(reasons) or f"no host is in any of the groups {', '.join(GROUPS)}"
