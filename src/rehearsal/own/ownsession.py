"""The pytest plugin of a session with an operator's own claims: `pytest -p rehearsal.own.ownsession`.

It brings the project's fixtures along, drops what is not checked at this gate, and gives each claim its time limit.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rehearsal.claims.catalogue import root
from rehearsal.own.directory import needed
from rehearsal.own.items import marking_of
from rehearsal.own.listing import Listing
from rehearsal.own.ownclaims import GATE
from rehearsal.own.ownclaims import LIST
from rehearsal.recording.stretch import Kind

if TYPE_CHECKING:
    from collections.abc import Generator

if (_home := str(root())) not in sys.path:
    sys.path.append(_home)  # at the end: it is only where `fixtures` lies
pytest_plugins = ("rehearsal.claims.pytest_plugin", "fixtures.given", "fixtures.recorded", "fixtures.hosts")

__all__ = ["needed", "pytest_plugins"]


def pytest_configure(config: pytest.Config) -> None:
    """Register what must come after testinfra's own plugin, whose `host` is another one."""
    from fixtures import own  # noqa: PLC0415 - only now can it be found

    config.pluginmanager.register(own, "rehearsal-own-fixtures")
    config.addinivalue_line("markers", "check(id): an own claim; see docs/own-claims.md")
    config.option.tbstyle = "short" if config.option.tbstyle == "auto" else config.option.tbstyle


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    """Let files of the directory import each other, and listen before the first of them is imported."""
    sys.path.append(str(early_config.rootpath))  # at the end: no file of the operator's stands in for a module of ours
    if not (path := os.environ.get(LIST)):
        return (yield)
    listing = Listing(early_config.rootpath, Path(path))
    early_config.pluginmanager.register(listing, "rehearsal-own-listing")
    with listing.importing_conftest():
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the claims of this gate, each with its time limit."""
    if gate := os.environ.get(GATE):
        step, services = _step(config) if gate == Kind.STEP else ("", ())
        items[:] = [item for item in items if marking_of(item).applies(gate, step, services)]
    for item in items:
        item.add_marker(pytest.mark.timeout(marking_of(item).timeout_s), append=False)


def _step(config: pytest.Config) -> tuple[str, tuple[str, ...]]:
    from fixtures.given import find_step  # noqa: PLC0415 - only now can it be found

    step = find_step(config)
    return step.id, tuple(step.services)
