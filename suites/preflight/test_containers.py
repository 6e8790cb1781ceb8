"""Containers: the ones that the release names, running, healthy, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rehearsal.claims import containers
from rehearsal.cloud import expected
from rehearsal.figures.expectation import expect

if TYPE_CHECKING:
    from fixtures.cloud import Cloud
    from fixtures.hosts import Hosts
    from rehearsal.cloud import Target
    from rehearsal.cloud.expected import ExpectedContainer


@pytest.mark.check("preflight.container-tag", after_upgrade=True)
def test_container_tag(wanted: ExpectedContainer, hosts: Hosts) -> None:
    """The container was made from the image that the cloud's release names: registry, namespace, name and tag."""
    expect(containers.made_from(hosts[wanted.host], wanted))


@pytest.mark.check("preflight.container-image", after_upgrade=True)
def test_container_image(wanted: ExpectedContainer, hosts: Hosts) -> None:
    """The container runs the image that its tag points to on the host today."""
    expect(containers.image_is_what_its_reference_says(hosts[wanted.host], wanted))


@pytest.mark.check("preflight.container-release", after_upgrade=True)
def test_container_release(wanted: ExpectedContainer, hosts: Hosts, target: Target) -> None:
    """The labels of the container's image name the cloud's OpenStack release."""
    expect(containers.label_names_release(hosts[wanted.host], wanted, target.release.openstack))


@pytest.mark.check("preflight.container-running", after_upgrade=True)
def test_container_running(wanted: ExpectedContainer, hosts: Hosts) -> None:
    """The container that the configuration places on the host exists and is running."""
    expect(containers.running(hosts[wanted.host], wanted))


@pytest.mark.check("preflight.container-health", after_upgrade=True)
def test_container_health(wanted: ExpectedContainer, hosts: Hosts, cloud: Cloud) -> None:
    """The container's own health check reports healthy, within two minutes of a start.

    Kolla's checks run every 30 s and fail three times before Docker says unhealthy. About twenty kinds of containers
    have none by design; of them none is expected.
    """
    view = hosts.settled(wanted.host, lambda seen: containers.is_settling(seen, wanted), within=120)
    seen = view.containers.get(wanted.container)
    api = cloud.own_answer(wanted.role) if seen is not None and seen.health == "unhealthy" else ""
    expect(containers.healthy(view, wanted, api=api))


@pytest.mark.check("preflight.container-unexpected", after_upgrade=True)
def test_no_unexpected_container(
    container_host: str, hosts: Hosts, all_expected: tuple[ExpectedContainer, ...], target: Target
) -> None:
    """No container made from a kolla image runs on the host unless the configuration places it there."""
    names = {each.container for each in all_expected if each.host == container_host}
    expect(containers.no_strangers(hosts[container_host], names, expected.unknown_services(target)))
