"""What an OSISM release consists of on the manager, beside the service images of :mod:`lab.releases`.

``manager_version`` in ``environments/manager/configuration.yml`` names the release, and the release
fixes the versions of the manager's parts (osism/release, ``<version>/base.yml``).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab import layout
from lab import releases

if TYPE_CHECKING:
    from pathlib import Path


class UnknownReleaseError(ValueError):
    """The configuration names an OSISM release that the lab does not carry."""


@dataclass(frozen=True, slots=True)
class OsismRelease:
    """One OSISM release as its manager sees it; the versions are also the tags of the manager's images."""

    version: str
    release: releases.Release
    osism_ansible: str
    kolla_ansible: str
    inventory_reconciler: str
    redis: str

    @property
    def osism(self) -> str:
        """Version of the ``osism`` package on PyPI, which is also the tag of the image osism/osism."""
        return self.release.osism_package

    @property
    def lock(self) -> Path:
        """Locked requirements of the ``osism`` command, with ansible-core and the openstack client."""
        return releases.LOCKS / f"osism-{self.osism}.txt"

    def venv(self, state: layout.State) -> Path:
        """Where these requirements are installed; the name changes with the lock file."""
        return state.venvs / f"osism-{self.osism}-{hashlib.sha256(self.lock.read_bytes()).hexdigest()[:12]}"


RELEASES = {
    parts.version: parts
    for parts in (
        OsismRelease(
            version="9.5.0",
            release=releases.RELEASES["2024.2"],
            osism_ansible="0.20251130.0",
            kolla_ansible="0.20251130.0",
            inventory_reconciler="0.20251130.0",
            redis="7.4.7-alpine",
        ),
        OsismRelease(
            version="10.2.0",
            release=releases.RELEASES["2025.1"],
            osism_ansible="0.20260811.0",
            kolla_ansible="0.20260814.0",
            inventory_reconciler="0.20260810.0",
            redis="7.4.10-alpine",
        ),
    )
}


def osism_release(version: str) -> OsismRelease:
    """Find a release by its number.

    Raises:
        UnknownReleaseError: the lab does not carry it.

    """
    try:
        return RELEASES[version]
    except KeyError:
        raise UnknownReleaseError(
            f"manager_version {version} in environments/manager/configuration.yml is not carried by the lab; "
            f"it carries {', '.join(RELEASES)}."
        ) from None
