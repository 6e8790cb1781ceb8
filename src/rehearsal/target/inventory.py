"""The inventory as OSISM builds it: the repository's INI files over the groups that OSISM's images bring along.

OSISM's inventory reconciler lets the groups of `20-roles`, `20-netbox` and `99-overwrite` replace those of every other
file; everything else adds up (container-image-inventory-reconciler, handle-inventory-overwrite.py). Host names may
carry variables and ranges (`node-[0:9]`), as Ansible allows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from dataclasses import field
from importlib import resources
from typing import TYPE_CHECKING

import yaml

from rehearsal.target.model import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEADER = re.compile(r"^\[([^\]:\s]+)(?::(children|vars))?\]$")
_RANGE = re.compile(r"\[(\d+|[a-z]):(\d+|[a-z])(?::(\d+))?\]")
_REPLACING = ("20-roles", "20-netbox", "99-overwrite")
_MOST_HOSTS_PER_PATTERN = 10_000


@dataclass(slots=True)
class Group:
    """A group as written: hosts and children by name, in order, with the file that defines it."""

    hosts: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Inventory:
    """The merged inventory: groups as written, variables per host, and what is wrong with the files."""

    groups: dict[str, Group] = field(default_factory=dict)
    host_variables: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def members(self, group: str) -> tuple[str, ...]:
        """Return the hosts of a group and of its children, first seen first, safe against cycles."""
        found: dict[str, None] = {}
        waiting, seen = [group], set()
        while waiting:
            name = waiting.pop(0)
            if name in seen or name not in self.groups:
                continue
            seen.add(name)
            found.update(dict.fromkeys(self.groups[name].hosts))
            waiting.extend(self.groups[name].children)
        return tuple(found)

    def hosts(self) -> tuple[str, ...]:
        """Return every host of every group, in the order of the files."""
        return tuple(dict.fromkeys(host for group in self.groups.values() for host in group.hosts))


def parse_ini(text: str, file: str) -> Inventory:
    """Read one INI inventory. Lines that are no inventory become problems with their number, and are skipped."""
    parsed = Inventory()
    group: str | None = None
    kind: str | None = None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = _without_comment(raw)
        if not line:
            continue
        where = f"{file}:{number}"
        if line.startswith("["):
            header = _HEADER.match(line)
            if header is None:
                parsed.problems.append(
                    Problem(f"{line!r} is no group header.", where, "Write [group], [group:children] or [group:vars].")
                )
                group, kind = None, "skip"
                continue
            group, kind = header[1], header[2]
            if kind != "vars":
                known = parsed.groups.setdefault(group, Group())
                if file not in known.files:
                    known.files.append(file)
        elif kind in {"skip", "vars"}:
            continue
        elif group is None:
            _add_hosts(parsed, "ungrouped", line, where)
        elif kind == "children":
            parsed.groups[group].children.append(line.split()[0])
        else:
            _add_hosts(parsed, group, line, where)
    return parsed


def _without_comment(raw: str) -> str:
    line = raw.strip()
    if line.startswith(("#", ";")):
        return ""
    return re.split(r"\s#", line, maxsplit=1)[0].strip()


def _add_hosts(parsed: Inventory, group: str, line: str, where: str) -> None:
    pattern, *assignments = line.split()
    try:
        names = list(expand(pattern))
    except ValueError as error:
        parsed.problems.append(Problem(str(error), where, "Write a range as name-[first:last]."))
        return
    variables = dict(item.split("=", 1) for item in assignments if "=" in item)
    known = parsed.groups.setdefault(group, Group())
    known.hosts.extend(names)
    for name in names:
        if variables:
            parsed.host_variables.setdefault(name, {}).update(
                {key: value.strip("'\"") for key, value in variables.items()}
            )


def expand(pattern: str) -> Iterator[str]:
    """Yield the host names of an Ansible host pattern with ranges: `n[1:3]` is n1, n2, n3; `[01:10]` keeps its width.

    Raises ValueError for a range that runs backwards or names more than 10 000 hosts.
    """
    found = _RANGE.search(pattern)
    if found is None:
        yield pattern
        return
    first, last, step = found[1], found[2], int(found[3] or 1)
    if first.isdigit() != last.isdigit() or step < 1:
        raise ValueError(f"{pattern!r} mixes letters and digits in a range.")
    if first.isdigit():
        low, high, width = int(first), int(last), len(first) if first.startswith("0") else 0
    else:
        low, high, width = ord(first), ord(last), 0
    if low > high:
        raise ValueError(f"The range in {pattern!r} runs backwards.")
    if (high - low) // step >= _MOST_HOSTS_PER_PATTERN:
        raise ValueError(f"{pattern!r} names more than {_MOST_HOSTS_PER_PATTERN} hosts.")
    for value in range(low, high + 1, step):
        text = f"{value:0{width}d}" if first.isdigit() else chr(value)
        yield from expand(pattern[: found.start()] + text + pattern[found.end() :])


def default_groups() -> Inventory:
    """Return the groups that OSISM's images bring (osism/generics, inventory/50-* to 60-*), as far as containers go."""
    text = resources.files("rehearsal.target").joinpath("groups.yml").read_text()
    brought = Inventory()
    for parent, names in yaml.safe_load(text).items():
        for name in names:
            group = brought.groups.setdefault(name, Group(files=["OSISM's defaults"]))
            group.children.append(parent)
    return brought


def read(directory: Path) -> Inventory:
    """Read and merge the inventory directory of a configuration repository."""
    merged = Inventory()
    if not directory.is_dir():
        merged.problems.append(
            Problem(
                "The inventory is missing.",
                str(directory),
                "Give the configuration repository: --configuration DIR or REHEARSE_CONFIGURATION.",
            )
        )
        return merged
    files = sorted(
        path for path in directory.iterdir() if path.is_file() and re.match(r"\d\d-", path.name) and not path.suffix
    )
    if not files:
        merged.problems.append(
            Problem("No inventory file (10-custom, 20-roles, …) is there.", str(directory), "Add the inventory files.")
        )
    parsed = []
    for path in files:
        try:
            parsed.append((path.name, parse_ini(path.read_text(), str(path))))
        except (OSError, UnicodeDecodeError) as error:
            merged.problems.append(Problem(f"It cannot be read: {error}.", str(path), "Make it readable UTF-8 text."))
    _merge(merged, [("50-defaults", default_groups()), *parsed])
    _check_children(merged)
    return merged


def _merge(merged: Inventory, parts: list[tuple[str, Inventory]]) -> None:
    replaced = {group for file, part in parts if file in _REPLACING for group in part.groups}
    for file, part in parts:
        merged.problems.extend(part.problems)
        for host, variables in part.host_variables.items():
            merged.host_variables.setdefault(host, {}).update(variables)
        for name, group in part.groups.items():
            if name in replaced and file not in _REPLACING:
                continue
            known = merged.groups.setdefault(name, Group())
            known.hosts = list(dict.fromkeys(known.hosts + group.hosts))
            known.children = list(dict.fromkeys(known.children + group.children))
            known.files = list(dict.fromkeys(known.files + group.files))


def _check_children(merged: Inventory) -> None:
    for name, group in sorted(merged.groups.items()):
        for child in group.children:
            if child not in merged.groups and group.files != ["OSISM's defaults"]:
                merged.problems.append(
                    Problem(
                        f"Group {name} has the child {child}, which no file defines.",
                        group.files[-1],
                        f"Define [{child}] or remove it.",
                        severity="warning",
                    )
                )
