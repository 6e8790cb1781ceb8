"""Faults of containers: an old tag, stopped, unhealthy; libvirtd dead; a leftover override of a tag."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

import yaml

from lab import catalogue
from lab import deploy
from lab import kolla
from lab import layout
from lab import releases
from lab.faults.ground import FaultError
from lab.faults.ground import Ground
from lab.faults.table import Red
from lab.faults.table import fault
from lab.faults.table import mends

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Three checks in a row must fail, each after a pause and perhaps a timeout.
_UNHEALTHY_WITHIN_S = (catalogue.HEALTH_RETRIES + 1) * (catalogue.HEALTH_INTERVAL_S + 15.0) + 30.0
_NOTICED_WITHIN_S = 180.0
_COMPUTE_LOG = "/var/log/kolla/nova/nova-compute.log"
_PROBES = "/var/lib/kolla/bin"
IMAGES_FILE = "opt/configuration/environments/kolla/images.yml"
_ONE_CONTAINER = {"container": "keystone_fernet", "host": ""}


def _reds(*checks: str) -> list[Red]:
    return [Red(check, "lab-control-0", _ONE_CONTAINER["container"]) for check in checks]


@fault(
    "container-old-tag",
    arguments=_ONE_CONTAINER,
    reds=_reds("preflight.container-tag", "inflight.step-replaced"),
)
def old_tag(ground: Ground, given: Mapping[str, str]) -> str:
    """One container runs with the tag of an older release, as after an upgrade that left it out.

    On a cloud that was upgraded this is the older release's image, with the configuration that belongs
    to it. Before the upgrade there is no older release: then the same image gets a tag with an earlier
    date of build.
    """
    container = _catalogued(given["container"])
    host = ground.host(given["host"], container.name)
    seen = ground.container(host, container.name)
    if ground.noted("container-old-tag", f"{container.name}.{host}"):
        raise FaultError(f"{container.name} on {host} is on an old tag already; mend it first")
    release = _release(seen)
    ground.note("container-old-tag", f"{container.name}.{host}", {"image": seen.image, "release": release.name})
    if release is releases.DEPLOYED:
        repository, _, tag = seen.image.rpartition(":")
        reference = f"{repository}:{tag.rpartition('.')[0]}.20250408"
        ground.run(host, ["docker", "tag", seen.image, reference])
        older = release
    else:
        older = releases.DEPLOYED
        reference = kolla.pull(ground.run, host, container.image, older, state=ground.state)
        kolla.write_config(ground.run, host, container, older, state=ground.state)
    kolla.recreate(ground.run, host, container, older, state=ground.state, reference=reference)
    kolla.wait_healthy(ground.run, host, container.name)
    return f"{container.name} on {host}: {seen.image} -> {reference}"


@mends("container-old-tag")
def old_tag_mended(ground: Ground, given: Mapping[str, str]) -> str:
    """Recreate the container with the image that it had."""
    container = _catalogued(given["container"])
    host = ground.host(given["host"], container.name)
    noted = ground.noted("container-old-tag", f"{container.name}.{host}")
    if noted is None:
        return f"{container.name} on {host} is not on an old tag"
    release = releases.RELEASES[noted["release"]]
    kolla.write_config(ground.run, host, container, release, state=ground.state)
    kolla.recreate(ground.run, host, container, release, state=ground.state, reference=noted["image"])
    kolla.wait_healthy(ground.run, host, container.name)
    ground.forget("container-old-tag", f"{container.name}.{host}")
    return f"{container.name} on {host}: back on {noted['image']}"


@fault("tag-override", arguments=_ONE_CONTAINER, reds=[Red("preflight.tag-override", of="osism")])
def override(ground: Ground, given: Mapping[str, str]) -> str:
    """A hot-fix left behind in ``environments/kolla/images.yml`` pins a container to the image it has now.

    The next upgrade leaves that container where it is.
    """
    container = _catalogued(given["container"])
    host = ground.host(given["host"], container.name) if given["host"] else container.nodes[0]
    image = ground.container(host, container.name).image
    path = ground.state.node_root(layout.MANAGER.name) / IMAGES_FILE
    values = yaml.safe_load(path.read_text()) or {}
    values[f"{container.name}_image_full"] = image
    ground.note("tag-override", container.name, {"image": image})
    path.write_text("---\n" + yaml.safe_dump(values))
    return f"{path.name} pins {container.name} to {image}"


@mends("tag-override")
def override_mended(ground: Ground, given: Mapping[str, str]) -> str:
    """Remove the override; the container changes with the next upgrade, not now."""
    container = _catalogued(given["container"])
    path = ground.state.node_root(layout.MANAGER.name) / IMAGES_FILE
    values = yaml.safe_load(path.read_text()) or {}
    values.pop(f"{container.name}_image_full", None)
    path.write_text("---\n" + yaml.safe_dump(values))
    ground.forget("tag-override", container.name)
    return f"{path.name} no longer pins {container.name}"


@fault("container-stopped", arguments=_ONE_CONTAINER, reds=_reds("preflight.container-running"))
def stopped(ground: Ground, given: Mapping[str, str]) -> str:
    """A container is stopped, as by an operator who forgot to start it."""
    host = ground.host(given["host"], given["container"])
    ground.container(host, given["container"])
    ground.note("container-stopped", f"{given['container']}.{host}", {})
    ground.run(host, ["docker", "stop", "--time", "20", given["container"]], timeout_s=60)
    return f"{given['container']} on {host}: stopped"


@mends("container-stopped")
def stopped_mended(ground: Ground, given: Mapping[str, str]) -> str:
    """Start the container and wait until it is well."""
    host = ground.host(given["host"], given["container"])
    ground.run(host, ["docker", "start", given["container"]])
    kolla.wait_healthy(ground.run, host, given["container"])
    ground.forget("container-stopped", f"{given['container']}.{host}")
    return f"{given['container']} on {host}: started"


@fault(
    "container-unhealthy",
    arguments=_ONE_CONTAINER,
    reds=_reds("preflight.container-health", "inflight.step-healthy"),
)
def unhealthy(ground: Ground, given: Mapping[str, str]) -> str:
    """A container's health check fails although the service works: Docker calls it unhealthy.

    The program that the check runs is replaced inside this one container; Docker then sees three
    failures in a row, which takes half a minute and more.
    """
    container, host = given["container"], ground.host(given["host"], given["container"])
    program = _health_program(ground, host, container)
    ground.note("container-unhealthy", f"{container}.{host}", {"program": program})
    script = (
        f"set -e; cd {_PROBES}; if [ -e {program} ] && [ ! -e {program}.kept ]; then mv {program} {program}.kept; fi; "
        f"printf '#!/bin/sh\\necho broken by rehearse-lab >&2\\nexit 1\\n' > {program}; chmod 755 {program}"
    )
    ground.run(host, ["docker", "exec", "--user", "0", container, "sh", "-c", script])
    _wait_health(ground, host, container, "unhealthy")
    return f"{container} on {host}: unhealthy"


@mends("container-unhealthy")
def unhealthy_mended(ground: Ground, given: Mapping[str, str]) -> str:
    """Put the health check's program back and wait until Docker calls the container healthy."""
    container, host = given["container"], ground.host(given["host"], given["container"])
    program = _health_program(ground, host, container)
    script = (
        f"set -e; cd {_PROBES}; if [ -e {program}.kept ]; then mv {program}.kept {program}; "
        f"elif grep -q 'broken by rehearse-lab' {program} 2>/dev/null; then rm {program}; fi"
    )
    ground.run(host, ["docker", "exec", "--user", "0", container, "sh", "-c", script])
    _wait_health(ground, host, container, "healthy")
    ground.forget("container-unhealthy", f"{container}.{host}")
    return f"{container} on {host}: healthy"


@fault(
    "libvirtd-dead",
    arguments={"host": "lab-compute-1"},
    reds=[
        Red("preflight.container-running", "lab-compute-1", "nova_libvirt"),
        Red("postflight.migration", "lab-compute-0", "nova"),
    ],
)
def libvirtd_dead(ground: Ground, given: Mapping[str, str]) -> str:
    """Libvirtd of a compute node is killed and stays away; the guests live on."""
    host = given["host"]
    ground.container(host, "nova_libvirt")
    ground.note("libvirtd-dead", host, {"connections": _connections_to_libvirtd(ground, host)})
    ground.run(host, ["docker", "update", "--restart", "no", "nova_libvirt"])
    ground.run(host, ["docker", "kill", "nova_libvirt"])
    guests = ground.run(host, ["pgrep", "-c", "qemu-system"], check=False).stdout.strip()
    return f"nova_libvirt on {host}: killed; {guests} guests live on"


@mends("libvirtd-dead")
def libvirtd_dead_mended(ground: Ground, given: Mapping[str, str]) -> str:
    """Start libvirtd again; it finds its guests, and nova-compute, which withdrew when it noticed, is back in service."""
    host = given["host"]
    ground.run(host, ["docker", "update", "--restart", "unless-stopped", "nova_libvirt"])
    ground.run(host, ["docker", "start", "nova_libvirt"])
    kolla.wait_healthy(ground.run, host, "nova_libvirt")
    # It may notice only now, as late as at its next periodic task, that the old libvirtd is gone, and withdraw for a moment.
    before = (ground.noted("libvirtd-dead", host) or {}).get("connections")
    deadline = time.monotonic() + _NOTICED_WITHIN_S
    while before is not None and (_connections_to_libvirtd(ground, host) or 0) <= before:
        if time.monotonic() > deadline:
            raise FaultError(f"nova-compute on {host} did not connect to libvirtd within {_NOTICED_WITHIN_S:g} s")
        time.sleep(1)
    # Any release's client will do to ask; the one that the lab was deployed with is always there.
    deploy.wait_computes(deploy.Deployment(ground.run, releases.DEPLOYED, ground.state, print))
    ground.forget("libvirtd-dead", host)
    return f"nova_libvirt on {host}: started"


def _connections_to_libvirtd(ground: Ground, host: str) -> int | None:
    """How often nova-compute has connected to libvirtd, as its log tells; None if it does not run."""
    command = ["docker", "exec", "nova_compute", "grep", "-c", "Connection event '1'", _COMPUTE_LOG]
    counted = ground.run(host, command, check=False).stdout.strip()
    return int(counted) if counted else None


def _catalogued(name: str) -> catalogue.Container:
    try:
        return catalogue.container(name)
    except KeyError as error:
        raise FaultError(str(error.args[0])) from None


def _release(seen: kolla.ContainerState) -> releases.Release:
    name = seen.labels.get("de.osism.release.openstack", "")
    if name not in releases.RELEASES:
        raise FaultError(f"{seen.name} has no label that names its release")
    return releases.RELEASES[name]


def _health_program(ground: Ground, host: str, container: str) -> str:
    test = ground.run(
        host, ["docker", "inspect", "--format", "{{with .Config.Healthcheck}}{{index .Test 1}}{{end}}", container]
    ).stdout.strip()
    if not test:
        raise FaultError(f"{container} on {host} has no health check: Docker can never call it unhealthy")
    return shlex.split(test)[0]


def _wait_health(ground: Ground, host: str, container: str, wanted: str) -> None:
    deadline = time.monotonic() + _UNHEALTHY_WITHIN_S
    while (seen := ground.container(host, container)).health != wanted:
        if time.monotonic() > deadline:
            raise FaultError(f"{container} on {host} is {seen.health} and not {wanted} after {_UNHEALTHY_WITHIN_S:g} s")
        time.sleep(1)
