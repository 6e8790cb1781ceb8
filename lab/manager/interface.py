"""What OSISM's images carry: versions and playbooks on ``/interface``, defaults of the inventory.

The kolla-ansible image brings the tag of every service image (from the release's SBOM) and puts it
on ``/interface/versions`` when its container starts; the inventory reconciler's image brings the
groups and variables that a configuration repository need not repeat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from lab import layout
from lab import releases

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.manager.release import OsismRelease

#: Roles that the kolla-ansible container applies, by OSISM's names.
KOLLA_ROLES = (
    "common",
    "glance",
    "keystone",
    "loadbalancer",
    "mariadb",
    "memcached",
    "neutron",
    "nova",
    "openvswitch",
    "ovn",
    "placement",
    "rabbitmq",
)
#: Roles that the osism-ansible container applies, with the environment that OSISM gives them.
OSISM_ROLES = {"facts": "generic", "gather-facts": "generic", "openstackclient": "infrastructure", "ping": "generic"}

_PREVIOUS = {"2024.2": "2024.1", "2025.1": "2024.2"}

#: Roles of the configuration repository that the groups of the services are made of.
_PARENTS = ("control", "compute", "network", "manager", "monitoring")


def versions(osism: OsismRelease, measured: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Files of ``/interface/versions`` by name; ``measured`` is what :func:`releases.load_versions` gives."""
    release = osism.release
    kolla: dict[str, str] = {
        "kolla_ansible_version": osism.kolla_ansible,
        "openstack_version": release.name,
        "openstack_previous_version": _PREVIOUS[release.name],
        "kolla_image_version": release.name,
    }
    for image in releases.IMAGES:
        kolla[releases.version_variable(image)] = releases.tag(release, image, measured)
    return {
        "kolla-ansible.yml": _yaml(dict(sorted(kolla.items()))),
        "osism-ansible.yml": _yaml({"osism_ansible_version": osism.osism_ansible}),
    }


def playbooks() -> dict[str, str]:
    """Files of ``/interface/playbooks`` by name: which role belongs to which environment."""
    return {
        "kolla-ansible.yml": _yaml(dict.fromkeys(KOLLA_ROLES, "kolla")),
        "osism-ansible.yml": _yaml(dict(OSISM_ROLES)),
    }


def generics(images: Mapping[str, str]) -> dict[str, str]:
    """Defaults of the inventory by path; ``images`` gives the image name of every container."""
    return {
        "51-kolla": _groups(),
        "group_vars/all/002-images-kolla.yml": _image_defaults(images),
        "group_vars/all/099-kolla.yml": _yaml(
            {
                "docker_registry_kolla": "registry.osism.tech",
                "docker_namespace": "kolla",
                "docker_image_name_prefix": "",
                "docker_image_url": "{{ docker_registry_kolla }}/{{ docker_namespace }}/{{ docker_image_name_prefix }}",
                "kolla_image_version": "{{ openstack_version }}",
                "nova_compute_startup_delay": 30,
                "nova_safety_upgrade": "no",
                "glance_enable_rolling_upgrade": "no",
                "neutron_enable_rolling_upgrade": "yes",
            }
        ),
    }


def _groups() -> str:
    """Service groups as children of the repository's roles, as OSISM's generics have them."""
    lines = ["# groups of the services"]
    for group, hosts in sorted(layout.GROUPS.items()):
        if group in {*_PARENTS, "generic"}:
            continue
        parents = [parent for parent in ("control", "compute", "manager") if set(layout.GROUPS[parent]) <= set(hosts)]
        lines += ["", f"[{group}:children]", *parents]
    return "\n".join(lines) + "\n"


def _image_defaults(images: Mapping[str, str]) -> str:
    """Per container ``<name>_image_full`` and what it is made of; every part can be overridden."""
    values: dict[str, str] = {}
    for container, image in sorted(images.items()):
        variable = releases.version_variable(image)
        service = variable.removeprefix("kolla_").removesuffix("_version")
        values.setdefault(f"{service}_tag", f"{{{{ {variable}|default(kolla_image_version) }}}}")
        values[f"{container}_tag"] = values.get(f"{container}_tag", f"{{{{ {service}_tag }}}}")
        values[f"{container}_image"] = f"{{{{ docker_image_url }}}}{image}"
        values[f"{container}_image_full"] = f"{{{{ {container}_image }}}}:{{{{ {container}_tag }}}}"
    return _yaml(values)


def _yaml(values: Mapping[str, object]) -> str:
    return "---\n" + str(yaml.safe_dump(dict(values), sort_keys=False, default_flow_style=False, width=200))
