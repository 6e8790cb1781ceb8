"""What should have been observed and was not: never a pass, whatever the rest of the run looked like.

What the operator ordered to be left out is no finding: it is listed among what the run does not prove.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.figures import words
from rehearsal.figures.outcome import Outcome
from rehearsal.judging import plans
from rehearsal.judging.causes.reach import short
from rehearsal.judging.rooms import Gap
from rehearsal.judging.sentences import finding
from rehearsal.recording import events
from rehearsal.recording.stretch import AFTER
from rehearsal.recording.stretch import BEFORE
from rehearsal.recording.stretch import look_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.judging.rooms import Finding
    from rehearsal.recording.history import History
    from rehearsal.recording.stretch import Look

UPGRADES = ("rehearsal", "production")
"""Modes of a run in which something is upgraded; others run one suite."""
_LOOKS = (BEFORE, AFTER)
_ORDERLY = {"ordered", "stop", "SIGTERM", "nobody gives orders", "the runner is gone"}
"""How a prober ends that recorded everything it measured; any other reason is its own account of why it could not."""
_PARTS = {
    "calibration": "That the measuring instrument can be trusted",
    "probes": "What users of the APIs lose",
    "canaries": "What guests lose",
    "writes": "Writing through the APIs",
    "migrations": "Live migrations",
    "suites": "What the gates check",
    "witness": "What happened on the hosts while it happened",
}
_COMPUTES = "compute"
_CANARY_HOST = "--canary-host"


def findings(history: History) -> list[Finding]:
    """Return a sentence for everything that was to be observed and was not."""
    if history.first.mode not in UPGRADES:
        return []
    return [
        *_of_looks("cloud", "The cloud", _looks_at_the_cloud(history), history),
        *_of_kinds(history),
        *_of_hosts(history),
        *_of_canaries(history),
        *_of_probers(history),
        *(
            _unseen("note.error", "note", text=note.text)
            for _, note in history.of(events.Note)
            if note.level == "error"
        ),
    ]


def gaps(history: History) -> list[Gap]:
    """Return what the operator ordered to be left out."""
    found = [
        Gap(what, f"skipped, as requested (--without {part})")
        for part, what in _PARTS.items()
        if any(_is_left_out(history, part))
    ]
    missing = _without_canary(history)
    if missing and _chose_hosts(history):
        found.append(
            Gap(f"What guests on {words.listed(missing)} lose", f"no canary there, as requested ({_CANARY_HOST})")
        )
    return found


# --- looks -----------------------------------------------------------------------------------------------------------


def _looks_at_the_cloud(history: History) -> dict[Look, list[str]]:
    """Return the errors of every look before and after; an empty error is a whole look."""
    found: dict[Look, list[str]] = {look: [] for look in _LOOKS}
    for _, seen in history.of(events.CloudFacts):
        look = look_of(seen.label)
        if look in found:
            found[look].append(seen.error or ("" if seen.facts else "nothing was seen"))
    return found


def _of_looks(subject: str, what: str, looks: dict[Look, list[str]], history: History) -> list[Finding]:
    found = []
    for look, errors in looks.items():
        if "" in errors:
            continue
        if errors:
            found.append(_unseen("look.missing", subject, what=what, when=look.when, reason=errors[-1].rstrip(".")))
        elif _is_due(look, history) and (any(looks.values()) or (_tells_parts(history) and _has_cloud(history))):
            found.append(_unseen("look.missing", subject, what=what, when=look.when, reason="there is no look at it"))
    return found


def _of_kinds(history: History) -> list[Finding]:
    """A kind of thing that one look has and the other has not cannot have been compared."""
    before, after = (_whole_look(history, look) for look in _LOOKS)
    if before is None or after is None:
        return []
    found = []
    for look, one, other in ((AFTER, before, after), (BEFORE, after, before)):
        missing = [kind for kind in one.facts if not isinstance(other.facts.get(kind), list)]
        if missing:
            found.append(_unseen("look.kinds-missing", "cloud", kinds=words.listed(missing), when=look.when))
    return found


def _whole_look(history: History, look: Look) -> events.CloudFacts | None:
    every = (seen for _, seen in history.of(events.CloudFacts) if look_of(seen.label) == look)
    return next((seen for seen in every if seen.facts and not seen.error), None)


def _of_hosts(history: History) -> list[Finding]:
    first_ns = min((run.began_ns for run in history.steps), default=None)
    looks: dict[str, dict[Look, list[str]]] = {}
    for at_ns, facts in history.of(events.HostFacts):
        mine = looks.setdefault(facts.host, {look: [] for look in _LOOKS})
        if first_ns is None or at_ns <= first_ns:
            mine[BEFORE].append(facts.error)
        elif look_of(facts.label) == AFTER:
            mine[AFTER].append(facts.error)
    expected_out = {BEFORE: plans.effects(history).out_before(), AFTER: plans.effects_of_runs(history).out_after()}
    found = []
    for host, seen in looks.items():
        for look, out in expected_out.items():
            seen[look] += [""] * (host in out)  # nothing of it is missed
        found += _of_looks(f"host:{host}", f"Host {host}", seen if any(seen.values()) else {}, history)
    if not looks and _tells_parts(history) and history.steps and history.first.target.get("hosts"):
        found.append(_unseen("look.no-hosts", "hosts"))
    return found


def _is_due(look: Look, history: History) -> bool:
    """Tell whether the run came so far that it should have looked."""
    if look == BEFORE:
        return bool(history.steps)
    ran = {run.step for run in history.steps}
    return history.last.reason == "finished" and all(step.id in ran for step in plans.last(history).steps)


# --- canaries and probers --------------------------------------------------------------------------------------------


def _of_canaries(history: History) -> list[Finding]:
    if not history.steps or all(_is_left_out(history, "canaries")):
        return []
    up = history.of(events.CanaryUp)
    if not up:
        wanted = _tells_parts(history) and any("canaries" in attempt.event.parts for attempt in history.attempts)
        return [_unseen("canary.none", "canaries")] if wanted else []
    missing = _without_canary(history)
    if not missing or _chose_hosts(history):
        return []
    return [_unseen("canary.none-on-hosts", "canaries", hosts=words.listed(missing))]


def _without_canary(history: History) -> list[str]:
    """Return the compute nodes of the target on which no canary ever was."""
    groups = history.first.target.get("groups")
    computes = groups.get(_COMPUTES) if isinstance(groups, dict) else None
    taken = {short(up.host) for _, up in history.of(events.CanaryUp)}
    return [host for host in map(str, computes or []) if taken and short(host) not in taken]


def _chose_hosts(history: History) -> bool:
    return any(word.partition("=")[0] == _CANARY_HOST for attempt in history.attempts for word in attempt.event.argv)


def _of_probers(history: History) -> list[Finding]:
    reasons = (run.stopped.reason for run in history.prober_runs if run.stopped is not None)
    return [
        _unseen("prober.stopped", "prober", reason=reason.rstrip("."))
        for reason in dict.fromkeys(reasons)
        if reason and reason not in _ORDERLY
    ]


# --- what was ordered ------------------------------------------------------------------------------------------------


def _tells_parts(history: History) -> bool:
    """Tell whether the recording says what was to be carried out; older ones do not."""
    return any(attempt.event.parts for attempt in history.attempts)


def _is_left_out(history: History, part: str) -> Iterable[bool]:
    """Yield for each attempt that says what it carried out whether a part was left out."""
    return [part not in attempt.event.parts for attempt in history.attempts if attempt.event.parts] or [False]


def _has_cloud(history: History) -> bool:
    return bool(history.first.target.get("cloud"))


def _unseen(sentence: str, subject: str, **fields: object) -> Finding:
    return finding(sentence, Outcome.UNKNOWN, subject, **fields)
