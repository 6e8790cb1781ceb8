"""Tasks go over hosts as Ansible's do: failed hosts are left out, and the exit code says what became of them."""

from __future__ import annotations

import subprocess

import pytest

from lab.plays.play import FAILED
from lab.plays.play import OK
from lab.plays.play import UNREACHABLE
from lab.plays.play import Play
from lab.plays.play import PlayEnded
from lab.plays.play import TaskFailed
from lab.plays.remote import Unreachable


def fail(host, on, error):
    if host == on:
        raise error


def test_a_quiet_play_is_ok():
    """Without failures the exit code is 0, and hosts without tasks are not in the recap."""
    said = []
    play = Play(("a", "b"), say=said.append)
    play.begin("P", ("a",))
    assert {"a": True} == play.task("T", ("a",), lambda _host: "did it")
    assert OK == play.recap()
    assert "changed: [a] => did it" in said
    assert not any(line.startswith("b ") for line in said)


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (TaskFailed("broken"), FAILED, "FAILED"),
        (subprocess.CalledProcessError(3, ["docker", "rm"], "", "gone"), FAILED, "FAILED"),
        (Unreachable("no route"), UNREACHABLE, "UNREACHABLE"),
    ],
)
def test_a_failed_host_is_left_out(error, code, word):
    """A host that failed takes no part in later tasks; the others go on; the exit code tells."""
    said = []
    play = Play(("a", "b"), say=said.append)
    play.begin("P", ("a", "b"))
    play.task("first", ("a", "b"), lambda host: fail(host, "a", error))
    assert ("b",) == play.alive(("a", "b"))
    assert {"b": False} == play.task("second", ("a", "b"), lambda _host: None)
    assert code == play.recap()
    assert any(line.startswith(f"fatal: [a]: {word}! =>") for line in said)


def test_a_fatal_task_ends_the_play():
    """When a task that is fatal for all fails on one host, the play ends there."""
    play = Play(("a", "b"), say=lambda _line: None)
    play.begin("P", ("a", "b"))
    with pytest.raises(PlayEnded):
        play.once("database", "a", lambda _host: fail("a", "a", TaskFailed("no")))
    assert FAILED == play.recap()


def test_a_play_without_hosts_left_ends():
    """When every host of a play has failed, nothing more is done."""
    play = Play(("a", "b", "manager"), say=lambda _line: None)
    play.begin("P", ("a", "b"))
    with pytest.raises(PlayEnded):
        play.task("T", ("a", "b"), lambda host: fail(host, host, TaskFailed("no")))


def test_a_play_without_hosts_is_skipped():
    """A play whose hosts are not in the limit says so and does nothing."""
    said = []
    play = Play(("a",), say=said.append)
    assert not play.begin("P", ("b",))
    assert "skipping: no hosts matched" in said
    assert {} == play.task("T", ("b",), lambda _host: True)


def test_a_failed_command_says_which_and_why():
    """The message has the command, its status and its last words."""
    said = []
    play = Play(("a",), say=said.append)
    play.begin("P", ("a",))
    error = subprocess.CalledProcessError(125, ["docker", "run", "x"], "", "line 1\nno such image")
    with pytest.raises(PlayEnded):
        play.task("T", ("a",), lambda host: fail(host, "a", error))
    assert any("125: docker run x: line 1 | no such image" in line for line in said)
