"""What a recording means: the pure result that the report, results.json and junit.xml show.

`judge.judge(history) -> Results` is the only maker. Everything here is derived and can be derived again. Times are
CLOCK_MONOTONIC ns of the prober host unless a name says wall; lengths are ns.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import Any

from rehearsal.figures.length import Length
from rehearsal.figures.outcome import Outcome  # noqa: TC001 - read at run time by results_json
from rehearsal.judging.stretch import Stretch  # noqa: TC001 - read at run time by results_json


@dataclass(frozen=True, slots=True)
class Budget:
    """What is allowed, and who says so: `contract`, `default`, `plan`, `rehearsal:<run ids>`."""

    longest_ns: int
    total_ns: int | None
    count: int | None
    source: str


@dataclass(frozen=True, slots=True)
class Window:
    """A downtime (`kind` down) or slow-answer (`kind` degraded) window of one probe, with its four instants.

    A flapping window (`outages` > 1) has three lengths: `length` is what its outages lasted together, `span` reaches
    from the first onset to the last end, and `good_within` counts the good samples in between.
    """

    probe: int
    probe_name: str
    lane: str
    service: str
    canary: str
    kind: str
    last_good_ns: int | None
    first_bad_ns: int
    last_bad_ns: int
    first_good_ns: int | None
    length: Length
    outages: int  # more than 1: flapping
    failed: int  # samples
    classes: dict[str, int]
    stretch: Stretch  # what it is charged to
    attribution: str  # step | pre-existing | ambiguous | between | migration
    causes: list[str] = field(default_factory=list)
    span: Length | None = None
    good_within: int = 0
    explained: str = ""  # explained | ambiguous | step | unattributed | not watched; "" in older files
    excluded: list[str] = field(default_factory=list)  # what was near, and why it is no cause
    unseen: list[str] = field(default_factory=list)  # what could have told and was not watched when it began
    proof: str = ""  # from when on a lost packet proves that it was down: a sentence; empty if none was lost

    @property
    def step(self) -> str:
        """The id of the step it is charged to; empty if none."""
        return self.stretch.step


@dataclass(frozen=True, slots=True)
class Loss:
    """What the users of one service lost during one step: a cell of the matrix step x service.

    Before the first step is the control, which is not judged. Service `canaries`: the canary that lost most; its
    migrations are judged apart.
    """

    stretch: Stretch
    service: str
    kind: str  # down | degraded
    count: int
    longest: Length
    total: Length
    samples: int
    failed: int
    floor_ns: int | None  # the longest outage that could have passed unseen; None: never sampled
    blind_ns: int
    budget: Budget | None
    outcome: Outcome
    reason: str  # one sentence
    left_ns: int = 0  # how long what began before it may have gone on in it unseen

    @property
    def step(self) -> str:
        """The step's id; empty if no step was running."""
        return self.stretch.step


@dataclass(frozen=True, slots=True)
class Step:
    """A step as it went. `outcome`: of its command and its gate; `rc` None: not seen."""

    id: str
    title: str
    services: list[str]
    began_ns: int | None
    ended_ns: int | None
    rc: int | None
    attempts: int
    outcome: Outcome
    note: str
    log: str
    command: str


@dataclass(frozen=True, slots=True)
class Strip:
    """One probe as a row of the timeline: runs of equal state, (from_ns, to_ns, state), state good|slow|bad|blind."""

    probe: int
    name: str
    lane: str
    service: str
    canary: str
    period_ns: int
    samples: int
    failed: int
    slow: int
    floor_ns: int | None
    runs: list[tuple[int, int, str]]
    latency: list[tuple[int, int, int]]  # per minute: (from_ns, median ns, p99 ns)
    gap_max_ns: int = 0  # the largest real distance between two samples, however short its period is meant to be
    blind_ns: int = 0  # late ticks and ticks that never came, together


@dataclass(frozen=True, slots=True)
class Lane:
    """All probes of one lane at one VIP: what they could see together. Lateness is how long after its time a sample was sent.

    `floor_ns`: the worst of its probes in the worst step (`floor_step`), None if nobody knows; `blind_ns`: of the
    probe that was blind longest. `proving_nothing` samples were taken while blind or ended by the prober's own fault.
    """

    lane: str
    vip: str  # public | internal | ""
    probes: list[str]
    period_ns: tuple[int, int]  # shortest and longest
    samples: int
    failed: int
    slow: int
    proving_nothing: int
    floor_ns: int | None
    floor_step: str
    gap_max_ns: int
    blind_ns: int
    late_p50_ns: int | None
    late_p99_ns: int | None


@dataclass(frozen=True, slots=True)
class AnswerTime:
    """How long good and slow answers of one service took over one lane, in one stretch of the run.

    `stretch`: before, during, after the steps. Percentiles are rounded up by at most 3 %; None where there are too few
    samples for 95 % confidence (59 for the 95th, 299 for the 99th percentile).
    """

    service: str
    lane: str
    stretch: str
    samples: int
    p50_ns: int | None
    p95_ns: int | None
    p99_ns: int | None
    max_ns: int


@dataclass(frozen=True, slots=True)
class Load:
    """What probing cost those who were probed, a second: as declared (the most at any time), and as it was (on average).

    `samples_per_s` is the most of requests and packets together: not their sum, unless both are at their most at once.
    A packet is an echo request to a guest (ICMP, TCP, UDP); what goes to the prober's own controls costs nobody.
    """

    requests_per_s: float = 0.0
    connections_per_s: float = 0.0  # of the requests, those over a connection of their own
    packets_per_s: float = 0.0
    samples_per_s: float = 0.0
    sent_requests_per_s: float = 0.0
    sent_packets_per_s: float = 0.0
    watched_ns: int = 0  # how long there was a prober


@dataclass(frozen=True, slots=True)
class BlindCause:
    """Why the whole prober could not see, how often and how long."""

    why: str
    count: int
    total_ns: int
    longest_ns: int


@dataclass(frozen=True, slots=True)
class Trial:
    """A known fault and what was measured of it. `seen` False: no window, so only the floor speaks about it."""

    kind: str
    true_ns: int
    seen: bool
    certain_ns: int
    point_ns: int
    possible_ns: int | None
    floor_ns: int | None
    covered: bool  # certain <= truth <= possible, or truth <= floor
    blind: bool  # the prober could not see at some moment of it, or was gone before its end

    @property
    def length(self) -> Length:
        """What was measured."""
        return Length(self.certain_ns, self.point_ns, self.possible_ns)

    @property
    def error_ns(self) -> int | None:
        """How far the point estimate is from the truth; None if there is none."""
        return self.point_ns - self.true_ns if self.seen and not self.blind else None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Known outages, measured before anything that was not known. `seal_fits`: the lengths are those that were sealed."""

    at_ns: int
    outcome: Outcome
    sentence: str
    seal: str
    seal_fits: bool
    trials: list[Trial]


@dataclass(frozen=True, slots=True)
class MoreWindows:
    """Windows of one lane that are too many to be listed: how many, and what they are together (added up)."""

    lane: str
    kind: str
    count: int
    failed: int
    longest_ns: int  # the possible length of the longest of them
    total: Length


@dataclass(frozen=True, slots=True)
class Migration:
    """A live migration of a canary. `outcome` ok needs: completed, host changed, ACTIVE, same boot id, window closed."""

    id: str
    canary: str
    occasion: str
    source: str
    target: str
    began_ns: int
    ended_ns: int | None
    status: str
    total_s: float | None
    network: Length | None
    tcp: Length | None
    floor_ns: int | None
    outcome: Outcome
    reason: str
    stood_still: Length | None = None  # the guest's own clock, during the migration
    hypervisor_downtime_ns: int | None = None  # as libvirt itself says
    network_excess_ns: int | None = (
        None  # how much longer the network was away, most likely; less than 0: for less long
    )
    udp: Length | None = None
    lost_there: int = 0  # datagrams, on the way to the guest
    lost_back: int = 0
    budget: Budget | None = None  # what its network gap is judged against


@dataclass(frozen=True, slots=True)
class GuestFigure:
    """What a canary noticed from inside: the worst of it, and between which two of its reports (ns) that was.

    `figure`: boot, file, pause (of its heartbeat), clock (stood still in a migration), stall (of a write), writes,
    metadata, dns, `peer NAME`. `length` None: not a matter of time. `during`: the migrations, else the steps, in between.
    `budget_ns` None: shown, not judged; pauses, stalls and the clock are judged in migrations only.
    """

    canary: str
    figure: str
    outcome: Outcome
    reason: str
    length: Length | None = None
    count: int = 0
    from_ns: int | None = None
    to_ns: int | None = None
    during: str = ""
    budget_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """The gaps that one lane to a canary saw: outside of its migrations, and the longest in one of them.

    `expected_ns`: how long an established connection may stall for what the network did (tcp; None: not known). Of the
    datagrams that were lost between two that came back: how many there, back, and on a way that nobody counted.
    """

    canary: str
    lane: str  # icmp | udp | tcp, and the same with ` v6`
    samples: int
    failed: int
    count: int
    longest: Length
    total: Length
    longest_migrating: Length
    expected_ns: int | None = None
    lost_there: int = 0
    lost_back: int = 0
    lost_unknown: int = 0


@dataclass(frozen=True, slots=True)
class Canary:
    """A canary's life in this run."""

    name: str
    server_id: str
    address: str
    host: str
    boot_ids: list[str]
    longest: Length | None  # outside migrations, network
    total: Length | None
    outcome: Outcome
    reason: str
    address_v6: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A claim and what became of it."""

    id: str
    node_id: str
    suite: str
    gate: str
    outcome: Outcome
    claim: str
    expected: str
    observed: str
    repeat: str
    host: str
    container: str
    service: str
    duration_s: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence that explains the verdict, with where it comes from (`step:nova`, `check:...`, `prober`)."""

    outcome: Outcome
    subject: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that was not proven, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as it was: `kind` server|port|volume|agent|service|container|image, `change` lost|new|changed."""

    kind: str
    name: str
    change: str
    before: str
    after: str
    expected: bool


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened on a host, from `from_ns` to `to_ns` (None: its end was not seen), each ± `error_ns`.

    `kind`: container (`subject` its name), proxy (HAProxy's `backend/server`, BACKEND for all servers together; `what` is its
    state), vip (an address), port (a canary's port in OVN; `host` is where it is bound), gateway (of the
    canaries' router, likewise), chassis.
    `what` of a container: restarted, started (when it had stopped is not known), stopped, ran (a task), paused, unhealthy,
    signalled. `ready_ns`: when Docker first called it healthy after it started.
    """

    kind: str
    host: str
    subject: str
    what: str
    from_ns: int
    to_ns: int | None
    error_ns: int = 0
    ready_ns: int | None = None
    service: str = ""  # of the plan, that it belongs to by its name
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unwatched:
    """Nobody watched this part of a host (`host`: all of it; docker, haproxy, ovn, vip) in this time: anything may have happened."""

    host: str
    part: str
    from_ns: int
    to_ns: int
    why: str


@dataclass(frozen=True, slots=True)
class Quality:
    """How far the measurement itself can be trusted."""

    samples: int
    probes: int
    dropped: int
    lag_p99_ns: int | None
    lag_max_ns: int | None
    blind: list[tuple[int, int, str]]
    blind_share: float
    load_per_s: float
    steal_ns: int
    run_delay_ns: int
    prober_stopped: bool
    remarks: list[str] = field(default_factory=list)
    lag_p50_ns: int | None = None
    cpu_ns: int = 0  # used by the prober's processes
    socket_drops: int = 0  # answers that the kernel dropped because the prober was too slow
    late_replies: int = 0  # came after their sample had been given up
    duplicates: int = 0
    load: Load = field(default_factory=Load)
    blind_causes: list[BlindCause] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Results:
    """The whole result of one run."""

    run: str
    mode: str
    outcome: Outcome
    sentence: str
    findings: list[Finding]
    began_ns: int
    ended_ns: int
    clock_pairs: list[tuple[int, int]]  # (monotonic ns, wall ns): at least one, for display
    target: dict[str, Any]
    plan: dict[str, Any]
    from_release: str
    to_release: str
    phases: list[tuple[str, int, int | None]]  # (phase, began, ended)
    steps: list[Step]
    services: list[str]
    matrix: list[Loss]
    windows: list[Window]
    strips: list[Strip]
    migrations: list[Migration]
    canaries: list[Canary]
    checks: list[Check]
    not_proven: list[Gap]
    differences: list[Difference]
    quality: Quality
    notes: list[tuple[int, str, str]]  # (t_ns, level, text)
    provenance: dict[str, str]
    end_reason: str
    lanes: list[Lane] = field(default_factory=list)
    answer_times: list[AnswerTime] = field(default_factory=list)
    calibrations: list[Calibration] = field(default_factory=list)
    grades: dict[str, str] = field(default_factory=dict)  # A, B or C by service; "" where there is none
    grade: str = ""  # of the whole run; "" if any of them is not known
    more_windows: list[MoreWindows] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    unwatched: list[Unwatched] = field(default_factory=list)
    guests: list[GuestFigure] = field(default_factory=list)  # what canaries noticed from inside
    flows: list[Flow] = field(default_factory=list)  # what each lane to a canary saw
