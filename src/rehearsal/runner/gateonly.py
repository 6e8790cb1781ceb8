"""One suite alone, recorded like a run: for `rehearse preflight` and `rehearse postflight`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.cloud import options as target_options
from rehearsal.figures.outcome import Outcome
from rehearsal.recording.events import GateDecided
from rehearsal.recording.events import Note
from rehearsal.recording.events import PhaseBegan
from rehearsal.recording.events import PhaseEnded
from rehearsal.recording.events import RunEnded
from rehearsal.recording.journal import Journal
from rehearsal.runner import suites
from rehearsal.runner.attempt import run_began
from rehearsal.runner.interrupts import Interrupted
from rehearsal.runner.past import STOPPED
from rehearsal.runner.past import WENT_ON
from rehearsal.runner.progress import say
from rehearsal.runner.progress import working

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rehearsal.cloud import Options
    from rehearsal.cloud import Target
    from rehearsal.plan import PlanSpec
    from rehearsal.recording.rundir import RunDirectory


def gate_only(  # noqa: PLR0913 - one call, everything is needed
    run: RunDirectory,
    target: Target,
    plan: PlanSpec | None,
    *,
    suite: str,
    options: Options,
    jobs: int,
    argv: Sequence[str],
) -> Outcome:
    """Run the suite, record it, and return the gate's outcome."""
    target.save(run.target)
    target.save(run.target_from)
    with Journal(run.runner_journal) as journal:
        journal.write(run_began(run, plan, target, mode=suite, attempt=1, argv=argv))
        journal.write(Note("info", f"Only the {suite} suite was run; no step was carried out."))
        journal.write(PhaseBegan(suite))
        say(f"gate {suite}: running suite {suite} ({run.path})")
        environment = {
            **target_options.as_environment(options),
            "REHEARSE_EXPECT": "to" if plan and target.release.openstack == plan.to_release else "from",
        }
        if plan is None:
            environment["REHEARSE_PLAN"] = ""
        try:
            with working(f"suite {suite}"):
                gate = suites.run_suite(
                    run, suite=suite, gate=suite, environment=environment, record=journal.write, jobs=jobs
                )
        except Interrupted as interrupt:
            journal.write(PhaseEnded(suite, Outcome.UNKNOWN))
            journal.write(RunEnded("interrupted", f"It was interrupted ({interrupt.name})."))
            say("interrupted")
            return Outcome.UNKNOWN
        suites.tell(gate)
        action = WENT_ON if gate.outcome == Outcome.OK else STOPPED
        journal.write(GateDecided(suite, gate.outcome, action, gate.sentence))
        journal.write(PhaseEnded(suite, Outcome.OK))
        journal.write(RunEnded("finished" if gate.outcome == Outcome.OK else "gate", gate.sentence))
    return gate.outcome
