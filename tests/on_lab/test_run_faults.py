"""Faults during and after a small run: each in-flight and post-flight claim is seen red, alone, and green again.

The run replaces nothing: its steps wait, or do what is done already. What it records before each step is real, and so are
its canaries; the faults are made afterwards, and the suites are run by hand, as an operator repeats a check.
"""

from __future__ import annotations

import shutil
import sys
import time

import pytest

from lab.faults import FAULTS
from tests.on_lab.lab_nodes import lab
from tests.on_lab.lab_nodes import on
from tests.on_lab.lab_nodes import sh
from tests.on_lab.lab_nodes import suite
from tests.on_lab.lab_nodes import told
from tests.on_lab.small_runs import clean
from tests.on_lab.small_runs import facts_of
from tests.on_lab.small_runs import rehearse

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


def by_hand(run, name, step=""):
    """Run a suite on a recorded run, as an operator repeats it."""
    environment = {
        "REHEARSE_RUN_DIR": str(run),
        "REHEARSE_TARGET": str(run / "target.json"),
        "REHEARSE_PLAN": str(run / "plan.yml"),
    }
    return suite(f"suites/{name}", environment=environment | ({"REHEARSE_STEP": step} if step else {}))


@pytest.fixture(scope="module")
def quiet_run():
    """A small run in which nothing is broken, whose canaries stay."""
    run, records, log = rehearse("quiet", 3, "--keep-canaries", "--without", "migrations")
    try:
        assert set() == told(records), log
        gates = {each.gate for each in records}
        assert {"preflight", "step:pull", "step:wait", "postflight"} <= gates, log
        before_last = [each for each in records if each.gate != "postflight"]
        assert set() == told(before_last, "unknown"), log
        yield run
    finally:
        clean(run)


@pytest.fixture
def only(quiet_run):
    """Make a fault, see exactly this turn red in this suite, mend it, see it green.

    What earlier tests of this file restarted stays red as a bystander of the run; it is not this fault's.
    """

    def check(fault, check, step="", *given, host=""):
        red = FAULTS[fault].red(check)
        name = check.partition(".")[0]
        already = told(by_hand(quiet_run, name, step)[0])
        try:
            lab("break", fault, *given)
            records, output = by_hand(quiet_run, name, step)
        finally:
            lab("mend", fault, *given)
        assert {red._replace(host=host or red.host)} == told(records) - already, output
        again, output = by_hand(quiet_run, name, step)
        assert set() == told(again) - already, output

    return check


@pytest.mark.reddens("container-old-tag", "inflight.step-replaced")
def test_a_container_on_another_image_was_not_replaced(only):
    """A container that a step should have replaced and that has an old tag is named."""
    only("container-old-tag", "inflight.step-replaced", "wait")


@pytest.mark.reddens("container-unhealthy", "inflight.step-healthy")
def test_a_sick_container_of_the_step_is_named(only):
    """A container of the step whose health check fails is named."""
    only("container-unhealthy", "inflight.step-healthy", "wait")


@pytest.mark.reddens("image-missing", "inflight.pulled-image")
def test_a_missing_image_after_a_pull_is_named(only):
    """An image that a pull should have brought and that is not on the host is named with the host."""
    only("image-missing", "inflight.pulled-image", "pull")


@pytest.mark.reddens("guest-paused", "inflight.canary-reachable")
def test_a_silent_canary_is_named(only, quiet_run):
    """A canary whose processor stands still does not answer."""
    canary = facts_of(quiet_run, "canary-up")[0]
    only("guest-paused", "inflight.canary-reachable", "wait", canary.server_id, host=canary.canary)


@pytest.mark.reddens("network-renamed", "postflight.nothing-lost")
def test_a_lost_network_is_named(only):
    """What was in the cloud before and is not as it was is named with its kind."""
    only("network-renamed", "postflight.nothing-lost")


MIGRATE = """
import dataclasses
import sys
from pathlib import Path
from rehearsal.recording import events
from rehearsal.canaries import migration, model
from rehearsal.cloud.connection import connect
from rehearsal.recording.journal import Journal, read
from rehearsal.cloud import Target

run, source, target = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
up = [record.event for record in read(run / "journal" / "runner.jsonl").records if isinstance(record.event, events.CanaryUp)]
known = Target.load(run / "target.json")
cloud = connect(known)
mine = next(each for each in up if cloud.compute.get_server(each.server_id).compute_host.split(".")[0] == source)
told = {each.name: getattr(mine, each.name) for each in dataclasses.fields(model.Canary) if each.name != "name"}
canary = model.Canary(name=mine.canary, **told)
with Journal(run / "journal" / "by-hand.jsonl") as journal:
    migration.migrate(cloud, migration.Move("by-hand", canary, source, target, "by-hand"), journal.write, print, timeout_s=120)
"""


def enabled_again(host):
    """Wait until nova, which disables a compute whose libvirtd is dead, has enabled it again."""
    command = f"openstack --os-cloud admin compute service list --service nova-compute --host {host} -f value -c Status -c State"
    deadline = time.monotonic() + 180
    while "enabled up" not in sh("lab-manager", command):
        assert time.monotonic() < deadline, f"nova did not enable {host} again within 180 s"
        time.sleep(3)


@pytest.mark.reddens("libvirtd-dead", "postflight.migration")
def test_a_failed_migration_is_named(quiet_run):
    """A migration to a node whose libvirtd is dead did not succeed, and is named with the node it stayed on."""
    run = quiet_run.parent / "with-migration"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(quiet_run, run)
    try:
        lab("break", "libvirtd-dead", "lab-compute-1")
        on("lab-manager", sys.executable, "-c", MIGRATE, str(run), "lab-compute-0", "lab-compute-1", timeout_s=200)
    finally:
        lab("mend", "libvirtd-dead", "lab-compute-1")
    enabled_again("lab-compute-1")
    records, output = by_hand(run, "postflight")
    assert {FAULTS["libvirtd-dead"].red("postflight.migration")} == told(records), output
    (run / "journal" / "by-hand.jsonl").unlink()
    on("lab-manager", sys.executable, "-c", MIGRATE, str(run), "lab-compute-0", "lab-compute-1", timeout_s=200)
    again, output = by_hand(run, "postflight")
    assert set() == told(again), output


@pytest.mark.reddens("container-restarted", "inflight.others-untouched")
def test_a_restarted_bystander_is_named(quiet_run):
    """A container that a step does not own and that was started anew is named. What was restarted stays restarted."""
    already = told(by_hand(quiet_run, "inflight", "wait")[0])
    lab("break", "container-restarted")
    records, output = by_hand(quiet_run, "inflight", "wait")
    lab("mend", "container-restarted")
    assert {FAULTS["container-restarted"].red("inflight.others-untouched")} == told(records) - already, output
