"""INI inventories: whatever stands in them, reading ends well; what OSISM overwrites is overwritten."""

from __future__ import annotations

import gc
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.cloud import inventory
from rehearsal.cloud import managerfiles
from rehearsal.cloud import reconciled
from tests.made.dockerengine import engine_with

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)


@given(st.text(max_size=400))
def test_any_text_can_be_read(text):
    """No text makes the parser raise."""
    inventory.parse_ini(text, "file")


@given(st.dictionaries(NAMES, st.lists(NAMES, max_size=5), max_size=6))
def test_groups_are_read_back(groups):
    """Hosts of groups are read back in their order."""
    text = "".join(f"[{name}]\n" + "".join(f"{host} a=1 # why\n" for host in hosts) for name, hosts in groups.items())
    parsed = inventory.parse_ini(text, "file")
    assert groups == {name: group.hosts for name, group in parsed.groups.items()}
    assert [] == parsed.problems


@given(st.dictionaries(NAMES, st.lists(NAMES, max_size=4), max_size=6))
def test_members_end_even_in_cycles(groups):
    """The members of any tangle of children are found, each once."""
    tangle = inventory.Inventory({name: inventory.Group([f"h-{name}"], list(kids)) for name, kids in groups.items()})
    for name in groups:
        members = tangle.members(name)
        assert len(members) == len(set(members))
        assert f"h-{name}" in members


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("node", ["node"]),
        ("n[1:3]", ["n1", "n2", "n3"]),
        ("n[08:10].x", ["n08.x", "n09.x", "n10.x"]),
        ("[a:c]", ["a", "b", "c"]),
        ("n[0:4:2]", ["n0", "n2", "n4"]),
        ("r[1:2]-n[1:2]", ["r1-n1", "r1-n2", "r2-n1", "r2-n2"]),
    ],
)
def test_ranges(pattern, names):
    """A range stands for its hosts, with its width kept."""
    assert names == list(inventory.expand(pattern))


@pytest.mark.parametrize("pattern", ["n[3:1]", "n[1:100000]", "n[1:b]"])
def test_a_bad_range_is_a_problem(pattern):
    """A range that runs backwards, is too long or is mixed is named with its line, and names no host."""
    parsed = inventory.parse_ini(f"[g]\n{pattern}\n", "10-custom")
    assert [] == parsed.groups["g"].hosts
    assert "10-custom:2" == parsed.problems[0].file


def test_overwritten_groups(tmp_path):
    """A group of 20-roles or 99-overwrite replaces that group of every other file, and only that."""
    (tmp_path / "10-custom").write_text("[a]\nold\n[b]\nkept\n[control]\nc\n")
    (tmp_path / "20-roles").write_text("[network:children]\nb\n")
    (tmp_path / "99-overwrite").write_text("[a:children]\nb\n[ovn-database:children]\nb\n")
    read = inventory.read(tmp_path)
    assert ("kept",) == read.members("a")
    assert ("kept",) == read.members("b")
    assert ("kept",) == read.members("ovn-nb-db")
    assert ("c",) == read.members("nova-api")


def test_host_variables_in_the_line(tmp_path):
    """Variables behind a host's name are its variables."""
    (tmp_path / "10-custom").write_text("[a]\nhost ansible_host=10.0.0.1 x='y'\n")
    assert {"ansible_host": "10.0.0.1", "x": "y"} == inventory.read(tmp_path).host_variables["host"]


def test_reconciled_inventory_is_read():
    """The YAML inventory of the manager's containers has the same groups, at any depth, and its vaults do no harm."""
    found = reconciled.parse("""\
all:
  children:
    control: {hosts: {c0: {secret: !vault x}}}
    nova:
      children:
        control: {}
    compute: {hosts: {n0: null, n1: {}}}
""")
    assert ("c0",) == found.members("nova")
    assert ("n0", "n1") == found.members("compute")


@given(st.text(max_size=200))
def test_any_text_is_an_inventory_or_none(text):
    """No text makes the reader of reconciled inventories raise."""
    reconciled.parse(text)


def test_hosts_that_only_one_side_knows():
    """A host that only the repository or only the containers know is named, with what to type."""
    problems = reconciled.compare(["a", "b"], ["b", "c"], "inventory")
    assert ["a is ", "c is "] == [problem.sentence[:5] for problem in problems]
    assert all("osism sync inventory" in problem.remedy for problem in problems)
    assert [] == reconciled.compare(["a"], ["a"], "inventory")


def test_a_file_of_a_container_is_had_from_a_running_one_alone(tmp_path, monkeypatch):
    """What a stopped container holds is of yesterday; no container and no file are no error."""
    file = tmp_path / "versions.yml"
    file.write_text("openstack_version: 2025.1\n")
    for number, (status, told) in enumerate((("running", file.read_text()), ("exited", ""))):
        with engine_with(tmp_path / f"{number}.sock", {("kolla-ansible", "/v.yml"): file}, status=status) as address:
            monkeypatch.setenv("DOCKER_HOST", address)
            assert told == managerfiles.read("kolla-ansible", "/v.yml")
            assert "" == managerfiles.read("kolla-ansible", "/other.yml")
            assert "" == managerfiles.read("osismclient", "/v.yml")


def test_without_an_engine_there_are_no_files_of_containers(tmp_path, monkeypatch):
    """That nothing listens where Docker's socket should be is no error."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the SDK leaves the socket that it could not connect
        assert "" == managerfiles.read("kolla-ansible", "/v.yml")
        gc.collect()
