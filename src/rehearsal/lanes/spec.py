"""What a probe is, and which probes are refused.

Invariant: a packet goes only to a numeric address that was declared; no name is resolved in the probe path, no redirect
can lead elsewhere, and the load that probing adds is known and capped before the first sample.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from typing import TYPE_CHECKING
from typing import Any
from urllib.parse import urlsplit

from rehearsal.lanes import table
from rehearsal.lanes.answers import DEEP
from rehearsal.lanes.answers import ISSUE
from rehearsal.lanes.answers import SHALLOW
from rehearsal.lanes.table import Asks
from rehearsal.lanes.writes import WRITES
from rehearsal.lanes.writes import is_tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rehearsal.lanes.answers import Answer

CONNECT_NS = 900_000_000  # below the first retransmission of a SYN at 1 s
OWN_PROBES = range(65000, 65536)  # numbers that the prober gives to its own controls

SECOND_NS = 1_000_000_000


class ProbeRefused(Exception):  # noqa: N818 - it is refused, nothing is broken
    """A declaration that is not carried out; one sentence says why."""


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """One measurement definition: the fields of ProbeDeclared, and where the packets go.

    `target` is a URL for lanes of the web (its path is asked for, its host is the name in TLS and `Host`), free text
    for the others. `settings`:

    address       numeric address that the packets go to (required)
    port          TCP or UDP port of lanes tcp and udp
    cafile        certificates that TLS is verified against; without it, the system's
    answer        key into the tables of good answers: `nova`, `deep:nova`, `issue`; default by lane and service
    token         name of the token that the read carries
    issues        name of the token that this probe obtains, with the credentials of the same name
    project_id    for paths and bodies that need it
    user_id       whose credential the write lane makes at keystone
    tag           what the names of everything that the write lane makes begin with: `rehearse-<run>-write`
    keep_alive_s  how long the server keeps an idle connection (default 10, HAProxy's)
    tls_ns        deadline of the TLS handshake (default 5 s)
    size_bytes    length of an echo request's data (default 56)
    """

    probe: int
    name: str
    lane: str
    service: str
    target: str
    period_ns: int
    deadline_ns: int
    soft_ns: int = 0
    canary: str = ""
    vip: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    interface: str = ""  # public | internal, of the endpoint that is asked
    server: str = ""  # HAProxy's name for the server that is asked past HAProxy
    rate: str = ""  # the name of the rate with which it asks (`table`)

    def to_dict(self) -> dict[str, Any]:
        """Return it as it is sent to the prober."""
        return asdict(self)

    @property
    def samples_per_s(self) -> float:
        """The load that this probe adds."""
        return SECOND_NS / self.period_ns


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where a lane of the web asks, and for what."""

    family: socket.AddressFamily
    address: tuple[str, int]
    tls: bool
    name: str  # in TLS and certificate
    host: str  # in `Host`
    path: str
    cafile: str
    answer: Answer
    reused: bool
    token: str
    issues: str
    keep_alive_ns: int
    connect_ns: int
    tls_ns: int


def spec_from(
    data: Any, *, allowed: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] | None = None
) -> ProbeSpec:
    """Return the declared probe, checked. `allowed`: it may ask an address in one of these; None: not checked.

    Raises ProbeRefused.
    """
    if not isinstance(data, dict):
        raise ProbeRefused("a probe is declared by an object")
    known = {entry.name for entry in fields(ProbeSpec)}
    unknown = sorted(set(data) - known)
    if unknown:
        raise ProbeRefused(f"unknown fields: {', '.join(unknown)}")
    try:
        spec = ProbeSpec(**data)
    except TypeError as error:
        raise ProbeRefused(f"the declaration is incomplete: {error}") from None
    _check_shape(spec)
    address = ipaddress.ip_address(numeric_address(spec))
    if allowed is not None and not any(address in network for network in allowed):
        raise ProbeRefused(f"probe {spec.name}: {address} is not among the addresses that may be probed")
    lane = table.of(spec.lane)
    if not lane.needs_token and (spec.settings.get("token") or spec.settings.get("issues")):
        raise ProbeRefused(f"probe {spec.name}: lane {spec.lane} carries no token")
    if lane.is_web:
        web_settings(spec)
    elif lane.has_port:
        port_of(spec)
    return spec


def _check_shape(spec: ProbeSpec) -> None:
    texts = (spec.name, spec.lane, spec.service, spec.target, spec.canary, spec.vip, spec.rate)
    numbers = (spec.probe, spec.period_ns, spec.deadline_ns, spec.soft_ns)
    if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
        raise ProbeRefused("a field of the declaration has the wrong type")
    if not isinstance(spec.settings, dict):
        raise ProbeRefused(f"probe {spec.name}: settings must be an object")
    if not 0 <= spec.probe < 2**16:
        raise ProbeRefused(f"probe {spec.name}: the number must be between 0 and 65535")
    if spec.lane not in table.BY_NAME:
        raise ProbeRefused(f"probe {spec.name}: unknown lane {spec.lane!r}")
    check_period(spec.name, spec.period_ns)
    if not spec.period_ns // 100 <= spec.deadline_ns <= 60 * SECOND_NS:
        raise ProbeRefused(f"probe {spec.name}: the deadline must be between a hundredth of the period and 60 s")
    if not 0 <= spec.soft_ns <= spec.deadline_ns:
        raise ProbeRefused(f"probe {spec.name}: the soft deadline must not be later than the deadline")


def check_period(name: str, period_ns: int) -> None:
    """Refuse periods that would harm the target or that measure nothing. Raises ProbeRefused."""
    if type(period_ns) is not int or not 2_000_000 <= period_ns <= 600 * SECOND_NS:
        raise ProbeRefused(f"probe {name}: the period must be between 2 ms and 600 s")


def numeric_address(spec: ProbeSpec) -> str:
    """Return the numeric unicast address that a probe is sent to. Raises ProbeRefused."""
    text = spec.settings.get("address")
    try:
        address = ipaddress.ip_address(text if isinstance(text, str) else "")
    except ValueError:
        raise ProbeRefused(
            f"probe {spec.name}: settings.address must be a numeric address, not {text!r}; resolve names before declaring"
        ) from None
    broadcast = isinstance(address, ipaddress.IPv4Address) and int(address) == 2**32 - 1
    if address.is_multicast or address.is_unspecified or broadcast:
        raise ProbeRefused(f"probe {spec.name}: {address} is no unicast address")
    return str(address)


def family_of(address: str) -> socket.AddressFamily:
    """Return the address family of a numeric address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def port_of(spec: ProbeSpec) -> int:
    """Return the port of a tcp or udp probe. Raises ProbeRefused."""
    port = spec.settings.get("port")
    if type(port) is not int or not 0 < port < 2**16:
        raise ProbeRefused(f"probe {spec.name}: settings.port must be a port number, not {port!r}")
    return port


def web_settings(spec: ProbeSpec) -> WebSettings:
    """Return where and what a lane of the web asks. Raises ProbeRefused."""
    url = urlsplit(spec.target)
    try:
        port = url.port
    except ValueError:
        port = -1
    if url.scheme not in {"http", "https"} or not url.hostname or port == -1 or url.username is not None:
        raise ProbeRefused(f"probe {spec.name}: {spec.target!r} is no http or https URL of a host")
    answer = _answer(spec)
    address = numeric_address(spec)
    path = f"{url.path}?{url.query}" if url.query else url.path or "/"
    if any(ord(character) <= 32 or ord(character) > 126 for character in path + url.netloc):
        raise ProbeRefused(f"probe {spec.name}: {spec.target!r} holds characters that no URL may hold")
    number = port or (443 if url.scheme == "https" else 80)
    return WebSettings(
        family=family_of(address),
        address=(address, number),
        tls=url.scheme == "https",
        name=url.hostname,
        host=url.netloc,
        path=path,
        cafile=str(spec.settings.get("cafile", "")),
        answer=answer,
        reused=table.of(spec.lane).kept,
        token=str(spec.settings.get("token", "")),
        issues=str(spec.settings.get("issues", "")),
        keep_alive_ns=int(float(spec.settings.get("keep_alive_s", 10)) * SECOND_NS),
        connect_ns=min(CONNECT_NS, spec.deadline_ns),
        tls_ns=min(int(spec.settings.get("tls_ns", 5 * SECOND_NS)), spec.deadline_ns),
    )


def _answer(spec: ProbeSpec) -> Answer:
    asks = table.of(spec.lane).asks
    if asks is Asks.WRITE:
        return _create(spec)
    default = f"deep:{spec.service}" if asks is Asks.READ else spec.service
    if spec.settings.get("issues"):
        default = "issue"
    key = str(spec.settings.get("answer") or default)
    if key == "issue":
        return ISSUE
    good, name = (DEEP, key.removeprefix("deep:")) if key.startswith("deep:") else (SHALLOW, key)
    if name not in good:
        raise ProbeRefused(
            f"probe {spec.name}: no good answer is declared for {key!r}; known: {', '.join(sorted(good))}"
        )
    return good[name]


def _create(spec: ProbeSpec) -> Answer:
    if spec.service not in WRITES:
        raise ProbeRefused(
            f"probe {spec.name}: nothing that could be made is declared for {spec.service!r}; known: {', '.join(sorted(WRITES))}"
        )
    if not is_tag(str(spec.settings.get("tag", ""))):
        raise ProbeRefused(
            f"probe {spec.name}: settings.tag must carry the run, else what a failed delete leaves could not be removed"
        )
    return WRITES[spec.service].create
