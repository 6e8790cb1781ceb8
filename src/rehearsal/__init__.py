"""Verification and rehearsal of upgrades of OSISM clouds."""

from __future__ import annotations

__version__ = "0.1.0"
