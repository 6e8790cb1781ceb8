"""What a plain `assert` expected and observed, read from the assertion that failed."""

from __future__ import annotations

import ast
import textwrap
from typing import TYPE_CHECKING

from rehearsal.figures.expectation import Expectation

if TYPE_CHECKING:
    import pytest

_LONGEST = 400


def asserted(failure: pytest.ExceptionInfo[BaseException]) -> Expectation | None:
    """Return a failed assertion as an expectation: its condition as written, and what pytest saw of it.

    None if what failed is no `assert` that could be read (`pytest.fail`, a file without source).
    """
    condition = _condition(str(failure.traceback[-1].statement)) if failure.traceback else ""
    if not condition:
        return None
    return Expectation(condition[:_LONGEST], _seen(str(failure.value))[:_LONGEST], holds=False)


def _condition(statement: str) -> str:
    try:
        body = ast.parse(textwrap.dedent(statement)).body
    except (SyntaxError, ValueError):
        return ""
    return ast.unparse(body[0].test) if body and isinstance(body[0], ast.Assert) else ""


def _seen(told: str) -> str:
    """Return the first line of what pytest says (the message, if the assertion has one), with the values in it."""
    first, *more = told.strip().splitlines() or [""]
    values = [line.strip().lstrip("+ ") for line in more if line.lstrip().startswith("+  where")]
    return "; ".join([first.removeprefix("assert ") or "it is not true", *values])
