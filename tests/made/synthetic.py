"""Run directories written by the real writers from a scripted truth: what really happened is known exactly.

`write_run(run_dir, Scenario(...))` makes a run directory that `history.load` cannot tell from a recorded one. All times
of a scenario are seconds since the run began; on the recording's clock the run begins at `START_NS`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from rehearsal.recording import events
from rehearsal.recording.journal import Journal
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.samples import BLIND
from rehearsal.recording.samples import SAMPLE
from rehearsal.recording.samples import SampleStoreWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START_NS = 5_000 * 10**9
WALL_NS = 1_795_500_000 * 10**9
_SLICE_S = 60.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """What `who` (a service or a canary) really suffers in [from_s, to_s): `kind` down, slow or stalled.

    down: every request that meets the interval ends as `sample_class`; slow: an answer takes `answer_s`; stalled: no
    answer before `to_s`. `lanes` empty: all of them; `vip` empty: both.
    """

    who: str
    from_s: float
    to_s: float
    kind: str = "down"
    sample_class: SampleClass | None = None
    answer_s: float = 3.0
    lanes: tuple[str, ...] = ()
    vip: str = ""


@dataclass(frozen=True, slots=True)
class ScriptedStep:
    """A step as it goes. `rc` None: its end is never seen. `gate`: outcomes of the checks after it."""

    id: str
    from_s: float
    to_s: float
    services: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    disturbs: dict[str, dict[str, float]] = field(default_factory=dict)
    rc: int | None = 0
    gate: tuple[str, ...] = ("ok",)
    attempt: int = 1
    does: dict[str, Any] = field(default_factory=dict)  # other keys of the plan


@dataclass(frozen=True, slots=True)
class ScriptedMigration:
    """A live migration of a canary as it goes."""

    id: str
    canary: str
    from_s: float
    to_s: float
    occasion: str = "mixed"
    status: str = "completed"
    source: str = "compute-0"
    target: str = "compute-1"
    host_after: str = "compute-1"
    server_status: str = "ACTIVE"
    rebooted: bool = False


def default_steps() -> tuple[ScriptedStep, ...]:
    """Two steps that may each disturb their own service."""
    allowed = {"longest_s": 10.0, "total_s": 15.0, "slow_longest_s": 20.0, "slow_total_s": 30.0, "source": "plan"}
    return (
        ScriptedStep("keystone", 70, 100, ("keystone",), ("keystone",), {"keystone": dict(allowed)}),
        ScriptedStep("nova", 110, 150, ("nova",), ("nova_api", "nova_conductor"), {"nova": dict(allowed)}),
    )


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run's script. `prober_stops_s` None: it drains and stops at the end; else it stalls there ("stall") or dies."""

    run: str = "20261124T062448Z"
    duration_s: float = 170.0
    services: tuple[str, ...] = ("keystone", "nova")
    vips: tuple[str, ...] = ("internal",)
    lanes: tuple[str, ...] = ("vip-new", "vip-reused")
    canaries: tuple[str, ...] = ("canary-0", "canary-1")
    http_hz: float = 10.0
    deep_hz: float = 1.0  # 0: no authenticated reads
    icmp_hz: float = 50.0
    tcp_hz: float = 20.0  # 0: none
    ipv6: bool = False  # canaries are pinged over IPv6 as well, half as often
    control: bool = True
    off_path: tuple[str, ...] = ()  # addresses of controls off the path; troubles name them as `control ADDRESS`
    baseline_s: float = 60.0
    settle_s: float = 2.0
    defaults: dict[str, Any] = field(default_factory=dict)
    steps: tuple[ScriptedStep, ...] = field(default_factory=default_steps)
    troubles: tuple[Trouble, ...] = ()
    migrations: tuple[ScriptedMigration, ...] = ()
    stalls: tuple[tuple[float, float], ...] = ()  # the prober stands still
    prober_dies_s: float | None = None
    prober_pause: tuple[float, float] | None = None  # it stops, and another one starts later with the same probes
    runner_dies_s: float | None = None
    wall_steps: tuple[tuple[float, float], ...] = ()  # (at, by): the wall clock jumps
    end_reason: str = "finished"
    checks: tuple[events.CheckDone, ...] = ()
    more: tuple[tuple[float, events.Event], ...] = ()  # further records of the runner
    answer_s: float = 0.008
    jitter_s: float = 0.002
    soft_s: float = 1.0
    hard_s: float = 10.0
    seed: int = 1

    def budgets(self) -> dict[str, Any]:
        """The plan's default budgets."""
        usual = {"longest_s": 1.0, "slow_longest_s": 2.0, "source": "default"}
        return self.defaults or dict.fromkeys([*self.services, "canaries"], usual)


class _Clock:
    """The scripted clock of a journal: told, not read."""

    def __init__(self, scenario: Scenario) -> None:
        self.now_s = 0.0
        self._jumps = scenario.wall_steps

    def __call__(self) -> tuple[int, int]:
        jumped_s = sum(by for at, by in self._jumps if self.now_s >= at)
        ns = round(self.now_s * 1e9)
        return START_NS + ns, WALL_NS + ns + round(jumped_s * 1e9)


def at_ns(seconds: float) -> int:
    """A scenario's second on the recording's clock (ns)."""
    return START_NS + round(seconds * 1e9)


def probes_of(scenario: Scenario) -> list[events.ProbeDeclared]:
    """Every probe of the scenario, numbered from 1."""
    found: list[dict[str, Any]] = []
    http = {"deadline_ns": round(scenario.hard_s * 1e9), "soft_ns": round(scenario.soft_s * 1e9)}
    for service in scenario.services:
        for vip in scenario.vips:
            for lane in scenario.lanes:
                target = f"https://api-{vip}.example.test/{service}"
                found.append(
                    {
                        "name": f"{service} {vip} {lane}",
                        "lane": lane,
                        "service": service,
                        "target": target,
                        "vip": vip,
                        "period_ns": round(1e9 / scenario.http_hz),
                        **http,
                    }
                )
        if scenario.deep_hz:
            found.append(
                {
                    "name": f"{service} deep",
                    "lane": "deep",
                    "service": service,
                    "target": f"https://api-internal.example.test/{service}/things?limit=1",
                    "vip": "internal",
                    "period_ns": round(1e9 / scenario.deep_hz),
                    **http,
                }
            )
    for number, canary in enumerate(scenario.canaries):
        for lane, rate in (("icmp", scenario.icmp_hz), ("tcp", scenario.tcp_hz)):
            if rate:
                found.append(
                    {
                        "name": f"{canary} {lane}",
                        "lane": lane,
                        "service": "canary",
                        "canary": canary,
                        "target": f"192.0.2.{number + 10}",
                        "period_ns": round(1e9 / rate),
                        "deadline_ns": 1_000_000_000,
                    }
                )
    for number, canary in enumerate(scenario.canaries if scenario.ipv6 else ()):
        found.append(
            {
                "name": f"{canary} icmp v6",
                "lane": "icmp",
                "service": "canary",
                "canary": canary,
                "target": f"2001:db8::{number + 10}",
                "period_ns": round(2e9 / scenario.icmp_hz),
                "deadline_ns": 1_000_000_000,
            }
        )
    if scenario.control:
        found.append(
            {
                "name": "control local",
                "lane": "control",
                "service": "control",
                "target": "127.0.0.1:40000",
                "period_ns": 100_000_000,
                "deadline_ns": 900_000_000,
            }
        )
    found += [
        {
            "name": f"control {address}",
            "lane": "control",
            "service": "control",
            "target": f"http://{address}/",
            "address": address,
            "period_ns": 500_000_000,
            "deadline_ns": 900_000_000,
        }
        for address in scenario.off_path
    ]
    return [events.ProbeDeclared(probe=number, **spec) for number, spec in enumerate(found, start=1)]


def samples_of(
    scenario: Scenario, probe: events.ProbeDeclared, from_s: float = 0.0, to_s: float | None = None
) -> np.ndarray:
    """Every sample of one probe that is due in [from_s, to_s), ordered by `sent`: a pure function of the script."""
    end_s = scenario.duration_s if to_s is None else to_s
    period_s = probe.period_ns / 1e9
    offset_s = period_s * (probe.probe * 0.381966 % 1.0)
    first = int(np.ceil(max(0.0, from_s - offset_s) / period_s - 1e-9))
    last = int(np.ceil((end_s - offset_s) / period_s - 1e-9))
    seq = np.arange(first, max(first, last))
    rng = np.random.default_rng((scenario.seed, probe.probe, first))
    due = offset_s + seq * period_s
    sent = due + rng.exponential(0.0003, len(seq)).clip(max=0.01)
    for stall_from, stall_to in scenario.stalls:
        stalled = (sent >= stall_from) & (sent < stall_to)
        sent[stalled] = stall_to + 1e-5 * np.arange(stalled.sum())
    answer = scenario.answer_s + rng.exponential(scenario.jitter_s, len(seq))
    done = sent + answer
    met = sent + answer / 2
    from_met, to_met = met.min(initial=np.inf), met.max(initial=-np.inf)
    classes = np.full(len(seq), int(SampleClass.OK), np.uint8)
    for trouble in scenario.troubles:
        if not _concerns(trouble, probe) or trouble.to_s <= from_met or trouble.from_s > to_met:
            continue
        hit = (met >= trouble.from_s) & (met < trouble.to_s)
        if trouble.kind == "down":
            wanted = trouble.sample_class
            if wanted is None:
                wanted = SampleClass.NO_REPLY if probe.lane in {"icmp", "tcp"} else SampleClass.HTTP_5XX_LB
            classes[hit] = int(wanted)
            silent = {SampleClass.NO_REPLY, SampleClass.TIMEOUT_TTFB}
            if wanted in silent:
                done[hit] = sent[hit] + probe.deadline_ns / 1e9
            elif wanted is SampleClass.TIMEOUT_CONNECT:
                done[hit] = sent[hit] + 0.9
        else:
            done[hit] = trouble.to_s + answer[hit] if trouble.kind == "stalled" else sent[hit] + trouble.answer_s
            late = done - sent > (probe.soft_ns or probe.deadline_ns) / 1e9
            classes[hit & late] = int(SampleClass.SLOW_OK)
    for stall_from, stall_to in scenario.stalls:
        waiting = (done >= stall_from) & (sent < stall_from)
        done[waiting & (done < stall_to)] = stall_to
    array = np.zeros(len(seq), SAMPLE)
    array["probe"] = probe.probe
    array["sample_class"] = classes
    array["flags"] = np.where(sent - due > period_s, BLIND, 0)
    array["seq"] = seq
    array["due"] = START_NS + np.round(due * 1e9).astype(np.int64)
    array["sent"] = START_NS + np.round(sent * 1e9).astype(np.int64)
    array["done"] = START_NS + np.round(done * 1e9).astype(np.int64)
    end_ns = at_ns(scenario.duration_s)
    cut = array["done"] > end_ns
    array["sample_class"][cut] = int(SampleClass.CANCELLED_BY_STOP)
    array["done"][cut] = end_ns
    return array[np.argsort(array["sent"], kind="stable")]


def _concerns(trouble: Trouble, probe: events.ProbeDeclared) -> bool:
    return (
        trouble.who in {probe.service, probe.canary, probe.name}
        and (not trouble.lanes or probe.lane in trouble.lanes)
        and (not trouble.vip or trouble.vip == probe.vip)
    )


def write_run(run_dir: Path, scenario: Scenario | None = None) -> Path:
    """Write the whole run directory; return it."""
    script = scenario or Scenario()
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "samples").mkdir(exist_ok=True)
    (run_dir / "logs").mkdir(exist_ok=True)
    _write_prober(run_dir, script)
    _write_runner(run_dir, script)
    return run_dir


def _write_prober(run_dir: Path, script: Scenario) -> None:
    dies_s = script.prober_dies_s
    end_s = script.duration_s if dies_s is None else min(dies_s, script.duration_s)
    spans = [(0.0, end_s)]
    if script.prober_pause is not None:
        spans = [(0.0, script.prober_pause[0]), (script.prober_pause[1], end_s)]
    clock = _Clock(script)
    with Journal(run_dir / "journal" / "prober.jsonl", clock=clock) as journal:
        for number, (from_s, to_s) in enumerate(spans):
            died = dies_s is not None and number == len(spans) - 1
            _write_prober_run(run_dir, script, journal, clock, from_s, to_s, died=died)


def _write_prober_run(run_dir, script, journal, clock, from_s, to_s, *, died):  # noqa: PLR0917
    probes = probes_of(script)
    load = sum(1e9 / probe.period_ns for probe in probes if probe.lane not in {"icmp", "tcp", "control"})
    recorded = 0
    clock.now_s = from_s
    journal.write(
        events.ProberStarted(
            pid=4711,
            boot_id="boot-of-the-prober",
            probes=len(probes),
            samples_file="samples/prober.smp",
            load_per_s=load,
        )
    )
    for probe in probes:
        journal.write(probe)
    begin_s = from_s
    with SampleStoreWriter(run_dir / "samples" / "prober.smp") as writer:
        while begin_s < to_s:
            slice_end_s = min(begin_s + _SLICE_S, to_s)
            block = np.concatenate([samples_of(script, probe, begin_s, slice_end_s) for probe in probes])
            if died:
                block = block[block["done"] <= at_ns(to_s)]
            elif to_s < script.duration_s:
                cut = block["done"] > at_ns(to_s)
                block["sample_class"][cut] = int(SampleClass.CANCELLED_BY_STOP)
                block["done"][cut] = at_ns(to_s)
            block = block[np.argsort(block["done"], kind="stable")]
            writer.append(block)
            writer.flush()
            recorded += len(block)
            begin_s = slice_end_s
    for second in range(int(from_s) + 1, int(to_s) + 1):
        clock.now_s = float(second)
        if any(low <= second < high for low, high in script.stalls):
            continue
        ended = [(low, high) for low, high in script.stalls if second - 1 <= high < second]
        for low, high in ended:
            journal.write(events.ProberBlind(at_ns(low), at_ns(high), "the prober was not running"))
        lag_s = max((high - low for low, high in ended), default=0.001)
        journal.write(
            events.ProberBeat(
                lag_max_ns=round(lag_s * 1e9),
                run_delay_ns=200_000,
                steal_ns=0,
                sent=round(recorded / max(to_s - from_s, 1)),
                in_flight=3,
            )
        )
    if not died:
        clock.now_s = to_s
        stored = {str(probe): count for probe, count in writer.stored.items()}
        journal.write(events.ProberStopped(reason="stop", recorded=recorded, stored=stored))


def _write_runner(run_dir: Path, script: Scenario) -> None:
    timeline: list[tuple[float, events.Event]] = [(0.0, _began(script))]
    first_s = min((step.from_s for step in script.steps), default=script.duration_s)
    timeline += [
        (0.1, events.PhaseBegan("preflight")),
        (1.0, events.PhaseEnded("preflight")),
        (1.1, events.PhaseBegan("canaries")),
        (3.0, events.PhaseEnded("canaries")),
        (3.0, events.PhaseBegan("baseline")),
        (min(script.baseline_s, first_s), events.PhaseEnded("baseline")),
        (first_s, events.PhaseBegan("steps")),
    ]
    timeline += [(2.0, _canary(name, number)) for number, name in enumerate(script.canaries)]
    for step in script.steps:
        timeline += _step(script, step)
    for migration in script.migrations:
        timeline += _migration(migration)
    end_s = script.duration_s
    timeline += [(end_s - 0.2, events.CanaryGone(name, f"server-{name}")) for name in script.canaries]
    timeline.append((end_s, events.RunEnded(script.end_reason)))
    timeline += script.more
    clock = _Clock(script)
    with Journal(run_dir / "journal" / "runner.jsonl", clock=clock) as journal:
        for moment_s, event in sorted(timeline, key=lambda item: item[0]):
            if script.runner_dies_s is not None and moment_s > script.runner_dies_s:
                break
            clock.now_s = moment_s
            journal.write(event)
    _write_checks(run_dir, script)


def plan_of(script: Scenario) -> dict[str, Any]:
    """The plan as the run copies it into its journal."""
    return {
        "name": "synthetic",
        "title": "A scripted upgrade",
        "from_release": "2024.2",
        "to_release": "2025.1",
        "services": list(script.services),
        "defaults": script.budgets(),
        "migration": {"longest_s": 5.0, "source": "default"},
        "baseline_s": script.baseline_s,
        "settle_s": script.settle_s,
        "steps": [
            {
                "id": step.id,
                "title": f"Upgrade {step.id}",
                "command": ["osism", "apply", "-a", "upgrade", step.id],
                "services": list(step.services),
                "containers": list(step.containers),
                "disturbs": step.disturbs,
                **step.does,
            }
            for step in {step.id: step for step in script.steps}.values()
        ],
    }


def _began(script: Scenario) -> events.RunBegan:
    return events.RunBegan(
        run=script.run,
        mode="rehearsal",
        attempt=1,
        argv=["rehearse", "run", "--plan", "synthetic"],
        version="0.1.0",
        revision="0000000",
        host="manager",
        boot_id="boot-of-the-prober",
        plan=plan_of(script),
        plan_sha256="0" * 64,
        target={
            "cloud": "synthetic",
            "hosts": ["control-0", "compute-0", "compute-1"],
            "groups": {"manager": ["manager"]},
        },
    )


def _canary(name: str, number: int) -> events.CanaryUp:
    return events.CanaryUp(
        canary=name,
        server_id=f"server-{name}",
        host=f"compute-{number % 2}",
        address=f"192.0.2.{number + 10}",
        fixed_ip=f"198.51.100.{number + 10}",
        network="canaries",
        boot_id=f"boot-{name}",
        beacon_port=9000,
    )


def _step(script: Scenario, step: ScriptedStep) -> list[tuple[float, events.Event]]:
    began = events.StepBegan(
        step=step.id,
        title=f"Upgrade {step.id}",
        services=list(step.services),
        argv=["osism", "apply", "-a", "upgrade", step.id],
        attempt=step.attempt,
        log=f"logs/{step.id}.{step.attempt}.log",
    )
    found: list[tuple[float, events.Event]] = [(step.from_s, began)]
    if step.rc is None:
        return found
    gate = f"step:{step.id}"
    after_s = step.to_s + script.settle_s
    outcome = "fail" if "fail" in step.gate else "unknown" if "unknown" in step.gate else "ok"
    found += [
        (step.to_s, events.StepEnded(step.id, step.attempt, step.rc)),
        (after_s, events.SuiteBegan("inflight", gate, ["pytest", "suites/inflight"], f"logs/suite-{step.id}.log")),
        (after_s + 1, events.SuiteEnded("inflight", gate, 0 if outcome == "ok" else 1)),
        (after_s + 1.1, events.GateDecided(gate, outcome, "went on" if outcome == "ok" else "stopped")),
    ]
    return found


def _migration(migration: ScriptedMigration) -> list[tuple[float, events.Event]]:
    boot = f"boot-{migration.canary}"
    return [
        (
            migration.from_s,
            events.MigrationBegan(
                migration.id,
                migration.canary,
                f"server-{migration.canary}",
                migration.source,
                migration.target,
                migration.occasion,
            ),
        ),
        (
            migration.to_s,
            events.MigrationEnded(
                migration=migration.id,
                canary=migration.canary,
                status=migration.status,
                host_after=migration.host_after,
                server_status=migration.server_status,
                boot_id_before=boot,
                boot_id_after=f"{boot}-again" if migration.rebooted else boot,
                total_s=migration.to_s - migration.from_s,
            ),
        ),
    ]


def looks(*, from_s: float = 60.0, to_s: float = 165.0) -> tuple[tuple[float, events.Event], ...]:
    """What a run sees of the cloud and of its hosts before the first step and after the last: nothing is another."""
    facts = {"servers": [{"id": "1", "name": "web", "status": "ACTIVE"}], "ports": []}
    row = {"name": "nova_api", "image": "registry/kolla/nova-api:2025.1", "image_id": "1", "started_at": "then"}
    found: list[tuple[float, events.Event]] = []
    for at_s, label in ((from_s, "before"), (to_s, "after")):
        found.append((at_s, events.CloudFacts(label, dict(facts))))
        found += [(at_s, events.HostFacts(label, host, [row])) for host in ("control-0", "compute-0", "compute-1")]
    return tuple(found)


def check(gate: str, outcome: str = "ok", **fields: Any) -> events.CheckDone:
    """A check's record with everything a reader may want to see."""
    suite = "inflight" if gate.startswith("step:") else gate
    usual = events.CheckDone(
        check=f"{suite}.container-tag",
        node_id=f"suites/{suite}/test_containers.py::test_tag[control-0]",
        suite=suite,
        gate=gate,
        outcome=outcome,
        claim="Every container runs the release that it should run",
        expected="2025.1",
        observed="2025.1" if outcome == "ok" else "2024.2",
        repeat=f"pytest suites/{suite} -k control-0",
        host="control-0",
        container="keystone",
        service="keystone",
        duration_s=0.2,
    )
    return dataclasses.replace(usual, **fields)


def _write_checks(run_dir: Path, script: Scenario) -> None:
    timed: list[tuple[float, str, events.CheckDone]] = [(0.5, "preflight", check("preflight"))]
    for step in script.steps:
        if step.rc is not None:
            gate = f"step:{step.id}"
            timed += [
                (
                    step.to_s + script.settle_s + 0.5,
                    gate,
                    check(gate, outcome, node_id=f"suites/inflight/test_containers.py::test_tag[{number}]"),
                )
                for number, outcome in enumerate(step.gate)
            ]
    timed.append((script.duration_s - 1, "postflight", check("postflight")))
    timed += [(script.duration_s - 0.9, done.gate, done) for done in script.checks]
    alive = [item for item in timed if script.runner_dies_s is None or item[0] <= script.runner_dies_s]
    by_gate: dict[str, list[tuple[float, events.CheckDone]]] = {}
    for moment_s, gate, done in alive:
        by_gate.setdefault(gate, []).append((moment_s, done))
    for number, records in enumerate(by_gate.values(), start=1):
        clock: Callable[[], tuple[int, int]] = _Clock(script)
        suite = records[0][1].suite
        with Journal(run_dir / "journal" / f"suite-{number:02d}-{suite}.jsonl", clock=clock) as journal:
            for moment_s, done in records:
                clock.now_s = moment_s  # type: ignore[attr-defined]
                journal.write(done)


def six_hours() -> Scenario:
    """Thirty HTTP probes at 10 Hz and ten canaries at 50 + 20 Hz for six hours: the size that must stay quick."""
    services = ("keystone", "glance", "placement", "neutron", "nova")
    steps = tuple(
        ScriptedStep(
            f"{service}-{number}",
            600.0 + 1_000 * (number * len(services) + index),
            1_400.0 + 1_000 * (number * len(services) + index),
            (service,),
            (f"{service}_api",),
            {service: {"longest_s": 15.0, "total_s": 60.0, "slow_longest_s": 20.0, "source": "plan"}},
        )
        for number in range(4)
        for index, service in enumerate(services)
    )
    troubles = tuple(
        Trouble(step.services[0], step.from_s + 100, step.from_s + 103.5, kind) for step in steps for kind in ("down",)
    ) + tuple(Trouble(step.services[0], step.from_s + 110, step.from_s + 116, "stalled") for step in steps)
    return Scenario(
        duration_s=21_600.0,
        services=services,
        vips=("internal", "public"),
        lanes=("vip-new", "vip-reused", "backend-new"),
        canaries=tuple(f"canary-{number}" for number in range(10)),
        deep_hz=0.0,
        steps=steps,
        troubles=troubles,
    )
