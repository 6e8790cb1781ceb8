"""Results made by hand or by a seeded generator, for the tests of the report."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from rehearsal.figures.length import Budget
from rehearsal.figures.length import Length
from rehearsal.figures.length import together
from rehearsal.figures.outcome import Outcome
from rehearsal.judging.course import Check
from rehearsal.judging.course import Step
from rehearsal.judging.differences import Difference
from rehearsal.judging.inside import GuestFigure
from rehearsal.judging.instruments import BlindCause
from rehearsal.judging.instruments import Calibration
from rehearsal.judging.instruments import Lane
from rehearsal.judging.instruments import Load
from rehearsal.judging.instruments import Trial
from rehearsal.judging.losses import Loss
from rehearsal.judging.moves import Canary
from rehearsal.judging.moves import Migration
from rehearsal.judging.observing.latencies import AnswerTime
from rehearsal.judging.quality import Quality
from rehearsal.judging.results import Results
from rehearsal.judging.rooms import Finding
from rehearsal.judging.rooms import Gap
from rehearsal.judging.shown.flows import Flow
from rehearsal.judging.sums import MoreWindows
from rehearsal.judging.windows import Strip
from rehearsal.judging.windows import Window
from rehearsal.recording.stretch import BETWEEN
from rehearsal.recording.stretch import Stretch
from rehearsal.recording.stretch import step as step_of

S = 1_000_000_000
T0 = 50_000 * S
WALL0 = 1_795_501_488 * S  # 2026-11-24 06:24:48 UTC
OK, FAIL, UNKNOWN = Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN

STEPS = [
    ("facts", "Gather facts", [], 6),
    ("pull", "Pull the new images", [], 31),
    ("common", "Common", [], 9),
    ("memcached", "Memcached", ["keystone"], 8),
    ("mariadb", "MariaDB", ["keystone", "glance", "nova", "neutron", "placement"], 24),
    ("rabbitmq", "RabbitMQ", ["nova", "neutron"], 22),
    ("loadbalancer", "HAProxy", ["keystone", "glance", "nova", "neutron", "placement"], 14),
    ("openvswitch", "Open vSwitch", ["canaries"], 19),
    ("ovn", "OVN", ["canaries"], 25),
    ("keystone", "Keystone", ["keystone"], 38),
    ("placement", "Placement", ["placement"], 27),
    ("glance", "Glance", ["glance"], 26),
    ("neutron", "Neutron", ["neutron"], 52),
    ("nova", "Nova", ["nova"], 95),
    ("cleanup", "Clean up", [], 7),
]
SERVICES = ["keystone", "glance", "placement", "neutron", "nova", "canaries"]


def length(certain_s: float, point_s: float, possible_s: float | None) -> Length:
    """A length from seconds."""
    return Length(round(certain_s * S), round(point_s * S), None if possible_s is None else round(possible_s * S))


def quality(**changes: Any) -> Quality:
    """An unobjectionable measurement."""
    plain = Quality(
        samples=212_400,
        probes=34,
        dropped=0,
        lag_p99_ns=1_240_000,
        lag_max_ns=18_700_000,
        blind=[],
        blind_share=0.0,
        load_per_s=214.0,
        steal_ns=310_000_000,
        run_delay_ns=1_900_000_000,
        prober_stopped=True,
        remarks=[],
        lag_p50_ns=210_000,
        cpu_ns=91 * S,
        socket_drops=3,
        late_replies=7,
        duplicates=2,
        load=Load(214.2, 171.5, 210.0, 208.8, 203.1, 700 * S),
        blind_causes=[BlindCause("own tick late by 1.2 s", 2, 1_400_000_000, 1_200_000_000)],
    )
    return replace(plain, **changes)


def calibration(**changes: Any) -> Calibration:
    """Three known outages, each as it should be measured."""
    trials = [
        Trial("refuse", 1_234_000_000, True, 1_190_000_000, 1_251_000_000, 1_310_000_000, None, True, False),
        Trial("hold", 160_000_000, False, 0, 0, None, 231_000_000, True, False),
        Trial("blackhole", 900_000_000, True, 0, 700_000_000, None, None, True, True),
    ]
    usual = Calibration(T0 + 9 * S, OK, "3 of 3 within their bounds; worst error 0.017 s.", "ab" * 32, True, trials)
    return replace(usual, **changes)


def lanes_of(strips: list[Strip]) -> list[Lane]:
    """The lanes of some strips."""
    groups: dict[str, list[Strip]] = {}
    for strip in strips:
        groups.setdefault(strip.lane, []).append(strip)
    return [
        Lane(
            lane=lane,
            vip="",
            probes=[row.name for row in rows],
            period_ns=(rows[0].period_ns, rows[0].period_ns),
            samples=sum(row.samples for row in rows),
            failed=sum(row.failed for row in rows),
            slow=sum(row.slow for row in rows),
            proving_nothing=12,
            floor_ns=219_000_000,
            floor_step="ovn",
            gap_max_ns=131_000_000,
            blind_ns=1_200_000_000,
            late_p50_ns=200_000,
            late_p99_ns=2_300_000,
        )
        for lane, rows in groups.items()
    ]


def empty(**changes: Any) -> Results:
    """A run that was killed before it did anything."""
    nothing = Results(
        run="20261124T062448Z",
        mode="rehearsal",
        outcome=UNKNOWN,
        sentence="Nothing is known: the run ended before anything was observed.",
        findings=[],
        began_ns=T0,
        ended_ns=T0,
        clock_pairs=[(T0, WALL0)],
        target={},
        plan={},
        from_release="",
        to_release="",
        phases=[],
        steps=[],
        services=[],
        matrix=[],
        windows=[],
        strips=[],
        migrations=[],
        canaries=[],
        checks=[],
        not_proven=[],
        differences=[],
        quality=quality(samples=0, probes=0, lag_p99_ns=None, lag_max_ns=None, load_per_s=0.0, prober_stopped=False),
        notes=[],
        provenance={},
        end_reason="",
    )
    return replace(nothing, **changes)


def stretch_of(where: str | Stretch) -> Stretch:
    """A step by its id, the time outside of steps by an empty word; any other place as it is."""
    return where if isinstance(where, Stretch) else step_of(where) if where else BETWEEN


def loss(where: str | Stretch, service: str, kind: str = "down", **changes: Any) -> Loss:
    """A clean cell."""
    clean = Loss(
        stretch=stretch_of(where),
        service=service,
        kind=kind,
        count=0,
        longest=Length(0, 0, 0),
        total=Length(0, 0, 0),
        samples=1200,
        failed=0,
        floor_ns=208_400_000,
        blind_ns=0,
        budget=Budget(1 * S, 5 * S, None, "default"),
        outcome=OK,
        reason="No failed sample; the floor is within the budget.",
    )
    return replace(clean, **changes)


def check(number: int = 0, **changes: Any) -> Check:
    """A passed check."""
    passed = Check(
        id="preflight.container-tag",
        node_id=f"suites/preflight/test_containers.py::test_tag[lab-compute-{number}]",
        suite="preflight",
        gate="preflight",
        outcome=OK,
        claim="Every container carries the tag of the release that the cloud claims",
        expected="nova_compute 30.1.0.20251130",
        observed="nova_compute 30.1.0.20251130",
        repeat=f"pytest 'suites/preflight/test_containers.py::test_tag[lab-compute-{number}]'",
        host=f"lab-compute-{number}",
        container="nova_compute",
        service="nova",
        duration_s=0.012,
    )
    return replace(passed, **changes)


def full(  # noqa: C901, PLR0912 - a whole run
    *, seconds: int = 700, seed: int = 7, bad: bool = True, http: int = 20, canaries: int = 3, hosts: int = 4
) -> Results:
    """A whole run of that length: with losses, unknowns and failures, or clean."""
    chance = random.Random(seed)
    end = T0 + seconds * S
    stretch = (seconds - 170) / sum(step[3] for step in STEPS)
    steps, t_ns = [], T0 + 95 * S
    for place, (name, title, services, share) in enumerate(STEPS):
        took = round(share * stretch * S)
        outcome = FAIL if bad and name == "nova" else UNKNOWN if bad and name == "ovn" else OK
        steps.append(
            Step(
                name,
                title,
                services,
                t_ns,
                t_ns + took - S,
                0,
                1,
                outcome,
                "gate: nova over budget" if outcome is FAIL else "",
                f"logs/{place + 1:02d}-{name}.1.log",
                f"osism apply -a upgrade {name}",
            )
        )
        t_ns += took
    lanes = [(vip, lane) for lane in ("vip-new", "vip-reused") for vip in ("public", "internal")]
    apis = SERVICES[:5]
    strips, windows, number = [], [], 0
    for place in range(http):
        service = apis[place % 5]
        vip, lane = lanes[place // 5 % 4]
        number += 1
        strip, found = _probe(
            number, f"{service} {vip} {lane}", lane, service, "", 100_000_000, steps, end, chance, bad
        )
        strips.append(strip)
        windows += found
    migrations = []
    names = [f"canary-{place}" for place in range(canaries)]
    for place, name in enumerate(names):
        for occasion, at_s in (
            ("before", 60 + place * 9),
            ("mixed", (steps[12].ended_ns - T0) // S - 4),
            ("after", seconds - 60 + place * 9),
        ):
            failed = bad and occasion == "mixed" and place == 1
            began = T0 + round(at_s * S)
            migrations.append(
                Migration(
                    f"{occasion}-{name}",
                    name,
                    occasion,
                    f"lab-compute-{place % 2}",
                    f"lab-compute-{(place + 1) % 2}",
                    began,
                    began + 8 * S,
                    "error" if failed else "completed",
                    7.9,
                    length(0.1, 0.142, 0.181),
                    length(0.21, 0.43, 0.47),
                    41_000_000,
                    FAIL if failed else OK,
                    "nova reports status error; the server stayed on lab-compute-1"
                    if failed
                    else "completed, host changed, same boot id, network window closed",
                )
            )
        for lane, period in (("icmp", 20_000_000), ("tcp", 50_000_000)):
            number += 1
            strip, found = _probe(number, f"{name} {lane}", lane, "canary", name, period, steps, end, chance, bad)
            strips.append(strip)
            windows += found
    if bad:
        began = steps[13].began_ns + 31 * S
        windows.append(
            Window(
                5,
                strips[4].name,
                strips[4].lane,
                "nova",
                "",
                "down",
                began - 61_000_000,
                began,
                began + 2_004_300_000,
                began + 2_080_000_000,
                length(2.0043, 2.06, 2.141),
                1,
                21,
                {"HTTP_5XX_LB": 18, "REFUSED": 3},
                step_of("nova"),
                "step",
                ["nova_api on lab-control-0 restarted 0.31 s before"],
            )
        )
        strips[4] = replace(
            strips[4],
            failed=21,
            runs=[
                (T0 + 40 * S, began, "good"),
                (began, began + 2_004_300_000, "bad"),
                (began + 2_004_300_000, end, "good"),
            ],
        )
    matrix = []
    for step in steps:
        for service in SERVICES:
            for kind in ("down", "degraded"):
                lost = [
                    window
                    for window in windows
                    if (window.step, window.service, window.kind) == (step.id, service, kind)
                ]
                if lost:
                    matrix.append(_lost(step.id, service, kind, lost))
                elif bad and step.id == "ovn" and service == "canaries" and kind == "down":
                    matrix.append(
                        loss(
                            step.id,
                            service,
                            floor_ns=1_400_000_000,
                            blind_ns=1_200_000_000,
                            outcome=UNKNOWN,
                            reason="The floor of 1.40 s is over the budget of 1 s: sample faster to decide.",
                        )
                    )
                else:
                    matrix.append(loss(step.id, service, kind, floor_ns=chance.randrange(190, 240) * 1_000_000))
    checks = [
        check(host % hosts, gate=gate, suite=suite)
        for gate, suite in (("preflight", "preflight"), ("step:nova", "inflight"), ("postflight", "postflight"))
        for host in range(hosts)
    ]
    checks += [
        check(
            place,
            id="preflight.api-answers",
            claim=f"The API of {service} answers on both VIPs",
            expected="200 with the service's own mark",
            observed="200 in 21 ms, version v3.14",
            host="",
            container="",
            service=service,
        )
        for place, service in enumerate(apis)
    ]
    if bad:
        checks.append(
            check(
                1,
                gate="step:nova",
                suite="inflight",
                outcome=FAIL,
                id="inflight.container-tag",
                claim="After the step every nova_compute carries the target release's tag",
                expected="nova_compute 31.0.1.20260808 (digest sha256:9a1e…44)",
                observed="nova_compute 30.1.0.20251130 (digest sha256:77c0…e1), started 2026-11-24 05:58:12",
            )
        )
        checks.append(
            check(
                0,
                gate="postflight",
                suite="postflight",
                outcome=UNKNOWN,
                id="postflight.agents-up",
                claim="Every neutron agent reports in",
                expected="alive within 75 s",
                observed="not observed: the API did not answer within 30 s",
                container="",
                service="neutron",
            )
        )
    outcome = FAIL if bad else OK
    return Results(
        run="20261124T062448Z",
        mode="rehearsal",
        outcome=outcome,
        sentence="The upgrade from 2024.2 to 2025.1 broke its promises in step nova: nova was down for 2.06 s [2.00 s to 2.14 s] against a budget of 2 s, and one of 214 checks failed."
        if bad
        else "The upgrade from 2024.2 to 2025.1 kept every promise: 15 of 15 steps passed, nothing was down for longer than its budget, and 9 of 9 live migrations succeeded.",
        findings=[
            Finding(FAIL, "step:nova", "nova was down for at least 2.0043 s during step nova; allowed are 2 s."),
            Finding(
                FAIL,
                "check:inflight.container-tag",
                "lab-compute-1 still runs nova_compute with its old tag 30.1.0.20251130.",
            ),
            Finding(
                UNKNOWN,
                "step:ovn",
                "Canaries in step ovn: the prober was blind for 1.2 s, so an outage of up to 1.40 s could have passed unseen; allowed is 1 s.",
            ),
            Finding(OK, "migrations", "8 of 9 live migrations completed with the same boot id."),
        ]
        if bad
        else [],
        began_ns=T0,
        ended_ns=end,
        clock_pairs=[(T0, WALL0), (end, WALL0 + end - T0)],
        target={
            "cloud": "lab.test",
            "vips": {"internal": "10.77.0.9", "public": "10.77.0.254"},
            "hosts": [f"lab-compute-{n}" for n in range(hosts)],
        },
        plan={"name": "osism-9.5-to-10.2", "steps": [{"id": step.id, "command": step.command} for step in steps]},
        from_release="2024.2",
        to_release="2025.1",
        phases=[
            ("preflight", T0, T0 + 22 * S),
            ("canaries", T0 + 22 * S, T0 + 48 * S),
            ("baseline", T0 + 48 * S, T0 + 95 * S),
            ("steps", T0 + 95 * S, steps[-1].ended_ns),
            ("migrations-after", steps[-1].ended_ns, end - 30 * S),
            ("postflight", end - 30 * S, end - 8 * S),
            ("clean-up", end - 8 * S, end),
        ],
        steps=steps,
        services=SERVICES,
        matrix=matrix,
        windows=windows,
        strips=strips,
        migrations=migrations,
        canaries=[
            Canary(
                name,
                f"5b1c7f0e-0000-4000-8000-00000000000{place % 10}",
                f"10.78.0.{20 + place}",
                f"lab-compute-{place % 2}",
                [f"b7f3{place % 10}"],
                length(0, 0, 0.04),
                length(0, 0, 0.04),
                OK,
                "No failed sample outside migrations.",
            )
            for place, name in enumerate(names)
        ],
        checks=checks,
        not_proven=[
            Gap("IPv6", "The cloud has no IPv6 on its VIPs."),
            Gap("Volumes of canaries", "The plan has no cinder."),
        ]
        + ([Gap("Step ovn, canaries", "Blind for 1.2 s of 25 s.")] if bad else []),
        differences=[
            Difference("image", "nova_compute on lab-compute-0", "changed", "30.1.0.20251130", "31.0.1.20260808", True)
        ]
        + ([Difference("agent", "ovn-controller on lab-compute-1", "lost", "alive", "absent", False)] if bad else []),
        quality=quality(
            blind=[(steps[8].began_ns + 3 * S, steps[8].began_ns + 3 * S + 1_200_000_000, "own tick late by 1.2 s")],
            blind_share=0.0017,
            remarks=["Blind for 1.2 s during step ovn."],
        )
        if bad
        else quality(),
        notes=[
            (T0 + 5 * S, "info", "Plan osism-9.5-to-10.2 read."),
            (T0 + 100 * S, "warning", "Pulling took longer than expected."),
        ],
        provenance={
            "rehearse": "0.1.0",
            "revision": "4b87456",
            "plan_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "host": "lab-manager",
            "boot_id": "2f1d3f3e-5d0e-4f7c-8a55-0d8f3f6f6c11",
            "command": "rehearse run --plan osism-9.5-to-10.2",
            "utc offset": "+01:00",
        },
        end_reason="gate" if bad else "finished",
        lanes=lanes_of(strips),
        answer_times=[
            AnswerTime(
                service, "vip-new", stretch, count, 8_100_000, *(tail if count > 299 else (None, None)), 93_000_000
            )
            for service in apis
            for stretch, count, tail in (
                ("before", 400, (14_000_000, 31_000_000)),
                ("during", 90_000, (44_000_000, 510_000_000)),
                ("after", 40, (None, None)),
            )
        ],
        calibrations=[calibration()],
        grades=dict.fromkeys(SERVICES, "A") | ({"nova": "C", "canaries": ""} if bad else {}),
        grade="" if bad else "A",
        shown={
            "flows": [
                Flow(
                    "canary-0",
                    "udp",
                    9_000,
                    12,
                    2,
                    length(0.1, 0.2, 0.3),
                    length(0.1, 0.2, 0.3),
                    length(0, 0, 0),
                    700_000_000,
                    7,
                    4,
                    1,
                )
            ]
        },
        guests=[
            GuestFigure(
                "canary-0",
                "pause",
                OK,
                "its heart beat on",
                length(0.01, 0.02, 0.03),
                4,
                T0 + S,
                T0 + 2 * S,
                "step ovn",
                S,
            ),
            GuestFigure(
                "canary-1", "file", FAIL if bad else OK, "its file has another checksum" if bad else "unchanged"
            ),
        ],
        more_windows=[MoreWindows("icmp", "down", 37, 40, 49_000_000, length(0.5, 0.9, 1.4))] if bad else [],
    )


def _lost(step: str, service: str, kind: str, lost: list[Window]) -> Loss:
    budget = Budget(4 * S, 15 * S, None, "default")
    if step == "nova" and kind == "down":
        budget = Budget(2 * S, 15 * S, 6, "rehearsal:20261103T101500Z,20261110T101500Z")
    longest = max(window.length for window in lost)
    total = together(window.length for window in lost)
    outcome = longest.against(budget_ns=budget.longest_ns)
    return loss(
        step,
        service,
        kind,
        count=len(lost),
        longest=longest,
        total=total,
        failed=sum(window.failed for window in lost),
        budget=budget,
        outcome=outcome,
        reason=f"The longest window against a budget of {budget.longest_ns / S:g} s: {outcome.shown}.",
    )


def _probe(  # noqa: PLR0917
    number: int,
    name: str,
    lane: str,
    service: str,
    canary: str,
    period: int,
    steps: list[Step],
    end: int,
    chance: random.Random,
    bad: bool,
) -> tuple[Strip, list[Window]]:
    runs: list[tuple[int, int, str]] = []
    windows: list[Window] = []
    t_ns = T0 + 40 * S
    failed = slow = 0
    if bad:
        for step in steps:
            if step.id == "ovn" and step.began_ns is not None:
                runs += [
                    (t_ns, step.began_ns + 3 * S, "good"),
                    (step.began_ns + 3 * S, step.began_ns + 4 * S + S // 5, "blind"),
                ]
                t_ns = step.began_ns + 4 * S + S // 5
            if service not in step.services or step.began_ns is None or step.ended_ns is None:
                continue
            for kind in ("degraded", "down"):
                onset = step.began_ns + round((step.ended_ns - step.began_ns) * chance.uniform(0.2, 0.45))
                if onset < t_ns + S or chance.random() < 0.35:
                    continue
                size = round(chance.uniform(0.2, 3.2) * S)
                windows.append(
                    Window(
                        number,
                        name,
                        lane,
                        service,
                        canary,
                        kind,
                        onset - period,
                        onset,
                        onset + size,
                        onset + size + period,
                        Length(size, size + period, size + 2 * period),
                        1,
                        size // period,
                        {"SLOW_OK" if kind == "degraded" else "HTTP_5XX_LB": size // period},
                        step_of(step.id),
                        "step",
                        [f"{service}_api on lab-control-0 restarted at 06:31:07.2"],
                    )
                )
                runs += [(t_ns, onset, "good"), (onset, onset + size, "slow" if kind == "degraded" else "bad")]
                t_ns = onset + size
                failed += size // period if kind == "down" else 0
                slow += size // period if kind == "degraded" else 0
    runs.append((t_ns, end - 9 * S, "good"))
    samples = (end - T0 - 49 * S) // period
    latency = [
        (T0 + minute * 60 * S, chance.randrange(4_000_000, 9_000_000), chance.randrange(15_000_000, 60_000_000))
        for minute in range(max(1, (end - T0) // (60 * S)))
    ]
    return Strip(
        number, name, lane, service, canary, period, samples, failed, slow, 2 * period + 8_000_000, runs, latency
    ), windows
