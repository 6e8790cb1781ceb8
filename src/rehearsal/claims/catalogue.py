"""The catalogue of checks: each claim's id, its sentence, its suite, and what it needs.

All of it comes from the suites themselves (marks and docstrings), without running them, so that the page, the report and
the code cannot say different things.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from rehearsal.claims.pytest_plugin import check_id
from rehearsal.claims.pytest_plugin import claim_sentence

SUITES = ("preflight", "inflight", "postflight")


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the catalogue. `test` is its node id without parameters; `taken_over` names the claim's first home."""

    id: str
    suite: str
    claim: str
    test: str
    taken_over: str = ""


class CatalogueError(Exception):
    """The suites and the catalogue contradict each other; the message names the test and what to do."""


def root() -> Path:
    """Return the folder that holds `suites/`: the bundle inside an installed package, else the checkout."""
    package = Path(__file__).resolve().parent.parent
    bundle = package / "bundle"
    return bundle if bundle.is_dir() else package.parents[1]


def catalogue(folder: Path | None = None) -> list[Check]:
    """Return every check of the suites, by suite and id. CatalogueError for a test without id or claim."""
    base = folder or root()
    own: dict[str, tuple[str, str, str]] = {}  # test function's place -> id as marked, claim, test
    for path in sorted((base / "suites").glob("*/test_*.py")):
        for name, marked, claim in _tests(path):
            own[f"{path.parent.name}/{path.stem}/{name}"] = (
                marked,
                claim,
                f"suites/{path.parent.name}/{path.name}::{name}",
            )
    checks = [_check(place.split("/")[0], marked, claim, test) for place, (marked, claim, test) in own.items()]
    for path in sorted((base / "suites").glob("*/test_*.py")):
        for module, name in _taken_over(path):
            marked, claim, _ = own[f"{module}/{name}"]
            suite = path.parent.name
            checks.append(_check(suite, marked, claim, f"suites/{suite}/{path.name}::{name}"))
    known = {check.id for check in checks}
    if len(known) != len(checks):
        raise CatalogueError("Two tests have the same check id. Ids are unique within a suite.")
    return sorted(checks, key=lambda check: (SUITES.index(check.suite), check.id))


def _check(suite: str, marked: str, claim: str, test: str) -> Check:
    own = check_id(marked, suite)
    return Check(own, suite, claim, test, taken_over=marked if marked != own else "")


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
