"""Which fault turns which check red: the suites' catalogue joined with the faults. A check that was never seen to fail proves nothing.

``python -m lab.proofs > docs/checks.md`` renews the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.faults import FAULTS
from rehearsal.claims.catalogue import catalogue
from rehearsal.recording.stretch import SUITES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rehearsal.claims.catalogue import Check


def faults_of(check: Check) -> list[str]:
    """The faults that turn a check red; what post-flight takes over is proved where it came from."""
    return [name for name, fault in FAULTS.items() if (check.taken_over or check.id) in fault.checks]


def page(checks: Sequence[Check]) -> str:
    """Return docs/checks.md: every check with its claim and the faults that turn it red."""
    lines = [
        "# Checks",
        "",
        "Made from the code by `python -m lab.proofs`; do not edit. Every check is one sentence about a cloud that is",
        "either true, false, or could not be observed (unknown, which is never a pass). *Turned red by* names the faults that the",
        "tests on the embedded lab make on the real thing, expecting exactly this check to fail: `rehearse-lab break NAME`.",
        "",
        "Repeat one check with `pytest 'suites/SUITE/FILE.py::TEST[PARAMETERS]'`; the report gives the whole command.",
    ]
    for suite in SUITES:
        lines += ["", f"## {suite}", "", "| check | claim | turned red by |", "| --- | --- | --- |"]
        lines += [
            f"| `{check.id}` | {_cell(check.claim)} | {_seen_red(check)} |" for check in checks if check.suite == suite
        ]
    return "\n".join(lines) + "\n"


def _seen_red(check: Check) -> str:
    if check.taken_over:
        return f"as `{check.taken_over}`"
    return ", ".join(f"`{fault}`" for fault in faults_of(check))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(page(catalogue()), end="")
