"""Variables have OSISM's order of precedence, and the image of a container follows from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.plays import imagerefs
from lab.plays import inventory
from lab.plays import variables
from lab.plays.variables import Variables
from tests.of_lab.recorded_nodes import write_cloud


def merged(root, host="lab-control-0", extra=None):
    configuration, directory = write_cloud(root, "10.2.0")
    hosts = inventory.read(directory / "hosts.yml")

    def again():
        return variables.merge(directory, configuration, hosts.groups_of(host), host, extra)

    return configuration, directory, again


def test_the_release_decides_the_image(tmp_path):
    """Without overrides a container gets the release's tag below the release's namespace."""
    _, _, again = merged(tmp_path)
    assert "registry.osism.tech/kolla/release/2025.1/nova-api:1.2.3.20260814" == imagerefs.reference(
        again(), "nova_api"
    )
    assert "registry.osism.tech/kolla/release/2025.1/mariadb-server:1.2.3.20260814" == imagerefs.reference(
        again(), "mariadb"
    )


@pytest.mark.parametrize(
    ("file", "line", "reference"),
    [
        ("kolla/images.yml", "nova_tag: x.1", "registry.osism.tech/kolla/release/2025.1/nova-api:x.1"),
        ("kolla/images.yml", "nova_api_tag: x.2", "registry.osism.tech/kolla/release/2025.1/nova-api:x.2"),
        ("kolla/images.yml", "nova_api_image_full: a/b:c", "a/b:c"),
        ("kolla/images.yml", "kolla_nova_version: x.3", "registry.osism.tech/kolla/release/2025.1/nova-api:x.3"),
        ("kolla/configuration.yml", "docker_namespace: other", "registry.osism.tech/other/nova-api:1.2.3.20260814"),
    ],
)
def test_an_override_beats_the_release(tmp_path, file, line, reference):
    """A tag, version, image or namespace in the repository's environments wins over the inventory."""
    configuration, _, again = merged(tmp_path)
    path = configuration / "environments" / file
    path.write_text(path.read_text() + f"\n{line}\n")
    assert reference == imagerefs.reference(again(), "nova_api")


def test_the_command_line_beats_everything(tmp_path):
    """``-e nova_api_tag=…`` wins over the repository."""
    extra = variables.command_line(["nova_api_tag=z"])
    _, _, again = merged(tmp_path, extra=extra)
    assert imagerefs.reference(again(), "nova_api").endswith(":z")


def test_host_variables_beat_group_variables(tmp_path):
    """What a host's own file says wins over what its groups' files say."""
    _, directory, again = merged(tmp_path)
    (directory / "group_vars/control.yml").write_text("number: 1\nother: 1\n")
    (directory / "host_vars/lab-control-0.yml").write_text("number: 2\n")
    assert (2, 1) == (again()["number"], again()["other"])


def test_an_undefined_variable_is_named():
    """A template that names an undefined variable is an error that says which variable needs it."""
    with pytest.raises(variables.VariableError, match=r"variable a .*'b' is undefined"):
        _ = Variables({"a": "{{ b }}"})["a"]


def test_a_circle_of_variables_is_an_error():
    """Variables that are defined by each other are an error and no endless loop."""
    with pytest.raises(variables.VariableError, match="defined by itself"):
        _ = Variables({"a": "{{ b }}", "b": "{{ a }}"})["a"]


def test_broken_yaml_names_its_file(tmp_path):
    """A file that is no YAML is an error that names the file."""
    configuration, _, again = merged(tmp_path)
    (configuration / "environments/kolla/images.yml").write_text("a: [")
    with pytest.raises(variables.VariableError, match=r"images\.yml is no valid YAML"):
        again()


@pytest.mark.parametrize("word", ["no-equals-sign", "a=1 b"])
def test_a_broken_extra_variable_is_an_error(word):
    """``-e`` takes name=value words only."""
    with pytest.raises(variables.VariableError, match="expected name=value"):
        variables.command_line([word])


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.from_regex(r"[A-Za-z0-9./:-]{0,12}", fullmatch=True)
    )
)
def test_plain_values_and_words_survive(values):
    """Values without templates come out as they went in, from files and from the command line."""
    assert values == dict(Variables(dict(values)))
    assert values == variables.command_line([f"{name}={value}" for name, value in values.items()])


@given(
    st.booleans(),
    st.sampled_from(["yes", "Yes", "true", "True", "on", "1"]),
    st.sampled_from(["no", "false", "off", "0", ""]),
)
def test_flags_are_read_as_ansible_reads_them(default, true, false):
    """Every way to say yes is yes, everything else is no, and a missing flag is its default."""
    read = Variables({"t": true, "f": false, "b": True})
    assert (True, False, True, default) == tuple(
        read.flag(name, default=default) for name in ("t", "f", "b", "missing")
    )
