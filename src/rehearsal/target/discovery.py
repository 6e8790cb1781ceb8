"""Discovery: reads what the operator already has, and collects every problem instead of stopping at the first."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from rehearsal import expected
from rehearsal.target import catalogue
from rehearsal.target import clouds
from rehearsal.target import inventory
from rehearsal.target import reconciled
from rehearsal.target import secrets
from rehearsal.target import trusted
from rehearsal.target.model import Host
from rehearsal.target.model import Problem
from rehearsal.target.model import Target
from rehearsal.target.model import Vip
from rehearsal.target.releases import read_release
from rehearsal.target.variables import Variables
from rehearsal.target.variables import truth

if TYPE_CHECKING:
    from rehearsal.target.options import Options

DEFAULT_USER = "dragon"
NEEDED_GROUPS = ("manager", "control", "compute")
_DOUBT_REMEDY = "Write its value as it is; what is not known is neither passed nor failed."
_SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True)
class _Repository:
    """The repository's variables by the layer in which OSISM and kolla read them."""

    generic: Variables
    manager: Variables
    kolla: Variables


def discover(options: Options) -> Target:
    """Describe the cloud under test. Never raises for a bad configuration: `Target.problems` says what is wrong."""
    problems: list[Problem] = []
    root = options.configuration
    read = inventory.read(root / "inventory")
    problems += read.problems
    repository = _read_repository(root)
    for variables in (repository.generic, repository.manager, repository.kolla):
        problems += variables.problems
    effective = reconciled.ask() if options.containers else None
    if effective is not None:
        problems += reconciled.compare(read.hosts(), effective.hosts(), str(root / "inventory"))
    hosts = _hosts(root, read, effective or read, problems)
    groups = {name: (effective or read).members(name) for name in sorted((effective or read).groups)}
    for group in NEEDED_GROUPS:
        if read.groups and not groups.get(group):
            problems.append(
                Problem(
                    f"Group {group} has no host.", str(root / "inventory" / "20-roles"), f"Give [{group}] its hosts."
                )
            )
    vips = _vips(repository.kolla, root, problems)
    release = read_release(
        repository.manager, repository.kolla, options.interface, problems, containers=options.containers
    )
    cloud = clouds.find_cloud(options, problems)
    secrets.remember_secrets(*secrets.files_of(root), cloud.clouds_file, cloud.secure_file)
    enabled = {
        name.removeprefix("enable_"): truth(value)
        for name in sorted(repository.kolla.values)
        if name.startswith("enable_")
        and (value := repository.kolla.resolve(name, {"openstack_version": release.openstack})) is not None
    }
    settings = _settings(
        repository.kolla, enabled, {**release.versions, "openstack_version": release.openstack, "groups": groups}
    )
    endpoints = catalogue.from_keystone(cloud, problems) if options.online and cloud.auth_url else ()
    if not endpoints:
        endpoints = catalogue.from_ports(vips, enabled)
    target = Target(
        configuration=str(root),
        cloud=cloud.name,
        clouds_file=cloud.clouds_file,
        secure_file=cloud.secure_file,
        cacert=cloud.cacert or _cacert(repository.kolla),
        operator_user=str(repository.generic.resolve("operator_user") or DEFAULT_USER),
        operator_key=_operator_key(options, problems),
        hosts=hosts,
        groups={name: members for name, members in groups.items() if members},
        vips=vips,
        endpoints=endpoints,
        release=release,
        enabled=enabled,
        settings=settings,
        namespace_file=repository.kolla.file("docker_namespace"),
        auth_url=cloud.auth_url,
        api_ports=trusted.ports_of({name: repository.kolla.resolve(name) for name in repository.kolla.values}),
        allowed_endpoints=trusted.checked(options.allowed_endpoints, problems),
    )
    # What comes from keystone is not the configuration: a token goes only to addresses that the operator wrote down.
    endpoints = trusted.sorted_out(endpoints, trusted.trust_of(target), problems)
    where = str(root / "environments" / "kolla" / "configuration.yml")
    told = [Problem(each, where, _DOUBT_REMEDY, severity="warning") for each in expected.doubts(target)]
    return dataclasses.replace(target, endpoints=endpoints, problems=_unique([*problems, *told]))


def _settings(kolla: Variables, enabled: dict[str, bool], extra: dict[str, Any]) -> dict[str, bool | int | str | None]:
    """Return what is set and decides which containers there are, besides the switches; None: it cannot be worked out."""
    found: dict[str, bool | int | str | None] = {}
    for name in sorted(filter(expected.decides, kolla.values)):
        if name.removeprefix("enable_") in enabled and name.startswith("enable_"):
            continue
        if kolla.values[name] is None:
            continue  # it is written without a value
        if name in expected.pins() and not Path(kolla.file(name)).is_file():
            continue  # OSISM's own, which follows the release
        value = kolla.resolve(name, extra)
        found[name] = value if isinstance(value, bool | int | str) else None
    return found


def _unique(problems: list[Problem]) -> tuple[Problem, ...]:
    return tuple(dict.fromkeys(problems))


def _read_repository(root: Path) -> _Repository:
    environments = root / "environments"
    generic = Variables()
    group_vars = root / "inventory" / "group_vars"
    for path in _all_files(group_vars):
        generic.layer(path)
    generic.layer(environments / "configuration.yml")
    manager = Variables()
    manager.layer(environments / "manager" / "configuration.yml", required=True)
    kolla = Variables(dict(generic.values), dict(generic.files))
    kolla.layer(environments / "kolla" / "images.yml")
    kolla.layer(environments / "kolla" / "configuration.yml", required=True)
    return _Repository(generic, manager, kolla)


def _all_files(group_vars: Path) -> list[Path]:
    """Return the variable files that apply to all hosts: `all.yml`, or everything in `all/`, in Ansible's order."""
    single = [group_vars / name for name in ("all", "all.yml", "all.yaml") if (group_vars / name).is_file()]
    many = sorted((group_vars / "all").glob("*.y*ml")) if (group_vars / "all").is_dir() else []
    return single + many


def _host_files(root: Path, name: str) -> list[Path]:
    directory = root / "inventory" / "host_vars"
    single = [
        directory / f"{name}{suffix}" for suffix in (".yml", ".yaml") if (directory / f"{name}{suffix}").is_file()
    ]
    many = sorted((directory / name).rglob("*.y*ml")) if (directory / name).is_dir() else []
    return single + many


def _hosts(
    root: Path, read: inventory.Inventory, effective: inventory.Inventory, problems: list[Problem]
) -> tuple[Host, ...]:
    membership: dict[str, list[str]] = {}
    for group in sorted(effective.groups):
        for name in effective.members(group):
            membership.setdefault(name, []).append(group)
    hosts: list[Host] = []
    addresses: dict[str, str] = {}
    for name in read.hosts():
        variables = Variables()
        for path in _host_files(root, name):
            variables.layer(path)
        problems += variables.problems
        given: dict[str, Any] = dict(read.host_variables.get(name, {}))
        address = variables.resolve("ansible_host", given) or given.get("ansible_host") or ""
        if not address:
            problems.append(
                Problem(
                    f"Host {name} has no ansible_host; its name is used as its address.",
                    str(root / "inventory" / "host_vars" / f"{name}.yml"),
                    "Set ansible_host.",
                    severity="warning",
                )
            )
        elif address in addresses:
            problems.append(
                Problem(
                    f"Hosts {addresses[address]} and {name} have the same address {address}.",
                    str(root / "inventory" / "host_vars"),
                    "Correct ansible_host of one of them.",
                )
            )
        addresses[address or name] = name
        hosts.append(Host(name, str(address or name), tuple(membership.get(name, ()))))
    return tuple(hosts)


def _vips(kolla: Variables, root: Path, problems: list[Problem]) -> tuple[Vip, ...]:
    file = str(root / "environments" / "kolla" / "configuration.yml")
    internal = str(kolla.resolve("kolla_internal_vip_address") or "")
    external = str(kolla.resolve("kolla_external_vip_address") or internal)
    if not internal:
        problems.append(
            Problem("kolla_internal_vip_address is not set.", file, "Set it to the internal VIP of the cloud.")
        )
        return ()
    internal_name = str(kolla.resolve("kolla_internal_fqdn") or internal)
    external_name = str(kolla.resolve("kolla_external_fqdn") or (internal_name if external == internal else external))
    return (
        Vip("internal", internal, internal_name, kolla.flag("kolla_enable_tls_internal", default=False)),
        Vip("external", external, external_name, kolla.flag("kolla_enable_tls_external", default=True)),
    )


def _cacert(kolla: Variables) -> str:
    named = str(kolla.resolve("openstack_cacert") or "")
    return next((path for path in (named, _SYSTEM_CA) if path and Path(path).is_file()), "")


def _operator_key(options: Options, problems: list[Problem]) -> str:
    if options.key:
        candidates = [options.key]
    else:
        candidates = [
            Path("/opt/ansible/secrets/id_rsa.operator"),
            Path("/ansible/secrets/id_rsa.operator"),
            options.configuration / "environments" / "secrets" / "id_rsa.operator",
            Path.home() / ".ssh" / "id_rsa.operator",
            Path.home() / ".ssh" / "id_rsa",
            Path.home() / ".ssh" / "id_ed25519",
            Path(f"/home/{DEFAULT_USER}/.ssh/id_rsa"),
        ]
    for path in candidates:
        try:
            with path.open("rb"):
                return str(path)
        except OSError:
            continue
    problems.append(
        Problem(
            "The operator's SSH key was not found or cannot be read.",
            ", ".join(str(path) for path in candidates[:3]),
            "Give it with --key FILE or REHEARSE_KEY; the hosts must accept it for the operator's user.",
        )
    )
    return ""
