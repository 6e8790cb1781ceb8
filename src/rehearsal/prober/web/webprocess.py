"""The first process of the prober: takes orders on stdin, probes the web, writes everything.

Orders and answers are JSON, one object a line; every order is answered in turn, `{"ok": true, ...}` or
`{"ok": false, "error": "one sentence"}`. Orders: allow, declare, retire, period, token, credentials, stop. The end of stdin
(the runner died) and SIGTERM mean stop: nothing new is sent, what is in flight is waited for, everything is written.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import ipaddress
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from rehearsal.lanes import table
from rehearsal.lanes.load import check_load
from rehearsal.lanes.spec import OWN_PROBES
from rehearsal.lanes.spec import SECOND_NS
from rehearsal.lanes.spec import ProbeRefused
from rehearsal.lanes.spec import ProbeSpec
from rehearsal.lanes.spec import check_period
from rehearsal.lanes.spec import numeric_address
from rehearsal.lanes.spec import spec_from
from rehearsal.lanes.table import Asks
from rehearsal.outside.terminal import warn
from rehearsal.prober.beat import Pulses
from rehearsal.prober.beat import boot_id
from rehearsal.prober.beat import take_precedence
from rehearsal.prober.echo.echoclient import Reaching
from rehearsal.prober.loop import Loop
from rehearsal.prober.schedule import Schedule
from rehearsal.prober.web.tokens import Tokens
from rehearsal.prober.web.webprobe import WebProbe
from rehearsal.prober.web.writing import WriteProbe
from rehearsal.prober.writer import Recording
from rehearsal.recording import history
from rehearsal.recording.declarations import family_of
from rehearsal.recording.events import AddressAllowed
from rehearsal.recording.events import PeriodChanged
from rehearsal.recording.events import ProbeDeclared
from rehearsal.recording.events import ProberBeat
from rehearsal.recording.events import ProberBlind
from rehearsal.recording.events import ProbeRetired
from rehearsal.recording.events import ProberStarted
from rehearsal.recording.events import ProberStopped
from rehearsal.recording.journal import Journal
from rehearsal.recording.journal import JournalError
from rehearsal.recording.samples import SampleStoreError
from rehearsal.recording.samples import SampleStoreWriter
from rehearsal.recording.samples import read_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTROL_PROBE = OWN_PROBES[0]
_CONTROL_NS = SECOND_NS // 10
_DRAIN_S = 5.0  # how long samples in flight are waited for when the prober stops
_LAST_WORDS_NS = 2 * SECOND_NS  # and the second process after that
_STALL_SHOWN_NS = SECOND_NS // 10


class StartRefused(Exception):  # noqa: N818 - it is refused, nothing is broken
    """The prober cannot start; one sentence says why and what to do."""


class Prober:
    """The first process's state: what is declared, and what is under way."""

    def __init__(self, run_dir: Path, *, allowed: Iterable[str] = (), precedence: str = "fifo") -> None:
        self._allowed = [ipaddress.ip_network(network) for network in allowed]
        samples_file = run_dir / "samples" / "prober.smp"
        self._journal = Journal(run_dir / "journal" / "prober.jsonl")
        self._store = SampleStoreWriter(samples_file)  # an earlier prober has let go of both: what it left can be read
        self._earlier = _earlier_declarations(run_dir)
        self._next_seq = _next_seqs(samples_file)
        run_token = int.from_bytes(os.urandom(4), "big")
        self.recording = Recording(self._journal, self._store, run_token)
        self._loop = Loop()
        self._tokens = Tokens()
        self._specs: dict[int, ProbeSpec] = {}
        self._web: dict[int, WebProbe | WriteProbe] = {}
        self._closing: list[WebProbe | WriteProbe] = []
        self._pulses = Pulses()
        self._beaten = 0
        self._precedence = precedence
        self._stopping = ""
        self._stop_by_ns = 0
        self._orders = b""
        self._reaching = Reaching(self._loop, self.recording, run_token, precedence)
        self._run_token = run_token
        self._control: subprocess.Popen[bytes] | None = None
        self._next_beat_ns = 0

    def run(self) -> int:
        """Probe until told to stop; return the exit code."""
        self._watch_signals()
        self._watch_orders()
        self._reaching.start()
        port = self._control_started()
        self._reaching.wait_until_ready()
        # Only now: what starts up with precedence would keep the others waiting.
        self.recording.event_now(
            ProberStarted(
                pid=os.getpid(),
                boot_id=boot_id(),
                probes=0,
                samples_file="samples/prober.smp",
                settings={
                    "precedence": take_precedence(self._precedence),
                    "request_id_prefix": f"req-{self._run_token:08x}",
                    "allowed": [str(network) for network in self._allowed],
                    **_kernel_settings(),
                },
            )
        )
        self._declare_control(port)
        self._next_beat_ns = time.monotonic_ns() + SECOND_NS
        self._loop.call_at(self._next_beat_ns, self._beat)
        gc.collect()
        gc.freeze()
        gc.disable()
        self._answer({"ok": True, "op": "started", "pid": os.getpid()})
        self._loop.run()
        return self._finish()

    # --- orders ----------------------------------------------------------------------------------------------------

    def _watch_orders(self) -> None:
        os.set_blocking(0, False)
        try:
            self._loop.watch(0, self._hear_orders)
        except OSError:  # a regular file or /dev/null: nobody is there to give orders
            self._stop("nobody gives orders")

    def _hear_orders(self) -> None:
        try:
            data = os.read(0, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.forget(0)
            self._stop("the runner is gone")
            return
        *lines, self._orders = (self._orders + data).split(b"\n")
        for line in lines:
            self._answer(self._obey(line))

    def _obey(self, line: bytes) -> dict[str, Any]:
        order: Any = None
        try:
            order = json.loads(line)
            obey = {
                "allow": self._allow,
                "declare": self._declare,
                "retire": self._retire,
                "period": self._period,
                "token": self._token,
                "credentials": self._credentials,
                "stop": self._stop_ordered,
            }[order["op"]]
            return {"ok": True, "op": order["op"], **obey(order)}
        except ProbeRefused as refusal:
            return {"ok": False, "op": order["op"], "error": str(refusal)}
        except (ValueError, TypeError, KeyError) as error:
            return {"ok": False, "error": f"not an order: {type(error).__name__}"}  # its text may hold a secret

    def _answer(self, answer: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            os.write(1, json.dumps(answer).encode() + b"\n")

    def _allow(self, order: dict[str, Any]) -> dict[str, Any]:
        address, why = order["address"], str(order.get("why", ""))
        try:
            host = ipaddress.ip_address(address if isinstance(address, str) else "")
        except ValueError:
            raise ProbeRefused(f"{address!r} is no numeric address: one address can be allowed, no network") from None
        if host.is_multicast or host.is_unspecified or str(host) == "255.255.255.255":
            raise ProbeRefused(f"{host} is no unicast address")
        self._allowed.append(ipaddress.ip_network(host))
        self.recording.event_now(AddressAllowed(str(host), why))
        return {}

    def _declare(self, order: dict[str, Any]) -> dict[str, Any]:
        spec = spec_from(order["probe"], allowed=self._allowed)
        if spec.probe in self._specs or spec.probe in OWN_PROBES:
            raise ProbeRefused(f"probe {spec.name}: the number {spec.probe} is taken")
        earlier = self._earlier.get(spec.probe)
        if earlier is not None and earlier != (spec.name, spec.lane, spec.service):
            raise ProbeRefused(f"probe {spec.name}: the number {spec.probe} was {earlier[0]} earlier in this run")
        load = check_load([*self._specs.values(), spec])
        self._begin(spec)
        return {"probe": spec.probe, "load_per_s": load}

    def _begin(self, spec: ProbeSpec) -> None:
        seq = self._next_seq.get(spec.probe, 0)
        lane = table.of(spec.lane)
        if not lane.is_web:
            self._announce(spec)
            self._reaching.declare(spec, seq)
        else:
            schedule = Schedule.starting(
                probe=spec.probe, period_ns=spec.period_ns, now_ns=time.monotonic_ns(), seq=seq
            )
            try:
                kind = WriteProbe if lane.asks is Asks.WRITE else WebProbe
                probe = kind(spec, schedule, self._loop, self.recording, self._tokens)
            except OSError as error:  # ssl.SSLError is one: certificates that cannot be read
                raise ProbeRefused(f"probe {spec.name}: cannot read the certificates: {error}") from None
            self._announce(spec)
            self._web[spec.probe] = probe
            self._loop.add(probe)
        self._specs[spec.probe] = spec

    def _announce(self, spec: ProbeSpec) -> None:
        self.recording.event_now(
            ProbeDeclared(
                probe=spec.probe,
                name=spec.name,
                lane=spec.lane,
                service=spec.service,
                target=spec.target,
                period_ns=spec.period_ns,
                deadline_ns=spec.deadline_ns,
                soft_ns=spec.soft_ns,
                canary=spec.canary,
                vip=spec.vip,
                address=numeric_address(spec),
                interface=spec.interface,
                family=family_of(numeric_address(spec)),
                server=spec.server,
            )
        )

    def _retire(self, order: dict[str, Any]) -> dict[str, Any]:
        number = self._known(order)
        if number in self._web:
            probe = self._web.pop(number)
            self._loop.remove(probe)
            self._next_seq[number] = probe.schedule.seq
            self._closing.append(probe)
        else:
            self._next_seq[number] = self._reaching.retire(number)
        spec = self._specs.pop(number)
        self._earlier[number] = (spec.name, spec.lane, spec.service)
        self.recording.event_now(ProbeRetired(number, str(order.get("reason", ""))))
        return {"probe": number}

    def _period(self, order: dict[str, Any]) -> dict[str, Any]:
        number, period_ns = self._known(order), order["period_ns"]
        spec = self._specs[number]
        check_period(spec.name, period_ns)
        changed = spec_from({**spec.to_dict(), "period_ns": period_ns}, allowed=self._allowed)
        load = check_load([*(other for other in self._specs.values() if other is not spec), changed])
        self._specs[number] = changed
        if number in self._web:
            probe = self._web[number]
            self._loop.remove(probe)
            probe.schedule.change(period_ns, time.monotonic_ns())
            self._loop.add(probe)
        else:
            self._reaching.period(number, period_ns)
        self.recording.event_now(PeriodChanged(number, period_ns))
        return {"probe": number, "load_per_s": load}

    def _known(self, order: dict[str, Any]) -> int:
        number = order["probe"]
        if number not in self._specs or number in OWN_PROBES:
            raise ProbeRefused(f"there is no probe {number!r}")
        return int(number)

    def _token(self, order: dict[str, Any]) -> dict[str, Any]:
        self._tokens.set(str(order["name"]), str(order["token"]))
        return {}

    def _credentials(self, order: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(order["auth"], dict):
            raise ProbeRefused("credentials are keystone's `auth` object")
        self._tokens.set_credentials(str(order["name"]), order["auth"])
        return {}

    def _stop_ordered(self, order: dict[str, Any]) -> dict[str, Any]:
        self._stop("ordered", drain_s=float(order.get("drain_s", _DRAIN_S)))
        return {}

    # --- the local control -----------------------------------------------------------------------------------------

    def _control_started(self) -> int:
        command = [sys.executable, "-m", "rehearsal.prober.control", self._precedence]
        self._control = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        if self._control.stdout is None:  # asked for just above
            raise StartRefused("the local control has no output")
        return int(self._control.stdout.readline())

    def _declare_control(self, port: int) -> None:
        spec = ProbeSpec(
            probe=CONTROL_PROBE,
            name="local control",
            lane=table.CONTROL.name,
            service="prober",
            target=f"http://127.0.0.1:{port}/",
            period_ns=_CONTROL_NS,
            deadline_ns=round(table.CONTROL.hard_s * SECOND_NS),
            settings={"address": "127.0.0.1"},
        )
        if CONTROL_PROBE in self._web:
            self._loop.remove(self._web[CONTROL_PROBE])
            self._next_seq[CONTROL_PROBE] = self._web[CONTROL_PROBE].schedule.seq
        self.recording.watch_control(CONTROL_PROBE)
        self._begin(spec)

    # --- once a second ---------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        now_ns = time.monotonic_ns()
        pulse = self._pulses.take()
        reach = self._reaching.take_report()
        recorded = self.recording.recorded
        self._tell_stalls()
        self.recording.event(
            ProberBeat(
                lag_max_ns=max(self._loop.lag_max_ns, reach.lag_max_ns),
                run_delay_ns=pulse.run_delay_ns + reach.run_delay_ns,
                steal_ns=pulse.steal_ns,
                sent=recorded - self._beaten,
                in_flight=self._loop.in_flight() + reach.in_flight,
                dropped=self._loop.dropped + reach.dropped,
                socket_drops=reach.socket_drops,
                cpu_ns=pulse.cpu_ns + reach.cpu_ns,
                late=reach.late,
                duplicates=reach.duplicates,
            )
        )
        self._loop.lag_max_ns = 0
        self._beaten = recorded
        gc.collect(1)
        if self.recording.failure:
            self._stop(self.recording.failure)
        if self._control is not None and self._control.poll() is not None and not self._stopping:
            self.recording.event(ProberBlind(now_ns - SECOND_NS, now_ns, "the local control had died"))
            with contextlib.suppress(OSError, ValueError):  # it did not even start: still blind, tried at the next beat
                self._declare_control(self._control_started())
        self._next_beat_ns = max(self._next_beat_ns + SECOND_NS, now_ns)
        self._loop.call_at(self._next_beat_ns, self._beat)

    def _tell_stalls(self) -> None:
        stalls, self._loop.stalls = self._loop.stalls, []
        for began_ns, ended_ns in stalls:
            if ended_ns - began_ns > _STALL_SHOWN_NS:
                self.recording.event(ProberBlind(began_ns, ended_ns, "the prober was not running"))

    # --- the end ---------------------------------------------------------------------------------------------------

    def _watch_signals(self) -> None:
        hear, tell = socket.socketpair()
        for end in (hear, tell):
            end.setblocking(False)
        self._signals = hear, tell
        signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for the runner, who then orders a stop
        signal.signal(signal.SIGTERM, lambda *_: None)
        self._loop.watch(hear.fileno(), self._hear_signal)

    def _hear_signal(self) -> None:
        if signal.SIGTERM in self._signals[0].recv(64):
            self._stop("SIGTERM")

    def _stop(self, reason: str, *, drain_s: float = _DRAIN_S) -> None:
        if self._stopping:
            return
        self._stopping = reason
        drain_s = min(max(drain_s, 0.0), 60.0)
        self._stop_by_ns = time.monotonic_ns() + int(drain_s * SECOND_NS)
        self._loop.stop_ticking()
        self._reaching.stop(drain_s)
        self._loop.call_at(0, self._drain)

    def _drain(self) -> None:
        now_ns = time.monotonic_ns()
        if now_ns >= self._stop_by_ns:
            self._loop.stop_exchanges()
        over = self._reaching.is_over or now_ns >= self._stop_by_ns + _LAST_WORDS_NS
        if not self._loop.in_flight() and over:
            self._loop.end()
        else:
            self._loop.call_at(now_ns + SECOND_NS // 100, self._drain)

    def _finish(self) -> int:
        for probe in (*self._web.values(), *self._closing):
            probe.close()
        self._reaching.close()
        if self._control is not None:
            self._control.terminate()
            self._control.wait()
        self._tell_stalls()
        dropped = self._loop.dropped + self._reaching.take_report().dropped
        self.recording.finish()
        failure = self.recording.failure
        with contextlib.suppress(OSError):
            self._store.close()
            stored = {str(probe): count for probe, count in self._store.stored.items()}
            self.recording.event_now(ProberStopped(self._stopping, self.recording.recorded, dropped, stored))
            self._journal.close()
        if failure:
            warn(str(failure))
        self._answer({"ok": not failure, "op": "stopped", "recorded": self.recording.recorded})
        return 1 if failure else 0


def _earlier_declarations(run_dir: Path) -> dict[int, tuple[str, str, str]]:
    """Return what the numbers of probes meant earlier in this run. Raises StartRefused after a reboot."""
    earlier = history.read(run_dir, history.PROBER)
    if any(each.event.boot_id != boot_id() for each in earlier.prober_runs):
        raise StartRefused(
            f"{run_dir / history.PROBER}: this run was recorded before the machine was rebooted, its clock cannot be continued. "
            "Start a new run."
        )
    return {probe: (each.name, each.lane, each.service) for probe, each in earlier.declared.items()}


def _next_seqs(path: Path) -> dict[int, int]:
    """Return the first free sequence number of each probe that has samples."""
    following: dict[int, int] = {}
    if path.exists():
        for chunk in read_chunks(path):
            for probe in np.unique(chunk["probe"]):
                last = int(chunk["seq"][chunk["probe"] == probe].max())
                following[int(probe)] = max(following.get(int(probe), 0), last + 1)
    return following


def _kernel_settings() -> dict[str, Any]:
    """Return what the kernel does with an unanswered SYN: it decides what a deadline means."""
    settings: dict[str, Any] = {}
    for name in ("tcp_syn_retries", "tcp_syn_linear_timeouts"):
        with contextlib.suppress(OSError, ValueError):
            settings[name] = int(Path("/proc/sys/net/ipv4", name).read_text())
    return settings


def _raise_limit_of_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(arguments: list[str] | None = None) -> int:
    """Run the prober; 0: drained and written, 1: it could not record, 64: it did not start."""
    parser = argparse.ArgumentParser(
        prog="python -m rehearsal.prober", description="The prober; started by `rehearse`."
    )
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--allow", action="append", default=[], metavar="NETWORK", help="what may be probed")
    parser.add_argument("--precedence", choices=("fifo", "nice", "none"), default="fifo")
    options = parser.parse_args(arguments)
    sys.setswitchinterval(0.0005)  # the thread that writes must not keep the loop waiting
    _raise_limit_of_files()
    try:
        prober = Prober(options.run_dir, allowed=options.allow, precedence=options.precedence)
    except (StartRefused, SampleStoreError, JournalError, OSError, ValueError) as error:
        warn(str(error))
        os.write(1, json.dumps({"ok": False, "op": "started", "error": str(error)}).encode() + b"\n")
        return 64
    return prober.run()
