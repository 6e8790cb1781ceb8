"""RabbitMQ: what the broker says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rehearsal.figures.expectation import expect
from rehearsal.hosts.parts import rabbitmq

if TYPE_CHECKING:
    from fixtures.hosts import Hosts


@pytest.mark.check("preflight.rabbitmq-alarms", service="rabbitmq", needs=("rabbitmq",), after_upgrade=True)
def test_rabbitmq_alarms(placed_host: str, hosts: Hosts) -> None:
    """RabbitMQ on the host raises no alarm: its memory, its disk and its file descriptors suffice."""
    expect(rabbitmq.no_alarm(hosts[placed_host]))
