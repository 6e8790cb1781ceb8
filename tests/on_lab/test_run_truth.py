"""Faults of known length during a step: measured with bounds that contain the truth, and told as what they are."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.faults import FAULTS
from tests.on_lab import small_runs
from tests.on_lab.lab_nodes import lab
from tests.on_lab.lab_nodes import sh
from tests.on_lab.lab_nodes import told

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


def made(*words):
    """Make a fault that mends itself; return the least and the most that it lasted (ns), by the kernel's clock."""
    told_ = json.loads(lab("break", *words).stdout)
    begin, end = told_["begin"], told_["end"]
    return end["before_ns"] - begin["after_ns"], end["after_ns"] - begin["before_ns"]


@pytest.mark.reddens("vip-port-blackhole", "inflight.downtime")
@pytest.mark.reddens("service-frozen", "inflight.slow-answers")
def test_known_faults_lie_within_what_was_measured():
    """A hole of 2.0 s is downtime of its service, a pause of 3.0 s silence of its guest, a frozen service slowness; no more."""
    truth = {}

    def meanwhile(reports):
        small_runs.wait_for_step(reports, "wait")
        canary = small_runs.facts_of(small_runs.run_in(reports), "canary-up")[0]
        with ThreadPoolExecutor() as pool:
            hole = pool.submit(made, "vip-port-blackhole", "placement_api", "--for", "2.0")
            pause = pool.submit(made, "guest-paused", canary.server_id, "--for", "3.0")
            pool.submit(lab, "break", "service-frozen", "--for", "14")
        truth.update(placement=hole.result(), canaries=pause.result(), canary=canary.canary)

    run, records, log = small_runs.rehearse("truth", 30, "--keep-going", "--without", "migrations", meanwhile=meanwhile)
    at_step = [each for each in records if each.gate == "step:wait"]
    down, slow = FAULTS["vip-port-blackhole"], FAULTS["service-frozen"]
    assert {down.red("inflight.downtime"), slow.red("inflight.slow-answers")} == told(at_step), log

    results = small_runs.results_of(run)
    assert results["outcome"] == "fail"
    charged = {
        each["service"]: each
        for each in results["matrix"]
        if each["stretch"]["name"] == "wait" and each["kind"] == "down"
    }
    for service in ("placement", "canaries"):
        least_ns, most_ns = truth[service]
        cell = charged[service]
        assert cell["count"] == 1, cell
        assert cell["longest"]["certain_ns"] <= most_ns, (truth, cell)
        assert cell["longest"]["possible_ns"] >= least_ns, (truth, cell)
    # Each lane bounds what it saw by its own samples: the one that looks often, over new connections, knows the hole closely.
    often = [
        each["length"]
        for each in results["windows"]
        if each["probe_name"] == "placement public new" and each["kind"] == "down" and each["stretch"]["name"] == "wait"
    ]
    assert often
    assert all(each["possible_ns"] - each["certain_ns"] <= 500_000_000 for each in often), often
    # What is certain is known by the lane that looks often (ten times a second), what is possible by the rarest that met it: in
    # the focus of a step none looks less than twice a second. Each bound is a period off at either end, and an answer's time.
    least_ns, most_ns = truth["placement"]
    hole = charged["placement"]["longest"]
    assert hole["certain_ns"] >= least_ns - 2 * 100_000_000 - 50_000_000, (truth, hole)
    assert hole["possible_ns"] <= most_ns + 2 * 500_000_000 + 50_000_000, (truth, hole)
    # What reached a guest in the last second of its pause waits in its queue and is answered in time afterwards: each
    # such answer proves only that the guest lived at some moment in between.
    paused = charged["canaries"]["longest"]
    assert paused["possible_ns"] - paused["certain_ns"] <= 1_500_000_000, paused
    silent = {
        each["canary"] for each in results["windows"] if each["lane"] == "icmp" and each["stretch"]["name"] == "wait"
    }
    assert silent == {truth["canary"]}
    least_ns, most_ns = truth["canaries"]
    for flow in results["flows"]:
        if flow["lane"] in {"icmp", "icmp v6"}:
            paused = flow["canary"] == truth["canary"]
            assert flow["longest"]["certain_ns"] <= (most_ns if paused else 0), flow
            assert flow["longest"]["possible_ns"] >= (least_ns if paused else 0), flow
    lanes = {(flow["canary"], flow["lane"]) for flow in results["flows"]}
    assert (truth["canary"], "icmp v6") in lanes


PREFER = (
    "for table in Gateway_Chassis HA_Chassis; do for one in $(docker exec ovn_nb_db ovn-nbctl --bare --columns=_uuid find "
    "$table chassis_name={host}); do docker exec ovn_nb_db ovn-nbctl set $table $one priority=99; done; done"
)


def test_a_gateway_that_moves_is_seen():
    """The router's gateway is given to the other node, as an operator would do it: where it was and where it is now are told."""
    truth = {}

    def meanwhile(reports):
        small_runs.wait_for_step(reports, "wait")
        ask = "docker exec ovn_sb_db ovn-sbctl --bare"
        chassis = sh("lab-control-0", f"{ask} --columns=chassis find Port_Binding type=chassisredirect").strip()
        truth["from"] = sh("lab-control-0", f"{ask} --columns=hostname list Chassis {chassis}").strip()
        (truth["to"],) = {"lab-compute-0", "lab-compute-1"} - {truth["from"]}
        sh("lab-control-0", PREFER.format(host=truth["to"]))

    run, _, log = small_runs.rehearse("gateway", 10, "--keep-going", "--without", "migrations", meanwhile=meanwhile)
    told = [each for each in small_runs.results_of(run)["happenings"] if each["kind"] == "gateway"]
    move, *returns = sorted(told, key=lambda each: each["from_ns"])
    assert (move["what"], move["host"]) == (f"moved from {truth['from']}", truth["to"]), log
    # The old node's release may be written after the new node's claim and undo it: then the new node claims once more.
    assert [(each["what"], each["host"]) for each in returns] in ([], [("left and came back", truth["to"])]), log
    assert all(each["to_ns"] - move["from_ns"] < 5_000_000_000 for each in returns), log
