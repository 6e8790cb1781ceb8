"""Configuration of what OpenStack stands on: HAProxy, keepalived, MariaDB, RabbitMQ, libvirt, the SSH daemons, cron."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from lab import layout
from lab.configs import openstack
from lab.configs.files import ConfigFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.catalogue import Container
    from lab.credentials import Credentials
    from lab.layout import Node
    from lab.releases import Release

_CHECKS: Mapping[str, str] = {
    "keystone": "GET /healthcheck",
    "placement_api": "GET /",
    "glance_api": "GET /healthcheck",
    "neutron_server": "GET /healthcheck",
    "nova_novncproxy": "GET /vnc_lite.html",
}
"""What HAProxy asks a back end; a plain `option httpchk` (OPTIONS /) where nothing is named."""
_SERVICE_FILES: Mapping[str, tuple[str, ...]] = {
    "keystone": ("keystone",),
    "placement": ("placement_api",),
    "glance": ("glance_api",),
    "neutron": ("neutron_server",),
    "nova": ("nova_api", "nova_metadata"),
    "nova-cell:nova-novncproxy": ("nova_novncproxy",),
}
INTERNAL_ONLY = frozenset({"nova_metadata"})


def cron(_container: Container, _node: Node, _release: Release, _credentials: Credentials) -> list[ConfigFile]:
    """Log rotation of /var/log/kolla."""
    text = "/var/log/kolla/*/*.log {\n  daily\n  rotate 6\n  copytruncate\n  compress\n  missingok\n  notifempty\n}\n"
    return [
        ConfigFile("logrotate.conf", "/etc/logrotate.conf", text),
        ConfigFile("crontab", "/etc/crontab", "0 0 * * * root /usr/sbin/logrotate /etc/logrotate.conf\n", "0644"),
    ]


def haproxy(_container: Container, node: Node, _release: Release, credentials: Credentials) -> list[ConfigFile]:
    """haproxy.cfg with kolla-ansible's settings, and one file per service in services.d with TLS on both VIPs."""
    main = f"""global
    log stdout format raw local1 notice
    maxconn 4000
    nbthread 1
    stats socket /var/lib/kolla/haproxy/haproxy.sock mode 660 level admin
    tune.ssl.default-dh-param 4096
    ssl-default-bind-options no-sslv3 no-tlsv10 no-tlsv11 prefer-client-ciphers

defaults
    log global
    option redispatch
    retries 3
    timeout http-request 10s
    timeout http-keep-alive 10s
    timeout queue 1m
    timeout connect 10s
    timeout client 1m
    timeout server 1m
    timeout check 10s
    balance roundrobin
    maxconn 2000

listen stats
    bind {node.management}:{layout.HAPROXY_STATS_PORT}
    mode http
    stats enable
    stats uri /
    stats refresh 15s
    stats realm Haproxy\\ Stats
    stats auth openstack:{credentials["haproxy_password"]}

frontend status
    bind {node.management}:{layout.HAPROXY_MONITOR_PORT}
    bind {layout.INTERNAL_VIP}:{layout.HAPROXY_MONITOR_PORT}
    mode http
    monitor-uri /
"""
    files = [ConfigFile("haproxy.cfg", "/etc/haproxy/haproxy.cfg", main)]
    for service, listeners in _SERVICE_FILES.items():
        text = "\n".join(block for listener in listeners for block in _listener(listener))
        files.append(ConfigFile(f"services.d/{service}.cfg", f"/etc/haproxy/services.d/{service}.cfg", text))
    files.append(ConfigFile("services.d/mariadb.cfg", "/etc/haproxy/services.d/mariadb.cfg", _mariadb_listener()))
    files.extend(
        ConfigFile(name, f"/etc/haproxy/{name}", credentials.vip_certificate)
        for name in ("haproxy.pem", "haproxy-internal.pem")
    )
    return files


def _listener(name: str) -> list[str]:
    port = layout.API_PORTS[name]
    blocks = []
    for listener, vip, certificate in (
        (name, layout.INTERNAL_VIP, "haproxy-internal.pem"),
        (f"{name}_external", layout.EXTERNAL_VIP, "haproxy.pem"),
    ):
        if listener != name and name in INTERNAL_ONLY:
            continue
        check = f"    option httpchk {_CHECKS[name]}\n" if name in _CHECKS else "    option httpchk\n"
        tunnel = "    timeout tunnel 1h\n" if name == "nova_novncproxy" else ""
        servers = "".join(
            f"    server {node} {layout.node(node).management}:{port} check inter 2000 rise 2 fall 5\n"
            for node in layout.GROUPS["control"]
        )
        blocks.append(
            f"frontend {listener}_front\n    mode http\n    http-request del-header X-Forwarded-Proto\n    option httplog\n    option forwardfor\n"
            f"    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}\n"
            f"    bind {vip}:{port} ssl crt /etc/haproxy/{certificate} alpn h2,http/1.1\n    default_backend {listener}_back\n\n"
            f"backend {listener}_back\n    mode http\n{check}{tunnel}{servers}"
        )
    return blocks


def _mariadb_listener() -> str:
    servers = "".join(
        f"    server {node} {layout.node(node).management}:{layout.DATABASE_PORT} check inter 2000 rise 2 fall 5\n"
        for node in layout.GROUPS["mariadb"]
    )
    return (
        f"frontend mariadb_front\n    mode tcp\n    option clitcpka\n    timeout client 3600s\n    bind {layout.INTERNAL_VIP}:{layout.DATABASE_PORT}\n"
        f"    default_backend mariadb_back\n\nbackend mariadb_back\n    mode tcp\n    option srvtcpka\n    timeout server 3600s\n{servers}"
    )


def keepalived(_container: Container, node: Node, _release: Release, credentials: Credentials) -> list[ConfigFile]:
    """One VRRP instance that carries both VIPs."""
    text = f"""vrrp_instance kolla_internal_vip_51 {{
    state BACKUP
    nopreempt
    interface {layout.MANAGEMENT_INTERFACE}
    virtual_router_id 51
    priority {layout.GROUPS["loadbalancer"].index(node.name) + 1}
    advert_int 1
    virtual_ipaddress {{
        {layout.INTERNAL_VIP} dev {layout.MANAGEMENT_INTERFACE}
        {layout.EXTERNAL_VIP} dev {layout.MANAGEMENT_INTERFACE}
    }}
    authentication {{
        auth_type PASS
        auth_pass {credentials["keepalived_password"]}
    }}
}}
"""
    return [ConfigFile("keepalived.conf", "/etc/keepalived/keepalived.conf", text)]


def mariadb(_container: Container, node: Node, _release: Release, _credentials: Credentials) -> list[ConfigFile]:
    """A single server; durability is traded for speed, since the lab's data is thrown away."""
    text = f"""[mysqld]
user = root
bind-address = {node.management}
port = {layout.DATABASE_PORT}
datadir = /var/lib/mysql
socket = /run/mysqld/mysqld.sock
pid-file = /run/mysqld/mysqld.pid
log-error = /var/log/kolla/mariadb/mariadb.log
skip-name-resolve
max_connections = 1000
character-set-server = utf8mb4
innodb_buffer_pool_size = 192M
innodb_log_file_size = 64M
innodb_flush_log_at_trx_commit = 0
innodb_doublewrite = 0
sync_binlog = 0
performance_schema = OFF
"""
    return [ConfigFile("galera.cnf", "/etc/mysql/my.cnf", text)]


def rabbitmq(_container: Container, node: Node, _release: Release, credentials: Credentials) -> list[ConfigFile]:
    """One broker with the account `openstack`."""
    conf = f"""listeners.tcp.default = {node.management}:{layout.RABBITMQ_PORT}
default_user = openstack
default_pass = {credentials["rabbitmq_password"]}
default_user_tags.administrator = true
loopback_users.guest = true
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 100MB
log.console = false
log.file = rabbitmq.log
"""
    environment = f"""NODENAME=rabbit@{node.name}
NODE_IP_ADDRESS={node.management}
"""
    return [
        ConfigFile("rabbitmq.conf", "/etc/rabbitmq/rabbitmq.conf", conf),
        ConfigFile("rabbitmq-env.conf", "/etc/rabbitmq/rabbitmq-env.conf", environment),
        ConfigFile("enabled_plugins", "/etc/rabbitmq/enabled_plugins", "[].\n"),
        ConfigFile(
            ".erlang.cookie", "/var/lib/rabbitmq/.erlang.cookie", credentials["rabbitmq_cluster_cookie"], "0400"
        ),
    ]


def openvswitch_vswitchd(
    _container: Container, node: Node, _release: Release, _credentials: Credentials
) -> list[ConfigFile]:
    """The tunnel address that belongs on br-tun (a real host has it in its network configuration)."""
    return [ConfigFile("tunnel_address", "/etc/openvswitch/tunnel_address", f"{node.tunnel}/24\n", "0644")]


def nova_libvirt(_container: Container, node: Node, _release: Release, _credentials: Credentials) -> list[ConfigFile]:
    """A libvirtd that listens on the management network for live migration, without authentication (kolla: SASL)."""
    # Every node sees the same DMI data; libvirt refuses to migrate between hosts of one UUID.
    host_uuid = uuid.uuid5(uuid.NAMESPACE_DNS, f"{node.name}.{layout.DOMAIN}")
    libvirtd = f"""listen_tls = 0
listen_tcp = 1
listen_addr = "{node.management}"
tcp_port = "{layout.LIBVIRT_PORT}"
auth_tcp = "none"
auth_unix_rw = "none"
host_uuid = "{host_uuid}"
log_level = 3
log_outputs = "3:file:/var/log/kolla/libvirt/libvirtd.log"
"""
    qemu = f"""user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
max_files = 0
stdio_handler = "file"
vnc_listen = "{node.management}"
migration_address = "{node.management}"
migration_host = "{node.management}"
"""
    return [
        ConfigFile("libvirtd.conf", "/etc/libvirt/libvirtd.conf", libvirtd),
        ConfigFile("qemu.conf", "/etc/libvirt/qemu.conf", qemu),
    ]


def _sshd(node: Node, port: int) -> str:
    return f"Port {port}\nListenAddress {node.management}\nUsePAM no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nSubsystem sftp /usr/lib/openssh/sftp-server\n"


def nova_ssh(_container: Container, node: Node, _release: Release, credentials: Credentials) -> list[ConfigFile]:
    """The SSH daemon through which nova-compute copies config drives at migrations."""
    return [
        ConfigFile("sshd_config", "/etc/ssh/sshd_config", _sshd(node, layout.NOVA_SSH_PORT)),
        ConfigFile("id_rsa.pub", "/root/.ssh/authorized_keys", credentials["nova_ssh_key_public"]),
    ]


def keystone_ssh(_container: Container, node: Node, _release: Release, credentials: Credentials) -> list[ConfigFile]:
    """The SSH daemon through which fernet keys travel between controllers."""
    return [
        ConfigFile("sshd_config", "/etc/ssh/sshd_config", _sshd(node, 8023)),
        ConfigFile("id_rsa.pub", "/root/.ssh/authorized_keys", credentials["keystone_ssh_key_public"]),
    ]


def keystone_fernet(
    _container: Container, _node: Node, _release: Release, credentials: Credentials
) -> list[ConfigFile]:
    """Rotation of the fernet keys once a day, by cron; it needs keystone's own configuration."""
    rotate = "0 0 * * * root /var/lib/kolla/venv/bin/keystone-manage --config-file /etc/keystone/keystone.conf fernet_rotate --keystone-user root --keystone-group root\n"
    return [openstack.keystone_conf(credentials), ConfigFile("crontab", "/etc/crontab", rotate, "0644")]
