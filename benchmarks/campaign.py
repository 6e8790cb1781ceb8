"""The campaign: sealed outages over HTTP, TLS, TCP and ICMP on a busy machine, judged as a run is judged.

    sudo .venv/bin/python benchmarks/campaign.py [--outages 4000] [--write benchmarks/campaign.md]

A real prober watches services that fail by a plan of their own (`failing.py`), sealed by a hash that is printed before the
first sample. Each outage becomes a step of a run; what was recorded is judged by `rehearsal.judging.judge` as it is, against
several budgets, and compared with what the services say that they really did. Everything happens in a network namespace
of its own; two processes keep both processors busy. 4 000 outages take about 20 minutes. Exit 0 only if nothing that was told is not so.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import itertools
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
from failing import RIGS

from rehearsal.figures.outcome import Outcome
from rehearsal.judging.judge import judge
from rehearsal.lanes.spec import SECOND_NS
from rehearsal.lanes.spec import ProbeSpec
from rehearsal.prober.client import Prober
from rehearsal.recording import events
from rehearsal.recording.history import load
from rehearsal.recording.journal import Journal
from rehearsal.recording.journal import read
from rehearsal.recording.sampleclass import CountsAs
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.samples import SampleStoreWriter
from rehearsal.recording.samples import samples_by_probe

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.prober.farside import certificates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rehearsal.judging.losses import Loss

WEB = ("refuse", "reset", "503", "blackhole", "hold", "slow", "flap", "queue-503", "deep-503")
KINDS = {"web": WEB, "echo": ("refuse", "reset", "blackhole", "hold", "flap"), "hosts": ("drop", "flap", "queue-drop")}
SLOW = frozenset({"hold", "slow"})
SHORTEST_S, LONGEST_S = 0.05, 8.0
CALM_S = 4.0  # longer than anything that belongs to the outage before
SOFT_NS, HARD_NS = 3 * SECOND_NS // 10, 10 * SECOND_NS
DELIVERY_S = 0.05  # answers that were held may take as long as this to be written and read on the busy machine
SHARES = (0.5, 0.9, 1.0, 1.1, 2.0)  # budgets: shares of the true length; and
FIXED_S = (0.0, 1.0, 5.0)
BUSY, DUTY = 2, 0.6


@dataclass
class Rig:
    """One service and the lanes that watch it. `truths`: of each fault, its spans (four moments each, ns)."""

    name: str
    protocol: str
    plan: list[dict[str, Any]]
    specs: list[ProbeSpec]
    truths: dict[int, list[list[int]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One outage, judged against several budgets."""

    shape: str
    protocol: str
    true_s: float
    seen: bool
    blind: bool
    outside: str  # of its bounds, and how
    width_s: float | None
    false_ok: int
    false_fail: int
    unknown: int
    verdicts: int


def draw(chance: random.Random, kinds: tuple[str, ...], count: int) -> list[dict[str, Any]]:
    """Draw a plan: every kind as often as the others, lengths log-uniform, phases random."""
    queue: list[str] = []
    while len(queue) < count:
        queue += chance.sample(kinds, len(kinds))
    return [
        {
            "kind": kind,
            "length_s": SHORTEST_S * (LONGEST_S / SHORTEST_S) ** chance.random(),
            "calm_s": CALM_S + chance.random(),
            "takes_s": chance.uniform(0.02, 0.3) if kind in {"flap", "queue-drop"} else chance.uniform(0.5, 2.0),
        }
        for kind in queue[:count]
    ]


def specs_of(kind: str, where: Any, name: str, first: int, cafile: str) -> list[ProbeSpec]:
    """Return the lanes that watch one rig."""
    if kind == "hosts":
        settings: dict[str, Any] = {"address": where}
        return [
            ProbeSpec(first, f"{name} icmp", "icmp", "canary", where, SECOND_NS // 50, SECOND_NS, 0, name, "", settings)
        ]
    settings = {"address": "127.0.0.1"}
    if kind == "echo":
        settings["port"] = where
        return [ProbeSpec(first, f"{name} tcp", "tcp", "canary", f"127.0.0.1:{where}", SECOND_NS // 20, SECOND_NS, 0, name, "", settings)]  # fmt: skip
    settings["answer"] = "prober"
    url = f"http://127.0.0.1:{where}/"
    if cafile:
        settings["cafile"], url = cafile, f"https://api.example.test:{where}/"
    lanes = (("vip-new", 5, ""), ("vip-reused", 5, ""), ("deep", 1, "deep"))
    found = []
    for number, (lane, rate_hz, path) in enumerate(lanes, start=first):
        period_ns = SECOND_NS // rate_hz
        spec = (number, f"{name} {lane}", lane, name, url + path, period_ns, HARD_NS, SOFT_NS, "", "internal", settings)
        found.append(ProbeSpec(*spec))
    return found


class Failing:
    """One process of services, and the rigs that they are."""

    def __init__(self, kind: str, protocol: str, keyfile: str = "") -> None:
        self.kind, self.protocol = kind, protocol
        command = [sys.executable, str(Path(__file__).with_name("failing.py")), kind, *([keyfile] if keyfile else [])]
        # What a service does late because the machine is busy would be an outage that nobody planned.
        self.process = subprocess.Popen(
            ["nice", "-n", "-15", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.where = json.loads(self.process.stdout.readline())
        self.rigs: list[Rig] = []

    def begin(self) -> None:
        """Hand over the sealed plans."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([rig.plan for rig in self.rigs]) + "\n")
        self.process.stdin.flush()

    def finish(self) -> None:
        """Take the truth of everything that was carried out."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = json.loads(line)
            if told == "done":
                return
            self.rigs[told["rig"]].truths[told["number"]] = told["spans"]
        raise RuntimeError(f"the {self.protocol} services ended before their plan was carried out")


def main() -> int:
    """Run the campaign and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--outages", type=int, default=4000)
    parser.add_argument("--write", type=Path, help="write the table there as well")
    parser.add_argument("--keep", type=Path, help="keep what was recorded, and the truth, in this new folder")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        if os.geteuid() != 0:
            parser.error("it makes a network namespace and a TUN device of its own: run it as root")
        inside = 'ip link set lo up && exec "$@" --inside'
        os.execvp("unshare", ["unshare", "-n", "sh", "-c", inside, "sh", sys.executable, *sys.argv])  # noqa: S606
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # so that everything else is ended too
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch) / "campaign"
        folder.mkdir()
        seal, rigs = carry_out(options.outages, folder)
        rows = [row for rig in rigs for row in judged(rig, folder)]
        text = "\n".join([*table(rows), "", *provenance(rows, seal, folder)])
    print(text)
    if options.write:
        options.write.write_text(f"# The campaign: what was told of sealed outages\n\n{text}\n")
    return 1 if any(row.outside or row.false_ok or row.false_fail for row in rows) else 0


def carry_out(outages: int, folder: Path) -> tuple[str, list[Rig]]:
    """Seal the plans, watch while they are carried out; return the seal and the rigs with their truths."""
    chance = random.SystemRandom()
    cafile, keyfile = certificates(folder, days=2)
    groups = [
        Failing("web", "HTTP"), Failing("web", "HTTP"), Failing("web", "TLS", str(keyfile)), Failing("web", "TLS", str(keyfile)),
        Failing("echo", "TCP"), Failing("hosts", "ICMP"),
    ]  # fmt: skip
    each = -(-outages // sum(RIGS[group.kind] for group in groups))
    number = 1
    for group in groups:
        for place, where in enumerate(group.where):
            name = f"{group.protocol.lower()}-{groups.index(group)}-{place}"
            specs = specs_of(group.kind, where, name, number, str(cafile) if group.protocol == "TLS" else "")
            number += len(specs)
            group.rigs.append(Rig(name, group.protocol, draw(chance, KINDS[group.kind], each), specs))  # type: ignore[arg-type]
    rigs = [rig for group in groups for rig in group.rigs]
    sealed = json.dumps({"salt": os.urandom(16).hex(), "plans": {rig.name: rig.plan for rig in rigs}})
    seal = hashlib.sha256(sealed.encode()).hexdigest()
    (folder / "sealed.json").write_text(sealed)
    print(f"{each * len(rigs)} outages in {len(rigs)} rigs, sealed: sha256 {seal}", flush=True)
    busy = [subprocess.Popen([sys.executable, "-c", _busy()]) for _ in range(BUSY)]
    prober = Prober.start(folder, folder / "prober.log", allowed=["127.0.0.0/8", "10.73.0.0/24"])
    try:
        for rig in rigs:
            for spec in rig.specs:
                prober.declare(spec)
        time.sleep(2.0)
        for group in groups:
            group.begin()
        with ThreadPoolExecutor(len(groups)) as readers:  # all at once: a full pipe would stop a service
            list(readers.map(Failing.finish, groups))
        time.sleep(CALM_S)
    finally:
        prober.stop()
        for process in (*busy, *(group.process for group in groups)):
            process.kill()
            process.wait()
    (folder / "truth.json").write_text(json.dumps({rig.name: rig.truths for rig in rigs}))
    return seal, rigs


def _busy() -> str:
    """A program that uses a share of a processor for as long as this process lives."""
    return (
        f"import os, time\nwhile os.getppid() == {os.getpid()}:\n    t = time.monotonic()\n"
        f"    while time.monotonic() - t < {0.1 * DUTY}: pass\n    time.sleep({0.1 * (1 - DUTY)})"
    )


# --- judging -------------------------------------------------------------------------------------------------------


_RECORDED: dict[Path, Any] = {}


def _recorded(folder: Path) -> tuple[dict[int, NDArray[np.void]], list[Any]]:
    if folder not in _RECORDED:
        _RECORDED[folder] = samples_by_probe(folder), read(folder / "journal" / "prober.jsonl").records
    found: tuple[dict[int, NDArray[np.void]], list[Any]] = _RECORDED[folder]
    return found


def judged(rig: Rig, folder: Path) -> list[Row]:
    """Judge what was recorded of one rig as a run with a step for each outage, against every budget."""
    samples, records = _recorded(folder)
    borders = _borders(rig, records)
    own = [samples[spec.probe] for spec in rig.specs if spec.probe in samples]
    blind = [(r.event.began_ns, r.event.ended_ns) for r in records if isinstance(r.event, events.ProberBlind)]
    row = "canaries" if rig.specs[0].canary else rig.name
    cells: list[list[Loss]] = [[] for _ in rig.plan]
    budgets = [("share", share) for share in SHARES] + [("fixed", fixed) for fixed in FIXED_S]
    allowed: list[list[float]] = []
    with tempfile.TemporaryDirectory() as scratch:
        run_dir = Path(scratch)
        _write_prober(run_dir, rig, records, own)
        for kind, value in budgets:
            limits = [round(value * _least_s(spans) if kind == "share" else value, 6) for spans in _in_order(rig)]
            allowed.append(limits)
            _write_runner(run_dir, row, borders, limits, records)
            by_step = {(loss.step, loss.kind): loss for loss in judge(load(run_dir)).matrix if loss.service == row}
            for number, fault in enumerate(rig.plan):
                kind_of = "degraded" if fault["kind"] in SLOW and rig.protocol != "TCP" else "down"
                cells[number].append(by_step[f"outage-{number}", kind_of])
    return [
        _row(rig, number, borders[number], cells[number], [limits[number] for limits in allowed], own, blind)
        for number in range(len(rig.plan))
    ]


def _in_order(rig: Rig) -> list[list[list[int]]]:
    return [rig.truths[number] for number in range(len(rig.plan))]


def _least_s(spans: list[list[int]]) -> float:
    return max(max(0, ended[0] - began[1]) for began, ended in ((span[:2], span[2:]) for span in spans)) / 1e9


def _borders(rig: Rig, records: list[Any]) -> list[tuple[int, int]]:
    """Each outage is a step of its own, from the middle of the calm before it to the middle of the calm after it."""
    spans = _in_order(rig)
    begins = [found[0][0] - SECOND_NS * 2 for found in spans]
    ends = [(found[-1][3] + after[0][0]) // 2 for found, after in itertools.pairwise(spans)]
    ends.append(min(spans[-1][-1][3] + 2 * SECOND_NS, records[-1].t_ns))
    return list(zip([begins[0], *ends], ends, strict=False))


def _write_prober(run_dir: Path, rig: Rig, records: list[Any], samples: list[NDArray[np.void]]) -> None:
    clock = _Clock()
    numbers = {spec.probe for spec in rig.specs}
    with Journal(run_dir / "journal" / "prober.jsonl", clock=clock) as journal:
        for record in records:
            if not isinstance(record.event, events.ProbeDeclared) or record.event.probe in numbers:
                clock.now_ns = record.t_ns
                journal.write(record.event)
    with SampleStoreWriter(run_dir / "samples" / "prober.smp") as writer:
        together = np.concatenate(samples)
        writer.append(together[np.argsort(together["done"], kind="stable")])


def _write_runner(
    run_dir: Path, row: str, borders: list[tuple[int, int]], limits: list[float], records: list[Any]
) -> None:
    clock = _Clock()
    (run_dir / "journal" / "runner.jsonl").unlink(missing_ok=True)
    steps = [
        {
            "id": f"outage-{number}", "title": "", "command": ["true"], "services": [],
            "disturbs": {row: {"longest_s": limit, "slow_longest_s": limit, "source": "plan"}},
        }
        for number, limit in enumerate(limits)
    ]  # fmt: skip
    plan = {
        "name": "campaign", "title": "", "from_release": "", "to_release": "", "settle_s": 0, "steps": steps,
        "services": [] if row == "canaries" else [row], "defaults": {row: {"longest_s": 60, "slow_longest_s": 60}},
    }  # fmt: skip
    with Journal(run_dir / "journal" / "runner.jsonl", clock=clock) as journal:
        clock.now_ns = records[0].t_ns
        journal.write(
            events.RunBegan(
                run="campaign", mode="rehearsal", attempt=1, argv=[], version="", revision="", host="", boot_id="",
                plan=plan, plan_sha256="", target={},
            )
        )  # fmt: skip
        for number, (from_ns, to_ns) in enumerate(borders):
            clock.now_ns = from_ns
            journal.write(events.StepBegan(step=f"outage-{number}", title="", services=[], argv=[], attempt=1, log=""))
            clock.now_ns = to_ns
            journal.write(events.StepEnded(f"outage-{number}", 1, 0))
        clock.now_ns = records[-1].t_ns
        journal.write(events.RunEnded("finished"))


class _Clock:
    """A journal's clock that is told, not read."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> tuple[int, int]:
        return self.now_ns, self.now_ns


def _row(  # noqa: PLR0913, PLR0917 - what one outage is compared by
    rig: Rig, number: int, border: tuple[int, int], cells: list[Loss], limits: list[float],
    samples: list[NDArray[np.void]], blind: list[tuple[int, int]],
) -> Row:  # fmt: skip
    fault, spans = rig.plan[number], rig.truths[number]
    slow = cells[0].kind == "degraded"
    wide = [(span[0] / 1e9, span[3] / 1e9 + (DELIVERY_S if fault["kind"] in SLOW else 0.0)) for span in spans]
    if fault["kind"] == "slow":
        wide = [(low, high + fault["takes_s"]) for low, high in wide]
    most = _filled(wide, samples)
    hit = [span for span in spans if slow or _hit(span, samples)]
    longest_most = max(high - low for low, high in most)
    total_most = sum(high - low for low, high in most)
    least = max((_least_s([span]) for span in hit), default=0.0)
    total_least = sum(_least_s([span]) for span in hit)
    loss = cells[0]
    outside = ""
    if loss.longest.certain_ns / 1e9 > longest_most or loss.total.certain_ns / 1e9 > total_most:
        outside = f"certain {loss.longest.certain_ns / 1e9:.3f} of {longest_most:.3f}"
    elif loss.count and loss.longest.possible_ns is not None and loss.longest.possible_ns / 1e9 < least:
        outside = f"possible {loss.longest.possible_ns / 1e9:.3f} of {least:.3f}"
    elif loss.count and loss.total.possible_ns is not None and loss.total.possible_ns / 1e9 < total_least:
        outside = f"possible total {loss.total.possible_ns / 1e9:.3f} of {total_least:.3f}"
    false_ok = false_fail = 0
    for cell, limit in zip(cells, limits, strict=True):
        # Nothing slower than the soft deadline was slow for anybody; a budget of zero is one on what is seen.
        truly = _least_s(spans) - (SOFT_NS / 1e9 if slow else 0.0)
        resolution = 2 * min(spec.period_ns for spec in rig.specs) / 1e9 if limit == 0 and not loss.count else limit
        if fault["kind"] == "deep-503" and not hit:
            resolution = 1e9  # nobody asked meanwhile: what only that lane sees is named as not proven
        false_ok += cell.outcome is Outcome.OK and truly > resolution
        false_fail += cell.outcome is Outcome.FAIL and longest_most <= limit
        if (cell.outcome is Outcome.OK and truly > resolution) or (
            cell.outcome is Outcome.FAIL and longest_most <= limit
        ):
            print(
                f"{rig.name} {number} {fault['kind']}: {cell.outcome}, true {truly:.3f}, allowed {limit:.3f}: {cell.reason}",
                file=sys.stderr,
            )
    if outside:
        print(f"{rig.name} {number} {fault['kind']}: outside: {outside}: {loss.reason}", file=sys.stderr)
    width = (
        None
        if not loss.count or loss.longest.possible_ns is None
        else loss.longest.possible_ns - loss.longest.certain_ns
    )
    return Row(
        shape=fault["kind"],
        protocol=rig.protocol,
        true_s=_least_s(spans),
        seen=bool(loss.count),
        blind=any(low < border[1] and high > border[0] for low, high in blind),
        outside=outside,
        width_s=None if width is None else width / 1e9,
        false_ok=false_ok,
        false_fail=false_fail,
        unknown=sum(cell.outcome is Outcome.UNKNOWN for cell in cells),
        verdicts=len(cells),
    )


def _hit(span: list[int], samples: list[NDArray[np.void]]) -> bool:
    """True if a request failed that was sent in it for certain."""
    return any(
        bool(((lane["sent"] >= span[1]) & (lane["sent"] < span[2]) & _counting(lane, CountsAs.DOWN)).any())
        for lane in samples
    )


def _counting(lane: NDArray[np.void], what: CountsAs) -> NDArray[np.bool_]:
    table = np.array([SampleClass(n).counts_as is what if n in set(SampleClass) else False for n in range(256)])
    found: NDArray[np.bool_] = table[lane["sample_class"]]
    return found


def _filled(spans: list[tuple[float, float]], samples: list[NDArray[np.void]]) -> list[tuple[float, float]]:
    """What lies between two outages counts as one with them if no request was good from its first to its last moment there."""
    found = [spans[0]]
    for low, high in spans[1:]:
        before = found[-1][1] * 1e9
        proved = any(
            bool(((lane["sent"] >= before) & (lane["done"] <= low * 1e9) & _counting(lane, CountsAs.GOOD)).any())
            for lane in samples
        )
        if proved:
            found.append((low, high))
        else:
            found[-1] = found[-1][0], high
    return found


# --- the table -----------------------------------------------------------------------------------------------------


def table(rows: list[Row]) -> list[str]:
    """Return the table by shape and lane, and its sums."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.protocol, row.shape].append(row)
    head = ("lane", "shape", "outages", "seen", "prober blind", "outside of bounds", "verdicts", "false OK", "false FAIL", "unknown", "median width s")  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for (protocol, shape), found in sorted(groups.items()):
        lines.append(_line(protocol, shape, found))
    return [*lines, _line("**all**", "", rows)]


def _line(protocol: str, shape: str, rows: list[Row]) -> str:
    widths = [row.width_s for row in rows if row.width_s is not None]
    verdicts = sum(row.verdicts for row in rows)
    unknown = sum(row.unknown for row in rows)
    cells = (
        protocol, shape, len(rows), sum(row.seen for row in rows), sum(row.blind for row in rows),
        sum(bool(row.outside) for row in rows), verdicts, sum(row.false_ok for row in rows),
        sum(row.false_fail for row in rows), f"{100 * unknown / verdicts:.0f} %", f"{median(widths):.3f}" if widths else "—",
    )  # fmt: skip
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def provenance(rows: list[Row], seal: str, folder: Path) -> list[str]:
    """Say when, with what, and how busy it was."""
    _, records = _recorded(folder)
    beats = [record.event for record in records if isinstance(record.event, events.ProberBeat)]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    lag_ms = max((beat.lag_max_ns for beat in beats), default=0) / 1e6
    rate = sum(beat.sent for beat in beats) / max(1, len(beats))
    minutes = (records[-1].t_ns - records[0].t_ns) / 60e9
    machine = f"Linux {platform.release()}, {os.cpu_count()} processors, {BUSY} processes busy for {100 * DUTY:.0f} % of the time"
    return [
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, commit {commit}, {machine}; {minutes:.0f} minutes, {rate:.0f} samples/s, the latest {lag_ms:.0f} ms late.",
        f"{len(rows)} outages, committed to beforehand: sha256 {seal}",
    ]


if __name__ == "__main__":
    sys.exit(main())
