"""Runs commands on the lab's nodes as an operator would, and suites on its manager; for the tests that need a cloud."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

from rehearsal.claims.outcomes import checks_of
from rehearsal.recording.journal import read

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "reports" / "test"
"""Below the checkout, because that is what the host and the lab's manager both see."""
LAB = [sys.executable, "-m", "lab"]


def lab(*arguments, timeout_s=300.0, check=True):
    """Run `rehearse-lab`; its output is in the error if it fails."""
    done = subprocess.run([*LAB, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)
    if check and done.returncode != 0:
        raise AssertionError(
            f"rehearse-lab {shlex.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        )
    return done


def on(node, *argv, timeout_s=120.0, check=True):
    """Run a command on a node and return what it printed."""
    return lab("exec", node, "--", *argv, timeout_s=timeout_s, check=check).stdout


def sh(node, script, timeout_s=120.0, check=True):
    """Run a shell script on a node and return what it printed."""
    return on(node, "sh", "-ec", script, timeout_s=timeout_s, check=check)


def suite(*paths, environment=None, arguments=()):
    """Run suites (or single checks) on the manager as an operator does; return the records of all claims and the output."""
    OUT.mkdir(parents=True, exist_ok=True)
    journal = OUT / f"suite-{time.time_ns()}.jsonl"
    variables = {"REHEARSE_JOURNAL": str(journal), "PYTHONDONTWRITEBYTECODE": "1"} | (environment or {})
    argv = ["env", *(f"{key}={value}" for key, value in variables.items())]
    argv += [
        "sh",
        "-c",
        f'cd {shlex.quote(str(ROOT))} && exec {shlex.quote(sys.executable)} -m pytest -q -p no:cacheprovider "$@"',
        "sh",
    ]
    done = lab("exec", "lab-manager", "--", *argv, *arguments, *paths, check=False, timeout_s=600)
    records = checks_of([record.event for record in read(journal).records]) if journal.exists() else []
    journal.unlink(missing_ok=True)
    assert records, f"{done.stdout}\n{done.stderr}"
    return records, done.stdout + done.stderr


def told(records, outcome="fail"):
    """Return what does not hold, as (check, host, container or service)."""
    return {(each.check, each.host, each.container or each.service) for each in records if each.outcome == outcome}
