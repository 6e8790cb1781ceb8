"""The operator's own claims in a recording: which files they came from, and which of them were not checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.claims.outcomes import OWN
from rehearsal.judging.rooms import Gap
from rehearsal.recording import events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.judging.course import Check
    from rehearsal.recording.history import History

_FILES_MOST = 40  # named in the provenance; the journal has all of them


def gaps(history: History, checks: Iterable[Check]) -> list[Gap]:
    """Return each own claim that was never checked, and each that a gate of the whole run passed over.

    A run that is resumed without its directory, or broken off, must not look as if they had held.
    """
    done = {(check.gate, check.id) for check in checks if check.suite == OWN}
    asked = {run.event.gate for run in history.suites}
    found = []
    for claim in {claim["check"]: claim for read in _read(history) for claim in read.claims}.values():
        check = str(claim["check"])
        missed = [gate for gate in claim["gates"] if gate in asked and (gate, check) not in done]
        if not any(check == each for _, each in done):
            found.append(Gap(f"Own claim {check}", f"it was never checked: {claim['claim']}"))
        elif missed:
            found.append(Gap(f"Own claim {check}", f"it was not checked at {', '.join(missed)}: {claim['claim']}"))
    return found


def provenance(history: History) -> dict[str, str]:
    """Return where own claims came from, with the fingerprint of every file, the last reading; nothing without any."""
    last = next(iter(reversed(_read(history))), None)
    if last is None:
        return {}
    files = "; ".join(f"{file['name']} {file['sha256']}" for file in last.files[:_FILES_MOST])
    files += f"; and {len(last.files) - _FILES_MOST} more" if len(last.files) > _FILES_MOST else ""
    return {"own claims": f"{last.directory}, SHA-256 {last.sha256}: {files}"}


def _read(history: History) -> list[events.OwnClaimsRead]:
    return [read for _, read in history.of(events.OwnClaimsRead)]
