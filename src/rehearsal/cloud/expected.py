"""What a release expects: which containers, from which image, on which host. Pure functions over a table and a target.

The table is `expected.yml`: kolla's own rules. Tags come from the target's versions file, by the chain that OSISM itself
uses: variable of the service, else the OpenStack release. A rule over something that cannot be worked out is not taken
for a yes or a no: the container is then expected with a doubt, and every claim that it would decide is unknown.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from dataclasses import field
from importlib import resources
from typing import TYPE_CHECKING
from typing import Any

import jinja2
import jinja2.meta
import yaml
from jinja2.sandbox import SandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Collection
    from collections.abc import Mapping

    from rehearsal.cloud.target import Release
    from rehearsal.cloud.target import Target

KOLLA_LABEL = "kolla_version"
RELEASE_LABEL = "de.osism.release.openstack"
_MANAGERS_IMAGES = frozenset({"kolla-ansible", "openstackclient"})
"""Images of the manager that carry the release's label as well; only kolla's own images carry kolla's."""
_HEALTHCHECKS = "_enable_healthchecks"
_PINS_OF_ALL = ("openstack_release", "openstack_tag", "kolla_image_version")
_UNORDERED = (9999, 9)


@dataclass(frozen=True, slots=True)
class ExpectedContainer:
    """A container that should run on a host. `image` is the whole reference; `health`: it has a health check.

    `doubt`, if not empty, says why it is not known whether the container belongs there at all.
    """

    host: str
    container: str
    role: str
    group: str
    image: str
    health: bool
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class _Row:
    role: str
    container: str
    image: str
    variables: tuple[str, ...]
    groups: dict[str, str]
    within: str
    health: str
    rule: str
    number: str


class UnknownValueError(Exception):
    """A variable cannot be worked out; the message names it and says why."""


@functools.cache
def _table() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(resources.files("rehearsal.cloud").joinpath("expected.yml").read_text())
    return data


@functools.cache
def _rows() -> tuple[_Row, ...]:
    return tuple(_row(role, name, row) for role, rows in _table()["roles"].items() for name, row in rows.items())


def _row(role: str, name: str, row: list[Any]) -> _Row:
    padded: list[Any] = [*row, True, ""] if len(row) == 4 else [*row, ""]
    image, version, group, health, rule, number = padded[:6]
    groups = {group: True} if isinstance(group, str) else dict(group)
    within = str(groups.pop("within", ""))
    variables = tuple(f"kolla_{each}_version" for each in version.split("|"))
    rules = {each: str(condition) for each, condition in groups.items()}
    return _Row(role, name, image, variables, rules, within, str(health), str(rule), number)


@functools.cache
def _numbered() -> frozenset[str]:
    return frozenset(row.container for row in _rows() if row.number)


def stem(container: str) -> str:
    """Return the name without its number where kolla runs several of a kind: `ovn_sb_db_relay_2` is an `ovn_sb_db_relay`."""
    name, _, number = container.rpartition("_")
    return name if number.isdecimal() and name in _numbered() else container


def container_names() -> set[str]:
    """Return the names of all containers that are known; of those that are numbered also the first one's."""
    return {row.container for row in _rows()} | {f"{name}_1" for name in _numbered()}


def roles() -> tuple[str, ...]:
    """Return the roles that are known, in the table's order."""
    return tuple(_table()["roles"])


def containers_of(role: str) -> tuple[str, ...]:
    """Return the names of a role's containers, without numbers."""
    return tuple(row.container for row in _rows() if row.role == role)


@functools.cache
def pins() -> frozenset[str]:
    """Return the variables that pin a container of kolla's to a tag or an image; other `_tag`s are none of them."""
    images = {
        name for row in _rows() for name in (row.container, row.role.replace("-", "_"), *map(_service, row.variables))
    }
    found = {f"{name}_{kind}" for name in images for kind in ("tag", "image_full")}
    return frozenset(found | {name for row in _rows() for name in row.variables} | set(_PINS_OF_ALL))


def _service(variable: str) -> str:
    return variable.removeprefix("kolla_").removesuffix("_version")


def is_leftover(container: str) -> bool:
    """Return whether this is one of the one-shot containers that kolla leaves behind."""
    return any(re.fullmatch(pattern, container) for pattern in _table()["leftovers"])


def is_kollas(image: str, labels: Mapping[str, Any]) -> bool:
    """Return whether a container was made from an image of kolla's, wherever that lies: its labels say so.

    A mirror may have any address and any path, so neither counts. The manager's own images are others.
    """
    own_name = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    return KOLLA_LABEL in labels or (RELEASE_LABEL in labels and own_name not in _MANAGERS_IMAGES)


def release_key(release: str) -> tuple[int, ...]:
    """Return what orders releases by time: 2024.2 before 2025.1; an unknown form comes last."""
    parts = re.fullmatch(r"(\d{4})\.(\d)", release)
    return (int(parts[1]), int(parts[2])) if parts else _UNORDERED


# --- rules ---------------------------------------------------------------------------------------------------------


def _truth(value: Any) -> bool:
    return str(value).strip().lower() in {"yes", "true", "on", "1", "y", "t"}


_EXPRESSIONS = SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
_EXPRESSIONS.filters["bool"] = _truth


@functools.cache
def _compiled(rule: str) -> tuple[Callable[..., Any], frozenset[str]]:
    names = jinja2.meta.find_undeclared_variables(_EXPRESSIONS.parse("{{ " + rule + " }}"))
    return _EXPRESSIONS.compile_expression(rule, undefined_to_none=False), frozenset(names)


def decides(variable: str) -> bool:
    """Return whether a variable of kolla's decides which containers there are, whether they have health checks, or their tag."""
    named = variable in _table()["variables"] or variable in _without_default() or variable in pins()
    return named or variable.startswith("enable_") or variable.endswith(_HEALTHCHECKS)


@functools.cache
def _without_default() -> frozenset[str]:
    rules = [rule for row in _rows() for rule in (row.rule, row.health, row.number, *row.groups.values()) if rule]
    rules += map(str, _table()["variables"].values())
    named = frozenset(name for rule in rules for name in _compiled(rule)[1])
    return named - set(_table()["variables"]) - {"since", "hosts"}


@dataclass(slots=True)
class Rules:
    """Kolla's variables for one target and release, each worked out when it is needed."""

    target: Target
    release: str
    known: dict[str, Any] = field(default_factory=dict)

    def value(self, name: str) -> Any:
        """Return a variable: as the configuration says, else kolla's and OSISM's default. Raises UnknownValueError."""
        if name not in self.known:
            try:
                self.known[name] = self._value(name)
            except UnknownValueError as unknown:
                self.known[name] = unknown
        if isinstance(self.known[name], UnknownValueError):
            raise self.known[name]
        return self.known[name]

    def _value(self, name: str) -> Any:
        target = self.target
        if name.startswith("enable_") and name.removeprefix("enable_") in target.enabled:
            return target.enabled[name.removeprefix("enable_")]
        if name in target.settings:
            value = target.settings[name]
            if value is None:
                raise UnknownValueError(f"{name} cannot be worked out from the configuration")
        elif name in _table()["variables"]:
            value = self.result(str(_table()["variables"][name]))
        else:
            raise UnknownValueError(f"{name} is not set to a value that is known here")
        return _truth(value) if "enable_" in name else value

    def result(self, rule: str) -> Any:
        """Return what a rule comes to. Raises UnknownValueError if that depends on what is not known."""
        if rule in {"True", "False"}:
            return rule == "True"
        expression, names = _compiled(rule)
        values: dict[str, Any] = {"since": self._since, "hosts": self._hosts}
        unknown: list[str] = []
        for name in sorted(names - values.keys()):
            try:
                values[name] = self.value(name)
            except UnknownValueError as error:
                unknown.append(str(error))
        try:
            found = expression(**values)
            if not isinstance(found, jinja2.Undefined):  # a bare name comes back as it is
                return found
        except jinja2.UndefinedError:
            pass
        except (TypeError, ValueError, ArithmeticError, jinja2.TemplateError):
            given = ", ".join(
                f"{name}: {values[name]!r:.40}" for name in sorted(names & values.keys() - {"since", "hosts"})
            )
            raise UnknownValueError(f"kolla's rule `{rule}` has no result with {given}") from None
        raise UnknownValueError("; ".join(dict.fromkeys(unknown)))

    def _since(self, release: str) -> bool:
        return release_key(self.release) >= release_key(release)

    def _hosts(self, group: str) -> int:
        return len(self.target.in_group(group))

    def verdict(self, *rules: str) -> tuple[bool, str]:
        """Return whether all rules hold, and a doubt (then the first is True) if that is not known; one no decides."""
        doubt = ""
        for rule in rules:
            try:
                if not self.result(rule):
                    return False, ""
            except UnknownValueError as unknown:
                doubt = doubt or str(unknown)
        return True, doubt


# --- containers ----------------------------------------------------------------------------------------------------


def expected_containers(target: Target, release: Release | None = None) -> tuple[ExpectedContainer, ...]:
    """Return every container that the release expects on every host, sorted by host and name.

    `release` defaults to what the target claims.
    """
    claimed = release or target.release
    rules = Rules(target, claimed.openstack)
    found: dict[tuple[str, str], ExpectedContainer] = {}
    for row in _rows():
        for each in _of_row(row, target, claimed, rules):
            earlier = found.get((each.host, each.container))
            if earlier is None or (earlier.doubt and not each.doubt):
                found[each.host, each.container] = each
    return tuple(found[place] for place in sorted(found))


def is_ruled_out(name: str, target: Target) -> bool:
    """Return whether the configuration wants this container, or every container of this role, nowhere.

    Which hosts there are does not matter, and a doubt rules nothing out. KeyError for a name that is not known.
    """
    rows = [row for row in _rows() if name in {row.role, row.container}]
    if not rows:
        raise KeyError(name)
    rules = Rules(target, target.release.openstack)
    return not any(
        rules.verdict(*_switches(row))[0] and any(rules.verdict(rule)[0] for rule in row.groups.values())
        for row in rows
    )


def _switches(row: _Row) -> list[str]:
    own = f"enable_{row.role.replace('-', '_')}"
    return [own, row.rule] if own in _table()["variables"] else [row.rule]


def _of_row(row: _Row, target: Target, claimed: Release, rules: Rules) -> list[ExpectedContainer]:
    expected, doubt = rules.verdict(*_switches(row))
    if not expected:
        return []
    names, doubt_of_number = _names(row, rules)
    image, health = _image(row, target, claimed), _has_health_check(row, rules)
    found = []
    for group, rule in row.groups.items():
        counts, doubt_of_group = rules.verdict(rule)
        if not counts:
            continue
        reason = doubt or doubt_of_group or doubt_of_number
        told = f"it is not known whether {row.container} belongs here: {reason}" if reason else ""
        found += [
            ExpectedContainer(host.name, name, row.role, group, image, health, told)
            for host in target.in_group(group)
            for name in names
            if not row.within or row.within in host.groups
        ]
    return sorted(found, key=lambda each: bool(each.doubt))


def _names(row: _Row, rules: Rules) -> tuple[list[str], str]:
    if not row.number:
        return [row.container], ""
    try:
        number = int(rules.result(row.number))
    except UnknownValueError as unknown:
        return [f"{row.container}_1"], str(unknown)
    except (TypeError, ValueError):
        return [f"{row.container}_1"], f"{row.number} is no number"
    return [f"{row.container}_{at}" for at in range(1, number + 1)], ""


def _has_health_check(row: _Row, rules: Rules) -> bool:
    """Without an answer none is demanded; one that the container has must be healthy either way."""
    switch = f"{row.container}{_HEALTHCHECKS}"
    rule = switch if switch in rules.target.settings else "enable_container_healthchecks"
    has, doubt = rules.verdict(row.health, rule)
    return has and not doubt


def _image(row: _Row, target: Target, claimed: Release) -> str:
    """Return the image's reference; a pin of the configuration comes over the release's own tag, as in OSISM."""
    whole = target.settings.get(f"{row.container}_image_full")
    if whole and isinstance(whole, str):
        return whole
    usual = reference(claimed, row.image, *row.variables)
    pinned = (target.settings.get(f"{name}_tag") for name in (row.container, *map(_service, row.variables)))
    tag = next((str(each) for each in pinned if each not in {None, ""}), "")
    return f"{usual.rpartition(':')[0]}:{tag}" if tag else usual


def reference(release: Release, image: str, *variables: str) -> str:
    """Return the whole image reference: registry/namespace/image:tag; the image's name follows the release."""
    if image == "prometheus-server" and release_key(release.openstack) < release_key("2025.1"):
        image = "prometheus-v2-server"  # osism/defaults gates this name by release
    named = next((release.versions[name] for name in variables if release.versions.get(name)), "")
    tag = named or release.versions.get("openstack_version") or release.openstack
    prefix = f"{release.registry}/" if release.registry else ""
    return f"{prefix}{release.namespace}/{image}:{tag}"


# --- what is not known ---------------------------------------------------------------------------------------------


def unknown_services(target: Target) -> tuple[str, ...]:
    """Return the services that the configuration switches on and of which the table knows nothing, sorted."""
    known = {name.removeprefix("enable_") for name in _table()["variables"]} | set(_table()["features"])
    families = {role.replace("-", "_") for role in roles()} | {
        stem(name).partition("_")[0] for name in container_names()
    }
    return tuple(
        flag
        for flag, on in sorted(target.enabled.items())
        if on and flag not in known and not any(flag == each or flag.startswith(f"{each}_") for each in families)
    )


def service_of(container: str, services: Collection[str]) -> str:
    """Return which of these services a container belongs to by its name, or an empty string."""
    found = [each for each in services if container == each or container.startswith(f"{each}_")]
    return max(found, key=len, default="")


def doubts(target: Target) -> tuple[str, ...]:
    """Return in sentences what of the expectation is not known: variables without a value, services without a row."""
    by_reason: dict[str, set[str]] = {}
    for each in expected_containers(target):
        if each.doubt:
            by_reason.setdefault(each.doubt.partition(": ")[2], set()).add(each.container)
    told = [
        f"{reason}, so it is not known whether these containers belong here: {', '.join(sorted(names))}."
        for reason, names in sorted(by_reason.items())
    ]
    rules = Rules(target, target.release.openstack)
    _, doubt = rules.verdict("enable_container_healthchecks")
    told += [f"{doubt}, so no container is expected to have a health check."] if doubt else []
    told += [
        f"enable_{service} is on, but rehearse does not know which containers {service} consists of: they are not checked."
        for service in unknown_services(target)
    ]
    return tuple(told)
