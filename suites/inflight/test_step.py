"""After a step: its containers were replaced by the right ones, and nobody else's were touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rehearsal.claims import containers
from rehearsal.claims import steps
from rehearsal.expectation import expect

if TYPE_CHECKING:
    from fixtures.hosts import Hosts
    from fixtures.run import Before
    from fixtures.run import Bystander
    from rehearsal.expected import ExpectedContainer


@pytest.mark.check("inflight.step-tag")
def test_step_tag(replaced: ExpectedContainer, hosts: Hosts) -> None:
    """After the step, the step's container was made from the image that the target release names."""
    expect(containers.made_from(hosts[replaced.host], replaced))


@pytest.mark.check("inflight.step-restarted")
def test_step_restarted(replaced: ExpectedContainer, hosts: Hosts, before: Before) -> None:
    """The step started its container anew, unless it was made from the target image already."""
    expect(steps.restarted(before.containers(replaced.host), hosts[replaced.host], replaced))


@pytest.mark.check("inflight.step-healthy")
def test_step_healthy(replaced: ExpectedContainer, hosts: Hosts) -> None:
    """The step's container runs, and its health check says healthy within two minutes."""
    view = hosts.settled(replaced.host, lambda seen: containers.is_settling(seen, replaced), within=120)
    expect(containers.running_and_healthy(view, replaced))


@pytest.mark.check("inflight.others-untouched")
def test_others_untouched(bystander: Bystander, hosts: Hosts, before: Before) -> None:
    """A container that the step does not own is the same one as before the step, and was not restarted."""
    expect(steps.untouched(before.containers(bystander.host), hosts[bystander.host], bystander.container))


@pytest.mark.check("inflight.pulled-image")
def test_pulled_image(pulled: ExpectedContainer, hosts: Hosts) -> None:
    """After a step that pulls images, the image that the container needs next is on its host."""
    expect(containers.image_is_there(hosts[pulled.host], pulled))
