"""Random damage to a recording, and what the judge makes of it.

    .venv/bin/python -m benchmarks.damage RUN [--changes 1000] [--seed 1] [--write benchmarks/damage.md]

Copies the run directory RUN; then damages one file of the copy at a time, at random: bits, ranges, lines and blocks changed,
lost, doubled, swapped, put in; the file cut, emptied, removed. Each time the copy is judged, its report is written, and the
file is mended again. Four things must never be: a traceback, a hang, a better verdict than that of the whole recording, and
a change that is neither named with its file nor without any effect on the results. Exit 0 only if there was none.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.made.damaging import Effect
from tests.made.damaging import Patient

if TYPE_CHECKING:
    from collections.abc import Iterable

WRONG = ("traceback", "hang", "better", "silent")


def main() -> int:
    """Damage, judge, count."""
    parser = argparse.ArgumentParser(description="Random damage to a recording, and what the judge makes of it.")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory; it is copied and stays as it is")
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the table there")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / options.run.resolve().name
        shutil.copytree(options.run, copy, symlinks=True)
        effects = list(damage(Patient(copy), options.changes, random.Random(options.seed)))
    text = table(effects, options.seed, time.monotonic() - began)
    print(text)
    if options.write:
        options.write.write_text(text + "\n")
    for effect in effects:
        if effect.wrong:
            print(f"\n{effect.wrong}: {effect.file}, {effect.change}: {effect.detail[-1500:]}", file=sys.stderr)
    return 1 if any(effect.wrong for effect in effects) else 0


def damage(patient: Patient, changes: int, chance: random.Random) -> Iterable[Effect]:
    """Yield the effects of so many changes; evidence is damaged four times as often as the other files."""
    evidence, every = patient.names(evidence_only=True), patient.names()
    done = 0
    while done < changes:
        effect = patient.suffer(chance.choice(evidence if chance.random() < 0.8 else every), chance)
        if effect is not None:
            done += 1
            yield effect


def table(effects: list[Effect], seed: int, took_s: float) -> str:
    """Return the effects as Markdown, one row for each file, logs and pages together."""
    rows: defaultdict[str, list[Effect]] = defaultdict(list)
    for effect in effects:
        rows[_group(effect.file)].append(effect)
    lines = [
        f"{len(effects)} changes (seed {seed}, {took_s:.0f} s):",
        "",
        "| file | changes | named | without effect | PASS | FAIL | UNKNOWN | no report | " + " | ".join(WRONG) + " |",
        "|---" * (8 + len(WRONG)) + "|",
    ]
    lines += [_row(name, mine) for name, mine in sorted(rows.items())]
    return "\n".join([*lines, _row("all", effects)])


def _row(name: str, effects: list[Effect]) -> str:
    outcomes, wrong = Counter(each.outcome for each in effects), Counter(each.wrong for each in effects)
    cells = [
        name,
        len(effects),
        sum(each.named for each in effects),
        sum(not each.named and not each.wrong for each in effects),
        *(outcomes[word] for word in ("ok", "fail", "unknown", "none")),
        *(wrong[word] for word in WRONG),
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def _group(name: str) -> str:
    room, _, rest = name.partition("/")
    return name if room in {"journal", "samples"} or not rest else f"{room}/…"


if __name__ == "__main__":
    sys.exit(main())
