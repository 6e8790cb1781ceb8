"""A run directory that somebody else made harms nobody who judges it: no hang, nothing read or written outside, one sentence."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rehearsal import cli
from rehearsal.recording import runfiles
from rehearsal.recording import samples
from rehearsal.report.sections import logs

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parents[1] / "data" / "golden-run"
RUN = "20261124T062448Z"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of a recording that can be judged."""
    path = tmp_path / "reports" / RUN
    shutil.copytree(GOLDEN, path)
    return path


def judged(run: Path, *words: str, seconds: float = 60, mib: int = 2048) -> subprocess.CompletedProcess[str]:
    """Judge it in a process whose time and memory are bounded."""
    program = (
        "import resource, sys; from rehearsal import cli; "
        f"resource.setrlimit(resource.RLIMIT_AS, ({mib} << 20,) * 2); sys.exit(cli.main(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *(words or ("report", str(run)))],
        capture_output=True, text=True, timeout=seconds, check=False, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip


def _link(path: Path) -> None:
    victim = path.parent.parent.parent / "victim"
    victim.write_text("the victim's own words\n")
    path.symlink_to(victim)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as place:
        os.chdir(path.parent)  # the name of a socket is short
        place.bind(path.name)


KINDS: dict[str, Callable[[Path], None]] = {
    "link": _link,
    "dangling": lambda path: path.symlink_to("/nowhere/at/all"),
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "pipe": os.mkfifo,
    "socket": _socket,
    "directory": Path.mkdir,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["journal/zz.jsonl", "samples/zz.smp"])
def test_what_is_no_plain_file_is_named_and_not_read(
    run: Path, kind: str, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links, pipes, sockets, directories where a recording has files: refused at once, by every reader."""
    monkeypatch.chdir(run)
    (run / name).parent.mkdir(exist_ok=True)
    KINDS[kind](run / name)
    for words in (["report", str(run)], ["export", str(run), str(run.parent / f"{kind}.csv")]):
        assert 64 == cli.main(words)
        told = capsys.readouterr()
        assert name.rpartition("/")[2] in told.err
        assert "Judge an untouched copy" in told.err
        assert "victim's own words" not in told.out + told.err


@pytest.mark.parametrize("room", ["journal", "samples", "logs", "pages"])
def test_a_room_that_is_a_link_is_refused(run: Path, room: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Not the files alone: the folder may lead elsewhere, too."""
    outside = run.parent.parent / "outside"
    if (run / room).exists():
        shutil.move(run / room, outside)
    else:
        outside.mkdir()
    (run / room).symlink_to(outside)
    assert 64 == cli.main(["report", str(run)])
    assert f"{room} is a link" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_results_that_are_no_plain_file_do_not_hang_the_list(
    run: Path, kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`list` reads results of runs that it did not make."""
    monkeypatch.chdir(run)
    (run / "results.json").unlink(missing_ok=True)
    KINDS[kind](run / "results.json")
    assert 0 == cli.main(["list", "--reports", str(run.parent)])
    assert RUN in capsys.readouterr().out


def test_no_report_is_written_through_a_link(run: Path) -> None:
    """Names that the report uses, also while it is being written, may be links to somebody's files."""
    victim = run.parent.parent / "victim"
    victim.write_text("precious")
    names = ["report.html", "results.json", "junit.xml"]
    for name in [*names, *(f".{name}.new" for name in names)]:
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(victim)
    assert cli.main(["report", str(run)]) in {0, 1, 2}
    assert "precious" == victim.read_text()
    assert all(0o600 == stat.S_IMODE((run / name).lstat().st_mode) for name in names)


def test_logs_that_lead_out_are_not_shown(run: Path) -> None:
    """A log of the run is a plain file in its own folder."""
    (run / "logs").mkdir(exist_ok=True)
    _link(run / "logs" / "zz.log")
    os.mkfifo(run / "logs" / "yy.log")
    bad = os.fsdecode(b"logs/\xff\x1b]0;x\x07.log")
    (run / bad).write_text("x")
    shown = [each.name for each in logs.files(run)]
    assert "logs/zz.log" not in shown
    assert "logs/yy.log" not in shown
    assert bad in shown
    for name in ("logs/zz.log", "logs/yy.log", "../victim", "/etc/passwd", "logs/\0", "x" * 5000, ""):
        found = logs.log(run, name, tail=True)
        assert not found.there
        assert not found.tail
    assert cli.main(["report", str(run)]) in {0, 1, 2}


def _block(count: int, body: bytes) -> bytes:
    packed = zlib.compress(body, 9)
    head = struct.pack("<II", len(packed), count)
    return struct.pack("<4sIII", b"RBLK", len(packed), count, zlib.crc32(packed, zlib.crc32(head))) + packed


def _bomb(run: Path) -> None:
    """Blocks that are whole, with checksums that fit, and say nothing many times."""
    columns = [b"\x01\x01", b"\x03\x00\x00\x01", b"\x00", b"\x00", b"\x00", *[b"\x00"] * 6]
    body = struct.pack("<qI", 10**9, 1) + b"".join(columns)
    (run / "samples" / "zz.smp").write_bytes(samples.MARK + _block(1 << 16, body) * 100_000)


def _packed_zeros(run: Path) -> None:
    packed = zlib.compress(bytes(1 << 30), 9)
    head = struct.pack("<II", len(packed), 65536)
    block = struct.pack("<4sIII", b"RBLK", len(packed), 65536, zlib.crc32(packed, zlib.crc32(head))) + packed
    (run / "samples" / "zz.smp").write_bytes(samples.MARK + block + samples.MARK)


def _sparse(name: str, size: int) -> Callable[[Path], None]:
    def made(run: Path) -> None:
        with (run / name).open("wb") as file:
            file.truncate(size)

    return made


def _deep(run: Path) -> None:
    with (run / "journal" / "zz.jsonl").open("wb") as file:
        file.write(b"[" * 5_000_000 + b"\n")
        file.write(b'{"t":1,"w":1,"kind":"note","level":' + b'{"a":' * 200_000 + b"\n")


def _many_files(run: Path) -> None:
    for number in range(20_001):
        (run / "journal" / f"{number}.jsonl").touch()


def _many_records(run: Path) -> None:
    line = b'{"t":1,"w":1,"kind":"note","level":"info","text":""}\n'
    (run / "journal" / "zz.jsonl").write_bytes(line * 2_100_000)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (_bomb, "claims more samples"),
        (_packed_zeros, ""),
        (_sparse("journal/zz.jsonl", 1 << 40), "at most 512 are read"),
        (_sparse("journal/zz.jsonl", 400 << 20), "a line of more than 32 MiB"),
        (_sparse("samples/zz.smp", 1 << 40), "at most 16384 are read"),
        (_deep, ""),
        (_many_files, "more than 20000 files"),
        (_many_records, "more than 2000000 records"),
    ],
    ids=["samples", "zeros", "sparse-journal", "sparse-line", "sparse-samples", "deep", "files", "records"],
)
def test_a_bomb_ends_with_a_sentence(run: Path, made: Callable[[Path], None], told: str) -> None:
    """Sparse files, packed zeros, deep JSON, too much of everything: bounded time and memory, and no traceback."""
    (run / "samples").mkdir(exist_ok=True)
    made(run)
    began = time.monotonic()
    done = judged(run, mib=4096)
    assert done.returncode in {0, 1, 2, 64}, done.stderr[-2000:]
    assert told in done.stdout + done.stderr
    assert "Internal error" not in done.stderr
    assert time.monotonic() - began < 50


def test_an_ordinary_run_is_judged_as_before(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """None of this stands in the way of a real recording."""
    runfiles.check(run)
    assert cli.main(["report", str(run)]) in {0, 1, 2}
    assert "outcome" in json.loads((run / "results.json").read_text())
    assert capsys.readouterr().out
