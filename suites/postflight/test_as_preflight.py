"""Everything that pre-flight claims and that holds again after an upgrade (`after_upgrade`), for the release that the cloud has now.

The claims are pre-flight's own tests; the recorder writes them down under post-flight's name.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

for _path in sorted((Path(__file__).parents[1] / "preflight").glob("test_*.py")):
    for _name, _test in vars(import_module(f"suites.preflight.{_path.stem}")).items():
        _marks = getattr(_test, "pytestmark", ()) if _name.startswith("test_") else ()
        if any(mark.name == "check" and mark.kwargs.get("after_upgrade") for mark in _marks):
            globals()[_name] = _test
