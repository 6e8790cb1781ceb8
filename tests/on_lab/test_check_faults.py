"""Each fault turns exactly the right check red, with the host, container or service named; mended, it is green again."""

from __future__ import annotations

import contextlib
import time

import pytest

from tests.on_lab.lab_nodes import lab
from tests.on_lab.lab_nodes import sh
from tests.on_lab.lab_nodes import suite
from tests.on_lab.lab_nodes import told
from tests.on_lab.made_faults import FAULTS
from tests.on_lab.made_faults import MANAGER

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

ONE_BY_ONE = {
    "container-old-tag": ("preflight.container-tag", "lab-control-0", "keystone_fernet"),
    "container-stopped": ("preflight.container-running", "lab-control-0", "keystone_fernet"),
    "container-unhealthy": ("preflight.container-health", "lab-control-0", "keystone_fernet"),
    "libvirtd-dead": ("preflight.container-running", "lab-compute-1", "nova_libvirt"),
    "vip-port-blackhole": ("preflight.api-answers", "", "placement"),
    "backend-503": ("preflight.api-answers", "", "placement"),
    "tag-override": ("preflight.tag-override", "", "osism"),
}
"""Faults of `rehearse-lab break`, with what alone must turn red: check, host, container or service."""

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
"""Faults on different things are made at once to save time: what is red must still be exactly what each of them names."""


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
            sh(FAULTS[name].node, FAULTS[name].break_)
        quarter_s = max(FAULTS[name].settles_s for name in names) / 4
        for quarter in range(4):
            time.sleep(quarter_s)
            for name in names if quarter < 3 else ():
                if FAULTS[name].ask:
                    sh(MANAGER, FAULTS[name].ask)
        yield
    finally:
        for name in reversed(made):
            sh(FAULTS[name].node, FAULTS[name].mend, check=False)


def node_ids(records):
    return sorted({each.node_id for each in records if each.outcome == "fail"})


@pytest.mark.parametrize("fault", sorted(ONE_BY_ONE))
def test_a_fault_of_the_lab_is_found_and_nothing_else(fault):
    """A fault turns the one check red that is about it; mended, that check is green."""
    try:
        lab("break", fault)
        records, output = suite("suites/preflight")
    finally:
        lab("mend", fault)
    assert {ONE_BY_ONE[fault]} == told(records), output
    again, output = suite(*node_ids(records))
    assert set() == told(again) | told(again, "unknown"), output


@pytest.mark.parametrize("names", TOGETHER, ids="+".join)
def test_what_was_left_behind_is_found_and_nothing_else(names):
    """Faults that people leave behind are red where they are, and only there; afterwards the same checks are green."""
    expected = set().union(*(FAULTS[name].reds for name in names))
    with broken(*names):
        records, output = suite("suites/preflight")
    assert expected == told(records), output
    again, output = suite(*node_ids(records))
    assert set() == told(again) | told(again, "unknown"), output
