"""What a probe costs: processor time per probe against fping and blackbox_exporter, lateness, and the sample store.

    sudo .venv/bin/python benchmarks/cost.py [icmp] [http] [lateness] [store]

Only loopback is used. fping and prometheus-blackbox-exporter are Debian packages; without them their rows are left out.
Processor time is user and system time of the process that probes, as the kernel counts it; for ICMP that includes the
kernel's own work on both directions, which is the same for all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import resource
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rehearsal import events
from rehearsal import outage
from rehearsal.journal import read_journal
from rehearsal.probe.client import Prober
from rehearsal.probe.spec import SECOND_NS
from rehearsal.probe.spec import ProbeSpec
from rehearsal.samples import SAMPLE
from rehearsal.samples import SampleStoreWriter
from rehearsal.samples import read_chunks
from rehearsal.samples import samples_by_probe

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 8
TURNS = 5  # one after the other, theirs and ours: other work on the machine then meets both
SETTLE_S = 2.0
REACH = """
import os, sys, time
from rehearsal.probe.beat import take_precedence
from rehearsal.probe.reach import Reach
from rehearsal.probe.spec import ProbeSpec
take_precedence("fifo")
count, period_ns, seconds, settle = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
reach = Reach(1)
for number in range(count):
    address = f"127.0.{1 + number // 250}.{1 + number % 250}"
    reach._declare(ProbeSpec(number + 1, "x", "icmp", "canary", "x", period_ns, 10**9, settings={"address": address}), 0)
os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
marks = []
mark = lambda: marks.append((time.process_time(), reach._recorder.recorded))
reach._loop.call_at(time.monotonic_ns() + int(settle * 1e9), mark)
reach._loop.call_at(time.monotonic_ns() + int((settle + seconds) * 1e9), lambda: (mark(), reach._stop(1.0)))
reach.run()
(t0, n0), (t1, n1) = marks
print((t1 - t0) / (n1 - n0) * 1e6, file=sys.stderr)
"""


def icmp() -> Iterator[str]:
    """Compare the second process with fping: 10 000 packets a second, in two shapes."""
    yield f"| ICMP, median of {TURNS} turns | fping, µs per probe | rehearse, µs per probe | ratio | ratios of the turns |"
    yield "|---|---|---|---|---|"
    for count, period_ms in ((1000, 100), (100, 10)):
        turns = [(_reach_us(count, period_ms), _fping_us(count, period_ms)) for _ in range(TURNS)]
        ours = statistics.median(our for our, _ in turns)
        theirs = [their for _, their in turns if their]
        if not theirs:
            yield f"| {count} targets every {period_ms} ms | — | {ours:.1f} | — | — |"
            continue
        ratios = sorted(our / their for our, their in turns if their)
        told = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        median = f"{statistics.median(theirs):.1f} | {ours:.1f} | {statistics.median(ratios):.2f}"
        yield f"| {count} targets every {period_ms} ms | {median} | {told} |"
    yield f"| 4 targets every 20 ms | — | {_reach_us(4, 20):.1f} | — | — |"


def _reach_us(count: int, period_ms: int) -> float:
    arguments = [str(count), str(period_ms * 1_000_000), str(SECONDS), str(SETTLE_S)]
    orders, keep_open = os.pipe()  # the end of its orders would stop it
    command = [sys.executable, "-c", REACH, *arguments]
    done = subprocess.run(command, stdin=orders, capture_output=True, check=True, text=True)
    os.close(orders)
    os.close(keep_open)
    return float(done.stderr.splitlines()[-1])


def _fping_us(count: int, period_ms: int) -> float | None:
    if not shutil.which("fping"):
        return None
    targets = [f"127.0.{1 + number // 250}.{1 + number % 250}" for number in range(count)]
    rounds = SECONDS * 1000 // period_ms
    command = ["fping", "-q", "-c", str(rounds), "-p", str(period_ms), "-i", "0.01", "-t", "1000", *targets]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, preexec_fn=_take_precedence)  # noqa: PLW1509
    _, _, usage = os.wait4(process.pid, 0)
    return (usage.ru_utime + usage.ru_stime) / (count * rounds) * 1e6


def _take_precedence() -> None:
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


# --- HTTP ----------------------------------------------------------------------------------------------------------


def http() -> Iterator[str]:
    """Compare 100 new connections a second with blackbox_exporter, without and with TLS."""
    yield "| HTTP, new connection each, 100/s | blackbox_exporter, µs per probe | rehearse, µs per probe | ratio |"
    yield "|---|---|---|---|"
    with tempfile.TemporaryDirectory() as scratch:
        for tls in (False, True):
            with _server(Path(scratch), tls=tls) as (port, cafile):
                ours = _prober_us(Path(scratch) / f"run-{tls}", port, cafile)
                theirs = _blackbox_us(Path(scratch), port, cafile)
            figures = f"{theirs:.0f} | {ours:.0f} | {ours / theirs:.2f}" if theirs else f"— | {ours:.0f} | —"
            yield f"| {'TLS 1.3, ECDSA' if tls else 'plain'} | {figures} |"


@contextlib.contextmanager
def _server(folder: Path, *, tls: bool) -> Iterator[tuple[int, str]]:
    cafile, keyfile = folder / "cert.pem", folder / "key.pem"
    if tls:
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost"
        subject = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(keyfile), "-out", str(cafile)]
        subprocess.run([*command.split(), *subject], check=True, capture_output=True)
    ports: multiprocessing.Queue[int] = multiprocessing.Queue()
    process = multiprocessing.Process(target=_serve, args=(ports, str(cafile), str(keyfile), tls), daemon=True)
    process.start()
    try:
        yield ports.get(timeout=20), str(cafile) if tls else ""
    finally:
        process.kill()
        process.join()


def _serve(ports: multiprocessing.Queue[int], cafile: str, keyfile: str, tls: bool) -> None:
    body = b'{"responder": "benchmark"}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                await writer.drain()

    async def serve() -> None:
        terms = None
        if tls:
            terms = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            terms.load_cert_chain(cafile, keyfile)
        server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=terms)
        ports.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def _web_spec(number: int, port: int, cafile: str, period_ns: int) -> ProbeSpec:
    return ProbeSpec(
        probe=number,
        name=f"benchmark {number}",
        lane="vip-new",
        service="benchmark",
        target=f"{'https' if cafile else 'http'}://localhost:{port}/",
        period_ns=period_ns,
        deadline_ns=5 * SECOND_NS,
        settings={"address": "127.0.0.1", "answer": "prober", "cafile": cafile},
    )


def _prober_us(run_dir: Path, port: int, cafile: str) -> float:
    """Return the cost of a sample of the first process, the writing of the store and the control's samples included."""
    prober = Prober.start(run_dir, run_dir / "log", allowed=["127.0.0.0/8"])
    for number in range(1, 11):
        prober.declare(_web_spec(number, port, cafile, SECOND_NS // 10))
    time.sleep(SETTLE_S)
    before = _cpu_s(prober.pid)
    time.sleep(SECONDS)
    used = _cpu_s(prober.pid) - before
    prober.stop()
    return used / (SECONDS * 100) * 1e6


def _blackbox_us(folder: Path, port: int, cafile: str) -> float | None:
    program = shutil.which("prometheus-blackbox-exporter")
    if program is None:
        return None
    settings = folder / "blackbox.yml"
    tls = f"\n      tls_config: {{ca_file: {cafile}, server_name: localhost}}" if cafile else ""
    settings.write_text(f"modules:\n  probe:\n    prober: http\n    http:\n      preferred_ip_protocol: ip4{tls}\n")
    listen = "127.0.0.1:9115"
    process = subprocess.Popen(
        [program, f"--config.file={settings}", f"--web.listen-address={listen}", "--log.level=error"],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    url = f"http://{listen}/probe?module=probe&target={'https' if cafile else 'http'}%3A%2F%2F127.0.0.1%3A{port}%2F"
    try:
        time.sleep(1)
        text = urllib.request.urlopen(url, timeout=10).read().decode()
        if "probe_success 1" not in text:
            raise RuntimeError(f"blackbox_exporter does not succeed: {text[-300:]}")
        before, began = _cpu_s(process.pid), time.monotonic()
        for number in range(SECONDS * 100):
            time.sleep(max(0.0, began + number / 100 - time.monotonic()))
            urllib.request.urlopen(url, timeout=10).read()
        return (_cpu_s(process.pid) - before) / (SECONDS * 100) * 1e6
    finally:
        process.kill()
        process.wait()


def _cpu_s(pid: int) -> float:
    """Return the processor time of a process so far, without its children (s)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- lateness ------------------------------------------------------------------------------------------------------


def lateness() -> Iterator[str]:
    """How late samples are sent at 2 000 samples a second in all, of three lanes, on whatever else runs here."""
    yield "| 2 000 samples/s | late by p50, ms | p99, ms | p99.9, ms | processor time, ms/s |"
    yield "|---|---|---|---|---|"
    with tempfile.TemporaryDirectory() as scratch, _server(Path(scratch), tls=False) as (port, _):
        run_dir = Path(scratch) / "run"
        prober = Prober.start(run_dir, run_dir / "log", allowed=["127.0.0.0/8"])
        for number in range(1, 101):
            lane = "vip-reused" if number > 30 else "vip-new"
            spec = _web_spec(number, port, "", SECOND_NS // 10)
            prober.declare(ProbeSpec(**{**spec.to_dict(), "lane": lane}))
        for number in range(1, 21):
            address = {"address": f"127.0.9.{number}"}
            prober.declare(ProbeSpec(200 + number, "x", "icmp", "x", "x", SECOND_NS // 50, SECOND_NS, settings=address))
        time.sleep(SETTLE_S + SECONDS)
        prober.stop()
        journal = list(read_journal(run_dir / "journal" / "prober.jsonl"))
        beats = [record.event for record in journal if isinstance(record.event, events.ProberBeat)][int(SETTLE_S) :]
        samples = np.concatenate([part[len(part) // 5 :] for part in samples_by_probe(run_dir).values()])
    lags = np.percentile((samples["sent"] - samples["due"]) / 1e6, [50, 99, 99.9])
    cpu_ms = np.mean([beat.cpu_ns for beat in beats]) / 1e6
    yield f"| 1 000 HTTP (300 new), 1 000 ICMP | {lags[0]:.2f} | {lags[1]:.2f} | {lags[2]:.2f} | {cpu_ms:.0f} |"


# --- the store -----------------------------------------------------------------------------------------------------


def store() -> Iterator[str]:
    """An hour of 60 probes at 20 Hz, flushed every second: size, reading, deriving; scaled to a day."""
    probes, seconds, rate = 60, 3600, 20
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "samples" / "prober.smp"
        with SampleStoreWriter(path) as writer:
            for second in range(seconds):
                rows = np.zeros((probes, rate), SAMPLE)
                rows["probe"] = np.arange(probes)[:, None]
                rows["seq"] = second * rate + np.arange(rate)
                rows["due"] = (
                    10**15 + rows["seq"].astype(np.int64) * (SECOND_NS // rate) + np.arange(probes)[:, None] * 777
                )
                rows["sent"] = rows["due"] + random.exponential(120_000, rows.shape).astype(np.int64)
                rows["done"] = rows["sent"] + random.lognormal(np.log(6e6), 0.5, rows.shape).astype(np.int64)
                rows["sample_class"] = np.where((second % 600 < 3) & (rows["probe"] % 3 == 0), 20, 0)
                flat = rows.reshape(-1)
                writer.append(flat[np.argsort(flat["done"])])
                writer.flush()
        count, size = probes * seconds * rate, path.stat().st_size
        began = time.process_time()
        read = sum(len(chunk) for chunk in read_chunks(path))
        read_s = time.process_time() - began
        folds = {
            probe: outage.ProbeFold(begin_ns=10**15, periods=[(10**15, SECOND_NS // rate)]) for probe in range(probes)
        }
        began = time.process_time()
        stream = outage.StreamFold(folds, horizon_ns=20 * SECOND_NS)
        for chunk in read_chunks(path):
            stream.add(chunk)
        stream.finish()
        windows = sum(len(fold.finish().outages) for fold in folds.values())
        derive_s = time.process_time() - began
    assert read == count
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    day = 24 * 3600 / seconds
    yield "| store, 60 probes at 20 Hz | bytes per sample | read | read and derive | windows | peak memory |"
    yield "|---|---|---|---|---|---|"
    yield f"| an hour, {count / 1e6:.1f} M samples | {size / count:.2f} | {read_s:.1f} s | {derive_s:.1f} s | {windows} | {memory_mb:.0f} MB |"
    yield f"| a day, scaled | {size * day / 1e9:.2f} GB | {read_s * day:.0f} s | {derive_s * day:.0f} s | | |"


def main() -> None:
    """Run what was asked for, or everything."""
    parts = {"icmp": icmp, "http": http, "lateness": lateness, "store": store}
    for name in sys.argv[1:] or parts:
        for line in parts[name]():
            print(line, flush=True)
        print()
    print(json.dumps({"processors": os.cpu_count(), "load": os.getloadavg(), "kernel": os.uname().release}))


if __name__ == "__main__":
    main()
