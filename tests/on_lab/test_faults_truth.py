"""The instants that a fault prints contain the truth, as an independent observer on the same clock sees it."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from tests.on_lab.lab_nodes import LAB
from tests.on_lab.lab_nodes import ROOT
from tests.on_lab.lab_nodes import lab
from tests.on_lab.lab_nodes import sh

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

#: Opens a connection every 20 ms, whatever became of the one before; prints [sent, done, answered] of each.
CONNECTIONS = """
import json, socket, sys, threading, time
seen, begun, k = [], time.monotonic(), 0
def one():
    sent = time.monotonic_ns()
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.3).close()
        good = True
    except OSError:
        good = False
    seen.append((sent, time.monotonic_ns(), good))
threads = []
while time.monotonic() < begun + float(sys.argv[3]):
    threads.append(threading.Thread(target=one))
    threads[-1].start()
    k += 1
    time.sleep(max(0.0, begun + k * 0.02 - time.monotonic()))
for thread in threads:
    thread.join()
print(json.dumps(sorted(seen)))
"""

#: Reads the state of a process every 2 ms; prints [instant, state].
STATES = """
import json, sys, time
seen, end = [], time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    before = time.monotonic_ns()
    state = open(f"/proc/{sys.argv[1]}/stat").read().rsplit(")", 1)[1].split()[0]
    seen.append((before, time.monotonic_ns(), state))
    time.sleep(0.002)
print(json.dumps(seen))
"""


def watching(node, source, *arguments):
    """Start an observer on a node."""
    return subprocess.Popen(
        [sys.executable, *LAB[1:], "exec", node, "--", "/usr/bin/python3", "-c", source, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def fault(*words):
    """Make a fault that mends itself; returns the instants it prints."""
    return json.loads(lab("break", *words).stdout)


def test_a_black_hole_lasts_as_long_as_it_says():
    """Connections fail from the beginning to the end that ``vip-port-blackhole`` prints, and at no other time."""
    observer = watching("lab-manager", CONNECTIONS, "10.77.0.9", "8780", "6")
    time.sleep(1.5)
    truth = fault("vip-port-blackhole", "placement_api", "--for", "2.0")
    seen = json.loads(observer.communicate(timeout=60)[0])
    begin, end = truth["begin"], truth["end"]
    failed = [(sent, done) for sent, done, good in seen if not good]
    assert failed
    # A handshake that began before the rules may still have been cut, one that began after their end may not.
    assert all(done >= begin["before_ns"] and sent <= end["after_ns"] for sent, done in failed)
    inside = [good for sent, done, good in seen if begin["after_ns"] <= sent and sent + 300_000_000 <= end["before_ns"]]
    assert inside
    assert not any(inside)
    assert 2.0 <= (end["before_ns"] - begin["after_ns"]) / 1e9


def test_a_guest_stands_still_as_long_as_it_says():
    """QEMU is stopped between the instants that ``guest-paused`` prints, and runs at every other time."""
    name = f"paused-{time.time_ns()}"
    openstack = "sudo -u dragon -i openstack"
    sh(
        "lab-manager",
        f"{openstack} server create --wait --flavor lab.canary --image canary --network public {name} >&2",
        300,
    )
    try:
        listed = sh("lab-manager", f"{openstack} server show {name} -f json")
        server = json.loads(listed)
        node = server["OS-EXT-SRV-ATTR:host"]
        domain = server["OS-EXT-SRV-ATTR:instance_name"]
        pid = sh(node, f"cat /run/libvirt/qemu/{domain}.pid").strip()
        observer = watching(node, STATES, pid, "5")
        time.sleep(1)
        truth = fault("guest-paused", server["id"], "--for", "2.0")
        seen = json.loads(observer.communicate(timeout=60)[0])
        begin, end = truth["begin"], truth["end"]
        stopped = [(before, after) for before, after, state in seen if state == "T"]
        assert stopped
        assert all(after >= begin["before_ns"] and before <= end["after_ns"] for before, after in stopped)
        # The kernel delivers a signal a moment after it was sent.
        slack_ns = 50_000_000
        inside = [
            state
            for before, after, state in seen
            if before >= begin["after_ns"] + slack_ns and after <= end["before_ns"]
        ]
        assert {"T"} == set(inside)
    finally:
        sh("lab-manager", f"{openstack} server delete --wait {name} >&2")


def test_a_service_in_maintenance_answers_503_itself():
    """The 503 comes from the back end and HAProxy keeps it in its pool; afterwards the service answers again."""
    ask = "curl -s -o /dev/null -w '%{http_code}' --max-time 10 https://api-int.lab.test:8780/"
    assert "200" == sh("lab-manager", ask)
    lab("break", "backend-503", "placement_api")
    try:
        time.sleep(12)  # longer than HAProxy takes to give a server up
        assert "503" == sh("lab-manager", ask)
        assert "in maintenance" in sh("lab-manager", "curl -s https://api-int.lab.test:8780/")
        assert "503" == sh("lab-manager", "curl -s -o /dev/null -w '%{http_code}' http://10.77.0.10:8780/")
    finally:
        lab("mend", "backend-503", "placement_api")
    assert "200" == sh("lab-manager", ask)
