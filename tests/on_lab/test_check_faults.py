"""Each fault turns exactly the right check red, with the host, container or service named; mended, it is green again."""

from __future__ import annotations

import contextlib
import time

import pytest

from lab.faults import FAULTS
from tests.on_lab.lab_nodes import lab
from tests.on_lab.lab_nodes import sh
from tests.on_lab.lab_nodes import suite
from tests.on_lab.lab_nodes import told

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

TOGETHER = (
    ("lock-file", "task-lock", "facts-stale", "disk-full", "libvirtd-hung", "certificate-expiring"),
    (
        "container-unexpected",
        "tag-moved",
        "image-missing",
        "server-in-maintenance",
        "compute-disabled",
        "image-of-other-release",
        "compute-withdrew",
    ),
    ("nova-service-frozen", "agent-frozen"),
)
"""Faults on different things are made at once to save time: what is red must still be exactly what each of them declares."""


def at_rest(*names):
    """What these faults turn red while nothing is being upgraded."""
    return {red for name in names for red in FAULTS[name].reds if red.check.startswith("preflight.")}


ONE_BY_ONE = sorted({name for name in FAULTS if at_rest(name)} - {name for names in TOGETHER for name in names})


@pytest.fixture(scope="module", autouse=True)
def green_cloud():
    """The cloud is fine before anything is broken; a new manager has gathered no facts yet."""
    sh("lab-manager", "osism apply facts")
    records, output = suite("suites/preflight")
    assert set() == told(records), output
    assert set() == told(records, "unknown"), output


@contextlib.contextmanager
def broken(*names):
    """Make faults, wait until the cloud itself can know of them, and mend them whatever happens."""
    made = []
    try:
        for name in names:
            made.append(name)
            lab("break", name)
        quarter_s = max(FAULTS[name].settles_s for name in names) / 4
        for quarter in range(4):
            time.sleep(quarter_s)
            for name in names if quarter < 3 else ():
                if FAULTS[name].ask:
                    sh("lab-manager", FAULTS[name].ask)
        yield
    finally:
        for name in reversed(made):
            lab("mend", name, check=False)


def node_ids(records):
    return sorted({each.node_id for each in records if each.outcome == "fail"})


@pytest.mark.parametrize("names", [*((name,) for name in ONE_BY_ONE), *TOGETHER], ids="+".join)
def test_a_fault_is_found_and_nothing_else(names):
    """A fault turns exactly the check red that is about it, where it is; mended, that check is green."""
    with broken(*names):
        records, output = suite("suites/preflight")
    assert at_rest(*names) == told(records), output
    again, output = suite(*node_ids(records))
    assert set() == told(again) | told(again, "unknown"), output
