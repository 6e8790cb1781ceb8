"""The only changes that the lab makes to upstream's code, each small, each with its reason; nothing that is measured depends on them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.unfit import UnfitError

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "REHEARSE_LAB_UPSTREAM"
"""Set to 1 it leaves upstream's code alone."""


@dataclass(frozen=True, slots=True)
class Change:
    """One place in one file: `old`, which must stand there exactly once, becomes `new`."""

    file: str
    old: str
    new: str


CHANGES = (
    # Upstream looks for an RPC reply every 0.5 s (bug 2035113): each RPC call costs at least that, a live migration 25-35 s
    # instead of about 10, and six of them do not fit into a rehearsal of a quarter of an hour. API reads make no RPC call, and
    # the gap of a migration is libvirt's and OVN's.
    Change(
        "oslo_messaging/_drivers/amqpdriver.py",
        "            except queue.Empty:\n                time.sleep(0.5)\n",
        "            except queue.Empty:\n                time.sleep(0.02)\n",
    ),
    # The metadata agent lists the addresses of its interface and adds those that are missing. On a slow machine the kernel
    # makes the link-local one in between; the agent then gives up the whole network, and its guests have no metadata.
    Change(
        "neutron/privileged/agent/linux/ip_lib.py",
        "            if e.code == errno.EEXIST:\n                raise IpAddressAlreadyExists(ip=ip, device=device)\n            raise\n",
        "            if e.code != errno.EEXIST:\n                raise\n",
    ),
)


def change(venv: Path) -> None:
    """Make the changes in one environment; what is changed already stays. Raises UnfitError if a place is not as expected."""
    if os.environ.get(VARIABLE) == "1":
        return
    for each in CHANGES:
        (path,) = venv.glob(f"lib/python3*/site-packages/{each.file}")
        text = path.read_text()
        if text.count(each.old) == 1:
            fresh = path.with_suffix(".new")  # a new file: uv's cache shares the old one by a hard link
            fresh.write_text(text.replace(each.old, each.new))
            fresh.replace(path)
            subprocess.run([str(venv / "bin/python"), "-m", "compileall", "-q", str(path)], check=True)
        elif text.count(each.new) != 1:
            raise UnfitError(f"{path} is not as lab/upstream.py expects it; adapt that, or set {VARIABLE}=1.")
