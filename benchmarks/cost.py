"""What a probe costs: processor time per probe against fping and blackbox_exporter, lateness, and the sample store.

    sudo .venv/bin/python benchmarks/cost.py [icmp] [http] [lateness] [store] [far]

Only loopback and a network namespace of its own are used. fping and prometheus-blackbox-exporter are Debian packages; without them their rows are left out.
Processor time is user and system time of the process that probes, as the kernel counts it; for ICMP that includes the
kernel's own work on both directions, which is the same for all. On loopback the reply is there when the request has been
sent, and whoever sends ten at once hears ten at once. Targets of a cloud answer later, and wake who waits for them; the
shapes of a plan are therefore measured a second time, with targets behind a tunnel device that answer after 0.5 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import json
import multiprocessing
import os
import resource
import select
import shutil
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rehearsal import outage
from rehearsal.lanes.spec import SECOND_NS
from rehearsal.lanes.spec import ProbeSpec
from rehearsal.prober.client import Prober
from rehearsal.recording import events
from rehearsal.recording.journal import read
from rehearsal.recording.samples import SAMPLE
from rehearsal.recording.samples import SampleStoreWriter
from rehearsal.recording.samples import read_chunks
from rehearsal.recording.samples import samples_by_probe

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 8
TURNS = 5  # one after the other, theirs and ours: other work on the machine then meets both
SETTLE_S = 2.0
REACH = """
import os, sys, time
from rehearsal.prober.beat import take_precedence
from rehearsal.prober.echo.echoprocess import Reach
from rehearsal.lanes.spec import ProbeSpec
take_precedence("fifo")
count, period_ns, seconds, settle = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
network = sys.argv[5]
lags, widths, seen = [], [], {}
reach = Reach(1)
for number in range(count):
    address = f"{network}.{1 + number // 250}.{1 + number % 250}"
    reach._declare(ProbeSpec(number + 1, "x", "icmp", "canary", "x", period_ns, 10**9, settings={"address": address}), 0)
os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
if len(sys.argv) > 6:  # a turn of its own: what this costs is not to be measured
    def sample(probe, sample_class, flags, seq, due_ns, sent_ns, done_ns):
        lags.append((sent_ns - due_ns) / 1e6)
        if probe in seen:  # from when a sample was sent to the next answer: an outage that fits between them is not seen
            widths.append((done_ns - seen[probe]) / 1e6)
        seen[probe] = sent_ns
    reach._recorder.sample = sample
marks = []
mark = lambda: marks.append((time.process_time(), reach._recorder.recorded))
reach._loop.call_at(time.monotonic_ns() + int(settle * 1e9), mark)
reach._loop.call_at(time.monotonic_ns() + int((settle + seconds) * 1e9), lambda: (mark(), reach._stop(1.0)))
reach.run()
(t0, n0), (t1, n1) = marks
at = lambda values, share: sorted(values)[int(share * (len(values) - 1))] if values else 0.0
print((t1 - t0) / max(1, n1 - n0) * 1e6, at(lags, 0.5), at(lags, 0.99), at(widths, 0.5), at(widths, 0.99), file=sys.stderr)
"""
FAR_NETWORK, FAR_DELAY_S = "198.18", 0.0005
PLAN_SHAPES = ((2, 20), (4, 20), (10, 20), (24, 20))


def icmp() -> Iterator[str]:
    """Compare the second process with fping: the shapes of a plan, and 10 000 packets a second in two shapes."""
    yield f"| ICMP, loopback, median of {TURNS} turns | fping, µs per probe | rehearse, µs per probe | ratio | ratios of the turns |"
    yield "|---|---|---|---|---|"
    for shape in (*PLAN_SHAPES, (1000, 100), (100, 10)):
        yield _compared(*shape, "127.0")


def far() -> Iterator[str]:
    """Compare the second process with fping where answers come from elsewhere, in a network namespace of this process."""
    _unshare_network()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    ready: multiprocessing.Queue[bool] = multiprocessing.Queue()
    process = multiprocessing.Process(target=_answer_from_afar, args=(ready,), daemon=True)
    process.start()
    ready.get(timeout=20)
    yield f"| ICMP, answers after 0.5 ms, median of {TURNS} turns | fping, µs per probe | rehearse, µs per probe | ratio | ratios of the turns |"
    yield "|---|---|---|---|---|"
    for shape in PLAN_SHAPES:
        yield _compared(*shape, FAR_NETWORK)
    yield ""
    yield "| ICMP, answers after 0.5 ms | sent late by p50, ms | p99, ms | from sent to the next answer p50, ms | p99, ms |"
    yield "|---|---|---|---|---|"
    for count, period_ms in PLAN_SHAPES:
        figures = _reach(count, period_ms, FAR_NETWORK, "lateness")[1:]
        yield f"| {count} targets every {period_ms} ms | {' | '.join(f'{figure:.2f}' for figure in figures)} |"
    process.kill()


def _compared(count: int, period_ms: int, network: str) -> str:
    """Return a row of the table: theirs and ours in turns."""
    turns = [(_reach(count, period_ms, network)[0], _fping_us(count, period_ms, network)) for _ in range(TURNS)]
    ours = statistics.median(our for our, _ in turns)
    theirs = [their for _, their in turns if their]
    if not theirs:
        return f"| {count} targets every {period_ms} ms | — | {ours:.1f} | — | — |"
    ratios = sorted(our / their for our, their in turns if their)
    told = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    median = f"{statistics.median(theirs):.1f} | {ours:.1f} | {statistics.median(ratios):.2f}"
    return f"| {count} targets every {period_ms} ms | {median} | {told} |"


def _reach(count: int, period_ms: int, network: str, *also: str) -> list[float]:
    """Return µs per probe, then (if asked for) lateness and width of bounds: median and p99 of each (ms)."""
    arguments = [str(count), str(period_ms * 1_000_000), str(SECONDS), str(SETTLE_S), network, *also]
    orders, keep_open = os.pipe()  # the end of its orders would stop it
    command = [sys.executable, "-c", REACH, *arguments]
    done = subprocess.run(command, stdin=orders, capture_output=True, check=True, text=True)
    os.close(orders)
    os.close(keep_open)
    return [float(figure) for figure in done.stderr.splitlines()[-1].split()]


def _fping_us(count: int, period_ms: int, network: str) -> float | None:
    if not shutil.which("fping"):
        return None
    targets = [f"{network}.{1 + number // 250}.{1 + number % 250}" for number in range(count)]
    rounds = SECONDS * 1000 // period_ms
    command = ["fping", "-q", "-c", str(rounds), "-p", str(period_ms), "-i", "0.01", "-t", "1000", *targets]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, preexec_fn=_take_precedence)  # noqa: PLW1509
    _, _, usage = os.wait4(process.pid, 0)
    return (usage.ru_utime + usage.ru_stime) / (count * rounds) * 1e6


def _unshare_network() -> None:
    """Give this process a network of its own (Python 3.11 has no call for it)."""
    clone_newnet = 0x40000000
    if ctypes.CDLL(None, use_errno=True).unshare(clone_newnet):
        raise OSError(ctypes.get_errno(), "a network namespace needs root")


def _answer_from_afar(ready: multiprocessing.Queue[bool]) -> None:
    """Be all targets of FAR_NETWORK, behind a tunnel device: every echo request is answered after FAR_DELAY_S."""
    set_interface, tun_without_head = 0x400454CA, 0x1001
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, set_interface, struct.pack("16sH22x", b"far0", tun_without_head))
    subprocess.run(["ip", "address", "add", f"{FAR_NETWORK}.0.1/16", "dev", "far0"], check=True)
    subprocess.run(["ip", "link", "set", "far0", "up"], check=True)
    ready.put(True)
    waiting: deque[tuple[float, bytearray]] = deque()
    while True:
        wait_s = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        if select.select([device], [], [], wait_s)[0]:
            with contextlib.suppress(BlockingIOError):
                while True:
                    packet = bytearray(os.read(device, 4096))
                    if packet[0] == 0x45 and packet[9] == socket.IPPROTO_ICMP and packet[20] == 8:
                        packet[12:16], packet[16:20] = packet[16:20], packet[12:16]
                        total = int.from_bytes(packet[22:24], "big") + 0x800  # the type becomes 0
                        packet[20], packet[22:24] = 0, ((total & 0xFFFF) + (total >> 16)).to_bytes(2, "big")
                        waiting.append((time.monotonic() + FAR_DELAY_S, packet))
        while waiting and waiting[0][0] <= time.monotonic():
            os.write(device, waiting.popleft()[1])


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
        journal = read(run_dir / "journal" / "prober.jsonl").records
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
    parts = {"icmp": icmp, "http": http, "lateness": lateness, "store": store, "far": far}
    for name in sys.argv[1:] or parts:  # `far` last: it leaves the network of the machine
        for line in parts[name]():
            print(line, flush=True)
        print()
    print(json.dumps({"processors": os.cpu_count(), "load": os.getloadavg(), "kernel": os.uname().release}))


if __name__ == "__main__":
    main()
