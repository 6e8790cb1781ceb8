"""Nova's services and neutron's agents, as their APIs report them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rehearsal.claims import agents
from rehearsal.figures.expectation import expect
from rehearsal.hosts.parts import libvirt

if TYPE_CHECKING:
    from fixtures.cloud import Cloud
    from fixtures.hosts import Hosts
    from fixtures.subjects import Worker


@pytest.mark.check("preflight.nova-service", service="nova", needs=("nova",), after_upgrade=True)
def test_nova_service(nova_service: Worker, cloud: Cloud, hosts: Hosts) -> None:
    """The nova service on the host reports itself as up and has not disabled itself."""
    cause = libvirt.libvirt_trouble(hosts[nova_service.host])
    expect(agents.alive(cloud.nova_services(), nova_service.binary, nova_service.host, "nova", cause=cause))


@pytest.mark.check("preflight.neutron-agent", service="neutron", needs=("neutron",), after_upgrade=True)
def test_neutron_agent(neutron_agent: Worker, cloud: Cloud) -> None:
    """The neutron agent on the host reports itself as alive."""
    expect(agents.alive(cloud.neutron_agents(), neutron_agent.binary, neutron_agent.host, "neutron"))
