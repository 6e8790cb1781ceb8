"""File systems have room for an upgrade, and are seen whether Docker runs or not."""

from __future__ import annotations

import dataclasses
import json

import pytest

from rehearsal.figures.expectation import NotObserved
from rehearsal.hosts import engine
from rehearsal.hosts import look
from rehearsal.hosts import view as hostview
from rehearsal.hosts.parts import disks


def view(*found):
    return hostview.HostView("control-0", seen={"disks": list(found)})


def test_disk_space():
    """A file system without 5 GB for images, 1 GB for data, or 5 % of its inodes free is named."""
    gb = 1_000_000_000
    docker = disks.DiskView("/var/lib/docker", 6 * gb, 50 * gb, 10, 100, holds_images=True)
    assert disks.disk_space(view(docker, disks.DiskView("/var/log", gb, 9 * gb))).holds
    tight = disks.disk_space(view(docker, disks.DiskView("/var/log", gb // 2, 9 * gb)))
    assert ("/var/log has 0.50 GB free of 9.00 GB", False) == (tight.observed, tight.holds)
    assert not disks.disk_space(view(dataclasses.replace(docker, free_bytes=4 * gb))).holds
    assert not disks.disk_space(view(dataclasses.replace(docker, free_inodes=4))).holds
    with pytest.raises(NotObserved):
        disks.disk_space(view())


def test_disks_are_looked_at_without_docker(monkeypatch, tmp_path):
    """No socket of Docker: it is Docker that is named, and the file systems are told all the same."""
    monkeypatch.setattr(engine, "DOCKER_SOCKET", str(tmp_path / "docker.sock"))
    monkeypatch.setattr(disks, "DOCKER_FOLDER", str(tmp_path))
    found = json.loads(json.dumps(look.look({}), default=dataclasses.asdict))
    assert found["errors"]["containers"].startswith(f"OSError: {engine.DOCKER_DEAD} {tmp_path}/docker.sock")
    assert "disks" not in found["errors"]
    assert found["disks"]
    assert found["disks"][0]["holds_images"]
    assert hostview.parse_view("a", found).docker_is_dead
