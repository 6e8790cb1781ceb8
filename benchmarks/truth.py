"""The truth benchmark: random outages of sealed length, as measured by this prober and by other tools' sampling rules.

    sudo .venv/bin/python benchmarks/truth.py [--trials 200] [--save FILE]

Everything happens on loopback in a network namespace of its own (it enters one by `unshare -n`); without root it stays
in the present one and leaves ICMP out. HTTP: packets dropped, connections refused, 503, answers held back, and the
service's process stopped, 0.05 to 15 s, lengths log-uniform, phases random. ICMP: the namespace ignores echo requests.
Takes about five minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING
from typing import Any

import peers

from rehearsal.calibration.calibrate import PAUSE
from rehearsal.calibration.calibrate import PERIOD_NS
from rehearsal.calibration.calibrate import KnownProcess
from rehearsal.calibration.calibrate import Trial
from rehearsal.calibration.calibrate import Truth
from rehearsal.calibration.calibrate import carry_out
from rehearsal.calibration.calibrate import compared
from rehearsal.calibration.calibrate import draw
from rehearsal.calibration.calibrate import known_spec
from rehearsal.calibration.calibrate import stretch_of
from rehearsal.calibration.known import FAULTS
from rehearsal.lanes.spec import SECOND_NS
from rehearsal.lanes.spec import ProbeSpec
from rehearsal.prober.client import Prober
from rehearsal.prober.echo import icmp
from rehearsal.recording import events
from rehearsal.recording.journal import read
from rehearsal.recording.samples import samples_by_probe

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = (*FAULTS[1:], PAUSE)
SHORTEST_S, LONGEST_S = 0.05, 15.0
CALM_S = 21.0  # more than the longest timeout of any peer
SERVICES = 20
ICMP_TRIALS, ICMP_CALM_S = 20, 2.5
ICMP_PROBE, ICMP_NS = 1000, SECOND_NS // 50
COLUMNS = (
    *("tool", "fault", "outages", "true s", "reported s", "missed"),
    *("mean error s", "worst error s", "within bounds", "width s"),
)
IGNORE_ECHO = Path("/proc/sys/net/ipv4/icmp_echo_ignore_all")


class DeafHost:
    """The namespace itself, which can be told to ignore echo requests."""

    def fault(self, kind: str) -> tuple[int, int]:
        """Begin or end ignoring them."""
        before_ns = time.monotonic_ns()
        IGNORE_ECHO.write_text("0" if kind == "none" else "1")
        return before_ns, time.monotonic_ns()


class Pinger:
    """What `ping -i` counts: requests without a reply, times the interval."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self.sent: list[int] = []
        self.heard: set[int] = set()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._ping, daemon=True)
        self.thread.start()

    def _ping(self) -> None:
        echo = icmp.EchoSocket(socket.AF_INET, os.urandom(8))
        due = time.monotonic()
        while not self.over.is_set():
            self.heard |= {heard.sequence for heard in echo.hear()}
            echo.send("127.0.0.1", len(self.sent), 1, 56)
            self.sent.append(time.monotonic_ns())
            due += self.interval_s
            time.sleep(max(0.0, due - time.monotonic()))
        time.sleep(0.5)
        self.heard |= {heard.sequence for heard in echo.hear()}

    def reported_s(self, from_ns: int, to_ns: int) -> float:
        """Return lost requests times interval."""
        lost = sum(from_ns <= at < to_ns and seq not in self.heard for seq, at in enumerate(self.sent))
        return lost * self.interval_s


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--save", type=Path, help="write every trial as JSON")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if os.geteuid() == 0 and not options.inside:
        inside = 'ip link set lo up && exec "$@" --inside'
        command = ["unshare", "-n", "sh", "-c", inside, "sh", sys.executable, *sys.argv]
        return subprocess.call(command)
    with tempfile.TemporaryDirectory() as scratch:
        results = run(options.trials, Path(scratch) / "run", with_icmp=options.inside)
    print("\n".join(table(results)))
    if options.save:
        options.save.write_text(json.dumps(results))
    ours = [trial for trial in results["trials"] if trial["ours"]]
    return 0 if all(trial["covered"] or trial["blind"] for trial in ours) else 1


def run(trials: int, folder: Path, *, with_icmp: bool) -> dict[str, Any]:
    """Make the outages, measure them, and return one record per tool and outage."""
    chance = random.SystemRandom()
    lengths = {"shortest_s": SHORTEST_S, "longest_s": LONGEST_S}
    plans = draw(chance, trials, kinds=KINDS, services=min(SERVICES, trials), calm_s=CALM_S, **lengths)
    deaf = (
        draw(chance, ICMP_TRIALS, kinds=("blackhole",), services=1, calm_s=ICMP_CALM_S, **lengths)
        if with_icmp
        else [[]]
    )
    sealed = json.dumps(
        {"salt": os.urandom(16).hex(), "plans": [[asdict(f) for f in plan] for plan in (*plans, *deaf)]}
    )
    seal = hashlib.sha256(sealed.encode()).hexdigest()
    print(f"sealed: sha256 {seal}", flush=True)
    services = [KnownProcess() for _ in plans]
    prober = Prober.start(folder, folder / "prober.log", allowed=["127.0.0.0/8"])
    ports = [str(service.http_port) for service in services]
    rivals = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("peers.py")), *ports],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert rivals.stdout is not None
    rivals.stdout.readline()
    pingers = [Pinger(0.2), Pinger(1.0)] if with_icmp else []
    heard: list[Truth] = []
    try:
        for number, service in enumerate(services, start=1):
            prober.declare(known_spec(number, service))
        if with_icmp:
            prober.declare(icmp_spec())
            host: Any = DeafHost()
            thread = threading.Thread(target=lambda: heard.extend(carry_out([host], deaf)[0]))
            thread.start()
        truths = carry_out(services, plans)
        if with_icmp:
            thread.join()
        time.sleep(CALM_S)
        output, _ = rivals.communicate(timeout=60)
    finally:
        prober.stop()
        rivals.kill()
        for service in services:
            service.close()
        for pinger in pingers:
            pinger.over.set()
    for pinger in pingers:
        pinger.thread.join()
    rows = ours(folder, truths, heard)
    for rule, by_port in json.loads(output).items():
        for port, of_service in zip(ports, truths, strict=True):
            samples = [tuple(sample) for sample in by_port[port]]
            rows += theirs(
                rule, of_service, lambda a, b, rule=rule, samples=samples: peers.reported_s(rule, samples, a, b)
            )
    for pinger in pingers:
        rows += theirs(f"ping {pinger.interval_s:g} s x lost", heard, pinger.reported_s, kind="icmp drop")
    return {"seal": seal, "sealed": sealed, "trials": rows, "prober": beats(folder)}


def icmp_spec() -> ProbeSpec:
    """Return the ICMP probe of the namespace itself."""
    return ProbeSpec(
        probe=ICMP_PROBE,
        name="known host",
        lane="icmp",
        service="calibration",
        target="127.0.0.1",
        period_ns=ICMP_NS,
        deadline_ns=SECOND_NS,
        soft_ns=SECOND_NS,
        settings={"address": "127.0.0.1"},
    )


def ours(folder: Path, truths: list[list[Truth]], heard: list[Truth]) -> list[dict[str, Any]]:
    """Return what this prober says about every outage."""
    recorded = samples_by_probe(folder)
    blind = [
        (record.event.began_ns, record.event.ended_ns)
        for record in read(folder / "journal" / "prober.jsonl").records
        if isinstance(record.event, events.ProberBlind)
    ]
    rows = []
    for number, of_service in enumerate(truths, start=1):
        trials = compared(recorded[number], of_service, period_ns=PERIOD_NS, blind=blind)
        rows += [row("rehearse, HTTP 10 Hz", trial, trial.kind) for trial in trials]
    if heard:
        trials = compared(recorded[ICMP_PROBE], heard, period_ns=ICMP_NS, blind=blind)
        rows += [row("rehearse, ICMP 50 Hz", trial, "icmp drop") for trial in trials]
    return rows


def row(tool: str, trial: Trial, kind: str) -> dict[str, Any]:
    """Return one trial of ours as a record."""
    return {
        **asdict(trial),
        "ours": True,
        "tool": tool,
        "kind": kind,
        "true_s": trial.true_ns / 1e9,
        "reported_s": trial.point_ns / 1e9,
        "missed": not trial.seen,
        "width_s": None if trial.possible_ns is None else (trial.possible_ns - trial.certain_ns) / 1e9,
    }


def theirs(
    tool: str, truths: list[Truth], reported: Callable[[int, int], float], *, kind: str = ""
) -> list[dict[str, Any]]:
    """Return what another tool would report about every outage of one service."""
    rows = []
    for index, truth in enumerate(truths):
        seconds = reported(*stretch_of(truths, index))
        true_s = (truth.least_ns + truth.most_ns) / 2e9
        rows.append(
            {
                "ours": False,
                "tool": tool,
                "kind": kind or truth.kind,
                "true_s": true_s,
                "reported_s": seconds,
                "missed": seconds == 0,
            }
        )
    return rows


def beats(folder: Path) -> dict[str, float]:
    """Return how the prober itself did."""
    found = [
        record.event
        for record in read(folder / "journal" / "prober.jsonl").records
        if isinstance(record.event, events.ProberBeat)
    ]
    return {
        "lag_max_ms": max(beat.lag_max_ns for beat in found) / 1e6,
        "cpu_ms_per_s": fmean(beat.cpu_ns for beat in found) / 1e6,
        "samples_per_s": fmean(beat.sent for beat in found),
        "steal_ms_per_s": fmean(beat.steal_ns for beat in found) / 1e6,
    }


def table(results: dict[str, Any]) -> list[str]:
    """Return the results as a Markdown table: per tool and fault, what it reported of what was true."""
    rows, prober = results["trials"], results["prober"]
    groups = dict.fromkeys((each["tool"], each["kind"]) for each in rows)
    load = f"{prober['samples_per_s']:.0f} samples/s, {prober['cpu_ms_per_s']:.0f} ms of processor time per second"
    return [
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
        *(
            line(tool, kind, [each for each in rows if (each["tool"], each["kind"]) == (tool, kind)])
            for tool, kind in groups
        ),
        "",
        f"The prober: {load}, latest tick {prober['lag_max_ms']:.0f} ms, steal {prober['steal_ms_per_s']:.0f} ms/s.",
        f"Sealed before: sha256 {results['seal']}",
    ]


def line(tool: str, kind: str, rows: list[dict[str, Any]]) -> str:
    """Return one line of the table."""
    blind = sum(row.get("blind", False) for row in rows)
    clear = [row for row in rows if not row.get("blind", False)]
    errors = [abs(row["reported_s"] - row["true_s"]) for row in clear]
    bounds, width = "—", "—"
    if rows[0]["ours"]:
        bounds = f"{sum(row['covered'] for row in clear)} of {len(clear)}" + (f" ({blind} blind)" if blind else "")
        widths = [row["width_s"] for row in clear if row["width_s"] is not None]
        width = f"{fmean(widths):.3f}" if widths else "—"
        errors = [abs(row["reported_s"] - row["true_s"]) for row in clear if row["seen"]]
    figures = (fmean(row["true_s"] for row in rows), fmean(row["reported_s"] for row in rows))
    error = f"{fmean(errors):.3f} | {max(errors):.3f}" if errors else "— | —"
    missed = sum(row["missed"] for row in rows)
    return f"| {tool} | {kind} | {len(rows)} | {figures[0]:.2f} | {figures[1]:.2f} | {missed} | {error} | {bounds} | {width} |"


if __name__ == "__main__":
    sys.exit(main())
