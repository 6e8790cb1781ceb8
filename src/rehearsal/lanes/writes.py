"""What the write lane makes and removes again, per service; pure data.

One sample is a create, a look where the service makes things behind its answer, and a delete. Everything is made by the
canaries' own ordinary user in the canaries' own project, so that no more is needed than what every user may do, and
carries the run in its name, so that `rehearse clean` finds what a failed delete left behind. Chosen to be cheap and to
touch nobody: no guest, no address, no key that could be used, no data.

Placement is left out: all that its API can write is global or belongs to Nova, and needs the administrator. Services
that delete softly (Glance) keep a marked row in their database until their operator purges it, as for every image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rehearsal.lanes.answers import Answer
from rehearsal.recording.naming import run_of

_CREATED = frozenset({201})
_OK = frozenset({200})


@dataclass(frozen=True, slots=True)
class Settling:
    """Where an answer comes before the work: the status (a path into the body) that must be seen before the delete."""

    status: tuple[str, ...]
    wanted: str
    failed: str


@dataclass(frozen=True, slots=True)
class Write:
    """How a service is asked to make something. The path of the delete is the created thing's id below the create's.

    `body` is JSON in which texts may hold {name}, {description}, {user_id} and {project_id}; `made` is the path to the
    id in the answer.
    """

    create: Answer
    body: dict[str, Any]
    made: tuple[str, ...]
    settling: Settling | None = None


def _creates(path: str, statuses: frozenset[int], made: tuple[str, ...]) -> Answer:
    return Answer(path, statuses, made, token=True, method="POST")


DELETED = Answer("", frozenset({200, 202, 204}), (), token=True, method="DELETE")
"""A good answer to a delete: no body, but the service's own request id."""
SHOWN = Answer("", _OK, (), token=True)

WRITES: dict[str, Write] = {
    # An application credential would cost keystone a quarter of a second of bcrypt each time; this costs an encryption.
    "keystone": Write(
        _creates("/v3/credentials", _CREATED, ("credential", "id")),
        {"credential": {"type": "{name}", "blob": "{description}", "user_id": "{user_id}", "project_id": "{project_id}"}},
        ("credential", "id"),
    ),
    "glance": Write(
        _creates("/v2/images", _CREATED, ("id",)),
        {"name": "{name}", "container_format": "bare", "disk_format": "raw", "visibility": "private"},
        ("id",),
    ),
    # A security group or a port would be made in OVN as well, at many times the cost; this is neutron and its database.
    "neutron": Write(
        _creates("/v2.0/subnetpools", _CREATED, ("subnetpool", "id")),
        {"subnetpool": {"name": "{name}", "description": "{description}", "prefixes": ["198.51.100.0/24"]}},
        ("subnetpool", "id"),
    ),
    "nova": Write(
        _creates("/v2.1/os-server-groups", _OK, ("server_group", "id")),
        {"server_group": {"name": "{name}", "policies": ["anti-affinity"]}},
        ("server_group", "id"),
    ),
    "cinder": Write(
        _creates("/v3/{project_id}/volumes", frozenset({202}), ("volume", "id")),
        {"volume": {"name": "{name}", "description": "{description}", "size": 1}},
        ("volume", "id"),
        Settling(("volume", "status"), "available", "error"),
    ),
}  # fmt: skip
"""What is made, per service, from the root of its port."""


def filled(template: Any, values: dict[str, str]) -> Any:
    """Return a body with its placeholders filled in."""
    if isinstance(template, dict):
        return {key: filled(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, values) for value in template]
    return template.format_map(values) if isinstance(template, str) else template


def is_tag(text: str) -> bool:
    """Tell whether things whose names begin so are found again by `rehearse clean`."""
    return bool(run_of(text))
