"""The YAML of a configuration repository: layers of variables, vaults that stay shut, simple templates.

Invariant: reading never fails; what cannot be read, decrypted or resolved is a Problem or a missing value, and a value
that needs facts of a running host is simply not known here (`Variables.obstacle` says why).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any

import jinja2
import yaml
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

from rehearsal.cloud import files
from rehearsal.cloud.files import VAULT_HEADER
from rehearsal.cloud.target import Problem
from rehearsal.outside.redact import without_input

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VAULT_REMEDY = (
    "Decrypt it in a copy of the repository (`ansible-vault decrypt`) and give the copy: --configuration DIR."
)
_DEEPEST_TEMPLATE = 8
_MOST_RENDERINGS = 500
_LONGEST_TEXT = 65536
_STATEMENTS = re.compile(r"\{%[-+]?\s*(?!if\b|elif\b|else\b|endif\b|set\b|raw\b|endraw\b)")
"""Anything but conditions and assignments (loops above all) is not worked out here: it could take for ever."""


class Encrypted:
    """A value that a vault hides."""

    def __repr__(self) -> str:
        return "<encrypted>"


class _Loader(yaml.SafeLoader):
    """YAML as Ansible writes it: `!vault` and `!unsafe` are values, other tags are errors. Doubled names are remembered."""

    doubled: list[tuple[str, int]]

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        if not hasattr(self, "doubled"):
            self.doubled = []
        seen: set[str] = set()
        for key, _ in getattr(node, "value", ()):
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    self.doubled.append((key.value, key.start_mark.line + 1))
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same for files that a program wrote, which may be large: tags of Ansible are no errors."""


for _loader in (_Loader, _FastLoader):
    _loader.add_constructor("!vault", lambda _loader, _node: Encrypted())
    _loader.add_constructor("!vault-encrypted", lambda _loader, _node: Encrypted())
    _loader.add_constructor("!unsafe", lambda _loader, node: node.value)
_FastLoader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


@dataclass(slots=True)
class Variables:
    """Variables with the file that set each of them last, the problems met on the way, and the files that cannot be read."""

    values: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def layer(self, path: Path, *, required: bool = False, vault: str = "warning") -> None:
        """Put the variables of one file over those that are there. `vault`: the severity if it is encrypted as a whole."""
        before = len(self.problems)
        data = read_yaml(path, self.problems, required=required, vault=vault)
        told = [each for each in self.problems[before:] if not each.sentence.endswith("is missing.")]
        if any("is encrypted" in each.sentence or (each.severity == "error" and not data) for each in told):
            self.hidden.append(str(path))
        self.put(data, str(path))

    def put(self, data: Mapping[str, Any], file: str) -> None:
        """Put variables over those that are there."""
        for key, value in data.items():
            self.values[key] = value
            self.files[key] = file

    def over(self, other: Variables) -> None:
        """Put another layer with its files over this one. Its problems stay its own."""
        self.values.update(other.values)
        self.files.update(other.files)
        self.hidden.extend(each for each in other.hidden if each not in self.hidden)

    def resolve(self, name: str, extra: Mapping[str, Any] | None = None) -> Any:
        """Return the value of a variable with its templates filled in; None if unset, encrypted or not resolvable."""
        return resolve(self.values.get(name), {**self.values, **self.extra, **(extra or {})})

    def text(self, name: str, extra: Mapping[str, Any] | None = None) -> str:
        """Return the value of a variable as text; empty if it is unset or not known here."""
        value = self.resolve(name, extra)
        text = "" if value is None or isinstance(value, dict | list) else str(value).strip()
        return text if text.isprintable() else ""

    def obstacle(self, name: str, extra: Mapping[str, Any] | None = None) -> str:
        """Return why a variable that is set has no value here, as the rest of a sentence; empty if it has, or is not set."""
        value = self.values.get(name)
        if value is None:
            return ""
        if isinstance(value, Encrypted):
            return "is encrypted (!vault), and rehearse opens no vault"
        known = self.resolve(name, extra)
        if known is None:
            return f"is {_shortened(value)!r}, which cannot be worked out here"
        if isinstance(known, dict | list):
            return "is a list or a mapping, not a value"
        return "" if str(known).strip().isprintable() else f"is {_shortened(known)!r}, which has characters of no text"

    def file(self, name: str) -> str:
        """Return the file that set a variable, or an empty string."""
        return self.files.get(name, "")

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a variable as a yes or no, in any of Ansible's spellings."""
        value = self.resolve(name)
        return default if value is None else truth(value)


def printable(text: str) -> str:
    """Return a text with everything that a terminal would obey replaced."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


def _shortened(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 120 else f"{text[:117]}..."


def truth(value: Any) -> bool:
    """Return whether Ansible would take the value for true."""
    return str(value).strip().lower() in {"yes", "true", "on", "1", "y", "t"}


def read_yaml(path: Path, problems: list[Problem], *, required: bool = False, vault: str = "warning") -> dict[str, Any]:
    """Read a YAML file of variables; an absent one is empty, an unreadable one is a problem and empty."""
    before = len(problems)
    text = files.read_text(path, problems)
    if text is None:
        if required and len(problems) == before:
            problems.append(
                Problem(
                    f"{path.name} is missing.",
                    str(path),
                    "Add it, or point to the right repository: --configuration DIR.",
                )
            )
        return {}
    text = files.without_mark(text)
    if text.startswith(VAULT_HEADER):
        problems.append(Problem(f"{path.name} is encrypted as a whole.", str(path), VAULT_REMEDY, severity=vault))
        return {}
    data = parse_yaml(text, str(path), problems)
    if data is None:
        return {}
    if not isinstance(data, dict):
        problems.append(Problem("It is no mapping of variables.", str(path), "Write `name: value` lines."))
        return {}
    return {str(key): value for key, value in data.items()}


def parse_yaml(text: str, file: str, problems: list[Problem]) -> Any:
    """Return what a YAML text says; None, and a problem that names the line but nothing of its text, if it is no YAML."""
    loader = None
    try:
        loader = _Loader(text)
        data = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        ended = "end of stream" in (error.problem or "")  # a quote that was not closed is wrong where it begins
        mark = (error.context_mark if ended else None) or error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark else file
        problems.append(Problem(*_told(error.problem or "unreadable", error.context or "", where)))
        return None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError, AttributeError) as error:
        # What PyYAML says of a bad value quotes it, and it may be a password.
        why = getattr(error, "reason", "") or f"{type(error).__name__}"
        problems.append(Problem(f"It is no valid YAML: {without_input(why)}.", file, "Correct the file."))
        return None
    finally:
        if loader is not None:
            loader.dispose()
    for name, line in getattr(loader, "doubled", ()):
        problems.append(
            Problem(
                f"{name} is set twice in the same place; Ansible takes the last one.",
                f"{file}:{line}",
                "Remove the one that is not meant.",
                severity="warning",
            )
        )
    return data


def _told(problem: str, context: str, where: str) -> tuple[str, str, str]:
    """Return sentence, place and remedy for a complaint of PyYAML, without what it quotes."""
    sign = next((sign for word, sign in (("alias", "*"), ("constructor for the tag", "!")) if word in problem), "")
    if sign:
        return f"A value that begins with {sign} is not in quotes, and so no valid YAML.", where, "Put it in quotes."
    said = without_input(problem)
    if "…" in said and context:  # what it expected, too, was quoted
        said = without_input(context).replace("while parsing", "it ends within")
    return f"It is no valid YAML: {said}.", where, "Correct the line."


def parse_large(text: str) -> Any:
    """Return what a YAML text that a program wrote says; None if it is no YAML."""
    try:
        return yaml.load(text, Loader=_FastLoader)  # noqa: S506 - a safe loader with harmless tags
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError, AttributeError):
        return None


def resolve(value: Any, variables: Mapping[str, Any]) -> Any:
    """Fill in the templates of a value; None if that needs anything that is not among the variables.

    Templates see the variables, themselves filled in, and Jinja's own filters plus a few of Ansible's; no loops, no lookups.
    """
    if isinstance(value, Encrypted):
        return None
    if not _is_template(value):
        return value
    try:
        return _filled(value, {**variables, _STATE: [0, 0]})
    except Exception:  # noqa: BLE001 - a template may fail in any way; then its value is not known here
        return None


_STATE = "__rehearse_state"
"""Depth and number of renderings so far: templates may refer to each other, in circles or without end."""


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def _filled(text: str, variables: Mapping[str, Any]) -> str:
    state = variables[_STATE]
    state[0] += 1
    state[1] += 1
    try:
        if state[0] > _DEEPEST_TEMPLATE or state[1] > _MOST_RENDERINGS or len(text) > _LONGEST_TEXT:
            raise SecurityError("templates without end")
        if _STATEMENTS.search(text):
            raise SecurityError("a statement that is not worked out here")
        found = _TEMPLATES.from_string(text).render(variables)
        return _filled(found, variables) if _is_template(found) else found
    finally:
        state[0] -= 1


class _Filling(Context):
    """What a template refers to is itself filled in first; what a vault hides is as good as not there."""

    def resolve_or_missing(self, key: str) -> Any:
        """Return the value of a name, with its own templates filled in."""
        value = super().resolve_or_missing(key)
        if isinstance(value, Encrypted):
            raise SecurityError(f"{key} is encrypted")
        return _filled(value, self.parent) if _is_template(value) and _STATE in self.parent else value


class _Sandbox(SandboxedEnvironment):
    """Jinja's sandbox without what makes much out of little."""

    intercepted_binops = frozenset({"*", "**", "%"})
    context_class = _Filling

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Calculate with small numbers only."""
        if not all(isinstance(side, int | float) and abs(side) < 1e6 for side in (left, right)) or operator == "**":
            raise SecurityError(f"{operator} is for small numbers here")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Refuse the methods of text that pad it to any width."""
        padding = {"center", "ljust", "rjust", "zfill", "format", "format_map", "expandtabs", "replace", "join"}
        return attr not in padding and super().is_safe_attribute(obj, attr, value)


_TEMPLATES = _Sandbox(undefined=jinja2.StrictUndefined, autoescape=False)
for _filter in ("center", "indent", "batch", "slice", "format", "wordwrap", "replace", "pprint", "random"):
    _TEMPLATES.filters.pop(_filter, None)
for _name in ("range", "lipsum", "cycler", "namespace"):
    _TEMPLATES.globals.pop(_name, None)
_TEMPLATES.filters["bool"] = truth
_TEMPLATES.filters["ternary"] = lambda value, yes, no: yes if value else no
_TEMPLATES.filters["regex_replace"] = lambda value, pattern, by="": re.sub(pattern, by, str(value))
