"""After a step: its containers were replaced by the right ones, and nobody else's were touched."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from rehearsal.claims import containers
from rehearsal.claims import replacements
from rehearsal.figures.expectation import expect

if TYPE_CHECKING:
    from fixtures.hosts import Hosts
    from fixtures.recorded import Before
    from fixtures.subjects import Bystander
    from rehearsal.cloud.expected import ExpectedContainer
    from rehearsal.plan import Effects
    from rehearsal.plan import StepSpec


@pytest.mark.check("inflight.step-replaced", needs=("step:containers",))
def test_step_replaced(replaced: ExpectedContainer, hosts: Hosts, before: Before, step: StepSpec) -> None:
    """After the step, its container was made from the target release's image and was started during the step.

    A container that was made from that image before needs no restart.
    """
    expect(replacements.replaced(before.containers(replaced.host), hosts[replaced.host], replaced, retag=step.retag))


@pytest.mark.check("inflight.step-healthy", needs=("step:containers",))
def test_step_healthy(replaced: ExpectedContainer, hosts: Hosts) -> None:
    """The step's container is running and its health check reports healthy within two minutes.

    A service that was told to read its configuration anew may be unhealthy until its workers are back: that may mend too.
    """
    began = time.monotonic()
    view = hosts.settled(replaced.host, lambda seen: containers.is_settling(seen, replaced, mending=True), within=120)
    expect(containers.running_and_healthy(view, replaced, waited_s=time.monotonic() - began))


@pytest.mark.check("inflight.others-untouched")
def test_others_untouched(bystander: Bystander, hosts: Hosts, before: Before, step_effects: Effects) -> None:
    """A container that the step does not own is the same as before the step and was not restarted."""
    host, container = bystander.host, bystander.container
    may_restart = step_effects.may_restart(container, host)
    expect(replacements.untouched(before.containers(host), hosts[host], container, may_restart=may_restart))


@pytest.mark.check("inflight.pulled-image", needs=("step:images",))
def test_pulled_image(pulled: ExpectedContainer, hosts: Hosts) -> None:
    """After a step that pulls images, the image that the container needs next is on its host."""
    expect(containers.image_is_there(hosts[pulled.host], pulled))
