"""Results as JSON and back, without loss: the shape of `results.json` is the shape of `judging.results`."""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from enum import Enum
from typing import Any

from rehearsal.judging.results import Results
from rehearsal.outside.redact import redact

SCHEMA = 2


class ResultsFileError(Exception):
    """A results.json that cannot be read: says why and what to do."""


def to_json(results: Results) -> str:
    """Return the results as JSON text."""
    plain = {
        "schema": SCHEMA,
        **{field.name: _plain(getattr(results, field.name)) for field in dataclasses.fields(results)},
    }
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def without_secrets(results: Results) -> Results:
    """Return the results with every text redacted: recordings of older versions hold what is hidden today."""
    plain = {field.name: _plain(getattr(results, field.name)) for field in dataclasses.fields(results)}
    return typing.cast("Results", _build(Results, redact(plain)))


def from_json(text: str) -> Results:
    """Return the results that a text holds; keys unknown to this version are ignored. Raises ResultsFileError."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ResultsFileError(f"results.json is no JSON ({error}). Write it again: rehearse report RUN") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ResultsFileError(f"results.json is not of schema {SCHEMA}. Write it again: rehearse report RUN")
    try:
        found = _build(Results, data)
    except (KeyError, TypeError, ValueError) as error:
        raise ResultsFileError(f"results.json does not fit ({error}). Write it again: rehearse report RUN") from error
    return typing.cast("Results", found)


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


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _build(kind: Any, value: Any) -> Any:  # noqa: PLR0911 - one for each kind of type
    """Return a value of a type as `judging.results` writes it."""
    if kind is Any or kind is None:
        return value
    origin = typing.get_origin(kind)
    if origin in {typing.Union, types.UnionType}:
        chosen = [part for part in typing.get_args(kind) if part is not type(None)]
        return None if value is None else _build(chosen[0], value)
    if origin is list:
        (item,) = typing.get_args(kind)
        return [_build(item, each) for each in value]
    if origin is tuple:
        return tuple(_build(item, each) for item, each in zip(typing.get_args(kind), value, strict=True))
    if origin is dict:
        return {key: _build(typing.get_args(kind)[1], item) for key, item in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        return kind(**{name: _build(hint, value[name]) for name, hint in hints.items() if name in value})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    return value
