"""The file systems that an upgrade fills, and whether they have room."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rehearsal.figures.expectation import Expectation
from rehearsal.figures.expectation import NotObserved
from rehearsal.hosts.engine import Absent
from rehearsal.hosts.engine import docker
from rehearsal.hosts.look import Look
from rehearsal.hosts.look import part

if TYPE_CHECKING:
    from rehearsal.hosts.view import HostView

DOCKER_FOLDER = "/var/lib/docker"
"""Where Docker keeps its images unless it says otherwise."""
DATA_FOLDERS = ("/var/log", "/var/lib/nova", "/var")
IMAGES_FREE_BYTES = 5_000_000_000
DATA_FREE_BYTES = 1_000_000_000
FREE_INODES_SHARE = 0.05
"""A host holds both releases' images at once; databases that are migrated and logs at debug level grow by hundreds of MB."""


@dataclass(frozen=True)
class DiskView:
    """One file system, in bytes and inodes. `holds_images`: Docker keeps its images there."""

    folder: str
    free_bytes: int
    total_bytes: int
    free_inodes: int = 0
    total_inodes: int = 0
    holds_images: bool = False


@part
def disks(_look: Look) -> list[DiskView]:
    """Return free and total bytes and inodes of the file systems that an upgrade fills: images first, then data and logs."""
    found, devices = [], set()
    try:
        images_folder = str(docker("/info")["DockerRootDir"])
    except (OSError, ValueError, KeyError, Absent):
        images_folder = DOCKER_FOLDER  # its disk fills whether Docker runs or not
    for folder in (images_folder, *DATA_FOLDERS):
        if not Path(folder).is_dir():
            continue
        device = Path(folder).stat().st_dev
        if device in devices:
            continue
        devices.add(device)
        seen = os.statvfs(folder)
        found.append(
            DiskView(
                folder=folder,
                holds_images=folder == images_folder,
                free_bytes=seen.f_bavail * seen.f_frsize,
                total_bytes=seen.f_blocks * seen.f_frsize,
                free_inodes=seen.f_favail,
                total_inodes=seen.f_files,
            )
        )
    return found


def disk_space(view: HostView) -> Expectation:
    """Every file system that an upgrade fills has room: 5 GB for images, 1 GB for data, and one inode in twenty."""
    found = view.shown(disks)
    if not found:
        raise NotObserved(f"{view.host}: no file system was seen")
    tight = []
    for disk in found:
        needed = IMAGES_FREE_BYTES if disk.holds_images else DATA_FREE_BYTES
        if disk.free_bytes < needed:
            tight.append(f"{disk.folder} has {disk.free_bytes / 1e9:.2f} GB free of {disk.total_bytes / 1e9:.2f} GB")
        elif disk.total_inodes and disk.free_inodes < FREE_INODES_SHARE * disk.total_inodes:
            tight.append(f"{disk.folder} has {disk.free_inodes} of {disk.total_inodes} inodes free")
    least = min(found, key=lambda disk: disk.free_bytes)
    return Expectation(
        f"{IMAGES_FREE_BYTES / 1e9:.0f} GB free for images, {DATA_FREE_BYTES / 1e9:.0f} GB for data, "
        f"{FREE_INODES_SHARE:.0%} of the inodes",
        "; ".join(tight) or f"least: {least.folder} with {least.free_bytes / 1e9:.1f} GB free",
        holds=not tight,
        host=view.host,
    )
