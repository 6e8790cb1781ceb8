"""How much effort tests spend, and which of them may not disturb each other.

`scripts/test --fast` uses the profile `fast`: few examples, always the same ones. The profile `thorough` looks further, and
at other examples every time: `pytest --hypothesis-profile thorough`, or `REHEARSE_TEST_EFFORT=thorough scripts/test`.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import settings

settings.register_profile("fast", max_examples=25, deadline=None, derandomize=True, database=None)
settings.register_profile("thorough", max_examples=300, deadline=None, print_blob=True)
settings.load_profile("fast")


def pytest_collection_modifyitems(items):
    """Let tests that watch the clock run in one process, one after the other, while the others use the rest of the machine."""
    for item in items:
        if item.get_closest_marker("realtime"):
            item.add_marker(pytest.mark.xdist_group("realtime"))
    items.sort(key=lambda item: item.get_closest_marker("realtime") is None)  # the longest queue begins first


@pytest.fixture(scope="session", autouse=True)
def _lab_is_up(request):
    """Say at once that the lab is down: each test that needs it would wait for minutes for what never comes."""
    if not any(item.get_closest_marker("lab") for item in request.session.items):
        return
    status = subprocess.run(
        [sys.executable, "-m", "lab", "status"],
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        check=False,
    )
    if status.returncode != 0:
        told = (status.stdout + status.stderr).strip()
        pytest.exit(f"tests marked `lab` need a lab that is well. Run: rehearse-lab up --fresh\n{told}", returncode=1)
