"""What comes from elsewhere is never a command to the terminal that shows it."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal import cli
from rehearsal.outside.plaintext import for_terminal
from rehearsal.outside.plaintext import plain
from rehearsal.outside.terminal import show
from rehearsal.runner.output import Output
from rehearsal.runner.progress import say

if TYPE_CHECKING:
    from pathlib import Path

HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
SEQUENCES = (
    "\x1b]0;title\x07",
    "\x1b]52;c;ZXZpbA==\x1b\\",
    "\x1bPq#0\x1b\\",
    "\x1b[2J\x1b[1;1H",
    "\x1b[31mred\x1b[0m",
    "\x9b2J",
    "\x9d0;title\x9c",
    "\x1bc",
    "\x1b(0",
    "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",
    "\u202egnp.exe",
    "first\rsecond",
    "\x1b",
    "\x1b]0;not ended",
    "\x08\x08\x08",
    "\u2066",
    "\x00",
)
texts = st.lists(st.one_of(st.sampled_from(SEQUENCES), st.text(max_size=8)), max_size=8).map("".join)


@given(texts)
def test_nothing_harmful_reaches_a_terminal(text: str) -> None:
    """Whatever is shown, said or kept in a log of a step is made of characters that only show themselves."""
    shown, said = io.StringIO(), io.StringIO()
    show(text, stream=shown)
    with contextlib.redirect_stdout(said):
        say(text, prefix="step")
    kept: list[str] = []
    output = Output(kept.append)
    output.feed(text.encode("utf-8", "surrogatepass"))
    output.close()
    for told in (shown.getvalue(), said.getvalue(), "\n".join(kept), plain(text), for_terminal(text)):
        assert not HARMFUL.search(told)


@given(texts)
def test_every_line_that_is_said_begins_with_the_time_and_whose_it_is(text: str) -> None:
    """A step cannot print a line that looks like one of the runner's."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        say(text, prefix="step")
    assert all(re.match(r"\d\d:\d\d:\d\d step \| ", line) for line in said.getvalue().split("\n")[:-1])


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"), exclude_characters="\u200b")))
def test_what_can_be_read_stays(text: str) -> None:
    """Letters of every script, numbers, punctuation and pictures come through."""
    assert text == for_terminal(text) == plain(text)


def test_colours_and_titles_are_taken_out_and_the_rest_is_spelled_out() -> None:
    """A log stays readable."""
    assert "ok: red <U+202E>x" == for_terminal("\x1b]0;title\x07ok: \x1b[31mred\x1b[0m \u202ex")


def test_a_terminal_that_lacks_the_characters_ends_nothing() -> None:
    """An old locale is no reason for an error."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    with contextlib.redirect_stdout(stream):
        say("── é")
    assert b"\\xe9" in raw.getvalue()
    stream.detach()


@pytest.mark.parametrize(
    "words", [["list\x1b]0;x\x07"], ["report", "no\x1b]52;c;x\x07\u202e"], ["plan", "--plan", "\x9b2J"]]
)
def test_what_was_typed_or_lies_there_is_not_played_back(
    words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Errors quote names of files and words of the command line."""
    assert 64 == cli.main([*words, *(["--reports", str(tmp_path)] if words[0] == "report" else [])])
    told = capsys.readouterr()
    assert told.err
    assert not HARMFUL.search(told.out + told.err)


def test_a_recorded_sentence_is_not_played_back(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`list` shows what other people's results say."""
    run = tmp_path / "20261124T062448Z"
    (run / "journal").mkdir(parents=True)
    (run / "results.json").write_text('{"outcome": "ok", "sentence": "fine \\u001b]0;x\\u0007\\u202e\\u009b2J"}')
    assert 0 == cli.main(["list", "--reports", str(tmp_path)])
    assert not HARMFUL.search(capsys.readouterr().out)


def test_nothing_is_printed_past_the_one_place() -> None:
    """`print` and `sys.stdout` stand in `terminal` alone, and where processes talk to each other in JSON."""
    from pathlib import Path

    import rehearsal

    root = Path(rehearsal.__file__).parent
    allowed = {"outside/terminal.py", "runner/progress.py", "hosts/look.py"}
    machines = ("prober/control.py", "calibration/known.py", "witness/on_host/", "beacon/in_guest.py")
    found = [
        name
        for path in root.rglob("*.py")
        if (name := path.relative_to(root).as_posix()) not in allowed
        and not name.startswith(machines)
        and re.search(r"(?<![\w.])print\(|stdout\.write|stderr\.write|file=sys\.std", path.read_text())
    ]
    assert [] == found
    assert sys.stdout
