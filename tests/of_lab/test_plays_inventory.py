"""Inventories are merged as OSISM does, and host patterns mean what Ansible's mean."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lab.manager import reconcile
from lab.plays import inventory

TREE = {
    "all": {
        "children": {
            "control": {"hosts": {"c0": None}},
            "compute": {"hosts": {"n0": None, "n1": None}},
            "nova-api": {"children": {"control": None}},
            "everything": {"children": {"nova-api": None, "compute": None}},
        }
    }
}
INVENTORY = inventory.from_tree(TREE)


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [
        ("", ("c0", "n0", "n1")),
        ("all", ("c0", "n0", "n1")),
        ("compute", ("n0", "n1")),
        ("nova-api", ("c0",)),
        ("everything", ("c0", "n0", "n1")),
        ("n1", ("n1",)),
        ("n1,c0", ("c0", "n1")),
        ("compute:!n0", ("n1",)),
        ("!compute", ("c0",)),
        ("everything:&compute", ("n0", "n1")),
        ("compute[0]", ("n0",)),
        ("compute[-1]", ("n1",)),
        ("compute[5]", ()),
        ("n?", ("n0", "n1")),
    ],
)
def test_a_pattern_selects_what_ansible_selects(pattern, hosts):
    """Groups, hosts, lists, exclusions, intersections, indices and wildcards select the hosts they name."""
    assert hosts == INVENTORY.select(pattern)


def test_an_unknown_host_is_an_error():
    """A limit that matches nothing is an error that names it, never silently nothing."""
    with pytest.raises(inventory.InventoryError, match="nosuch"):
        INVENTORY.select("nosuch")


def test_a_missing_inventory_says_what_to_type(tmp_path):
    """Without an inventory the operator is told to sync it."""
    with pytest.raises(inventory.InventoryError, match="osism sync inventory"):
        inventory.read(tmp_path / "hosts.yml")


def test_a_group_in_itself_is_an_error():
    """A group that contains itself is an error and no endless loop."""
    tree = {"all": {"children": {"a": {"children": {"b": {"children": {"a": None}}}}}}}
    with pytest.raises(inventory.InventoryError, match="contains itself"):
        inventory.from_tree(tree)


NAMES = st.text("abcdefgh-", min_size=1, max_size=8).filter(lambda name: name.strip("-") == name)


@given(st.dictionaries(NAMES, st.lists(NAMES.map("h-{}".format), max_size=4), min_size=1, max_size=6))
def test_what_is_written_is_what_is_read(groups):
    """Any groups survive the way through an inventory file, the merge, and the YAML that the plays read."""
    text = "\n".join(f"[{group}]\n" + "\n".join(hosts) for group, hosts in groups.items())
    merged = reconcile.merge([("10-custom", text)])
    read = inventory.from_tree(yaml.safe_load(reconcile.as_yaml(merged, {})))
    assert {group: tuple(dict.fromkeys(hosts)) for group, hosts in groups.items()} == {
        group: hosts for group, hosts in read.groups.items() if group != "all"
    }


def test_roles_of_the_repository_replace_the_defaults():
    """A group in 20-roles or 99-overwrite takes the place of the same group in every earlier file."""
    merged = reconcile.merge(
        [
            ("00-51-kolla", "[compute]\nold\n[cron]\nold\n"),
            ("10-custom", "[nodes]\nn0\nn1\n"),
            ("20-roles", "[compute:children]\nnodes\n"),
            ("99-overwrite", "[cron]\n"),
        ]
    )
    assert ([], ["nodes"]) == merged["compute"]
    assert ([], []) == merged["cron"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("host\n", "10-x:1: the host 'host' stands before any group"),
        ("[a]\nh\n\n[b:vars]\n", "10-x:4: '\\[b:vars\\]' is no group"),
        ("[a:children]\nb\n", "defined nowhere: b"),
    ],
)
def test_what_cannot_be_merged_is_named(text, message):
    """A line that is neither group nor host is an error with file and line."""
    with pytest.raises(reconcile.ReconcileError, match=message):
        reconcile.as_yaml(reconcile.merge([("10-x", text)]), {})
