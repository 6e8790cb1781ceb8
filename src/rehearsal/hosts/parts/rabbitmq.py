"""RabbitMQ's own alarms. While one is raised, the whole cluster takes no message of any publisher: OpenStack stands still."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.figures.expectation import Expectation
from rehearsal.figures.expectation import NotObserved
from rehearsal.hosts.look import Look
from rehearsal.hosts.look import part
from rehearsal.hosts.parts.docker import inside
from rehearsal.hosts.parts.docker import running

if TYPE_CHECKING:
    from rehearsal.hosts.view import HostView

CONTAINER = "rabbitmq"
TIMEOUT_S = 30.0
"""The command starts an Erlang machine of its own, which takes seconds on a busy host."""


@dataclass(frozen=True)
class Alarm:
    """An alarm of the cluster: which resource of which node is short (`memory`, `disk` …)."""

    node: str
    resource: str


@dataclass(frozen=True)
class BrokerView:
    """A broker, and the alarms of which it knows: every node of a cluster knows those of all."""

    node: str
    alarms: tuple[Alarm, ...] = ()


@part
def rabbitmq(look: Look) -> BrokerView | None:
    """Return what the broker on this host says of itself; None if none runs here."""
    for container in running(look, CONTAINER):
        return read_status(
            inside(container.name, "rabbitmqctl", "-q", "status", "--formatter", "json", timeout_s=TIMEOUT_S)
        )
    return None


def read_status(said: str) -> BrokerView:
    """Return the broker that `rabbitmqctl status` describes. Raises ValueError, KeyError if it does not say so."""
    status = json.loads(said[said.find("{") :])
    nodes = [str(each["node"]) for each in status["listeners"]]
    if not nodes:
        raise ValueError("the broker does not say which node it is")
    return BrokerView(nodes[0], tuple(Alarm(str(each["node"]), str(each["resource"])) for each in status["alarms"]))


def no_alarm(view: HostView) -> Expectation:
    """The broker on this host raises no alarm. One of another node is that node's to tell."""
    broker = view.shown(rabbitmq)
    if broker is None:
        raise NotObserved(f"{view.host}: no container {CONTAINER} runs, so its broker cannot be asked")
    own = broker.node.partition("@")[2]  # of files the tool that asks is the node, on the same host
    raised = sorted({each.resource for each in broker.alarms if each.node.partition("@")[2] == own})
    remedy = f"free disk or memory on {view.host}; `docker exec {CONTAINER} rabbitmq-diagnostics alarms` says which"
    return Expectation(
        "no alarm",
        f"alarm: {', '.join(raised)}; all publishers are blocked; {remedy}" if raised else "no alarm",
        holds=not raised,
        host=view.host,
        container=CONTAINER,
        service="rabbitmq",
    )
