"""Every sentence of a finding, in one catalogue: a stable id and a template.

An id never changes its meaning: JUnit, `results.json` and whoever counts findings over many runs go by it. A sentence in
another language is another template with the same fields. What a room found out by itself (`reason`) is put in whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.judging.rooms import Finding

if TYPE_CHECKING:
    from rehearsal.figures.outcome import Outcome

_UNPROVED = "the measuring instrument was not proved in this run"

SENTENCES = {
    # --- how the run went
    "run.not-ended": "The run has not ended: it is still running, or its runner was killed.",
    "run.rebooted": "The machine was rebooted during the run: nothing was measured in between, and only its wall clock tells "
    "for how long. What was recorded before and after is judged, each on its own clock.",
    "run.interrupted": "The run was interrupted{detail}.",
    "run.calibration": "The run stopped before anything was upgraded{detail}.",
    "run.gate": "The run stopped at a gate{detail}.",
    "run.step": "The run stopped because a step failed{detail}.",
    "run.hold": "The run stopped at a hold point that was not confirmed{detail}.",
    "run.recording": "The recording has a hole{detail}.",
    "run.error": "The run ended with an error of its own{detail}.",
    "run.ended-early": "The run ended early{detail}.",
    "phase.incomplete": "{phase} did not complete.",
    "plan.edited": "The plan was edited before attempt {attempt}: {edits}. "
    "What happened before is judged by the plan that was in force then.",
    "step.not-passed": "Step {step}: {reason}.",
    "step.not-run": "{count} did not run: {steps}.",
    "step.repeated": "Step {step} needed {attempts} attempts.",
    "gate.not-passed": "{gate}: {reason}.",
    "note.error": "{text}",
    # --- what users and guests lost
    "service.over-budget": "{service}{kind} {when}: {reason}.",
    "service.never-sampled": "{service} was never sampled{when}.",
    "canary.not-passed": "{canary}: {reason}.",
    "canary.none": "There were no canaries: nothing is known of what guests lost.",
    "canary.none-on-hosts": "No canary was on {hosts}: nothing is known of what guests there lost.",
    "guest.not-passed": "{canary}, from inside: {reason}{during}.",
    "migration.not-passed": "Live migration of {canary} from {source} ({occasion}): {reason}.",
    "migration.missing": "No canary was migrated on the occasion “{occasion}”, although the plan asks for it.",
    # --- before and after
    "differences.lost": "Lost since before the upgrade: {names}.",
    "differences.image-changed": "Image changed, although no step of the plan replaces it: {names}.",
    "differences.image-unchanged": "Image unchanged, although its step has run: {names}.",
    "look.missing": "{what} was not observed {when}: {reason}.",
    "look.kinds-missing": "The cloud's {kinds} were not observed {when}.",
    "look.no-hosts": "No host was observed before the first step.",
    # --- the instrument and the recording
    "prober.none": "No prober ran: nothing was measured.",
    "prober.died": "The prober died {after} into the run; nothing is known after that.",
    "prober.restarted": "The prober died {after} into the run and was restarted; nothing is known of the {gap} in between.",
    "prober.stopped": "The prober stopped on its own: {reason}.",
    "calibration.not-passed": f"T{_UNPROVED[1:]}: {{reason}}.",
    "calibration.missing": f"No calibration on record: {_UNPROVED}.",
    "calibration.skipped": f"No calibration on record: {_UNPROVED}, as requested (--without calibration).",
    "recording.incomplete": "Not everything could be recorded: {places}.",
    "recording.damaged": "The recording is damaged: {places}. What stood there is not known; restore the file from a copy, "
    "then: rehearse report {run}",
    "recording.more-damaged": "{count} more files are damaged.",
    "recording.failed-before": "This run was judged FAIL when it ended, and its recording has been damaged since. "
    "It was: {verdict}",
    "recording.torn": "{places}.",
    "judge.broken": "Not judged: {what}. {why}. Everything else was judged; the details are in {log}.",
}
"""By id: a template whose fields are named, as `str.format` takes it."""


def finding(sentence: str, outcome: Outcome, subject: str, /, **fields: object) -> Finding:
    """Return a finding whose sentence has this id. Raises KeyError for an id or a field that the catalogue does not have."""
    return Finding(outcome, subject, SENTENCES[sentence].format(**fields), sentence)
