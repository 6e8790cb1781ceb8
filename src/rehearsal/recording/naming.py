"""Names of what a rehearsal makes in a cloud: each carries the run's id, so that nothing else is needed to find it again."""

from __future__ import annotations

import re

PREFIX = "rehearse"
_RUN = r"\d{8}T\d{6}Z(?:-\d+)?"
# What follows the run's id begins with a letter: `-2` belongs to the id.
_NAME = re.compile(rf"{PREFIX}-(?P<run>{_RUN})(?:-[a-z].*)?", re.DOTALL)


def name_of(run: str, thing: str = "") -> str:
    """Return the name of a thing (`router`, `canary-host-1`) of a run, or of the run's project."""
    name = f"{PREFIX}-{run}-{thing}" if thing else f"{PREFIX}-{run}"
    if run_of(name) != run:
        raise ValueError(f"{run!r} is no run id or {thing!r} does not begin with a small letter")
    return name


def run_of(name: str | None) -> str:
    """Return the run that made the thing of this name, or an empty string if no rehearsal did."""
    found = _NAME.fullmatch(name or "")
    return found.group("run") if found else ""


def description_of(run: str) -> str:
    """Return what a stranger reads who finds the thing."""
    return f"Made by rehearse for run {run}; `rehearse clean {run}` removes it."


def run_described(description: str | None) -> str:
    """Return the run in a description made by `description_of`, or an empty string. For things that have no name."""
    found = re.match(rf"Made by rehearse for run ({_RUN});", description or "")
    return found.group(1) if found else ""
