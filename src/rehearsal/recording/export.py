"""Every sample of a run as comma-separated values, for other people's tools; streams, whatever the size.

Columns: probe, name, lane, service, canary, vip, class, counts_as, flags, seq, due_ns, sent_ns, done_ns. Times are
CLOCK_MONOTONIC ns of the prober host. The order is the store's: block by block, and in a block by probe and sequence
number. DuckDB, pandas and spreadsheets read it, gzip included: `select * from 'samples.csv.gz'`.
"""

from __future__ import annotations

import csv
import gzip
import io
from typing import TYPE_CHECKING
from typing import TextIO

from rehearsal.recording import history
from rehearsal.recording import runfiles
from rehearsal.recording import samples
from rehearsal.recording.sampleclass import SampleClass

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = (
    *("probe", "name", "lane", "service", "canary", "vip"),
    *("class", "counts_as", "flags", "seq", "due_ns", "sent_ns", "done_ns"),
)
_FLAGS = (
    (samples.FRESH, "fresh"),
    (samples.RETRANSMITTED, "retransmitted"),
    (samples.BLIND, "blind"),
    (samples.FOLLOW_UP, "follow-up"),
)


def write_csv(run_dir: Path, path: Path) -> int:
    """Write all samples of a run to a new file, compressed if its name ends in `.gz`; return how many.

    Raises FileExistsError if the file exists, JournalError or SampleStoreError if the recording cannot be read.
    """
    runfiles.check(run_dir)
    if path.suffix == ".gz":
        with path.open("xb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
            return _write(run_dir, io.TextIOWrapper(packed, encoding="utf-8", newline=""))
    with path.open("x", encoding="utf-8", newline="") as file:
        return _write(run_dir, file)


def damage_of(run_dir: Path) -> list[str]:
    """Return where the journal that names the probes is not as it was written, a sentence for each place.

    Of damage to the samples themselves `write_csv` makes an error.
    """
    path = run_dir / history.PROBER
    return [
        f"{path}{f', {flaw.place}' if flaw.place else ''}: {flaw.what}. Names of probes may be missing or wrong."
        for flaw in history.read(run_dir, history.PROBER).damage
    ]


def _write(run_dir: Path, file: TextIO) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    classes = {int(each): (each.name, str(each.counts_as)) for each in SampleClass}
    flags = [" ".join(word for bit, word in _FLAGS if value & bit) for value in range(256)]
    declared = history.read(run_dir, history.PROBER).declared
    probes = {number: (each.name, each.lane, each.service, each.canary, each.vip) for number, each in declared.items()}
    count = 0
    for sample_file in samples.sample_files(run_dir):
        for chunk in samples.read_chunks(sample_file):
            count += len(chunk)
            for probe, sample_class, bits, *rest in chunk.tolist():
                writer.writerow(
                    (
                        *(probe, *probes.get(probe, ("", "", "", "", ""))),
                        *classes.get(sample_class, (str(sample_class), "unknown")),
                        *(flags[bits], *rest),
                    )
                )
    file.flush()
    return count
