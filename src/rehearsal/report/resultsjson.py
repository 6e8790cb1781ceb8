"""Results as JSON: the shape of `results.json` is the shape of `judging.results`, whose parts belong to the rooms that judge."""

from __future__ import annotations

import dataclasses
import json
from enum import Enum
from typing import TYPE_CHECKING
from typing import Any
from typing import cast

from rehearsal.outside.redact import redact

if TYPE_CHECKING:
    from rehearsal.judging.results import Results

SCHEMA = 2


def to_json(results: Results) -> str:
    """Return the results as JSON text."""
    plain = _plain(results)
    found = {"schema": SCHEMA, **plain.pop("shown"), **plain}
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def without_secrets(results: Results) -> Results:
    """Return the results with every text redacted: recordings of older versions hold what is hidden today."""
    return cast("Results", _hidden(results))


def _hidden(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **{name: _hidden(each) for name, each in fields.items()})
    if isinstance(value, tuple):
        return tuple(map(_hidden, value))
    if isinstance(value, list) and not all(isinstance(each, str) for each in value):
        return [_hidden(each) for each in value]
    if isinstance(value, dict) and any(map(_is_rows, value.values())):
        return {key: _hidden(each) for key, each in value.items()}
    return value if isinstance(value, Enum) else redact(value)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and any(map(dataclasses.is_dataclass, value))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value
