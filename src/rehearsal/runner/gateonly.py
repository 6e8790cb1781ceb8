"""One suite alone, recorded like a run: for `rehearse preflight` and `rehearse postflight`."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import rehearsal
from rehearsal import plan as plans
from rehearsal.events import GateDecided
from rehearsal.events import Note
from rehearsal.events import PhaseBegan
from rehearsal.events import PhaseEnded
from rehearsal.events import RunBegan
from rehearsal.events import RunEnded
from rehearsal.journal import Journal
from rehearsal.runner import stepshell
from rehearsal.runner import suites
from rehearsal.runner.interrupts import Interrupted
from rehearsal.runner.progress import say
from rehearsal.target import options as target_options
from rehearsal.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rehearsal.plan import PlanSpec
    from rehearsal.runner.rundir import RunDirectory
    from rehearsal.target import Options
    from rehearsal.target import Target


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
        journal.write(
            RunBegan(
                run=run.run,
                mode=suite,
                attempt=1,
                argv=list(argv),
                version=rehearsal.__version__,
                revision=suites.revision(),
                host=platform.node(),
                boot_id=stepshell.boot_id(),
                plan=plan.model_dump(mode="json") if plan else {},
                plan_sha256=plans.sha256(run.plan) if plan else "",
                target=target.to_dict(),
                utc_offset=stepshell.utc_offset(),
            )
        )
        journal.write(Note("info", f"Only the {suite} suite was asked for; no step was carried out."))
        journal.write(PhaseBegan(suite))
        say(f"gate {suite}: suite {suite} begins ({run.path})")
        environment = {
            **target_options.as_environment(options),
            "REHEARSE_EXPECT": "to" if plan and target.release.openstack == plan.to_release else "from",
        }
        if plan is None:
            environment["REHEARSE_PLAN"] = ""
        try:
            gate = suites.run_suite(
                run, suite=suite, gate=suite, environment=environment, record=journal.write, jobs=jobs
            )
        except Interrupted as interrupt:
            journal.write(PhaseEnded(suite, Outcome.UNKNOWN))
            journal.write(RunEnded("interrupted", f"It was interrupted ({interrupt.name})."))
            say("interrupted")
            return Outcome.UNKNOWN
        suites.tell(gate)
        action = "went on" if gate.outcome == Outcome.OK else "stopped"
        journal.write(GateDecided(suite, gate.outcome, action, gate.sentence))
        journal.write(PhaseEnded(suite, Outcome.OK))
        journal.write(RunEnded("finished" if gate.outcome == Outcome.OK else "gate", gate.sentence))
    return gate.outcome
