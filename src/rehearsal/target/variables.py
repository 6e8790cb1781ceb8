"""The YAML of a configuration repository: layers of variables, vaults that stay shut, simple templates.

Invariant: reading never fails; what cannot be read, decrypted or resolved is a Problem or a missing value, and a value
that needs facts of a running host is simply not known here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any

import jinja2
import yaml
from jinja2.sandbox import SandboxedEnvironment

from rehearsal.redact import without_input
from rehearsal.target.model import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VAULT_HEADER = "$ANSIBLE_VAULT;"
_VAULT_REMEDY = "Nothing to do if the value is not needed; else give a decrypted copy outside the repository (for clouds: --clouds FILE)."
_DEEPEST_TEMPLATE = 8


class Encrypted:
    """A value that a vault hides."""

    def __repr__(self) -> str:
        return "<encrypted>"


class _Loader(yaml.SafeLoader):
    """YAML as Ansible writes it: `!vault` and `!unsafe` are values, other tags are errors."""


_Loader.add_constructor("!vault", lambda _loader, _node: Encrypted())
_Loader.add_constructor("!unsafe", lambda _loader, node: node.value)


@dataclass(slots=True)
class Variables:
    """Variables with the file that set each of them last, and the problems met on the way."""

    values: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def layer(self, path: Path, *, required: bool = False) -> None:
        """Put the variables of one file over those that are there."""
        data = read_yaml(path, self.problems, required=required)
        for key, value in data.items():
            self.values[key] = value
            self.files[key] = str(path)

    def resolve(self, name: str, extra: Mapping[str, Any] | None = None) -> Any:
        """Return the value of a variable with its templates filled in; None if unset, encrypted or not resolvable."""
        return resolve(self.values.get(name), {**self.values, **(extra or {})})

    def file(self, name: str) -> str:
        """Return the file that set a variable, or an empty string."""
        return self.files.get(name, "")

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a variable as a yes or no, in any of Ansible's spellings."""
        value = self.resolve(name)
        return default if value is None else truth(value)


def truth(value: Any) -> bool:
    """Return whether Ansible would take the value for true."""
    return str(value).strip().lower() in {"yes", "true", "on", "1", "y", "t"}


def read_yaml(path: Path, problems: list[Problem], *, required: bool = False) -> dict[str, Any]:  # noqa: PLR0911 - one return per way to fail
    """Read a YAML file of variables; an absent one is empty, an unreadable one is a problem and empty."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        if required:
            problems.append(
                Problem(
                    f"{path.name} is missing.",
                    str(path),
                    "Add it, or point to the right repository: --configuration DIR.",
                )
            )
        return {}
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(f"{path.name} cannot be read: {error}.", str(path), "Make it readable for this user."))
        return {}
    if text.startswith(VAULT_HEADER):
        problems.append(Problem(f"{path.name} is encrypted as a whole.", str(path), _VAULT_REMEDY, severity="warning"))
        return {}
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader with two harmless tags
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problems.append(
            Problem(f"It is no valid YAML: {without_input(str(error.problem))}.", where, "Correct the line.")
        )
        return {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = without_input(str(error))
        problems.append(Problem(f"It is no valid YAML: {why}.", str(path), "Correct the file."))
        return {}
    if data is None:
        return {}
    if not isinstance(data, dict):
        problems.append(Problem("It is no mapping of variables.", str(path), "Write `name: value` lines."))
        return {}
    return {str(key): value for key, value in data.items()}


def resolve(value: Any, variables: Mapping[str, Any]) -> Any:
    """Fill in the templates of a value; None if that needs anything that is not among the variables.

    Templates see the variables and Jinja's own filters plus Ansible's `bool`; nothing else, and never a lookup.
    """
    if isinstance(value, Encrypted):
        return None
    if not isinstance(value, str) or ("{{" not in value and "{%" not in value):
        return value
    text: str = value
    for _ in range(_DEEPEST_TEMPLATE):
        try:
            text = _TEMPLATES.from_string(text).render(variables)
        except Exception:  # noqa: BLE001 - a template may fail in any way; then its value is not known here
            return None
        if "{{" not in text and "{%" not in text:
            return text
    return None


_TEMPLATES = SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
_TEMPLATES.filters["bool"] = truth
_TEMPLATES.filters["ternary"] = lambda value, yes, no: yes if value else no
_TEMPLATES.filters["regex_replace"] = lambda value, pattern, by="": re.sub(pattern, by, str(value))
