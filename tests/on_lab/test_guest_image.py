"""The lab's guest image and the beacon in it, under plain QEMU without KVM."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from lab import layout
from lab.guest import GuestImage
from lab.guest import build
from rehearsal import beacon
from tests.on_lab.machine import Machine
from tests.on_lab.machine import metadata
from tests.on_lab.machine import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def image() -> GuestImage:
    return build(layout.state().root, print)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "operator"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=30)
    return path


def files(key: Path, settings: beacon.BeaconSettings | None = None) -> dict[str, bytes]:
    public = key.with_suffix(".pub").read_text()
    return {
        "meta_data.json": json.dumps(metadata(public)).encode(),
        "user_data": beacon.user_data(settings).encode(),
    }


@pytest.fixture(scope="module")
def machine(image: GuestImage, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with running(image, tmp_path_factory.mktemp("guest"), files=files(key)) as started:
        started.heard()
        yield started


def said(key: Path, machine: Machine, command: str) -> str:
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]
    ssh = ["ssh", "-q", *options, "-i", str(key), "-p", str(machine.ssh_port), "root@127.0.0.1", command]
    return subprocess.run(ssh, check=True, capture_output=True, text=True, timeout=60).stdout


def test_user_data_runs_once_and_starts_the_python_beacon(machine: Machine) -> None:
    """A guest reads its user data from the metadata service and starts the beacon with the Python that it has."""
    ends_s = time.monotonic() + 20
    while not (facts := machine.heard().facts)["asks"]["metadata"]["asked"] and time.monotonic() < ends_s:
        time.sleep(0.2)

    assert facts["kind"] == "python"
    assert facts["boots"] == 1
    assert facts["hostname"] == "canary-one"
    assert facts["direct"] is True
    assert facts["asks"]["metadata"]["ok"] == facts["asks"]["metadata"]["asked"] > 0
    assert facts["write_errors"] == 0
    assert len(facts["file_sha256"]) == 64
    assert facts["file_sha256"] == facts["file_sha256_made"]


def test_the_operator_logs_in_with_the_key_of_the_metadata(machine: Machine, key: Path) -> None:
    """The key pair of the metadata opens the guest's SSH server."""
    assert said(key, machine, "hostname").strip() == "canary-one"


def test_several_clients_are_echoed_at_once(machine: Machine) -> None:
    """The echo port serves several established flows, byte for byte."""
    address = ("127.0.0.1", machine.echo_port)
    with socket.create_connection(address, 10) as one, socket.create_connection(address, 10) as two:
        one.sendall(b"\x00one\n")
        two.sendall(b"two")
        assert one.recv(100) == b"\x00one\n"
        assert two.recv(100) == b"two"


def test_a_guest_stopped_by_its_hypervisor_is_told_from_its_clock(machine: Machine) -> None:
    """A pause by the hypervisor, which stops the guest's clock, is measured with bounds that contain the truth."""
    before = machine.heard()
    machine.order("stop")
    stopped_ns = time.monotonic_ns()
    time.sleep(1.5)
    truth_s = (time.monotonic_ns() - stopped_ns) / 1e9
    machine.order("cont")
    at_least, at_most = beacon.stood_still_s(before, machine.heard())

    # The commands themselves take a few milliseconds before and after the instants that were read.
    assert truth_s <= at_most
    assert at_least <= truth_s + 0.5


def test_a_frozen_hypervisor_is_told_by_the_heartbeat(machine: Machine) -> None:
    """A guest whose QEMU process stands still sees the gap in its own heartbeat."""
    before = machine.heard().facts
    os.kill(machine.process.pid, signal.SIGSTOP)
    time.sleep(1.0)
    os.kill(machine.process.pid, signal.SIGCONT)
    after = machine.heard().facts

    assert after["pauses"] > before["pauses"]
    assert any(800 <= length_ms <= 2000 for _, length_ms in after["pause_list"])


def test_a_reboot_shows_as_another_boot_id_with_the_same_file(machine: Machine) -> None:
    """After a reset the beacon comes back by itself, with another boot id and its file intact."""
    before = machine.heard()
    machine.order("system_reset")
    after = machine.heard(other_than=before.boot_id)

    assert after.boot_id != before.boot_id
    assert after.facts["boots"] == before.facts["boots"] + 1
    assert after.facts["file_sha256"] == before.facts["file_sha256"]


def test_a_config_drive_serves_as_well(image: GuestImage, key: Path, tmp_path: Path) -> None:
    """A guest without a metadata service reads the config drive."""
    with running(image, tmp_path, files=files(key), drive=True) as machine:
        assert machine.heard().facts["hostname"] == "canary-one"
        assert "config drive" in machine.console.read_text(errors="replace")


def test_busybox_alone_makes_a_beacon(image: GuestImage, key: Path, tmp_path: Path) -> None:
    """Without Python the shell's beacon tells the same facts, echoes several clients and sees a frozen hypervisor."""
    with running(image, tmp_path, files=files(key, beacon.BeaconSettings(kind="shell"))) as machine:
        before = machine.heard()
        address = ("127.0.0.1", machine.echo_port)
        with socket.create_connection(address, 10) as one, socket.create_connection(address, 10) as two:
            one.sendall(b"one")
            two.sendall(b"two")
            assert one.recv(10) == b"one"
            assert two.recv(10) == b"two"
        os.kill(machine.process.pid, signal.SIGSTOP)
        time.sleep(1.0)
        os.kill(machine.process.pid, signal.SIGCONT)
        time.sleep(1.5)
        after = machine.heard()

    assert before.facts["kind"] == "shell"
    assert before.facts["file_sha256"] == before.facts["file_sha256_made"]
    assert after.boot_id == before.boot_id
    assert after.facts["beats"] > before.facts["beats"]
    assert 800 <= after.facts["pause_longest_ms"] <= 2000
