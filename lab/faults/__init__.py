"""Real faults, made on the nodes of the lab and taken back: ``rehearse-lab break FAULT`` and ``mend FAULT``.

Every fault is the real thing on the real node (a container stopped by Docker, packets dropped by the
kernel, a QEMU process stopped by a signal), and every one declares which checks it turns red. A check
that no fault has ever turned red proves nothing.

``table`` is where faults register themselves, ``ground`` what they stand on (commands on nodes, notes of what
is broken, instants), ``breaking`` the command line. Every other module makes faults; a new one needs no entry
anywhere.

With ``--for SECONDS`` a fault mends itself. Faults whose length matters print, as JSON, the instants
(``CLOCK_MONOTONIC``, nanoseconds) between which they began and ended, so that a measurement can be
compared with the truth.
"""

from __future__ import annotations

import importlib
import pkgutil

from lab.faults.breaking import main
from lab.faults.table import FAULTS

for _module in sorted(each.name for each in pkgutil.iter_modules(__path__, f"{__name__}.")):
    importlib.import_module(_module)

__all__ = ["FAULTS", "main"]
