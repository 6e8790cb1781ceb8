"""The judge: from a recorded history to its results. Pure: the same recording gives the same results, anywhere.

Each part is judged in a room of its own below `judging`; here they are put together.
"""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING

from rehearsal.figures.outcome import Outcome
from rehearsal.judging import course
from rehearsal.judging import findings
from rehearsal.judging import grades
from rehearsal.judging import instruments
from rehearsal.judging import moves
from rehearsal.judging import notproven
from rehearsal.judging import ownchecks
from rehearsal.judging import plans
from rehearsal.judging import summary
from rehearsal.judging import windows as views
from rehearsal.judging.causes.reach import NO_WORLD
from rehearsal.judging.causes.reach import world_of
from rehearsal.judging.charging.troubles import groups_of
from rehearsal.judging.differences import differences
from rehearsal.judging.inside import guests
from rehearsal.judging.losses import matrix
from rehearsal.judging.losses import strictness
from rehearsal.judging.observing.latencies import AnswerTimes
from rehearsal.judging.observing.observation import Observation
from rehearsal.judging.observing.observation import observe
from rehearsal.judging.observing.observation import pieces_of
from rehearsal.judging.quality import quality
from rehearsal.judging.quality import unknown_quality
from rehearsal.judging.results import Results
from rehearsal.judging.rooms import Given
from rehearsal.judging.rooms import Rooms
from rehearsal.judging.rooms import declared_in
from rehearsal.recording import events

if TYPE_CHECKING:
    from rehearsal.judging.charging.troubles import Group
    from rehearsal.judging.course import Check
    from rehearsal.judging.losses import Loss
    from rehearsal.judging.rooms import Finding
    from rehearsal.recording.history import History

ANSWER_TIMES = "how long answers took"
NO_SENTENCE = "The verdict cannot be put into a sentence; the findings say why."


def judge(history: History, rooms: Rooms | None = None) -> Results:
    """Judge a recording, whole or broken off. What it does not show is unknown, with the reason.

    A room that raises says nothing, and the verdict is unknown unless another one makes it a failure; `rooms` has which.
    """
    rooms = rooms or Rooms()
    observation, answer_times = _observed(history, rooms)
    seen = observation or Observation((), (), (), (), 0)
    groups: list[Group] = rooms.rows(
        "windows", "when services were away", lambda: groups_of(seen, history, partial(strictness, history))
    )
    world = rooms.ask("hosts", "what happened on the hosts", lambda: world_of(history), NO_WORLD)
    judged = _judged(history, observation, groups, rooms)
    found = findings.findings(history, judged, rooms)
    windows, more_windows = rooms.ask(
        "causes", "what may have caused an outage", lambda: views.windows(groups, history, world), ([], [])
    )
    complete = all(step.began_ns is not None for step in judged.steps)
    graded = rooms.ask("grades", "the grades", lambda: grades.grades(judged.matrix, complete=complete), {})
    strips = rooms.rows("timeline", "the timeline", lambda: views.strips(seen, history))
    lanes = rooms.rows("lanes", "what each lane could see", lambda: instruments.lanes(seen))
    took = rooms.rows("answer times", ANSWER_TIMES, lambda: answer_times.found() if answer_times else [])
    calibrations = rooms.rows("calibration", "the calibration", lambda: instruments.calibrations(history))
    given = Given(history, seen, groups)
    shown = {
        room.key: rooms.rows(room.key, room.what, partial(room.work, given))
        for room in declared_in("rehearsal.judging.shown", "ROOM").values()
    }
    gaps = rooms.rows("not proven", "what is not proven", lambda: notproven.gaps(history, observation, judged))
    provenance = rooms.ask("provenance", "the provenance", lambda: _provenance(history), {})
    verdict, sentence = _verdict(found, judged, rooms)
    found += findings.of_rooms(rooms)
    plan = plans.last(history)
    return Results(
        run=history.first.run,
        mode=history.first.mode,
        outcome=verdict,
        sentence=sentence,
        findings=sorted(found, key=lambda finding: finding.outcome.rank),
        began_ns=history.began_ns,
        ended_ns=history.ended_ns,
        clock_pairs=history.walls(),
        target=history.first.target,
        plan=history.last.event.plan,
        from_release=plan.from_release,
        to_release=plan.to_release,
        phases=[(phase, began_ns, ended_ns) for phase, began_ns, ended_ns, _ in history.phases],
        steps=judged.steps,
        services=list(dict.fromkeys(loss.service for loss in judged.matrix)),
        matrix=judged.matrix,
        windows=windows,
        strips=strips,
        migrations=judged.migrations,
        canaries=judged.canaries,
        checks=judged.checks,
        not_proven=[*notproven.of_rooms(rooms), *gaps],
        differences=judged.differences,
        quality=judged.quality,
        notes=[(moment, note.level, note.text) for moment, note in history.of(events.Note)],
        provenance=provenance,
        end_reason=history.last.reason,
        lanes=lanes,
        answer_times=took,
        calibrations=calibrations,
        grades=graded,
        grade="" if verdict is Outcome.UNKNOWN or not graded else grades.overall(graded),
        more_windows=more_windows,
        happenings=world.happenings,
        unwatched=world.unwatched,
        guests=judged.guests,
        shown=shown,
    )


def _verdict(found: list[Finding], judged: summary.Judged, rooms: Rooms) -> tuple[Outcome, str]:
    every = [*found, *findings.of_rooms(rooms)]
    verdict = summary.outcome(every, judged, rooms)
    sentence = rooms.ask(
        "summary", "the verdict's sentence", lambda: summary.sentence(verdict, every, judged), NO_SENTENCE
    )
    return (summary.outcome(every, judged, rooms) if rooms.failed("summary") else verdict), sentence


def _observed(history: History, rooms: Rooms) -> tuple[Observation | None, AnswerTimes | None]:
    """Read the samples once. None: they, or the answer times in them, could not be made sense of."""
    collector = rooms.ask("answer times", ANSWER_TIMES, lambda: AnswerTimes(history, pieces_of(history)), None)
    also = None if collector is None else rooms.guarded("answer times", ANSWER_TIMES, collector.add)
    return rooms.ask("samples", "what the probes saw", lambda: observe(history, also=also), None), collector


def _judged(history: History, observation: Observation | None, groups: list[Group], rooms: Rooms) -> summary.Judged:
    """Judge part by part. Without an observation nothing is said of losses; what else is known is judged all the same."""
    seen = Observation((), (), (), (), 0) if observation is None or rooms.failed("windows") else observation
    losses: list[Loss] = []
    if observation is not None and seen is observation:
        losses = rooms.rows(
            "matrix", "what the users of each service lost", lambda: matrix(history, observation, groups)
        )
    checked: list[Check] = rooms.rows("checks", "what was checked", lambda: course.checks(history))
    return summary.Judged(
        steps=rooms.rows("steps", "how the steps went", lambda: course.steps(history, checked)),
        checks=checked,
        matrix=losses,
        migrations=rooms.rows("migrations", "the live migrations", lambda: moves.migrations(history, seen, groups)),
        canaries=rooms.rows("canaries", "the canaries", lambda: moves.canaries(history, seen, groups, losses)),
        differences=rooms.rows("differences", "what is not as it was before", lambda: differences(history)),
        quality=rooms.ask(
            "quality",
            "how far the measurement can be trusted",
            lambda: unknown_quality(history) if observation is None else quality(history, observation),
            unknown_quality(history),
        ),
        guests=rooms.rows("guests", "what the canaries noticed from inside", lambda: guests(history)),
    )


def _provenance(history: History) -> dict[str, str]:
    last, plan = history.last.event, plans.last(history)
    return {
        "run": history.first.run,
        "attempts": str(len(history.attempts)),
        "command": shlex.join(last.argv),
        "version": last.version,
        "revision": last.revision,
        "host": last.host,
        "boot id": last.boot_id,
        "plan": f"{plan.name} ({len(plan.steps)} steps)",
        "plan sha256": last.plan_sha256,
        "utc offset": last.utc_offset,
        **ownchecks.provenance(history),
    }
