"""The runner's side of the witness: one SSH process a host, one thread that hears them all, one journal.

Invariant: a host that is not heard is recorded as blind from the moment when it was last heard; it is tried again until
the end. Whatever ends this process also ends the processes on the hosts: their standard input ends with it.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import selectors
import subprocess
import threading
import time
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.figures import say
from rehearsal.hosts.packing import packed
from rehearsal.recording import events
from rehearsal.recording.journal import Journal
from rehearsal.witness import lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable
    from pathlib import Path

PROGRAM = "rehearsal.witness.on_host.program"
COMMAND = "exec sudo -n python3 -uc 'import base64;exec(base64.b64decode(open(0,\"rb\",0,closefd=False).readline()))'"
"""The program is the first line of its standard input: command lines on the host stay short."""
PING_S = 5.0
DEAF_S = 25.0
"""A host that did not answer a ping for so long is given up and tried again."""
CLOCK_S = 30.0
"""A host's clock is recorded so often, by the quickest answer, and at once when it jumped."""
JUMP_NS = 5_000_000
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 30.0
NOTED_AFTER_S = 30.0
"""What stays blind for so long is told to the operator, once; an upgrade makes everything blink."""
AT_ONCE = 16
"""So many hosts are connected to at the same time."""
END_S = 5.0
MOST_LINES, LINES_S = 20_000, 10.0
"""A host that says more lines than this in that time is no witness: it is given up for a while, like one that is deaf."""


@dataclass
class _Line:
    """The connection to one host. `connecting`: it did not say hello yet."""

    host: str
    argv: list[str]
    process: subprocess.Popen[bytes] | None = None
    connecting: bool = False
    said: bytes = b""
    counted: int = 0  # lines since `counted_since`
    counted_since: float = 0.0
    complained: bytes = b""
    opened_ns: int = 0
    heard_ns: int = 0  # 0: never
    due: float = 0.0
    retry_s: float = FIRST_RETRY_S
    ping: int = 0
    asked_ns: dict[int, int] = field(default_factory=dict)
    clock: events.WitnessClock | None = None  # the last that was recorded, at `clock_ns`
    clock_ns: int = 0
    best: events.WitnessClock | None = None  # the quickest answer since then
    blind: dict[str, tuple[float, str]] = field(default_factory=dict)  # part: since, why
    noted: set[str] = field(default_factory=set)
    cpu_ns: int = 0
    rss_bytes: int = 0


class Witness:
    """Watches hosts from `start` to `stop`. `note` gets (level, sentence) for the operator, at most once a host and part."""

    def __init__(self, path: Path, note: Callable[[str, str], None]) -> None:
        self._path = path
        self._note = note
        self._lines: list[_Line] = []
        self._vips: list[str] = []
        self._servers: list[str] = []
        self._routers: list[str] = []
        self._thread: threading.Thread | None = None
        self._journal: Journal | None = None
        self._stop = threading.Event()
        self._wanted = threading.Event()  # other servers are to be watched
        self._selector: selectors.BaseSelector | None = None
        self._program = base64.b64encode(packed(PROGRAM).encode()) + b"\n"

    # --- for the runner -------------------------------------------------------------------------------------------------

    def start(self, commands: dict[str, list[str]], vips: Iterable[str] = ()) -> None:
        """Watch these hosts, each through its command line (ssh). Returns at once. Raises OSError."""
        if not commands or self._thread is not None:
            return
        self._journal = Journal(self._path)
        self._vips = sorted(set(vips))
        self._lines = [_Line(host, argv) for host, argv in sorted(commands.items())]
        self._journal.write(events.WitnessBegan([line.host for line in self._lines], self._vips))
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)
        self._thread.start()

    def heard(self, event: events.Event) -> None:
        """Take from what the runner records which servers' ports and which routers' gateways to watch."""
        if isinstance(event, events.CanaryUp) and event.server_id not in self._servers:
            self._servers = [*self._servers, event.server_id]
            if event.router_id and event.router_id not in self._routers:
                self._routers = [*self._routers, event.router_id]
            self._wanted.set()

    def stop(self) -> str:
        """Let the processes on the hosts end, and the journal; return in one sentence what watching cost, if it was on."""
        if self._thread is None:
            return ""
        self._stop.set()
        self._thread.join(END_S + 5.0)
        self._thread = None
        if self._journal is not None:
            self._journal.close()
        heard = [line for line in self._lines if line.heard_ns]
        cpu_s = max((line.cpu_ns for line in heard), default=0) / 1e9
        rss = max((line.rss_bytes for line in heard), default=0) / 2**20
        return (
            f"witness: {len(heard)} of {len(self._lines)} hosts heard; "
            f"at most {say.at_most(round(cpu_s * say.SECOND))} of CPU time and {rss:.0f} MiB of memory on one of them"
        )

    # --- the thread -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with contextlib.closing(selectors.DefaultSelector()) as selector:
            self._selector = selector
            try:
                while not self._stop.is_set():
                    self._turn(selector, 0.5)
                self._end(selector)
            except Exception as error:  # noqa: BLE001 - the run goes on; from here on nothing is watched, and it is told
                for line in self._lines:
                    self._lost(line, f"the witness ended: {type(error).__name__}: {error}")
                self._note("error", f"The witness ended: {type(error).__name__}: {error}")
            finally:
                for line in self._lines:
                    self._drop(line)

    def _turn(self, selector: selectors.BaseSelector, longest_s: float) -> None:
        for key, _ in selector.select(longest_s):
            self._hear(*key.data)
        now = time.monotonic()
        others = self._wanted.is_set()
        self._wanted.clear()
        for line in self._lines:
            if others and line.process is not None and not line.connecting:
                self._say(line, {"servers": self._servers, "routers": self._routers})
            if now >= line.due:
                self._do(line, now)
            self._tell_blindness(line, now)

    def _do(self, line: _Line, now: float) -> None:
        if line.process is None:
            if sum(each.connecting for each in self._lines) < AT_ONCE:
                self._open(line)
            return
        if time.monotonic_ns() - max(line.heard_ns, line.opened_ns) > DEAF_S * 1e9:
            self._lost(line, f"it did not answer for {say.exact_s(DEAF_S)}")
            return
        line.due = now + PING_S
        if line.connecting:
            return
        line.ping += 1
        line.asked_ns[line.ping] = time.monotonic_ns()
        self._say(line, {"ping": line.ping})

    def _open(self, line: _Line) -> None:
        try:
            # A session of its own: Ctrl-C on the terminal is for the runner.
            process = subprocess.Popen(
                line.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            self._lost(line, f"ssh cannot be started: {error}")
            return
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdin is not None
        assert self._selector is not None
        for stream, name in ((process.stdout, "said"), (process.stderr, "complained")):
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, (line, name))
        os.set_blocking(process.stdin.fileno(), False)
        line.process, line.connecting = process, True
        line.said, line.complained, line.asked_ns = b"", b"", {}
        line.opened_ns = time.monotonic_ns()
        line.due = time.monotonic() + PING_S
        settings = {"vips": self._vips, "servers": self._servers, "routers": self._routers}
        self._write(line, self._program + json.dumps(settings).encode() + b"\n")

    def _say(self, line: _Line, what: dict[str, Any]) -> None:
        self._write(line, json.dumps(what).encode() + b"\n")

    def _write(self, line: _Line, data: bytes) -> None:
        """A pipe takes 64 KiB at once: more than all that is ever said to a host that reads."""
        assert line.process is not None
        assert line.process.stdin is not None
        try:
            if line.process.stdin.write(data) != len(data):
                raise BlockingIOError("it takes nothing any more")
        except OSError as error:
            self._lost(line, self._complaint(line) or str(error))

    def _hear(self, line: _Line, name: str) -> None:
        if line.process is None:
            return
        stream = line.process.stdout if name == "said" else line.process.stderr
        assert stream is not None
        assert self._selector is not None
        try:
            part = os.read(stream.fileno(), 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if name == "complained":
            line.complained = (line.complained + part)[-2000:]
            if not part:
                self._selector.unregister(stream)
            return
        if not part:
            if self._stop.is_set():
                self._drop(line)
            else:
                self._lost(line, self._complaint(line) or "the connection ended")
            return
        line.heard_ns = time.monotonic_ns()
        self._hear_lines(line, part)

    def _hear_lines(self, line: _Line, part: bytes) -> None:
        *whole, line.said = (line.said + part).split(b"\n")
        if self._says_too_much(line, len(whole)):
            self._lost(line, f"it says more than {MOST_LINES} lines in {say.exact_s(LINES_S)}")
            return
        for each in whole:
            self._take(line, each)
        if len(line.said) > lines.LONGEST_LINE_BYTES:
            self._lost(line, "what it says cannot be read")

    @staticmethod
    def _says_too_much(line: _Line, more: int) -> bool:
        now = time.monotonic()
        if now - line.counted_since > LINES_S:
            line.counted, line.counted_since = 0, now
        line.counted += more
        return line.counted > MOST_LINES

    @staticmethod
    def _complaint(line: _Line) -> str:
        if line.process and line.process.stderr:
            with contextlib.suppress(OSError):
                line.complained += os.read(line.process.stderr.fileno(), 1 << 16) or b""
        words = line.complained.decode(errors="replace").strip().splitlines()
        return words[-1][:300] if words else ""

    def _take(self, line: _Line, text: bytes) -> None:
        said = lines.read_line(line.host, text)
        match said:
            case lines.Hello():
                line.connecting, line.retry_s = False, FIRST_RETRY_S
                self._sight(line, events.WitnessSight(line.host, "host", "watching"))
                line.due = 0.0  # its clock at once
            case lines.Pong():
                self._clock(line, said)
            case lines.Bye():
                line.cpu_ns, line.rss_bytes = said.cpu_ns, said.rss_bytes
            case events.WitnessSight():
                self._sight(line, said)
            case events.Event():
                self._record(said)

    def _clock(self, line: _Line, pong: lines.Pong) -> None:
        asked_ns = line.asked_ns.pop(pong.number, None)
        line.cpu_ns, line.rss_bytes = pong.cpu_ns, pong.rss_bytes
        if asked_ns is None:
            return
        line.asked_ns = {number: at for number, at in line.asked_ns.items() if number > pong.number}
        now_ns = time.monotonic_ns()
        read = events.WitnessClock(line.host, asked_ns, now_ns, pong.wall_ns, pong.cpu_ns, pong.rss_bytes)
        if line.best is None or _error_ns(read) <= _error_ns(line.best):
            line.best = read
        known = line.clock
        if known is not None:
            apart_ns = abs(_offset_ns(read) - _offset_ns(known))
            if apart_ns > _error_ns(read) + _error_ns(known) + JUMP_NS:
                line.best = read
            elif now_ns - line.clock_ns < CLOCK_S * 1e9:
                return
        line.clock, line.clock_ns, line.best = line.best, now_ns, None
        self._record(dataclasses.replace(line.clock, cpu_ns=pong.cpu_ns, rss_bytes=pong.rss_bytes))

    # --- what is not watched --------------------------------------------------------------------------------------------

    def _sight(self, line: _Line, sight: events.WitnessSight) -> None:
        if sight.state == "blind":
            line.blind.setdefault(sight.part, (time.monotonic(), sight.why))
        else:
            line.blind.pop(sight.part, None)
        self._record(sight)

    def _lost(self, line: _Line, why: str) -> None:
        was_heard = line.process is not None and not line.connecting
        self._drop(line)
        if "host" not in line.blind:
            heard_ns = line.heard_ns if was_heard else 0
            self._sight(line, events.WitnessSight(line.host, "host", "blind", why[:300], heard_ns=heard_ns))
        line.clock = line.best = None
        line.due = time.monotonic() + line.retry_s
        line.retry_s = min(2 * line.retry_s, LAST_RETRY_S)

    def _drop(self, line: _Line) -> None:
        process, line.process, line.connecting = line.process, None, False
        if process is None:
            return
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream
            if self._selector is not None and stream is not process.stdin:
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(stream)
            with contextlib.suppress(OSError):
                stream.close()
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _tell_blindness(self, line: _Line, now: float) -> None:
        for part, (since, why) in line.blind.items():
            if part not in line.noted and now - since >= NOTED_AFTER_S:
                line.noted.add(part)
                what = "what happens there" if part == "host" else f"its part “{part}”"
                self._note("warning", f"{line.host}: {what} is not watched: {why}")

    def _record(self, event: events.Event) -> None:
        assert self._journal is not None
        self._journal.write(event)

    def _end(self, selector: selectors.BaseSelector) -> None:
        """Close the standard inputs, hear what is still said, and leave nothing running."""
        heard = [line for line in self._lines if line.process is not None and not line.connecting]
        for line in heard:
            if line.process is not None and line.process.stdin is not None:
                line.process.stdin.close()
        until = time.monotonic() + END_S
        while time.monotonic() < until and any(line.process is not None for line in heard):
            for key, _ in selector.select(0.1):
                self._hear(*key.data)
        for line in heard:
            self._record(events.WitnessEnded(line.host, line.cpu_ns, line.rss_bytes))


def _error_ns(read: events.WitnessClock) -> int:
    """Return how wrong an offset can be: the clock was read somewhere between question and answer."""
    return (read.answered_ns - read.asked_ns) // 2


def _offset_ns(read: events.WitnessClock) -> int:
    return read.wall_ns - (read.asked_ns + read.answered_ns) // 2
