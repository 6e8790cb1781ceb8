"""Libvirt's own account of a finished migration: what the hypervisor itself says about how long the guest stood still."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rehearsal.cloud import Target
    from rehearsal.hosts.ssh import Ssh

_TIMEOUT_S = 20
_UNITS = {"ms": 1e-3, "s": 1.0, "b": 1, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
_LINE = re.compile(r"^\s*([A-Z][^:]*):\s+(\S.*?)\s*$")
_NUMBER = re.compile(r"\d{1,16}(?:\.\d{1,16})?")
_MOST_LINES, _LONGEST_LINE = 200, 200
_INSTANCE_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def completed(ssh: Ssh, target: Target, host: str, instance_name: str) -> dict[str, str | float]:
    """Return what `virsh domjobinfo --completed` says on the host, empty if it cannot be had. One SSH round trip.

    Lengths become seconds and sizes bytes; the keys are libvirt's in small letters (`total downtime`).
    """
    if not host or not _INSTANCE_NAME.fullmatch(instance_name):
        return {}
    command = shlex.join(
        ["timeout", "10", "docker", "exec", "nova_libvirt", "virsh", "domjobinfo", "--completed", instance_name]
    )
    try:
        done = ssh.run(target.host(host), command, timeout_s=_TIMEOUT_S)
    except (KeyError, OSError, subprocess.TimeoutExpired):
        return {}
    return parse(done.stdout) if done.returncode == 0 else {}


def parse(text: str) -> dict[str, str | float]:
    """Return the fields of virsh's answer; what has no known unit stays text."""
    fields: dict[str, str | float] = {}
    for line in text.splitlines()[:_MOST_LINES]:
        found = _LINE.match(line[:_LONGEST_LINE])
        if found:
            fields[found.group(1).lower()] = _value(found.group(2))
    return fields


def _value(text: str) -> str | float:
    number, _, unit = text.partition(" ")
    unit = unit.strip().lower()
    if not _NUMBER.fullmatch(number) or unit not in {"", *_UNITS}:
        return text
    return round(float(number) * _UNITS[unit], 6) if unit else float(number)
