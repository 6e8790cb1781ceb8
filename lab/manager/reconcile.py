"""What ``osism sync inventory`` does: merge the inventories of images and repository into one.

Runs in the container *manager-inventory_reconciler-1* (started by ``/run.sh``) and writes
``/ansible/inventory``, which the other containers read. New image tags become effective here and
not before: the versions that the kolla-ansible container put on ``/interface`` are copied into
``group_vars/all``.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping

#: Inventory files whose groups replace those of every other file (OSISM's rule for ``99-overwrite``).
OVERWRITE = "99-overwrite"

_HEADER = re.compile(r"^\[(?P<group>[^\]:]+)(?P<children>:children)?\]$")


class ReconcileError(ValueError):
    """An inventory file that cannot be merged; the message names file and line."""


Groups = dict[str, tuple[list[str], list[str]]]


def parse(text: str, name: str) -> Groups:
    """Read one inventory file: hosts and children of each group.

    Raises:
        ReconcileError: a line that is neither group, host nor comment.

    """
    groups: Groups = {}
    into: list[str] | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("#", 1)[0].split(";", 1)[0].strip()
        if not line:
            continue
        header = _HEADER.match(line)
        if header:
            hosts, children = groups.setdefault(header["group"], ([], []))
            into = children if header["children"] else hosts
        elif line.startswith("["):
            raise ReconcileError(f"{name}:{number}: {line!r} is no group that OSISM's inventories use")
        elif into is None:
            raise ReconcileError(f"{name}:{number}: the host {line!r} stands before any group")
        else:
            into.append(line.split()[0])
    return groups


def merge(files: list[tuple[str, str]]) -> Groups:
    """Merge inventory files in the order of their names; groups of ``20-roles`` and ``99-overwrite`` replace.

    OSISM lets the repository's ``20-roles`` and ``99-overwrite`` take a group over from the defaults
    of its images; otherwise members add up.
    """
    merged: Groups = {}
    for name, text in sorted(files):
        replaces = name.startswith(("20-", OVERWRITE))
        for group, (hosts, children) in parse(text, name).items():
            have = ([], []) if replaces else merged.get(group, ([], []))
            merged[group] = (_unique(have[0] + hosts), _unique(have[1] + children))
    return merged


def _unique(items: list[str]) -> list[str]:
    return list(dict.fromkeys(items))


def variables(inventory: Path, hosts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Merge what ``group_vars/all`` and ``host_vars`` say of each host, by the names of the files.

    The repository of the lab has no variables of other groups.
    """
    every: dict[str, Any] = {}
    for path in sorted((inventory / "group_vars" / "all").glob("*.yml")):
        every |= yaml.safe_load(path.read_text()) or {}
    own = {host: inventory / "host_vars" / f"{host}.yml" for host in hosts}
    return {
        host: every | ((yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}) for host, path in own.items()
    }


def as_yaml(groups: Groups, known: Mapping[str, Mapping[str, Any]]) -> str:
    """Render the merged groups as ``ansible-inventory --list -y`` does: a host's variables where it stands first.

    Raises:
        ReconcileError: a group names a child that no file defines.

    """
    missing = {child for _, children in groups.values() for child in children} - groups.keys()
    if missing:
        raise ReconcileError(f"These groups are used as children but defined nowhere: {', '.join(sorted(missing))}")
    tree: dict[str, dict[str, dict[str, Any]]] = {}
    left = dict(known)
    for group, (hosts, children) in sorted(groups.items()):
        node: dict[str, dict[str, Any]] = {}
        if hosts:
            node["hosts"] = {host: dict(left.pop(host, {})) for host in hosts}
        if children:
            node["children"] = dict.fromkeys(children)
        tree[group] = node
    return str(yaml.safe_dump({"all": {"children": tree}}, sort_keys=False))


def reconcile(generics: Path, configuration: Path, interface: Path, inventory: Path) -> list[str]:
    """Write the merged inventory; returns what to tell the operator.

    ``generics`` holds the defaults of OSISM's images (``inventory files`` and ``group_vars``),
    ``configuration`` is the repository, ``interface`` carries the versions, ``inventory`` is the result.
    """
    repository = configuration / "inventory"
    files = [
        (path.name, path.read_text())
        for directory in (generics, repository)
        for path in sorted(directory.iterdir())
        if path.is_file() and re.match(r"\d\d-", path.name)
    ]
    # The defaults' files (50-, 51-, 60-) sort after the repository's 10- and 20-, yet are merged first:
    # what the repository says about a group is what counts.
    defaults = [(name, text) for name, text in files if re.match(r"[56]\d-", name)]
    own = [(name, text) for name, text in files if not re.match(r"[56]\d-", name)]
    merged = merge([(f"00-{name}", text) for name, text in defaults] + own)
    new = inventory.with_name(inventory.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    for kind in ("group_vars", "host_vars"):
        (new / kind).mkdir(parents=True)
        for directory in (generics, repository):
            if (directory / kind).is_dir():
                shutil.copytree(directory / kind, new / kind, dirs_exist_ok=True)
    versions = sorted((interface / "versions").glob("*.yml"))
    (new / "group_vars" / "all").mkdir(exist_ok=True)
    for path in versions:
        shutil.copyfile(path, new / "group_vars" / "all" / f"100-versions-{path.name}")
    hosts = {host for hosts, _ in merged.values() for host in hosts}
    (new / "hosts.yml").write_text(as_yaml(merged, variables(new, hosts)))
    _replace(new, inventory)
    return [
        f"merged {len(files)} inventory files: {len(merged)} groups, {len(hosts)} hosts",
        *(f"versions from {path}" for path in versions),
    ]


def _replace(new: Path, inventory: Path) -> None:
    """Put the new content in place; the directory itself may be a mount point and stays."""
    inventory.mkdir(parents=True, exist_ok=True)
    for path in new.iterdir():
        target = inventory / path.name
        if target.is_dir():
            old = inventory / f".old-{path.name}"
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
            shutil.move(path, target)
            shutil.rmtree(old)
        else:
            shutil.move(path, target)
    shutil.rmtree(new)


def main() -> int:
    """Merge what OSISM's paths hold; the exit code is that of ``osism sync inventory``."""
    try:
        lines = reconcile(
            Path("/inventory.generics"), Path("/opt/configuration"), Path("/interface"), Path("/ansible/inventory")
        )
    except (ReconcileError, OSError, yaml.YAMLError) as error:
        print(f"ERROR! {error}", flush=True)
        return 1
    print("\n".join(lines), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
