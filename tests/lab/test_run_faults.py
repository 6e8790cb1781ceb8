"""Faults during and after a small run: each in-flight and post-flight claim is seen red, alone, and green again.

The run replaces nothing: its steps wait, or do what is done already. What it records before each step is real, and so are
its canaries; the faults are made afterwards, and the suites are run by hand, as an operator repeats a check.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time

import pytest

from rehearsal.claimed import checks_of
from rehearsal.journal import read_journal
from tests.lab.lab_nodes import LAB
from tests.lab.lab_nodes import OUT
from tests.lab.lab_nodes import ROOT
from tests.lab.lab_nodes import lab
from tests.lab.lab_nodes import on
from tests.lab.lab_nodes import sh
from tests.lab.lab_nodes import suite
from tests.lab.lab_nodes import told
from tests.lab.made_faults import FAULTS

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

PLAN = """
name: small
title: Nothing is replaced
from_release: "2024.2"
to_release: "2025.1"
services: [keystone, placement, glance, neutron, nova]
defaults:
  keystone: &calm {longest_s: 2, total_s: 5, slow_longest_s: 15, slow_total_s: 60}
  placement: *calm
  glance: {longest_s: 20, total_s: 20, slow_longest_s: 2, slow_total_s: 4}
  neutron: *calm
  nova: *calm
  canaries: {longest_s: 60, total_s: 60}
baseline_s: 5
settle_s: 2
steps:
  - id: pull
    title: Pull what is there
    command: [osism, apply, -a, pull, common//keystone//memcached]
    retag: false
  - id: wait
    title: Wait
    command: [sleep, "%d"]
    containers: [keystone_fernet, memcached]
"""


SEEN = {
    "container-old-tag": {"inflight.step-replaced"},
    "container-unhealthy": {"inflight.step-healthy"},
    "image-missing": {"inflight.pulled-image"},
    "guest-paused": {"inflight.canary-reachable"},
    "network-renamed": {"postflight.nothing-lost"},
    "libvirtd-dead": {"postflight.migration"},
    "container-restarted": {"inflight.others-untouched"},
    "vip-port-blackhole": {"inflight.downtime"},
    "service-frozen": {"inflight.slow-answers"},
}
"""Which fault turns which check red in the tests of this file."""


def rehearse(name, wait_s, *arguments, meanwhile=None):
    """Run the small plan on the manager; return its run directory, and every claim by gate."""
    reports = OUT / name
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    (reports / "plan.yml").write_text(PLAN % wait_s)
    command = [
        sys.executable,
        "-m",
        "rehearsal.cli",
        "run",
        "--yes",
        "--plan",
        str(reports / "plan.yml"),
        "--reports",
        str(reports),
        *arguments,
    ]
    with (reports / "run.log").open("w") as log:
        process = subprocess.Popen(
            [*LAB, "exec", "lab-manager", "--", *command], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            if meanwhile:
                meanwhile(reports)
            process.wait(600)
        finally:
            process.terminate()
            process.wait(120)
    run = next(path for path in sorted(reports.iterdir()) if (path / "journal").is_dir())
    records = [
        each
        for path in sorted((run / "journal").glob("suite-*.jsonl"))
        for each in checks_of(record.event for record in read_journal(path))
    ]
    return run, records, (reports / "run.log").read_text()


def clean(run):
    """Remove the canaries of a run."""
    on("lab-manager", sys.executable, "-m", "rehearsal.cli", "clean", str(run), timeout_s=200, check=False)


def by_hand(run, name, step=""):
    """Run a suite on a recorded run, as an operator repeats it."""
    environment = {
        "REHEARSE_RUN_DIR": str(run),
        "REHEARSE_TARGET": str(run / "target.json"),
        "REHEARSE_PLAN": str(run / "plan.yml"),
    }
    return suite(f"suites/{name}", environment=environment | ({"REHEARSE_STEP": step} if step else {}))


def facts_of(run, kind):
    """Return the recorded events of a kind, in order."""
    return [record.event for record in read_journal(run / "journal" / "runner.jsonl") if record.kind == kind]


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

    def check(name, step, break_, mend, red):
        already = told(by_hand(quiet_run, name, step)[0])
        try:
            break_()
            records, output = by_hand(quiet_run, name, step)
        finally:
            mend()
        assert {red} == told(records) - already, output
        again, output = by_hand(quiet_run, name, step)
        assert set() == told(again) - already, output

    return check


def test_a_container_on_another_image_was_not_replaced(only):
    """A container that a step should have replaced and that has an old tag is named."""
    only(
        "inflight", "wait",
        lambda: lab("break", "container-old-tag"), lambda: lab("mend", "container-old-tag"),
        ("inflight.step-replaced", "lab-control-0", "keystone_fernet"),
    )  # fmt: skip


def test_a_sick_container_of_the_step_is_named(only):
    """A container of the step whose health check fails is named."""
    only(
        "inflight", "wait",
        lambda: lab("break", "container-unhealthy"), lambda: lab("mend", "container-unhealthy"),
        ("inflight.step-healthy", "lab-control-0", "keystone_fernet"),
    )  # fmt: skip


def test_a_missing_image_after_a_pull_is_named(only):
    """An image that a pull should have brought and that is not on the host is named with the host."""
    fault = FAULTS["image-missing"]
    only(
        "inflight", "pull",
        lambda: sh(fault.node, fault.break_), lambda: sh(fault.node, fault.mend),
        ("inflight.pulled-image", "lab-compute-0", "cron"),
    )  # fmt: skip


def test_a_silent_canary_is_named(only, quiet_run):
    """A canary whose processor stands still does not answer."""
    canary = facts_of(quiet_run, "canary-up")[0]
    only(
        "inflight", "wait",
        lambda: lab("break", "guest-paused", canary.server_id), lambda: lab("mend", "guest-paused", canary.server_id),
        ("inflight.canary-reachable", canary.canary, "canary"),
    )  # fmt: skip


def test_a_lost_network_is_named(only):
    """What was in the cloud before and is not as it was is named with its kind."""
    only(
        "postflight", "",
        lambda: on("lab-manager", "openstack", "--os-cloud", "admin", "network", "set", "--name", "renamed", "public"),
        lambda: on("lab-manager", "openstack", "--os-cloud", "admin", "network", "set", "--name", "public", "renamed"),
        ("postflight.nothing-lost", "", "neutron"),
    )  # fmt: skip


MIGRATE = """
import sys
from pathlib import Path
from rehearsal import canary, events, migration
from rehearsal.cloud import connect
from rehearsal.journal import Journal, read_journal
from rehearsal.target import Target

run, source, target = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
up = [record.event for record in read_journal(run / "journal" / "runner.jsonl") if isinstance(record.event, events.CanaryUp)]
known = Target.load(run / "target.json")
cloud = connect(known)
mine = next(each for each in map(canary.of_event, up) if cloud.compute.get_server(each.server_id).compute_host.split(".")[0] == source)
with Journal(run / "journal" / "by-hand.jsonl") as journal:
    migration.migrate(cloud, migration.Move("by-hand", mine, source, target, "by-hand"), journal.write, print, timeout_s=120)
"""


def enabled_again(host):
    """Wait until nova, which disables a compute whose libvirtd is dead, has enabled it again."""
    command = f"openstack --os-cloud admin compute service list --service nova-compute --host {host} -f value -c Status -c State"
    deadline = time.monotonic() + 180
    while "enabled up" not in sh("lab-manager", command):
        assert time.monotonic() < deadline, f"nova did not enable {host} again within 180 s"
        time.sleep(3)


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
    assert {("postflight.migration", "lab-compute-0", "nova")} == told(records), output
    (run / "journal" / "by-hand.jsonl").unlink()
    on("lab-manager", sys.executable, "-c", MIGRATE, str(run), "lab-compute-0", "lab-compute-1", timeout_s=200)
    again, output = by_hand(run, "postflight")
    assert set() == told(again), output


def test_a_restarted_bystander_is_named(quiet_run):
    """A container that a step does not own and that was started anew is named. What was restarted stays restarted."""
    already = told(by_hand(quiet_run, "inflight", "wait")[0])
    sh("lab-compute-0", "docker restart -t 1 cron")
    records, output = by_hand(quiet_run, "inflight", "wait")
    assert {("inflight.others-untouched", "lab-compute-0", "cron")} == told(records) - already, output


def test_downtime_and_slow_answers_are_named():
    """A port black-holed during a step is downtime of its service, a frozen service is slowness of its own; no other."""

    def meanwhile(reports):
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            journals = list(reports.glob("*/journal/runner.jsonl"))
            if journals and '"step":"wait"' in journals[0].read_text():
                break
            time.sleep(0.5)
        time.sleep(2)
        hole = threading.Thread(target=lab, args=("break", "vip-port-blackhole", "placement_api", "--for", "4"))
        hole.start()
        sh(
            "lab-control-0",
            "docker kill -s STOP glance_api; pids=$(docker top glance_api -eo pid | tail -n +2); kill -STOP $pids; sleep 5; kill -CONT $pids; docker kill -s CONT glance_api",
        )
        hole.join()

    run, records, log = rehearse(
        "noisy", 25, "--keep-going", "--without", "migrations", "--without", "canaries", meanwhile=meanwhile
    )
    at_step = [each for each in records if each.gate == "step:wait"]
    assert {("inflight.downtime", "", "placement"), ("inflight.slow-answers", "", "glance")} == told(at_step), log
    assert json.loads((run / "results.json").read_text())["outcome"] == "fail"
