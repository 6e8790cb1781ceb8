"""The manager of the running lab answers as an OSISM manager does, with the real `osism`."""

from __future__ import annotations

import re

import pytest

from tests.on_lab.lab_nodes import lab
from tests.on_lab.lab_nodes import on
from tests.on_lab.lab_nodes import sh

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

CONTROL, MANAGER = "lab-control-0", "lab-manager"


def osism(*words):
    """Exit code and everything that an `osism` command printed, run by the operator."""
    done = lab("exec", "--operator", MANAGER, "--", "osism", *words, check=False)
    return done.returncode, re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)


def cells(text):
    """The rows of a table that `osism` printed."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def started(container, host=CONTROL):
    return on(host, "docker", "inspect", "-f", "{{.State.StartedAt}}", container).strip()


def test_the_inventory_has_the_clouds_hosts():
    """``osism get hosts`` lists the four nodes."""
    code, text = osism("get", "hosts")
    assert 0 == code, text
    assert {"lab-manager", CONTROL, "lab-compute-0", "lab-compute-1"} == {
        row[0] for row in cells(text)[1:] if row[0].strip("-")
    }


def test_versions_and_labels_agree():
    """``osism get versions manager`` tells the release that the repository names."""
    code, text = osism("get", "versions", "manager")
    assert 0 == code, text
    version = sh(MANAGER, "sed -n 's/^manager_version: //p' /opt/configuration/environments/manager/configuration.yml")
    assert ["kolla-ansible", version.strip()] in [row[:2] for row in cells(text)]


def test_facts_are_gathered_from_every_host():
    """``osism apply facts`` reaches every node over SSH, and ``osism get facts`` shows what it found."""
    code, text = osism("apply", "facts")
    assert 0 == code, text
    assert "facts of 4 hosts" in text
    code, text = osism("get", "facts", CONTROL, "ansible_hostname")
    assert CONTROL in text


def test_a_locked_manager_starts_no_task():
    """After ``osism lock`` an apply is refused with exit code 1; after ``osism unlock`` it is not."""
    assert 0 == osism("lock", "--reason", "test")[0]
    try:
        assert "LOCKED by dragon" in osism("lock", "status")[1]
        code, text = osism("apply", "-a", "pull", "memcached")
        assert 1 == code
        assert "Tasks are currently locked" in text
    finally:
        osism("unlock")
    assert 0 == osism("apply", "-a", "pull", "memcached")[0]


def test_a_locked_repository_starts_no_play():
    """``environments/.lock`` forbids plays with exit code 1."""
    lock = "/opt/configuration/environments/.lock"
    sh(MANAGER, f"touch {lock}")
    try:
        code, text = osism("apply", "-a", "pull", "memcached")
    finally:
        sh(MANAGER, f"rm {lock}")
    assert 1 == code
    assert "The configuration repository is locked." in text


def test_a_missing_image_fails_like_a_pull():
    """A tag that the registry lacks fails with "manifest unknown" and exit code 2."""
    code, text = osism("apply", "-a", "pull", "memcached", "-e", "memcached_tag=9.9.9")
    assert 2 == code
    assert "memcached:9.9.9 not found: manifest unknown" in text


def test_an_unreachable_host_gives_exit_code_4():
    """A node without sshd is unreachable for a play; the others are served."""
    sh("lab-compute-1", "kill $(cat /run/sshd.pid)")
    try:
        code, text = osism("apply", "-a", "pull", "common")
    finally:
        sh("lab-compute-1", "/usr/sbin/sshd")
    assert 4 == code
    assert "fatal: [lab-compute-1]: UNREACHABLE!" in text
    assert re.search(r"lab-compute-0 +: ok=2", text)


def test_an_unknown_limit_is_an_error():
    """``-l`` with a host that the inventory lacks ends with exit code 1."""
    code, text = osism("apply", "-a", "pull", "common", "-l", "lab-nowhere")
    assert 1 == code
    assert "does not match any hosts: lab-nowhere" in text


def test_applying_twice_restarts_nothing():
    """``osism apply`` of a service that is as it should be restarts no container."""
    before = started("memcached")
    code, text = osism("apply", "memcached")
    assert 0 == code, text
    assert before == started("memcached")


def test_reconfigure_after_a_stop_starts_the_container_again():
    """A stopped container is found and replaced by ``-a reconfigure``."""
    on(CONTROL, "docker", "stop", "keystone_fernet")
    code, text = osism("apply", "-a", "reconfigure", "keystone")
    assert 0 == code, text
    assert "keystone_fernet: is exited" in text
    assert "true" == on(CONTROL, "docker", "inspect", "-f", "{{.State.Running}}", "keystone_fernet").strip()


def test_computes_are_listed_disabled_and_enabled():
    """``osism manage compute`` sees both computes and switches one off and on."""
    listed = {row[1]: row[2:] for row in cells(osism("manage", "compute", "list")[1])[1:] if len(row) == 4}
    assert {"lab-compute-0": ["enabled", "up"], "lab-compute-1": ["enabled", "up"]} == listed
    try:
        assert 0 == osism("manage", "compute", "disable", "lab-compute-1")[0]
        assert ["disabled", "up"] in [row[2:] for row in cells(osism("manage", "compute", "list")[1])]
    finally:
        assert 0 == osism("manage", "compute", "enable", "lab-compute-1")[0]
