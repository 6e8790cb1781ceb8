"""Configuration of the OpenStack services, as kolla-ansible's templates have it, reduced to what this cloud uses.

Services reach each other through the internal VIP with TLS and trust the system's CA bundle, which holds the lab's CA on
every node. Compute nodes get no database connection: a nova-compute that sees one misjudges its upgrade level.

Deviations from kolla-ansible 2025.1: classic queues on both sides (Debian's RabbitMQ is 3.10, so the move to RabbitMQ 4 and
quorum queues is not rehearsed); libvirt without SASL; no memcache encryption; few workers; memcached is asked again after 5 s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import layout
from lab.configs.files import ConfigFile
from lab.configs.files import ini

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.catalogue import Container
    from lab.credentials import Credentials
    from lab.layout import Node
    from lab.releases import Release

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
KEYSTONE_URL = f"https://{layout.INTERNAL_NAME}:{layout.API_PORTS['keystone']}"
_MEMCACHED = f"{layout.CONTROL.management}:{layout.MEMCACHED_PORT}"
DEAD_RETRY_S = 5
"""How soon a memcached that was away is asked again. The default of 300 s is made for several servers: with a single one, its
restart leaves every token uncached for five minutes, and two cores do not carry that."""
_CACHE = {
    "backend": "oslo_cache.memcache_pool",
    "enabled": True,
    "memcache_servers": _MEMCACHED,
    "memcache_dead_retry": DEAD_RETRY_S,
}


def transport_url(credentials: Credentials) -> str:
    """Where oslo.messaging finds RabbitMQ."""
    return f"rabbit://openstack:{credentials['rabbitmq_password']}@{layout.CONTROL.management}:{layout.RABBITMQ_PORT}//"


def database_url(user: str, password: str, database: str) -> str:
    """A database behind the internal VIP."""
    return f"mysql+pymysql://{user}:{password}@{layout.INTERNAL_VIP}:{layout.DATABASE_PORT}/{database}"


def _database(user: str, password: str, database: str) -> dict[str, object]:
    return {
        "connection": database_url(user, password, database),
        "connection_recycle_time": 10,
        "max_pool_size": 5,
        "max_overflow": 20,
        "max_retries": -1,
    }


def _service_account(user: str, credentials: Credentials) -> dict[str, object]:
    return {
        "auth_url": KEYSTONE_URL,
        "auth_type": "password",
        "project_domain_id": "default",
        "user_domain_id": "default",
        "project_name": "service",
        "username": user,
        "password": credentials[f"{user}_keystone_password"],
        "region_name": layout.REGION,
        "cafile": CA_BUNDLE,
    }


def _token_filter(user: str, credentials: Credentials) -> dict[str, object]:
    return {
        "service_type": {"nova": "compute", "neutron": "network", "glance": "image", "placement": "placement"}[user],
        "www_authenticate_uri": f"https://{layout.EXTERNAL_NAME}:{layout.API_PORTS['keystone']}",
        **_service_account(user, credentials),
        "memcached_servers": _MEMCACHED,
        "memcache_pool_dead_retry": DEAD_RETRY_S,
        "service_token_roles_required": True,
    }


_RABBIT: dict[str, object] = {"heartbeat_in_pthread": False, "rabbit_quorum_queue": False, "amqp_durable_queues": True}
_NO_NOTIFICATIONS: dict[str, object] = {"driver": "noop"}
_PROXIED: dict[str, object] = {"enable_proxy_headers_parsing": True}


def _uwsgi(container: Container, node: Node, application: Mapping[str, object]) -> ConfigFile:
    """The uWSGI settings of an API container; `application` says what to serve and overrides anything else."""
    project, name = container.service, f"{container.config_dir}-uwsgi.ini"
    settings: dict[str, object] = {
        "add-header": "Connection: close",
        "buffer-size": 65535,
        "die-on-term": True,
        "enable-threads": True,
        "http-socket": f"{node.management}:{layout.API_PORTS[container.name]}",
        "lazy-apps": True,
        "log-4xx": True,
        "log-5xx": True,
        "disable-logging": True,
        "logto2": f"/var/log/kolla/{project}/{container.config_dir}-uwsgi.log",
        "master": True,
        "need-app": True,
        "processes": 1,
        "thunder-lock": True,
        "virtualenv": "/var/lib/kolla/venv",
        "worker-reload-mercy": 80,
        **application,
    }
    return ConfigFile(name, f"/etc/{project}/{name}", ini({"uwsgi": settings}))


def keystone_conf(credentials: Credentials) -> ConfigFile:
    """keystone.conf, which the rotation of the fernet keys needs as well."""
    text = ini({
        "DEFAULT": {"log_file": "/var/log/kolla/keystone/keystone.log", "transport_url": transport_url(credentials)},
        "database": _database("keystone", credentials["keystone_database_password"], "keystone"),
        "cache": _CACHE,
        "token": {"provider": "fernet", "expiration": 86400, "allow_expired_window": 172800},
        "fernet_tokens": {"key_repository": "/etc/keystone/fernet-keys", "max_active_keys": 3},
        "fernet_receipts": {"key_repository": "/etc/keystone/fernet-keys", "max_active_keys": 3},
        "credential": {"key_repository": "/etc/keystone/fernet-keys/credential-keys"},
        "oslo_middleware": _PROXIED,
        "oslo_messaging_notifications": _NO_NOTIFICATIONS,
        "oslo_messaging_rabbit": _RABBIT,
    })  # fmt: skip
    return ConfigFile("keystone.conf", "/etc/keystone/keystone.conf", text)


def keystone(container: Container, node: Node, release: Release, credentials: Credentials) -> list[ConfigFile]:
    """keystone.conf and its uWSGI settings."""
    application = (
        {"wsgi-file": "/var/lib/kolla/venv/bin/keystone-wsgi-public"}
        if release.name == "2024.2"
        else {"module": "keystone.wsgi.api:application"}
    )
    uwsgi = _uwsgi(container, node, {"processes": 2, "threads": 4, **application})
    return [keystone_conf(credentials), uwsgi]


def placement(container: Container, node: Node, release: Release, credentials: Credentials) -> list[ConfigFile]:
    """placement.conf and its uWSGI settings."""
    conf = ini({
        "DEFAULT": {"log_file": "/var/log/kolla/placement/placement-api.log"},
        "api": {"auth_strategy": "keystone"},
        "placement_database": _database("placement", credentials["placement_database_password"], "placement"),
        "keystone_authtoken": _token_filter("placement", credentials),
        "oslo_middleware": _PROXIED,
    })  # fmt: skip
    application = (
        {"wsgi-file": "/var/lib/kolla/venv/bin/placement-api"}
        if release.name == "2024.2"
        else {"module": "placement.wsgi.api:application"}
    )
    uwsgi = _uwsgi(container, node, {"threads": 4, **application})
    return [ConfigFile("placement.conf", "/etc/placement/placement.conf", conf), uwsgi]


def glance(container: Container, node: Node, release: Release, credentials: Credentials) -> list[ConfigFile]:
    """glance-api.conf; from 2025.1 on with uWSGI settings."""
    conf = ini({
        "DEFAULT": {
            "log_file": "/var/log/kolla/glance/glance-api.log",
            "bind_host": node.management,
            "bind_port": layout.API_PORTS["glance_api"],
            "workers": 1,
            "enabled_backends": "file:file",
            "show_image_direct_url": True,
            "show_multiple_locations": True,
            "transport_url": transport_url(credentials),
        },
        "database": _database("glance", credentials["glance_database_password"], "glance"),
        "keystone_authtoken": _token_filter("glance", credentials),
        "paste_deploy": {"flavor": "keystone"},
        "glance_store": {"default_backend": "file"},
        "file": {"filesystem_store_datadir": "/var/lib/glance/images/"},
        "os_glance_tasks_store": {"filesystem_store_datadir": "/var/lib/glance/tasks_work_dir"},
        "os_glance_staging_store": {"filesystem_store_datadir": "/var/lib/glance/staging"},
        "image_format": {"disk_formats": "ami,ari,aki,raw,qcow2,iso"},
        "oslo_middleware": _PROXIED,
        "oslo_concurrency": {"lock_path": "/var/lib/glance/tmp"},
        "oslo_messaging_notifications": _NO_NOTIFICATIONS,
        "oslo_messaging_rabbit": _RABBIT,
    })  # fmt: skip
    files = [ConfigFile("glance-api.conf", "/etc/glance/glance-api.conf", conf)]
    if release.name != "2024.2":
        application = {"module": "glance.wsgi.api:application", "http-chunked-input": True}
        files.append(_uwsgi(container, node, {"threads": 4, **application}))
    return files


def _neutron(node: Node, credentials: Credentials) -> str:
    return ini({
        "DEFAULT": {
            "log_dir": "/var/log/kolla/neutron",
            "bind_host": node.management,
            "bind_port": layout.API_PORTS["neutron_server"],
            "api_workers": 1,
            "rpc_workers": 1,
            "rpc_state_report_workers": 0,
            # Every guest has a floating IP. Whatever is translated for the others goes through the userspace datapath's connection
            # tracking, and Open vSwitch 3.1 (Debian 12) aborts on it (conn_update_state) when gateways change under load.
            "enable_snat_by_default": False,
            "state_path": "/var/lib/neutron/kolla",
            "core_plugin": "ml2",
            "service_plugins": "ovn-router",
            "global_physnet_mtu": 1500,
            "notify_nova_on_port_status_changes": True,
            "notify_nova_on_port_data_changes": True,
            "transport_url": transport_url(credentials),
            "host": node.name,
        },
        "nova": {**_service_account("nova", credentials), "endpoint_type": "internal"},
        "placement": {**_service_account("placement", credentials), "endpoint_type": "internal"},
        "database": _database("neutron", credentials["neutron_database_password"], "neutron"),
        "keystone_authtoken": _token_filter("neutron", credentials),
        "oslo_concurrency": {"lock_path": "/var/lib/neutron/tmp"},
        "oslo_middleware": _PROXIED,
        "oslo_messaging_notifications": _NO_NOTIFICATIONS,
        "oslo_messaging_rabbit": _RABBIT,
        "privsep": {"helper_command": "privsep-helper --config-file /etc/neutron/neutron.conf"},
    })  # fmt: skip


_OVN = {
    "ovn_nb_connection": f"tcp:{layout.CONTROL.management}:{layout.OVN_NB_PORT}",
    "ovn_sb_connection": f"tcp:{layout.CONTROL.management}:{layout.OVN_SB_PORT}",
    "ovn_metadata_enabled": True,
    "enable_distributed_floating_ip": False,
    "ovn_emit_need_to_frag": False,
}


def neutron_server(_container: Container, node: Node, _release: Release, credentials: Credentials) -> list[ConfigFile]:
    """neutron.conf and ml2_conf.ini with OVN: flat provider network, geneve for tenants."""
    ml2 = ini({
        "ml2": {
            "type_drivers": "flat,vlan,vxlan,geneve",
            "tenant_network_types": "geneve",
            "mechanism_drivers": "ovn",
            "extension_drivers": "port_security",
        },
        "ml2_type_flat": {"flat_networks": layout.PHYSICAL_NETWORK},
        "ml2_type_geneve": {"vni_ranges": "1001:2000", "max_header_size": 38},
        "securitygroup": {"enable_security_group": True},
        "ovn": _OVN,
    })  # fmt: skip
    return [
        ConfigFile("neutron.conf", "/etc/neutron/neutron.conf", _neutron(node, credentials)),
        ConfigFile("ml2_conf.ini", "/etc/neutron/plugins/ml2/ml2_conf.ini", ml2),
    ]


def neutron_ovn_metadata_agent(
    _container: Container, node: Node, _release: Release, credentials: Credentials
) -> list[ConfigFile]:
    """The metadata agent of a compute node; it asks nova-metadata behind the internal VIP."""
    agent = ini({
        "DEFAULT": {
            "nova_metadata_host": layout.INTERNAL_NAME,
            "nova_metadata_port": layout.API_PORTS["nova_metadata"],
            "nova_metadata_protocol": "https",
            "auth_ca_cert": CA_BUNDLE,
            "metadata_proxy_shared_secret": credentials["metadata_secret"],
            "metadata_workers": 0,
        },
        # The container's own root needs no sudo; `env` is a prefix that does nothing.
        "agent": {"root_helper": "env"},
        "ovs": {"ovsdb_connection": f"tcp:127.0.0.1:{layout.OVSDB_PORT}", "ovsdb_timeout": 10},
        "ovn": {**_OVN, "ovn_metadata_enabled": True},
        "privsep": {"helper_command": "privsep-helper --config-file /etc/neutron/neutron_ovn_metadata_agent.ini"},
    })  # fmt: skip
    # The agent shares neutron.conf but has no business with the database.
    shared = _without_section(_neutron(node, credentials), "database")
    return [
        ConfigFile("neutron.conf", "/etc/neutron/neutron.conf", shared),
        ConfigFile("neutron_ovn_metadata_agent.ini", "/etc/neutron/neutron_ovn_metadata_agent.ini", agent),
    ]


def _without_section(text: str, section: str) -> str:
    blocks = text.split("\n\n")
    return "\n\n".join(block for block in blocks if not block.lstrip().startswith(f"[{section}]"))


def _nova(node: Node, credentials: Credentials, log_file: str) -> dict[str, dict[str, object]]:
    privsep: dict[str, object] = {"helper_command": "privsep-helper --config-file /etc/nova/nova.conf"}
    return {
        "DEFAULT": {
            "log_file": f"/var/log/kolla/nova/{log_file}",
            "state_path": "/var/lib/nova",
            "host": node.name,
            "my_ip": node.management,
            "allow_resize_to_same_host": True,
            "compute_driver": "libvirt.LibvirtDriver",
            "transport_url": transport_url(credentials),
            "osapi_compute_listen": node.management,
            "osapi_compute_workers": 2,
            "metadata_listen": node.management,
            "metadata_workers": 1,
            "vif_plugging_timeout": 120,
            "running_deleted_instance_action": "noop",
            "mkisofs_cmd": "genisoimage",
        },
        "conductor": {"workers": 1},
        "scheduler": {"workers": 1, "max_attempts": 10, "discover_hosts_in_cells_interval": 60},
        "vnc": {
            "novncproxy_host": node.management,
            "novncproxy_port": layout.API_PORTS["nova_novncproxy"],
            "server_listen": node.management,
            "server_proxyclient_address": node.management,
            "novncproxy_base_url": f"https://{layout.EXTERNAL_NAME}:{layout.API_PORTS['nova_novncproxy']}/vnc_lite.html",
        },
        "oslo_concurrency": {"lock_path": "/var/lib/nova/tmp"},
        "glance": {
            "api_servers": f"https://{layout.INTERNAL_NAME}:{layout.API_PORTS['glance_api']}",
            "cafile": CA_BUNDLE,
            "num_retries": 3,
        },
        "neutron": {
            **_service_account("neutron", credentials),
            "valid_interfaces": "internal",
            "metadata_proxy_shared_secret": credentials["metadata_secret"],
            "service_metadata_proxy": True,
        },
        "placement": {**_service_account("placement", credentials), "valid_interfaces": "internal"},
        "service_user": {**_service_account("nova", credentials), "send_service_user_token": True},
        "keystone_authtoken": _token_filter("nova", credentials),
        "cache": _CACHE,
        "upgrade_levels": {"compute": "auto"},
        "oslo_middleware": _PROXIED,
        "oslo_messaging_notifications": _NO_NOTIFICATIONS,
        "oslo_messaging_rabbit": _RABBIT,
        "privsep_entrypoint": privsep,
        "nova_sys_admin": privsep,
        "privsep_osbrick": privsep,
        "vif_plug_ovs_privileged": privsep,
        "vif_plug_linux_bridge_privileged": privsep,
        # The vif plugin talks to the database server as vswitchd does, not through the neutron agent's default.
        "os_vif_ovs": {"ovsdb_connection": f"tcp:127.0.0.1:{layout.OVSDB_PORT}"},
        "filter_scheduler": {
            "enabled_filters": "ComputeFilter,ComputeCapabilitiesFilter,ImagePropertiesFilter,"
            "ServerGroupAntiAffinityFilter,ServerGroupAffinityFilter"
        },
    }


def nova(container: Container, node: Node, release: Release, credentials: Credentials) -> list[ConfigFile]:
    """nova.conf of the control plane; from 2025.1 on the two APIs with uWSGI settings."""
    sections = _nova(node, credentials, f"{container.config_dir}.log")
    sections["database"] = _database("nova", credentials["nova_database_password"], "nova")
    sections["api_database"] = _database("nova_api", credentials["nova_api_database_password"], "nova_api")
    files = [ConfigFile("nova.conf", "/etc/nova/nova.conf", ini(sections))]
    if release.name != "2024.2" and container.name == "nova_api":
        # Not thread safe under uWSGI: processes instead, as kolla has it.
        files.append(_uwsgi(container, node, {"processes": 2, "module": "nova.wsgi.osapi_compute:application"}))
    if container.name == "nova_metadata":
        files.append(_uwsgi(container, node, {"module": "nova.wsgi.metadata:application"}))
    return files


def nova_compute(container: Container, node: Node, _release: Release, credentials: Credentials) -> list[ConfigFile]:
    """nova.conf of a compute node, and the SSH key that copies config drives to the other one."""
    sections = _nova(node, credentials, f"{container.config_dir}.log")
    sections["libvirt"] = {
        # No /dev/kvm: guests run under TCG.
        "virt_type": "qemu",
        "cpu_mode": "none",
        "connection_uri": f"qemu+tcp://{node.management}/system",
        "live_migration_uri": f"qemu+tcp://%s:{layout.LIBVIRT_PORT}/system",
        "live_migration_inbound_addr": node.management,
        "live_migration_permit_post_copy": False,
        "hw_machine_type": "x86_64=pc",
        "num_pcie_ports": 0,
        "images_type": "qcow2",
    }
    return [
        ConfigFile("nova.conf", "/etc/nova/nova.conf", ini(sections)),
        ConfigFile(
            "ssh_config",
            "/root/.ssh/config",
            f"Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n  Port {layout.NOVA_SSH_PORT}\n",
        ),
        ConfigFile("id_rsa", "/root/.ssh/id_rsa", credentials["nova_ssh_key_private"]),
    ]
