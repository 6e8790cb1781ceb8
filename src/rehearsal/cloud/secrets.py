"""Which files of a configuration hold secrets, and their values, which must never be written anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import yaml

from rehearsal.cloud import files
from rehearsal.cloud.variables import parse_yaml
from rehearsal.outside import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILES_MOST = 200
_LONGEST = 4 << 20
_PATTERNS = ("environments/secrets*.y*ml", "environments/*/secrets*.y*ml", "environments/*/configuration*.y*ml",
             "environments/configuration*.y*ml", "inventory/group_vars/**/*.y*ml", "inventory/host_vars/**/*.y*ml")  # fmt: skip
_NO_SECRETS = ("_user", "username", "_username", "_uuid", "fsid", "public_key", "_host", "_url", "_port", "_enabled")


def files_of(configuration: Path) -> list[str]:
    """Return the files of a configuration repository in which secrets may stand in the clear, at most 200."""
    found = dict.fromkeys(path for pattern in _PATTERNS for path in sorted(configuration.glob(pattern)))
    return [str(path) for path in found][:_FILES_MOST]


def remember_secrets(*paths: str) -> None:
    """Make every secret in these YAML files disappear from whatever is written from now on.

    Of a `secrets.yml` these are all values, of another file those whose names say so. What cannot be read, or is shut in a
    vault, is passed over: it cannot be told by this process either.
    """
    for file in filter(None, paths):
        path = Path(file)
        text = files.without_mark(files.peek(path) or "")
        if len(text) <= _LONGEST:
            every = path.name.startswith("secrets")
            for data in (parse_yaml(text, file, []), _as_written(text)):
                redact.remember(*_secrets(data, every=every))


def _as_written(text: str) -> Any:
    """Return a YAML text with every value as it is written: a password of digits is a number else, and 0123 is 83."""
    try:
        return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes texts, lists and mappings only
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError, AttributeError):
        return None


def _secrets(value: Any, *, every: bool) -> Iterator[str]:
    """Yield the secrets below a value, each part of it once: aliases may lead round in circles."""
    waiting: list[tuple[str, Any]] = [("", value)]
    seen: set[tuple[str, int]] = set()
    while waiting:
        key, item = waiting.pop()
        if isinstance(item, dict | list):
            if (key, id(item)) not in seen:
                seen.add((key, id(item)))
                waiting += (
                    [(str(name), each) for name, each in item.items()]
                    if isinstance(item, dict)
                    else [(key, each) for each in item]
                )
        elif (
            isinstance(item, str | int | float)
            and not isinstance(item, bool)
            and _is_secret(str(item), key, every=every)
        ):
            yield str(item)


def _is_secret(value: str, key: str, *, every: bool) -> bool:
    if "{{" in value or value.lower() in {"true", "false", "yes", "no"}:
        return False
    return redact.is_secret_name(key) or (every and not key.endswith(_NO_SECRETS))
