"""Discovery: reads what the operator already has, and collects every problem instead of stopping at the first."""

from __future__ import annotations

import os
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.cloud import clouds
from rehearsal.cloud import expected
from rehearsal.cloud import files
from rehearsal.cloud import inventory
from rehearsal.cloud import reconciled
from rehearsal.cloud import secrets
from rehearsal.cloud import sshaccess
from rehearsal.cloud import trusted
from rehearsal.cloud import whereabouts
from rehearsal.cloud.hostvars import HostVariables
from rehearsal.cloud.releases import read_release
from rehearsal.cloud.target import Host
from rehearsal.cloud.target import Problem
from rehearsal.cloud.target import Target
from rehearsal.cloud.target import Vip
from rehearsal.cloud.variables import Variables
from rehearsal.cloud.variables import printable
from rehearsal.cloud.variables import truth
from rehearsal.outside.redact import redact_text

if TYPE_CHECKING:
    from rehearsal.cloud.options import Options
    from rehearsal.cloud.target import Release

DEFAULT_USER = "dragon"
NEEDED_GROUPS = ("manager", "control", "compute")
_DOUBT_REMEDY = "Write its value as it is; what is not known is neither passed nor failed."
_GENERIC_TOO = ("control", "compute", "network", "storage", "monitoring", "manager")
_SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True)
class _Repository:
    """The variables by the layer in which OSISM and kolla read them.

    `environments` are extra variables for everything, `kolla` what counts for kolla's plays, `written` the same as the
    repository alone has it: the file to edit is there, also where the manager's containers were asked.
    """

    environments: Variables
    manager: Variables
    kolla: Variables
    written: Variables


def discover(options: Options) -> Target:
    """Describe the cloud under test. Never raises for a bad configuration: `Target.problems` says what is wrong."""
    problems: list[Problem] = []
    root = options.configuration
    read = inventory.read(root / "inventory")
    problems += read.problems
    effective = reconciled.ask() if options.containers else None
    if effective is not None:
        problems += effective.problems
        problems += reconciled.compare(read.hosts(), effective.hosts(), str(root / "inventory"))
    known = effective or read
    own = HostVariables(read, root / "inventory", str(root / "inventory"), problems)
    of_hosts = own if effective is None else _of_hosts(effective, root, problems)
    names, left_out = _part_of_the_cloud(known)
    groups = {name: known.members(name) for name in sorted(known.groups)}
    _check_groups(groups, names, root, problems)
    repository = _read_repository(root, of_hosts, own, _spokesman(groups, names))
    for variables in (repository.environments, repository.manager, repository.written):
        problems += variables.problems
    operator_user = _operator_user(repository, root, problems)
    hosts = _hosts(root, names, groups, _Layers(of_hosts, repository.environments, operator_user), problems)
    vips = _vips(repository.kolla, root, problems)
    release = read_release(
        repository.manager, repository.kolla, options.interface, problems, containers=options.containers
    )
    _check_namespaces(hosts, of_hosts, repository, release, problems)
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
    if not options.online:
        endpoints = whereabouts.from_ports(vips, enabled)
    else:
        endpoints = whereabouts.from_keystone(cloud, problems) if cloud.auth_url else ()
    target = Target(
        configuration=str(root),
        cloud=cloud.name,
        clouds_file=cloud.clouds_file,
        secure_file=cloud.secure_file,
        cacert=cloud.cacert or _cacert(repository.kolla),
        operator_user=operator_user,
        operator_key=_operator_key(options, problems),
        hosts=hosts,
        groups={name: members for name, members in groups.items() if members},
        vips=vips,
        endpoints=endpoints,
        release=release,
        enabled=enabled,
        settings=settings,
        namespace_file=_namespace_file(repository, root),
        left_out=left_out,
        auth_url=cloud.auth_url,
        api_ports=trusted.ports_of({name: repository.kolla.resolve(name) for name in repository.kolla.values}),
        allowed_endpoints=trusted.checked(options.allowed_endpoints, problems),
    )
    # What comes from keystone is not the configuration: a token goes only to addresses that the operator wrote down.
    endpoints = trusted.sorted_out(endpoints, trusted.trust_of(target), problems)
    if options.online:
        whereabouts.check_against_vips(endpoints, vips, target.allowed_endpoints, problems)
    where = str(root / "environments" / "kolla" / "configuration.yml")
    told = [Problem(each, where, _DOUBT_REMEDY, severity="warning") for each in expected.doubts(target)]
    return replace(target, endpoints=endpoints, problems=_unique([*problems, *told]))


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
    """Return each problem once, fit for a terminal: what a file says may hold escapes, and a URL a password."""
    return tuple(
        dict.fromkeys(
            replace(each, sentence=redact_text(printable(each.sentence)), file=printable(each.file))
            for each in problems
        )
    )


def _of_hosts(effective: inventory.Inventory, root: Path, problems: list[Problem]) -> HostVariables:
    """Return the variables as the reconciled inventory has them, or, if it has hosts and groups alone, the repository."""
    says_them = any(effective.host_variables.values()) or any(each.variables for each in effective.groups.values())
    return HostVariables(effective, None if says_them else root / "inventory", reconciled.SOURCE, problems)


def _part_of_the_cloud(known: inventory.Inventory) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the hosts that OSISM runs the cloud on, and the others: switches, spare servers and the like.

    Part of the cloud is what is in a group that OSISM's own inventory knows; `ungrouped` and a site's own groups are not.
    """
    brought = inventory.default_groups().groups
    ours = {*brought, *(child for group in brought.values() for child in group.children)}
    inside = {host for group in ours for host in known.members(group)}
    hosts = known.hosts()
    return tuple(host for host in hosts if host in inside), tuple(host for host in hosts if host not in inside)


def _check_groups(
    groups: dict[str, tuple[str, ...]], names: tuple[str, ...], root: Path, problems: list[Problem]
) -> None:
    roles = str(root / "inventory" / "20-roles")
    if not names:
        if not any(problem.severity == "error" for problem in problems):
            problems.append(
                Problem(
                    "The inventory has no host of the cloud.", roles,
                    "Give the groups their hosts; where they come from NetBox, run this where the manager's containers can be "
                    "asked (without --files-only).",
                )
            )  # fmt: skip
        return
    problems.extend(
        Problem(f"Group {group} has no host.", roles, f"Give [{group}] its hosts.")
        for group in NEEDED_GROUPS
        if not groups.get(group)
    )
    strangers = sorted(
        {host for group in _GENERIC_TOO for host in groups.get(group, ())} - {*groups.get("generic", ())}
    )
    if strangers:
        more = f" and {len(strangers) - 10} more" if len(strangers) > 10 else ""
        problems.append(
            Problem(
                f"{', '.join(strangers[:10])}{more} {'is' if len(strangers) == 1 else 'are'} not in group generic; "
                "OSISM runs common (cron, kolla_toolbox, fluentd) and much else on generic only.",
                roles,
                "Put the host into [generic] too.",
                severity="warning",
            )
        )


def _spokesman(groups: dict[str, tuple[str, ...]], names: tuple[str, ...]) -> str:
    """Return the host whose variables stand for the cloud where one value is wanted: the first control node."""
    candidates = (host for group in ("control", "manager", "generic") for host in groups.get(group, ()))
    return next((host for host in candidates if host in names), next(iter(names), ""))


def _read_repository(root: Path, of_hosts: HostVariables, own: HostVariables, host: str) -> _Repository:
    environments = Variables()
    environments.layer(root / "environments" / "configuration.yml")
    manager = Variables(dict(environments.values), dict(environments.files), hidden=list(environments.hidden))
    manager.layer(root / "environments" / "manager" / "configuration.yml", required=True, vault="error")
    extra = Variables(dict(environments.values), dict(environments.files), hidden=list(environments.hidden))
    extra.layer(root / "environments" / "kolla" / "images.yml")
    extra.layer(root / "environments" / "kolla" / "configuration.yml", required=True, vault="error")
    kolla, written = (each.of(host) if host else each.of_all() for each in (of_hosts, own))
    for variables in (kolla, written):
        variables.over(extra)
    written.problems = extra.problems
    return _Repository(environments, manager, kolla, written)


def _operator_user(repository: _Repository, root: Path, problems: list[Problem]) -> str:
    kolla = repository.kolla
    file = kolla.file("operator_user") or str(root / "environments" / "configuration.yml")
    if obstacle := kolla.obstacle("operator_user"):
        problems.append(Problem(f"operator_user {obstacle}.", file, "Write the name of the operator's user."))
    return sshaccess.user_or_default(kolla.text("operator_user"), DEFAULT_USER, file, problems)


def _namespace_file(repository: _Repository, root: Path) -> str:
    """Return the file in which a plan sets docker_namespace; empty if there is none that could be edited.

    Where nobody sets it, or not in YAML, that is kolla's own configuration: what stands there comes over the rest.
    """
    home = root / "environments" / "kolla" / "configuration.yml"
    file = repository.written.file("docker_namespace")
    if file and Path(file).suffix in {".yml", ".yaml"} and Path(file).name != "images.yml":
        return file
    return "" if str(home) in repository.written.hidden or not files.is_file(home) else str(home)


def _check_namespaces(
    hosts: tuple[Host, ...], of_hosts: HostVariables, repository: _Repository, release: Release, problems: list[Problem]
) -> None:
    """One namespace is expected for all hosts; a host that has another one is told."""
    if "environments" in Path(repository.kolla.file("docker_namespace")).parts[-3:]:
        return  # an extra variable: it is the same for all
    extra = {"openstack_version": release.openstack}
    others: dict[str, list[str]] = {}
    for host in hosts:
        found = of_hosts.of(host.name).text("docker_namespace", extra)
        if found and found != release.namespace:
            others.setdefault(found, []).append(host.name)
    for found, names in sorted(others.items()):
        problems.append(
            Problem(
                f"docker_namespace is {found} on {', '.join(names[:10])}, and {release.namespace} elsewhere.",
                of_hosts.of(names[0]).file("docker_namespace"),
                "Set it once for all hosts: rehearse expects all images in one namespace.",
                severity="warning",
            )
        )


@dataclass(frozen=True, slots=True)
class _Layers:
    """What a host's connection is worked out from."""

    of_hosts: HostVariables
    environments: Variables
    operator_user: str


def _hosts(
    root: Path, names: tuple[str, ...], groups: dict[str, tuple[str, ...]], layers: _Layers, problems: list[Problem]
) -> tuple[Host, ...]:
    membership: dict[str, list[str]] = {}
    for group, members in groups.items():
        for name in members:
            membership.setdefault(name, []).append(group)
    hosts: list[Host] = []
    holders: dict[str, str] = {}
    for name in names:
        variables = layers.of_hosts.of(name)
        variables.over(layers.environments)
        where = str(root / "inventory" / "host_vars" / f"{name}.yml")
        user = "" if variables.text("operator_user") in {"", layers.operator_user} else variables.text("operator_user")
        found = sshaccess.connection_of(name, variables, "", problems, where)
        user = found.user or sshaccess.user_or_default(user, "", where, problems)
        holder = holders.setdefault(f"{found.address} {found.port} {found.jump}", name)
        if holder != name:
            problems.append(
                Problem(
                    f"Hosts {holder} and {name} have the same address {found.address}.",
                    str(root / "inventory" / "host_vars"),
                    "Correct ansible_host of one of them.",
                )
            )
        own_user = "" if user == layers.operator_user else user
        hosts.append(Host(name, found.address, tuple(membership.get(name, ())), own_user, found.port, found.jump))
    return tuple(hosts)


def _vips(kolla: Variables, root: Path, problems: list[Problem]) -> tuple[Vip, ...]:
    file = str(root / "environments" / "kolla" / "configuration.yml")
    before = len(problems)
    internal = _vip_address(kolla, "kolla_internal_vip_address", file, problems)
    external = _vip_address(kolla, "kolla_external_vip_address", file, problems) or internal
    if not internal:
        if kolla.hidden and not any(each.severity == "error" for each in problems):
            sentence = f"kolla_internal_vip_address is in no file that can be read ({kolla.hidden[0]} cannot be)."
            problems.append(Problem(sentence, file, "Set it there, or give a decrypted copy: --configuration DIR."))
        if len(problems) == before and not kolla.hidden:
            problems.append(
                Problem("kolla_internal_vip_address is not set.", file, "Set it to the internal VIP of the cloud.")
            )
        return ()
    internal_name = _vip_name(kolla, "kolla_internal_fqdn", internal, problems)
    external_name = _vip_name(
        kolla, "kolla_external_fqdn", internal_name if external == internal else external, problems
    )
    flags = {"kolla_enable_tls_internal": False, "kolla_enable_tls_external": True}
    for name, default in flags.items():
        if obstacle := kolla.obstacle(name):
            problems.append(Problem(f"{name} {obstacle}.", kolla.file(name) or file, "Write yes or no."))
        flags[name] = kolla.flag(name, default=default)
    return (
        Vip("internal", internal, internal_name, flags["kolla_enable_tls_internal"]),
        Vip("external", external, external_name, flags["kolla_enable_tls_external"]),
    )


def _vip_address(kolla: Variables, name: str, file: str, problems: list[Problem]) -> str:
    text, obstacle = kolla.text(name), kolla.obstacle(name)
    address = sshaccess.address_of(text)
    if obstacle or (text and not address):
        problems.append(
            Problem(
                f"{name} {obstacle or f'is {text[:80]!r}, which is no IP address'}.",
                kolla.file(name) or file,
                "Write the address as it is.",
            )
        )
    return address


def _vip_name(kolla: Variables, name: str, address: str, problems: list[Problem]) -> str:
    text, obstacle = kolla.text(name), kolla.obstacle(name)
    bare = sshaccess.address_of(text) or text
    if obstacle or (text and not sshaccess.is_host_name(bare)):
        problems.append(
            Problem(
                f"{name} {obstacle or f'is {text[:80]!r}, which is no name of a host'}.", kolla.file(name),
                "Write the name as it is.",
            )
        )  # fmt: skip
        return address
    return bare or address


def _cacert(kolla: Variables) -> str:
    return next((path for path in (kolla.text("openstack_cacert"), _SYSTEM_CA) if path and files.is_file(path)), "")


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
        if files.is_file(path) and os.access(path, os.R_OK):
            return str(path)
    problems.append(
        Problem(
            "The operator's SSH key was not found or cannot be read.",
            ", ".join(str(path) for path in candidates[:3]),
            "Give it with --key FILE or REHEARSE_KEY; the hosts must accept it for the operator's user.",
        )
    )
    return ""
