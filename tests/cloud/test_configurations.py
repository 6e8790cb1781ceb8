"""Configurations as operators really have them: read as Ansible, OSISM and openstacksdk read them, and never an exception."""

from __future__ import annotations

import json
import os
import stat

import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal.cli import main
from rehearsal.cloud import discover
from rehearsal.cloud import options as target_options
from rehearsal.outside.redact import redact_text
from tests.made.dockerengine import engine_with
from tests.made.repository import FILES
from tests.made.repository import as_arguments
from tests.made.repository import make_repository

ROLES = FILES["inventory/20-roles"]
KOLLA = FILES["environments/kolla/configuration.yml"]
EXAMPLES = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def found(tmp_path, changes=None, **more):
    return discover(make_repository(tmp_path, changes, **more))


def told(target):
    return "\n".join(map(str, target.problems))


# Variables of groups and hosts.


@pytest.mark.parametrize(
    "name", ["generic.yml", "generic.yaml", "generic.json", "generic", "generic/any.yml", "generic/more/a"]
)
def test_variables_of_any_group_in_any_spelling(tmp_path, name):
    """What group_vars of a group other than `all` says counts for its hosts, in every file name that Ansible reads."""
    changes = {
        "inventory/group_vars/all/kolla.yml": None,
        f"inventory/group_vars/{name}": json.dumps({"docker_namespace": "kolla/release", "operator_user": "operator"}),
        "environments/configuration.yml": "a: 1\n",
    }
    target = found(tmp_path, changes)
    assert ("kolla/release", "operator", ()) == (target.release.namespace, target.operator_user, target.problems)


def test_an_address_may_come_from_a_group(tmp_path):
    """`ansible_host` of group_vars is filled in with each host's own variables."""
    changes = {
        "inventory/group_vars/site-compute.yml": 'ansible_host: "192.0.2.{{ node_id }}"\n',
        "inventory/host_vars/compute-0.yml": "node_id: 31\n",
        "inventory/host_vars/compute-1": "node_id: 32\n",
    }
    target = found(tmp_path, changes)
    assert ["192.0.2.31", "192.0.2.32"] == [target.host(f"compute-{n}").address for n in (0, 1)]
    assert () == target.problems


# Ansible's answers: ansible-core 2.19, ansible-inventory --host, for the same files.
@pytest.mark.parametrize(
    ("inventory", "group_vars", "winner"),
    [
        ("[b]\nn\n[a]\nn\n", {"a": 1, "b": 2}, 2),  # by name
        ("[b]\nn\n[a:children]\nb\n", {"a": 1, "b": 2}, 2),  # the inner one
        ("[a]\nn\n[z:children]\na\n", {"a": 1, "z": 2}, 1),
        ("[b]\nn\n[a]\nn\n[a:vars]\nansible_group_priority=5\n", {"a": 1, "b": 2}, 1),
        ("[b]\nn\n[b:vars]\nx=9\n", {"all": 1}, 1),  # a file of `all` comes over a line in the inventory
        ("[b]\nn x=7\n", {"b": 2}, 7),
        ("[b]\nn\n[b:vars]\nx=9\n[all:vars]\nx=8\n", {}, 9),
        ("n\n[b]\nn\n", {"b": 1, "ungrouped": 2}, 1),  # in a group, so not ungrouped
        ("[all]\nn\n", {"ungrouped": 2}, 2),
    ],
)
def test_the_order_of_groups_is_ansibles(tmp_path, inventory, group_vars, winner):
    """Depth, then ansible_group_priority, then name; files over lines; the host over its groups."""
    for group, value in group_vars.items():
        (tmp_path / "group_vars").mkdir(exist_ok=True)
        (tmp_path / "group_vars" / f"{group}.yml").write_text(f"x: {value}\n")
    (tmp_path / "hosts").write_text(inventory)
    from rehearsal.cloud import inventory as inventories
    from rehearsal.cloud.hostvars import HostVariables

    read = inventories.read(tmp_path)
    assert winner == HostVariables(read, tmp_path, "here", []).of("n").values["x"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "15-extra.yml",
            "site-more:\n  hosts:\n    node-[3:4]: {ansible_host: '192.0.2.{{ 13 }}', ansible_port: 2222}\n",
        ),
        ("extra.json", '{"site-more": {"hosts": {"node-3": {}, "node-4": {}}}}'),
        ("100-more", "[site-more]\nnode-3\nnode-4\n"),
        ("30-rack1.dc2", "[site-more]\nnode-[3:4]  # both\n"),
        ("hosts", "[site-more:hosts]\nnode-3 x='a b'\nnode-4:2222\n"),
        ("racks/one", "[site-more]\nnode-3\nnode-4\n"),
    ],
)
def test_every_inventory_file_is_read(tmp_path, name, text):
    """YAML and JSON, three digits, dots, no digits, folders, ports and quotes: the hosts are there."""
    changes = {
        f"inventory/{name}": text,
        "inventory/20-roles": ROLES.replace("[compute:children]\n", "[compute:children]\nsite-more\n").replace(
            "[generic:children]\n", "[generic:children]\nsite-more\n"
        ),
    }
    target = found(tmp_path, changes)
    assert {"node-3", "node-4"} <= {host.name for host in target.in_group("compute")}
    assert () == target.errors or "same address" in told(target)


@pytest.mark.parametrize("name", ["10-custom.bak", "notes.md", "10-custom~", ".hidden", "old.orig"])
def test_files_that_ansible_passes_over_are_passed_over(tmp_path, name):
    """A backup beside the inventory adds no host."""
    assert 4 == len(found(tmp_path, {f"inventory/{name}": "[compute]\nghost\n"}).hosts)


def test_a_host_that_the_reconciler_drops_is_told(tmp_path):
    """20-roles replaces a group of other INI files; a host that was only there is gone, and that is said."""
    target = found(tmp_path, {"inventory/40-more": "[compute]\nnode-9\n"})
    assert "node-9 of 40-more is left out" in told(target)


def test_a_group_that_the_reconciler_takes_from_a_host_is_told(tmp_path):
    """A host that 20-roles has in another group is still a host, but no compute; nothing is said of what stays the same."""
    target = found(tmp_path, {"inventory/40-more": "[compute]\ncontrol-0\n[control]\ncontrol-0\n"})
    assert "control-0 of 40-more is not in [compute]" in told(target)
    assert "control-0" not in target.groups["compute"]
    assert "control-0" in target.groups["control"]


# The manager's own inventory.

RECONCILED = """\
all:
  children:
    generic:
      hosts:
        manager-0: {ansible_host: 192.0.2.5, docker_namespace: kolla/release, operator_user: dragon}
        control-0: {ansible_host: 192.0.2.10, docker_namespace: kolla/release, x: !vault 'abc'}
        node-7: {ansible_host: 192.0.2.17, ansible_user: admin, node_id: 7}
    manager: {hosts: {manager-0: {}}}
    control: {hosts: {control-0: {}}}
    compute: {hosts: {node-7: {}}}
    switches: {hosts: {sw01: {ansible_host: 192.0.2.99}}}
"""


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """An engine with the container osismclient, which has what the test writes into hosts.yml."""
    file = tmp_path / "hosts.yml"
    with engine_with(tmp_path / "docker.sock", {("osismclient", "/ansible/inventory/hosts.yml"): file}) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        yield file


def asked(options):
    return discover(
        target_options.Options(**{**{f: getattr(options, f) for f in options.__slots__}, "containers": True})
    )


def test_the_reconciled_inventory_is_the_truth(tmp_path, manager):
    """Hosts and variables are those of the manager's containers: NetBox's host is there, the dropped ones are not."""
    manager.write_text(RECONCILED)
    target = asked(make_repository(tmp_path))
    assert ["manager-0", "control-0", "node-7"] == [host.name for host in target.hosts]
    assert ("192.0.2.17", "admin") == (target.host("node-7").address, target.host("node-7").user)
    assert ("node-7",) == target.groups["compute"]
    assert ("sw01",) == target.left_out
    assert "node-7" in told(target)
    assert "compute-0, compute-1" in told(target)
    assert target.namespace_file.endswith("inventory/group_vars/all/kolla.yml")


def test_where_the_manager_tells_hosts_alone_the_files_tell_their_variables(tmp_path, manager):
    """A reconciled inventory without variables (minified) says who is there; what is set stands in the repository."""
    repository = make_repository(tmp_path, {"inventory/group_vars/all/kolla.yml": "docker_namespace: kolla/release\n"})
    manager.write_text(
        "all: {children: {generic: {hosts: {manager-0: {}, control-0: {}, compute-0: {}}}, manager: {hosts: {manager-0: {}}},"
        " control: {hosts: {control-0: {}}}, compute: {hosts: {compute-0: {}}}}}\n"
    )
    target = asked(repository)
    assert ["manager-0", "control-0", "compute-0"] == [host.name for host in target.hosts]
    assert "kolla/release" == target.release.namespace


@given(data=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@EXAMPLES
def test_no_answer_of_the_manager_raises(tmp_path, data):
    """Whatever a container answers, reading ends well."""
    from rehearsal.cloud import reconciled

    reconciled.parse(data.decode(errors="replace"))


def test_no_host_at_all_is_an_error(tmp_path):
    """An inventory whose hosts come from elsewhere cannot be rehearsed from the files alone."""
    assert found(tmp_path, {"inventory/10-custom": "# NetBox\n", "inventory/20-roles": "# NetBox\n"}).errors


# Which hosts are the cloud.


def test_hosts_that_are_not_the_cloud_are_left_out_and_named(tmp_path, capsys):
    """A switch in a group of its own is no host of the target, and `rehearse target` says so."""
    options = make_repository(tmp_path, {"inventory/40-net": "[switches]\nsw[01:12] ansible_host=192.0.2.200\n"})
    target = discover(options)
    assert 4 == len(target.hosts)
    assert 12 == len(target.left_out)
    assert () == target.problems
    main(["target", *as_arguments(options)])
    assert "not part of the cloud, skipped: sw01" in capsys.readouterr().out


def test_a_host_outside_generic_is_told(tmp_path):
    """OSISM runs common on generic only: a control node that is not in it is named."""
    changes = {"inventory/20-roles": ROLES.replace("site-managers\nsite-nodes", "site-managers\nsite-compute")}
    assert "control-0 is not in group generic" in told(found(tmp_path, changes))


# Connections.


def host_with(tmp_path, **variables):
    text = json.dumps({"ansible_host": "192.0.2.44", **variables})
    target = found(tmp_path, {"inventory/host_vars/compute-0.yml": text})
    return target, target.host("compute-0")


@pytest.mark.parametrize(
    ("variables", "way"),
    [
        ({"ansible_user": "admin", "ansible_port": 2222}, ("admin", 2222, "")),
        ({"ansible_ssh_user": "admin", "ansible_ssh_port": "22"}, ("admin", 22, "")),
        ({"ansible_ssh_common_args": "-J jump@192.0.2.1:2200"}, ("", 0, "jump@192.0.2.1:2200")),
        ({"ansible_ssh_common_args": "-o ProxyJump=a.example,b.example"}, ("", 0, "a.example,b.example")),
        ({"ansible_ssh_extra_args": '-oProxyJump="bastion" -C -o ControlMaster=auto'}, ("", 0, "bastion")),
        (
            {"ansible_ssh_common_args": "-o ProxyCommand='ssh -W %h:%p -q -p 2200 jump@bastion'"},
            ("", 0, "jump@bastion:2200"),
        ),
        ({"ansible_ssh_args": "-o 'Port 2200' -o User=admin"}, ("admin", 2200, "")),
        ({"ansible_ssh_common_args": "-o ProxyCommand=none"}, ("", 0, "")),
        ({"ansible_ssh_common_args": "-J [2001:db8::1]:22"}, ("", 0, "[2001:db8::1]:22")),
    ],
)
def test_connection_variables_are_honoured(tmp_path, variables, way):
    """User, port and jump host of a host are taken from wherever Ansible takes them, and reach ssh."""
    from rehearsal.hosts.ssh import Ssh

    target, host = host_with(tmp_path, **variables)
    assert () == target.problems
    assert way == (host.user, host.port, host.jump)
    ssh = Ssh(target)
    words = ssh.alone(host, "true")
    ssh.close()
    assert ["--", "192.0.2.44", "true"] == words[-3:]
    for flag, value in zip(("-l", "-p", "-J"), way, strict=True):
        assert (flag in words) == bool(value)
        assert not value or str(value) == words[words.index(flag) + 1]


def test_the_plans_own_ssh_takes_the_same_way(tmp_path):
    """A step that logs in on each host does so as its variables say, and as before where they say nothing."""
    from rehearsal import plan as plans

    target, _ = host_with(tmp_path, ansible_user="admin", ansible_port=2222, ansible_ssh_common_args="-J jump@bastion")
    steps = {each.id: each for each in plans.expand(plans.load_plan(plans.find("version-upgrade")), target).steps}
    own, usual = steps["clean-up-compute-0"].command, steps["clean-up-compute-1"].command
    assert ["-p", "2222", "-J", "jump@bastion", "admin@192.0.2.44", "docker"] == own[own.index("-p") :][:6]
    assert "dragon@127.0.0.12" == usual[usual.index("docker") - 1]
    assert not {"-p", "-J", "{ssh_options}", ""} & set(usual)


COMMANDS = [
    {"ansible_host": "-oProxyCommand=touch /tmp/x"},
    {"ansible_host": "$(id)"},
    {"ansible_host": "a b"},
    {"ansible_host": "host\nProxyCommand id"},
    {"ansible_user": "-oProxyCommand=id"},
    {"ansible_user": "x\n  ProxyCommand id"},
    {"ansible_port": "22 -oProxyCommand=id"},
    {"ansible_port": 0},
    {"ansible_port": 70000},
    {"ansible_ssh_common_args": "-o ProxyCommand='sh -c id'"},
    {"ansible_ssh_common_args": "-oProxyCommand=nc\\ %h\\ %p"},
    {"ansible_ssh_common_args": "-o ProxyCommand='ssh -W %h:%p jump; id'"},
    {"ansible_ssh_common_args": "-o ProxyCommand='ssh -oProxyCommand=id -W %h:%p jump'"},
    {"ansible_ssh_extra_args": "-o LocalCommand=id -o PermitLocalCommand=yes"},
    {"ansible_ssh_args": "-o KnownHostsCommand=id"},
    {"ansible_ssh_args": "-o PKCS11Provider=/tmp/evil.so"},
    {"ansible_ssh_args": "-o 'Include /tmp/x'"},
    {"ansible_ssh_common_args": "-J -oProxyCommand=id"},
    {"ansible_ssh_common_args": "-J x@$(id)"},
    {"ansible_ssh_common_args": "-J"},
    {"ansible_ssh_common_args": "'"},
]


@pytest.mark.parametrize("variables", COMMANDS)
def test_commands_through_an_inventory_are_refused(tmp_path, variables):
    """What would run a command here, or is no user, port or host, is an error that names the file; ssh never sees it."""
    target, host = host_with(tmp_path, **variables)
    assert target.errors
    assert "compute-0.yml" in target.errors[0].file
    way = " ".join([host.address, host.user, str(host.port), host.jump])
    for word in ("Command", "id", "$", "\n", "-o", "evil", "70000"):
        assert word not in way


@given(
    value=st.text(st.sampled_from("-oJ =:@[]%'\"\\$;|\n aA1.,ProxyCommand"), max_size=30),
    name=st.sampled_from(
        ["ansible_host", "ansible_user", "ansible_port", "ansible_ssh_common_args", "ansible_ssh_args", "operator_user"]
    ),
)
@EXAMPLES
def test_ssh_sees_only_names_addresses_and_numbers(tmp_path_factory, name, value):
    """Whatever stands in a connection variable, what reaches ssh begins with no dash and has no space, quote or sign of a shell."""
    target, host = host_with(tmp_path_factory.mktemp("r"), **{name: value})
    for part in (host.address, host.user, host.jump, target.operator_user):
        assert not part.startswith("-")
        assert not set(part) & set(" \n'\"\\$;|=")
    assert 0 <= host.port < 2**16


@pytest.mark.parametrize("name", ["-oProxyCommand=id", "*", "!x", "a/../b", "a;id", "$(id)", "%h", "a\u202eb"])
def test_a_name_that_is_an_option_is_no_host(tmp_path, name):
    """Host names with another shape are left out, with an error."""
    target = found(tmp_path, {"inventory/40-more.yml": json.dumps({"compute": {"hosts": {name: {}}}})})
    assert name not in [host.name for host in target.hosts]
    assert "is not a valid host name" in told(target)


@pytest.mark.parametrize(
    ("given_", "address"),
    [("[2001:db8::10]", "2001:db8::10"), ("2001:DB8:0::10", "2001:db8::10"), ("fe80::1%eth0", "fe80::1%eth0")],
)
def test_ipv6_addresses_have_one_spelling(tmp_path, given_, address):
    """Brackets, capitals and zones of IPv6 addresses are understood, and a zone is no token of ssh_config."""
    from rehearsal.hosts import view

    target, host = host_with(tmp_path, ansible_host=given_)
    assert (address, ()) == (host.address, target.problems)
    view.write_ssh_config(tmp_path / "config", "u", "/key", target.hosts)
    assert f"  HostName {address.replace('%', '%%')}\n" in (tmp_path / "config").read_text()


def test_an_ipv6_vip_makes_usable_urls(tmp_path):
    """A VIP in brackets is an address, and stands in brackets in the URLs."""
    target = found(tmp_path, {"environments/kolla/configuration.yml": 'kolla_internal_vip_address: "[2001:db8::9]"\n'})
    assert "2001:db8::9" == target.vip("internal").address
    assert "http://[2001:db8::9]:5000" == target.endpoint("keystone", "internal").url


# Values that are not known here.


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("inventory/host_vars/compute-0.yml", "ansible_host: \"{{ '192.0.2.0/24' | ansible.utils.ipaddr(5) }}\"\n", "compute-0"),
        ("inventory/group_vars/all/kolla.yml", "docker_namespace: \"{{ lookup('env', 'X') }}\"\n", "docker_namespace"),
        ("inventory/group_vars/all/kolla.yml", "docker_namespace: !vault abc\n", "docker_namespace is encrypted"),
        ("environments/kolla/configuration.yml", KOLLA.replace("127.0.0.9", '"{{ x | ipaddr }}"'), "kolla_internal_vip_address"),
        ("environments/kolla/configuration.yml", KOLLA.replace("127.0.0.9", "!vault abc"), "kolla_internal_vip_address is encrypted"),
        ("environments/kolla/configuration.yml", KOLLA + "enable_heat: '{{ q }}'\n", "enable_heat cannot be worked out"),
        ("environments/kolla/configuration.yml", KOLLA + "kolla_external_fqdn: '{{ q }}'\n", "kolla_external_fqdn"),
        ("environments/configuration.yml", "operator_user: '{{ q }}'\n", "operator_user"),
        ("environments/manager/configuration.yml", "manager_version: '{{ q }}'\n", "manager_version"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_worked_out_is_said(tmp_path, file, text, words):
    """It is never `not set`, and never silently the default."""
    said = told(found(tmp_path, {file: text}))
    assert words in said
    assert "not set" not in said
    assert "has no ansible_host" not in said


def test_variables_that_refer_to_variables_are_filled_in_first(tmp_path):
    """`{{ a | bool }}` where a is itself a template means what a comes to."""
    changes = {
        "environments/kolla/configuration.yml": KOLLA
        + "enable_heat: \"{{ 'yes' if enable_x | bool else 'no' }}\"\nenable_x: '{{ enable_y }}'\nenable_y: 'yes'\n"
    }
    assert found(tmp_path, changes).enabled["heat"] is True


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in [1,2] %}{% for b in [1,2] %}x{% endfor %}{% endfor %}",
        "{{ 'a' * 10000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ 'x'.ljust(9999999999) }}",
        "{{ 'x' | center(9999999999) }}",
        "{{ a }}{{ a }}",
    ],
)
def test_a_template_cannot_run_away(tmp_path, template):
    """A template that would take for ever, or all memory, has no value."""
    from rehearsal.cloud.variables import resolve

    names = {"a": "{{ b }}{{ b }}", **{chr(n): f"{{{{ {chr(n + 1)} }}}}" * 9 for n in range(98, 110)}}
    assert resolve(template, names) is None


# Releases.


@pytest.mark.parametrize(
    ("osism", "images"),
    [
        ("7.0.4", "quay.io/osism"), ("8.1.0", "quay.io/osism"), ("9.3.1", "quay.io/osism"),
        ("9.4.0", "registry.osism.tech/kolla"), ("10.2.0", "registry.osism.tech/kolla"), ("latest", "registry.osism.tech/kolla"),
    ],
)  # fmt: skip
def test_defaults_are_those_of_the_release(tmp_path, osism, images):
    """Where nobody sets registry and namespace, they are what this OSISM release's defaults say."""
    changes = {
        "inventory/group_vars/all/kolla.yml": "a: 1\n",
        "environments/manager/configuration.yml": f"manager_version: {osism}\n",
    }
    target = found(tmp_path, changes, versions='openstack_version: "2024.1"\n')
    assert images == f"{target.release.registry}/{target.release.namespace}"
    if osism.startswith(("7", "8")):
        assert "docker_namespace" not in told(target)


def test_manager_and_repository_that_disagree_are_told(tmp_path):
    """manager_version of the repository and the versions of the manager's containers belong together, or it is said."""
    said = told(found(tmp_path, {"environments/manager/configuration.yml": "manager_version: 8.1.0\n"}))
    assert "8.1.0, which comes with OpenStack 2024.1" in said
    assert "OpenStack 2024.2" in said


def test_hosts_with_another_namespace_are_told(tmp_path):
    """One namespace is expected of all; a host that has another one is named."""
    changes = {"inventory/host_vars/compute-1.yml": "ansible_host: 127.0.0.12\ndocker_namespace: mine\n"}
    assert "docker_namespace is mine on compute-1" in told(found(tmp_path, changes))


def test_target_and_plan_agree_where_nobody_sets_the_namespace(tmp_path, capsys):
    """Both end with 0, and the plan's step adds the line."""
    options = make_repository(tmp_path, {"inventory/group_vars/all/kolla.yml": None})
    assert [0, 0] == [main([command, *as_arguments(options)]) for command in ("target", "plan")]
    assert "environments/kolla/configuration.yml" in capsys.readouterr().out
    target = discover(options)
    assert target.namespace_file.endswith("environments/kolla/configuration.yml")


@pytest.mark.parametrize("before", ["a: 1", "a: 1\n", "docker_namespace: old\na: 1\n", ""])
def test_the_namespace_step_sets_the_line_once(tmp_path, before):
    """The bundled plan's step changes the line, or adds it where there is none."""
    import subprocess

    from rehearsal import plan as plans
    from rehearsal.cloud.variables import read_yaml

    file = tmp_path / "configuration.yml"
    file.write_text(before)
    step = next(each for each in plans.load_plan(plans.find("version-upgrade")).steps if each.id == "namespace")
    words = [word.replace("{namespace_file}", str(file)).replace("{namespace}", "kolla/new") for word in step.command]
    for _ in range(2):
        subprocess.run(words, check=True)
    problems = []
    assert "kolla/new" == read_yaml(file, problems)["docker_namespace"]
    assert [] == problems
    assert 1 == file.read_text().count("docker_namespace")


def test_plan_says_which_containers_no_step_replaces(tmp_path, capsys):
    """What post-flight would find with the old tag is told before anything is begun."""
    options = make_repository(
        tmp_path, {"environments/kolla/configuration.yml": KOLLA.replace('enable_cinder: "no"', 'enable_cinder: "yes"')}
    )
    assert 0 == main(["plan", *as_arguments(options)])
    said = capsys.readouterr().out
    assert "NO STEP REPLACES" in said
    left = said[said.index("NO STEP") : said.index("probing")]
    assert "cinder_api" in left
    assert "nova_api" not in left


@pytest.mark.parametrize(
    "value", ["\\e]0;x\\a", "a\\nb", "\\u202eab", "https://admin:Xq7-not-a-real-secret@192.0.2.1/"]
)
@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("environments/kolla/configuration.yml", "docker_namespace"),
        ("environments/kolla/configuration.yml", "docker_registry_kolla"),
        ("environments/kolla/configuration.yml", "kolla_internal_fqdn"),
        ("environments/manager/configuration.yml", "manager_version"),
        ("environments/configuration.yml", "operator_user"),
        ("inventory/host_vars/compute-0.yml", "ansible_host"),
        ("inventory/host_vars/compute-0.yml", "ansible_ssh_common_args"),
    ],
)
def test_what_a_file_says_neither_rules_the_terminal_nor_tells_a_password(tmp_path, capsys, file, name, value):
    """A value with escapes is refused by name; a password in a URL is redacted where the URL is quoted."""
    options = make_repository(tmp_path, {file: f'{FILES[file]}{name}: "{value}"\n'})
    main(["target", *as_arguments(options)])
    out = capsys.readouterr()
    said = out.out + out.err
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert value.startswith("https") or name in out.err
    assert "Xq7" not in out.err


# Files that cannot be read.


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_vaulted_file_is_named_once(tmp_path, name):
    """A file that is encrypted as a whole is told as that, once; nothing in it is said to be unset."""
    target = found(tmp_path, {name: "$ANSIBLE_VAULT;1.1;AES256\n38613333626530\n6161\n"})
    said = told(target)
    assert 1 == said.count("is encrypted as a whole")
    assert "$ANSIBLE" not in json.dumps(target.to_dict())
    assert "is not set." not in said
    assert "has no ansible_host" not in said


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("kind", ["directory", "pipe", "loop", "socket-like", "binary"])
def test_what_is_no_file_is_named_and_nothing_waits(tmp_path, name, kind):
    """A directory, a named pipe, a link in a circle or bytes in a file's place: no exception, and nobody waits."""
    options = make_repository(tmp_path)
    path = options.configuration / name
    path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "socket-like":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(b"\xff\xfe\x00[")
    target = discover(options)
    if kind in {"pipe", "socket-like", "binary"} and "99-overwrite" not in name:
        assert path.name in told(target) or path.parent.name in told(target)


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
@pytest.mark.parametrize(
    "closed",
    ["interface/versions", "interface", "configuration", "configuration/inventory", "configuration/inventory/group_vars",
     "configuration/inventory/group_vars/all", "configuration/inventory/host_vars", "configuration/environments",
     "configuration/environments/openstack", "configuration/inventory/20-roles", "configuration/inventory/host_vars/compute-0.yml"],
)  # fmt: skip
def test_what_this_user_may_not_enter_is_named(tmp_path, closed):
    """A closed directory or file is an error that names it, not an exception and not an empty directory."""
    options = make_repository(tmp_path)
    path = tmp_path / closed
    mode = stat.S_IMODE(path.stat().st_mode)
    for each in (tmp_path, *tmp_path.parents):
        if each.owner() == "root" and str(each).startswith("/tmp/"):
            each.chmod(0o755)
    path.chmod(0)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # in a process of its own: there is no way back to root
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            said = told(discover(options))
        except BaseException as error:  # noqa: BLE001 - told to the parent
            said = f"raised {error!r}"
        os.write(writer, said.encode()[:60000])
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answer:
        said = answer.read()
    path.chmod(mode)
    assert "raised" not in said
    assert "may not" in said
    assert path.name in said
    assert "is not set." not in said
    assert "has no ansible_host" not in said


def test_a_byte_order_mark(tmp_path):
    """Ansible refuses an INI inventory with one, so it is an error; in YAML it is passed over."""
    assert "byte order mark" in told(found(tmp_path / "a", {"inventory/20-roles": "\ufeff" + ROLES}))
    changes = {
        "environments/kolla/configuration.yml": "\ufeff" + KOLLA,
        "inventory/host_vars/manager-0.yml": "\ufeffansible_host: 127.0.0.5\n",
    }
    assert () == found(tmp_path / "b", changes).problems


def test_a_program_in_the_inventory_is_not_run(tmp_path):
    """Ansible would run it; rehearse says that it did not."""
    target = found(tmp_path, {"inventory/05-dynamic": f"#!/bin/sh\ntouch {tmp_path}/ran\n"})
    assert "05-dynamic is a program" in told(target)
    assert not (tmp_path / "ran").exists()


def test_a_name_that_is_set_twice_is_told(tmp_path):
    """Ansible takes the last one and warns; so does rehearse, with the line."""
    said = told(
        found(
            tmp_path, {"inventory/group_vars/all/kolla.yml": "docker_namespace: a\ndocker_namespace: kolla/release\n"}
        )
    )
    assert "docker_namespace is set twice" in said
    assert "kolla.yml:2" in said


ANYTHING = st.one_of(
    st.binary(max_size=80),
    st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(
        st.sampled_from(
            ["a: &x [*x]", "clouds: &c {admin: *c}", "[all:vars]", "[a:children]", "a", "n[1:9999]", "x: !vault |", "- 1", "? {}",
             "all: {children: {a: {children: {a: }}}}", "hosts: [1]", "{{ 1 }}", "x: 1e999", "x: 2024-13-01", "'", "\t", "manager_version: [1]",
             "docker_namespace: {a: 1}", "ansible_host: [1]", "kolla_internal_vip_address: 5", "openstack_version: {}", "clouds: [1]",
             "clouds: {admin: 5}", "clouds: {admin: {auth: 5, regions: 7}}", "clouds: {1: {auth: {auth_url: 'http://['}}}", "<<: 5",
             "clouds: {admin: {profile: {}, auth: {auth_url: 1, password: 2}}}", "plugin: x", "[control]", "c ansible_port=x", "x: 0o9"]
        ),
        max_size=6,
    ).map(lambda lines: "\n".join(lines).encode()),
)  # fmt: skip


@given(name=st.sampled_from([*sorted(FILES), "inventory/05-any.yml", "inventory/hosts", "versions"]), data=ANYTHING)
@settings(EXAMPLES, max_examples=250)
def test_no_file_of_a_repository_raises(tmp_path_factory, name, data):
    """Whatever stands in any file, `rehearse target` and `plan` end with 0 or 64."""
    options = make_repository(tmp_path_factory.mktemp("any"))
    path = options.configuration / name if name != "versions" else options.interface / "versions" / "kolla-ansible.yml"
    path.write_bytes(data)
    for command in ("target", "plan"):
        assert main([command, *as_arguments(options)]) in {0, 64}


# Secrets.


@pytest.mark.parametrize(
    "password",
    [
        "*Xq7-not-a-real-secret",
        "!Xq7-not-a-real-secret",
        "'Xq7-not-a-real-secret",
        "@Xq7-not-a-real-secret",
        "[Xq7-not-a-real-secret",
        "x: Xq7-not-a-real-secret: y",
    ],
)
def test_no_error_of_yaml_quotes_the_file(tmp_path, capsys, password):
    """A password that is no YAML is on no screen: the line is named, its text is not."""
    options = make_repository(
        tmp_path, {"environments/openstack/secure.yml": f"clouds:\n  admin:\n    auth:\n      password: {password}\n"}
    )
    main(["target", *as_arguments(options)])
    out = capsys.readouterr()
    assert f"secure.yml:{5 if password[0] == '[' else 4}" in out.err
    assert "Xq7" not in out.out + out.err
    assert out.err.count("error:") == 1


@pytest.mark.parametrize(
    "written", ["8812345678", "0123456701", "1_000_000_7", "88.12345678", "0x8812345f", "1e100001"]
)
def test_a_password_of_digits_is_remembered_as_it_is_written(tmp_path, written):
    """A number in YAML is a password like any other."""
    discover(
        make_repository(
            tmp_path,
            {"environments/openstack/secure.yml": f"clouds:\n  admin:\n    auth:\n      password: {written}\n"},
        )
    )
    assert written not in redact_text(f"it said {written} aloud")


# clouds.yaml.


def test_secure_yaml_comes_over_clouds_yaml(tmp_path):
    """What secure.yaml has for the cloud is merged over clouds.yaml, as openstacksdk does, also where both have a password."""
    clouds = FILES["environments/openstack/clouds.yml"].replace(
        "username: admin", "username: admin\n      password: from-clouds"
    )
    secure = (
        "clouds:\n  admin:\n    auth:\n      auth_url: https://127.0.0.254:5000/v3/\n      password: from-secure-4711\n"
    )
    target = found(tmp_path, {"environments/openstack/clouds.yml": clouds, "environments/openstack/secure.yml": secure})
    assert target.secure_file.endswith("secure.yml")
    assert () == target.problems


def test_a_cloud_with_two_regions_is_told(tmp_path):
    """Openstacksdk takes the first of several regions; which one that is, is said."""
    text = FILES["environments/openstack/clouds.yml"] + "    regions: [north, south]\n"
    said = told(found(tmp_path, {"environments/openstack/clouds.yml": text}))
    assert "north, south; north is rehearsed" in said


def entry(kind, *places):
    return {"type": kind, "endpoints": [{"interface": i, "region_id": r, "url": u} for i, r, u in places]}


def test_the_catalogue_is_that_of_one_region():
    """Endpoints of another region are another cloud; several regions and none chosen is an error."""
    from rehearsal.cloud import whereabouts
    from rehearsal.cloud.clouds import Cloud

    offered = [entry("identity", ("public", "north", "https://n:5000"), ("public", "south", "https://s:5000"))]
    problems = []
    [endpoint] = whereabouts._endpoints(offered, Cloud("admin", "f", "", "", "", "south"), problems)
    assert ("https://s:5000", []) == (endpoint.url, problems)
    assert () == whereabouts._endpoints(offered, Cloud("admin", "f", "", "", ""), problems)
    assert "north, south" in problems[0].sentence


@pytest.mark.parametrize(
    ("auth_url", "begins"),
    [
        ("http://127.0.0.1:1/v3", "The connection to 127.0.0.1 is refused"),
        ("http://no-such-name.invalid:5000", "The name no-such-name.invalid does not resolve"),
    ],
)
def test_a_catalogue_that_cannot_be_read_is_one_error(tmp_path, auth_url, begins):
    """The cause comes first, it forbids a rehearsal, and nothing is asserted about services that may not exist."""
    text = FILES["environments/openstack/clouds.yml"].replace("https://127.0.0.254:5000/v3", auth_url)
    options = make_repository(tmp_path, {"environments/openstack/clouds.yml": text})
    online = target_options.Options(**{**{f: getattr(options, f) for f in options.__slots__}, "online": True})
    target = discover(online)
    [error] = target.problems
    assert error.severity == "error"
    assert error.sentence.startswith(begins)
    assert () == target.endpoints
