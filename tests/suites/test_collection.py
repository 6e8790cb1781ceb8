"""The suites list their claims from files alone, the same in every process, and without a cloud none of them passes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml

from rehearsal.claims.catalogue import root
from rehearsal.claims.outcomes import checks_of
from rehearsal.cloud import Endpoint
from rehearsal.cloud import Host
from rehearsal.cloud import Release
from rehearsal.cloud import Target
from rehearsal.cloud import Vip
from rehearsal.recording import events
from rehearsal.recording.journal import Journal
from rehearsal.recording.journal import read

QUICK = ("-p", "no:hypothesispytest")  # which imports all of hypothesis at the end of a session
PLAN = """
name: small
title: Small
from_release: "2024.2"
to_release: "2025.1"
services: [keystone]
defaults:
  keystone: {longest_s: 1}
  canaries: {longest_s: 1}
steps:
  - id: facts
    title: Facts
    command: [osism, apply, facts]
    retag: false
  - id: pull
    title: Pull
    command: [osism, apply, -a, pull, keystone]
    retag: false
  - id: keystone
    title: Keystone
    command: [osism, apply, -a, upgrade, keystone]
    containers: [keystone, keystone_fernet]
"""


@pytest.fixture
def surroundings(tmp_path):
    """A target on loopback ports where nothing listens, a plan, and a run that has begun."""
    configuration = tmp_path / "configuration"
    (configuration / "environments" / "kolla").mkdir(parents=True)
    (configuration / "environments" / "kolla" / "configuration.yml").write_text("enable_heat: no\n")
    target = Target(
        configuration=str(configuration),
        cloud="admin",
        clouds_file="",
        secure_file="",
        cacert="",
        operator_user="nobody",
        operator_key=str(tmp_path / "no-key"),
        hosts=(Host("control-0", "127.0.0.1", ("control",)), Host("<b>compute-0</b>", "127.0.0.1", ("compute",))),
        groups={
            "control": ("control-0",),
            "keystone": ("control-0",),
            "loadbalancer": ("control-0",),
            "compute": ("<b>compute-0</b>",),
        },
        vips=(Vip("internal", "127.0.0.1", "localhost", tls=True),),
        endpoints=(Endpoint("keystone", "internal", "http://127.0.0.1:9", "port-table"),),
        release=Release("2024.2", "9.5.0", "r", "kolla/release", {}),
    )
    run = tmp_path / "run"
    (run / "journal").mkdir(parents=True)
    target.save(run / "target.json")
    (run / "plan.yml").write_text(PLAN)
    with Journal(run / "journal" / "runner.jsonl") as journal:
        container = {
            "name": "haproxy",
            "id": "h",
            "image": "r/kolla/haproxy:1",
            "image_id": "i",
            "status": "running",
            "started_at": "t",
            "labels": {"kolla_version": "1"},
        }
        own = container | {"name": "keystone", "id": "k"}
        manager = container | {"name": "osism-ansible", "labels": {}}
        journal.write(events.HostFacts("step:keystone:before", "control-0", [container, own, manager]))
        journal.write(events.CanaryUp("canary-0", "s", "compute-0", "127.0.0.1", "10.0.0.5", "n", "boot", 9, 9))
        journal.write(events.MigrationBegan("m1", "canary-0", "s", "a", "b", "mixed"))
    return run


def run_suite(run, suite, *arguments, gate="", **environment):
    journal = run / "journal" / f"suite-01-{suite}.jsonl"
    journal.unlink(missing_ok=True)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("REHEARSE_", "PYTEST_", "OS_"))}
    ours = {
        "REHEARSE_RUN_DIR": run,
        "REHEARSE_TARGET": run / "target.json",
        "REHEARSE_PLAN": run / "plan.yml",
        "REHEARSE_JOURNAL": journal,
    }
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            str(root() / "suites" / suite),
            "-p",
            "no:cacheprovider",
            *QUICK,
            "-q",
            *arguments,
        ],
        env=clean | {key: str(value) for key, value in (ours | environment).items()} | {"REHEARSE_GATE": gate or suite},
        cwd=run,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return checks_of([record.event for record in read(journal).records]) if journal.exists() else [], done


def not_applicable(run, suite):
    """What the suite's record says of checks that make no claim."""
    (listed,) = [
        record.event
        for record in read(run / "journal" / f"suite-01-{suite}.jsonl").records
        if isinstance(record.event, events.ClaimsListed)
    ]
    return listed.not_applicable


def test_preflight_without_a_cloud_proves_nothing_and_says_why(surroundings):
    """With hosts and APIs that do not answer, each claim has its record; only what can be seen from here holds or fails."""
    records, done = run_suite(surroundings, "preflight", "-n", "2")
    by_check = {}
    for record in records:
        by_check.setdefault(record.check, set()).add(record.outcome)
    assert {"fail"} == by_check.pop("preflight.api-answers"), done.stdout
    assert {"ok"} == by_check.pop("preflight.lock-file") == by_check.pop("preflight.tag-override")
    # The plan pulls every image and gathers all facts in time, whatever the hosts say now.
    assert {"ok"} == by_check.pop("preflight.target-image") == by_check.pop("preflight.facts-fresh")
    for check, outcomes in by_check.items():
        assert {"unknown"} == outcomes, (check, done.stdout)
    wanted = [record for record in records if record.check == "preflight.container-tag"]
    assert ("control-0", "haproxy", "loadbalancer") in {(each.host, each.container, each.service) for each in wanted}
    assert all("could not be observed" in record.detail for record in wanted)
    assert len({record.node_id for record in records}) == len(records)
    assert not any("<" in record.node_id for record in records)
    assert 1 == done.returncode


def test_a_step_speaks_of_its_own_containers_and_of_bystanders(surroundings):
    """In-flight claims are about the step's containers, everybody else's, the plan's services, and the canaries."""
    records, done = run_suite(surroundings, "inflight", gate="step:keystone", REHEARSE_STEP="keystone")
    told = {(record.check, record.container or record.service or record.host) for record in records}
    assert {
        ("inflight.step-replaced", "keystone"),
        ("inflight.step-replaced", "keystone_fernet"),
        ("inflight.step-healthy", "keystone"),
        ("inflight.step-healthy", "keystone_fernet"),
        ("inflight.others-untouched", "haproxy"),
        # compute-0 was not looked at before the step: its containers are named all the same, and unknown
        ("inflight.others-untouched", "nova_compute"),
        ("inflight.others-untouched", "nova_libvirt"),
        ("inflight.others-untouched", "nova_ssh"),
        ("inflight.downtime", "keystone"),
        ("inflight.downtime", "canaries"),
        ("inflight.slow-answers", "keystone"),
        ("inflight.canary-reachable", "canary"),
    } == told, done.stdout
    assert {"step:keystone"} == {record.gate for record in records}
    silent = next(record for record in records if record.check == "inflight.canary-reachable")
    assert ("fail", "canary-0") == (silent.outcome, silent.host)
    assert "REHEARSE_STEP=keystone" in silent.repeat


def test_nothing_is_expected_of_a_host_that_is_out(surroundings):
    """From the step on that takes it out; a host that reboots is asked, and its containers may have started anew."""
    plan = yaml.safe_load(PLAN)
    out, rest = {"id": "away", "title": "Away", "command": ["true"], "takes_out": ["<b>compute-0</b>"]}, plan["steps"]
    (surroundings / "plan.yml").write_text(yaml.safe_dump({**plan, "steps": [*rest, out]}))
    before, _ = run_suite(surroundings, "inflight", gate="step:keystone", REHEARSE_STEP="keystone")
    there, _ = run_suite(surroundings, "inflight", gate="step:away", REHEARSE_STEP="away")
    after, _ = run_suite(surroundings, "postflight", "-n", "2")
    assert "<b>compute-0</b>" in {record.host for record in before}
    assert "control-0" in {record.host for record in there} & {record.host for record in after}
    assert "<b>compute-0</b>" not in {record.host for record in (*there, *after)}


@pytest.mark.parametrize(("step", "about"), [("facts", False), ("pull", True)])
def test_a_step_that_replaces_nothing_makes_no_claim_about_containers_of_its_own(surroundings, step, about):
    """A step without containers has no step-replaced; a step that pulls answers for the images on every host."""
    records, done = run_suite(surroundings, "inflight", gate=f"step:{step}", REHEARSE_STEP=step)
    checks = {record.check for record in records}
    assert not {"inflight.step-replaced", "inflight.step-healthy"} & checks, done.stdout
    assert about == ("inflight.pulled-image" in checks)
    assert "inflight.others-untouched" in checks
    said = not_applicable(surroundings, "inflight")
    assert f"step {step} replaces no container" == said["inflight.step-replaced"] == said["inflight.step-healthy"]
    assert about == ("inflight.pulled-image" not in said)


@pytest.mark.parametrize("processes", ["0", "2"])
def test_what_the_configuration_rules_out_is_not_claimed_and_the_record_says_why(surroundings, processes):
    """A service that is switched off makes its checks not applicable; what should be there and is not remains an unknown."""
    data = Target.load(surroundings / "target.json").to_dict()
    data["enabled"] |= {"neutron": False}
    data["vips"][0]["tls"] = False
    data["groups"]["loadbalancer"] = []
    Target.from_dict(data).save(surroundings / "target.json")
    records, done = run_suite(surroundings, "preflight", "-n", processes)
    assert {
        "preflight.neutron-agent": "the configuration places no neutron on any host",
        "preflight.certificate": "no virtual address has TLS",
    } == not_applicable(surroundings, "preflight")
    assert "not applicable: preflight.neutron-agent: the configuration places no neutron on any host" in done.stdout
    outcomes = {record.check: record.outcome for record in records}
    assert not {"preflight.neutron-agent", "preflight.certificate"} & set(outcomes)
    assert "unknown" == outcomes["preflight.haproxy-servers"] == outcomes["preflight.nova-service"]


def test_a_pull_is_about_the_new_release_although_the_containers_still_have_the_old_one(surroundings):
    """Once the manager has the new release, a pull must bring its images; nobody knows the old tags any more."""
    data = Target.load(surroundings / "target.json").to_dict()
    data["release"] |= {"openstack": "2025.1", "osism": "10.2.0"}
    Target.from_dict(data).save(surroundings / "target.json")
    records, done = run_suite(surroundings, "inflight", gate="step:pull", REHEARSE_STEP="pull", REHEARSE_EXPECT="from")
    pulled = [record for record in records if record.check == "inflight.pulled-image"]
    assert 3 == len(pulled), done.stdout
    assert all("images could not be observed" in record.detail for record in pulled)
    records, done = run_suite(surroundings, "preflight", "-k", "container_tag", REHEARSE_EXPECT="from")
    tags = [record for record in records if record.check == "preflight.container-tag"]
    assert {"unknown"} == {record.outcome for record in tags}


def test_postflight_compares_and_repeats_preflight(surroundings):
    """Post-flight has its own names for what it takes over, and claims for every kind of thing and every migration."""
    records, done = run_suite(surroundings, "postflight")
    checks = {record.check for record in records}
    assert {"postflight.container-tag", "postflight.nothing-lost", "postflight.migration"} <= checks, done.stdout
    lost = [record for record in records if record.check == "postflight.nothing-lost"]
    assert 9 == len(lost)
    assert {"unknown"} == {record.outcome for record in lost}


def test_an_unknown_step_or_cloud_is_one_sentence(surroundings, tmp_path):
    """What cannot even be listed is an unknown that names what is missing and what to give."""
    records, done = run_suite(surroundings, "inflight", REHEARSE_STEP="heat")
    assert {"unknown"} == {record.outcome for record in records}, done.stdout
    assert any("The plan has no step 'heat'" in record.detail for record in records)
    records, done = run_suite(
        surroundings, "preflight", REHEARSE_TARGET="", REHEARSE_PLAN="", REHEARSE_CONFIGURATION=tmp_path / "nowhere"
    )
    assert {"unknown"} == {record.outcome for record in records}, done.stdout
    assert any("The inventory is missing" in record.detail for record in records), records
