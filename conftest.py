"""Which fixtures the suites get, and the recorder that writes down what they find."""

from __future__ import annotations

pytest_plugins = (
    "rehearsal.recorder",
    "fixtures.given",
    "fixtures.recorded",
    "fixtures.subjects",
    "fixtures.cloud",
    "fixtures.hosts",
)
