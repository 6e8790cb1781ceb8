"""The judge: from a recorded history to its results. Pure: the same recording gives the same results, anywhere.

Each part is judged in a room of its own below `judging`; here they are put together.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rehearsal import events
from rehearsal.judging import budgets
from rehearsal.judging import course
from rehearsal.judging import findings
from rehearsal.judging import grades
from rehearsal.judging import instruments
from rehearsal.judging import moves
from rehearsal.judging import notproven
from rehearsal.judging import summary
from rehearsal.judging import views
from rehearsal.judging.differences import differences
from rehearsal.judging.flows import flows
from rehearsal.judging.guests import guests
from rehearsal.judging.latencies import AnswerTimes
from rehearsal.judging.losses import matrix
from rehearsal.judging.observation import observe
from rehearsal.judging.observation import pieces_of
from rehearsal.judging.quality import quality
from rehearsal.judging.reach import world_of
from rehearsal.judging.troubles import groups_of
from rehearsal.results import Results
from rehearsal.verdict import Outcome

if TYPE_CHECKING:
    from rehearsal.history import History


def judge(history: History) -> Results:
    """Judge a recording, whole or broken off. What it does not show is unknown, with the reason."""
    plan = history.plan
    answer_times = AnswerTimes(history, pieces_of(history))
    observation = observe(history, also=answer_times.add)
    groups = groups_of(observation, history)
    world = world_of(history)
    losses = matrix(history, observation, groups)
    checked = course.checks(history)
    judged = summary.Judged(
        steps=course.steps(history, checked),
        checks=checked,
        matrix=losses,
        migrations=moves.migrations(history, observation, groups),
        canaries=moves.canaries(history, observation, groups, losses),
        differences=differences(history),
        quality=quality(history, observation),
        guests=guests(history),
    )
    found = findings.findings(history, judged)
    verdict = summary.outcome(found, judged)
    windows, more_windows = views.windows(groups, history, world)
    graded = grades.grades(losses, complete=all(step.began_ns is not None for step in judged.steps))
    return Results(
        run=history.first.run,
        mode=history.first.mode,
        outcome=verdict,
        sentence=summary.sentence(verdict, found, judged),
        findings=found,
        began_ns=history.began_ns,
        ended_ns=history.ended_ns,
        clock_pairs=history.walls(),
        target=history.first.target,
        plan=plan,
        from_release=str(plan.get("from_release", "")),
        to_release=str(plan.get("to_release", "")),
        phases=[(phase, began_ns, ended_ns) for phase, began_ns, ended_ns, _ in history.phases],
        steps=judged.steps,
        services=list(dict.fromkeys(loss.service for loss in losses)),
        matrix=losses,
        windows=windows,
        strips=views.strips(observation, history),
        migrations=judged.migrations,
        canaries=judged.canaries,
        checks=checked,
        not_proven=notproven.gaps(history, observation, judged),
        differences=judged.differences,
        quality=judged.quality,
        notes=[(moment, note.level, note.text) for moment, note in history.of(events.Note)],
        provenance=_provenance(history),
        end_reason=history.last.reason,
        lanes=instruments.lanes(observation),
        answer_times=answer_times.found(),
        calibrations=instruments.calibrations(history),
        grades=graded,
        grade="" if verdict is Outcome.UNKNOWN else grades.overall(graded),
        more_windows=more_windows,
        happenings=world.happenings,
        unwatched=world.unwatched,
        guests=judged.guests,
        flows=flows(history, observation, groups),
    )


def _provenance(history: History) -> dict[str, str]:
    last = history.last.event
    return {
        "run": history.first.run,
        "attempts": str(len(history.attempts)),
        "command": shlex.join(last.argv),
        "version": last.version,
        "revision": last.revision,
        "host": last.host,
        "boot id": last.boot_id,
        "plan": f"{history.plan.get('name', '')} ({len(budgets.steps_of(history.plan))} steps)",
        "plan sha256": last.plan_sha256,
        "utc offset": last.utc_offset,
    }
