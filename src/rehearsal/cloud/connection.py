"""The cloud's API for what the rehearsal makes, moves, counts and removes. Never a probe: what is measured goes past this.

Invariant: one call is one request (a new token after a 401 excepted), and every call ends: whatever clouds.yaml says
about retries is overruled, and every request has a deadline.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from typing import Any

import openstack.connection
import requests.exceptions
from keystoneauth1 import exceptions as keystone_errors
from openstack import exceptions as sdk_errors
from openstack.config import OpenStackConfig

from rehearsal.cloud import sessions
from rehearsal.cloud import trusted
from rehearsal.cloud.secrets import remember_secrets
from rehearsal.outside import redact

if TYPE_CHECKING:
    from keystoneauth1.session import Session

    from rehearsal.cloud import Target

CLOUD_ERRORS = (sdk_errors.SDKException, keystone_errors.ClientException, requests.exceptions.RequestException)
"""Everything that a call may raise because of the cloud."""

REQUEST_TIMEOUT_S = 60
_SERVICES = (
    "baremetal", "block_storage", "compute", "dns", "identity", "image", "key_manager", "load_balancer", "network",
    "object_store", "orchestration", "placement", "shared_file_system", "volume", "volumev3",
)  # fmt: skip
_LONGEST_SENTENCE = 300


class CloudError(Exception):
    """The cloud cannot be used; the message is one sentence with what to do."""


def connect(target: Target) -> openstack.connection.Connection:
    """Return a connection to the target with its clouds.yaml. CloudError if the configuration is not usable.

    Nothing is sent before the first call, and nothing ever to an address that neither the configuration nor the operator
    names (see `trusted`).
    """
    if not target.clouds_file or not target.cloud:
        raise CloudError("There is no cloud to connect to: no clouds.yaml was found. Give it with --clouds FILE.")
    remember_secrets(target.clouds_file, target.secure_file)
    try:
        settings: dict[str, Any] = {"api_timeout": REQUEST_TIMEOUT_S, **no_retries(), **_authority(target)}
        written = _configuration(target).get_one(cloud=target.cloud, **settings)
        trust = trusted.trust_of(target, *_written_down(written.config))
        region = _configuration(target, sessions.only_to(trust.refusal)).get_one(cloud=target.cloud, **settings)
        return openstack.connection.Connection(config=region, app_name="rehearse")
    except (*CLOUD_ERRORS, OSError, ValueError) as error:
        raise CloudError(f"Cloud {target.cloud} of {target.clouds_file} cannot be used: {sentence(error)}") from error


def no_retries() -> dict[str, int]:
    """Return the settings that switch off every retry of openstacksdk and keystoneauth, for each service by name.

    openstacksdk repeats glance's and ironic's 503 on its own account, and a service's own setting beats the general one.
    """
    settings = {"connect_retries": 0, "status_code_retries": 0}
    for service in _SERVICES:
        settings |= {f"{service}_connect_retries": 0, f"{service}_status_code_retries": 0}
    return settings


def _configuration(target: Target, sessions_of: type[Session] | None = None) -> OpenStackConfig:
    return OpenStackConfig(
        config_files=[target.clouds_file],
        secure_files=[target.secure_file] if target.secure_file else [],
        load_envvars=False,
        session_constructor=sessions_of,
    )


def _written_down(settings: dict[str, Any]) -> list[str]:
    """Return the URLs that clouds.yaml itself names: of keystone, and endpoints that overrule the catalogue."""
    auth = settings.get("auth") or {}
    overrides = [value for name, value in settings.items() if name.endswith(("_endpoint_override", "_endpoint"))]
    return [str(url) for url in (auth.get("auth_url"), *overrides) if url]


def _authority(target: Target) -> dict[str, Any]:
    return {"cacert": target.cacert} if target.cacert else {}


def status_of(error: BaseException) -> int:
    """Return the HTTP status that a call ended with, or 0 if there was no answer."""
    for name in ("status_code", "http_status"):
        value = getattr(error, name, None)
        if isinstance(value, int):
            return value
    return 0


def sentence(error: BaseException) -> str:
    """Return what went wrong on one line, without secrets and without the library's own words around it."""
    text = str(getattr(error, "details", None) or error) or type(error).__name__
    text = re.sub(r"\s+", " ", redact.redact_text(text)).strip()
    if len(text) > _LONGEST_SENTENCE:
        text = text[:_LONGEST_SENTENCE] + " ..."
    status = status_of(error)
    return f"HTTP {status}: {text}" if status and str(status) not in text else text
