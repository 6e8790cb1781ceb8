"""What surrounds an upgrade: locks, left-over overrides, the fact cache, disk space, images for what comes next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fixtures.cloud import osism
from rehearsal.claims import configuration
from rehearsal.claims import images
from rehearsal.figures.expectation import NotObserved
from rehearsal.figures.expectation import expect
from rehearsal.hosts.parts import disks
from rehearsal.hosts.parts import factcache

if TYPE_CHECKING:
    from fixtures.hosts import Hosts
    from rehearsal.cloud import Target
    from rehearsal.cloud.expected import ExpectedContainer
    from rehearsal.plan import PlanSpec


@pytest.mark.check("preflight.lock-file", service="osism", after_upgrade=True)
def test_lock_file(target: Target) -> None:
    """No `.lock` file in the configuration repository stops OSISM's plays from running."""
    root = Path(target.configuration)
    if not (root / "environments").is_dir():
        raise NotObserved(f"{root / 'environments'} is not there")
    places = [root / "environments" / ".lock", *sorted(root.glob("environments/*/.lock"))]
    expect(configuration.no_lock_files([str(place) for place in places if place.exists()]))


@pytest.mark.check("preflight.task-lock", service="osism", after_upgrade=True)
def test_task_lock() -> None:
    """OSISM's tasks are not locked by another operator."""
    expect(configuration.tasks_unlocked(*osism("lock", "status")))


@pytest.mark.check("preflight.tag-override", service="osism", after_upgrade=True)
def test_tag_override(target: Target, plan: PlanSpec | None) -> None:
    """No variable in the configuration repository pins a container to another tag than the release's.

    The release's own rolling tag in environments/kolla/images.yml, OSISM's way to bring a hot-fix, is allowed.
    """
    root = Path(target.configuration)
    files = [root / "environments" / "configuration.yml"]
    files += [root / "environments" / "kolla" / name for name in ("images.yml", "configuration.yml")]
    files += sorted([*root.glob("inventory/group_vars/**/*.yml"), *root.glob("inventory/host_vars/**/*.yml")])
    there = [path for path in files if path.is_file()]
    if not there:
        raise NotObserved(f"{root} has none of the files that can pin a tag")
    found = [each for path in there for each in configuration.overrides(str(path), path.read_text(errors="replace"))]
    expect(configuration.no_overrides(found, plan.to_release if plan else target.release.openstack))


@pytest.mark.check("preflight.facts-fresh", service="osism", after_upgrade=True)
def test_facts_fresh(container_host: str, hosts: Hosts, plan: PlanSpec | None) -> None:
    """The cached Ansible facts of the host are at most a day old, or the plan gathers them before kolla's plays use them."""
    expect(configuration.facts_fresh(factcache.ages_s(hosts.views.values()), container_host, plan))


@pytest.mark.check("preflight.disk-space", after_upgrade=True)
def test_disk_space(each_host: str, hosts: Hosts) -> None:
    """The file systems that an upgrade fills have space left: 5 GB for images, 1 GB for data and logs, 5 % of the inodes."""
    expect(disks.disk_space(hosts[each_host]))


@pytest.mark.check("preflight.target-image")
def test_target_image(needed: ExpectedContainer, hosts: Hosts, target: Target, plan: PlanSpec | None) -> None:
    """The image that the container will need next is on its host, or the plan pulls it before the step that needs it."""
    expect(images.ready(hosts[needed.host], needed, target.release.openstack, plan, target.groups))
