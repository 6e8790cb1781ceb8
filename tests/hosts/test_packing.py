"""What travels to hosts is one text, and does with what a host has."""

from __future__ import annotations

import ast
import importlib
from typing import get_type_hints

import pytest

from rehearsal.hosts import parts
from rehearsal.hosts.look import PARTS
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
    allowed = ("rehearsal.hosts.", "rehearsal.witness.on_host.", "rehearsal.figures.expectation")
    assert [] == [name for name in modules if not name.startswith(allowed)]


def test_docker_is_asked_by_one_text():
    """The look and the witness carry the same client."""
    for program in (packed("rehearsal.hosts.look", *parts.NAMES), packed(watching.PROGRAM)):
        assert program.count("rehearsal.hosts.engine', ") == 1


def test_every_part_registers_what_it_looks_at():
    """A module among the parts without a look of its own would never be seen; each says what it shows."""
    for name in parts.NAMES:
        importlib.import_module(name)
    assert {*parts.NAMES} == {each.__module__ for each in PARTS if get_type_hints(each)["return"]}
