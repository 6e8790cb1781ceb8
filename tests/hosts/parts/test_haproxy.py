"""HAProxy's own table: a server that is not up is named."""

from __future__ import annotations

import pytest

from rehearsal.figures.expectation import NotObserved
from rehearsal.hosts.parts import haproxy
from rehearsal.hosts.view import HostView


def proxy(*rows):
    return HostView("control-0", seen={"haproxy": [haproxy.ProxyView(*row) for row in rows]})


def test_haproxy_servers():
    """A server that is down or in maintenance is named with its proxy; fronts and summaries do not count."""
    fine = [("nova_api", "FRONTEND", "OPEN"), ("nova_api", "control-0", "UP"), ("nova_api", "BACKEND", "UP")]
    assert haproxy.servers_up(proxy(*fine, ("x", "s", "no check"), ("y", "s", "UP 1/2"))).holds
    down = haproxy.servers_up(proxy(*fine, ("keystone_external_back", "control-0", "DOWN", "L7STS")))
    assert ("keystone_external_back/control-0 DOWN (L7STS)", "keystone", False) == (
        down.observed,
        down.service,
        down.holds,
    )
    assert not haproxy.servers_up(proxy(*fine, ("keystone_back", "control-0", "MAINT"))).holds
    with pytest.raises(NotObserved):
        haproxy.servers_up(proxy())
