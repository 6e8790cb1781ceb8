"""The loop on a host: whoever has something to say is heard, what is due is done."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import selectors
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.hosts.engine import Absent
from rehearsal.witness.on_host.dockerevents import Containers
from rehearsal.witness.on_host.netlink import Addresses
from rehearsal.witness.on_host.proxies import Proxies
from rehearsal.witness.on_host.southbound import Southbound
from rehearsal.witness.on_host.talk import RETRY_S
from rehearsal.witness.on_host.talk import Gone
from rehearsal.witness.on_host.talk import Sight
from rehearsal.witness.on_host.talk import tell
from rehearsal.witness.on_host.talk import wall_ns

if TYPE_CHECKING:
    from collections.abc import Callable

SILENCE_S = 60


class Witness:
    """The loop: whoever has something to say is heard, what is due is done."""

    def __init__(self, settings: dict[str, Any], read: Callable[[], bytes]) -> None:
        self._sight = Sight()
        self._read = read
        self._heard = b""
        self._containers = Containers(self._sight, self._changed)
        self._containers_due = 0.0
        self._proxies = Proxies(self._sight)
        self._southbound = Southbound(self._sight, settings)
        self._addresses = Addresses(self._sight, [str(each) for each in settings.get("vips") or []])

    def _changed(self, container: str) -> None:
        if container == "haproxy":
            self._proxies.look_again()
        if container == "ovn_sb_db" and self._southbound.socket is None:
            self._southbound.due = min(self._southbound.due, time.monotonic() + 0.2)

    def run(self) -> None:
        """Watch until the other side is gone."""
        while True:
            with contextlib.closing(selectors.DefaultSelector()) as selector:
                selector.register(0, selectors.EVENT_READ, None)
                streams = (self._containers, self._southbound, self._addresses)
                for part in streams:
                    if part.socket is not None:
                        selector.register(part.socket, selectors.EVENT_READ, part)
                due = [self._proxies.due, self._southbound.due, self._addresses.due]
                due += [self._containers_due] if self._containers.socket is None else []
                ready = selector.select(max(0.0, min(min(due) - time.monotonic(), 5.0)))
            for key, _ in ready:
                if key.data is None:
                    if not self._listen():
                        return
                else:
                    self._hear(key.data)
            self._do_what_is_due()

    def _listen(self) -> bool:
        part = self._read()
        *lines, self._heard = (self._heard + part).split(b"\n")
        for line in lines:
            signal.alarm(SILENCE_S)
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                order = json.loads(line)
                if "ping" in order:
                    used = resource.getrusage(resource.RUSAGE_SELF)
                    cpu_ns = round((used.ru_utime + used.ru_stime) * 1e9)
                    tell("pong", n=order["ping"], wall_ns=wall_ns(), cpu_ns=cpu_ns, rss_bytes=used.ru_maxrss * 1024)
                if "servers" in order:
                    self._southbound.want(order)
        return bool(part)

    def _hear(self, part: Any) -> None:
        name = {self._containers: "docker", self._southbound: "ovn", self._addresses: "vip"}[part]
        try:
            part.read()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            part.close()
            self._sight(name, "blind", str(error) or type(error).__name__)
            if part is self._containers:
                self._containers_due = time.monotonic() + RETRY_S
            else:
                part.due = time.monotonic() + RETRY_S

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        if self._containers.socket is None and now >= self._containers_due:
            self._containers_due = now + RETRY_S
            try:
                self._containers.connect()
            except (OSError, Absent, ValueError, KeyError, TypeError) as error:
                self._containers.close()
                self._sight("docker", "blind", str(error) or type(error).__name__)
        for part in (self._proxies, self._southbound, self._addresses):
            if now >= part.due:
                part.tick()


def main() -> None:
    """Read the settings, tell who is here, watch."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SILENCE_S)  # kills, also in the middle of a call that hangs
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return
        line += byte
    boot = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    try:
        tell("hello", wall_ns=wall_ns(), boot_id=boot, pid=os.getpid())
        Witness(json.loads(line), lambda: os.read(0, 65536)).run()
        used = resource.getrusage(resource.RUSAGE_SELF)
        tell("bye", cpu_ns=round((used.ru_utime + used.ru_stime) * 1e9), rss_bytes=used.ru_maxrss * 1024)
    except Gone:
        sys.exit(1)
