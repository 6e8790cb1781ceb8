"""Own claims in a recording: what was listed and not checked is not proven, and the files are named."""

from __future__ import annotations

from types import SimpleNamespace

from rehearsal.judging import ownchecks
from rehearsal.recording.events import OwnClaimsRead


def recorded(*readings, gates=()):
    suites = [SimpleNamespace(event=SimpleNamespace(gate=gate)) for gate in gates]
    return SimpleNamespace(of=lambda _kind: [(0, each) for each in readings], suites=suites)


def reading(*claims, sha256="s", files=1):
    told = [{"check": check, "claim": "It holds.", "gates": gates} for check, *gates in claims]
    return OwnClaimsRead("/own", sha256, [{"name": f"f{number}", "sha256": "x"} for number in range(files)], told)


def done(check, gate):
    return SimpleNamespace(suite="own", id=check, gate=gate)


def test_what_was_listed_and_not_checked_is_not_proven():
    """Never, or not at a gate that was asked; a gate that was never reached says so itself."""
    history = recorded(
        reading(("own.a", "preflight", "postflight"), ("own.b", "step"), ("own.c", "preflight")),
        gates=("preflight", "postflight"),
    )
    found = ownchecks.gaps(history, [done("own.a", "preflight"), done("own.c", "preflight")])
    assert [
        ("Own claim own.a", "it was not checked at postflight: It holds."),
        ("Own claim own.b", "it was never checked: It holds."),
    ] == [(gap.what, gap.why) for gap in found]
    early = recorded(reading(("own.a", "preflight", "postflight")), gates=("preflight",))
    assert [] == ownchecks.gaps(early, [done("own.a", "preflight")])


def test_the_last_reading_is_the_provenance():
    """With the fingerprint of all files and of each; a long list is cut, and without own claims there is nothing."""
    assert {} == ownchecks.provenance(recorded())
    history = recorded(reading(sha256="old"), reading(sha256="new", files=42))
    (told,) = ownchecks.provenance(history).values()
    assert told.startswith("/own, SHA-256 new: f0 x; f1 x")
    assert told.endswith("f39 x; and 2 more")
