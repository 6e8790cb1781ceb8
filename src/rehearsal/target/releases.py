"""What the cloud claims to run: manager_version, the versions file, registry and namespace of the images.

The chain is OSISM's own: `environments/manager/configuration.yml` names the OSISM release; the kolla-ansible container
of that release puts its versions on the interface directory; from there every image gets its tag.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING
from typing import Any

import yaml

from rehearsal.target.model import Problem
from rehearsal.target.model import Release
from rehearsal.target.variables import read_yaml

if TYPE_CHECKING:
    from pathlib import Path

    from rehearsal.target.variables import Variables

VERSIONS = "versions/kolla-ansible.yml"
_ASK_TIMEOUT_S = 20
_OPENSTACK_OF_OSISM = {"7": "2023.2", "8": "2024.1", "9": "2024.2", "10": "2025.1"}
_FIRST_WITH_OWN_NAMESPACE = 10


def read_versions(interface: Path, problems: list[Problem], *, containers: bool = True) -> tuple[dict[str, Any], str]:
    """Return the versions file's content and where it was found: the interface directory, or the containers that have it."""
    path = interface / VERSIONS
    if path.exists():
        return read_yaml(path, problems), str(path)
    for container in ("osismclient", "kolla-ansible") if containers else ():
        text = _from_container(container)
        if text:
            where = f"{container}:/interface/{VERSIONS}"
            data = yaml.safe_load(text)
            return (data if isinstance(data, dict) else {}), where
    problems.append(
        Problem(
            "The versions of the cloud's images are not known: neither the file nor a running kolla-ansible container has them.",
            str(path),
            "Run this on the manager node with its containers up, or give the directory: --interface DIR.",
        )
    )
    return {}, ""


def _from_container(container: str) -> str:
    docker = shutil.which("docker")
    if docker is None:
        return ""
    try:
        done = subprocess.run(
            [docker, "exec", container, "cat", f"/interface/{VERSIONS}"],
            capture_output=True,
            text=True,
            timeout=_ASK_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def read_release(
    manager: Variables, kolla: Variables, interface: Path, problems: list[Problem], *, containers: bool = True
) -> Release:
    """Return the claimed release, and put what is missing or contradicts itself among the problems."""
    versions, source = read_versions(interface, problems, containers=containers)
    osism = _text(manager.resolve("manager_version"))
    if not osism:
        problems.append(
            Problem(
                "manager_version is not set.",
                manager.file("manager_version") or "environments/manager/configuration.yml",
                "Set it to the OSISM release that the manager runs, for example `manager_version: 9.5.0`.",
            )
        )
    openstack = _text(versions.get("openstack_version")) or _text(manager.resolve("openstack_version"))
    if not openstack:
        openstack = _OPENSTACK_OF_OSISM.get(osism.split(".", maxsplit=1)[0], "")
        problems.append(
            Problem(
                f"openstack_version is in no versions file; {openstack or 'nothing'} is derived from manager_version {osism or '(unset)'}.",
                source or str(interface / VERSIONS),
                "Run `osism sync inventory` on the manager and look at its kolla-ansible container.",
                severity="warning" if openstack else "error",
            )
        )
    _check_pins(manager, osism, problems)
    registry = _text(kolla.resolve("docker_registry_kolla")) or "registry.osism.tech"
    namespace = _text(kolla.resolve("docker_namespace", {"openstack_version": openstack}))
    if not namespace:
        namespace = "kolla"
        problems.append(
            Problem(
                "docker_namespace is not set; OSISM's default `kolla` is assumed.",
                "inventory/group_vars/all/kolla.yml",
                "Set docker_namespace as the release notes of the OSISM release say.",
                severity="warning",
            )
        )
    _check_namespace(osism, openstack, namespace, kolla.file("docker_namespace"), problems)
    tags = {
        name: _text(value)
        for name, value in versions.items()
        if re.fullmatch(r"kolla_\w+_version|openstack_version|openstack_previous_version", name)
    }
    return Release(openstack, osism, registry, namespace, tags, source)


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _check_pins(manager: Variables, osism: str, problems: list[Problem]) -> None:
    """A stable release fixes OpenStack's version; a pin beside it contradicts it."""
    if not re.match(r"\d", osism):
        return
    problems.extend(
        Problem(
            f"{name} is set although manager_version {osism} is a stable release, which then is not used for it.",
            manager.file(name),
            f"Remove {name}.",
            severity="warning",
        )
        for name in ("openstack_version", "ceph_version")
        if name in manager.values
    )


def _check_namespace(osism: str, openstack: str, namespace: str, file: str, problems: list[Problem]) -> None:
    """Since OSISM 10 the namespace of stable images carries the OpenStack release (OSISM's release notes)."""
    major = re.match(r"(\d+)\.", osism)
    if not major or not namespace.startswith("kolla"):
        return  # `latest`, or a site's own mirror: nothing can be said
    expected = f"kolla/release/{openstack}" if int(major[1]) >= _FIRST_WITH_OWN_NAMESPACE else "kolla/release"
    if namespace != expected:
        problems.append(
            Problem(
                f"docker_namespace is {namespace}, but images of OSISM {osism} with OpenStack {openstack} lie in {expected}.",
                file or "inventory/group_vars/all/kolla.yml",
                f"Set docker_namespace: {expected}, then run `osism sync inventory`.",
                severity="warning",
            )
        )
