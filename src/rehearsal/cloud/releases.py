"""What the cloud claims to run: manager_version, the versions file, registry and namespace of the images.

The chain is OSISM's own: `environments/manager/configuration.yml` names the OSISM release; the kolla-ansible container
of that release puts its versions on the interface directory; from there every image gets its tag.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.cloud import files
from rehearsal.cloud import managerfiles
from rehearsal.cloud.target import Problem
from rehearsal.cloud.target import Release
from rehearsal.cloud.variables import parse_yaml
from rehearsal.cloud.variables import read_yaml

if TYPE_CHECKING:
    from pathlib import Path

    from rehearsal.cloud.variables import Variables

NAMESPACE_HOME = "environments/kolla/configuration.yml"
"""Where OSISM's release notes have docker_namespace set: what stands there is an extra variable, and comes over the rest."""
VERSIONS = "versions/kolla-ansible.yml"
_OPENSTACK_OF_OSISM = {"7": "2023.2", "8": "2024.1", "9": "2024.2", "10": "2025.1", "11": "2026.1"}
_FIRST_WITH_NAMESPACE = 9
_FIRST_WITH_OWN_REGISTRY = (9, 4)
"""Since osism/defaults v0.20250927.0 images come from registry.osism.tech/kolla, before from quay.io/osism."""
_FIRST_WITH_OWN_NAMESPACE = 10


def read_versions(interface: Path, problems: list[Problem], *, containers: bool = True) -> tuple[dict[str, Any], str]:
    """Return the versions file's content and where it was found: the interface directory, or the containers that have it."""
    path = interface / VERSIONS
    before = len(problems)
    if files.kind(path, problems) or len(problems) > before:
        return (read_yaml(path, problems), str(path)) if len(problems) == before else ({}, str(path))
    for container in ("osismclient", "kolla-ansible") if containers else ():
        text = managerfiles.read(container, f"/interface/{VERSIONS}")
        if text:
            where = f"{container}:/interface/{VERSIONS}"
            data = parse_yaml(text, where, problems)
            return ({str(key): value for key, value in data.items()} if isinstance(data, dict) else {}), where
    problems.append(
        Problem(
            "The versions of the cloud's images are not known: neither the file nor a running kolla-ansible container has them.",
            str(path),
            "Run this on the manager node with its containers up, or give the directory: --interface DIR.",
        )
    )
    return {}, ""


def read_release(
    manager: Variables, kolla: Variables, interface: Path, problems: list[Problem], *, containers: bool = True
) -> Release:
    """Return the claimed release, and put what is missing or contradicts itself among the problems."""
    versions, source = read_versions(interface, problems, containers=containers)
    osism = manager.text("manager_version")
    if obstacle := manager.obstacle("manager_version"):
        problems.append(
            Problem(
                f"manager_version {obstacle}.", manager.file("manager_version"), "Write the OSISM release as it is."
            )
        )
    elif not osism and not manager.hidden:
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
    elif osism:
        _check_agreement(osism, openstack, source, problems)
    _check_pins(manager, osism, problems)
    registry, namespace = _where_images_lie(kolla, osism, openstack, problems)
    tags = {
        name: _text(value)
        for name, value in versions.items()
        if re.fullmatch(r"kolla_\w+_version|openstack_version|openstack_previous_version", name)
    }
    return Release(openstack, osism, registry, namespace, tags, source)


def _text(value: Any) -> str:
    text = "" if value is None else str(value).strip()
    return text if text.isprintable() else ""


def _check_agreement(osism: str, openstack: str, source: str, problems: list[Problem]) -> None:
    """The repository names an OSISM release, the manager's containers an OpenStack release: do they belong together."""
    meant = _OPENSTACK_OF_OSISM.get(osism.split(".", maxsplit=1)[0], "") if re.match(r"\d+\.", osism) else ""
    if meant and openstack != meant:
        problems.append(
            Problem(
                f"The repository says manager_version {osism}, which comes with OpenStack {meant}, "
                f"but the manager has the versions of OpenStack {openstack}.",
                source or "environments/manager/configuration.yml",
                "If the manager was not updated yet, the plan does it; else correct manager_version.",
                severity="warning",
            )
        )


def _where_images_lie(kolla: Variables, osism: str, openstack: str, problems: list[Problem]) -> tuple[str, str]:
    """Return registry and namespace of the images: as configured, else as this OSISM release has them by default."""
    usual = _defaults(osism)
    extra = {"openstack_version": openstack}
    found = []
    for name, default in zip(("docker_registry_kolla", "docker_namespace"), usual, strict=True):
        if obstacle := kolla.obstacle(name, extra):
            problems.append(
                Problem(
                    f"{name} {obstacle}.",
                    kolla.file(name),
                    "Write it as it is, or run this where the manager's containers can be queried (without --files-only).",
                )
            )
        found.append(kolla.text(name, extra) or default)
    registry, namespace = found
    if kolla.values.get("docker_namespace") is None:
        _tell_default(osism, openstack, f"{registry}/{namespace}", kolla.hidden, problems)
    else:
        _check_namespace(osism, openstack, namespace, kolla.file("docker_namespace"), problems)
    return registry, namespace


def _version(osism: str) -> tuple[int, ...]:
    """Return what orders OSISM's releases; `latest` and whatever else is no number comes last."""
    parts = re.match(r"(\d{1,4})\.(\d{1,4})", osism)
    return (int(parts[1]), int(parts[2])) if parts else (9999,)


def _defaults(osism: str) -> tuple[str, str]:
    """Return registry and namespace where nobody sets them (osism/defaults, all/099-kolla.yml)."""
    return ("quay.io", "osism") if _version(osism) < _FIRST_WITH_OWN_REGISTRY else ("registry.osism.tech", "kolla")


def _tell_default(osism: str, openstack: str, images: str, hidden: list[str], problems: list[Problem]) -> None:
    """Before OSISM 9 nobody had to set a namespace; since then the release notes tell every operator to."""
    if _version(osism) < (_FIRST_WITH_NAMESPACE,) and not hidden:
        return
    wanted = f"kolla/release/{openstack}" if _version(osism) >= (_FIRST_WITH_OWN_NAMESPACE,) else "kolla/release"
    stable = re.match(r"\d", osism)
    problems.append(
        Problem(
            f"docker_namespace is not set{f' in any file that can be read ({hidden[0]} cannot be)' if hidden else ''}; "
            f"the default of OSISM {osism or '(unset)'} is taken: {images}.",
            NAMESPACE_HOME,
            f"Set docker_namespace: {wanted} there, as the release notes say."
            if stable
            else "Nothing to do if the images come from there.",
            severity="warning",
        )
    )


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
    if int(major[1]) < _FIRST_WITH_NAMESPACE:
        return
    expected = f"kolla/release/{openstack}" if int(major[1]) >= _FIRST_WITH_OWN_NAMESPACE else "kolla/release"
    if namespace != expected:
        problems.append(
            Problem(
                f"docker_namespace is {namespace}, but images of OSISM {osism} with OpenStack {openstack} lie in {expected}.",
                file or NAMESPACE_HOME,
                f"Set docker_namespace: {expected}, then run `osism sync inventory`.",
                severity="warning",
            )
        )
