"""What is known about OpenStack's APIs: catalogue types, kolla's ports, and what a good answer looks like.

`mark` is a regular expression that only the service's own answer matches: a status alone may come from anybody.
Read from the services' middleware pipelines and version documents, and from kolla-ansible's default ports.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field


@dataclass(frozen=True, slots=True)
class Api:
    """One service's API.

    `path` is the shallow probe (no token), relative to the endpoint's root. `deep` is an authenticated read through
    the database, relative to the endpoint's URL in the catalogue ("" = none known); keystone's deep read validates
    the token.
    """

    service: str
    types: tuple[str, ...]
    port: int
    path: str
    statuses: tuple[int, ...]
    mark: str
    deep: str = ""
    deep_mark: str = ""
    default_enabled: bool = True
    flags: tuple[str, ...] = field(default=())
    suffix: str = ""


_VERSIONS = r'"versions"\s*:'

APIS: dict[str, Api] = {
    api.service: api
    for api in (
        Api(
            "keystone",
            ("identity",),
            5000,
            "/v3",
            (200,),
            r'"id"\s*:\s*"v3\.',
            "/v3/auth/tokens",
            r'"token"\s*:',
            suffix="",
        ),
        Api(
            "nova",
            ("compute",),
            8774,
            "/v2.1/",
            (200,),
            r'"id"\s*:\s*"v2\.1"',
            "/servers?limit=1",
            r'"servers"\s*:',
            suffix="/v2.1",
        ),
        Api(
            "neutron",
            ("network",),
            9696,
            "/",
            (200,),
            r'"id"\s*:\s*"v2\.0"',
            "/v2.0/networks?limit=1",
            r'"networks"\s*:',
        ),
        Api("glance", ("image",), 9292, "/versions", (200,), _VERSIONS, "/v2/images?limit=1", r'"images"\s*:'),
        Api(
            "placement",
            ("placement",),
            8780,
            "/",
            (200,),
            r'"max_version"\s*:',
            "/resource_providers",
            r'"resource_providers"\s*:',
        ),
        Api(
            "cinder",
            ("volumev3", "block-storage", "volume"),
            8776,
            "/",
            (300,),
            r'"id"\s*:\s*"v3\.0"',
            "/volumes?limit=1",
            r'"volumes"\s*:',
            flags=("cinder",),
            suffix="/v3",
        ),
        Api(
            "heat",
            ("orchestration",),
            8004,
            "/",
            (300,),
            _VERSIONS,
            "/stacks?limit=1",
            r'"stacks"\s*:',
            default_enabled=False,
            flags=("heat",),
            suffix="/v1",
        ),
        Api(
            "octavia",
            ("load-balancer",),
            9876,
            "/",
            (200,),
            r'"id"\s*:\s*"v2\.',
            "/v2/lbaas/loadbalancers?limit=1",
            r'"loadbalancers"\s*:',
            flags=("octavia",),
        ),
        Api(
            "designate",
            ("dns",),
            9001,
            "/",
            (200,),
            _VERSIONS,
            "/v2/zones?limit=1",
            r'"zones"\s*:',
            flags=("designate",),
        ),
        Api(
            "barbican",
            ("key-manager",),
            9311,
            "/",
            (200, 300),
            _VERSIONS,
            "/v1/secrets?limit=1",
            r'"secrets"\s*:',
            default_enabled=False,
            flags=("barbican",),
        ),
        Api(
            "manila",
            ("sharev2", "shared-file-system"),
            8786,
            "/",
            (200, 300),
            _VERSIONS,
            "/shares?limit=1",
            r'"shares"\s*:',
            default_enabled=False,
            flags=("manila",),
            suffix="/v2",
        ),
        Api(
            "magnum",
            ("container-infra", "container-infrastructure-management"),
            9511,
            "/",
            (200,),
            _VERSIONS,
            "/clusters?limit=1",
            r'"clusters"\s*:',
            default_enabled=False,
            flags=("magnum",),
            suffix="/v1",
        ),
        Api(
            "ironic",
            ("baremetal",),
            6385,
            "/",
            (200,),
            _VERSIONS,
            "/v1/nodes?limit=1",
            r'"nodes"\s*:',
            default_enabled=False,
            flags=("ironic",),
        ),
        Api("gnocchi", ("metric",), 8041, "/", (200,), _VERSIONS, default_enabled=False, flags=("gnocchi",)),
        Api("aodh", ("alarming", "alarm"), 8042, "/", (200,), r'"v2"', default_enabled=False, flags=("aodh",)),
    )
}

BY_TYPE: dict[str, Api] = {kind: api for api in APIS.values() for kind in api.types}
