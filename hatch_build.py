"""A wheel carries the suites as they stand, so that an installed `rehearse` runs the same tests.

They are added by a hook because a plain force-include would also put copies into an editable installation.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CARRIED = ("pyproject.toml", "conftest.py", "suites", "fixtures")


class CarrySuites(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the runnable tree into `rehearsal/bundle/` of a real wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the tree, but not for `pip install -e`."""
        if version == "standard":
            build_data["force_include"].update({name: f"rehearsal/bundle/{name}" for name in CARRIED})
