"""Own claims are read before a run: every mistake is one sentence with file, line and remedy, and none is a traceback."""

from __future__ import annotations

import hashlib
import subprocess

import pytest

from rehearsal.own import ownclaims
from rehearsal.own.directory import files_of
from rehearsal.own.directory import find
from tests.made.ownclaims import two_hosts
from tests.made.ownclaims import write

GOOD = {
    "conftest.py": "import pytest\n\n\n@pytest.fixture\ndef limit():\n    return 5\n",
    "helper.py": "FIVE = 5\n",
    "deep/test_ntp.py": "def test_plain():\n    pass\n",
    "test_ntp.py": """from helper import FIVE
from rehearsal.api import check


@check("own.chrony", hosts="compute", remedy="systemctl restart chrony", timeout_s=7)
def test_chrony(host):
    \"\"\"Chrony runs.

    More for developers.
    \"\"\"


@check(gates="step", services="nova")
def test_step(step, step_losses, canaries, recorded, openstack, hosts, target, plan):
    pass


class TestLimits:
    def test_is_five(self, limit, host):
        assert limit == FIVE
""",
}

BAD = {
    "json.py": "",
    "test_syntax.py": "def test_x(:\n    pass\n",
    "test_imports.py": "import os\n\nimport nowhere_to_be_found\n",
    "test_raises.py": "def broken():\n    raise ValueError('nope')\n\n\nbroken()\n",
    "test_keyword.py": "from rehearsal.api import check\n\n\n@check('own.k', gate='step')\ndef test_k():\n    pass\n",
    "test_hosts.py": "from rehearsal.api import check\n\n\n@check('own.h', hosts='storage')\ndef test_h(host):\n    pass\n",
    "test_marks.py": """from rehearsal.api import check


@check("own.taken")
def test_one(undefined):
    pass


@check("own.taken")
def test_two():
    pass


@check("mine.three")
def test_three():
    pass


@check("own.four", gates=("preflght",))
def test_four():
    pass


@check("own.five")
def test_five(step):
    pass


@check("own.six", steps="nova")
def test_six():
    pass


@check("own.seven", timeout_s="long")
def test_seven():
    pass


@check("own.eight", gates=())
def test_eight():
    pass
""",
}

MISTAKES = {
    ("json.py", "Another module of the name json is there already"),
    ("test_syntax.py:1", "This is no Python: invalid syntax."),
    ("test_imports.py:3", "It cannot be imported: No module named 'nowhere_to_be_found'."),
    ("test_raises.py:2", "It cannot be read: ValueError: nope"),
    ("test_keyword.py:4", "It cannot be read: TypeError: check() got an unexpected keyword argument 'gate'"),
    ("test_hosts.py:4", "test_h: the inventory has no host 'storage', and no group of that name with hosts."),
    ("test_marks.py:4", "test_one takes 'undefined', and there is no fixture of that name."),
    ("test_marks.py:9", "Two tests have the id own.taken; the other one is at"),
    ("test_marks.py:14", "The id 'mine.three' is none of an own claim."),
    ("test_marks.py:19", "own.four: there is no gate 'preflght'."),
    ("test_marks.py:24", "own.five takes step, and is checked where there is no step."),
    ("test_marks.py:29", "own.six names steps or services, but is not checked after steps."),
    ("test_marks.py:34", "own.seven: its timeout_s is no number of seconds over 0."),
    ("test_marks.py:39", "own.eight is checked at no gate."),
}


def refused(directory):
    with pytest.raises(ownclaims.OwnClaimsRefused) as refusal:
        ownclaims.read(directory, two_hosts(), {})
    assert "Traceback" not in str(refusal.value)
    return refusal.value.problems


def test_a_directory_is_read_with_what_each_claim_says(tmp_path):
    """Ids, sentences, gates, hosts and time limits; a test without an id gets one from its file and name; no litter."""
    directory = write(tmp_path / "own", GOOD)
    found = ownclaims.read(directory, two_hosts(), {})
    by_id = {each.check: each for each in found.claims}
    assert {"own.chrony", "own.ntp.step", "own.deep.ntp.plain", "own.ntp.TestLimits.is_five"} == set(by_id)
    assert ["own.chrony"] == [each.check for each in found.claims if each.check == "own.chrony"]  # one compute node
    assert 2 == sum(each.check == "own.ntp.TestLimits.is_five" for each in found.claims)  # each host
    assert "Chrony runs." == by_id["own.chrony"].claim
    assert ("compute",) == by_id["own.chrony"].marking.hosts
    assert 120 == found.longest_s
    assert {"own.ntp.step"} == {each.check for each in found.claims} - {each.check for each in found.at("preflight")}
    assert set(GOOD) == {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


def test_the_fingerprint_is_what_sha256sum_says(tmp_path):
    """Anybody can compute the recorded digests again with standard tools; hidden files and compiled code do not count."""
    directory = write(tmp_path, {**GOOD, ".git/config": "x", "__pycache__/helper.pyc": "x", "data.yml": "x"})
    found = files_of(directory)
    names = sorted([*GOOD, "data.yml"])
    assert names == list(found.by_name)
    said = subprocess.run(["sha256sum", *names], cwd=directory, capture_output=True, check=True).stdout
    assert hashlib.sha256(said).hexdigest() == found.sha256


def test_every_mistake_is_told_at_once(tmp_path):
    """File and line, what is wrong, and what to do: all of it before a run begins."""
    directory = write(tmp_path / "own", BAD)
    problems = refused(directory)
    told = {(problem.file.removeprefix(f"{directory}/"), problem.sentence) for problem in problems}
    missing = {(file, text) for file, text in MISTAKES if not any(file == f and s.startswith(text) for f, s in told)}
    assert set() == missing, told
    assert len(MISTAKES) == len(problems)
    assert all(problem.remedy for problem in problems)


@pytest.mark.parametrize(
    ("files", "file", "sentence"),
    [
        ({"conftest.py": "import nowhere_to_be_found\n"}, "conftest.py:1", "It cannot be imported"),
        ({"test_exit.py": "import sys\nsys.exit(3)\n"}, "test_exit.py", "SystemExit: 3"),
        ({"test_dies.py": "import os\nos._exit(3)\n"}, "test_dies.py", "exit code 3"),
        ({"ntp.py": "def test_one():\n    pass\n"}, "", "There is no test in this directory."),
    ],
    ids=["conftest", "exit", "dies", "no tests"],
)
def test_a_directory_that_ends_its_reader_is_one_sentence(tmp_path, files, file, sentence):
    """Whatever importing does to the process that reads, the operator learns which file it was."""
    directory = write(tmp_path / "own", files)
    (problem,) = refused(directory)
    assert (str(directory / file).rstrip("/"), True) == (problem.file, sentence in problem.sentence), problem


def test_what_hangs_on_import_is_named(tmp_path, monkeypatch):
    """Reading has a time limit of its own, because nothing else would end it."""
    monkeypatch.setattr(ownclaims, "READ_WITHIN_S", 25.0)
    directory = write(tmp_path / "own", {"test_hangs.py": "import time\ntime.sleep(600)\n"})
    (problem,) = refused(directory)
    assert (str(directory / "test_hangs.py"), True) == (problem.file, "took longer than 25 s" in problem.sentence)


def test_what_everybody_can_write_is_not_run(tmp_path):
    """Own claims run with the operator's rights: a file that anybody may change is refused."""
    directory = write(tmp_path / "own", GOOD)
    (directory / "test_ntp.py").chmod(0o666)
    (problem,) = refused(directory)
    assert f"chmod o-w {directory / 'test_ntp.py'}" == problem.remedy
    (missing,) = refused(tmp_path / "nowhere")
    assert "There is no such directory of own claims." == missing.sentence


def test_where_own_claims_lie(tmp_path):
    """Named, else in the configuration repository; `none` goes without."""
    assert None is find("", tmp_path)
    (tmp_path / "environments" / "rehearse").mkdir(parents=True)
    assert None is find("", tmp_path)  # an empty folder says nothing
    write(tmp_path / "environments" / "rehearse", {"test_a.py": ""})
    assert tmp_path / "environments" / "rehearse" == find("", tmp_path)
    assert tmp_path / "mine" == find(str(tmp_path / "mine"), tmp_path)
    assert None is find("none", tmp_path)
