"""Own claims on the lab: the worked example of docs/own-claims.md and one claim that cannot hold, in a pre-flight gate."""

from __future__ import annotations

import shutil

import pytest

from tests.made.ownclaims import write
from tests.on_lab.lab_nodes import OUT
from tests.on_lab.small_runs import claims_of
from tests.on_lab.small_runs import facts_of
from tests.on_lab.small_runs import go
from tests.on_lab.small_runs import results_of
from tests.on_lab.small_runs import run_in
from tests.own.test_docs_example import EXAMPLE

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

MORE = '''
from rehearsal.api import check


@check("own.docker-is-there", hosts="compute")
def test_docker_is_there(host, hosts):
    """Docker's socket is there, and its containers were seen."""
    assert host.file("/run/docker.sock").exists or hosts[host.backend.host.name].containers


@check("own.cannot-hold", hosts="lab-compute-1", remedy="Nothing to do.")
def test_cannot_hold(host):
    """A file that nobody made is there."""
    assert host.file("/nowhere/to/be/found").exists
'''


def test_own_claims_decide_the_preflight_gate():
    """What holds is green, what does not is red with its host, and the report says from which files both came."""
    reports = OUT / "own-claims"
    shutil.rmtree(reports, ignore_errors=True)
    own = write(reports / "own", {**EXAMPLE, "test_more.py": MORE})
    process = go(reports, "preflight", "--suites", str(own), "--reports", str(reports / "runs"))
    try:
        process.wait(600)
    finally:
        process.terminate()
        process.wait(120)
    said = (reports / "run.log").read_text()
    assert 1 == process.returncode, said
    run = run_in(reports / "runs")
    found = {(each.check, each.host): each.outcome for each in claims_of(run) if each.suite == "own"}
    assert "fail" == found["own.cannot-hold", "lab-compute-1"], said
    assert "ok" == found["own.docker-is-there", "lab-compute-1"], said
    assert "ok" == found["own.routers.routers_are_up", ""], said
    times = {outcome for (check, _), outcome in found.items() if check == "own.time-synchronised"}
    assert times <= {"ok", "fail"}, said  # whether the machine's clock is kept is not the lab's; every host was reached
    assert "own.guests-barely-notice" not in {check for check, _ in found}
    (reading,) = facts_of(run, "own-claims-read")
    assert {*EXAMPLE, "test_more.py"} == {file["name"] for file in reading.files}
    results = results_of(run)
    assert reading.sha256 in results["provenance"]["own claims"]
    assert {"Nothing to do."} == {each["remedy"] for each in results["checks"] if each["id"] == "own.cannot-hold"}
