"""Which fixtures the suites get, and the recorder that writes down what they find."""

from __future__ import annotations

pytest_plugins = (
    "rehearsal.claims.pytest_plugin",
    "fixtures.given",
    "fixtures.recorded",
    "fixtures.needs",
    "fixtures.subjects",
    "fixtures.cloud",
    "fixtures.hosts",
)
