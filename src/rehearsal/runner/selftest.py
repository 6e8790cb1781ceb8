"""Whether the measuring instrument can be trusted, proved before anything is decided with it.

The prober measures outages of known length on services of the rehearsal's own (`calibration.calibrate`). What became of that is
recorded in the runner's journal, also if it could not be carried out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.figures.outcome import Outcome
from rehearsal.prober.client import ProberError
from rehearsal.recording.events import CalibrationDone
from rehearsal.runner.progress import say

if TYPE_CHECKING:
    from pathlib import Path

    from rehearsal.recording.rundir import RunDirectory

TRIALS = 8
"""Two outages on each of four services, side by side: about ten seconds."""


def calibration(run: RunDirectory) -> CalibrationDone:
    """Calibrate the prober and return what is to be recorded; unknown if it could not be carried out."""
    from rehearsal.calibration.calibrate import CalibrationError  # noqa: PLC0415 - numpy is slow to import
    from rehearsal.calibration.calibrate import calibrate  # noqa: PLC0415

    try:
        found = calibrate(_new_folder(run), trials=TRIALS, say=say)
    except (CalibrationError, ProberError, OSError) as error:
        return CalibrationDone(Outcome.UNKNOWN, f"it could not be run: {error}", seal="", sealed="")
    return CalibrationDone(**found.to_dict())


def _new_folder(run: RunDirectory) -> Path:
    """An earlier attempt may have left a recording: it stays what it is."""
    number = 1
    while (path := run.calibration(number)).exists():
        number += 1
    return path
