"""Faults take their arguments, remember what they did, and say what is wrong with a request."""

from __future__ import annotations

import json
import subprocess

import pytest

from lab import layout
from lab.faults import FAULTS
from lab.faults import breaking
from lab.faults import guest
from lab.faults.ground import FaultError
from lab.faults.ground import Ground

DOMAIN = """<domstatus state='running' reason='booted' pid='4711'><domain type='qemu'><name>instance-00000001</name>
<uuid>61e04d47-fd16-47ea-812e-e23041c9d918</uuid><metadata>
<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1"><nova:name>t0</nova:name></nova:instance>
</metadata></domain></domstatus>"""


class Nodes:
    """`lab.kolla.Run` with answers by the words of the command."""

    def __init__(self, answers):
        self.answers, self.seen = answers, []

    def __call__(self, node, argv, *, input=None, check=True, timeout_s=60):  # noqa: A002
        words = " ".join(argv)
        self.seen.append(f"{node} {words}")
        for pattern, (code, output) in self.answers.items():
            if pattern in words and not (pattern.startswith("/run/libvirt") and node != "lab-compute-0"):
                if check and code:
                    raise subprocess.CalledProcessError(code, list(argv), "", output)
                return subprocess.CompletedProcess(list(argv), code, output, output if code else "")
        return subprocess.CompletedProcess(list(argv), 0, "", "")


def ground(tmp_path, answers=None):
    return Ground(layout.State(tmp_path), Nodes(answers or {}))


def test_every_fault_says_which_check_it_turns_red(tmp_path):
    """Each fault has a text, an end, and at least one check, and the list shows all of it."""
    listed = breaking.listing(ground(tmp_path))
    for name, fault in FAULTS.items():
        assert fault.text, name
        assert fault.mend, name
        assert f"Turns red: {', '.join(fault.checks)}" in listed
        assert fault.checks, name


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ([], {"service": "placement_api", "vip": "both"}),
        (["keystone"], {"service": "keystone", "vip": "both"}),
        (["keystone", "internal"], {"service": "keystone", "vip": "internal"}),
        (["vip=external"], {"service": "placement_api", "vip": "external"}),
        (["vip=external", "8774"], {"service": "8774", "vip": "external"}),
    ],
)
def test_arguments_come_by_place_or_by_name(words, given):
    """Words fill the arguments in order; name=value fills its own; defaults fill the rest."""
    assert given == breaking.bind(FAULTS["vip-port-blackhole"], words)


@pytest.mark.parametrize(
    ("fault", "words", "message"),
    [
        ("guest-paused", [], "guest-paused needs server"),
        ("libvirtd-dead", ["lab-compute-0", "more"], "'more' is too much"),
    ],
)
def test_wrong_arguments_are_one_sentence(fault, words, message):
    """A missing or superfluous argument is refused with a sentence."""
    with pytest.raises(FaultError, match=message):
        breaking.bind(FAULTS[fault], words)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["break", "nonsense"], 64, "no fault nonsense"),
        (["break", "container-stopped", "bogus"], 1, "no container 'bogus'"),
        (["break", "container-stopped", "cron"], 1, "say on which"),
        (["break", "container-stopped", "cron", "lab-nowhere"], 1, "no node 'lab-nowhere'"),
        (["break", "vip-port-blackhole", "horizon"], 1, "no listener of the VIP"),
        (["break", "vip-port-blackhole", "keystone", "vip=sideways"], 1, "internal, external or both"),
        (["break", "backend-503", "8774"], 1, "no service behind the VIP"),
        (["break", "guest-paused", "t9"], 1, "No running guest is called t9; there are: t0"),
    ],
)
def test_a_fault_that_cannot_be_made_says_why(tmp_path, capsys, words, code, message):
    """Each impossible request ends with its exit code and one sentence, without a traceback."""
    answers = {"container inspect": (1, ""), "/run/libvirt/qemu": (0, f"{DOMAIN}\0")}
    assert code == breaking.main(words, ground(tmp_path, answers))
    assert message in capsys.readouterr().err


def test_a_guest_is_found_by_id_and_by_name(tmp_path):
    """Libvirt's state on the compute nodes gives node, domain, server, name and process of each guest."""
    (found,) = guest.guests(ground(tmp_path, {"/run/libvirt/qemu": (0, f"{DOMAIN}\0")}))
    assert ("lab-compute-0", "instance-00000001", "61e04d47-fd16-47ea-812e-e23041c9d918", "t0", 4711) == (
        found.node, found.domain, found.server, found.name, found.pid
    )  # fmt: skip


def test_a_fault_is_made_once_and_mended_once(tmp_path, capsys):
    """A second break of the same thing is refused, mending forgets it, mending again says that there is nothing."""
    instants = json.dumps({"begin": {"before_ns": 1, "after_ns": 2}})
    here = ground(tmp_path, {"/usr/bin/python3": (0, instants)})
    assert 0 == breaking.main(["break", "vip-port-blackhole", "keystone"], here)
    assert {
        "fault": "vip-port-blackhole",
        "port": 5000,
        "begin": {"before_ns": 1, "after_ns": 2},
    }.items() <= json.loads(capsys.readouterr().out).items()
    assert 1 == breaking.main(["break", "vip-port-blackhole", "keystone"], here)
    assert "already" in capsys.readouterr().err
    assert "Broken now: vip-port-blackhole 5000.both" in breaking.listing(here)
    assert 0 == breaking.main(["mend", "vip-port-blackhole", "keystone"], here)
    capsys.readouterr()
    assert 0 == breaking.main(["mend", "vip-port-blackhole", "keystone"], here)
    assert "no black hole" in capsys.readouterr().out
    assert "Broken now: nothing" in breaking.listing(here)


def test_a_fault_with_a_length_leaves_no_note(tmp_path, capsys):
    """``--for`` mends itself: afterwards nothing is broken, and both ends have their instants."""
    both = json.dumps({"begin": {"before_ns": 1, "after_ns": 2}, "end": {"before_ns": 3, "after_ns": 4}})
    here = ground(tmp_path, {"/usr/bin/python3": (0, both), "/run/libvirt/qemu": (0, f"{DOMAIN}\0")})
    assert 0 == breaking.main(["break", "guest-paused", "t0", "--for", "3.0"], here)
    assert {"before_ns": 3, "after_ns": 4} == json.loads(capsys.readouterr().out)["end"]
    assert [] == here.notes()
    assert "lab-compute-0 /usr/bin/python3 - for 3.0 4711" in here.run.seen


def test_a_fault_that_fails_on_the_node_says_so(tmp_path, capsys):
    """When the program on the node fails, its last line is the message and the exit code is 1."""
    here = ground(tmp_path, {"/usr/bin/python3": (1, "Traceback\nPermissionError: no")})
    assert 1 == breaking.main(["break", "backend-503", "keystone"], here)
    assert "lab-control-0: PermissionError: no" in capsys.readouterr().err
    assert [] == here.notes()


def test_a_script_is_made_once_and_mended_once(tmp_path, capsys):
    """Its shell script runs on its node, its end only if it was made; made twice it is refused."""
    here = ground(tmp_path)
    assert 0 == breaking.main(["mend", "disk-full"], here)
    assert "it is not made" in capsys.readouterr().out
    assert 0 == breaking.main(["break", "disk-full"], here)
    assert 1 == breaking.main(["break", "disk-full"], here)
    assert "made already" in capsys.readouterr().err
    assert 0 == breaking.main(["mend", "disk-full"], here)
    assert [
        "lab-compute-0 sh -ec mount -t tmpfs -o size=64m full /var/log",
        "lab-compute-0 sh -ec umount /var/log",
    ] == here.run.seen


def test_a_script_that_fails_half_way_can_be_mended(tmp_path, capsys):
    """What a script did before it failed is taken back by its end."""
    here = ground(tmp_path, {"mount -t": (1, "mount: no")})
    assert 1 == breaking.main(["break", "disk-full"], here)
    assert "mount: no" in capsys.readouterr().err
    assert ["disk-full"] == [note["fault"] for note in here.notes()]
