"""One look at each host: what the suites judge. One SSH round trip a host and session, with testinfra.

Invariant: a host that did not answer, or a part of it that could not be seen, says so; it never looks like a host where
nothing is wrong. `look` and the `parts` run on the host.
"""

from __future__ import annotations

import base64
import functools
import importlib
import json
import shlex
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any
from typing import TypeVar
from typing import get_type_hints

from pydantic import TypeAdapter

from rehearsal.figures.expectation import NotObserved
from rehearsal.hosts import parts
from rehearsal.hosts.engine import DOCKER_DEAD
from rehearsal.hosts.look import PARTS
from rehearsal.hosts.packing import packed
from rehearsal.hosts.parts.docker import ContainerView
from rehearsal.hosts.parts.docker import ImageView
from rehearsal.outside import bounded

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable
    from collections.abc import Mapping
    from collections.abc import Sequence
    from pathlib import Path

    from rehearsal.cloud.target import Host
    from rehearsal.hosts.look import Look
    from rehearsal.recording.events import HostFacts

    T = TypeVar("T")

LOOK_TIMEOUT_S = 60
AT_ONCE = 16
_LIMITS = bounded.Limits(total_bytes=16 << 20, depth=8)
OF_CONTAINERS = ("containers", "images")
"""The parts that tell of containers alone: all that a step's records need, and cheap enough to be looked at over and over."""
_UNPACK = shlex.quote("import sys, zlib; exec(zlib.decompress(sys.stdin.buffer.read()))")
MOST_PEERS = 8
"""Each compute node tries at most so many others: on large clouds every node is still tried by eight."""


@dataclass(frozen=True, slots=True)
class HostView:
    """Everything that one look at a host showed. `error` non-empty: it was not seen; `errors` names unseen parts.

    `seen`: what each part showed, by its name, in the shape that the part declares; containers and images are kept by name.
    """

    host: str
    error: str = ""
    containers: dict[str, ContainerView] = field(default_factory=dict)
    images: dict[str, ImageView] = field(default_factory=dict)
    seen: Mapping[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def docker_is_dead(self) -> bool:
        """Whether Docker itself does not run there, as against a look that failed."""
        return not self.error and DOCKER_DEAD in self.errors.get("containers", "")

    def must_show(self, part: str) -> None:
        """Raise NotObserved unless this part of the host was seen."""
        reason = self.error or self.errors.get(part)
        if reason:
            raise NotObserved(f"{self.host}: {part} could not be observed: {reason}")

    def get(self, part: Callable[[Look], T]) -> T | None:
        """Return what a part showed, or None if it was not seen."""
        return self.seen.get(part.__name__)

    def shown(self, part: Callable[[Look], T]) -> T:
        """Return what a part showed. Raises NotObserved if it was not seen."""
        self.must_show(part.__name__)
        if part.__name__ not in self.seen:
            raise NotObserved(f"{self.host}: {part.__name__} was not looked at")
        shown: T = self.seen[part.__name__]
        return shown


def parse_view(host: str, data: Mapping[str, Any]) -> HostView:
    """Return the view that a host's answer describes; unknown keys are ignored.

    Raises KeyError for an answer without containers, ValueError, TypeError or AttributeError for a part of another shape.
    """
    if data.get("error"):
        return HostView(host, error=bounded.text_of(str(data["error"])))
    errors = _checked(dict[str, str], data.get("errors", {}))
    seen = {name: _checked(shape, data[name]) for name, shape in _shapes().items() if name in data}
    if not {"containers"} & {*seen, *errors}:
        raise KeyError("containers")
    return HostView(
        host=host,
        containers={each.name: each for each in seen.get("containers", ())},
        images={each.reference: each for each in seen.get("images", ())},
        seen=seen,
        errors=errors,
    )


@functools.cache
def _shapes() -> dict[str, Any]:
    """Return what each part shows: what its function is said to return."""
    for name in parts.NAMES:
        importlib.import_module(name)
    return {part.__name__: get_type_hints(part)["return"] for part in PARTS}


def _checked(shape: Any, value: Any) -> Any:
    """Return a value of JSON in this shape; nothing is converted, unknown keys are ignored. Raises ValueError."""
    return _reader(shape).validate_json(json.dumps(value), strict=True)


@functools.cache
def _reader(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def recorded_containers(facts: HostFacts) -> dict[str, ContainerView]:
    """Return the containers of a recorded HostFacts, in the shape of a view. NotObserved if the host was not seen then."""
    if facts.error:
        raise NotObserved(f"{facts.host}: its containers could not be observed ({facts.label}): {facts.error}")
    try:
        views: list[ContainerView] = _checked(list[ContainerView], facts.containers)
    except ValueError:
        raise NotObserved(f"{facts.host}: what was recorded of its containers ({facts.label}) cannot be read") from None
    return {view.name: view for view in views}


def look_command(peers: Mapping[str, str], *, ask_health: bool = False, parts_wanted: Sequence[str] = ()) -> str:
    """Return the shell command that looks at the host where it runs; the program travels inside it.

    `ask_health`: containers whose health is not decided yet are asked their own health check at once. `parts_wanted`: the
    parts to look at; empty: all of them.
    """
    program = base64.b64encode(zlib.compress(packed("rehearsal.hosts.look", *parts.NAMES).encode(), 9)).decode()
    arguments = shlex.quote(json.dumps({"peers": dict(peers), "ask_health": ask_health, "parts": list(parts_wanted)}))
    return f"echo {program} | base64 -d | timeout {LOOK_TIMEOUT_S} sudo -n python3 -c {_UNPACK} {arguments}"


def read_answer(status: int, output: str | bytes, errors: str | bytes) -> dict[str, Any]:
    """Return a host's answer; anything that is no answer becomes one that consists of an `error`."""
    if status != 0:
        said = _last_line(errors) or "it said nothing"
        return {"error": f"looking ended with status {status}: {said}"}
    try:
        answer = bounded.read_json(output, _LIMITS)
        parse_view("", answer)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = " ".join(bounded.text_of(str(error)).split())
        return {"error": f"its answer cannot be read: {type(error).__name__}: {why}"}
    return dict(answer)


def _last_line(said: str | bytes) -> str:
    lines = bounded.text_of(said[-4000:], 4000).strip().splitlines()
    return lines[-1][:300] if lines else ""


def peers_of(host: str, computes: Mapping[str, str]) -> dict[str, str]:
    """Return the compute nodes (name to address) that one of them tries to reach: the next ones in the sorted ring."""
    names = sorted(computes)
    if host not in computes:
        return {}
    at = names.index(host)
    ring = names[at + 1 :] + names[:at]
    return {name: computes[name] for name in ring[:MOST_PEERS]}


def look(run: Callable[[str], Any], peers: Mapping[str, str]) -> dict[str, Any]:
    """Look at one host through testinfra's `host.run`; return its answer, or an `error` if it cannot be reached."""
    return _looked(run, look_command(peers))


def look_again(run: Callable[[str], Any], earlier: HostView) -> HostView:
    """Look at a host's containers anew; what has not told its health yet is asked it. The other parts stay as they were seen."""
    command = look_command({}, ask_health=True, parts_wanted=OF_CONTAINERS)
    view = parse_view(earlier.host, _looked(run, command))
    kept = {name: why for name, why in earlier.errors.items() if name not in OF_CONTAINERS}
    return replace(view, seen={**earlier.seen, **view.seen}, errors={**kept, **view.errors})


def _looked(run: Callable[[str], Any], command: str) -> dict[str, Any]:
    try:
        done = run(command)
        # testinfra keeps bytes; whatever a host says, they can be read.
        output, errors = (getattr(done, f"{name}_bytes", getattr(done, name, "")) for name in ("stdout", "stderr"))
    except (RuntimeError, OSError, ValueError) as error:  # testinfra raises RuntimeError for ssh's own status 255
        told = getattr(error.args[0], "stderr", None) if error.args else None
        return {"error": f"it cannot be reached over SSH: {_last_line(str(told or error)) or 'no reason given'}"}
    return read_answer(done.rc, output, errors)


def look_at_all(hosts: Mapping[str, Callable[[str], Any]], computes: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Look at many hosts (name to its `run`), sixteen at a time, and return their answers for `parse_view`."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        futures = {name: pool.submit(look, run, peers_of(name, computes)) for name, run in sorted(hosts.items())}
        return {name: future.result() for name, future in futures.items()}


def write_ssh_config(path: Path, user: str, key: str, hosts: Iterable[Host] = ()) -> None:
    """Write the ssh_config through which hosts are looked at: never asks, gives up on a silent host after 15 s.

    `hosts` are known by name, with their keys kept under that name: an address may have had another host before.
    """
    lines = []
    for host in sorted(hosts, key=lambda each: each.name):
        address = (host.address or host.name).replace("%", "%%")  # the zone of an IPv6 address is no token of ssh
        lines += [f"Host {host.name}", f"  HostName {address}", f"  HostKeyAlias {host.name}"]
        lines += [f"  User {host.user}"] if host.user else []
        lines += [f"  Port {host.port}"] if host.port else []
        lines += [f"  ProxyJump {host.jump}"] if host.jump else []
    named = bool(lines)
    lines += [
        "Host *",
        "  BatchMode yes",
        "  ConnectTimeout 10",
        "  ServerAliveInterval 5",
        "  ServerAliveCountMax 3",
        "  LogLevel ERROR",
        "  StrictHostKeyChecking accept-new",
    ]
    lines += [f"  UserKnownHostsFile {path.with_name('known_hosts')} ~/.ssh/known_hosts"] if named else []
    lines += [f"  User {user}"] if user else []
    quoted = key.replace("%", "%%")
    quoted = f'"{quoted}"' if " " in quoted else quoted
    lines += [f"  IdentityFile {quoted}", "  IdentitiesOnly yes"] if key else []
    path.write_text("\n".join(lines) + "\n")
