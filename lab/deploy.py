"""The first deployment of the whole cloud, at the release that will be upgraded from.

The order is kolla-ansible's, with independent parts side by side. Databases come from a template when one fits (same lock
files, same passwords); the first time they are made for real, by the services' own migration commands, and kept.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import shutil
import time
from collections.abc import Callable
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lab import catalogue
from lab import credentials
from lab import kolla
from lab import layout
from lab import openvswitch
from lab.configs import openstack

if TYPE_CHECKING:
    from lab.credentials import Credentials
    from lab.releases import Release

CONTROL = layout.CONTROL.name
_SCRIPTS = Path(__file__).parent / "node_scripts"
_DATABASES = {
    "keystone": ("keystone", "keystone_database_password"),
    "glance": ("glance", "glance_database_password"),
    "placement": ("placement", "placement_database_password"),
    "neutron": ("neutron", "neutron_database_password"),
    "nova": ("nova", "nova_database_password"),
    "nova_cell0": ("nova", "nova_database_password"),
    "nova_api": ("nova_api", "nova_api_database_password"),
}
"""Schema -> its user and that user's password."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Deployment:
    """What every step needs: how to run commands, which release, where the state is, where progress goes."""

    run: kolla.Run
    release: Release
    state: layout.State
    say: Say


def in_parallel(jobs: Iterable[Callable[[], object]], *, workers: int = 6) -> None:
    """Runs the jobs side by side and raises the first failure after all have ended."""
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(job) for job in jobs]
        failures = [error for future in as_completed(futures) if (error := future.exception())]
    if failures:
        raise failures[0]


def deploy(deployment: Deployment) -> None:
    """From nodes with an empty dockerd to a cloud with working APIs and computes."""
    say = deployment.say
    known = credentials.load(deployment.state)
    in_parallel(partial(_prepare, deployment, node.name) for node in layout.NODES)
    say("images pulled, configurations written")
    template = _template_path(deployment)
    restored = template.exists()
    in_parallel([
        lambda: _start(deployment, CONTROL, ["haproxy", "keepalived", "memcached"]),
        lambda: _messaging(deployment),
        lambda: _database(deployment, known, template),
        lambda: (_start(deployment, CONTROL, ["ovn_nb_db", "ovn_sb_db", "ovn_northd", "cron", "kolla_toolbox"])),
        *(partial(_network_and_hypervisor, deployment, node) for node in layout.GROUPS["compute"]),
    ])  # fmt: skip
    say("infrastructure up")
    if restored:
        _start_apis(deployment)
    else:
        _bootstrap(deployment, known)
        _save_template(deployment, template)
        _start_apis(deployment)
    in_parallel(
        partial(_start, deployment, node, ["nova_compute", "neutron_ovn_metadata_agent"])
        for node in layout.GROUPS["compute"]
    )
    wait_computes(deployment)
    say("computes registered")
    task(
        deployment,
        "nova_conductor",
        ["nova-manage", "cell_v2", "discover_hosts", "--by-service"],
        name="nova_cell_discover_hosts",
    )
    say("computes mapped")


def _prepare(deployment: Deployment, node: str) -> None:
    run, release, state = deployment.run, deployment.release, deployment.state
    here = catalogue.containers(release.name, node=node)
    for image in sorted({container.image for container in here}):
        kolla.pull(run, node, image, release, state=state)
    for container in here:
        kolla.write_config(run, node, container, release, state=state)


def _start(deployment: Deployment, node: str, names: list[str]) -> None:
    """Creates those containers of the catalogue that the release has; an existing running one stays."""
    for name in names:
        container = catalogue.container(name)
        if deployment.release.name in container.commands:
            kolla.recreate(deployment.run, node, container, deployment.release, state=deployment.state)


def _messaging(deployment: Deployment) -> None:
    _start(deployment, CONTROL, ["rabbitmq"])
    # Its own check, asked at once: Docker asks only once per interval.
    probe = ["healthcheck_rabbitmq", layout.CONTROL.management, str(layout.RABBITMQ_PORT)]
    wait_command(deployment, ["docker", "exec", "rabbitmq", *probe], within_s=120)
    deployment.say("rabbitmq up")


def _network_and_hypervisor(deployment: Deployment, node: str) -> None:
    _start(deployment, node, ["cron", "kolla_toolbox", "openvswitch_db"])
    openvswitch.configure(deployment.run, node)
    _start(deployment, node, ["openvswitch_vswitchd", "ovn_controller", "nova_libvirt", "nova_ssh"])


def task(deployment: Deployment, container: str, argv: list[str], *, name: str) -> None:
    """One-shot container on the control node; raises with its output when it fails."""
    done = kolla.run_task(
        deployment.run,
        CONTROL,
        catalogue.container(container),
        deployment.release,
        argv,
        name=name,
        state=deployment.state,
        check=False,
        timeout_s=300,
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise DeployError(f"{name} ({' '.join(argv[:3])}) ended with {done.returncode}:\n{tail}")


class DeployError(Exception):
    """A step of the deployment failed; the message has the last lines of its output."""


def _database(deployment: Deployment, known: Credentials, template: Path) -> None:
    run = deployment.run
    if template.exists():
        script = f"""set -e
for volume in mariadb keystone_fernet_tokens; do
  docker volume create $volume >/dev/null
  tar -x -C /var/lib/docker/volumes/$volume/_data -f {template}/$volume.tar
done"""
        run(CONTROL, ["sh", "-c", script], timeout_s=120)
    _start(deployment, CONTROL, ["mariadb"])
    wait_command(
        deployment, ["docker", "exec", "mariadb", "mariadb-admin", "-S", "/run/mysqld/mysqld.sock", "ping"], within_s=60
    )
    if not template.exists():
        statements = [
            f"alter user root@localhost identified via unix_socket or mysql_native_password using password('{known['database_password']}');"
        ]
        for schema, (user, password) in _DATABASES.items():
            statements += [
                f"create database if not exists {schema};",
                f"create user if not exists '{user}'@'%' identified by '{known[password]}';",
                f"grant all privileges on {schema}.* to '{user}'@'%';",
            ]
        run(
            CONTROL,
            ["docker", "exec", "-i", "mariadb", "mariadb", "-S", "/run/mysqld/mysqld.sock"],
            input="\n".join(statements),
        )
    deployment.say(f"mariadb up ({'from the template' if template.exists() else 'empty'})")


def wait_command(deployment: Deployment, argv: list[str], *, within_s: float, node: str = CONTROL) -> None:
    """Repeats a command on a node until it succeeds. DeployError after `within_s`."""
    deadline = time.monotonic() + within_s
    while (done := deployment.run(node, argv, check=False)).returncode:
        if time.monotonic() > deadline:
            raise DeployError(
                f"{' '.join(argv)} did not succeed on {node} within {within_s:.0f} s: {(done.stderr or done.stdout).strip()[-300:]}"
            )
        time.sleep(0.5)


def wait_vip(deployment: Deployment, service: str, *, within_s: float = 120) -> None:
    """Waits until the internal VIP answers for that listener from its back end."""
    url = f"https://{layout.INTERNAL_NAME}:{layout.API_PORTS[service]}/"
    wait_command(
        deployment,
        ["curl", "-s", "-f", "-o", "/dev/null", "--max-time", "5", "--cacert", openstack.CA_BUNDLE, url],
        within_s=within_s,
    )


def _bootstrap(deployment: Deployment, known: Credentials) -> None:
    def keystone() -> None:
        user = ["--keystone-user", "root", "--keystone-group", "root"]
        endpoint = f"https://{{}}:{layout.API_PORTS['keystone']}"
        internal, public = endpoint.format(layout.INTERNAL_NAME), endpoint.format(layout.EXTERNAL_NAME)
        script = (
            f"set -e; keystone-manage db_sync; keystone-manage fernet_setup {' '.join(user)}; keystone-manage credential_setup {' '.join(user)}; "
            f'keystone-manage bootstrap --bootstrap-password "$ADMIN_PASSWORD" --bootstrap-admin-url {internal} --bootstrap-internal-url {internal} '
            f"--bootstrap-public-url {public} --bootstrap-region-id {layout.REGION}"
        )
        done = kolla.run_task(deployment.run, CONTROL, catalogue.container("keystone"), deployment.release, ["sh", "-c", script], name="bootstrap_keystone",
                              environment={"ADMIN_PASSWORD": known["keystone_admin_password"]}, state=deployment.state, check=False)  # fmt: skip
        if done.returncode:
            raise DeployError(f"bootstrap_keystone failed:\n{(done.stdout + done.stderr)[-2000:]}")
        deployment.say("keystone bootstrapped")
        _start(deployment, CONTROL, ["keystone"])
        wait_vip(deployment, "keystone")
        register(deployment, known)
        deployment.say("users and endpoints registered")

    def nova() -> None:
        cell0 = openstack.database_url("nova", known["nova_database_password"], "nova_cell0")
        script = f"set -e; nova-manage api_db sync; nova-manage cell_v2 map_cell0 --database_connection '{cell0}'; nova-manage cell_v2 create_cell --name cell1; nova-manage db sync"
        task(deployment, "nova_conductor", ["sh", "-c", script], name="bootstrap_nova")
        deployment.say("nova databases made")

    neutron = [
        "neutron-db-manage",
        "--config-file",
        "/etc/neutron/neutron.conf",
        "--config-file",
        "/etc/neutron/plugins/ml2/ml2_conf.ini",
        "upgrade",
        "heads",
    ]
    in_parallel([
        keystone,
        nova,
        lambda: task(deployment, "placement_api", ["placement-manage", "db", "sync"], name="bootstrap_placement"),
        lambda: task(deployment, "glance_api", ["glance-manage", "db_sync"], name="bootstrap_glance"),
        lambda: task(deployment, "neutron_server", neutron, name="bootstrap_neutron"),
    ])  # fmt: skip
    deployment.say("databases made")


def admin_auth(known: Credentials) -> dict[str, object]:
    """Keyword arguments of openstack.connect for the cloud's administrator."""
    return {
        "auth": {
            "auth_url": f"{openstack.KEYSTONE_URL}/v3",
            "username": "admin",
            "password": known["keystone_admin_password"],
            "project_name": "admin",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
        "region_name": layout.REGION,
        "interface": "internal",
        "cacert": openstack.CA_BUNDLE,
    }


def register(deployment: Deployment, known: Credentials) -> None:
    """Service accounts, services and endpoints (https, internal and public)."""
    services = {}
    for name, (kind, port, path) in {
        "nova": ("compute", "nova_api", "/v2.1"),
        "placement": ("placement", "placement_api", ""),
        "glance": ("image", "glance_api", ""),
        "neutron": ("network", "neutron_server", ""),
    }.items():
        endpoints = {
            interface: f"https://{host}:{layout.API_PORTS[port]}{path}"
            for interface, host in (("internal", layout.INTERNAL_NAME), ("public", layout.EXTERNAL_NAME))
        }
        services[name] = {"type": kind, "password": known[f"{name}_keystone_password"], "endpoints": endpoints}
    cloud_script(deployment, "register.py", {"auth": admin_auth(known), "region": layout.REGION, "services": services})


def cloud_script(deployment: Deployment, script: str, argument: object, *, timeout_s: float = 180) -> str:
    """Runs a script of node_scripts/ on the control node with the release's Python; returns its output."""
    python = str(deployment.release.venv(deployment.state) / "bin/python")
    text = (_SCRIPTS / script).read_text()
    # The argument holds passwords: it goes through a file descriptor, not the process list.
    wrapper = "import base64, json, sys; head, body = sys.stdin.read().split('\\n', 1); sys.argv = ['script', base64.b64decode(head).decode()]; exec(compile(body, sys.argv[0], 'exec'))"
    argument_line = base64.b64encode(json.dumps(argument).encode()).decode()
    done = deployment.run(
        CONTROL,
        [python, "-W", "ignore", "-c", wrapper],
        input=f"{argument_line}\n{text}",
        check=False,
        timeout_s=timeout_s,
    )
    if done.returncode:
        raise DeployError(f"{script} failed:\n{(done.stdout + done.stderr)[-1500:]}")
    return done.stdout


def _start_apis(deployment: Deployment) -> None:
    names = [
        "keystone",
        "neutron_server",
        "nova_api",
        "nova_metadata",
        "nova_conductor",
        "nova_scheduler",
        "glance_api",
        "placement_api",
        "nova_novncproxy",
        "keystone_ssh",
        "keystone_fernet",
    ]
    _start(deployment, CONTROL, names)
    deployment.say("API containers started")
    for service in ("keystone", "placement_api", "glance_api", "nova_api", "neutron_server"):
        wait_vip(deployment, service)
    deployment.say("all APIs answer at the VIP")


def wait_computes(deployment: Deployment, *, within_s: float = 120) -> None:
    """Waits until every nova-compute has registered its service."""
    known = credentials.load(deployment.state)
    cloud_script(
        deployment,
        "wait_computes.py",
        {"auth": admin_auth(known), "hosts": layout.GROUPS["compute"], "within_s": within_s},
    )


def _template_path(deployment: Deployment) -> Path:
    """The template that fits: same packages, same passwords, same server version, made in the same way."""
    digest = hashlib.sha256()
    digest.update(deployment.release.lock.read_bytes())
    digest.update(deployment.state.passwords.read_bytes())
    digest.update(deployment.state.versions.read_bytes())
    for maker in (_database, _bootstrap, register):
        digest.update(inspect.getsource(maker).encode())
    digest.update((_SCRIPTS / "register.py").read_bytes())
    return deployment.state.template / f"{deployment.release.name}-{digest.hexdigest()[:12]}"


def _save_template(deployment: Deployment, template: Path) -> None:
    """Keeps the freshly made databases and keys; taken cold, before any compute node has registered."""
    deployment.run(CONTROL, ["docker", "stop", "keystone", "mariadb"], timeout_s=90)
    temporary = template.with_name(template.name + ".new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    script = "set -e\n" + "".join(
        f"tar -c -C /var/lib/docker/volumes/{volume}/_data -f {temporary}/{volume}.tar .\n"
        for volume in ("mariadb", "keystone_fernet_tokens")
    )
    deployment.run(CONTROL, ["sh", "-c", script], timeout_s=120)
    for old in template.parent.glob(f"{deployment.release.name}-*"):
        if old != temporary:
            shutil.rmtree(old)
    temporary.replace(template)
    deployment.run(CONTROL, ["docker", "start", "mariadb", "keystone"])
    wait_command(
        deployment, ["docker", "exec", "mariadb", "mariadb-admin", "-S", "/run/mysqld/mysqld.sock", "ping"], within_s=60
    )
    deployment.say("database template kept for the next time")
