"""Which files of a configuration hold secrets, and their values, which must never be written anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import yaml

from rehearsal import redact
from rehearsal.target.variables import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILES_MOST = 200
_BYTES_MOST = 4 << 20
_PATTERNS = ("environments/secrets*.y*ml", "environments/*/secrets*.y*ml", "environments/*/configuration*.y*ml",
             "environments/configuration*.y*ml", "inventory/group_vars/**/*.y*ml", "inventory/host_vars/**/*.y*ml")  # fmt: skip
_NO_SECRETS = ("_user", "username", "_username", "_uuid", "fsid", "public_key", "_host", "_url", "_port", "_enabled")


def files_of(configuration: Path) -> list[str]:
    """Return the files of a configuration repository in which secrets may stand in the clear, at most 200."""
    found = dict.fromkeys(path for pattern in _PATTERNS for path in sorted(configuration.glob(pattern)))
    return [str(path) for path in found][:_FILES_MOST]


def remember_secrets(*files: str) -> None:
    """Make every secret in these YAML files disappear from whatever is written from now on.

    Of a `secrets.yml` these are all values, of another file those whose names say so. What cannot be read, or is shut in a
    vault, is passed over: it cannot be told by this process either.
    """
    for file in filter(None, files):
        path = Path(file)
        if _is_small_file(path):
            every = path.name.startswith("secrets")
            for data in (read_yaml(path, []), _as_written(path)):
                redact.remember(*_secrets(data, every=every))


def _is_small_file(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= _BYTES_MOST
    except OSError:
        return False


def _as_written(path: Path) -> Any:
    """Return the data with every scalar as it stands there: a password of digits is a number to YAML."""
    try:
        return yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # noqa: S506 - makes texts, lists and mappings only
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None


def _secrets(value: Any, key: str = "", *, every: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _secrets(item, str(name), every=every)
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item, key, every=every)
    elif (
        isinstance(value, str | int | float)
        and not isinstance(value, bool)
        and _is_secret(str(value), key, every=every)
    ):
        yield str(value)


def _is_secret(value: str, key: str, *, every: bool) -> bool:
    if "{{" in value or value.lower() in {"true", "false", "yes", "no"}:
        return False
    return redact.is_secret_name(key) or (every and not key.endswith(_NO_SECRETS))
