"""The two sides of the rehearsal: OpenStack 2024.2 as in OSISM 9.5.0, and 2025.1 as in OSISM 10.2.0.

An image's tag is OSISM's: `<version of the service, at most three components>.<date of the build>`. The version is never
written down here: for services from PyPI it is the one in the lock file, for Debian's packages the one that is installed
(`measure_versions`, kept in the state directory so that the plays on the manager see the same). One date per release is
the lab's simplification; on OSISM images of one release may carry different dates.

Sources: osism/release 9.5.0 and 10.2.0 base.yml; osism/container-images-kolla src/tag-images-with-the-version.py.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab import layout

REGISTRY = "registry.osism.tech"
LOCKS = Path(__file__).parent / "locks"


@dataclass(frozen=True, slots=True)
class Release:
    """One side. `namespace` is where OSISM keeps its images: with OSISM 10 it carries the OpenStack release."""

    name: str
    osism: str
    namespace: str
    date: str
    kolla: str
    """Version of kolla, which is the version of the image kolla-toolbox."""
    osism_package: str
    """Version of python-osism that this OSISM release ships."""

    @property
    def lock(self) -> Path:
        """Locked Python packages of every OpenStack service of this release."""
        return LOCKS / f"openstack-{self.name}.txt"

    @property
    def venv_name(self) -> str:
        """Name of the virtual environment below `State.venvs`; changes with the lock file."""
        return f"{self.name}-{hashlib.sha256(self.lock.read_bytes()).hexdigest()[:12]}"

    def venv(self, state: layout.State) -> Path:
        """The virtual environment with every OpenStack service of this release."""
        return state.venvs / self.venv_name


RELEASES: Mapping[str, Release] = {
    "2024.2": Release("2024.2", "9.5.0", "kolla/release", "20251130", "19.4.0", "0.20251130.1"),
    "2025.1": Release("2025.1", "10.2.0", "kolla/release/2025.1", "20260814", "20.2.0", "0.20260808.0"),
}
DEPLOYED = RELEASES["2024.2"]
TARGET = RELEASES["2025.1"]

# Where the version in an image's tag comes from: a Python distribution in the lock, or a Debian package.
_PYPI = {
    "keystone": "keystone",
    "keystone-ssh": "keystone",
    "keystone-fernet": "keystone",
    "placement-api": "openstack-placement",
    "glance-api": "glance",
    "neutron-server": "neutron",
    "neutron-metadata-agent": "neutron",
    "nova-api": "nova",
    "nova-scheduler": "nova",
    "nova-conductor": "nova",
    "nova-novncproxy": "nova",
    "nova-compute": "nova",
    "nova-ssh": "nova",
}
_DEBIAN = {
    "cron": "cron",
    "memcached": "memcached",
    "mariadb-server": "mariadb-server",
    "rabbitmq": "rabbitmq-server",
    "haproxy": "haproxy",
    "keepalived": "keepalived",
    "openvswitch-db-server": "openvswitch-switch",
    "openvswitch-vswitchd": "openvswitch-switch",
    "ovn-controller": "ovn-host",
    "ovn-nb-db-server": "ovn-central",
    "ovn-sb-db-server": "ovn-central",
    "ovn-northd": "ovn-central",
    "nova-libvirt": "libvirt-daemon-system",
}
IMAGES: tuple[str, ...] = (*_PYPI, *_DEBIAN, "kolla-toolbox")

# kolla's variable of a tag, where it is not simply kolla_<first word of the image>_version (defaults all/002-images-kolla.yml).
_VERSION_VARIABLES = {
    "kolla-toolbox": "kolla_common_version",
    "mariadb-server": "kolla_mariadb_version",
    "nova-libvirt": "kolla_nova_libvirt_version",
}


def version_variable(image: str) -> str:
    """Name of the variable in /interface/versions/kolla-ansible.yml that holds this image's tag."""
    return _VERSION_VARIABLES.get(image, f"kolla_{image.split('-', 1)[0]}_version")


def upstream_version(debian_version: str) -> str:
    """The upstream part of a Debian version, at most three numeric components: `1:10.11.14-0+deb12u2` -> `10.11.14`."""
    bare = debian_version.split(":", 1)[-1]
    match = re.match(r"\d+(?:\.\d+){0,2}", bare)
    if match is None:
        raise ValueError(f"no version number in {debian_version!r}")
    return match.group()


def locked_versions(lock: str) -> dict[str, str]:
    """Distribution name -> version, from the text of a lock file."""
    return dict(re.findall(r"^([a-z0-9.-]+)==([^\s;\\]+)", lock, flags=re.MULTILINE))


def measure_versions() -> dict[str, dict[str, str]]:
    """Release name -> image -> version of what it runs, read from the locks and from dpkg on this machine."""
    query = ["dpkg-query", "-W", "-f", "${Package} ${Version}\\n", *sorted(set(_DEBIAN.values()))]
    listing = subprocess.run(query, check=True, capture_output=True, text=True).stdout
    debian = dict(line.split(" ", 1) for line in listing.splitlines())
    versions: dict[str, dict[str, str]] = {}
    for release in RELEASES.values():
        locked = locked_versions(release.lock.read_text())
        versions[release.name] = {
            **{image: ".".join(locked[package].split(".")[:3]) for image, package in _PYPI.items()},
            **{image: upstream_version(debian[package]) for image, package in _DEBIAN.items()},
            "kolla-toolbox": release.kolla,
        }
    return versions


def load_versions(state: layout.State) -> dict[str, dict[str, str]]:
    """What `measure_versions` found when the lab was built. FileNotFoundError before the first `rehearse-lab up`."""
    loaded: dict[str, dict[str, str]] = json.loads(state.versions.read_text())
    return loaded


def tag(release: Release, image: str, versions: Mapping[str, Mapping[str, str]]) -> str:
    """The image's tag on that side."""
    return f"{versions[release.name][image]}.{release.date}"


def reference(release: Release, image: str, versions: Mapping[str, Mapping[str, str]]) -> str:
    """The full image reference, as `docker ps` shows it."""
    return f"{REGISTRY}/{release.namespace}/{image}:{tag(release, image, versions)}"
