"""Every container of every service, as kolla-ansible would create it. Pure data.

The unit is `Container`: kolla's container name, the image, the inventory group (hence the nodes), the command that its
config.json runs on each release, its health check, environment, volumes and privileges. `kolla.py` turns one into a
`docker run`, `configs` into the files below /etc/kolla/<config_dir>/.

What differs between 2024.2 and 2025.1 is what differs in kolla-ansible: nova_metadata becomes a container of its own, and
nova-api and glance-api leave eventlet's server for uWSGI. Neutron stays one `neutron-server` process tree in both
(the split into several containers comes with 2025.2).

Deviations from kolla, all for want of systemd, CAP_SYS_RESOURCE or CPU time: `--restart unless-stopped` instead of systemd
units; privileged containers get every capability but SYS_RESOURCE; processes run as root inside; keystone and placement run under
uWSGI on both sides (kolla: Apache until 2024.2); fluentd and ProxySQL are left out; health checks run every 20 s.

Source: openstack/kolla-ansible stable/2025.1 ansible/roles/*/defaults/main.yml, and 2024.1 for the older side.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from lab import layout

if TYPE_CHECKING:
    from collections.abc import Mapping

BOTH = ("2024.2", "2025.1")

HEALTH_INTERVAL_S = 30
"""As kolla's."""
HEALTH_TIMEOUT_S = 30
HEALTH_RETRIES = 3
HEALTH_START_PERIOD_S = 120
"""Generous, because a Python service imports for ten seconds and more on two busy cores; a failing check inside it counts as starting."""
STOP_TIMEOUT_S = 60
"""kolla's docker_graceful_timeout."""

_LOGS = "kolla_logs:/var/log/kolla/"
_OPENVSWITCH = "/run/openvswitch:/run/openvswitch:shared"
_SHM = "/dev/shm:/dev/shm"  # noqa: S108 -- kolla's volume


@dataclass(frozen=True, slots=True)
class Container:
    """One container of the catalogue.

    `commands` maps a release to the command line of config.json; a release that is missing has no such container.
    Placeholders in `health` and `environment`: {ip} is the node's management address.
    """

    name: str
    service: str
    """The role as `osism apply -a upgrade SERVICE` names it."""
    image: str
    group: str
    config_dir: str
    commands: Mapping[str, str]
    health: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    privileged: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    log_dir: str | None = None
    """Directory below /var/log/kolla that kolla_start makes."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes it runs on."""
        return layout.GROUPS[self.group]


def _both(command: str) -> dict[str, str]:
    return dict.fromkeys(BOTH, command)


CONTAINERS: tuple[Container, ...] = (
    Container(
        "kolla_toolbox", "common", "kolla-toolbox", "kolla-toolbox", "kolla-toolbox", _both("sleep infinity"),
        environment={"ANSIBLE_NOCOLOR": "1", "REQUESTS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt"},
        volumes=("/dev/:/dev/", "/run/:/run/:shared", _LOGS), privileged=True,
    ),
    Container(
        "cron", "common", "cron", "cron", "cron", _both("cron -f"),
        environment={"KOLLA_LOGROTATE_SCHEDULE": "daily"}, volumes=(_LOGS,),
    ),
    Container(
        "haproxy", "loadbalancer", "haproxy", "loadbalancer", "haproxy",
        _both("/usr/sbin/haproxy -W -db -p /run/haproxy.pid -f /etc/haproxy/haproxy.cfg -f /etc/haproxy/services.d/"),
        health=f"healthcheck_curl http://{{ip}}:{layout.HAPROXY_MONITOR_PORT}",
        volumes=("haproxy_socket:/var/lib/kolla/haproxy/",), privileged=True,
    ),
    Container(
        "keepalived", "loadbalancer", "keepalived", "loadbalancer", "keepalived",
        _both("/usr/sbin/keepalived -nlD -p /run/keepalived.pid"),
        volumes=("haproxy_socket:/var/lib/kolla/haproxy/",), privileged=True,
    ),
    Container(
        "memcached", "memcached", "memcached", "memcached", "memcached",
        _both(f"/usr/bin/memcached -u root -v -l {{ip}} -p {layout.MEMCACHED_PORT} -c 5000 -U 0 -m 64 -t 1"),
        health=f"healthcheck_listen memcached {layout.MEMCACHED_PORT}",
    ),
    Container(
        "mariadb", "mariadb", "mariadb-server", "mariadb", "mariadb", _both("start_mariadb"),
        health="healthcheck_mariadb {ip}", volumes=("mariadb:/var/lib/mysql", _LOGS), log_dir="mariadb",
    ),
    Container(
        "rabbitmq", "rabbitmq", "rabbitmq", "rabbitmq", "rabbitmq", _both("start_rabbitmq"),
        health=f"healthcheck_rabbitmq {{ip}} {layout.RABBITMQ_PORT}",
        environment={"RABBITMQ_LOG_DIR": "/var/log/kolla/rabbitmq"},
        volumes=("rabbitmq:/var/lib/rabbitmq/", _LOGS), log_dir="rabbitmq",
    ),
    Container(
        "openvswitch_db", "openvswitch", "openvswitch-db-server", "openvswitch", "openvswitch-db-server",
        _both("start_ovsdb_server"), health="ovsdb-client list-dbs",
        volumes=(_OPENVSWITCH, _LOGS, "openvswitch_db:/var/lib/openvswitch/"), log_dir="openvswitch",
    ),
    Container(
        "openvswitch_vswitchd", "openvswitch", "openvswitch-vswitchd", "openvswitch", "openvswitch-vswitchd",
        _both("start_ovs_vswitchd"), health="ovs-appctl version",
        volumes=(_OPENVSWITCH, "/dev:/dev", _LOGS), privileged=True, log_dir="openvswitch",
    ),
    Container(
        "ovn_controller", "ovn", "ovn-controller", "ovn-controller", "ovn-controller",
        _both("ovn-controller --pidfile=/run/ovn/ovn-controller.pid "
              "--log-file=/var/log/kolla/openvswitch/ovn-controller.log unix:/run/openvswitch/db.sock"),
        volumes=(_OPENVSWITCH, _LOGS), log_dir="openvswitch",
    ),
    Container(
        "ovn_nb_db", "ovn", "ovn-nb-db-server", "ovn-nb-db", "ovn-nb-db", _both(f"start_ovn_db nb {layout.OVN_NB_PORT} {{ip}}"),
        volumes=("ovn_nb_db:/var/lib/openvswitch/ovn-nb/", _LOGS), log_dir="openvswitch",
    ),
    Container(
        "ovn_sb_db", "ovn", "ovn-sb-db-server", "ovn-sb-db", "ovn-sb-db", _both(f"start_ovn_db sb {layout.OVN_SB_PORT} {{ip}}"),
        volumes=("ovn_sb_db:/var/lib/openvswitch/ovn-sb/", _LOGS), log_dir="openvswitch",
    ),
    Container(
        "ovn_northd", "ovn", "ovn-northd", "ovn-northd", "ovn-northd",
        _both(f"start_ovn_northd tcp:{{ip}}:{layout.OVN_NB_PORT} tcp:{{ip}}:{layout.OVN_SB_PORT}"),
        volumes=(_LOGS,), log_dir="openvswitch",
    ),
    Container(
        "keystone", "keystone", "keystone", "keystone", "keystone", _both("uwsgi /etc/keystone/keystone-uwsgi.ini"),
        health="healthcheck_curl http://{ip}:5000",
        volumes=(_LOGS, _SHM, "keystone_fernet_tokens:/etc/keystone/fernet-keys"), log_dir="keystone",
    ),
    Container(
        "keystone_ssh", "keystone", "keystone-ssh", "keystone", "keystone-ssh", _both("/usr/sbin/sshd -D"),
        health="healthcheck_listen sshd 8023",
        volumes=(_LOGS, "keystone_fernet_tokens:/etc/keystone/fernet-keys"),
    ),
    Container(
        "keystone_fernet", "keystone", "keystone-fernet", "keystone", "keystone-fernet", _both("cron -f"),
        health="healthcheck_fernet", volumes=(_LOGS, "keystone_fernet_tokens:/etc/keystone/fernet-keys"),
    ),
    Container(
        "placement_api", "placement", "placement-api", "placement-api", "placement-api",
        _both("uwsgi /etc/placement/placement-api-uwsgi.ini"),
        health="healthcheck_curl http://{ip}:8780", volumes=(_LOGS,), log_dir="placement",
    ),
    Container(
        "glance_api", "glance", "glance-api", "glance-api", "glance-api",
        {"2024.2": "glance-api", "2025.1": "uwsgi /etc/glance/glance-api-uwsgi.ini"},
        health="healthcheck_curl http://{ip}:9292", volumes=("glance:/var/lib/glance/", _LOGS, _SHM), log_dir="glance",
    ),
    Container(
        "neutron_server", "neutron", "neutron-server", "neutron-server", "neutron-server",
        _both("neutron-server --config-file /etc/neutron/neutron.conf --config-file /etc/neutron/plugins/ml2/ml2_conf.ini"),
        health="healthcheck_curl http://{ip}:9696", volumes=(_LOGS, _SHM), log_dir="neutron",
    ),
    Container(
        "neutron_ovn_metadata_agent", "neutron", "neutron-metadata-agent", "neutron-ovn-metadata-agent",
        "neutron-ovn-metadata-agent",
        _both("neutron-ovn-metadata-agent --config-file /etc/neutron/neutron.conf "
              "--config-file /etc/neutron/neutron_ovn_metadata_agent.ini"),
        health=f"healthcheck_port neutron-ovn-metadata-agent {layout.OVSDB_PORT}",
        volumes=("neutron_metadata_socket:/var/lib/neutron/kolla/", _OPENVSWITCH, "/run/netns:/run/netns:shared", _LOGS, _SHM),
        privileged=True, log_dir="neutron",
    ),
    Container(
        "nova_api", "nova", "nova-api", "nova-api", "nova-api",
        {"2024.2": "nova-api", "2025.1": "uwsgi /etc/nova/nova-api-uwsgi.ini"},
        health="healthcheck_curl http://{ip}:8774", volumes=(_LOGS, _SHM), privileged=True, log_dir="nova",
    ),
    Container(
        "nova_metadata", "nova", "nova-api", "nova-metadata", "nova-metadata",
        {"2025.1": "uwsgi /etc/nova/nova-metadata-uwsgi.ini"},
        health="healthcheck_curl http://{ip}:8775", volumes=(_LOGS,), log_dir="nova",
    ),
    Container(
        "nova_scheduler", "nova", "nova-scheduler", "nova-scheduler", "nova-scheduler", _both("nova-scheduler"),
        health=f"healthcheck_port nova-scheduler {layout.RABBITMQ_PORT}", volumes=(_LOGS, _SHM), log_dir="nova",
    ),
    Container(
        "nova_conductor", "nova", "nova-conductor", "nova-conductor", "nova-conductor", _both("nova-conductor"),
        health=f"healthcheck_port nova-conductor {layout.RABBITMQ_PORT}", volumes=(_LOGS, _SHM), log_dir="nova",
    ),
    Container(
        "nova_novncproxy", "nova", "nova-novncproxy", "nova-novncproxy", "nova-novncproxy",
        _both("nova-novncproxy --web /usr/share/novnc"),
        health="healthcheck_curl http://{ip}:6080/vnc_lite.html", volumes=(_LOGS, _SHM), log_dir="nova",
    ),
    Container(
        "nova_libvirt", "nova", "nova-libvirt", "compute", "nova-libvirt", _both("start_libvirtd"),
        health="virsh version --daemon",
        volumes=("/run:/run:shared", "/dev:/dev", "/sys/fs/cgroup:/sys/fs/cgroup", _LOGS,
                 "libvirtd:/var/lib/libvirt", "nova_compute:/var/lib/nova/", "nova_libvirt_qemu:/etc/libvirt/qemu"),
        privileged=True, host_pid=True, log_dir="libvirt",
    ),
    Container(
        "nova_ssh", "nova", "nova-ssh", "compute", "nova-ssh", _both("/usr/sbin/sshd -D"),
        health=f"healthcheck_listen sshd {layout.NOVA_SSH_PORT}", volumes=("kolla_logs:/var/log/kolla", "nova_compute:/var/lib/nova"),
    ),
    Container(
        "nova_compute", "nova", "nova-compute", "compute", "nova-compute", _both("nova-compute"),
        health=f"healthcheck_port nova-compute {layout.RABBITMQ_PORT}",
        environment={"LIBGUESTFS_BACKEND": "direct"},
        volumes=("/run:/run:shared", "/dev:/dev", _LOGS, "libvirtd:/var/lib/libvirt", "nova_compute:/var/lib/nova/"),
        privileged=True, host_ipc=True, log_dir="nova",
    ),
)  # fmt: skip


def containers(release: str, *, service: str | None = None, node: str | None = None) -> tuple[Container, ...]:
    """The containers that exist on that release, of one service and on one node if given; in deployment order."""
    return tuple(
        container
        for container in CONTAINERS
        if release in container.commands
        and (service is None or container.service == service)
        and (node is None or node in container.nodes)
    )


def container(name: str) -> Container:
    """The container of that name. KeyError if the catalogue has none."""
    for candidate in CONTAINERS:
        if candidate.name == name:
            return candidate
    raise KeyError(f"no container {name!r} in the catalogue")
