"""What is known about where OpenStack's APIs are: types in keystone's catalogue and kolla's default ports.

Read from kolla-ansible's and OSISM's defaults. What a good answer looks like is the prober's business
(`rehearsal.lanes.answers`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Api:
    """One service's API. `suffix` is the path that kolla registers; `default`: enabled unless configured otherwise."""

    service: str
    types: tuple[str, ...]
    port: int
    suffix: str = ""
    default: bool = True


APIS: dict[str, Api] = {
    api.service: api
    for api in (
        Api("keystone", ("identity",), 5000),
        Api("nova", ("compute",), 8774, "/v2.1"),
        Api("neutron", ("network",), 9696),
        Api("glance", ("image",), 9292),
        Api("placement", ("placement",), 8780),
        Api("cinder", ("volumev3", "block-storage", "volume"), 8776, "/v3"),
        Api("octavia", ("load-balancer",), 9876),
        Api("designate", ("dns",), 9001),
        Api("heat", ("orchestration",), 8004, "/v1", default=False),
        Api("barbican", ("key-manager",), 9311, default=False),
        Api("manila", ("sharev2", "shared-file-system"), 8786, "/v2", default=False),
        Api("magnum", ("container-infra", "container-infrastructure-management"), 9511, "/v1", default=False),
        Api("ironic", ("baremetal",), 6385, default=False),
        Api("gnocchi", ("metric",), 8041, default=False),
        Api("aodh", ("alarming", "alarm"), 8042, default=False),
    )
}

BY_TYPE: dict[str, Api] = {kind: api for api in APIS.values() for kind in api.types}
