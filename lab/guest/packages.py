"""Debian packages as raw material: downloaded and unpacked into a folder, never installed on the machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable

KERNEL = "linux-image-cloud-amd64"
"""The metapackage; it names the package that carries the kernel."""
PACKAGES = (
    "busybox-static",
    "dropbear-bin",
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libc6",
    "libcrypt1",
    "libexpat1",
    "libgmp10",
    "libtomcrypt1",
    "libtommath1",
    "zlib1g",
)
_DOWNLOAD_TIMEOUT_S = 600
_LOCAL_TIMEOUT_S = 120


class GuestError(Exception):
    """The guest image cannot be built; the message is one sentence for the operator."""


def fetch(folder: Path, log: Callable[[str], None]) -> list[Path]:
    """Return the packages' .deb files, downloading what the folder does not hold yet. GuestError if one cannot be had."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in PACKAGES if not list(folder.glob(f"{name}_*.deb"))]
    if not list(folder.glob("linux-image-*-cloud-amd64_*.deb")):
        missing.append(_kernel_package())
    if missing:
        log(f"downloading {len(missing)} Debian packages for the guest image")
        outcome = _download(folder, missing)
        if outcome.returncode != 0:
            # Package lists may be absent or older than the archive.
            _run(["apt-get", "update", "-qq"], folder, _DOWNLOAD_TIMEOUT_S)
            missing = [name if name in PACKAGES else _kernel_package() for name in missing]
            outcome = _download(folder, missing)
        if outcome.returncode != 0:
            raise GuestError(
                f"the Debian packages {', '.join(missing)} could not be downloaded: {_last_line(outcome.stderr)};"
                " check that apt-get works on this machine"
            )
    return sorted(folder.glob("*.deb"))


def unpack(debs: Iterable[Path], tree: Path) -> None:
    """Unpack every package below `tree`."""
    tree.mkdir(parents=True, exist_ok=True)
    for deb in debs:
        outcome = _run(["dpkg-deb", "--extract", str(deb), str(tree)], tree, _LOCAL_TIMEOUT_S)
        if outcome.returncode != 0:
            raise GuestError(f"{deb.name} cannot be unpacked: {_last_line(outcome.stderr)}; delete it and try again")


def libraries(tree: Path, program: Path) -> set[Path]:
    """Return the shared libraries that `program` needs, all of them from `tree`, relative to it; the loader included."""
    loader = tree / "lib64/ld-linux-x86-64.so.2"
    folders = ":".join(str(tree / folder) for folder in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"))
    outcome = _run(
        [str(_inside(tree, loader)), "--library-path", folders, "--list", str(program)], tree, _LOCAL_TIMEOUT_S
    )
    if outcome.returncode != 0:
        raise GuestError(f"the libraries of {program.name} cannot be listed: {_last_line(outcome.stderr)}")
    # The loader also looks into this machine's own folders: what it found there is missing in the guest.
    found = {Path(path) for path in re.findall(r"=> (/\S+)", outcome.stdout)}
    outside = sorted(path.name for path in found if not path.is_relative_to(tree))
    outside += re.findall(r"(\S+) => not found", outcome.stdout)
    if outside or not found:
        raise GuestError(f"no package of the guest image carries {', '.join(outside) or 'anything'} for {program.name}")
    return {path.relative_to(tree) for path in found}


def run_inside(tree: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the tree on this machine, with the libraries of the tree."""
    loader = _inside(tree, tree / "lib64/ld-linux-x86-64.so.2")
    folders = ":".join(str(tree / folder) for folder in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"))
    return _run([str(loader), "--library-path", folders, str(tree / program), *arguments], tree, _LOCAL_TIMEOUT_S)


def _inside(tree: Path, path: Path) -> Path:
    """Follow an absolute symbolic link inside the tree instead of on this machine."""
    while path.is_symlink():
        target = path.readlink()
        path = tree / str(target).lstrip("/") if target.is_absolute() else path.parent / target
    return path


def _kernel_package() -> str:
    outcome = _run(["apt-cache", "depends", KERNEL], Path("/"), _LOCAL_TIMEOUT_S)
    if outcome.returncode != 0 or "linux-image-" not in outcome.stdout:
        _run(["apt-get", "update", "-qq"], Path("/"), _DOWNLOAD_TIMEOUT_S)
        outcome = _run(["apt-cache", "depends", KERNEL], Path("/"), _LOCAL_TIMEOUT_S)
    found = re.search(r"Depends: (linux-image-\S+-cloud-amd64)", outcome.stdout)
    if not found:
        raise GuestError(f"apt does not know the package {KERNEL}; check that apt-get update works on this machine")
    return found.group(1)


def _download(folder: Path, names: list[str]) -> subprocess.CompletedProcess[str]:
    command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *names]
    return _run(command, folder, _DOWNLOAD_TIMEOUT_S)


def _run(command: list[str], folder: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=timeout_s)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no message"
