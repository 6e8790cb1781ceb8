"""What a look at a host consists of: each part is read on the host, and comes back as the view that is declared beside it.

A part is a module of this folder: the function that looks (`@part`), the shape of what it shows, and what can be claimed
of that alone. A new one needs no entry anywhere. They travel (`hosts.packing`): the standard library of Python 3.8 must do,
so no dataclass has slots.
"""

from __future__ import annotations

import pkgutil

NAMES = tuple(sorted(each.name for each in pkgutil.iter_modules(__path__, f"{__name__}.")))
"""Every part's module."""
