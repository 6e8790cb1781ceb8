"""The house: folders by flow, names by content, tests where what they test is."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections import Counter
from pathlib import Path

import pytest

from lab.faults import FAULTS
from rehearsal.judging.charging.troubles import Attribution
from rehearsal.judging.results import Results
from rehearsal.judging.rooms import declared_in
from rehearsal.lanes import table
from rehearsal.lanes.rates import rates_of
from rehearsal.recording.stretch import SUITES
from rehearsal.recording.stretch import Kind
from rehearsal.recording.stretch import Phase
from rehearsal.recording.stretch import Side
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


def test_recordings_have_one_reader():
    """Only `recording.history` opens journals for reading, in the engine and in the suites; all others ask it."""
    readers = [
        path.relative_to(ROOT).as_posix()
        for base in (SRC, ROOT / "fixtures", ROOT / "suites")
        for path in base.rglob("*.py")
        if re.search(r"\bjournal\.read\(|recording\.journal import read\b", path.read_text())
    ]
    assert ["src/rehearsal/recording/history.py"] == readers


def test_no_run_of_ten_lines_stands_twice():
    """What is the same is written once, in the engine and in the lab; imports are the same by nature."""
    seen = {}
    twice = []
    for path in (path for base in (SRC, ROOT / "lab") for path in sorted(base.rglob("*.py"))):
        lines = [line.strip() for line in path.read_text().splitlines()]
        lines = [line for line in lines if line and not line.startswith(("from ", "import ", "if TYPE_CHECKING"))]
        for at in range(len(lines) - 9):
            run = tuple(lines[at : at + 10])
            if seen.setdefault(run, (path, at)) != (path, at):
                twice.append(f"{path.relative_to(ROOT)} ~ {seen[run][0].relative_to(ROOT)}: {run[0]}")
    assert [] == twice


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


# --- a length has one room


UNIT = re.compile(r"[ \u00a0]?(s|ms|µs|min|h|seconds|minutes)\b")
LENGTH_NAME = re.compile(r"(?<!per)_(s|ms|ns)", re.IGNORECASE)
IN_TEMPLATES = re.compile(r"\{\{[^}]*(/ *1e\d|\| *round|format\([^)]*(?<!per)_(s|ns)\b)[^}]*\}\}")
FOR_MACHINES = {
    "timeout {LOOK_TIMEOUT_S} ": "a command",
    "--timeout={step.timeout_s}": "a command",
    " {sent_ns} ": "a packet of the beacon's protocol",
    "{case.time_s:.3f}": "JUnit's schema wants seconds",
    "{sum(case.time_s for case in cases):.3f}": "JUnit's schema wants seconds",
}
"""What is no text for people: in an f-string, a length's own figures may stand only there."""
BOUNDS = {"certain_ns", "point_ns", "possible_ns"}


def code(*rooms):
    """Yield the modules of these folders with their syntax trees; what travels to hosts and guests has no imports of ours."""
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*.py")):
            if "on_host" not in path.parts and path.name not in {"in_guest.py", "observe_host.py"}:
                yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def worded(tree):
    """Yield every f-string that spells a length by itself: a number before a unit of time, or a value named as a length."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr) or any(each in ast.unparse(node) for each in FOR_MACHINES):
            continue
        for value, after in zip(node.values, [*node.values[1:], None], strict=True):
            if not isinstance(value, ast.FormattedValue) or isinstance(value.value, ast.Call):
                continue
            unit = isinstance(after, ast.Constant) and UNIT.match(str(after.value))
            number = value.format_spec is not None or re.search(r"\d|//", ast.unparse(value.value))
            if (unit and number) or LENGTH_NAME.fullmatch(_ending(value.value)):
                yield f"{node.lineno}: {ast.unparse(node)}"


def _ending(value):
    """What the name of a value ends in: `_s` of `probe.timeout_s`, also of `timeout_s / 1000`."""
    if isinstance(value, ast.BinOp):
        return _ending(value.left) or _ending(value.right)
    name = value.attr if isinstance(value, ast.Attribute) else value.id if isinstance(value, ast.Name) else ""
    found = LENGTH_NAME.search(name[-3:]) if not name.lower().endswith("per_s") else None
    return found[0] if found and name.endswith(found[0]) else ""


def ordered_by_hand(tree):
    """Yield every call that orders or adds lengths by one of their bounds."""
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
        if name in {"min", "max", "sorted", "sort", "sum"}:
            inside = [each for part in (*node.args, *node.keywords) for each in ast.walk(part)]
            if any(isinstance(each, ast.Attribute) and each.attr in BOUNDS for each in inside):
                yield f"{node.lineno}: {ast.unparse(node)}"


def test_no_length_is_worded_outside_its_room():
    """Every length in a text, also one that is set in code or by a plan, comes through `say`."""
    found = [
        f"{path}:{text}"
        for path, tree in code("src", "suites", "fixtures")
        if not path.endswith("figures/say.py")
        for text in worded(tree)
    ]
    assert [] == found


def test_no_template_words_a_length():
    """Templates print lengths through filters, and do no arithmetic on them."""
    templates = SRC / "report" / "templates"
    found = {path.name: IN_TEMPLATES.findall(path.read_text()) for path in templates.rglob("*.html")}
    assert {} == {name: texts for name, texts in found.items() if texts}


def test_no_length_is_ordered_or_added_outside_its_room():
    """Which of two lengths is longer, and how much they are together, is decided once."""
    found = [
        f"{path}:{text}"
        for path, tree in code("src", "suites", "fixtures")
        if "/figures/" not in path
        for text in ordered_by_hand(tree)
    ]
    assert [] == found


@pytest.mark.parametrize(
    "text",
    [
        'f"{x / 1e9:.2f} s"', 'f"{ns // 10**6} ms"', 'f"{took_s:g}\u00a0s"', 'f"{LOOK_TIMEOUT_S} later"', 'f"{a.took_ns / 5}"',
    ],
)  # fmt: skip
def test_a_second_room_of_words_would_be_found(text):
    """The search above is able to find one."""
    assert list(worded(ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    ["max(windows, key=lambda window: window.length.point_ns)", "sum(one.total.certain_ns for one in found)"],
)
def test_a_second_order_would_be_found(text):
    """The search above is able to find one."""
    assert list(ordered_by_hand(ast.parse(text)))


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


# --- a place in the run has one room


PLACES = {"attribution", "gate", "label", "moment", "occasion", "phase", "side", "step", "stretch", "suite", "subject"}
"""What variables and attributes are called that hold a place in the run, or its text."""
TEXTS = re.compile(r"(step|migration|gate):|migrations-")
LABELS = {*Kind, *Side, *Phase, *Attribution, *SUITES}


def places_by_text(tree):
    """Yield where a place in the run is compared with a literal, made of one, or named by one; a suite by its name anywhere."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare():
                sides = [node.left, *node.comparators]
                hit = any(map(_names_a_place, sides)) and any(each.value in LABELS for each in _texts(sides))
            case ast.Match():
                patterns = (each for case in node.cases for each in ast.walk(case.pattern))
                hit = _names_a_place(node.subject) and any(isinstance(each, ast.MatchValue) for each in patterns)
            case ast.JoinedStr():
                hit = isinstance(node.values[0], ast.Constant) and TEXTS.match(node.values[0].value)
            case ast.Constant():
                hit = node.value in SUITES
            case ast.Call():
                named = [each.value for each in node.keywords if each.arg in PLACES - {"suite"}]
                prefix = isinstance(node.func, ast.Attribute) and node.func.attr in {"startswith", "removeprefix"}
                hit = any(each.value in LABELS for each in _texts(named)) or (
                    prefix and any(TEXTS.match(each.value) for each in _texts(node.args))
                )
            case _:
                hit = False
        if hit:
            yield f"{node.lineno}: {ast.unparse(node)[:90]}"


def _names_a_place(node):
    return (isinstance(node, ast.Attribute) and node.attr in PLACES) or (
        isinstance(node, ast.Name) and node.id in PLACES
    )


def _texts(nodes):
    inside = (each for node in nodes for each in ast.walk(node))
    return [each for each in inside if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def test_no_place_in_the_run_is_known_by_its_text():
    """Steps, stretches, looks, gates and phases are compared as values; their text is made in one module."""
    found = [
        f"{path}:{text}"
        for path, tree in code("src", "fixtures")
        if not path.endswith("recording/stretch.py")
        for text in places_by_text(tree)
    ]
    assert [] == found


@pytest.mark.parametrize(
    "text",
    [
        'look.label == "before"', 'charge.attribution not in {"step", "ambiguous"}', 'f"step:{step.id}"', 'suite == "inflight"',
        'Window(attribution="between")', 'name.startswith("step:")', 'match stretch:\n    case "control": pass',
    ],
)  # fmt: skip
def test_a_place_known_by_its_text_would_be_found(text):
    """The search above is able to find one."""
    assert list(places_by_text(ast.parse(text)))


def test_a_figure_that_only_the_report_reads_registers_itself():
    """Every module in judging/shown declares a room; none has the key of another, or of what the verdict is drawn from."""
    keys = [room.key for room in declared_in("rehearsal.judging.shown", "ROOM").values()]
    assert len(keys) == len({*keys} - {field.name for field in dataclasses.fields(Results)})


def literals(node):
    """The words that a node is, or consists of: `"icmp"`, `("icmp", "tcp")`, `frozenset({"icmp"})`."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return [word for each in node.elts for word in literals(each)]
    return [word for each in node.args for word in literals(each)] if isinstance(node, ast.Call) else []


def decided_by(node):
    """The words by which a node decides: compared with, looked for, matched, or looked up."""
    match node:
        case ast.Compare(left=left, comparators=others):
            return [word for each in (left, *others) for word in literals(each)]
        case ast.MatchValue(value=value) | ast.Subscript(slice=value):
            return literals(value)
        case ast.Dict(keys=keys):
            return [word for each in keys if each is not None for word in literals(each)]
        case ast.Call(func=ast.Attribute(attr="get" | "startswith" | "endswith"), args=[value, *_]):
            return literals(value)
    return []


HOMONYMS = {
    "beacon/in_guest.py": {"udp"},
    "canaries/hearing.py": {"udp"},
}
"""Words that are no lane where they stand: what a beacon tells of itself."""


def test_no_lane_is_named_outside_of_the_table():
    """Who wants to know something of a lane asks its row; a new lane is a row, and what sends its packets."""
    lanes = {lane.name for lane in table.LANES}
    rates = {*rates_of({})} - lanes
    found = []
    for path in SRC.rglob("*.py"):
        where = path.relative_to(SRC).as_posix()
        if where == "lanes/table.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            named = {word for word in literals(node) if word in rates or (word in lanes and "-" in word)}
            named |= lanes & {*decided_by(node)}
            found += [f"{where}:{node.lineno}: {word}" for word in named - HOMONYMS.get(where, set())]
    assert [] == sorted(found)


@pytest.mark.parametrize(
    "line",
    [
        'lane == "icmp"', '"icmp" != lane', 'lane in ("icmp", "tcp")', 'lane in frozenset({"icmp"})', 'words["icmp"]',
        '{"icmp": 1}', 'words.get("icmp", "")', 'match lane:\n case "tcp" | "icmp": pass',
    ],
)  # fmt: skip
def test_a_lane_that_is_named_is_found(line):
    """However the code decides by it."""
    assert any("icmp" in decided_by(node) for node in ast.walk(ast.parse(line)))


def test_one_module_draws_on_the_terminal():
    """Lines, colours and the live block have one home: nothing else imports rich or writes terminal sequences."""
    drawing = {
        path.relative_to(ROOT).as_posix()
        for base in (SRC, ROOT / "lab")
        for path in base.rglob("*.py")
        if re.search(r"^\s*(from|import) rich\b", path.read_text(), re.MULTILINE)
    }
    assert {"src/rehearsal/runner/progress.py"} == drawing


def _names(section: str) -> dict[str, str]:
    """Return the rows of a table of docs/rooms.md: the last cell by the first, without backticks and slashes."""
    text = (ROOT / "docs" / "rooms.md").read_text().partition(section)[2].partition("\n\n|")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines()[2:]]
    return {row[0].strip("`/"): row[-1] for row in rows}


def test_the_map_names_every_room_and_only_those():
    """docs/rooms.md, read as a table: no room without a row, no row without a room."""
    rooms = {path.parent.relative_to(SRC) for path in SRC.rglob("*.py")} - {Path()}
    assert {room.as_posix() for room in rooms if len(room.parts) == 1} == set(_names("## The engine"))
    assert {room.as_posix() for room in rooms if len(room.parts) > 1} == set(_names("Rooms within rooms"))


def _imported(tree: ast.AST) -> set[str]:
    """Return the rooms that a module imports at run time."""
    types = {
        each
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for each in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in types and (node.module or "").startswith("rehearsal"):
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return found


def test_a_room_imports_what_the_map_says():
    """A new dependency between rooms is a decision: it stands in docs/rooms.md, or there is none."""
    allowed = {room: {name.strip("` ") for name in cell.split(",")} for room, cell in _names("## The engine").items()}
    strange = {
        f"{room} imports {other}"
        for room in allowed
        for path in (SRC / room).rglob("*.py")
        for other in _imported(ast.parse(path.read_text())) & allowed.keys()
        if other != room and other not in allowed[room]
    }
    assert set() == strange


def test_what_a_document_names_is_there():
    """Paths in docs/ and README.md stay right when modules move."""
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    places = (ROOT, SRC, ROOT / "docs", ROOT / "docs" / "decisions")
    lost = [
        f"{document.name}: {name}"
        for document in documents
        for name in re.findall(
            r"`([a-z_0-9]+(?:/[a-z_0-9.]+)+\.(?:py|yml|md)|[a-z_]+/[a-z_/]*[a-z_]+/)`", document.read_text()
        )
        if not any((place / name).exists() for place in places) and not name.startswith(("environments/", "inventory/"))
    ]
    assert [] == lost
