"""The terminal: one live block below lines that stay, and nothing but lines in a pipe."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

from tests.made.screen import Screen
from tests.made.small_run import Small

pytestmark = [pytest.mark.realtime, pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning")]

COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
LINE = re.compile(r"^\d\d:\d\d:\d\d ")
SHOWS = """
import sys, time
from rehearsal.runner.progress import live, paused, say, still

with live(lambda: ["block one", "  failing: nova " + "x" * 300]):
    say("FAIL before")
    say("from the step", prefix="one")
    print("a library warns", file=sys.stderr)
    time.sleep(1.2)
    still("a quiet line")
    with paused():
        input("Continue? ")
    time.sleep(0.7)
    say("after the answer " + "y" * 300)
say("at the end")
"""


def shows(**environment: str) -> Screen:
    return Screen([sys.executable, "-c", SHOWS], **environment)


def answered(screen: Screen) -> int | None:
    screen.read(lambda: "Continue?" in "".join(screen.text))
    os.write(screen._own, b"yes\n")
    return screen.read()


def test_a_block_is_drawn_below_the_lines_and_taken_away():
    """It stands below what is said, is cut at the width, is gone while something is asked, and leaves nothing."""
    screen = shows()
    screen.read(lambda: any("block one" in line for line in screen.text))
    screen.read(lambda: "warns" in "".join(screen.text))
    assert "block one" == screen.text[3]
    assert "  failing: nova " + "x" * 83 + "…" == screen.text[4]
    screen.read(lambda: "Continue?" in "".join(screen.text))
    assert not any("block one" in line for line in screen.text)
    assert 0 == answered(screen)
    assert ["FAIL before", "one | from the step"] == [line[9:] for line in screen.text[:2]]
    assert ["a library warns", "Continue? yes"] == screen.text[2:4]
    assert "after the answer " + "y" * 74 == screen.text[4][9:]  # the terminal breaks it: it can be copied whole
    assert "at the end" == screen.text[-1][9:]
    assert not any("block one" in line or "quiet" in line for line in screen.text)


def test_the_cursor_is_never_hidden():
    """Whoever is killed cannot bring it back."""
    screen = shows()
    answered(screen)
    assert b"\x1b[?25l" not in screen.heard


def test_a_pipe_gets_lines_only():
    """Every line has its time, none has a control character, and nothing is drawn; with FORCE_COLOR there are colours."""
    command = [sys.executable, "-c", SHOWS.replace('input("Continue? ")', "pass")]
    clean = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    plain = subprocess.run(command, capture_output=True, env=clean, check=True).stdout.decode()
    assert ["FAIL before", "one | from the step", "a quiet line"] == [line[9:] for line in plain.splitlines()[:3]]
    assert all(LINE.match(line) and line.isprintable() for line in plain.splitlines())
    forced = subprocess.run(command, capture_output=True, env={**clean, "FORCE_COLOR": "1"}, check=True).stdout
    assert COLOUR.search(forced)
    assert [line[9:] for line in plain.splitlines()] == [
        line[9:] for line in COLOUR.sub(b"", forced).decode().splitlines()
    ]


@pytest.mark.parametrize("name", ["NO_COLOR", "TERM"])
def test_no_colour_where_none_is_wanted(name):
    """NO_COLOR leaves the block and takes the colours; a dumb terminal gets lines only."""
    screen = shows(**{name: "1" if name == "NO_COLOR" else "dumb"})
    assert 0 == answered(screen)
    assert not COLOUR.search(screen.heard)
    assert (b"block one" in screen.heard) == (name == "NO_COLOR")
    assert (b"\x1b" in screen.heard) == (name == "NO_COLOR")


def test_colours_on_a_terminal():
    """What failed is red."""
    screen = shows()
    answered(screen)
    assert "red" == screen.shown.buffer[0][9].fg


def test_a_terminal_that_becomes_smaller():
    """The block is cut anew, and the lines go on."""
    screen = shows()
    screen.read(lambda: any("block one" in line for line in screen.text))
    screen.resize(40, 30)
    assert 0 == answered(screen)
    assert b"\n\x1b[31m  failing: nova " + b"x" * 23 + "…".encode() in screen.heard
    assert "at the end" == screen.text[-1][9:]


def test_the_lab_and_other_long_work_show_a_live_line():
    """`rehearse-lab` prints what is done, and below it what the next thing has taken so far."""
    script = """
import time
from lab import cli
from rehearsal.runner.progress import working
with cli._progress("bringing the lab up") as say:
    say("images pulled")
    time.sleep(1.2)
with working("measuring 12 outages"):
    time.sleep(0.8)
"""
    screen = Screen([sys.executable, "-c", script])
    screen.read(
        lambda: any(
            re.match(r"bringing the lab up · 1\.\d s · 1\.\d s since: images pulled", line) for line in screen.text
        )
    )
    screen.read(lambda: any(line.startswith("measuring 12 outages · 0.") for line in screen.text))
    assert 0 == screen.read()
    assert ["   0.0 s  images pulled"] == [line[9:] for line in screen.text]


@pytest.fixture
def small(tmp_path):
    return Small(
        tmp_path, {"one": f"echo begun; echo begun >> {tmp_path}/trace; sleep 3; echo done", "two": "echo two"}
    )


def test_a_run_shows_step_and_times(small):
    """`rehearse run` on a terminal: step n of m with its title and times while its output streams, and a tidy end."""
    screen = Screen(small.command_line())
    screen.read(
        lambda: (
            {"step 1 of 2", "one | begun"} <= {line[:11] for line in screen.text} | {line[9:] for line in screen.text}
        )
    )
    block = next(number for number, line in enumerate(screen.text) if line.startswith("step 1 of 2"))
    assert re.match(r"step 1 of 2, one: one · \d\.\d s · run \d", screen.text[block])
    assert "one | begun" == screen.text[block - 1][9:]
    assert screen.read() in {0, 2}
    assert any(line.endswith("one | done") for line in screen.text)
    assert not any(line.startswith("step ") for line in screen.text)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_leaves_the_terminal_in_order(small, number):
    """After Ctrl-C the block is gone; after a kill -9 the cursor stands on an empty line of its own, and is seen."""
    screen = Screen(small.command_line())
    screen.read(lambda: any(line.startswith("step 1 of 2") for line in screen.text))
    os.kill(screen.pid, number)
    code = screen.read()
    assert 0 == screen.shown.cursor.x
    assert not screen.shown.cursor.hidden
    assert "default" == screen.shown.cursor.attrs.fg
    if number == signal.SIGKILL:
        assert -9 == code
    else:
        assert not any(line.startswith("step 1 of 2") for line in screen.text)
