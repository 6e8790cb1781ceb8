"""To which addresses admin's token and password may go: those of the operator's configuration, and what the operator adds by name.

Keystone's catalogue, links in answers and redirects come from outside: whoever can change them must not be handed a token.
An origin is a scheme, a host and a port. Hosts are compared as they are written (a name or a numeric address), never by what
a name resolves to; names of other scripts are compared in their ASCII form, so that look-alikes differ.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rehearsal.cloud.knownapis import APIS
from rehearsal.cloud.target import Endpoint
from rehearsal.cloud.target import Problem
from rehearsal.outside.plaintext import plain

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping

    from rehearsal.cloud.target import Target

OPTION = "--allow-endpoint"
_DEFAULT_PORTS = {"https": 443, "http": 80}
_KEYSTONE_ADMIN_PORT = 35357
API_PORTS = frozenset({*(api.port for api in APIS.values()), *_DEFAULT_PORTS.values(), _KEYSTONE_ADMIN_PORT})
_URL = re.compile(r"[!-\[\]-~]+")  # what a URL may hold: ASCII without blanks and backslash
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


class NoOriginError(ValueError):
    """A URL that no token is sent to wherever it leads; the message says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request goes. `host` is a name in lower-case ASCII, or a numeric address in its usual form."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Trust:
    """The origins that may have a token.

    `hosts`: the schemes under which a host of the configuration is asked, at any of `ports`; `origins`: exact ones;
    `names`: hosts that the operator allowed at any port, over TLS.
    """

    hosts: Mapping[str, frozenset[str]]
    ports: frozenset[int]
    origins: frozenset[Origin]
    names: frozenset[str] = frozenset()

    def refusal(self, url: str) -> str:
        """Return why no token may be sent to a URL, as the end of a sentence; empty if it may."""
        try:
            origin = origin_of(url)
        except NoOriginError as error:
            return str(error)
        if origin in self.origins or (origin.host in self.names and origin.scheme == "https"):
            return ""
        schemes = self.hosts.get(origin.host)
        if schemes is None:
            return f"{origin.host} is not an address of this cloud's configuration"
        if origin.scheme not in schemes:
            return f"the configuration names {' or '.join(sorted(schemes))} for {origin.host}, not {origin.scheme}"
        if origin.port not in self.ports:
            return f"port {origin.port} of {origin.host} is none of an OpenStack API in the configuration"
        return ""


def origin_of(url: str) -> Origin:
    """Return where a request to the URL goes. Raises NoOriginError for all that clients might understand differently."""
    if not _URL.fullmatch(url):
        raise NoOriginError("it holds characters that no URL may hold")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise NoOriginError("it is no URL") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise NoOriginError(f"{parts.scheme or 'no scheme'} is neither http nor https")
    if "@" in parts.netloc:
        raise NoOriginError("it holds a user's name before the host")
    number = _DEFAULT_PORTS[parts.scheme] if port is None else port
    if not number:
        raise NoOriginError("its port is 0")
    return Origin(parts.scheme, host_of(parts.hostname or ""), number)


def host_of(text: str) -> str:
    """Return a host as it is compared. Raises NoOriginError for what is neither a name nor a numeric address."""
    name = text.strip().lower().removesuffix(".")
    try:
        return str(ipaddress.ip_address(name.removeprefix("[").removesuffix("]")))
    except ValueError:
        pass
    if not name.isascii():
        try:
            name = name.encode("idna").decode()
        except UnicodeError:
            raise NoOriginError("its host is no name") from None
    # `127.1`, `0x7f.1` and `2130706433` are addresses to some clients and names to others.
    if not _NAME.fullmatch(name) or re.fullmatch(r"(0x[0-9a-f]*|\d+)", name.rpartition(".")[2]):
        raise NoOriginError("its host is neither a name nor a numeric address")
    return name


def trust_of(target: Target, *more: str) -> Trust:
    """Return whom a target's configuration lets us trust. `more`: URLs of the configuration, as in clouds.yaml."""
    hosts: dict[str, set[str]] = {}
    for vip in target.vips:
        for host in _hosts(vip.name, vip.address):
            hosts.setdefault(host, set()).update({"https"} if vip.tls else {"https", "http"})
    origins = {origin for url in (target.auth_url, *more) for origin in _origins(url)}
    for origin in origins:
        hosts.setdefault(origin.host, {origin.scheme})
    names: set[str] = set()
    for entry in target.allowed_endpoints:
        if "://" in entry:
            origins |= set(_origins(entry))
        elif is_host_alone(entry):
            names |= set(_hosts(entry))
        else:
            origins |= set(_origins(f"https://{entry}"))
    return Trust(
        {host: frozenset(schemes) for host, schemes in hosts.items()},
        API_PORTS | set(target.api_ports),
        frozenset(origins),
        frozenset(names),
    )


def exactly(url: str) -> Trust:
    """Return the trust in the origin of one URL and in nothing else."""
    return Trust({}, frozenset(), frozenset(_origins(url)))


def is_host_alone(entry: str) -> bool:
    """Tell whether an entry of the operator names a host without a port."""
    return "]:" not in entry and entry.count(":") != 1


def _hosts(*texts: str) -> Iterable[str]:
    for text in texts:
        try:
            yield host_of(text)
        except NoOriginError:
            continue


def _origins(url: str) -> Iterable[Origin]:
    try:
        yield origin_of(url)
    except NoOriginError:
        return


def hosts_of(entries: Iterable[str]) -> frozenset[str]:
    """Return the hosts that entries of the operator name, as they are compared; what names none is left out."""
    found: set[str] = set()
    for entry in entries:
        if "://" not in entry and is_host_alone(entry):
            found.update(_hosts(entry))
        else:
            found.update(origin.host for origin in _origins(entry if "://" in entry else f"https://{entry}"))
    return frozenset(found)


def checked(entries: Iterable[str], problems: list[Problem]) -> tuple[str, ...]:
    """Return what the operator allows, without what names nothing, which is put among the problems."""
    good = []
    for entry in entries:
        try:
            if "://" not in entry and is_host_alone(entry):
                host_of(entry)
            else:
                origin_of(entry if "://" in entry else f"https://{entry}")
            good.append(entry)
        except NoOriginError as error:
            problems.append(
                Problem(f"{plain(entry)!r} names no endpoint: {error}.", OPTION, "Write HOST, HOST:PORT or a URL.")
            )
    return tuple(good)


def ports_of(values: Mapping[str, object]) -> tuple[int, ...]:
    """Return the ports of APIs that the configuration sets (`nova_api_port`), sorted."""
    found = set()
    for name, value in values.items():
        if (
            name.partition("_")[0] in APIS
            and name.endswith("_port")
            and str(value).isdecimal()
            and 0 < int(str(value)) < 2**16
        ):
            found.add(int(str(value)))
    return tuple(sorted(found))


def sorted_out(endpoints: Iterable[Endpoint], trust: Trust, problems: list[Problem]) -> tuple[Endpoint, ...]:
    """Return the endpoints that may be asked with a token; each other one is a problem with its remedy."""
    good = []
    for endpoint in endpoints:
        why = trust.refusal(endpoint.url)
        if not why:
            good.append(endpoint)
            continue
        problems.append(
            Problem(
                f"The catalogue sends {endpoint.service} ({endpoint.interface}) to {plain(endpoint.url)}; {why}. No token goes there.",
                "keystone's catalogue",
                _remedy(endpoint.url),
            )
        )
    return tuple(good)


def _remedy(url: str) -> str:
    correct = "Correct the endpoint (openstack endpoint set), or the VIPs in environments/kolla/configuration.yml"
    try:
        return f"{correct}; if it is right, allow it by name: {OPTION} {origin_of(url)}"
    except NoOriginError:
        return f"{correct}."
