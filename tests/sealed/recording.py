"""A sealed world as a run directory, written by the tool's own writers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rehearsal.recording import events
from rehearsal.recording.journal import Journal
from rehearsal.recording.samples import SAMPLE
from rehearsal.recording.samples import SampleStoreWriter
from tests.made import synthetic
from tests.made.synthetic import at_ns

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sealed.world import Lane
    from tests.sealed.world import Taken
    from tests.sealed.world import World


def write(run_dir: Path, world: World, samples: list[Taken]) -> Path:
    """Write the run directory and return it."""
    script = _script(world)
    (run_dir / "samples").mkdir(parents=True)
    (run_dir / "logs").mkdir()
    _write_prober(run_dir, world, script, samples)
    synthetic._write_runner(run_dir, script)
    return run_dir


def _script(world: World) -> synthetic.Scenario:
    return synthetic.Scenario(
        duration_s=world.duration_s,
        services=world.services,
        canaries=world.canaries,
        baseline_s=world.baseline_s,
        settle_s=world.settle_s,
        defaults={who: {"source": "default", **budget} for who, budget in world.defaults.items()},
        steps=tuple(
            synthetic.ScriptedStep(
                step.id,
                step.from_s,
                step.to_s,
                tuple(who for who in step.budgets if who != "canaries"),
                disturbs={who: {"source": "plan", **budget} for who, budget in step.budgets.items()},
            )
            for step in world.steps
        ),
        migrations=tuple(
            synthetic.ScriptedMigration(move.id, move.canary, move.from_s, move.to_s) for move in world.moves
        ),
    )


def declared(number: int, lane: Lane) -> events.ProbeDeclared:
    """Return a lane's declaration."""
    packet = lane.is_packet
    return events.ProbeDeclared(
        probe=number + 1,
        name=lane.name,
        lane=lane.kind,
        service="canary" if packet else lane.who,
        canary=lane.who if packet else "",
        target="192.0.2.10" if packet else f"https://api.example.test/{lane.who}",
        vip="" if packet else lane.vip,
        period_ns=round(lane.period_s * 1e9),
        deadline_ns=round(lane.hard_s * 1e9),
        **({} if packet else {"soft_ns": round(lane.soft_s * 1e9)}),
    )


def _write_prober(run_dir: Path, world: World, script: synthetic.Scenario, samples: list[Taken]) -> None:
    clock = synthetic._Clock(script)
    with Journal(run_dir / "journal" / "prober.jsonl", clock=clock) as journal:
        journal.write(
            events.ProberStarted(
                pid=4711,
                boot_id="boot-of-the-prober",
                probes=len(world.lanes),
                samples_file="samples/prober.smp",
                load_per_s=1.0,
            )
        )
        for number, lane in enumerate(world.lanes):
            journal.write(declared(number, lane))
        with SampleStoreWriter(run_dir / "samples" / "prober.smp") as writer:
            for block in _blocks(world, array_of(samples)):
                writer.append(block)
                writer.flush()
        for second in range(1, int(world.duration_s) + 1):
            clock.now_s = float(second)
            if any(stall.from_s <= second < stall.told_to_s for stall in world.stalls):
                continue
            for stall in world.stalls:
                if second - 1 <= stall.told_to_s < second:
                    journal.write(
                        events.ProberBlind(at_ns(stall.from_s), at_ns(stall.told_to_s), "the prober was not running")
                    )
            journal.write(
                events.ProberBeat(
                    lag_max_ns=1_000_000, run_delay_ns=0, steal_ns=0, sent=len(samples) // 40, in_flight=3
                )
            )
        clock.now_s = world.duration_s
        for stall in world.stalls:
            if stall.told_to_s >= int(world.duration_s):
                journal.write(
                    events.ProberBlind(at_ns(stall.from_s), at_ns(stall.told_to_s), "the prober was not running")
                )
        journal.write(events.ProberStopped(reason="stop", recorded=len(samples)))


def _blocks(world: World, samples: np.ndarray) -> list[np.ndarray]:
    """What a prober writes at once: everything, or what was done in some seconds. It must not matter."""
    each_s = (0.0, 1.0, 7.0)[world.seed % 3]
    if not each_s:
        return [samples]
    borders = [at_ns(moment) for moment in np.arange(each_s, world.duration_s, each_s).tolist()]
    return np.split(samples, np.searchsorted(samples["done"], borders))


def array_of(samples: list[Taken]) -> np.ndarray:
    """Return samples as the store keeps them, in order of completion."""
    array = np.zeros(len(samples), SAMPLE)
    for place, each in enumerate(sorted(samples, key=lambda each: each.done_s)):
        array[place] = (
            each.lane + 1,
            int(each.sample_class),
            each.flags,
            each.seq,
            at_ns(each.due_s),
            at_ns(each.sent_s),
            at_ns(each.done_s),
        )
    return array
