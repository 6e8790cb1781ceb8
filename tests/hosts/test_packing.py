"""What travels to hosts is one text, and does with what a host has."""

from __future__ import annotations

import ast

import pytest

from rehearsal.hosts import parts
from rehearsal.hosts.packing import packed
from rehearsal.witness import watching


@pytest.mark.parametrize(
    "program", [("rehearsal.hosts.look", *parts.NAMES), (watching.PROGRAM,)], ids=["look", "witness"]
)
def test_what_travels_is_python_3_8_and_needs_nothing_of_ours_that_stays(program):
    """Its grammar is that of Python 3.8, no dataclass has what came later, and all that it imports of ours is in it."""
    (texts,) = [each for each in ast.walk(ast.parse(packed(*program))) if isinstance(each, ast.List)]
    modules = dict(ast.literal_eval(texts))
    imported = set()
    for text in modules.values():
        tree = ast.parse(text, feature_version=(3, 8))
        imported |= {each.module for each in tree.body if isinstance(each, ast.ImportFrom)}
        calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call)]
        named = {word.arg for each in calls if ast.unparse(each.func) == "dataclass" for word in each.keywords}
        assert named <= {"frozen"}
    assert {name for name in imported if name.startswith("rehearsal.")} <= set(modules)
    assert set(program) <= set(modules)


def test_docker_is_asked_by_one_text():
    """The look and the witness carry the same client."""
    for program in (packed("rehearsal.hosts.look", *parts.NAMES), packed(watching.PROGRAM)):
        assert program.count("rehearsal.hosts.engine', ") == 1
