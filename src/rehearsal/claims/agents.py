"""Claims about nova's services and neutron's agents, as their APIs report them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.cloud.sameness import same_host
from rehearsal.figures.expectation import Expectation
from rehearsal.figures.expectation import NotObserved

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class AgentView:
    """A nova service or a neutron agent: what it is, where, whether it lives, and since when that is known."""

    binary: str
    host: str
    alive: bool
    enabled: bool = True
    reason: str = ""
    seen_at: str = ""

    @property
    def withdrew(self) -> bool:
        """It switched itself off, as nova-compute does while it has lost libvirt; the prefix is that of nova's driver."""
        return not self.enabled and self.reason.startswith("AUTO: ")


def alive(agents: Iterable[AgentView], binary: str, host: str, service: str, *, cause: str = "") -> Expectation:
    """The service of this kind on this host reports itself and did not withdraw; every row of it, if it has several.

    A service that somebody disabled is up; that it is disabled is told. `cause` is what another check says about the host that makes a service withdraw: then this one says nothing of its own.
    Raises NotObserved in that case.
    """
    rows = [agent for agent in agents if agent.binary == binary and same_host(agent.host, host)]
    expected = f"{binary} on {host} is up"
    if not rows:
        return Expectation(expected, "it is not listed", holds=False, host=host, service=service)
    dead = [row for row in rows if not row.alive]
    withdrawn = next((row for row in rows if row.alive and row.withdrew), None)
    if withdrawn and not dead:
        took = f"{binary} took itself out of service ({withdrawn.reason})"
        if cause:
            raise NotObserved(f"{host}: {took}: {cause}; see the check of that")
        return Expectation(expected, took, holds=False, host=host, service=service)
    off = next((row for row in rows if not row.enabled), None)
    up = f"up, but disabled ({off.reason or 'no reason given'})" if off else "up"
    last = f", last heard of at {dead[0].seen_at}" if dead and dead[0].seen_at else ""
    return Expectation(expected, f"{binary} is down{last}" if dead else up, holds=not dead, host=host, service=service)
