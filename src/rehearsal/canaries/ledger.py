"""A run's own record of what it makes in a cloud: what `rehearse clean` may remove, and nothing else.

A name proves nothing: whoever can name things can name them as a rehearsal does. So every call that makes something is
written down twice in `made.jsonl`: before, with the name that was looked for and not found, and after, with the id. A
runner that is killed between the two leaves a thing that is told by its name, its description and its project together.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.cloud.connection import CLOUD_ERRORS
from rehearsal.cloud.connection import status_of
from rehearsal.recording import runfiles
from rehearsal.recording.naming import run_described
from rehearsal.recording.naming import run_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping
    from pathlib import Path

FILE = "made.jsonl"
_MAKES = {
    "create_server": "server",
    "create_keypair": "key pair",
    "create_network": "network",
    "create_router": "router",
    "create_port": "port",
    "create_ip": "floating IP",
    "create_security_group": "security group",
    "create_project": "project",
    "create_user": "user",
}
_OF_A_DOMAIN = frozenset({"project", "user"})


@dataclass(frozen=True, slots=True)
class Sight:
    """A thing as the cloud shows it. `scope`: its project, or of a project or user its domain; `port`: of a floating IP."""

    kind: str
    id: str
    name: str
    description: str = ""
    scope: str = ""
    port: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """What one run made. `asked`: what it asked for without having seen an id; `writes`: tag, project and user of writes."""

    run: str
    ids: frozenset[tuple[str, str]] = frozenset()
    asked: frozenset[Sight] = frozenset()
    writes: frozenset[tuple[str, str, str]] = frozenset()
    places: frozenset[str] = frozenset()

    @property
    def projects(self) -> frozenset[str]:
        """The ids of the projects that the run made."""
        return frozenset(key for kind, key in self.ids if kind == "project")

    def has(self, thing: Sight) -> bool:
        """Tell whether the run made a thing: the record says so, and so does what the thing says of itself."""
        if self.run not in {run_of(thing.name), run_described(thing.description)}:
            return False
        if (thing.kind, thing.id) in self.ids:
            return True
        if any(_same(asked, thing) for asked in self.asked):
            return True
        return any(
            thing.name.startswith(f"{tag}-") and (thing.scope == project or (thing.user == user and user != ""))
            for tag, project, user in self.writes
            if thing.kind not in _MAKES.values()
        )


def _same(asked: Sight, thing: Sight) -> bool:
    named = asked.name == thing.name if asked.name else asked.port == thing.port != ""
    described = asked.description == thing.description or not thing.description
    there = asked.scope == thing.scope or asked.kind == "key pair"  # that belongs to an account
    return asked.kind == thing.kind and named and described and there


@dataclass(slots=True)
class Ledger:
    """The record while it is written. `path` None: in memory alone."""

    run: str
    path: Path | None = None
    _lines: list[dict[str, Any]] = field(default_factory=list)

    def watching(self, connection: Any, project_id: str) -> Any:
        """Return the connection, scoped to a project, with everything noted that is made through it."""
        return _Watched(connection, self, project_id)

    def writes(self, tag: str, project_id: str, user_id: str) -> None:
        """Note that the prober makes things in a project, whose names begin with `tag-`."""
        self._note({"writes": tag, "project": project_id, "user": user_id})

    def made(self) -> Made:
        """Return what was noted so far, also by earlier attempts. Raises LedgerError."""
        return read(self.run, self.path) if self.path else _of_lines(self.run, self._lines)

    def make(self, kind: str, project_id: str, call: Callable[..., Any], given: Mapping[str, Any]) -> Any:
        """Make one thing and note it."""
        scope = str(given.get("domain_id") or "") if kind in _OF_A_DOMAIN else project_id
        asked = {
            "asked": kind, "name": given.get("name") or "", "description": given.get("description") or "", "scope": scope,
            "port": given.get("port_id") or "",
        }  # fmt: skip
        self._note(asked)
        try:
            made = call(**given)
        except CLOUD_ERRORS as error:
            if 400 <= status_of(error) < 500:  # it was refused: what has this name is not ours
                self._note({**asked, "refused": True})
            raise
        self._note({**asked, "id": str(made.id)})
        return made

    def _note(self, line: dict[str, Any]) -> None:
        line = {**line, "w": time.time_ns()}
        self._lines.append(line)
        if self.path is not None:
            descriptor = os.open(
                self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
            with os.fdopen(descriptor, "ab") as file:
                file.write(b"\n" + json.dumps(line).encode() + b"\n")  # the line before may be torn


class _Watched:
    def __init__(self, inner: Any, ledger: Ledger, project_id: str) -> None:
        self._inner, self._ledger, self._project_id = inner, ledger, project_id

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name in {"compute", "network", "identity"}:
            return _Watched(found, self._ledger, self._project_id)
        kind = _MAKES.get(name)
        if kind is None:
            return found
        return lambda **given: self._ledger.make(kind, self._project_id, found, given)


class LedgerError(Exception):
    """A record that cannot be trusted or read; one sentence."""


def read(run: str, path: Path) -> Made:
    """Return what a run noted; nothing if there is no record. Raises LedgerError.

    A file of somebody else, or one that is no plain file, is no record of ours. A torn line is passed over: what it was
    about was not made yet, or has a line before it.
    """
    try:
        with runfiles.opened(path, runfiles.SMALL_BYTES) as file:
            if os.fstat(file.fileno()).st_uid not in {0, os.geteuid()}:
                raise LedgerError(f"{path} is no record that this account wrote: nothing is removed because of it.")
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return Made(run)
    except (OSError, runfiles.RunFileRefused) as error:
        raise LedgerError(f"{path} cannot be read: {error}") from error
    found: list[dict[str, Any]] = []
    for line in lines:
        with contextlib.suppress(ValueError, AttributeError, RecursionError):
            found.append(dict(json.loads(line).items()))
    return _of_lines(run, found)


def _of_lines(run: str, lines: list[dict[str, Any]]) -> Made:
    ids: set[tuple[str, str]] = set()
    asked: set[Sight] = set()
    writes: set[tuple[str, str, str]] = set()
    places: set[str] = set()
    for line in lines:
        if "writes" in line:
            writes.add((str(line["writes"]), str(line.get("project")), str(line.get("user"))))
        elif "asked" in line:
            kind = str(line["asked"])
            texts = {name: str(line.get(name) or "") for name in ("name", "description", "scope", "port")}
            wanted = Sight(kind, "", **texts)
            if kind not in _OF_A_DOMAIN:
                places.add(wanted.scope)
            if line.get("id"):
                ids.add((kind, str(line["id"])))
            if line.get("id") or line.get("refused"):
                asked.discard(wanted)
            else:
                asked.add(wanted)
    return Made(run, frozenset(ids), frozenset(asked), frozenset(writes), frozenset(places))
