"""What a report of six hours costs: seconds of processor time, memory, and bytes of the page.

    .venv/bin/python benchmarks/report.py [RUN]

Without RUN, six hours are made: 30 HTTP probes at 10 Hz over new and kept connections and past the load balancer, ten
canaries with ICMP at 50 Hz and TCP at 20 Hz, 27 steps with outages and slow answers, hundreds of moments in which the
machine of the prober was busy, and 7 500 checks; written through the writers that a run uses. Each part is measured in
a process of its own.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the scripted recordings of the tests

from rehearsal import report  # noqa: E402
from rehearsal.judging import judge  # noqa: E402
from rehearsal.recording import events  # noqa: E402
from rehearsal.recording import history  # noqa: E402
from tests.made import synthetic  # noqa: E402

HOURS = 6
SERVICES = ("keystone", "glance", "placement", "neutron", "nova")
STEPS = (
    *("configuration", "sync", "namespace", "manager", "manager-ready", "inventory", "facts", "pull", "common"),
    *("loadbalancer", "memcached", "mariadb", "rabbitmq", "openvswitch", "ovn", "keystone", "placement", "glance"),
    *("neutron", "nova-control", "nova-compute-0", "nova-compute-1", "nova-compute-2", "nova-compute-3"),
    *("nova-finish", "clean-up-control", "clean-up-computes"),
)
HOSTS = (*(f"control-{number}" for number in range(3)), *(f"compute-{number}" for number in range(8)))
CLAIMS = {
    "container-tag": ("Every container runs the release that it should run", "registry.example.test/kolla/release/{}"),
    "container-up": ("Every container that should run runs and is healthy", "running, healthy"),
    "container-kept": ("What the step does not own was not restarted", "started before the step"),
}
LIMIT_S, LIMIT_BYTES = 60, 3_000_000


def scenario(hours: float = HOURS, seed: int = 6) -> synthetic.Scenario:
    """Return the script of a run as long as that, busy as a real one."""
    chance = random.Random(seed)
    long_s = 3600.0 * hours
    canaries = tuple(f"canary-{number}" for number in range(10))
    lead_s = min(600.0, 0.15 * long_s)
    each_s = (long_s - 2 * lead_s) / len(STEPS)
    steps, troubles = [], []
    for number, name in enumerate(STEPS):
        from_s = lead_s + number * each_s
        service = next((one for one in SERVICES if name.startswith(one)), "")
        own = (service,) if service else SERVICES if name in {"mariadb", "loadbalancer", "memcached"} else ()
        allowed = {"longest_s": 20.0, "total_s": 90.0, "slow_longest_s": 60.0, "slow_total_s": 240.0, "source": "plan"}
        steps.append(
            synthetic.ScriptedStep(
                name, from_s, from_s + each_s * 0.8, own, (f"{name}_api",), {one: dict(allowed) for one in own}
            )
        )
        for one in own:
            at_s = from_s + each_s * chance.uniform(0.2, 0.4)
            troubles.append(synthetic.Trouble(one, at_s, at_s + chance.uniform(0.5, min(9.0, each_s / 6))))
            troubles.append(
                synthetic.Trouble(
                    one, at_s + each_s / 4, at_s + each_s / 4 + chance.uniform(1.2, min(12.0, each_s / 6)), "stalled"
                )
            )
    # Requests and packets that a busy machine lost or answered late, all over the run.
    for _ in range(round(60 * hours)):
        at_s = chance.uniform(lead_s / 2, long_s - 60.0)
        who = chance.choice((*SERVICES, *canaries))
        kind = "down" if who in canaries else chance.choice(("slow", "slow", "stalled", "down"))
        long = chance.uniform(1.2, 4.0) if kind == "stalled" else chance.uniform(0.02, 0.4)
        troubles.append(synthetic.Trouble(who, at_s, at_s + long, kind, answer_s=chance.uniform(1.1, 4.0)))
    stalls = []
    for _ in range(round(50 * hours)):
        at_s = chance.uniform(5.0, long_s - 10.0)
        stalls.append((at_s, at_s + chance.uniform(0.03, 0.4)))
    moves = []
    for occasion, start_s in (
        ("before", lead_s / 4),
        ("mixed", lead_s + 24.85 * each_s),
        ("after", long_s - lead_s + 5),
    ):
        for number, canary in enumerate(canaries):
            at_s = start_s + number * min(9.0, lead_s / 15)
            moves.append(synthetic.ScriptedMigration(f"{occasion}-{canary}", canary, at_s, at_s + 7, occasion))
            troubles.append(synthetic.Trouble(canary, at_s + 5, at_s + 5 + chance.uniform(0.05, 0.6)))
    return synthetic.Scenario(
        duration_s=long_s,
        services=SERVICES,
        vips=("internal", "public"),
        lanes=("vip-new", "vip-reused", "backend-new"),
        canaries=canaries,
        deep_hz=1.0,
        baseline_s=lead_s / 2,
        steps=tuple(steps),
        troubles=tuple(troubles),
        stalls=tuple(sorted(stalls)),
        migrations=tuple(moves),
        checks=tuple(_checks(chance)),
        more=tuple(_facts(steps)),
    )


def _checks(chance: random.Random):
    for gate, count in (
        ("preflight", 600),
        *((f"step:{name}", chance.choice((40, 250, 350))) for name in STEPS),
        ("postflight", 650),
    ):
        suite = "inflight" if gate.startswith("step:") else gate
        for number in range(count):
            host = HOSTS[number % len(HOSTS)]
            kind, (claim, expected) = list(CLAIMS.items())[number // len(HOSTS) % len(CLAIMS)]
            container = f"service_{number // (len(HOSTS) * len(CLAIMS))}"
            wanted = expected.format(f"{container.replace('_', '-')}:20.1.0.20260801")
            failed = gate == "step:nova-control" and number % 40 == 7
            yield synthetic.check(
                gate,
                "fail" if failed else "ok",
                check=f"{suite}.{kind}",
                node_id=f"suites/{suite}/test_containers.py::test_{kind.replace('-', '_')}[{host}-{container}]",
                claim=claim,
                expected=wanted,
                observed="exited (137) 4 minutes ago" if failed else wanted,
                repeat=f"rehearse check RUN --gate {gate} -- 'suites/{suite}/test_containers.py::test_{kind.replace('-', '_')}[{host}-{container}]'",
                host=host,
                container=container,
                service="",
                duration_s=0.02,
            )


def _facts(steps):
    """Looks at every host before and after each step; one container a step was started in between."""
    began = [synthetic.WALL_NS // 10**9 - 86_400] * 22
    for number, step in enumerate(steps):
        for moment_s, when in ((step.from_s - 1, "before"), (step.to_s + 1, "after")):
            if when == "after":
                began[number % 22] = round(synthetic.WALL_NS / 1e9 + (step.from_s + step.to_s) / 2)
            for host in HOSTS:
                containers = [
                    {
                        "name": f"service_{place}",
                        "image": f"registry.example.test/kolla/release/service-{place}:20.1.0.20260801",
                        "status": "running",
                        "started_at": time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z", time.gmtime(began[place])),
                    }
                    for place in range(22)
                ]
                yield moment_s, events.HostFacts(f"step:{step.id}:{when}", host, containers)


def measured(part: str, run_dir: Path) -> dict[str, float]:
    """Do one part of the work and tell what it cost: `write`, `judge` or `report`."""
    began_s = time.process_time()
    found: dict[str, float] = {}
    if part == "write":
        synthetic.write_run(run_dir, scenario())
    else:
        recording = history.load(run_dir)
        found["load_s"] = time.process_time() - began_s
        results = judge.judge(recording)
        found["judge_s"] = time.process_time() - began_s - found["load_s"]
        found["samples"] = results.quality.samples
        found |= {"windows": len(results.windows), "checks": len(results.checks), "probes": results.quality.probes}
        page = report.render(results, run_dir)
        found["render_s"] = time.process_time() - began_s - found["load_s"] - found["judge_s"]
        found["bytes"] = len(page.encode())
        for path in report.write(run_dir, dataclasses.replace(results, notes=results.notes)):
            found[path.name] = path.stat().st_size
    found["cpu_s"] = time.process_time() - began_s
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def _in_a_process(part: str, run_dir: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--part", part, str(run_dir)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Make a run, unless one is named; report on it, and print what that costs."""
    if sys.argv[1:2] == ["--part"]:
        print(json.dumps(measured(sys.argv[2], Path(sys.argv[3]))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        run_dir = Path(sys.argv[1]) if sys.argv[1:] else Path(scratch) / "run"
        if not run_dir.is_dir():
            made = _in_a_process("write", run_dir)
            print(f"made in {made['cpu_s']:.0f} s: {run_dir}", file=sys.stderr)
        found = _in_a_process("report", run_dir)
    once_s = found["load_s"] + found["judge_s"] + found["render_s"]
    print("| samples | probes | windows | checks | read | judge | page | together | peak memory | report.html |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    print(
        f"| {found['samples'] / 1e6:.1f} M | {found['probes']:.0f} | {found['windows']:.0f} | {found['checks']:.0f} "
        f"| {found['load_s']:.1f} s | {found['judge_s']:.1f} s | {found['render_s']:.1f} s | {once_s:.1f} s "
        f"| {found['peak_mb']:.0f} MB | {found['bytes'] / 1e6:.2f} MB |"
    )
    kept = once_s <= LIMIT_S and found["bytes"] <= LIMIT_BYTES
    print(f"\nAllowed are {LIMIT_S} s and {LIMIT_BYTES / 1e6:.0f} MB: {'kept' if kept else 'NOT KEPT'}.")
    print(json.dumps({"processors": os.cpu_count(), "load": os.getloadavg(), "kernel": os.uname().release}))


if __name__ == "__main__":
    main()
