"""How well a process of the prober is doing: run delay, steal, processor time. All figures are ns since the last look."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_FIRST = -20  # the nice value of what goes first
_STEAL_FIELD = 8  # of the line `cpu` in /proc/stat


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the kernel says about this process and this machine since the last pulse."""

    run_delay_ns: int  # runnable but not running
    steal_ns: int  # taken from all processors by the hypervisor
    cpu_ns: int  # used by this process


class Pulses:
    """Takes pulses. Figures that this kernel does not offer stay 0."""

    def __init__(self) -> None:
        self._before = _now()

    def take(self) -> Pulse:
        """Return the pulse since the last one."""
        now = _now()
        before, self._before = self._before, now
        return Pulse(*(max(0, new - old) for new, old in zip(now, before, strict=True)))


def _now() -> tuple[int, int, int]:
    return _run_delay_ns(), _steal_ns(), time.process_time_ns()


def _run_delay_ns() -> int:
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _steal_ns() -> int:
    try:
        with Path("/proc/stat").open() as file:
            return int(file.readline().split()[_STEAL_FIELD]) * _TICK_NS
    except (OSError, ValueError, IndexError):
        return 0


def boot_id() -> str:
    """Return the id of this boot of the machine; CLOCK_MONOTONIC means nothing across two of them."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def take_precedence(wanted: str) -> str:
    """Ask the kernel to run this process before others; return what it granted: fifo, nice or none."""
    if wanted == "fifo":
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except OSError:
            wanted = "nice"
        else:
            return "fifo"
    if wanted == "nice":
        try:
            os.setpriority(os.PRIO_PROCESS, 0, _FIRST)
        except OSError:
            return "none"
        with contextlib.suppress(OSError):  # where the kernel groups by session, only the group's own value counts
            Path("/proc/self/autogroup").write_text(str(_FIRST))
        return "nice"
    return "none"
