"""Journals are append-only, crash-safe and tolerant of what they do not know."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal.recording import events
from rehearsal.recording import history
from rehearsal.recording.journal import Journal
from rehearsal.recording.journal import read

if TYPE_CHECKING:
    from pathlib import Path

NOTES = st.lists(
    st.builds(events.Note, level=st.sampled_from(["info", "error"]), text=st.text().filter(lambda s: "assw" not in s)),
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(notes=NOTES, cut=st.integers(min_value=0, max_value=400))
def test_a_cut_journal_gives_whole_records_only(tmp_path: Path, notes: list[events.Note], cut: int) -> None:
    """Wherever a crash cuts the file, what is read is a prefix of what was written."""
    path = tmp_path / "a.jsonl"
    path.unlink(missing_ok=True)
    with Journal(path) as journal:
        written = [journal.write(note) for note in notes]
    path.write_bytes(path.read_bytes()[: max(0, path.stat().st_size - cut)])
    found = read(path).records
    assert [r.t_ns for r in written[: len(found)]] == [r.t_ns for r in found]
    if cut == 0:
        assert len(found) == len(notes)


def test_a_new_writer_after_a_crash_loses_nothing_of_its_own(tmp_path: Path) -> None:
    """A torn last line is closed before the next record, and is skipped when read."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"t":1,"w":1,"kind":"note","level":"info","text":"whole"}\n{"t":2,"w":2,"ki')
    with Journal(path) as journal:
        journal.write(events.Note("info", "second life"))
    assert [r.event.text for r in read(path).records if isinstance(r.event, events.Note)] == ["whole", "second life"]


def test_unknown_kinds_and_keys_are_ignored(tmp_path: Path) -> None:
    """A journal of a later version can be read."""
    path = tmp_path / "a.jsonl"
    lines = [
        {"t": 1, "w": 1, "kind": "from-the-future", "x": 1},
        {"t": 2, "w": 2, "kind": "note", "level": "info", "text": "known", "new_field": True},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [r.kind for r in read(path).records] == ["note"]


def test_damage_inside_an_old_journal_names_file_and_line(tmp_path: Path) -> None:
    """Before there were checksums: a record without a time is damage, not a crash's remains."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"t":1,"w":1,"kind":"note","level":"info","text":""}\n{"kind":"note"}\n')
    assert [str(flaw) for flaw in read(path).flaws if flaw.decides] == ["a.jsonl, line 2: this is no record"]


def test_secrets_do_not_reach_the_file(tmp_path: Path) -> None:
    """What is written has been redacted."""
    path = tmp_path / "a.jsonl"
    with Journal(path) as journal:
        journal.write(events.Note("info", "X-Auth-Token: gAAAAABnSecretSecretSecret"))
    assert "SecretSecret" not in path.read_text()


def test_trap_23_journals_of_a_run_are_merged_by_monotonic_time(tmp_path: Path) -> None:
    """Wall time plays no part in the order."""
    (tmp_path / "journal").mkdir()
    for name, t, w in [("b", 1, 900), ("a", 2, 100), ("c", 3, 500)]:
        line = {"t": t, "w": w, "kind": "note", "level": "info", "text": name}
        (tmp_path / "journal" / f"{name}.jsonl").write_text(json.dumps(line) + "\n")
    assert [r.event.text for r in history.read(tmp_path).records if isinstance(r.event, events.Note)] == ["b", "a", "c"]


def test_every_kind_has_its_class_name_in_kebab_case() -> None:
    """Names of kinds are stable: they follow from the class."""
    assert events.KINDS["run-began"] is events.RunBegan
    assert all(events.kind_of(cls) == kind for kind, cls in events.KINDS.items())
