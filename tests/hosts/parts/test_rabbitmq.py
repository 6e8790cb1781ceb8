"""A broker that raises an alarm is named, with what is short and what to do; the other nodes' alarms are theirs to tell."""

from __future__ import annotations

import json

import pytest

from rehearsal.figures.expectation import NotObserved
from rehearsal.hosts.parts import rabbitmq
from rehearsal.hosts.view import HostView


def broker(*alarms):
    """A host whose broker, RabbitMQ 3.10 with a warning before its answer, knows of these alarms."""
    status = {
        "alarms": [{"node": node, "resource": resource, "type": "resource_limit"} for node, resource in alarms],
        "listeners": [{"interface": "[::]", "node": "rabbit@control-0", "port": 25672, "protocol": "clustering"}],
        "rabbitmq_version": "3.10.8",
    }
    seen = rabbitmq.read_status("warning: a deprecated feature is in use\n" + json.dumps(status))
    return HostView("control-0", seen={"rabbitmq": seen})


@pytest.mark.parametrize(
    ("alarms", "short"),
    [
        ([], ""),
        ([("rabbit@control-1", "memory")], ""),
        ([("rabbit@control-0", "memory"), ("rabbit@control-1", "disk")], "memory"),
        ([("rabbit@control-0", "memory"), ("rabbit@control-0", "disk")], "disk, memory"),
        ([("rabbitmqcli-99-rabbit@control-0", "file_descriptors")], "file_descriptors"),
    ],
)
def test_a_broker_tells_its_own_alarms(alarms, short):
    """What is short is named with the remedy; a cluster's other nodes tell their own."""
    judged = rabbitmq.no_alarm(broker(*alarms))
    assert (not short, "control-0", "rabbitmq") == (judged.holds, judged.host, judged.container)
    assert not short or judged.observed.startswith(
        f"alarm: {short}; all publishers are blocked; free disk or memory on control-0"
    )


@pytest.mark.parametrize(
    "view",
    [
        HostView("control-0", seen={"rabbitmq": None}),
        HostView("control-0", errors={"rabbitmq": "OSError: rabbitmqctl in rabbitmq ends with 69: nodedown"}),
        HostView("control-0", error="it cannot be reached over SSH: timed out"),
    ],
)
def test_a_broker_that_cannot_be_asked_is_unknown(view):
    """No broker, a broker that does not answer, and a host that was not seen prove nothing."""
    with pytest.raises(NotObserved):
        rabbitmq.no_alarm(view)


@pytest.mark.parametrize(
    "said", ["", "Error: unable to perform an operation", "[]", '{"alarms": []}', '{"alarms": [], "listeners": []}']
)
def test_what_is_no_status_is_no_broker_without_alarms(said):
    """Whatever else the command may say is an error of this part, never a broker without alarms."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        rabbitmq.read_status(said)
