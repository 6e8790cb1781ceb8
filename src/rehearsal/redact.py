"""Secrets are removed when something is written, because sealed evidence cannot be cleaned later.

Two nets: the values of secrets that were read (`remember`), and shapes that are secrets wherever they stand
(X-Auth-Token, password=, fernet tokens).
"""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "[redacted]"
_KEYS = re.compile(r"pass(word|wd)?$|secret|token$|private_key|application_credential_secret", re.IGNORECASE)
_SHAPES = (
    re.compile(r"(?i)(x-(?:auth|subject)-token['\"]?\s*[:=]\s*['\"]?)[^\s'\",]+"),
    re.compile(r"(?i)((?:password|passwd|secret)['\"]?\s*[:=]\s*['\"]?)[^\s'\",&]+"),
    re.compile(r"()gAAAAA[A-Za-z0-9_\-]{20,}={0,2}"),
    re.compile(r"(://[^\s:/@]+:)[^\s@/]+(?=@)"),
)
_SHORTEST = 6
_remembered: set[str] = set()


def remember(*secrets: str) -> None:
    """Make these values disappear from everything written from now on; values under 6 characters are too common."""
    _remembered.update(secret for secret in secrets if len(secret) >= _SHORTEST)


def redact_text(text: str) -> str:
    """Return the text without secrets."""
    for secret in sorted(_remembered, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for shape in _SHAPES:
        text = shape.sub(lambda found: found.group(1) + HIDDEN, text)
    return text


def redact(value: Any) -> Any:
    """Return a copy of JSON-like data without secrets, by key, by value and by shape."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {
            key: HIDDEN
            if isinstance(key, str) and isinstance(item, str) and item and _KEYS.search(key)
            else redact(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return value
