"""Thin container images, one per service and release, kept in a directory that plays the registry.

An image holds no system of its own: /usr comes from the node by bind mount. What it does hold decides which code runs: a
link from /var/lib/kolla/venv to the virtual environment of its release, kolla_start, the health checks, and the links from
/etc/<project> to the files that the project ships. Labels are kolla's and OSISM's.

The archives have the format of `docker save`, written here directly and reproducibly: the same release on the same
machine has the same image id on every node, as after a real pull.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab import kolla
from lab import layout
from lab import releases
from lab.archive import image as image_archive

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping

    from lab.releases import Release

_FILES = Path(__file__).parent / "image"
_DIRECTORIES = (
    "etc", "dev", "proc", "sys", "tmp", "root", "run", "usr", "var/cache", "var/log/kolla", "var/lib/kolla/bin", "var/lib/kolla/config_files",
    "var/lib/glance", "var/lib/haproxy", "var/lib/libvirt", "var/lib/mysql", "var/lib/neutron/kolla", "var/lib/neutron/tmp", "var/lib/nova",
    "var/lib/openvswitch", "var/lib/rabbitmq", "var/lib/misc", "var/cache/libvirt", "var/spool/cron/crontabs", "etc/ssl", "etc/alternatives", "etc/libvirt/qemu",
    "etc/openvswitch", "etc/keystone/fernet-keys", "etc/placement", "var/tmp", "home", "opt", "mnt",
)  # fmt: skip
_LINKS = {
    "bin": "usr/bin",
    "sbin": "usr/sbin",
    "lib": "usr/lib",
    "lib64": "usr/lib64",
    "var/run": "/run",
    "var/lock": "/run/lock",
}
_PATH = "/var/lib/kolla/venv/bin:/var/lib/kolla/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def layer(release: Release, state: layout.State) -> bytes:
    """The file system of every image of that release, as an uncompressed tar; the same bytes every time."""
    buffer = io.BytesIO()
    venv = release.venv(state)
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        links = dict(_LINKS)
        links["var/lib/kolla/venv"] = str(venv)
        for project in ("glance", "keystone", "neutron", "nova"):
            for shipped in sorted((venv / "etc" / project).rglob("*")):
                if shipped.is_file():
                    inside = shipped.relative_to(venv)
                    links[str(inside)] = f"/var/lib/kolla/venv/{inside}"
        for path in _with_parents({*_DIRECTORIES, *(str(Path(link).parent) for link in links)}):
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if path in {"tmp", "var/tmp"} else 0o755
            archive.addfile(entry)
        for path, target in sorted(links.items()):
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
            archive.addfile(entry)
        for file in sorted(_FILES.iterdir()):
            data = file.read_bytes()
            entry = tarfile.TarInfo(f"var/lib/kolla/bin/{file.name}")
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _with_parents(paths: Iterable[str]) -> list[str]:
    every = {str(parent) for path in paths for parent in (Path(path), *Path(path).parents)} - {"."}
    return sorted(every)


def labels(release: Release, image: str, version: str) -> dict[str, str]:
    """What `docker inspect` shows on OSISM's images since 7.1.0."""
    created = f"{release.date[:4]}-{release.date[4:6]}-{release.date[6:]}T00:00:00Z"
    return {
        "build-date": release.date,
        "name": image,
        "kolla_version": release.kolla,
        "maintainer": "rehearse lab",
        "org.opencontainers.image.created": created,
        "org.opencontainers.image.title": image,
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": "ASL 2.0",
        "de.osism.version": release.osism,
        "de.osism.release.openstack": release.name,
    }


def archive(release: Release, image: str, version: str, reference: str, content: bytes) -> bytes:
    """An image in the format of `docker save` around the given layer."""
    found = labels(release, image, version)
    environment = [
        f"PATH={_PATH}",
        "LANG=C.UTF-8",
        "PYTHONUNBUFFERED=1",
        "EVENTLET_NO_GREENDNS=yes",
        "KOLLA_BASE_DISTRO=debian",
        "KOLLA_BASE_ARCH=x86_64",
    ]
    settings = {
        "Env": environment,
        "Entrypoint": ["dumb-init", "--single-child", "--"],
        "Cmd": ["kolla_start"],
        "Labels": found,
    }
    return image_archive(reference, content, found["org.opencontainers.image.created"], settings)


def build(state: layout.State, versions: Mapping[str, Mapping[str, str]]) -> int:
    """Writes every image of both releases into the registry directory; returns how many were new or changed."""
    changed = 0
    for release in releases.RELEASES.values():
        content = layer(release, state)
        for image in releases.IMAGES:
            reference = releases.reference(release, image, versions)
            path = kolla.archive_path(state, reference)
            data = archive(release, image, versions[release.name][image], reference, content)
            if path.exists() and path.read_bytes() == data:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".new")
            temporary.write_bytes(data)
            temporary.replace(path)
            changed += 1
    return changed
