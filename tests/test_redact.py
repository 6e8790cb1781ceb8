"""Secrets are gone before anything is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal import redact as module
from rehearsal.redact import HIDDEN
from rehearsal.redact import redact
from rehearsal.redact import redact_text
from rehearsal.redact import remember


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_remembered", set())


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("X-Auth-Token: gAAAAABnQ0-short", "gAAAAABnQ0-short"),
        ("curl -H 'x-subject-token: abcdef0123456789'", "abcdef0123456789"),
        ("got gAAAAABmZ0aXJzdF90b2tlbl9vZl90aGVfZGF5 from keystone", "gAAAAABmZ0aXJzdF90b2tlbl9vZl90aGVfZGF5"),
        ("mysql+pymysql://nova:s3cr3t@10.0.0.1/nova", "s3cr3t"),
        ("database password=hunter22, retrying", "hunter22"),
        ('{"password": "correct horse"}', "correct"),
    ],
)
def test_shapes_of_secrets_vanish(text: str, secret: str) -> None:
    """Tokens and passwords are recognised wherever they stand."""
    assert secret not in redact_text(text)
    assert HIDDEN in redact_text(text)


@given(st.text(min_size=6), st.text(), st.text())
def test_a_remembered_secret_vanishes(secret: str, before: str, after: str) -> None:
    """A secret that was read from the configuration is removed from every text."""
    remember(secret)
    assert secret in HIDDEN or secret not in redact_text(before + secret + after).replace(HIDDEN, "")


def test_keys_that_name_secrets_hide_their_values() -> None:
    """Structured data keeps its shape; only the secret values go."""
    data = {"auth": {"username": "admin", "password": "x", "passwords": 3}, "token": "t", "list": [{"secret": "s"}]}
    assert redact(data) == {
        "auth": {"username": "admin", "password": HIDDEN, "passwords": 3},
        "token": HIDDEN,
        "list": [{"secret": HIDDEN}],
    }
