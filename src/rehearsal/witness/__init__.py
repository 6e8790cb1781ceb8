"""The witness: tells during a run what happens on the hosts: containers, HAProxy's backends, virtual addresses, OVN's ports.

One process a host (`on_host`, over SSH), one thread here (`watching`), one journal. It reads only. What cannot be
watched is recorded as such, with its reason.
"""

from __future__ import annotations

from rehearsal.witness.watching import COMMAND
from rehearsal.witness.watching import Witness

__all__ = ["COMMAND", "Witness"]
