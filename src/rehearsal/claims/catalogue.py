"""The catalogue of checks: each claim's id, its sentence, its suite, and what it needs.

All of it comes from the suites themselves (marks and docstrings), without running them, so that the page, the report and
the code cannot say different things.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

from rehearsal.recording.stretch import POSTFLIGHT
from rehearsal.recording.stretch import SUITES


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the catalogue. `test` is its node id without parameters; `taken_over` names the claim's first home.

    `needs`: what the cloud or the step must have, or the check is not applicable; `after_upgrade`: post-flight claims it again.
    """

    id: str
    suite: str
    claim: str
    test: str
    needs: tuple[str, ...] = ()
    after_upgrade: bool = False
    taken_over: str = ""


class CatalogueError(Exception):
    """The suites and the catalogue contradict each other; the message names the test and what to do."""


def check_id(marked: str, suite: str) -> str:
    """Return the id of a claim in this suite: post-flight takes claims over from pre-flight and says so in its own name."""
    _, _, name = marked.partition(".")
    return f"{suite}.{name}"


def claim_sentence(docstring: str | None) -> str:
    """Return the first paragraph of a docstring as one line: the sentence that the customer reads."""
    paragraph = (docstring or "").strip().split("\n\n", 1)[0]
    return " ".join(paragraph.split())


def root() -> Path:
    """Return the folder that holds `suites/`: the bundle inside an installed package, else the checkout."""
    package = Path(__file__).resolve().parent.parent
    bundle = package / "bundle"
    return bundle if bundle.is_dir() else package.parents[1]


def catalogue(folder: Path | None = None) -> list[Check]:
    """Return every check of the suites, by suite and id. CatalogueError for a test without id or claim."""
    own = [check for path in sorted(((folder or root()) / "suites").glob("*/test_*.py")) for check in _checks(path)]
    checks = own + [_again(check) for check in own if check.after_upgrade]
    if len({check.id for check in checks}) != len(checks):
        raise CatalogueError("Two tests have the same check id. Ids are unique within a suite.")
    return sorted(checks, key=lambda check: (SUITES.index(check.suite), check.id))


def _again(check: Check) -> Check:
    """The same check as post-flight claims it, by the test that takes it over."""
    test = f"suites/{POSTFLIGHT}/test_as_preflight.py::{check.test.partition('::')[2]}"
    own = check_id(check.id, POSTFLIGHT)
    return replace(check, id=own, suite=POSTFLIGHT, test=test, after_upgrade=False, taken_over=check.id)


def _checks(path: Path) -> list[Check]:
    """Return every check of a file, without running it."""
    found = []
    suite = path.parent.name
    for node in ast.parse(path.read_text()).body:
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        marks = [each for each in node.decorator_list if isinstance(each, ast.Call) and each.args]
        marks = [each for each in marks if ast.unparse(each.func) == "pytest.mark.check"]
        claim = claim_sentence(ast.get_docstring(node))
        if len(marks) != 1 or not claim:
            raise CatalogueError(
                f"{path}::{node.name} needs one @pytest.mark.check(id) and a docstring that is its claim."
            )
        marked = str(ast.literal_eval(marks[0].args[0]))
        if not marked.startswith(f"{suite}."):
            raise CatalogueError(f"{path}::{node.name}: the id {marked} must begin with {suite}.")
        declared = {each.arg: ast.literal_eval(each.value) for each in marks[0].keywords}
        test = f"suites/{suite}/{path.name}::{node.name}"
        needs, again = tuple(declared.get("needs", ())), bool(declared.get("after_upgrade"))
        found.append(Check(marked, suite, claim, test, needs, again))
    return found
