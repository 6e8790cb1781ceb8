"""Images of the manager's containers, as thin as those of the services, in the same registry directory.

An image decides which OSISM release runs: a link to the virtual environment with that release's
``osism``, the versions of the service images that the release brings (in kolla-ansible's image), the
defaults of the inventory (in the reconciler's), and the programs behind the run scripts.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from lab import archive
from lab import catalogue
from lab import kolla
from lab import layout
from lab import releases
from lab.manager import interface
from lab.manager.release import RELEASES
from lab.manager.release import OsismRelease
from lab.plays.osism_ansible import PLAYBOOK_TEXTS
from lab.plays.variables import VariableError
from lab.plays.variables import Variables

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAMS = "/ansible/plays"
VENV = "/venv"

_DIRECTORIES = (
    *("ansible/inventory", "ansible/logs", "ansible/secrets", "data", "dev", "etc/openstack", "etc/ssl", "home"),
    *("interface", "opt/configuration", "proc", "root", "run", "share", "sys", "tmp", "usr", "var/lib", "var/tmp"),
)
_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64", "var/run": "/run"}

_RUN = f'#!/usr/bin/env bash\nexec {VENV}/bin/python -m lab.plays.kolla_ansible "$@"\n'
_RUN_OSISM = f'#!/usr/bin/env bash\nexec {VENV}/bin/python -m lab.plays.osism_ansible "$@"\n'
_RUN_RECONCILER = f"#!/usr/bin/env bash\nexec {VENV}/bin/python -m lab.manager.reconcile\n"

#: Puts what the image brings on the shared volume, as the entry points of OSISM's images do.
_ENTRYPOINT = """\
#!/usr/bin/env bash
set -euo pipefail
for kind in versions playbooks; do
    if [ -d "/interface.image/$kind" ]; then
        mkdir -p "/interface/$kind"
        cp /interface.image/$kind/*.yml "/interface/$kind/"
    fi
done
exec "$@"
"""


def reference(osism: OsismRelease, container: str) -> str:
    """Image reference of a manager container."""
    path, tag = {
        "osismclient": ("osism/osism", osism.osism),
        "openstackclient": ("osism/openstackclient", osism.release.name),
        "kolla-ansible": ("osism/kolla-ansible", osism.kolla_ansible),
        "osism-ansible": ("osism/osism-ansible", osism.osism_ansible),
        "manager-inventory_reconciler-1": ("osism/inventory-reconciler", osism.inventory_reconciler),
        "manager-redis-1": ("dockerhub/library/redis", osism.redis),
    }[container]
    return f"{releases.REGISTRY}/{path}:{tag}"


#: The manager's containers in the order in which they start.
CONTAINERS = (
    "manager-redis-1",
    "manager-inventory_reconciler-1",
    "osism-ansible",
    "kolla-ansible",
    "osismclient",
    "openstackclient",
)


def references(osism: OsismRelease) -> dict[str, str]:
    """Image reference of every container of the manager."""
    return {container: reference(osism, container) for container in CONTAINERS}


def configured(repository: Path) -> dict[str, str]:
    """Image references as ``environments/manager/images.yml`` has them; the openstack client is no part of it.

    Raises:
        VariableError: the file does not name an image.

    """
    files = [repository / "environments/manager" / name for name in ("images.yml", "configuration.yml")]
    merged: dict[str, object] = {}
    for path in files:
        merged |= yaml.safe_load(path.read_text()) or {}
    variables = Variables(merged)
    found = {}
    for container, name in _VARIABLES.items():
        if name not in variables:
            raise VariableError(f"{files[0]} does not define {name}. Type: make sync")
        found[container] = str(variables[name])
    return found


_VARIABLES = {
    "manager-redis-1": "manager_redis_image",
    "manager-inventory_reconciler-1": "inventory_reconciler_image",
    "osism-ansible": "osism_ansible_image",
    "kolla-ansible": "kolla_ansible_image",
    "osismclient": "osism_image",
}


def labels(osism: OsismRelease, container: str) -> dict[str, str]:
    """Labels by which OSISM's own scripts tell which release a manager is."""
    if container == "manager-redis-1":
        return {}
    found = {
        "org.opencontainers.image.title": container,
        "org.opencontainers.image.version": osism.version,
        "de.osism.version": osism.version,
    }
    if container in {"kolla-ansible", "openstackclient"}:
        found["de.osism.release.openstack"] = osism.release.name
    return found


def files(osism: OsismRelease, container: str, measured: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Files of an image by path; those that begin with ``#!`` are executable."""
    found: dict[str, str] = {"entrypoint.sh": _ENTRYPOINT}
    versions, playbooks = interface.versions(osism, measured), interface.playbooks()
    if container == "kolla-ansible":
        found["run.sh"] = _RUN
        found["interface.image/versions/kolla-ansible.yml"] = versions["kolla-ansible.yml"]
        found["interface.image/playbooks/kolla-ansible.yml"] = playbooks["kolla-ansible.yml"]
        found["ansible/group_vars/all/versions.yml"] = versions["kolla-ansible.yml"]
    elif container == "osism-ansible":
        found["run-generic.sh"] = found["run-infrastructure.sh"] = found["run-custom.sh"] = _RUN_OSISM
        found["interface.image/versions/osism-ansible.yml"] = versions["osism-ansible.yml"]
        found["interface.image/playbooks/osism-ansible.yml"] = playbooks["osism-ansible.yml"]
        found |= {f"ansible/playbooks/{path}": text for path, text in PLAYBOOK_TEXTS.items()}
    elif container == "manager-inventory_reconciler-1":
        found["run.sh"] = _RUN_RECONCILER
        images = {item.name: item.image for item in catalogue.CONTAINERS if osism.release.name in item.commands}
        found |= {f"inventory.generics/{path}": text for path, text in interface.generics(images).items()}
    return found


def _programs() -> dict[str, bytes]:
    """The package ``lab`` itself: the run scripts' programs and what they build on."""
    package = Path(__file__).parent.parent
    return {
        f"{PROGRAMS[1:]}/lab/{path.relative_to(package)}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def layer(osism: OsismRelease, container: str, state: layout.State, measured: Mapping[str, Mapping[str, str]]) -> bytes:
    """File system of an image as an uncompressed tar; the same bytes for the same content."""
    contents = {path: text.encode() for path, text in files(osism, container, measured).items()}
    if container not in {"osismclient", "openstackclient", "manager-redis-1"}:
        contents |= _programs()
    links = dict(_LINKS) | ({} if container == "manager-redis-1" else {VENV[1:]: str(osism.venv(state))})
    parents = {
        str(parent)
        for path in (*_DIRECTORIES, *(f"{path}/x" for path in _DIRECTORIES), *contents, *links)
        for parent in Path(path).parents
    } - {"."}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(parents):
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if path in {"tmp", "var/tmp"} else 0o755
            archive.addfile(entry)
        for path, target in sorted(links.items()):
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
            archive.addfile(entry)
        for path, data in sorted(contents.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o755 if data.startswith(b"#!") else 0o644
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def build(state: layout.State, measured: Mapping[str, Mapping[str, str]]) -> int:
    """Write the manager's images of every release into the registry directory; returns how many changed."""
    changed = 0
    for osism in RELEASES.values():
        for container in CONTAINERS:
            name = reference(osism, container)
            content = layer(osism, container, state, measured)
            data = _archive(name, labels(osism, container), content, osism.release.date)
            path = kolla.archive_path(state, name)
            if path.exists() and path.read_bytes() == data:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_suffix(".new")
            new.write_bytes(data)
            new.replace(path)
            changed += 1
    return changed


def _archive(name: str, found: Mapping[str, str], content: bytes, date: str) -> bytes:
    """An image in the format of ``docker save``."""
    created = f"{date[:4]}-{date[4:6]}-{date[6:]}T00:00:00Z"
    settings = {
        "Env": [
            f"PATH={VENV}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8",
            "PYTHONUNBUFFERED=1",
            f"PYTHONPATH={PROGRAMS}",
        ],
        "Entrypoint": ["dumb-init", "--single-child", "--", "/entrypoint.sh"],
        "Labels": dict(found),
    }
    return archive.image(name, content, created, settings)
