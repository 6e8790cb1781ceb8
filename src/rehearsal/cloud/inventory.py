"""The inventory as OSISM builds it: the repository's files over the groups that OSISM's images bring along.

What Ansible reads is read: every file of the directory but those that Ansible itself passes over, INI or YAML. OSISM's
inventory reconciler lets the groups of `20-roles`, `20-netbox` and `99-overwrite` replace those of every other INI file;
everything else adds up (container-image-inventory-reconciler, handle-inventory-overwrite.py).
"""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import dataclass
from dataclasses import field
from importlib import resources
from typing import TYPE_CHECKING
from typing import Any

import yaml

from rehearsal.cloud import files
from rehearsal.cloud.files import VAULT_HEADER
from rehearsal.cloud.sshaccess import is_host_name
from rehearsal.cloud.target import Problem
from rehearsal.cloud.variables import VAULT_REMEDY
from rehearsal.cloud.variables import parse_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEADER = re.compile(r"^\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?$")
_RANGE = re.compile(r"\[(\d*|[A-Za-z]):(\d+|[A-Za-z])(?::(\d+))?\]")
_REPLACING = ("20-roles", "20-netbox", "99-overwrite")
_MOST_HOSTS_PER_PATTERN = 10_000
_LONGEST_VALUE = 10_000
_PASSED_OVER = re.compile(
    r"^\.|^host_vars$|^group_vars$|^vars_plugins$"
    r"|(\.pyc|\.pyo|\.swp|\.bak|~|\.rpm|\.md|\.txt|\.rst|\.orig|\.cfg|\.retry)$|^LICENSE$"
)
"""What Ansible (INVENTORY_IGNORE_EXTS, ansible-core 2.19) and the reconciler's rsync leave out."""
_YAML = (".yml", ".yaml", ".json")
_BROUGHT = "OSISM's defaults"


@dataclass(slots=True)
class Group:
    """A group as written: hosts and children by name, in order, its variables, and the files that define it."""

    hosts: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Inventory:
    """The merged inventory: groups as written, variables per host with their files, and what is wrong with the files."""

    groups: dict[str, Group] = field(default_factory=dict)
    host_variables: dict[str, dict[str, Any]] = field(default_factory=dict)
    host_files: dict[str, str] = field(default_factory=dict)
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

    def add_host(self, group: str, name: str, variables: dict[str, Any], where: str) -> None:
        """Put a host with its variables into a group. A name that ssh or a path would read otherwise is refused."""
        bare, port = _without_port(name)
        if not is_host_name(bare):
            sentence = f"{name[:80]!r} is not a valid host name; it is skipped."
            self.problems.append(Problem(sentence, where, "Name hosts with letters, digits, dots and dashes."))
            return
        self.groups.setdefault(group, Group()).hosts.append(bare)
        self.host_files.setdefault(bare, where.rsplit(":", 1)[0] if where.rsplit(":", 1)[-1].isdigit() else where)
        known = self.host_variables.setdefault(bare, {})
        known.update({**({"ansible_port": port} if port else {}), **variables})


def _without_port(name: str) -> tuple[str, int]:
    """Return a host's name and the port behind it, as Ansible takes `node:2222` and `[fd00::1]:2222`."""
    found = re.fullmatch(r"([^:\[\]]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", name)
    bare, port = (found[1], int(found[2])) if found else (name, 0)
    return (bare[1:-1] if bare.startswith("[") and bare.endswith("]") else bare), port


def parse_ini(text: str, file: str) -> Inventory:
    """Read one INI inventory. Lines that are no inventory become problems with their number, and are skipped."""
    parsed = Inventory()
    group = "ungrouped"
    kind: str | None = None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        where = f"{file}:{number}"
        if line.startswith("[") and (line.split("#", maxsplit=1)[0].rstrip().endswith("]") or not _RANGE.match(line)):
            header = _HEADER.match(line)
            if header is None or header[2] not in {None, "hosts", "children", "vars"}:
                parsed.problems.append(
                    Problem(
                        f"{line[:80]!r} is no group header.", where, "Write [group], [group:children] or [group:vars]."
                    )
                )
                kind = "skip"
                continue
            group, kind = header[1], header[2]
            known = parsed.groups.setdefault(group, Group())
            if file not in known.files and kind != "vars":
                known.files.append(file)
        elif kind == "skip":
            continue
        elif kind == "vars":
            _take_variable(parsed, group, line, where)
        elif kind == "children":
            parsed.groups.setdefault(group, Group()).children.append(re.split(r"\s*#|\s", line, maxsplit=1)[0])
        else:
            _take_hosts(parsed, group, line, where)
    return parsed


def _take_variable(parsed: Inventory, group: str, line: str, where: str) -> None:
    name, equals, value = line.partition("=")
    if not equals:
        parsed.problems.append(Problem(f"{name[:40]!r} has no value.", where, "Write name=value."))
        return
    known = parsed.groups.setdefault(group, Group())
    known.variables[name.strip()] = _literal(value.strip())
    known.origins[name.strip()] = where


def _take_hosts(parsed: Inventory, group: str, line: str, where: str) -> None:
    try:
        pattern, *assignments = shlex.split(line, comments=True) or [""]
        names = list(expand(pattern)) if pattern else []
    except ValueError as error:
        told = str(error) if "range" in str(error) or "hosts" in str(error) else "Quotes are not closed."
        parsed.problems.append(Problem(told, where, "Write a range as name-[first:last], and close quotes."))
        return
    variables: dict[str, Any] = {}
    for item in assignments:
        name, equals, value = item.partition("=")
        if equals:
            variables[name] = _literal(value)
        else:
            parsed.problems.append(
                Problem(f"{item[:40]!r} behind host {pattern[:80]} is no name=value.", where, "Write name=value.")
            )
    for name in names:
        parsed.add_host(group, name, dict(variables), where)


def _literal(text: str) -> Any:
    """Return a value of an INI file as Ansible takes it: a literal of Python if it is one, else the text."""
    if len(text) > _LONGEST_VALUE:
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return text


def expand(pattern: str) -> Iterator[str]:
    """Yield the host names of an Ansible host pattern with ranges: `n[1:3]` is n1, n2, n3; `[01:10]` keeps its width.

    Raises ValueError for a range that runs backwards or names more than 10 000 hosts.
    """
    for number, name in enumerate(_expanded(pattern)):
        if number >= _MOST_HOSTS_PER_PATTERN:
            raise ValueError(f"{pattern[:80]!r} names more than {_MOST_HOSTS_PER_PATTERN} hosts.")
        yield name


def _expanded(pattern: str) -> Iterator[str]:
    found = _RANGE.search(pattern)
    if found is None:
        yield pattern
        return
    first, last, step = found[1] or "0", found[2], int((found[3] or "1")[:9])
    if first.isdigit() != last.isdigit() or step < 1:
        raise ValueError(f"{pattern[:80]!r} mixes letters and digits in a range.")
    if first.isdigit():
        if max(len(first), len(last)) > 9 or (first[0] == "0" and 1 < len(first) != len(last)):
            raise ValueError(f"The range in {pattern[:80]!r} has ends of unlike or great length.")
        low, high, width = int(first), int(last), len(first) if first.startswith("0") else 0
    else:
        low, high, width = ord(first), ord(last), 0
    if low > high:
        raise ValueError(f"The range in {pattern[:80]!r} runs backwards.")
    if (high - low) // step >= _MOST_HOSTS_PER_PATTERN:
        raise ValueError(f"{pattern[:80]!r} names more than {_MOST_HOSTS_PER_PATTERN} hosts.")
    for value in range(low, high + 1, step):
        text = f"{value:0{width}d}" if first.isdigit() else chr(value)
        yield from _expanded(pattern[: found.start()] + text + pattern[found.end() :])


def parse_data(data: Any, file: str) -> Inventory:
    """Read a YAML or JSON inventory that was parsed: groups with `hosts`, `vars` and `children`, at any depth."""
    parsed = Inventory()
    if not isinstance(data, dict) or "plugin" in data:
        what = (
            f"It is made by a plugin ({str(data['plugin'])[:40]})" if isinstance(data, dict) else "It is no inventory"
        )
        remedy = "Run this where the manager's containers can be queried (without --files-only)."
        parsed.problems.append(Problem(f"{what}; its hosts are not known here.", file, remedy, severity="warning"))
        return parsed
    waiting = [(str(name), content) for name, content in data.items()]
    seen: set[int] = set()
    while waiting:
        name, content = waiting.pop(0)
        group = parsed.groups.setdefault(name, Group())
        if file not in group.files:
            group.files.append(file)
        if not isinstance(content, dict):
            if content is not None:
                parsed.problems.append(Problem(f"Group {name[:80]} is no mapping.", file, "Write hosts: below it."))
            continue
        if id(content) in seen:
            continue  # an alias: what it holds is read, and it may hold itself
        seen.add(id(content))
        variables = _mapping(content.get("vars"))
        group.variables.update(variables)
        group.origins.update(dict.fromkeys(variables, file))
        for pattern, values in _mapping(content.get("hosts")).items():
            _take_pattern(parsed, name, pattern, _mapping(values), file)
        children = _mapping(content.get("children"))
        group.children = list(dict.fromkeys([*group.children, *children]))
        waiting.extend(children.items())
    return parsed


def _take_pattern(parsed: Inventory, group: str, pattern: str, variables: dict[str, Any], file: str) -> None:
    try:
        names = list(expand(pattern))
    except ValueError as error:
        parsed.problems.append(Problem(str(error), file, "Write a range as name-[first:last]."))
        return
    for name in names:
        parsed.add_host(group, name, variables, file)


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {value: None}
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def default_groups() -> Inventory:
    """Return the groups that OSISM's images bring (osism/generics, inventory/50-* to 60-*), as far as containers go."""
    text = resources.files("rehearsal.cloud").joinpath("groups.yml").read_text()
    brought = Inventory()
    for parent, names in yaml.safe_load(text).items():
        for name in names:
            group = brought.groups.setdefault(name, Group(files=[_BROUGHT]))
            group.children.append(parent)
    return brought


def read(directory: Path) -> Inventory:
    """Read and merge the inventory directory of a configuration repository."""
    merged = Inventory()
    found = files.entries(directory, merged.problems)
    if not found and not merged.problems:
        what = "is empty" if files.kind(directory, []) == "directory" else "is missing"
        merged.problems.append(
            Problem(
                f"The inventory {what}.",
                str(directory),
                "Give the configuration repository: --configuration DIR or REHEARSE_CONFIGURATION.",
            )
        )
        return merged
    parsed = list(_sources(found, merged.problems))
    if not parsed and not merged.problems:
        merged.problems.append(
            Problem("No inventory file (10-custom, 20-roles, …) is there.", str(directory), "Add the inventory files.")
        )
    _merge(merged, [("50-defaults", default_groups()), *parsed])
    _check_children(merged)
    _check_lost(merged, parsed)
    return merged


def _sources(paths: list[Path], problems: list[Problem], depth: int = 0) -> Iterator[tuple[str, Inventory]]:
    """Yield what each inventory file says; directories are read as Ansible does, file by file."""
    for path in paths:
        if _PASSED_OVER.search(path.name):
            continue
        kind = files.kind(path, problems)
        if kind == "directory" and depth < 8:
            for _, found in _sources(files.entries(path, problems), problems, depth + 1):
                yield "", found
        elif kind:
            inner = _source(path, problems)
            if inner is not None:
                yield path.name if depth == 0 else "", inner


def _source(path: Path, problems: list[Problem]) -> Inventory | None:
    text = files.read_text(path, problems)
    if text is None:
        return None
    if text.startswith(VAULT_HEADER) or files.without_mark(text).startswith(VAULT_HEADER):
        problems.append(Problem(f"{path.name} is encrypted as a whole.", str(path), VAULT_REMEDY))
    elif text.startswith("#!"):
        problems.append(
            Problem(
                f"{path.name} is a program; rehearse does not run it, and its hosts are not known here.",
                str(path),
                "Run this where the manager's containers can be queried (without --files-only).",
                severity="warning",
            )
        )
    elif path.suffix in _YAML:
        before = len(problems)
        data = parse_yaml(files.without_mark(text), str(path), problems)
        return parse_data(data, str(path)) if data is not None or len(problems) == before else None
    elif text.startswith("\ufeff"):
        problems.append(
            Problem(
                f"{path.name} begins with a byte order mark; Ansible refuses it.", str(path), "Save it without one."
            )
        )
    else:
        return parse_ini(text, str(path))
    return None


def _merge(merged: Inventory, parts: list[tuple[str, Inventory]]) -> None:
    replaced = {
        group
        for file, part in parts
        if file in _REPLACING
        for group, found in part.groups.items()
        if found.files  # a bare [group:vars] replaces no group
    }
    for file, part in parts:
        merged.problems.extend(part.problems)
        for host, variables in part.host_variables.items():
            merged.host_variables.setdefault(host, {}).update(variables)
            if variables or host not in merged.host_files:
                merged.host_files[host] = part.host_files.get(host, "")
        is_ini = not file.endswith((".yml", ".yaml"))
        for name, group in part.groups.items():
            known = merged.groups.setdefault(name, Group())
            known.variables.update(group.variables)
            known.origins.update(group.origins)
            if name in replaced and file and is_ini and file.split(".")[0] not in _REPLACING:
                continue
            known.hosts = list(dict.fromkeys(known.hosts + group.hosts))
            known.children = list(dict.fromkeys(known.children + group.children))
            known.files = list(dict.fromkeys(known.files + group.files))


def _check_lost(merged: Inventory, parts: list[tuple[str, Inventory]]) -> None:
    """Tell which hosts a replaced group loses for OSISM, though their file is there and Ansible alone would have them."""
    known = set(merged.hosts())
    for file, part in parts:
        lost: dict[tuple[str, ...], list[str]] = {}
        for host in part.hosts():
            groups = tuple(
                sorted(
                    name
                    for name, group in part.groups.items()
                    if host in group.hosts and host not in merged.groups[name].hosts
                )
            )
            if groups:
                lost.setdefault(groups, []).append(host)
        for groups, hosts in lost.items():
            gone = [host for host in hosts if host not in known]
            for host in gone:
                merged.host_variables.pop(host, None)
            more = f" and {len(hosts) - 10} more" if len(hosts) > 10 else ""
            named = ", ".join(f"[{each}]" for each in groups)
            what = "left out" if gone else f"not in {named}"
            merged.problems.append(
                Problem(
                    f"{', '.join(hosts[:10])}{more} of {file} {'is' if len(hosts) == 1 else 'are'} {what}: another file "
                    f"({', '.join(_REPLACING)}) has {named} too, and OSISM's reconciler "
                    "lets it replace that group of every other file.",
                    part.host_files.get(hosts[0], file),
                    f"Put the hosts into {groups[0]} there, or into a group of their own that is its child.",
                    severity="warning",
                )
            )


def _check_children(merged: Inventory) -> None:
    for name, group in sorted(merged.groups.items()):
        for child in group.children:
            if child not in merged.groups and group.files != [_BROUGHT]:
                merged.problems.append(
                    Problem(
                        f"Group {name} has the child {child}, which no file defines.",
                        group.files[-1] if group.files else _BROUGHT,
                        f"Define [{child}] or remove it.",
                        severity="warning",
                    )
                )
