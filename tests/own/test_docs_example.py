"""The worked example of docs/own-claims.md, as it stands there: it needs nothing but the declared surface."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from rehearsal import api
from rehearsal.own.ownclaims import read
from tests.made.ownclaims import two_hosts
from tests.made.ownclaims import write
from tests.own.test_ownsession import session

DOCS = (Path(__file__).parents[2] / "docs" / "own-claims.md").read_text()
EXAMPLE = {found[1]: found[0] for found in re.findall(r"```python\n(# (\S+\.py)\n.*?)```", DOCS, re.DOTALL)}
FAKES = """
import pytest

from rehearsal.figures.length import Length
from types import SimpleNamespace as Fake

GOOD = {good}


class Host:
    def check_output(self, command):
        assert command == "chronyc -c tracking"
        return "C0A80001,10.0.0.1,3,1764409086.1,{offset},0.1,0.1,0,0,0,0,0,64.5,{leap}"


@pytest.fixture
def host(request):
    return Host()


@pytest.fixture
def openstack():
    routers = [Fake(name="r1", id="1", external_gateway_info={{}}, status="DOWN"), Fake(name="r2", id="2", external_gateway_info={{"network_id": "x"}}, status="{status}")]
    return Fake(network=Fake(routers=lambda: routers))


@pytest.fixture
def step_losses():
    return [Fake(service="canaries", kind="down", count=1, reason="it was away", longest=Length(*{longest}))]
"""
WELL = {"good": True, "offset": "-0.000012", "leap": "Normal", "status": "ACTIVE", "longest": (0, 0, 10**9)}
ILL = {"good": False, "offset": "0.5", "leap": "Not synchronised", "status": "DOWN", "longest": (3 * 10**9,) * 3}


def test_it_imports_nothing_but_the_surface():
    """What the example needs is declared, and it is all there."""
    assert {"test_time.py", "test_routers.py", "test_guests.py"} == set(EXAMPLE)
    for text in EXAMPLE.values():
        for node in ast.walk(ast.parse(text)):
            assert not isinstance(node, ast.Import)
            if isinstance(node, ast.ImportFrom):
                assert "rehearsal.api" == node.module
                assert {alias.name for alias in node.names} <= {*api.__all__}
    for name in api.__all__:
        assert f"`{name}" in DOCS


def test_it_is_read_as_the_page_says(tmp_path):
    """Ids and gates of the page; nothing in it is a mistake."""
    found = read(write(tmp_path / "own", EXAMPLE), two_hosts(), {})
    assert {
        "own.time-synchronised": ("preflight", "postflight"),
        "own.routers.routers_are_up": ("preflight", "postflight"),
        "own.guests-barely-notice": ("step",),
    } == {each.check: each.marking.gates for each in found.claims}


@pytest.mark.parametrize(("fakes", "outcome"), [(WELL, "ok"), (ILL, "fail")], ids=["well", "ill"])
def test_each_claim_holds_and_fails(tmp_path, fakes, outcome):
    """With a cloud that is well all of them hold, with one that is not all of them fail, by what they say."""
    files = {**EXAMPLE, "conftest.py": FAKES.format(**fakes)}
    records, done, _ = session(tmp_path, files, gate="")
    assert {
        ("own.time-synchronised", "control-0", outcome),
        ("own.time-synchronised", "compute-0", outcome),
        ("own.routers.routers_are_up", "", outcome),
        ("own.guests-barely-notice", "", outcome),
    } == {(record.check, record.host, record.outcome) for record in records}, done.stdout
    if outcome == "fail":
        seen = {record.check: record.observed for record in records}
        assert "'Not synchronised' == 'Normal'" in seen["own.time-synchronised"]
        assert "not ACTIVE: r2" == seen["own.routers.routers_are_up"].splitlines()[0]
