from __future__ import annotations

import csv
import gzip
import io

import numpy as np
import pytest

from rehearsal import cli
from rehearsal.recording.events import ProbeDeclared
from rehearsal.recording.export import COLUMNS
from rehearsal.recording.journal import Journal
from rehearsal.recording.samples import SAMPLE
from rehearsal.recording.samples import SampleStoreWriter

T = 10**18 + 123_456_789


def recorded(run_dir):
    """Record two samples of a declared probe and one of a probe that nobody declared."""
    with Journal(run_dir / "journal" / "prober.jsonl") as journal:
        journal.write(ProbeDeclared(7, 'nova, "public"', "vip-new", "nova", "https://x/", 1, 1, vip="public"))
    with SampleStoreWriter(run_dir / "samples" / "prober.smp") as store:
        rows = [(7, 0, 1, 0, T, T + 1, T + 2), (7, 10, 12, 1, T, T + 3, T + 4), (9, 200, 0, 0, T, T, T)]
        store.append(np.array(rows, SAMPLE))
    return run_dir


def read(data):
    return list(csv.reader(io.StringIO(data.decode())))


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_every_sample_is_a_row(name, tmp_path, capsys):
    """All fields are there, to the nanosecond, with words instead of numbers; what is not known stays empty."""
    run_dir, path = recorded(tmp_path / "run"), tmp_path / name
    assert cli.main(["export", str(run_dir), str(path)]) == 0
    data = path.read_bytes()
    head, *rows = read(gzip.decompress(data) if name.endswith("gz") else data)
    assert tuple(head) == COLUMNS
    assert rows == [
        [
            "7",
            'nova, "public"',
            "vip-new",
            "nova",
            "",
            "public",
            "OK",
            "good",
            "fresh",
            "0",
            *map(str, (T, T + 1, T + 2)),
        ],
        [
            "7",
            'nova, "public"',
            "vip-new",
            "nova",
            "",
            "public",
            "HTTP_5XX_LB",
            "down",
            "blind follow-up",
            "1",
            str(T),
            str(T + 3),
            str(T + 4),
        ],
        ["9", "", "", "", "", "", "200", "unknown", "", "0", str(T), str(T), str(T)],
    ]
    assert "3 samples" in capsys.readouterr().out


def test_an_existing_file_is_not_overwritten(tmp_path, capsys):
    """Exporting never destroys a file: one sentence, exit code 64."""
    run_dir, path = recorded(tmp_path / "run"), tmp_path / "a.csv"
    path.write_text("precious")
    assert cli.main(["export", str(run_dir), str(path)]) == 64
    assert "exists. Name a file that does not." in capsys.readouterr().err
    assert path.read_text() == "precious"


def test_a_damaged_store_is_one_sentence(tmp_path, capsys):
    """A recording that cannot be read is named, and nothing is pretended."""
    run_dir = recorded(tmp_path / "run")
    (run_dir / "samples" / "prober.smp").write_bytes(b"not a store of samples at all")
    assert cli.main(["export", str(run_dir), str(tmp_path / "a.csv")]) == 64
    assert "damaged at byte 0" in capsys.readouterr().err


def test_damage_to_the_journal_is_told(tmp_path, capsys):
    """A changed line may have named a probe: the samples are there, the damage is told, and the exit code says so."""
    run_dir = recorded(tmp_path / "run")
    path = run_dir / "journal" / "prober.jsonl"
    path.write_bytes(path.read_bytes().replace(b"vip-new", b"vip-old"))
    assert cli.main(["export", str(run_dir), str(tmp_path / "a.csv")]) == 2
    said = capsys.readouterr()
    assert "3 samples" in said.out
    assert "prober.jsonl" in said.err
    assert "may be missing or wrong" in said.err
