"""What a target is: the cloud under test as its own configuration describes it. Data only, no secrets.

Invariant: a Target can be written to disk and shown to anybody; passwords stay in the files it points to.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any
from typing import Self

from rehearsal.outside.redact import redact

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """Something missing or contradictory: one sentence, the file, and what to do. `severity`: error | warning."""

    sentence: str
    file: str
    remedy: str
    severity: str = "error"

    def __str__(self) -> str:
        return f"{self.severity}: {self.sentence} [{self.file}] {self.remedy}"


@dataclass(frozen=True, slots=True)
class Host:
    """A host of the inventory. `address` is where SSH reaches it; `groups` are all groups it is in, sorted.

    `user`, `port` and `jump` are of its SSH connection; empty or 0: as for every host.
    """

    name: str
    address: str
    groups: tuple[str, ...]
    user: str = ""
    port: int = 0
    jump: str = ""

    @property
    def detour(self) -> tuple[str, ...]:
        """The options of ssh for the host's own port and jump host; none where it has none."""
        port, jump = ("-p", str(self.port)) if self.port else (), ("-J", self.jump) if self.jump else ()
        return (*port, *jump)


@dataclass(frozen=True, slots=True)
class Vip:
    """A virtual address of the load balancer. `kind`: internal | external. `name` may be the address itself."""

    kind: str
    address: str
    name: str
    tls: bool


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one service's API is offered. `interface`: public | internal. `source`: catalogue | port-table."""

    service: str
    interface: str
    url: str
    source: str


@dataclass(frozen=True, slots=True)
class Release:
    """What the cloud claims to run, or will run after the next step.

    `openstack` as in `2025.1`; `osism` is `manager_version`; `versions` maps kolla's variables
    (`kolla_nova_version`) to tags, as read from the kolla-ansible container's versions file.
    """

    openstack: str
    osism: str
    registry: str
    namespace: str
    versions: dict[str, str] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """The cloud under test. Paths are absolute strings; empty strings were not found (see `problems`).

    `enabled` are the switches `enable_NAME` that the configuration sets, `settings` the other variables that decide which
    containers kolla runs; None: it is set to something that cannot be worked out.
    """

    configuration: str
    cloud: str
    clouds_file: str
    secure_file: str
    cacert: str
    operator_user: str
    operator_key: str
    hosts: tuple[Host, ...]
    groups: dict[str, tuple[str, ...]]
    vips: tuple[Vip, ...]
    endpoints: tuple[Endpoint, ...]
    release: Release
    enabled: dict[str, bool] = field(default_factory=dict)
    settings: dict[str, bool | int | str | None] = field(default_factory=dict)
    namespace_file: str = ""
    auth_url: str = ""  # as clouds.yaml has it
    api_ports: tuple[int, ...] = ()  # of APIs, where the configuration sets them
    allowed_endpoints: tuple[str, ...] = ()  # where the operator lets tokens go besides (see `trusted`)
    left_out: tuple[str, ...] = ()  # hosts of the inventory that are no part of the cloud; nobody looks at them
    problems: tuple[Problem, ...] = ()

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that forbid a rehearsal."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    def host(self, name: str) -> Host:
        """Return the host of that name; KeyError names the hosts there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(f"no host {name!r} in the inventory; there are {', '.join(h.name for h in self.hosts)}")

    def in_group(self, group: str) -> tuple[Host, ...]:
        """Return the hosts of a group in the inventory's order; an unknown group has none."""
        members = self.groups.get(group, ())
        return tuple(host for host in self.hosts if host.name in members)

    def vip(self, kind: str) -> Vip | None:
        """Return the internal or external VIP."""
        return next((vip for vip in self.vips if vip.kind == kind), None)

    def endpoint(self, service: str, interface: str) -> Endpoint | None:
        """Return where a service's API is offered."""
        return next((e for e in self.endpoints if (e.service, e.interface) == (service, interface)), None)

    @property
    def services(self) -> tuple[str, ...]:
        """The services that offer an API, sorted."""
        return tuple(sorted({endpoint.service for endpoint in self.endpoints}))

    def to_dict(self) -> dict[str, Any]:
        """Return the target as JSON-like data."""
        data: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild a target from `to_dict`; unknown keys are ignored, so that older recordings stay readable."""
        known = _known(cls, data)
        known["hosts"] = tuple(Host(**{**_known(Host, h), "groups": tuple(h["groups"])}) for h in data.get("hosts", ()))
        known["left_out"] = tuple(data.get("left_out", ()))
        known["groups"] = {name: tuple(members) for name, members in data.get("groups", {}).items()}
        known["vips"] = tuple(Vip(**_known(Vip, vip)) for vip in data.get("vips", ()))
        known["endpoints"] = tuple(Endpoint(**_known(Endpoint, e)) for e in data.get("endpoints", ()))
        known["release"] = Release(**_known(Release, data["release"]))
        known["api_ports"] = tuple(data.get("api_ports", ()))
        known["allowed_endpoints"] = tuple(data.get("allowed_endpoints", ()))
        known["problems"] = tuple(Problem(**_known(Problem, p)) for p in data.get("problems", ()))
        return cls(**known)

    def save(self, path: Path) -> None:
        """Write the target as JSON, so that suites and other processes see the same cloud."""
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(redact(self.to_dict()), indent=1) + "\n")
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        return cls.from_dict(json.loads(path.read_text()))


def _known(kind: type[Any], data: dict[str, Any]) -> dict[str, Any]:
    names = {item.name for item in dataclasses.fields(kind)}
    return {key: value for key, value in data.items() if key in names}
