"""`rehearse calibrate`: known outages, measured by the prober as a run would measure unknown ones."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.cli import usage
from rehearsal.figures import say
from rehearsal.outside.terminal import show
from rehearsal.runner.progress import working

if TYPE_CHECKING:
    import argparse

    from rehearsal.calibration.calibrate import Calibration

_MOST_TRIALS = 200


def add_commands(commands: Any) -> None:
    """Add `calibrate`."""
    made = commands.add_parser(
        "calibrate",
        help="check the prober: it measures outages of known length on services of its own, on loopback",
    )
    made.add_argument("--trials", type=int, default=12, metavar="N", help="how many outages (default 12, about 15 s)")
    made.add_argument("--keep", type=Path, metavar="DIR", help="keep the recording in this new directory")
    made.set_defaults(carry_out=calibrate_prober)


def calibrate_prober(options: argparse.Namespace) -> int:
    """Calibrate and print measured against true. 0: this prober may gate, 1: it may not, 2: nobody knows."""
    from rehearsal.calibration.calibrate import CalibrationError  # noqa: PLC0415 - numpy is slow to import
    from rehearsal.calibration.calibrate import calibrate  # noqa: PLC0415
    from rehearsal.prober.client import ProberError  # noqa: PLC0415

    if not 1 <= options.trials <= _MOST_TRIALS:
        raise usage.UsageError(f"--trials {options.trials}: choose a number between 1 and {_MOST_TRIALS}.")
    if options.keep is not None and options.keep.exists():
        raise usage.UsageError(f"{options.keep} exists. Name a directory that does not.")
    try:
        with tempfile.TemporaryDirectory(prefix="rehearse-") as scratch, working(f"measuring {options.trials} outages"):
            found = calibrate(options.keep or Path(scratch) / "calibration", trials=options.trials)
    except (CalibrationError, ProberError, OSError) as error:
        raise usage.UsageError(f"The calibration could not be run: {error}") from error
    show("\n".join(table(found)))
    show(f"{found.outcome.shown}: {found.sentence}")
    return found.outcome.exit_code


def table(found: Calibration) -> list[str]:
    """Return measured against true, one line per known outage."""
    lines = [f"{'fault':<10} {'true':>8} {'error':>9}  measured"]
    for trial in found.trials:
        line = f"{trial.kind:<10} {say.fixed(trial.true_ns, 3):>8} "
        if trial.blind:
            line += "not judged: the prober was blind"
        elif not trial.seen:
            floor = "any length" if trial.floor_ns is None else say.at_most(trial.floor_ns)
            line += f"not seen; up to {floor} can pass unseen"
        else:
            error = "" if trial.error_ns is None else say.about(trial.error_ns)
            line += f"{error:>9}  {say.bounded(trial.length)}"
        lines.append(line if trial.covered or trial.blind else f"{line}  OUTSIDE THE BOUNDS")
    return [*lines, f"committed to beforehand: sha256 {found.seal}"]
