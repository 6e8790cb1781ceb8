"""The variables of each host, in Ansible's order: of all, of groups from the outermost to the innermost, of the host.

The order is that of ansible-core's VariableManager: [all:vars], variables of groups in the inventory, group_vars/all,
group_vars of groups, variables behind the host, host_vars. Among groups the deeper comes later, then the one of higher
ansible_group_priority, then the later by name. Extra variables (`-e @environments/…`) come over all of that, elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.cloud import files
from rehearsal.cloud.variables import Variables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rehearsal.cloud.inventory import Inventory
    from rehearsal.cloud.target import Problem

_SUFFIXES = ("", ".yml", ".yaml", ".json")


class HostVariables:
    """The variables of the hosts of one inventory. `directory` has group_vars and host_vars; None: there are none."""

    def __init__(self, inventory: Inventory, directory: Path | None, source: str, problems: list[Problem]) -> None:
        self._inventory = inventory
        self._directory = directory
        self._source = source
        self._problems = problems
        self._groups: dict[str, Variables] = {}
        self._parents: dict[str, list[str]] = {}
        self._of: dict[str, list[str]] = {}
        for name, group in inventory.groups.items():
            for child in group.children:
                self._parents.setdefault(child, []).append(name)
            for host in group.hosts:
                self._of.setdefault(host, []).append(name)
        self._depths: dict[str, int] = {"all": 0}
        self._members = {name: list(inventory.members(name)) for name in inventory.groups}

    def groups_of(self, host: str) -> list[str]:
        """Return the groups that a host is in, directly or not, in the order in which their variables count; never `all`.

        A host is `ungrouped` if it is in no other group, wherever it is written, and only then.
        """
        found: dict[str, None] = {}
        waiting = list(self._of.get(host, ()))
        while waiting:
            name = waiting.pop()
            if name not in found and name != "all":
                found[name] = None
                waiting.extend(self._parents.get(name, ()))
        found.pop("ungrouped", None)
        return sorted(found or ("ungrouped",), key=lambda name: (self._depth(name), self._priority(name), name))

    def _priority(self, name: str) -> int:
        group = self._inventory.groups.get(name)
        value = group.variables.get("ansible_group_priority", 1) if group else 1
        try:
            return int(value)
        except (TypeError, ValueError, OverflowError):
            return 1

    def _depth(self, name: str, above: frozenset[str] = frozenset()) -> int:
        """Return how far a group lies below `all` at most. Groups in a circle (an error for Ansible) end somewhere."""
        if name in self._depths:
            return self._depths[name]
        if name in above or len(above) > 200:
            return 1
        parents = [each for each in self._parents.get(name, ()) if each != name]
        depth = 1 + max((self._depth(each, above | {name}) for each in parents), default=0)
        if not above:
            self._depths[name] = depth
        return depth

    def of(self, host: str) -> Variables:
        """Return a host's variables, each with the file that set it."""
        groups = self.groups_of(host)
        found = Variables()
        self._put_inline(found, ["all", *groups])
        for name in ("all", *groups):
            found.over(self._files_of("group_vars", name))
        where = self._inventory.host_files.get(host) or self._source
        found.put(self._inventory.host_variables.get(host, {}), where)
        found.over(self._files_of("host_vars", host))
        found.extra = {
            "inventory_hostname": host,
            "inventory_hostname_short": host.split(".", maxsplit=1)[0],
            "group_names": sorted(groups),
            "groups": self._members,
        }
        return found

    def of_all(self) -> Variables:
        """Return the variables that hold where there is no host to ask."""
        found = Variables()
        self._put_inline(found, ["all"])
        found.over(self._files_of("group_vars", "all"))
        return found

    def _put_inline(self, found: Variables, groups: list[str]) -> None:
        for name in groups:
            group = self._inventory.groups.get(name)
            for key, value in group.variables.items() if group else ():
                found.put({key: value}, group.origins.get(key, self._source) if group else self._source)

    def _files_of(self, folder: str, name: str) -> Variables:
        if self._directory is None:
            return Variables()
        place = f"{folder}/{name}"
        if place not in self._groups:
            variables = Variables(problems=self._problems)
            before = len(self._problems)
            for path in self._paths(self._directory / folder, name, moved=folder == "group_vars"):
                variables.layer(path)
            if len(self._problems) > before and not variables.hidden and not variables.values:
                variables.hidden.append(str(self._directory / folder))
            self._groups[place] = variables
        return self._groups[place]

    def _paths(self, folder: Path, name: str, *, moved: bool) -> Iterator[Path]:
        """Yield the files that Ansible reads for a group or host: the first of its spellings, or all of a directory.

        OSISM's reconciler moves `group_vars/NAME.yml` into the directory NAME, as its last file, where both are there.
        """
        kinds = {suffix: files.kind(folder / f"{name}{suffix}", self._problems) for suffix in _SUFFIXES}
        first = next((suffix for suffix in _SUFFIXES if kinds[suffix]), None)
        if first is None:
            return
        if kinds[first] != "directory":
            yield folder / f"{name}{first}"
            return
        inside = list(self._inside(folder / f"{name}{first}"))
        if moved and name:
            inside += [folder / f"{name}{suffix}" for suffix in _SUFFIXES[1:] if kinds[suffix] == "file"]
        yield from inside

    def _inside(self, directory: Path, depth: int = 0) -> Iterator[Path]:
        for path in files.entries(directory, self._problems):
            if path.name.startswith(".") or path.name.endswith("~"):
                continue
            kind = files.kind(path, self._problems)
            if kind == "directory" and not path.suffix and depth < 8:
                yield from self._inside(path, depth + 1)
            elif kind and kind != "directory" and path.suffix in _SUFFIXES:
                yield path
