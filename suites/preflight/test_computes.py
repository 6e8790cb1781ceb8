"""Compute nodes: each can give its servers away, and libvirt answers where they would go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rehearsal.claims import computes
from rehearsal.figures.expectation import expect
from rehearsal.hosts.parts import libvirt

if TYPE_CHECKING:
    from fixtures.cloud import Cloud
    from fixtures.hosts import Hosts


@pytest.mark.check("preflight.compute-capacity", service="nova", needs=("nova",), after_upgrade=True)
def test_compute_capacity(compute_host: str, cloud: Cloud) -> None:
    """The other compute nodes have room for this node's servers: vCPUs, memory and disk, as placement counts them."""
    expect(computes.gives_away(cloud.computes(), compute_host))


@pytest.mark.check("preflight.libvirt-answers", service="nova", needs=("nova",), after_upgrade=True)
def test_libvirt_answers(compute_host: str, hosts: Hosts) -> None:
    """The libvirt daemon of the compute node answers to the node itself and to the nodes that would migrate servers to it."""
    expect(libvirt.takes_migrations(hosts.views, compute_host))
