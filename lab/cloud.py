"""The objects that the lab's cloud starts with, as an operator would have made them: flavor, guest image, public network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import credentials
from lab import deploy
from lab import guest
from lab import layout

if TYPE_CHECKING:
    from lab.deploy import Deployment

FLAVOR = "lab.canary"
PUBLIC_NETWORK = "public"


def base_objects(deployment: Deployment) -> None:
    """Makes what is missing. The guest image is built from Debian packages the first time."""
    image = guest.build(deployment.state.root, deployment.say)
    known = credentials.load(deployment.state)
    answer = deploy.cloud_script(
        deployment,
        "base_objects.py",
        {
            "auth": deploy.admin_auth(known),
            "flavor": {"name": FLAVOR, "ram": image.ram_mib, "vcpus": 1, "disk": 0},
            "guest": {
                "name": image.name,
                "kernel": str(image.kernel),
                "initrd": str(image.initrd),
                "disk": str(image.disk),
                "disk_format": image.disk_format,
                "ram_mib": image.ram_mib,
                "properties": {"os_command_line": image.command_line, **image.properties},
            },
            "network": {
                "name": PUBLIC_NETWORK,
                "physical_network": layout.PHYSICAL_NETWORK,
                "cidr": layout.PROVIDER_NETWORK,
                "gateway": layout.PROVIDER_GATEWAY,
                "pool": layout.PROVIDER_POOL,
                "v6": {
                    "cidr": layout.PROVIDER_NETWORK_V6,
                    "gateway": layout.PROVIDER_GATEWAY_V6,
                    "router": layout.ROUTER_V6,
                    "prefixes": layout.GUEST_PREFIXES_V6,
                },
            },
        },
    )
    deployment.say(f"base objects: {answer.strip()}")
