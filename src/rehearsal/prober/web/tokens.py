"""Tokens and credentials that authenticated reads need; in memory only, never in a file."""

from __future__ import annotations

import json
from typing import Any

from rehearsal.outside.redact import remember
from rehearsal.prober.web.exchange import Broken
from rehearsal.recording.sampleclass import SampleClass

_KNOWN_SHAPE = "gAAAAA"  # redaction knows fernet tokens by shape; remembering each fresh one would make it slow

_MOST_CHARACTERS = 16_384  # what a web server takes as the head of a request


class Tokens:
    """Named tokens, and named credentials with which keystone issues new ones."""

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}
        self._credentials: dict[str, bytes] = {}

    def set(self, name: str, token: str) -> None:
        """Keep a token, which must never be written. An empty, malformed or absurdly long one is ignored."""
        if 0 < len(token) <= _MOST_CHARACTERS and token.isascii() and token.isprintable():
            if not token.startswith(_KNOWN_SHAPE):
                remember(token)
            self._tokens[name] = token

    def set_credentials(self, name: str, auth: dict[str, Any]) -> None:
        """Keep the `auth` object of keystone's token request."""
        _remember_secrets(auth)
        self._credentials[name] = json.dumps({"auth": auth}).encode()

    def token(self, name: str) -> str:
        """Return a token. Raises Broken (local fault) if there is none yet: that says nothing about the service."""
        try:
            return self._tokens[name]
        except KeyError:
            raise Broken(SampleClass.LOCAL_FAULT, f"no token named {name!r} yet") from None

    def credentials(self, name: str) -> bytes:
        """Return the body of a token request. Raises Broken (local fault) if there are no such credentials."""
        try:
            return self._credentials[name]
        except KeyError:
            raise Broken(SampleClass.LOCAL_FAULT, f"no credentials named {name!r}") from None


def _remember_secrets(value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and key in {"password", "secret", "passcode"}:
                remember(item)
            else:
                _remember_secrets(item)
    elif isinstance(value, list):
        for item in value:
            _remember_secrets(item)
