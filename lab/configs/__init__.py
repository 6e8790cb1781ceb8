"""The files that kolla-ansible puts below /etc/kolla/<config_dir>/: pure functions from the layout and the secrets to text.

`rendered` gives everything for one container, config.json included. config.json is kolla's: the command, and which file
goes where with which mode; `kolla_start` in the image carries it out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Mapping

from lab.catalogue import Container
from lab.configs import infrastructure
from lab.configs import openstack
from lab.configs.files import ConfigFile
from lab.credentials import Credentials
from lab.layout import Node
from lab.releases import Release

_Source = Callable[[Container, Node, Release, Credentials], list[ConfigFile]]

_SOURCES: Mapping[str, _Source] = {
    "cron": infrastructure.cron,
    "haproxy": infrastructure.haproxy,
    "keepalived": infrastructure.keepalived,
    "mariadb": infrastructure.mariadb,
    "rabbitmq": infrastructure.rabbitmq,
    "openvswitch_vswitchd": infrastructure.openvswitch_vswitchd,
    "keystone": openstack.keystone,
    "keystone_ssh": infrastructure.keystone_ssh,
    "keystone_fernet": infrastructure.keystone_fernet,
    "placement_api": openstack.placement,
    "glance_api": openstack.glance,
    "neutron_server": openstack.neutron_server,
    "neutron_ovn_metadata_agent": openstack.neutron_ovn_metadata_agent,
    "nova_api": openstack.nova,
    "nova_metadata": openstack.nova,
    "nova_scheduler": openstack.nova,
    "nova_conductor": openstack.nova,
    "nova_novncproxy": openstack.nova,
    "nova_compute": openstack.nova_compute,
    "nova_libvirt": infrastructure.nova_libvirt,
    "nova_ssh": infrastructure.nova_ssh,
}
"""Where a container's files come from; one that is missing here has nothing but its config.json."""


def rendered(container: Container, node: Node, release: Release, credentials: Credentials) -> dict[str, str]:
    """File name below the config directory -> text, for one container on one node and release."""
    source = _SOURCES.get(container.name)
    files = source(container, node, release, credentials) if source else []
    description = {
        "command": container.commands[release.name].format(ip=node.management),
        "config_files": [
            {
                "source": f"/var/lib/kolla/config_files/{file.name}",
                "dest": file.destination,
                "owner": "root",
                "perm": file.mode,
            }
            for file in files
        ],
        "permissions": [{"path": f"/var/log/kolla/{container.log_dir}", "owner": "root:root", "recurse": True}]
        if container.log_dir
        else [],
    }
    return {file.name: file.text for file in files} | {"config.json": json.dumps(description, indent=4) + "\n"}
