"""Where the APIs are: as keystone's catalogue says, or, when it cannot be asked, as kolla's port table says."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from rehearsal.target import trusted
from rehearsal.target.apis import APIS
from rehearsal.target.apis import BY_TYPE
from rehearsal.target.model import Endpoint
from rehearsal.target.model import Problem

if TYPE_CHECKING:
    from rehearsal.target.clouds import Cloud
    from rehearsal.target.model import Vip

_ASK_TIMEOUT_S = 15
_INTERFACES = ("public", "internal")


def from_keystone(cloud: Cloud, problems: list[Problem]) -> tuple[Endpoint, ...]:
    """Ask keystone for the catalogue. Empty, with a warning among the problems, if it does not answer."""
    from keystoneauth1.exceptions import ClientException  # noqa: PLC0415 - slow to import, only needed online
    from openstack import exceptions as sdk_exceptions  # noqa: PLC0415
    from openstack.config import OpenStackConfig  # noqa: PLC0415

    from rehearsal import sessions  # noqa: PLC0415

    try:
        config = OpenStackConfig(
            config_files=[cloud.clouds_file],
            secure_files=[cloud.secure_file] if cloud.secure_file else [],
            load_envvars=False,
            session_constructor=sessions.only_to(trusted.exactly(cloud.auth_url).refusal),
        )
        region = config.get_one(cloud=cloud.name)
        region.config["api_timeout"] = _ASK_TIMEOUT_S
        session = region.get_session()
        catalogue: list[dict[str, Any]] = session.auth.get_access(session).service_catalog.catalog  # type: ignore[union-attr]
    except (ClientException, sdk_exceptions.SDKException, OSError) as error:
        problems.append(
            Problem(
                f"The catalogue of cloud {cloud.name} could not be read ({_one_line(error)}); ports are assumed.",
                cloud.clouds_file,
                f"Check `openstack --os-cloud {cloud.name} catalog list` on this node.",
                severity="warning",
            )
        )
        return ()
    return tuple(_endpoints(catalogue))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _endpoints(catalogue: list[dict[str, Any]]) -> list[Endpoint]:
    found: dict[tuple[str, str], Endpoint] = {}
    for entry in catalogue:
        api = BY_TYPE.get(str(entry.get("type")))
        if api is None:
            continue
        for endpoint in entry.get("endpoints", ()):
            interface = str(endpoint.get("interface"))
            if interface in _INTERFACES:
                url = str(endpoint.get("url", "")).rstrip("/")
                found.setdefault((api.service, interface), Endpoint(api.service, interface, url, "catalogue"))
    return [found[key] for key in sorted(found)]


def from_ports(vips: tuple[Vip, ...], enabled: dict[str, bool]) -> tuple[Endpoint, ...]:
    """Derive endpoints from the VIPs and kolla's default ports, for the services that are enabled."""
    kinds = {"external": "public", "internal": "internal"}
    found = []
    for api in APIS.values():
        if not enabled.get(api.service, api.default):
            continue
        for vip in vips:
            scheme = "https" if vip.tls else "http"
            url = f"{scheme}://{vip.name}:{api.port}{api.suffix}"
            found.append(Endpoint(api.service, kinds[vip.kind], url, "port-table"))
    return tuple(sorted(found, key=lambda endpoint: (endpoint.service, endpoint.interface)))
