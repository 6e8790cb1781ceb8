"""Every kind of record that a journal can hold.

The schema is additive: fields get defaults, kinds are never renamed, readers ignore what they do not know.
Times ending in `_ns` are CLOCK_MONOTONIC of the prober host. `kind` is the class name in kebab case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from dataclasses import field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


# --- runner.jsonl: written by the runner ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunBegan(Event):
    """A run, or an attempt to go on with it (`attempt` > 1). `plan` and `target` are whole copies, secrets removed."""

    run: str
    mode: str  # rehearsal | production
    attempt: int
    argv: list[str]
    version: str
    revision: str
    host: str
    boot_id: str
    plan: dict[str, Any]
    plan_sha256: str
    target: dict[str, Any]
    utc_offset: str = ""  # of this host's local time, as `+01:00`; for people only
    parts: list[str] = field(default_factory=list)  # what this attempt carries out; empty: not recorded
    rates: dict[str, float] = field(default_factory=dict)  # Hz by lane, as ordered and as usual


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """Why it ended: finished, calibration, gate, step, hold, interrupted, recording, error."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PhaseBegan(Event):
    """calibration, preflight, canaries, baseline, migrations-<occasion>, steps, postflight, clean-up."""

    phase: str


@dataclass(frozen=True, slots=True)
class PhaseEnded(Event):
    """The end of a phase."""

    phase: str
    outcome: str = "ok"


@dataclass(frozen=True, slots=True)
class StepBegan(Event):
    """One step's command is about to start."""

    step: str
    title: str
    services: list[str]
    argv: list[str]
    attempt: int
    log: str  # relative to the run directory


@dataclass(frozen=True, slots=True)
class StepEnded(Event):
    """`rc` is None if it was stopped or its end was not seen: unknown, not failed."""

    step: str
    attempt: int
    rc: int | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class SuiteBegan(Event):
    """One pytest process: `gate` names the place where it decides (`preflight`, `step:<id>`, `postflight`)."""

    suite: str
    gate: str
    argv: list[str]
    log: str
    page: str = ""  # pytest-html's page, relative


@dataclass(frozen=True, slots=True)
class SuiteEnded(Event):
    """pytest's exit code; the gate itself is judged from the CheckDone records."""

    suite: str
    gate: str
    rc: int | None


@dataclass(frozen=True, slots=True)
class GateDecided(Event):
    """What the runner did at a gate: went on, stopped, went on although it failed (--keep-going)."""

    gate: str
    outcome: str
    action: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class OwnClaimsRead(Event):
    """The operator's own claims, as they were when they were read: which files, and which claims they make.

    `sha256` is that of the lines `SHA256  NAME`, one a file, as `sha256sum` prints them; `files` have name and sha256,
    `claims` have check, claim and gates.
    """

    directory: str
    sha256: str
    files: list[dict[str, str]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class HostFacts(Event):
    """Containers and images of one host at one moment; `error` non-empty means: not observed.

    `label` is `before`, `after`, `step:<id>:before`, `step:<id>:after`, or a suite's own.
    """

    label: str
    host: str
    containers: list[dict[str, Any]] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    error: str = ""


@dataclass(frozen=True, slots=True)
class CloudFacts(Event):
    """Servers, ports, volumes, agents, services as the APIs told at one moment; `error` non-empty: not observed."""

    label: str
    facts: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class Note(Event):
    """Something a reader of the report should know."""

    level: str  # info | warning | error
    text: str


# --- canaries (also in runner.jsonl, or canary.jsonl of a subprocess) ----------------------------------------------


@dataclass(frozen=True, slots=True)
class CanaryUp(Event):
    """A server made for this run answers. `address` is where the prober reaches it, and `address_v6`, if not empty.

    `beacon_port` echoes what it gets (TCP, and UDP if the guest can), `facts_port` answers with a line of JSON.
    """

    canary: str
    server_id: str
    host: str
    address: str
    fixed_ip: str
    network: str
    boot_id: str
    beacon_port: int
    facts_port: int = 0
    udp: bool = False  # its beacon echoes datagrams and counts them
    address_v6: str = ""
    without_ipv6: str = ""  # why not, where the cloud has IPv6 outside
    router_id: str = ""  # of the router between its network and the outer one


@dataclass(frozen=True, slots=True)
class CanaryGone(Event):
    """A canary was removed."""

    canary: str
    server_id: str


@dataclass(frozen=True, slots=True)
class MigrationBegan(Event):
    """A live migration of a canary was asked for. `occasion`: before, mixed, after, or a scenario's own word."""

    migration: str
    canary: str
    server_id: str
    source: str
    target: str
    occasion: str


@dataclass(frozen=True, slots=True)
class MigrationEnded(Event):
    """What was seen at its end. Empty strings were not observed."""

    migration: str
    canary: str
    status: str  # nova's migration status
    host_after: str
    server_status: str
    boot_id_before: str
    boot_id_after: str
    total_s: float
    detail: str = ""
    facts: dict[str, Any] = field(default_factory=dict)  # status series, guest's clock, libvirt's own account


@dataclass(frozen=True, slots=True)
class BeaconHeard(Event):
    """What a canary told about itself from inside."""

    canary: str
    boot_id: str
    facts: dict[str, Any] = field(default_factory=dict)


# --- suite journals: written by the pytest recorder ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CheckDone(Event):
    """One claim about the cloud was checked.

    `check` is a stable id (`preflight.container-tag`), `node_id` the pytest id, `claim` the sentence that the customer
    reads, `repeat` the command that repeats exactly this check, `remedy` what to do if it does not hold.
    """

    check: str
    node_id: str
    suite: str
    gate: str
    outcome: str
    claim: str
    expected: str = ""
    observed: str = ""
    repeat: str = ""
    host: str = ""
    container: str = ""
    service: str = ""
    duration_s: float = 0.0
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class ClaimsListed(Event):
    """The claims that a pytest process is about to check: one without a CheckDone was never reached, and is unknown.

    Each has check, node_id, suite, claim, host, container, service and remedy, as in its CheckDone. `not_applicable`:
    checks that make no claim about this cloud or step, each with the reason.
    """

    suite: str
    gate: str
    claims: list[dict[str, str]] = field(default_factory=list)
    not_applicable: dict[str, str] = field(default_factory=dict)


# --- prober.jsonl: written by the prober ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProberStarted(Event):
    """The prober's process is up."""

    pid: int
    boot_id: str
    probes: int
    samples_file: str
    load_per_s: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AddressAllowed(Event):
    """From now on this address may be probed as well, for this reason; until then a probe of it would have been refused."""

    address: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class ProbeDeclared(Event):
    """A measurement definition. `probe` is the number in the sample store.

    `lane`: how it asks; a name out of `lanes.table`, or of another release.
    `service`: keystone, nova, ... or `canary` for lanes that reach a guest; `canary` names which. `name` and `vip` are
    for people, and are keys; what they are made of stands in `interface`, `family` and `server` (see `declarations`).
    """

    probe: int
    name: str
    lane: str
    service: str
    target: str
    period_ns: int
    deadline_ns: int
    soft_ns: int = 0  # an answer later than this is SLOW_OK
    canary: str = ""
    vip: str = ""  # which of the service's addresses: public | public v6 | internal | internal v6 | ""
    address: str = ""  # numeric, where the packets go
    interface: str = ""  # public | internal | ""
    family: str = ""  # v4 | v6
    server: str = ""  # HAProxy's name for the server that is asked past HAProxy


@dataclass(frozen=True, slots=True)
class ProbeRetired(Event):
    """No more samples of this probe are due after this moment."""

    probe: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PeriodChanged(Event):
    """From this moment on a probe fires with another period."""

    probe: int
    period_ns: int


@dataclass(frozen=True, slots=True)
class ProberBeat(Event):
    """Once a second: how well the prober itself is doing. Also the pair of clocks for display."""

    lag_max_ns: int
    run_delay_ns: int
    steal_ns: int
    sent: int
    in_flight: int
    dropped: int = 0
    socket_drops: int = 0
    cpu_ns: int = 0
    late: int = 0  # replies that came after their sample had been given up
    duplicates: int = 0  # replies that came twice


@dataclass(frozen=True, slots=True)
class ProberBlind(Event):
    """The prober itself could not observe between two moments (monotonic ns): samples in between prove nothing."""

    began_ns: int
    ended_ns: int
    cause: str


@dataclass(frozen=True, slots=True)
class SampleDetail(Event):
    """More about a sample that was not OK (capped per probe and second)."""

    probe: int
    seq: int
    sample_class: int
    message: str
    status: int = 0
    maker: str = ""  # lb | web-server | token-filter | service | unknown
    request_id: str = ""  # as the service returned it
    request_id_sent: str = ""  # as the prober sent it: the service logs it as the global request id


@dataclass(frozen=True, slots=True)
class DatagramsLost(Event):
    """Which way datagrams of the lane udp were lost between two that came back, by the count that the far side sends back.

    `there` (on the way to the guest) and `back` sum up to `lost`; both -1: the guest did not count, or began to count anew.
    `from_ns`, `to_ns`: when the last before and the first after them that came back were sent.
    """

    probe: int
    from_ns: int
    to_ns: int
    lost: int
    there: int = -1
    back: int = -1


@dataclass(frozen=True, slots=True)
class ProberStopped(Event):
    """The prober drained its samples and ended. Its absence means that it died."""

    reason: str
    recorded: int
    dropped: int = 0
    stored: dict[str, int] = field(default_factory=dict)  # samples by number of the probe, as handed to the kernel


# --- witness.jsonl: what happens on the hosts, as they tell it -----------------------------------------------------
# Times ending in `wall_ns` are the host's own wall clock: they order what happens on that host; WitnessClock brings
# them onto the prober's clock. The record's own `t` is when it arrived.


@dataclass(frozen=True, slots=True)
class WitnessBegan(Event):
    """These hosts are about to be watched, each by one process over one SSH connection."""

    hosts: list[str]
    vips: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class WitnessSight(Event):
    """From now on a part of a host is watched, or is not. Nothing is known about what is not watched.

    `part`: host (all of it), docker, haproxy, ovn, vip. `state`: watching, blind (`why` says why), absent (the host has none).
    `heard_ns`: when a blind host was last heard (prober's clock); 0: never, or not asked.
    """

    host: str
    part: str
    state: str
    why: str = ""
    wall_ns: int = 0
    heard_ns: int = 0


@dataclass(frozen=True, slots=True)
class WitnessClock(Event):
    """A host's wall clock, read between two moments of the prober's clock; and what watching has cost there so far."""

    host: str
    asked_ns: int
    answered_ns: int
    wall_ns: int
    cpu_ns: int = 0
    rss_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ContainersSeen(Event):
    """All containers of a host when watching (re)begins: name, id, status, started_at, finished_at, health."""

    host: str
    wall_ns: int
    rows: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ContainerChanged(Event):
    """One of Docker's events: start, die, stop, kill, restart, oom, pause, unpause, health_status."""

    host: str
    name: str
    action: str
    wall_ns: int
    id: str = ""
    image: str = ""
    exit_code: int | None = None
    signal: str = ""
    health: str = ""


@dataclass(frozen=True, slots=True)
class ProxiesSeen(Event):
    """All backends and servers of a host's HAProxy when watching begins or when others are configured.

    Each row: proxy, server (or BACKEND), status, address.
    """

    host: str
    wall_ns: int
    rows: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ProxyChanged(Event):
    """A server (or BACKEND: all of them together) of an HAProxy has another state: between two looks at its table."""

    host: str
    proxy: str
    server: str
    status: str
    before: str
    after_wall_ns: int
    wall_ns: int
    check: str = ""


@dataclass(frozen=True, slots=True)
class VipChanged(Event):
    """A host holds a virtual address, or does not any more; `first`: as it was when watching began."""

    host: str
    address: str
    held: bool
    wall_ns: int
    first: bool = False


@dataclass(frozen=True, slots=True)
class PortMoved(Event):
    """OVN's southbound database binds a server's port elsewhere, or says that it is up or not; `first`: as it was."""

    host: str  # whose database said so
    port: str
    server_id: str
    before: str
    chassis: str
    up: bool | None
    wall_ns: int
    first: bool = False


@dataclass(frozen=True, slots=True)
class GatewayMoved(Event):
    """OVN's southbound database binds the gateway port of a router of the canaries elsewhere; `first`: as it was."""

    host: str  # whose database said so
    port: str
    before: str
    chassis: str
    wall_ns: int
    first: bool = False


@dataclass(frozen=True, slots=True)
class ChassisChanged(Event):
    """A host's ovn-controller registered itself in the southbound database, or is gone from it."""

    host: str  # whose database said so
    name: str
    present: bool
    wall_ns: int


@dataclass(frozen=True, slots=True)
class WitnessEnded(Event):
    """Watching a host was ended on purpose: after this, nothing is known about it."""

    host: str
    cpu_ns: int = 0
    rss_bytes: int = 0


# --- calibration.jsonl, in a directory of its own, and CalibrationDone also in runner.jsonl ------------------------


@dataclass(frozen=True, slots=True)
class CalibrationSealed(Event):
    """Outages of known length are about to be measured; `seal` is the SHA-256 of what is opened in CalibrationDone."""

    seal: str
    trials: int


@dataclass(frozen=True, slots=True)
class CalibrationDone(Event):
    """How well known outages were measured, before anything that was not known.

    `outcome`: ok if this prober may gate.
    """

    outcome: str
    sentence: str
    seal: str
    sealed: str
    trials: list[dict[str, Any]] = field(default_factory=list)


# --- every journal: what a journal says about itself and about the recording ---------------------------------------


@dataclass(frozen=True, slots=True)
class JournalOpened(Event):
    """A writer begins here, the first or a later one of this file. `recording` is the same in all files of one recording.

    `torn_bytes`: so many before `at_bytes`, where this line begins, are what an earlier writer did not write to its end.
    """

    run: str
    recording: str
    file: str  # relative to the run directory
    writer: int
    at_bytes: int
    torn_bytes: int = 0
    version: str = ""
    format: int = 1


@dataclass(frozen=True, slots=True)
class JournalClosed(Event):
    """The writer ended in order. `records`: how many this writer wrote, without those about the journal itself."""

    records: int


@dataclass(frozen=True, slots=True)
class RecordsLost(Event):
    """So many records before this one could not be written."""

    count: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class FilesListed(Event):
    """The files of a run as an attempt left them, in closing.jsonl: name, bytes, sha256. `missed`: could not be read."""

    attempts: int
    files: list[dict[str, Any]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunJudged(Event):
    """The verdict when the recording was fresh, in closing.jsonl: what is damaged later may not look better."""

    outcome: str
    sentence: str
    attempts: int


def kind_of(event_type: type[Event]) -> str:
    """Return the name of a kind as it stands in journals: RunBegan is `run-began`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", event_type.__name__).lower()


KINDS: dict[str, type[Event]] = {kind_of(event_type): event_type for event_type in Event.__subclasses__()}
