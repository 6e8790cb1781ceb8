"""The runner's side of the prober: start it, declare probes, stop it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.figures import say

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rehearsal.lanes.spec import ProbeSpec

_START_S = 30.0
_ANSWER_S = 15.0


class ProberError(Exception):
    """The prober refused an order or is gone; one sentence."""


class Prober:
    """A prober process, and the only one that gives it orders. Not thread-safe."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._heard = b""

    @classmethod
    def start(cls, run_dir: Path, log: Path, *, allowed: Iterable[str] = (), precedence: str = "fifo") -> Prober:
        """Start the prober of a run, its output appended to `log`. `allowed`: networks that may be probed, and nothing else.

        It gets a process group of its own, so that Ctrl-C cannot cut it in the middle of a sample. Raises ProberError.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "rehearsal.prober", "--run-dir", str(run_dir), "--precedence", precedence]
        for network in allowed:
            command += ["--allow", network]
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, start_new_session=True
            )
        prober = cls(process)
        try:
            prober._hear("started", _START_S)
        except ProberError:
            process.kill()
            process.wait()
            prober._close_pipes()
            raise
        return prober

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def declare(self, spec: ProbeSpec) -> None:
        """Let a probe begin. Raises ProberError if it is refused."""
        self._order({"op": "declare", "probe": spec.to_dict()})

    def allow(self, address: str, why: str) -> None:
        """Let one more address be probed, for a reason that is recorded. Raises ProberError if it is no unicast address."""
        self._order({"op": "allow", "address": address, "why": why})

    def retire(self, probe: int, reason: str = "") -> None:
        """Let a probe end. Raises ProberError."""
        self._order({"op": "retire", "probe": probe, "reason": reason})

    def period(self, probe: int, period_ns: int) -> None:
        """Let a probe fire with another period (ns) from now on. Raises ProberError."""
        self._order({"op": "period", "probe": probe, "period_ns": period_ns})

    def token(self, name: str, token: str) -> None:
        """Hand over a token under a name; it is kept in memory only. Raises ProberError."""
        self._order({"op": "token", "name": name, "token": token})

    def credentials(self, name: str, auth: dict[str, Any]) -> None:
        """Hand over keystone's `auth` object, with which probes that issue the token `name` ask. Raises ProberError."""
        self._order({"op": "credentials", "name": name, "auth": auth})

    def stop(self, timeout_s: float = 15.0) -> int:
        """Let it drain and write; return its exit code. What does not end within `timeout_s` is killed (-9)."""
        if self.alive():
            with contextlib.suppress(ProberError):
                self._order({"op": "stop", "drain_s": max(0.0, min(5.0, timeout_s - 4.0))})
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def alive(self) -> bool:
        """Tell whether the process runs."""
        return self._process.poll() is None

    def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            raise ProberError("the prober was stopped")
        try:
            stdin.write(json.dumps(order).encode() + b"\n")
            stdin.flush()
        except OSError:
            raise ProberError(f"the prober is gone (exit code {self._process.poll()})") from None
        return self._hear(order["op"], _ANSWER_S)

    def _hear(self, op: str, timeout_s: float) -> dict[str, Any]:
        stdout = self._process.stdout
        if stdout is None:
            raise ProberError("the prober has no output")
        until = time.monotonic() + timeout_s
        while b"\n" not in self._heard:
            ready, _, _ = select.select([stdout], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise ProberError(f"the prober did not answer to {op!r} within {say.exact_s(timeout_s)}")
            data = os.read(stdout.fileno(), 1 << 16)
            if not data:
                raise ProberError(f"the prober is gone (exit code {self._process.wait()}); see its log")
            self._heard += data
        line, self._heard = self._heard.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        if not answer.get("ok"):
            raise ProberError(str(answer.get("error", "the prober refused")))
        return answer
