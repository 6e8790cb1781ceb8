"""Attack the judge with sealed worlds: `python -m tests.sealed.attack [--shape B3] [--seeds 200] [--from 0]`.

Prints for each shape how many worlds were judged, what contradicted the truth, and with which seed it can be made again.
"""

from __future__ import annotations

import argparse
import collections
import random
import shutil
import sys
import tempfile
from pathlib import Path

from rehearsal.judging.judge import judge
from rehearsal.recording.history import load
from tests.sealed import recording
from tests.sealed.oracle import Oracle
from tests.sealed.oracle import Verdict
from tests.sealed.shapes import SHAPES
from tests.sealed.world import World
from tests.sealed.world import recorded


def judged(world: World, folder: Path, *, strict: bool = False) -> Verdict:
    """Record a world, judge the recording, and return what the oracle says of it.

    `strict`: a lane's good samples speak even of what it never met.
    """
    samples = recorded(world)
    try:
        results = judge(load(recording.write(folder / "run", world, samples)))
    finally:
        shutil.rmtree(folder / "run", ignore_errors=True)
    return Oracle(world, samples, strict=strict).judge(results)


def main() -> int:
    """Attack, and tell; exit 1 if anything contradicts the truth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", action="append", choices=list(SHAPES))
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--shown", type=int, default=3, help="examples for each kind of contradiction")
    parser.add_argument("--strict", action="store_true", help="a lane's good samples speak even of what it never met")
    options = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        for shape in options.shape or SHAPES:
            seeds = range(options.first, options.first + options.seeds)
            bad += _attack(shape, seeds, options.shown, Path(scratch), strict=options.strict)
    return 1 if bad else 0


def _attack(shape: str, seeds: range, shown: int, scratch: Path, *, strict: bool) -> int:
    worlds: dict[str, list[str]] = collections.defaultdict(list)
    cells = unknown = wrong_worlds = 0
    for seed in seeds:
        try:
            verdict = judged(SHAPES[shape](random.Random(seed)), scratch, strict=strict)
        except Exception as error:  # noqa: BLE001 - a judge that raises is a finding of its own
            worlds["raised"].append(f"seed {seed}: {type(error).__name__}: {error}")
            wrong_worlds += 1
            continue
        cells, unknown = cells + verdict.cells, unknown + verdict.unknown
        wrong_worlds += bool(verdict.wrong)
        for kind in dict.fromkeys(wrong.kind for wrong in verdict.wrong):
            first = next(wrong for wrong in verdict.wrong if wrong.kind == kind)
            worlds[kind].append(f"seed {seed}: {first.where}: {first.text}")
        if verdict.avoidable:
            worlds["avoidable unknown"].append(f"seed {seed}: {verdict.avoidable[0]}")
    told = ", ".join(f"{len(found)} {kind}" for kind, found in sorted(worlds.items())) or "nothing wrong"
    print(
        f"{shape}: {len(seeds)} worlds, {wrong_worlds} contradicted; {told}; {unknown} of {cells} cells unknown",
        flush=True,
    )
    for kind, found in sorted(worlds.items()):
        for text in found[:shown]:
            print(f"    {kind}: {text}", flush=True)
    return wrong_worlds


if __name__ == "__main__":
    sys.exit(main())
