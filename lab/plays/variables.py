"""Variables of a play in OSISM's order of precedence, templates resolved.

Later wins: the inventory's ``group_vars/all`` (file by file, in the order of their names), the other
``group_vars``, ``host_vars``; then the files that the run script passes as extra variables; then the
``-e`` of the command line. A leftover tag in ``environments/kolla/images.yml`` therefore beats the
release, exactly as it does on a real manager.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import jinja2
import yaml

if TYPE_CHECKING:
    from pathlib import Path

#: Files of the configuration repository that ``/run.sh`` passes as extra variables; later wins.
EXTRA_VARIABLE_FILES = (
    "environments/configuration.yml",
    "environments/secrets.yml",
    "environments/kolla/secrets.yml",
    "environments/kolla/images.yml",
    "environments/kolla/configuration.yml",
)


class VariableError(ValueError):
    """A variable or a file of variables that cannot be used; the message names file or variable."""


def _load(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise VariableError(f"{path} is no valid YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise VariableError(f"{path} must hold variables, one 'name: value' a line")
    return values


def _files(directory: Path, name: str) -> list[Path]:
    """Files that Ansible reads for one group or host: ``name``, ``name.yml`` and all of ``name/``."""
    found = [path for path in (directory / name, directory / f"{name}.yml") if path.is_file()]
    below = directory / name
    if below.is_dir():
        found += sorted(path for path in below.rglob("*") if path.is_file() and not path.name.startswith("."))
    return found


@dataclass(frozen=True, slots=True)
class Variables(Mapping[str, Any]):
    """Merged variables; templates are resolved when a value is asked for."""

    raw: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self._resolve(self.raw[name], (name,))

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def render(self, text: str) -> str:
        """Resolve a template that may name any variable.

        Raises:
            VariableError: a variable is not defined, or is defined by itself.

        """
        return str(self._resolve(text, ()))

    def flag(self, name: str, *, default: bool) -> bool:
        """Read a variable as Ansible's ``bool`` filter does."""
        if name not in self.raw:
            return default
        return str(self[name]).strip().lower() in {"yes", "true", "on", "1", "y", "t"}

    def _resolve(self, value: Any, above: tuple[str, ...]) -> Any:
        if isinstance(value, list):
            return [self._resolve(item, above) for item in value]
        if isinstance(value, dict):
            return {key: self._resolve(item, above) for key, item in value.items()}
        if not isinstance(value, str) or "{{" not in value:
            return value
        if len(above) > 40:
            raise VariableError(f"The variable {above[0]} is defined by itself: {value}")
        try:
            template = _ENVIRONMENT.from_string(value)
        except jinja2.TemplateSyntaxError as error:
            raise VariableError(f"The template {value!r} cannot be read: {error.message}") from None
        names = _names(value)
        needed = {
            name: self._resolve(self.raw[name], (*(above or (name,)), name)) for name in names if name in self.raw
        }
        try:
            return template.render(needed)
        except jinja2.UndefinedError as error:
            where = f"variable {above[0]}" if above else f"template {value!r}"
            raise VariableError(f"The {where} cannot be resolved: {error.message}") from None


_ENVIRONMENT = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - no HTML here


def _names(template: str) -> set[str]:
    from jinja2 import meta  # noqa: PLC0415 - only templates need it

    return meta.find_undeclared_variables(_ENVIRONMENT.parse(template))


def command_line(arguments: list[str]) -> dict[str, Any]:
    """Read the ``-e`` values of a command line: ``name=value`` words or a YAML mapping."""
    found: dict[str, Any] = {}
    for argument in arguments:
        text = argument.strip()
        if text.startswith("{"):
            found |= yaml.safe_load(text)
            continue
        for word in text.split():
            name, separator, value = word.partition("=")
            if not separator:
                raise VariableError(f"-e {argument}: expected name=value")
            found[name] = value
    return found


def merge(
    inventory_directory: Path,
    configuration: Path,
    groups: tuple[str, ...],
    host: str,
    extra: Mapping[str, Any] | None = None,
) -> Variables:
    """Merge every source for one host.

    Raises:
        VariableError: a file is no YAML, or holds something else than variables.

    """
    values: dict[str, Any] = {}
    for group in ("all", *groups):
        for path in _files(inventory_directory / "group_vars", group):
            values |= _load(path)
    for path in _files(inventory_directory / "host_vars", host):
        values |= _load(path)
    for name in EXTRA_VARIABLE_FILES:
        path = configuration / name
        if path.is_file():
            values |= _load(path)
    values |= dict(extra or {})
    values["inventory_hostname"] = host
    return Variables(values)
