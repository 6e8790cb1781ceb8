"""Canaries on the lab's real cloud: QEMU guests behind floating IPs, migrated by Nova, removed whatever happened."""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab import layout
from lab import nodes

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

PROGRAM = str(Path(__file__).with_name("canary_round.py"))
RUN = "20200101T000000Z"
KILLED = "20200101T000000Z-2"


def inside(*words: str) -> list[str]:
    command = ["/usr/bin/timeout", "--kill-after=5", "600", sys.executable, PROGRAM, *words]
    return list(nodes.command(layout.state(), layout.MANAGER.name, command))


def part(*words: str) -> dict[str, Any]:
    done = subprocess.run(inside(*words), check=False, capture_output=True, text=True, timeout=620)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr[-2000:]
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome


@pytest.fixture(scope="module")
def before() -> dict[str, Any]:
    return part("facts", RUN)


def test_canaries_answer_on_every_compute_and_leave_no_trace(before: dict[str, Any]) -> None:
    """Each compute has a canary that answers through its floating IP and over IPv6; one moves live and stays itself; all go again."""
    try:
        made = part("up", RUN)
        assert made["missing"] == {}
        assert {each["without_ipv6"] for each in made["up"]} == {""}
        prefixes = ipaddress.ip_network(layout.GUEST_PREFIXES_V6)
        assert all(ipaddress.ip_address(each["address_v6"]) in prefixes for each in made["up"])
        assert {each["host"] for each in made["up"]} == {node.name for node in layout.COMPUTES}
        assert len(made["up"]) == len(layout.COMPUTES)

        moved = part("migrate", RUN)
        ended = moved["ended"]
        assert ended["status"] == "completed", ended
        assert ended["server_status"] == "ACTIVE"
        assert ended["host_after"] != moved["move"]
        assert ended["boot_id_after"] == ended["boot_id_before"] != ""
        assert moved["over_ipv6"]["boot_id"] == ended["boot_id_after"]
        assert moved["facts"]["file_sha256"] == moved["facts"]["file_sha256_made"]
        assert ended["facts"]["domain_job"]["job type"] == "Completed"

        assert part("facts", RUN)["facts"] == before["facts"]
    finally:
        cleaned = part("clean", RUN)
    assert cleaned["left"] == []
    assert cleaned["there"] == []
    assert part("facts", RUN)["facts"] == before["facts"]


def test_a_runner_killed_while_it_makes_canaries_leaves_nothing_after_clean(before: dict[str, Any]) -> None:
    """`clean` finds everything of a runner that was killed with -9, by the cloud alone."""
    dead = subprocess.run(inside("killed", KILLED), check=False, capture_output=True, text=True, timeout=620)
    assert "requested canary-" in dead.stdout
    assert dead.returncode != 0

    cleaned = part("clean", KILLED)
    assert cleaned["left"] == []
    assert any(each.startswith("server ") for each in cleaned["removed"])
    assert cleaned["there"] == []
    assert part("facts", KILLED)["facts"] == before["facts"]
