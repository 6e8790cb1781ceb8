"""Every lane, and all that is known of it: the one place that names them. Pure; imports nothing of ours.

A lane is a way of asking: whom, over what, for what. Everything else asks a row of this table instead of comparing names.
A new lane is a row here and a test; one over a new transport is also a process that sends it (`prober`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Place(StrEnum):
    """Whom a lane asks."""

    VIP = "vip"  # a service where its users reach it
    BACKEND = "backend"  # one server of a service, past HAProxy
    GUEST = "guest"  # a canary
    PROBER = "prober"  # the prober itself, or a target off the path


class Transport(StrEnum):
    """What carries a sample."""

    HTTP = "http"
    ICMP = "icmp"
    TCP = "tcp"
    UDP = "udp"


class Asks(StrEnum):
    """What for: which table holds the good answer (`answers`, `writes`)."""

    ROOT = "root"  # what needs no token
    READ = "read"  # what needs one, or the token itself
    WRITE = "write"  # a create and a delete, in one sample
    ECHO = "echo"  # itself


class Judge(StrEnum):
    """Who judges by what a lane saw."""

    USERS = "users"  # it is what users have: outages are measured by it
    WITNESS = "witness"  # users have it, too, but it looks so rarely that others measure
    ASIDE = "aside"  # it explains or is shown beside; nothing fails by it
    NEVER = "never"  # it watches the prober


@dataclass(frozen=True, slots=True)
class Rate:
    """How often some probes of a lane sample (Hz), usually and, with `focus_hz`, while the running step concerns their service.

    `of`: which probes: those of this interface, with this token, over this family; empty: all that no other rate is of.
    """

    name: str  # as `--rate` and plans call it
    hz: float
    words: str
    of: str = ""
    focus_hz: float = 0.0

    @property
    def focus(self) -> str:
        """The name of the rate of the focus."""
        return focus(self.name)


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane. A good answer that comes after `soft_s` is slow; what has not come after `hard_s` is lost.

    `called`: what its probes' names say. `kept`: its samples share a connection. `migration_hz`: how often it samples a guest that is being migrated; 0: as usual.
    `measures` says what for people; `unproven`, what nobody knows without it; `coarse`, what is missing where it alone could
    have seen an outage. Empty: another lane's words say it.
    """

    name: str
    place: Place
    transport: Transport
    asks: Asks
    judge: Judge
    called: str
    rates: tuple[Rate, ...] = ()
    soft_s: float = 0.0
    hard_s: float = 0.0
    kept: bool = False
    migration_hz: float = 0.0
    measures: str = ""
    unproven: str = ""
    coarse: str = ""

    @property
    def is_web(self) -> bool:
        """True if a sample is made of HTTP requests."""
        return self.transport is Transport.HTTP

    @property
    def has_port(self) -> bool:
        """True if its packets go to a port that the declaration names."""
        return self.transport in {Transport.TCP, Transport.UDP}

    @property
    def is_of_users(self) -> bool:
        """True if users have what it measures, so that its outages are theirs."""
        return self.judge in {Judge.USERS, Judge.WITNESS}

    @property
    def is_shallow(self) -> bool:
        """True if it asks a service as its users do, for what needs no token."""
        return self.place is Place.VIP and self.asks is Asks.ROOT

    @property
    def needs_token(self) -> bool:
        """True if its requests carry a token; to no other lane is one given."""
        return self.asks in {Asks.READ, Asks.WRITE}

    @property
    def requests(self) -> int:
        """How many requests a sample is."""
        return 2 if self.asks is Asks.WRITE else 1

    @property
    def migration(self) -> str:
        """The name of its rate while its guest is migrated."""
        return f"migration-{self.name}"

    def rate(self, of: str = "") -> Rate:
        """Return the rate of probes at an interface, with a token or over a family."""
        return next((rate for rate in self.rates if rate.of == of), self.rates[0])


LANES = (
    Lane(
        "vip-new", Place.VIP, Transport.HTTP, Asks.ROOT, Judge.USERS, "new", soft_s=2, hard_s=20,
        rates=(
            Rate("vip-new", 10, "APIs at the public VIP, over new connections", focus_hz=10),
            Rate("internal-new", 1, "APIs at the internal VIP, over new connections", "internal", focus_hz=2),
        ),
        measures="APIs at the virtual address, a new connection (TCP, TLS) for every request",
        unproven="APIs over new connections",
    ),
    Lane(  # kept connections cost no handshake, so that they carry the focus
        "vip-reused", Place.VIP, Transport.HTTP, Asks.ROOT, Judge.USERS, "reused", soft_s=2, hard_s=20, kept=True,
        rates=(
            Rate("vip-reused", 10, "APIs at the public VIP, over kept connections", focus_hz=20),
            Rate("internal-reused", 1, "APIs at the internal VIP, over kept connections", "internal", focus_hz=2),
        ),
        measures="APIs at the virtual address, over connections that are kept",
        unproven="APIs over kept connections",
    ),
    Lane(
        "deep", Place.VIP, Transport.HTTP, Asks.READ, Judge.USERS, "deep", soft_s=5, hard_s=20,
        rates=(
            Rate("deep", 1, "authenticated reads, with a token from before the run", focus_hz=2),
            Rate("deep-fresh", 0.5, "authenticated reads, with a fresh token", "fresh", focus_hz=2),
            Rate("token-issue", 1 / 30, "keystone issues a token", "issue", focus_hz=0.5),
        ),
        measures="authenticated reads, through the service and its database",
        unproven="Authenticated reads",
        coarse="Authenticated reads of",
    ),
    Lane(  # three rounds a minute and service: a user's worth of writing, not a load
        "write", Place.VIP, Transport.HTTP, Asks.WRITE, Judge.WITNESS, "write", soft_s=5, hard_s=40,
        rates=(Rate("write", 1 / 20, "something cheap is created and deleted in the canaries' project", focus_hz=0.2),),
        measures="creating, reading and deleting something of the rehearsal's own",
        unproven="Writing through the APIs (create, delete)",
        coarse="Writing through the API of",
    ),
    Lane(
        "backend-new", Place.BACKEND, Transport.HTTP, Asks.ROOT, Judge.ASIDE, "new", soft_s=2, hard_s=20,
        rates=(Rate("backend-new", 1, "each API server past HAProxy, over new connections", focus_hz=5),),
        measures="each API server past the load balancer, a new connection for every request",
        unproven="Each API server behind the load balancer",
    ),
    Lane(
        "backend-reused", Place.BACKEND, Transport.HTTP, Asks.ROOT, Judge.ASIDE, "reused", soft_s=2, hard_s=20, kept=True,
        rates=(Rate("backend-reused", 1, "each API server past HAProxy, over kept connections", focus_hz=5),),
        measures="each API server past the load balancer, over connections that are kept",
    ),
    Lane(
        "icmp", Place.GUEST, Transport.ICMP, Asks.ECHO, Judge.USERS, "icmp", soft_s=1, hard_s=1, migration_hz=100,
        rates=(
            Rate("icmp", 50, "pings of each canary"),
            Rate("icmp-v6", 50, "pings of each canary over IPv6, where the cloud routes it", "v6"),
        ),
        measures="echo requests to a guest",
        unproven="Reachability of guests",
    ),
    Lane(
        "tcp", Place.GUEST, Transport.TCP, Asks.ECHO, Judge.ASIDE, "tcp", soft_s=2, hard_s=10, kept=True,
        rates=(
            Rate("tcp", 20, "an established connection to each canary"),
            Rate("tcp-v6", 10, "an established connection to each canary over IPv6", "v6"),
        ),
        measures="an established connection to a guest: does the application get its answer?",
        unproven="Established connections to guests",
    ),
    Lane(
        "udp", Place.GUEST, Transport.UDP, Asks.ECHO, Judge.ASIDE, "udp", soft_s=1, hard_s=1,
        rates=(
            Rate("udp", 20, "datagrams to each canary and back, counted on both sides"),
            Rate("udp-v6", 10, "datagrams to each canary and back over IPv6", "v6"),
        ),
        measures="datagrams to and from a guest, counted on both sides",
        unproven="Datagrams to and from guests, by direction",
    ),
    Lane(
        "control", Place.PROBER, Transport.HTTP, Asks.ROOT, Judge.NEVER, "control", hard_s=2,
        measures="a responder of the prober's own, or a target off the path: must never fail",
    ),
)  # fmt: skip
"""In the order in which people read of them.

HAProxy gives up on a backend that is switched off after 10 s and asks another: what is answered then is late, not lost.
"""
VIP_NEW, VIP_REUSED, DEEP, WRITE, BACKEND_NEW, BACKEND_REUSED, ICMP, TCP, UDP, CONTROL = LANES

GUEST_BEAT = Rate("guest-beat", 20, "a canary's own heart, by which it notices that it stood still")
GUEST_WRITE = Rate("guest-write", 4, "a canary writes past the page cache to its own disk")
GUEST_PEER = Rate("guest-peer", 5, "a canary queries the other canaries of its network")

RATES = (*(rate for lane in LANES for rate in lane.rates), GUEST_BEAT, GUEST_WRITE, GUEST_PEER)
"""Those that are not of an occasion: of lanes, and of what a beacon does within its guest."""

BY_NAME = {lane.name: lane for lane in LANES}


def of(name: str) -> Lane:
    """Return a lane by its name. One of another release is HTTP over new connections that nothing is judged by."""
    return BY_NAME.get(name) or Lane(name, Place.BACKEND, Transport.HTTP, Asks.ROOT, Judge.ASIDE, name)


def focus(rate: str) -> str:
    """Return the name of the rate that takes the place of another while the running step concerns the probe's service."""
    return f"focus-{rate}"


def at(place: Place) -> list[Lane]:
    """Return the lanes that ask somebody."""
    return [lane for lane in LANES if lane.place is place]
