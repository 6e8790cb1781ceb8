"""The catalogue of checks: each claim's id, its sentence, and the fault that must turn it red.

A check that was never seen to fail proves nothing. The sentences come from the suites themselves (their docstrings), so
that the page, the report and the code cannot say different things; what is declared here is only which fault belongs to
which check. A fault is something done to a real cloud: those of the embedded lab (`rehearse-lab break NAME`) by name.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from rehearsal.claims.pytest_plugin import check_id
from rehearsal.claims.pytest_plugin import claim_sentence

SUITES = ("preflight", "inflight", "postflight")


@dataclass(frozen=True, slots=True)
class Proof:
    """How a check is made to fail. `faults` are made in the lab; `reason` says honestly why there is none, or what else."""

    faults: tuple[str, ...] = ()
    reason: str = ""


PROOFS: dict[str, Proof] = {
    "preflight.api-answers": Proof(("vip-port-blackhole", "backend-503")),
    "preflight.certificate": Proof(("certificate-expiring",)),
    "preflight.compute-capacity": Proof(("compute-disabled",)),
    "preflight.container-health": Proof(("container-unhealthy",)),
    "preflight.container-image": Proof(("tag-moved",)),
    "preflight.container-release": Proof(("image-of-other-release",)),
    "preflight.container-running": Proof(("container-stopped", "libvirtd-dead")),
    "preflight.container-tag": Proof(("container-old-tag",)),
    "preflight.container-unexpected": Proof(("container-unexpected",)),
    "preflight.disk-space": Proof(("disk-full",)),
    "preflight.facts-fresh": Proof(("facts-stale",)),
    "preflight.haproxy-servers": Proof(("server-in-maintenance",)),
    "preflight.libvirt-answers": Proof(("libvirtd-hung",)),
    "preflight.lock-file": Proof(("lock-file",)),
    "preflight.neutron-agent": Proof(("agent-frozen",)),
    "preflight.nova-service": Proof(("nova-service-frozen", "compute-withdrew")),
    "preflight.tag-override": Proof(("tag-override",)),
    "preflight.target-image": Proof(("image-missing",)),
    "preflight.task-lock": Proof(("task-lock",)),
    "inflight.canary-reachable": Proof(("guest-paused",)),
    "inflight.downtime": Proof(("vip-port-blackhole",)),
    "inflight.others-untouched": Proof(("container-restarted",)),
    "inflight.pulled-image": Proof(("image-missing",)),
    "inflight.slow-answers": Proof(("service-frozen",)),
    "inflight.step-healthy": Proof(("container-unhealthy",)),
    "inflight.step-replaced": Proof(("container-old-tag",)),
    "postflight.migration": Proof(("libvirtd-dead",)),
    "postflight.nothing-lost": Proof(("network-renamed",)),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the catalogue. `test` is its node id without parameters; `taken_over` names the claim's first home."""

    id: str
    suite: str
    claim: str
    test: str
    proof: Proof
    taken_over: str = ""


class CatalogueError(Exception):
    """The suites and the catalogue contradict each other; the message names the test and what to do."""


def root() -> Path:
    """Return the folder that holds `suites/`: the bundle inside an installed package, else the checkout."""
    package = Path(__file__).resolve().parent.parent
    bundle = package / "bundle"
    return bundle if bundle.is_dir() else package.parents[1]


def catalogue(folder: Path | None = None) -> list[Check]:
    """Return every check of the suites, by suite and id. CatalogueError for a test without id, claim or proof."""
    base = folder or root()
    own: dict[str, tuple[str, str, str]] = {}  # test function's place -> id as marked, claim, test
    for path in sorted((base / "suites").glob("*/test_*.py")):
        for name, marked, claim in _tests(path):
            own[f"{path.parent.name}/{path.stem}/{name}"] = (
                marked,
                claim,
                f"suites/{path.parent.name}/{path.name}::{name}",
            )
    checks = [_check(place.split("/")[0], marked, claim, test, marked) for place, (marked, claim, test) in own.items()]
    for path in sorted((base / "suites").glob("*/test_*.py")):
        for module, name in _taken_over(path):
            marked, claim, _ = own[f"{module}/{name}"]
            suite = path.parent.name
            checks.append(_check(suite, marked, claim, f"suites/{suite}/{path.name}::{name}", marked))
    known = {check.id for check in checks}
    if len(known) != len(checks):
        raise CatalogueError("Two tests have the same check id. Ids are unique within a suite.")
    stale = sorted(set(PROOFS) - {check.taken_over or check.id for check in checks})
    if stale:
        raise CatalogueError(f"PROOFS names checks that no suite has: {', '.join(stale)}. Remove them.")
    return sorted(checks, key=lambda check: (SUITES.index(check.suite), check.id))


def _check(suite: str, marked: str, claim: str, test: str, proof: str) -> Check:
    if proof not in PROOFS:
        raise CatalogueError(f"{test}: {marked} has no entry in PROOFS. Add the fault that turns it red.")
    own = check_id(marked, suite)
    return Check(own, suite, claim, test, PROOFS[proof], taken_over=marked if marked != own else "")


def _tests(path: Path) -> list[tuple[str, str, str]]:
    """Return name, marked id and claim of every test in a file, without running it."""
    found = []
    for node in ast.parse(path.read_text()).body:
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        marks = [mark for mark in map(_marked_id, node.decorator_list) if mark]
        claim = claim_sentence(ast.get_docstring(node))
        if len(marks) != 1 or not claim:
            raise CatalogueError(
                f"{path}::{node.name} needs one @pytest.mark.check(id) and a docstring that is its claim."
            )
        if not marks[0].startswith(f"{path.parent.name}."):
            raise CatalogueError(f"{path}::{node.name}: the id {marks[0]} must begin with {path.parent.name}.")
        found.append((node.name, marks[0], claim))
    return found


def _marked_id(decorator: ast.expr) -> str:
    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.check" and decorator.args:
        first = decorator.args[0]
        return str(first.value) if isinstance(first, ast.Constant) else ""
    return ""


def _taken_over(path: Path) -> list[tuple[str, str]]:
    """Return the tests that a file takes over from another suite, as (suite/module, name)."""
    return [
        ("/".join(node.module.split(".")[1:]), alias.name)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("suites.")
        for alias in node.names
        if alias.name.startswith("test_")
    ]


def page(checks: list[Check]) -> str:
    """Return docs/checks.md: every check with its claim and the fault that turns it red."""
    lines = [
        "# Checks",
        "",
        "Made from the code by `python -m rehearsal.claims.catalogue`; do not edit. Every check is one sentence about a cloud that is",
        "either true, false, or could not be observed (unknown, which is never a pass). *Turned red by* names the fault that the",
        "tests on the embedded lab make on the real thing, expecting exactly this check to fail: one of `rehearse-lab break NAME`,",
        "or what people leave behind (`tests/on_lab/made_faults.py`, `tests/on_lab/test_run_faults.py`).",
        "",
        "Repeat one check with `pytest 'suites/SUITE/FILE.py::TEST[PARAMETERS]'`; the report gives the whole command.",
    ]
    for suite in SUITES:
        lines += ["", f"## {suite}", "", "| check | claim | turned red by |", "| --- | --- | --- |"]
        lines += [
            f"| `{check.id}` | {_cell(check.claim)} | {_cell(_seen_red(check))} |"
            for check in checks
            if check.suite == suite
        ]
    return "\n".join(lines) + "\n"


def _seen_red(check: Check) -> str:
    if check.taken_over:
        return f"as `{check.taken_over}`"
    faults = ", ".join(f"`{fault}`" for fault in check.proof.faults)
    return "; ".join(part for part in (faults, check.proof.reason) if part)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(page(catalogue()), end="")
