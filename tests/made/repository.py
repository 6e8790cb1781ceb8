"""A small configuration repository in OSISM's layout, written into a directory, for tests of everything that reads one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.cloud import Options

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "inventory/10-custom": """\
[site-managers]
manager-0

[site-control]
control-0

[site-compute]
compute-[0:1]

[site-nodes:children]
site-control
site-compute
""",
    "inventory/20-roles": """\
[generic:children]
site-managers
site-nodes

[manager:children]
site-managers

[monitoring:children]
site-managers

[control:children]
site-control

[compute:children]
site-compute

[network:children]
site-control
""",
    "inventory/99-overwrite": "# nothing\n",
    "inventory/group_vars/all/kolla.yml": "docker_namespace: kolla/release\n",
    "inventory/host_vars/manager-0.yml": "ansible_host: 127.0.0.5\n",
    "inventory/host_vars/control-0/vars.yml": 'node_id: 10\nansible_host: "127.0.0.{{ node_id }}"\n',
    "inventory/host_vars/compute-0.yml": "ansible_host: 127.0.0.11\n",
    "inventory/host_vars/compute-1.yml": "ansible_host: 127.0.0.12\n",
    "environments/configuration.yml": "operator_user: dragon\n",
    "environments/manager/configuration.yml": "manager_version: 9.5.0\n",
    "environments/kolla/configuration.yml": """\
kolla_internal_vip_address: 127.0.0.9
kolla_external_vip_address: 127.0.0.254
kolla_internal_fqdn: api-int.example.test
kolla_external_fqdn: api.example.test
kolla_enable_tls_internal: "yes"
kolla_enable_tls_external: "yes"
enable_cinder: "no"
enable_horizon: "no"
enable_octavia: "no"
enable_designate: "no"
enable_prometheus: "no"
enable_grafana: "no"
enable_redis: "no"
enable_opensearch: "no"
enable_fluentd: "no"
""",
    "environments/openstack/clouds.yml": """\
clouds:
  admin:
    auth:
      auth_url: https://127.0.0.254:5000/v3
      username: admin
      project_name: admin
      user_domain_name: default
      project_domain_name: default
""",
    "environments/openstack/secure.yml": "clouds:\n  admin:\n    auth:\n      password: sesame-open-4711\n",
}
VERSIONS = """\
openstack_version: "2024.2"
openstack_previous_version: "2024.1"
kolla_nova_version: 30.0.0.20250901
kolla_nova_libvirt_version: 9.0.0.20250901
kolla_keystone_version: 26.0.0.20250901
"""


def make_repository(
    root: Path, changes: dict[str, str | None] | None = None, versions: str | None = VERSIONS
) -> Options:
    """Write the repository; `changes` replaces or, with None, leaves out files. Returns options that point to it."""
    for name, text in {**FILES, **(changes or {})}.items():
        if text is not None:
            path = root / "configuration" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    interface = root / "interface"
    (interface / "versions").mkdir(parents=True, exist_ok=True)
    if versions is not None:
        (interface / "versions" / "kolla-ansible.yml").write_text(versions)
    key = root / "id_rsa.operator"
    key.write_text("no real key\n")
    return Options(configuration=root / "configuration", interface=interface, key=key, online=False, containers=False)


def as_arguments(options: Options) -> list[str]:
    """Return the options as words of a command line."""
    return [
        f"--configuration={options.configuration}", f"--interface={options.interface}", f"--key={options.key}",
        "--offline", "--files-only",
    ]  # fmt: skip
