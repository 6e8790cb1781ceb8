"""A cloud of two hosts, and directories of own claims for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.cloud import Host
from rehearsal.cloud import Release
from rehearsal.cloud import Target

if TYPE_CHECKING:
    from pathlib import Path


def two_hosts() -> Target:
    """Return a target with one control and one compute node on loopback."""
    return Target(
        configuration="",
        cloud="admin",
        clouds_file="",
        secure_file="",
        cacert="",
        operator_user="nobody",
        operator_key="",
        hosts=(Host("control-0", "127.0.0.1", ("control",)), Host("compute-0", "127.0.0.1", ("compute",))),
        groups={"control": ("control-0",), "compute": ("compute-0",), "storage": ()},
        vips=(),
        endpoints=(),
        release=Release("2024.2", "9.5.0", "r", "kolla/release", {}),
    )


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write files below a folder; return it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
