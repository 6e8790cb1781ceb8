"""What a declaration of a probe says of where its packets go, also for recordings that left it to the probe's name.

Here, and nowhere else, is a name or the label of an address taken apart: recordings from before `interface`, `family` and
`server` were fields of their own have nothing better.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rehearsal.recording.events import ProbeDeclared

V4, V6 = "v4", "v6"
PUBLIC, INTERNAL = INTERFACES = ("public", "internal")
USERS_VIP = PUBLIC
"""The label of the VIP at which most users reach a service: the first address of its public endpoint."""
_BACKEND = "backend-"


def vip_label(interface: str, number: int) -> str:
    """Return the label of an endpoint's first address, or of its other one (IPv6, of an endpoint with both)."""
    return interface if number == 0 else f"{interface} {V6}"


def family_of(address: str) -> str:
    """Return the family of a numeric address: `v4` or `v6`; empty if there is none."""
    return "" if not address else V6 if ":" in address else V4


def completed(declared: ProbeDeclared) -> ProbeDeclared:
    """Return a declaration with interface, family and server, told or derived."""
    return dataclasses.replace(
        declared,
        interface=declared.interface or _interface(declared),
        family=declared.family or _family(declared),
        server=declared.server or _server(declared),
    )


def _interface(declared: ProbeDeclared) -> str:
    return next(
        (each for each in INTERFACES if declared.vip == each or declared.vip.startswith((f"{each} ", f"{each}-"))), ""
    )


def _family(declared: ProbeDeclared) -> str:
    if declared.address:
        return family_of(declared.address)
    if f" {V6} " in f"{declared.name} ":
        return V6
    # The target of a guest is its address; that of an API is a URL, which has colons of its own.
    return family_of(declared.target) if declared.canary else ""


def _server(declared: ProbeDeclared) -> str:
    """HAProxy's name for a server, out of `nova backend NAME new v6`."""
    if not declared.lane.startswith(_BACKEND):
        return ""
    name = declared.name.removeprefix(f"{declared.service} backend ")
    if name == declared.name:
        return declared.target
    return name.removesuffix(f" {V6}").removesuffix(f" {declared.lane.removeprefix(_BACKEND)}") or declared.target
