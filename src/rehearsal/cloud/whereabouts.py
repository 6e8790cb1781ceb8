"""Where the APIs are: as keystone's catalogue says, or, where nobody is to ask it (--offline), as kolla's port table says."""

from __future__ import annotations

import shlex
import socket
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.cloud import clouds
from rehearsal.cloud import trusted
from rehearsal.cloud.addresses import host_of
from rehearsal.cloud.knownapis import APIS
from rehearsal.cloud.knownapis import BY_TYPE
from rehearsal.cloud.target import Endpoint
from rehearsal.cloud.target import Problem
from rehearsal.figures import say

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Iterator

    from rehearsal.cloud.clouds import Cloud
    from rehearsal.cloud.target import Vip

_ASK_TIMEOUT_S = 15
_INTERFACES = ("public", "internal")
_LONGEST_CAUSE = 200
_TIMEOUTS = frozenset({"ConnectTimeout", "ConnectTimeoutError", "ReadTimeout", "ReadTimeoutError"})


def from_keystone(cloud: Cloud, problems: list[Problem]) -> tuple[Endpoint, ...]:
    """Ask keystone for the catalogue. Empty, with one error among the problems that begins with its cause, if that fails."""
    import requests.exceptions  # noqa: PLC0415 - slow to import, only needed online
    from keystoneauth1.exceptions import ClientException  # noqa: PLC0415
    from openstack import exceptions as sdk_exceptions  # noqa: PLC0415

    failures = (
        ClientException, sdk_exceptions.SDKException, requests.exceptions.RequestException, OSError, ValueError, TypeError,
        KeyError, AttributeError,
    )  # fmt: skip
    try:
        region = clouds.region_of(cloud, validate=True)
        region.config["api_timeout"] = _ASK_TIMEOUT_S
        session = region.get_session()
        catalogue = session.auth.get_access(session).service_catalog.catalog
        endpoints = _endpoints(catalogue, cloud, problems)
    except failures as error:
        problems.append(
            Problem(
                f"{cause(error, cloud)} Without keystone's catalogue nothing is known of the services, "
                "and nothing can be rehearsed.",
                cloud.clouds_file,
                f"Check `openstack --os-cloud {shlex.quote(cloud.name)} catalog list` on this node; "
                "--offline takes kolla's usual ports instead.",
            )
        )
        return ()
    return endpoints


def cause(error: BaseException, cloud: Cloud) -> str:
    """Return what is really wrong, first: a library wraps it in its own words five times over."""
    host = host_of(cloud.auth_url) or cloud.auth_url
    known = next(filter(None, (_known_cause(each, host, cloud) for each in _chain(error))), "")
    root = next(iter(_chain(error)))
    text = " ".join(str(root).split()) or type(root).__name__
    if len(text) > _LONGEST_CAUSE:
        text = text[:_LONGEST_CAUSE].rpartition(" ")[0] + " ..."
    return known or f"Cloud {cloud.name} cannot be used: {text.rstrip('.')}."


def _known_cause(error: BaseException, host: str, cloud: Cloud) -> str:
    kind, status = type(error).__name__, int(getattr(error, "http_status", 0) or 0)
    untrusted = str(getattr(error, "verify_message", ""))
    if isinstance(error, socket.gaierror) or kind == "NameResolutionError":
        return f"The name {host} does not resolve (auth_url of cloud {cloud.name})."
    if isinstance(error, ConnectionRefusedError):
        return f"The connection to {host} is refused (auth_url {cloud.auth_url})."
    if isinstance(error, TimeoutError) or kind in _TIMEOUTS:
        return f"Keystone does not answer within {say.exact_s(_ASK_TIMEOUT_S)} (auth_url {cloud.auth_url})."
    if untrusted:
        return f"The certificate of {host} is not trusted: {untrusted}."
    if status == 401:
        return f"Keystone refuses the user name or password of cloud {cloud.name} (HTTP 401)."
    return f"Keystone answers HTTP {status} (auth_url {cloud.auth_url})." if status else ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the innermost exception first: the one that the others were raised for."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and each not in found and len(found) < 50:
            found.append(each)
            waiting += [each.__context__, each.__cause__, getattr(each, "reason", None), *each.args]
    return reversed(found)


def _endpoints(catalogue: Any, cloud: Cloud, problems: list[Problem]) -> tuple[Endpoint, ...]:
    """Return the endpoints of the cloud's region. Several regions and none chosen is an error: they are several clouds."""
    offered = [
        (api.service, str(each.get("interface")), _region(each), str(each.get("url", "")).rstrip("/"))
        for entry in catalogue or ()
        if isinstance(entry, dict) and (api := BY_TYPE.get(str(entry.get("type"))))
        for each in entry.get("endpoints") or ()
        if isinstance(each, dict) and each.get("interface") in _INTERFACES
    ]
    regions = sorted({region for _, _, region, _ in offered})
    if cloud.region not in regions and (len(regions) > 1 or (regions and cloud.region)):
        said = f"clouds.yaml says {cloud.region}" if cloud.region else "clouds.yaml says none of them"
        problems.append(
            Problem(
                f"The catalogue has the region{'s' if len(regions) > 1 else ''} {', '.join(regions)}, and {said}.",
                cloud.clouds_file,
                f"Write region_name: {regions[0]} (or another) below cloud {cloud.name}.",
            )
        )
        return ()
    found: dict[tuple[str, str], Endpoint] = {}
    for service, interface, region, url in offered:
        if region == cloud.region or not cloud.region:
            found.setdefault((service, interface), Endpoint(service, interface, url, "catalogue"))
    if not found:
        problems.append(
            Problem(
                "Keystone's catalogue names no service that rehearse knows.", cloud.clouds_file,
                f"Check `openstack --os-cloud {shlex.quote(cloud.name)} catalog list` on this node.",
            )
        )  # fmt: skip
    return tuple(found[key] for key in sorted(found))


def _region(endpoint: dict[str, Any]) -> str:
    return str(endpoint.get("region_id") or endpoint.get("region") or "")


def from_ports(vips: tuple[Vip, ...], enabled: dict[str, bool]) -> tuple[Endpoint, ...]:
    """Derive endpoints from the VIPs and kolla's default ports, for the services that are enabled."""
    kinds = {"external": "public", "internal": "internal"}
    found = []
    for api in APIS.values():
        if not enabled.get(api.service, api.default):
            continue
        for vip in vips:
            scheme = "https" if vip.tls else "http"
            name = f"[{vip.name}]" if ":" in vip.name else vip.name
            url = f"{scheme}://{name}:{api.port}{api.suffix}"
            found.append(Endpoint(api.service, kinds[vip.kind], url, "port-table"))
    return tuple(sorted(found, key=lambda endpoint: (endpoint.service, endpoint.interface)))


def check_against_vips(
    endpoints: tuple[Endpoint, ...], vips: tuple[Vip, ...], allowed: Iterable[str], problems: list[Problem]
) -> None:
    """A catalogue that names other hosts than the VIPs means that probes and users look at different places.

    `allowed`: what the operator allowed by name is right.
    """
    right = trusted.hosts_of(allowed)
    names = {name for vip in vips for name in (vip.name, vip.address)}
    strangers: dict[str, list[str]] = {}
    for endpoint in endpoints:
        host = host_of(endpoint.url)
        if host not in names and host not in right:
            strangers.setdefault(host, []).append(f"{endpoint.service} ({endpoint.interface})")
    for host, services in sorted(strangers.items()):
        problems.append(
            Problem(
                f"The catalogue sends {', '.join(services)} to {host or 'no host'}, which is neither VIP of this cloud.",
                "keystone's catalogue",
                "Correct the endpoint, or kolla_internal_fqdn and kolla_external_fqdn in environments/kolla/configuration.yml.",
                severity="warning",
            )
        )
