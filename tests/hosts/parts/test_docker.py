"""Containers as Docker describes them, and their own health checks asked out of turn."""

from __future__ import annotations

import pytest

from rehearsal.hosts import engine
from rehearsal.hosts.look import Look
from rehearsal.hosts.parts import docker


@pytest.mark.parametrize(
    ("check", "inside", "healthy"),
    [
        ({"Test": ["CMD-SHELL", "healthcheck_port nova 5672"]}, "/bin/sh -c healthcheck_port nova 5672", True),
        ({"Test": ["CMD", "healthcheck_curl", "http://a b"]}, "healthcheck_curl http://a b", True),
        ({"Test": ["CMD-SHELL", "fail"]}, "/bin/sh -c fail", False),
        ({"Test": ["CMD-SHELL", "hang"], "Timeout": 300_000_000}, "/bin/sh -c hang", False),
        ({"Test": ["NONE"]}, "", False),
        ({}, "", False),
    ],
)
def test_a_new_container_is_asked_its_own_check(tmp_path, monkeypatch, check, inside, healthy):
    """The container's own words run inside of it, within its own time limit; a container without a check proves nothing."""
    program = tmp_path / "docker"
    program.write_text(
        f'#!/bin/sh\necho "$*" > {tmp_path}/asked\ncase "$*" in *fail) exit 1;; *hang) exec sleep 9;; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert healthy == docker.ask_health("c1", {"Healthcheck": check} if check else {})
    asked = tmp_path / "asked"
    assert (f"exec c1 {inside}\n" if inside else None) == (asked.read_text() if asked.exists() else None)


def test_only_undecided_containers_are_asked_and_only_if_told_to(monkeypatch):
    """A container that Docker calls healthy or unhealthy stays what Docker calls it."""
    rows = {
        name: {
            "Id": name, "Name": f"/{name}", "Image": "sha256:1", "Created": "",
            "Config": {"Image": "i"},
            "State": {"Status": "running", "ExitCode": 0, "StartedAt": "", "Health": {"Status": name, "Log": []}},
        }
        for name in ("healthy", "unhealthy", "starting")
    }  # fmt: skip
    answers = {"/containers/json?all=1": list(rows.values())} | {f"/containers/{n}/json": rows[n] for n in rows}
    asked: list[str] = []
    monkeypatch.setattr(engine, "docker", lambda path, _timeout_s: answers[path])
    monkeypatch.setattr(docker, "ask_health", lambda name, _config: not asked.append(name))
    assert ["healthy", "starting", "unhealthy"] == [each.health for each in docker.containers(Look({}))]
    assert [] == asked
    found = {each.name: each for each in docker.containers(Look({"ask_health": True}))}
    assert (["starting"], "healthy", docker.ASKED) == (
        asked,
        found["starting"].health,
        found["starting"].health_said,
    )
    assert "unhealthy" == found["unhealthy"].health


def test_the_moment_of_the_last_health_check_is_told(monkeypatch):
    """Docker's log says when a check began; only so can one be told that is older than the container's start."""
    row = {
        "Id": "1", "Name": "/x", "Image": "i", "Created": "c",
        "Config": {"Image": "r", "Labels": None},
        "State": {"Status": "running", "ExitCode": 0, "StartedAt": "s", "Pid": 1, "Health": {"Status": "healthy", "Log": [
            {"Start": "2026-11-24T06:00:00Z", "Output": ""}, {"Start": "2026-11-24T06:00:30Z", "Output": ""}]}},
    }  # fmt: skip
    monkeypatch.setattr(
        engine, "docker", lambda path, _timeout_s: {"/containers/json?all=1": [row], "/containers/1/json": row}[path]
    )
    assert ["2026-11-24T06:00:30Z"] == [each.checked_at for each in docker.containers(Look({}))]
