"""Claims about compute nodes: each can give its servers to the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.cloud.sameness import same_host
from rehearsal.figures.expectation import Expectation
from rehearsal.figures.expectation import NotObserved

if TYPE_CHECKING:
    from collections.abc import Mapping

CLASSES = ("VCPU", "MEMORY_MB", "DISK_GB")
_UNITS = {"VCPU": "vCPU", "MEMORY_MB": "MB of memory", "DISK_GB": "GB of disk"}


@dataclass(frozen=True, slots=True)
class ComputeView:
    """A compute node as placement counts it: what its servers use, and what it could still take, by resource class."""

    host: str
    usable: bool  # up and enabled: it can take servers
    used: dict[str, int]
    free: dict[str, int]
    servers: tuple[dict[str, int], ...] = ()  # what each of its servers needs
    withdrew: str = ""  # why it took itself out of service, which is another check's to tell


def gives_away(computes: Mapping[str, ComputeView], host: str) -> Expectation:
    """The servers of this node fit on the others, one by one, largest first.

    First fit of the largest is no proof that no other arrangement fits; it is what a scheduler without a plan achieves.
    Raises NotObserved if they do not fit while another node has taken itself out of service.
    """
    leaving = next((each for name, each in computes.items() if same_host(name, host)), None)
    if leaving is None:
        raise NotObserved(f"placement does not know {host}")
    room = {name: dict(each.free) for name, each in computes.items() if each is not leaving and each.usable}
    if not room:
        _must_be_all(computes, leaving)
        return Expectation(
            "another node can take its servers", "there is no other usable node", holds=False, host=host, service="nova"
        )
    expected = f"the {len(leaving.servers)} servers of {host} fit on {', '.join(sorted(room))}"
    for needs in sorted(leaving.servers, key=lambda each: tuple(-each.get(kind, 0) for kind in reversed(CLASSES[:2]))):
        place = next((name for name in sorted(room) if _fits(needs, room[name])), None)
        if place is None:
            _must_be_all(computes, leaving)
            return Expectation(
                expected,
                f"no room for a server with {_amounts(needs)}; left: {_rooms(room)}",
                holds=False,
                host=host,
                service="nova",
            )
        for kind, amount in needs.items():
            room[place][kind] = room[place].get(kind, 0) - amount
    return Expectation(expected, f"they fit; left then: {_rooms(room)}", holds=True, host=host, service="nova")


def _must_be_all(computes: Mapping[str, ComputeView], leaving: ComputeView) -> None:
    for name, each in sorted(computes.items()):
        if each is not leaving and each.withdrew:
            raise NotObserved(f"{name} took itself out of service ({each.withdrew}); see the checks of that node")


def _fits(needs: Mapping[str, int], room: Mapping[str, int]) -> bool:
    return all(amount <= room.get(kind, 0) for kind, amount in needs.items())


def _amounts(amounts: Mapping[str, int]) -> str:
    return ", ".join(f"{amounts[kind]} {_UNITS.get(kind, kind)}" for kind in sorted(amounts, key=_order))


def _rooms(room: Mapping[str, Mapping[str, int]]) -> str:
    return "; ".join(f"{name}: {_amounts(room[name])}" for name in sorted(room))


def _order(kind: str) -> tuple[int, str]:
    return (CLASSES.index(kind) if kind in CLASSES else len(CLASSES), kind)
