"""The house: folders by flow, names by content, tests where what they test is."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from pathlib import Path

import pytest

from lab.faults import FAULTS
from rehearsal.judging.results import Results
from rehearsal.judging.rooms import declared_in
from rehearsal.report.sections import in_order

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "rehearsal"
OF_PYTHON = ("__init__", "__main__")
BESIDES = {"made", "of_lab", "on_lab", "sealed", "suites"}
"""Folders of tests that mirror something else than the engine: props, the lab, sealed worlds, the suites."""


def test_nothing_is_loose_at_the_root_of_the_package():
    """A module has a room; a plan, a table or a template lies in the room that reads it."""
    loose = {path.name for path in SRC.iterdir() if path.is_file()}
    assert {"__init__.py", "py.typed"} == loose


@pytest.mark.parametrize("base", [SRC, ROOT / "lab"], ids=["engine", "lab"])
def test_no_two_modules_have_one_name(base):
    """A name says one thing, wherever it is imported."""
    names = Counter(path.stem for path in base.rglob("*.py") if path.stem not in OF_PYTHON)
    assert [] == [name for name, times in names.items() if times > 1]


def test_every_room_says_what_it_is_for():
    """Each package of the engine opens with a docstring."""
    rooms = {path.parent for path in SRC.rglob("*.py")}
    assert [] == sorted(
        room.relative_to(SRC).as_posix() for room in rooms if not (room / "__init__.py").read_text().startswith('"""')
    )


def test_tests_mirror_the_rooms():
    """A folder with tests is named as the room whose tests they are; at the root are only those that read all others."""
    tests = ROOT / "tests"
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}
    strange = [
        folder.as_posix() for folder in folders if not {*folder.parts[:1]} & BESIDES and not (SRC / folder).is_dir()
    ]
    assert [] == sorted(strange)
    assert {"test_house.py", "test_traps.py"} == {path.name for path in tests.glob("test_*.py")}


def test_what_needs_the_lab_is_apart_from_what_does_not():
    """Tests marked `lab` are in on_lab/, and only there."""
    marked = {path for path in (ROOT / "tests").rglob("test_*.py") if "pytest.mark.lab" in path.read_text()}
    there = {*(ROOT / "tests" / "on_lab").rglob("test_*.py")}
    assert [] == sorted(path.name for path in marked ^ there if path.name != Path(__file__).name)


def test_the_engine_names_neither_the_lab_nor_its_faults():
    """What turns a check red is declared where the fault is made; nothing in the engine knows that there is a lab."""
    words = re.compile(rf"\b(?:lab|{'|'.join(map(re.escape, FAULTS))})\b", re.IGNORECASE)
    texts = (path for path in SRC.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert [] == [f"{path.relative_to(SRC)}: {found[0]}" for path in texts if (found := words.search(path.read_text()))]


def test_a_section_of_the_page_is_a_module_and_a_template_of_its_name():
    """Every module in report/sections declares a section that follows one on the page; nothing else lists them."""
    modules = {path.stem for path in (SRC / "report" / "sections").glob("*.py")} - {*OF_PYTHON}
    templates = {path.stem for path in (SRC / "report" / "templates" / "sections").iterdir()}
    assert modules == templates == {module for module, _ in in_order()}


def test_a_figure_that_only_the_report_reads_registers_itself():
    """Every module in judging/shown declares a room; none has the key of another, or of what the verdict is drawn from."""
    keys = [room.key for room in declared_in("rehearsal.judging.shown", "ROOM").values()]
    assert len(keys) == len({*keys} - {field.name for field in dataclasses.fields(Results)})
