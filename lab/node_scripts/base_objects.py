"""Makes the objects that every cloud starts with: flavor, guest image, public network; idempotent.

Reads its description as JSON from argv[1]. The image's checksum tells whether an existing one is still the right one.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import openstack

wanted = json.loads(sys.argv[1])
cloud: Any = openstack.connect(**wanted["auth"], compute_api_version="2.79")
made = []

flavor = wanted["flavor"]
if cloud.compute.find_flavor(flavor["name"]) is None:
    cloud.compute.create_flavor(is_public=True, **flavor)
    made.append(f"flavor {flavor['name']}")


def image(name: str, path: str, form: str, minimum_ram_mib: int, properties: dict[str, str]) -> str:
    """The id of a public image with that content; replaced when the content changed."""
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    existing = list(cloud.image.images(name=name))
    for item in existing:
        if item.status == "active" and (item.properties or {}).get("lab_sha256") == digest:
            found_id: str = item.id
            return found_id
    for item in existing:
        cloud.image.delete_image(item)
    new = cloud.image.create_image(
        name=name,
        filename=path,
        disk_format=form,
        # Kernels and ramdisks are their own container, by glance's rule.
        container_format=form if form in {"aki", "ari"} else "bare",
        visibility="public",
        min_ram=minimum_ram_mib,
        lab_sha256=digest,
        wait=True,
        validate_checksum=False,
        **properties,
    )
    made.append(f"image {name}")
    made_id: str = new.id
    return made_id


guest = wanted["guest"]
kernel = image(f"{guest['name']}-kernel", guest["kernel"], "aki", 0, {})
ramdisk = image(f"{guest['name']}-initrd", guest["initrd"], "ari", 0, {})
image(
    guest["name"],
    guest["disk"],
    guest["disk_format"],
    guest["ram_mib"],
    {**guest["properties"], "kernel_id": kernel, "ramdisk_id": ramdisk},
)

network = wanted["network"]
public = cloud.network.find_network(network["name"])
if public is None:
    public = cloud.network.create_network(
        name=network["name"],
        is_router_external=True,
        is_shared=False,
        provider_network_type="flat",
        provider_physical_network=network["physical_network"],
    )
    made.append(f"network {network['name']}")
if cloud.network.find_subnet(network["name"], network_id=public.id) is None:
    cloud.network.create_subnet(
        name=network["name"],
        network_id=public.id,
        ip_version=4,
        cidr=network["cidr"],
        gateway_ip=network["gateway"],
        is_dhcp_enabled=False,
        allocation_pools=[{"start": network["pool"][0], "end": network["pool"][1]}],
    )
second, name = network["v6"], f"{network['name']}-v6"
if cloud.network.find_subnet(name, network_id=public.id) is None:
    cloud.network.create_subnet(
        name=name,
        network_id=public.id,
        ip_version=6,
        cidr=second["cidr"],
        gateway_ip=second["gateway"],
        is_dhcp_enabled=False,
        allocation_pools=[{"start": second["router"], "end": second["router"]}],
        # The one address is for the router, none for floating IPs' ports.
        service_types=["network:router_gateway"],
    )
    made.append(f"subnet {name}")
if not list(cloud.network.subnet_pools(name=name)):
    cloud.network.create_subnet_pool(
        name=name, prefixes=[second["prefixes"]], default_prefix_length=64, is_shared=True, is_default=True
    )
    made.append(f"subnet pool {name}")
print("made", ", ".join(made) or "nothing: all there")
