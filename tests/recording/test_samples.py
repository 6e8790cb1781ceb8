from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from rehearsal.recording.samples import MARK
from rehearsal.recording.samples import SAMPLE
from rehearsal.recording.samples import SampleStoreError
from rehearsal.recording.samples import SampleStoreWriter
from rehearsal.recording.samples import read_chunks
from rehearsal.recording.samples import samples_by_probe

EXTREMES = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 10**10))
ANY_SAMPLES = npst.arrays(
    SAMPLE,
    st.integers(0, 60),
    elements=st.tuples(
        st.integers(0, 3) | st.integers(0, 2**16 - 1),
        st.integers(0, 255),
        st.integers(0, 255),
        st.integers(0, 2**32 - 1),
        EXTREMES,
        EXTREMES,
        EXTREMES,
    ),
)


def regular(probes=5, samples=40, start=10**15):
    """Return what a healthy prober records: samples on schedule, in order of completion."""
    random = np.random.default_rng(7)
    rows = np.zeros((probes, samples), SAMPLE)
    rows["probe"] = np.arange(probes)[:, None]
    rows["seq"] = np.arange(samples)
    rows["due"] = start + rows["seq"].astype(np.int64) * 50_000_000 + rows["probe"].astype(np.int64) * 777_777
    rows["sent"] = rows["due"] + random.integers(10_000, 200_000, rows.shape)
    rows["done"] = rows["sent"] + random.integers(1_000_000, 9_000_000, rows.shape)
    flat = rows.reshape(-1)
    return flat[np.argsort(flat["done"])]


def stored(path, *batches):
    with SampleStoreWriter(path) as writer:
        for batch in batches:
            writer.append(batch)
            writer.flush()
    return path


def without_end(path, *batches):
    """Return what a writer that was killed leaves behind."""
    data = stored(path, *batches).read_bytes()
    return data[: data.rindex(b"REND")]


def everything(path):
    chunks = list(read_chunks(path))
    return np.concatenate(chunks) if chunks else np.zeros(0, SAMPLE)


def as_set(samples):
    return sorted(samples.tolist())


@given(batches=st.lists(ANY_SAMPLES, max_size=3))
def test_whatever_is_written_is_read_again(batches, tmp_path_factory):
    """Every value of every field survives the store to the nanosecond."""
    path = stored(tmp_path_factory.mktemp("store") / "a.smp", *batches)
    assert as_set(everything(path)) == sorted(row for batch in batches for row in batch.tolist())


@given(cut=st.integers(0, 4000))
def test_a_torn_last_block_is_dropped(cut, tmp_path_factory):
    """A crash in the middle of a write costs at most the block being written."""
    folder = tmp_path_factory.mktemp("torn")
    first, second = regular(start=10**15), regular(start=2 * 10**15)
    whole, begin = without_end(folder / "whole.smp", first, second), len(without_end(folder / "one.smp", first))
    torn = folder / "torn.smp"
    torn.write_bytes(whole[: len(whole) - 1 - cut % (len(whole) - begin)])
    assert as_set(everything(torn)) == as_set(first)


def test_a_later_writer_goes_on_after_a_torn_block(tmp_path):
    """Samples of a resumed run are read although the first writer's last block is torn."""
    first, second, third = (regular(start=n * 10**15) for n in (1, 2, 3))
    path = tmp_path / "a.smp"
    path.write_bytes(without_end(path, first, second)[:-10])
    stored(path, third)
    assert as_set(everything(path)) == as_set(np.concatenate([first, third]))


def test_damage_that_no_crash_explains_is_an_error(tmp_path):
    """A changed byte in the middle names the file and the place, instead of leaving samples out."""
    path = stored(tmp_path / "a.smp", regular(start=10**15), regular(start=2 * 10**15))
    data = bytearray(path.read_bytes())
    place = data.index(b"RBK2")
    data[place + 80] ^= 1
    path.write_bytes(data)
    with pytest.raises(SampleStoreError, match=rf"a\.smp: damaged at byte {place} .* Restore"):
        everything(path)
    stored(path, regular(start=3 * 10**15))
    with pytest.raises(SampleStoreError, match=f"damaged at byte {place} "):
        everything(path)


@given(junk=st.binary(min_size=17, max_size=200))
def test_a_file_that_is_no_store_is_an_error(junk, tmp_path_factory):
    """Other people's files are refused, never read as an empty recording."""
    path = tmp_path_factory.mktemp("junk") / "a.smp"
    path.write_bytes(b"x" + junk)
    if MARK in junk or not any(junk):
        return
    with pytest.raises(SampleStoreError):
        everything(path)


def test_samples_are_sorted_by_probe_and_sent(tmp_path):
    """All files of a run are joined, and each probe's samples come in the order sent."""
    early, late = regular(start=10**15), regular(start=2 * 10**15)
    stored(tmp_path / "samples" / "b.smp", early)
    stored(tmp_path / "samples" / "a.smp", late)
    found = samples_by_probe(tmp_path)
    assert sorted(found) == [0, 1, 2, 3, 4]
    for samples in found.values():
        assert len(samples) == 80
        assert (np.diff(samples["sent"]) > 0).all()


def test_a_run_without_samples_is_empty(tmp_path):
    """No file means no samples."""
    assert samples_by_probe(tmp_path) == {}


def test_flushed_samples_survive_without_close(tmp_path):
    """What was flushed is readable while the writer is still at work."""
    writer = SampleStoreWriter(tmp_path / "a.smp")
    writer.append(regular())
    assert len(everything(tmp_path / "a.smp")) == 0
    writer.flush()
    assert len(everything(tmp_path / "a.smp")) == 200
    writer.close()


def test_sixty_probes_at_twenty_hertz_need_under_ten_bytes_a_sample(tmp_path):
    """A day of 60 probes at 20 Hz, flushed every second, fits in one gigabyte."""
    path = stored(tmp_path / "a.smp", *(regular(60, 20, start) for start in range(10**15, 10**15 + 30, 10)))
    assert path.stat().st_size / (3 * 1200) <= 9.6


def test_trap_07_a_short_outage_survives_store_and_load(tmp_path):
    """A window of 0.3 s keeps its four instants to the nanosecond."""
    samples = regular(1, 40)
    samples["sample_class"][10:16] = 32
    found = samples_by_probe(stored(tmp_path / "samples" / "p.smp", samples).parent.parent)[0]
    assert found.tolist() == samples.tolist()
