"""Why the lab cannot be had on this machine."""

from __future__ import annotations


class UnfitError(Exception):
    """The machine cannot carry the lab; one sentence."""
