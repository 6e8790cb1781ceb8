"""The YAML of a repository: what cannot be read or resolved is never an exception."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.cloud import variables


@pytest.mark.parametrize(
    ("value", "names", "result"),
    [
        ("plain", {}, "plain"),
        (7, {}, 7),
        ("192.0.2.{{ node_id }}", {"node_id": 10}, "192.0.2.10"),
        ("{{ a }}", {"a": "{{ b }}", "b": "deep"}, "deep"),
        ("{{ 'no' if openstack_version in ['2024.2'] else 'yes' }}", {"openstack_version": "2024.2"}, "no"),
        ("{{ x | bool }}", {"x": "yes"}, "True"),
        ("{{ missing }}", {}, None),
        ("{{ a }}", {"a": "{{ a }}"}, None),
        ("{{ lookup('file', '/etc/passwd') }}", {}, None),
        ("{{ ''.__class__.__mro__ }}", {}, None),
        (variables.Encrypted(), {}, None),
    ],
)
def test_resolution(value, names, result):
    """A template is filled in from the variables alone; what needs more than them is not known."""
    assert result == variables.resolve(value, names)


@given(st.text(max_size=80))
def test_no_template_raises(text):
    """Whatever stands in braces, resolving does not raise."""
    variables.resolve("{{" + text + "}}", {"a": 1})


@given(st.binary(max_size=200))
def test_no_file_raises(tmp_path_factory, data):
    """Whatever stands in a file, reading gives a mapping or a problem."""
    path = tmp_path_factory.mktemp("yaml") / "file.yml"
    path.write_bytes(data)
    problems = []
    assert isinstance(variables.read_yaml(path, problems), dict)


@pytest.mark.parametrize(
    ("word", "is_true"), [("yes", True), (True, True), ("True", True), ("no", False), (0, False), ("", False)]
)
def test_truth(word, is_true):
    """Ansible's spellings of yes and no are understood."""
    assert is_true == variables.truth(word)
