"""What canaries are: what was wished for, those that answer, as whom they write; and their records."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any

from rehearsal import beacon
from rehearsal.recording.events import CanaryUp

if TYPE_CHECKING:
    from collections.abc import Callable

    from rehearsal.canaries.network import GuestNetwork


class CanaryError(Exception):
    """No canary can be made at all; the message is one sentence with a remedy."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What canaries to make. Empty strings and tuples: choose what suits.

    `public_key` is put into the canaries, so that the operator can log in; `pair` adds a second canary where there
    is only one host, so that there are always two on one network. `timeout_s` is for all of them together.
    """

    image: str = ""
    flavor: str = ""
    outer_network: str = ""
    hosts: tuple[str, ...] = ()
    pair: bool = True
    cidr: str = "192.168.213.0/24"
    public_key: str = ""
    timeout_s: float = 600
    beacon: beacon.BeaconSettings = field(default_factory=beacon.BeaconSettings)


@dataclass(frozen=True, slots=True)
class Canary:
    """A canary that answers. `name` is short; the server's own name carries the run.

    `address_v6` empty: only over IPv4; then `without_ipv6` says why, unless the cloud has no IPv6 outside.
    """

    name: str
    server_id: str
    host: str
    address: str
    fixed_ip: str
    network: str
    boot_id: str
    beacon_port: int
    facts_port: int
    udp: bool = False  # its beacon echoes datagrams
    address_v6: str = ""
    without_ipv6: str = ""
    router_id: str = ""  # of the router between its network and the outer one


@dataclass(frozen=True, slots=True)
class Author:
    """The canaries' ordinary user in the canaries' own project, as whom the write lane writes.

    `issue` gives a new token, which stays in memory; it raises one of CLOUD_ERRORS.
    """

    user_id: str
    project_id: str
    issue: Callable[[], str] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Canaries:
    """What came of a wish: those that answer, and a sentence for each that was wanted and does not.

    `author` None: there is no project of their own, in which alone something may be written.
    """

    up: tuple[Canary, ...]
    missing: dict[str, str]
    author: Author | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """What all canaries of a run share."""

    wish: Wish
    network: GuestNetwork
    outer_network: Any
    group: Any
    image: Any
    flavor: Any
    key_name: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A canary whose server was asked for."""

    name: str
    host: str
    server_id: str
    fixed_ip: str
    address: str
    address_v6: str


def up_event(canary: Canary) -> CanaryUp:
    """Return the record of a canary that answers."""
    return CanaryUp(
        canary=canary.name, server_id=canary.server_id, host=canary.host, address=canary.address, fixed_ip=canary.fixed_ip,
        network=canary.network, boot_id=canary.boot_id, beacon_port=canary.beacon_port, facts_port=canary.facts_port,
        udp=canary.udp, address_v6=canary.address_v6,
        without_ipv6=canary.without_ipv6, router_id=canary.router_id,
    )  # fmt: skip
