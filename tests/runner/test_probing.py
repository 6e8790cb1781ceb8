"""What a run asks, how often, and that it asks nothing else: from the target, HAProxy's configuration and the rates."""

from __future__ import annotations

import dataclasses
import subprocess

import pytest

from rehearsal import cli
from rehearsal.canaries import model
from rehearsal.cloud import addresses
from rehearsal.cloud import discover
from rehearsal.cloud import keys
from rehearsal.cloud.target import Endpoint
from rehearsal.hosts import backends
from rehearsal.lanes.load import load_of_specs
from rehearsal.lanes.rates import rates_of
from rehearsal.plan import load_plan
from rehearsal.runner import declared
from tests.made.repository import as_arguments
from tests.made.repository import make_repository
from tests.made.small_run import Small

HAPROXY = """\
frontend nova_api_front
    bind 127.0.0.9:8774 ssl crt x
    default_backend nova_api_back
backend nova_api_back
    server control-0 127.0.0.10:8774 check
    server control-1 127.0.0.20:8774 check
"""


@pytest.fixture
def target(tmp_path):
    return discover(make_repository(tmp_path))


@pytest.fixture
def resolves(monkeypatch):
    """Let names resolve to these addresses, without asking anybody."""

    def to(*found):
        def answer(host, _port, **_):
            if not found:
                raise OSError(f"{host} is not known")
            return [(10 if ":" in each else 2, 1, 6, "", (each, 0)) for each in found]

        monkeypatch.setattr(addresses.socket, "getaddrinfo", answer)

    to()
    return to


class Host:
    """An SSH that answers every command alike."""

    def __init__(self, stdout="", stderr="", error=None):
        self.stdout, self.stderr, self.error, self.asked = stdout, stderr, error, []

    def run(self, host, command, timeout_s):
        self.asked.append(host.name)
        if self.error:
            raise self.error
        return subprocess.CompletedProcess([command, str(timeout_s)], 0 if self.stdout else 1, self.stdout, self.stderr)


# --- API servers past HAProxy ----------------------------------------------------------------------------------------


def test_each_controller_gets_lanes_of_its_own(target, resolves):
    """Every API server that HAProxy's own configuration names for the VIP of a service is asked, new and kept."""
    ssh = Host(HAPROXY)
    found = backends.find(target, ["nova"], ssh)
    assert (ssh.asked, found.missing) == (["control-0"], ())
    specs = declared.backend_probes(target, found.servers, rates_of({}))
    assert [
        ("nova backend control-0 new", "backend-new", "127.0.0.10", ""),
        ("nova backend control-0 reused", "backend-reused", "127.0.0.10", ""),
        ("nova backend control-1 new", "backend-new", "127.0.0.20", ""),
        ("nova backend control-1 reused", "backend-reused", "127.0.0.20", ""),
    ] == [(spec.name, spec.lane, spec.settings["address"], spec.vip) for spec in specs]
    assert {spec.target for spec in specs} == {"http://127.0.0.10:8774/v2.1/", "http://127.0.0.20:8774/v2.1/"}
    assert all(spec.period_ns >= 200_000_000 for spec in specs)


@pytest.mark.parametrize(
    ("ssh", "words"),
    [
        (
            Host(stderr="cat: /etc/kolla/haproxy/haproxy.cfg: Permission denied\n"),
            "control-0 cannot be read (cat: /etc",
        ),
        (Host("nothing of use\n"), "control-0 cannot be read (the files name no frontend)"),
        (Host(error=subprocess.TimeoutExpired("ssh", 20)), "control-0 did not answer within 20 s"),
        (Host(error=FileNotFoundError("ssh")), "ssh cannot be started"),
    ],
)
def test_what_cannot_be_found_is_said(target, resolves, ssh, words):
    """Without HAProxy's configuration there is no lane past it, and one sentence says why."""
    found = backends.find(target, ["nova", "glance"], ssh)
    assert found.servers == {}
    [reason] = found.missing
    assert words in reason


def test_a_service_that_haproxy_does_not_name_is_said(target, resolves):
    """Each service without servers behind its VIPs is named, with where they were looked for."""
    found = backends.find(target, ["glance", "nova"], Host(HAPROXY))
    assert list(found.servers) == ["nova"]
    [reason] = found.missing
    assert "glance" in reason
    assert "127.0.0.9 port 9292" in reason
    assert "127.0.0.254 port 9292" in reason


# --- IPv6 ------------------------------------------------------------------------------------------------------------


def test_an_address_of_each_family_has_lanes_of_its_own(target, resolves):
    """Where a name has both, IPv6 is asked as well, as a VIP of its own; where it has not, there is no such lane."""
    assert not any("v6" in spec.name for spec in declared.api_probes(target, ["nova"], rates_of({})))
    resolves("127.0.0.77", "fd00::254")
    specs = declared.api_probes(target, ["nova"], rates_of({}))
    public = [spec for spec in specs if spec.vip.startswith("public")]
    assert [
        ("nova public new", "public", "127.0.0.254"),
        ("nova public reused", "public", "127.0.0.254"),
        ("nova public deep kept", "public", "127.0.0.254"),
        ("nova public deep fresh", "public", "127.0.0.254"),
        ("nova public v6 new", "public v6", "fd00::254"),
        ("nova public v6 reused", "public v6", "fd00::254"),
    ] == [(spec.name, spec.vip, spec.settings["address"]) for spec in public]
    assert declared.focused(public[-1], rates_of({})) == 20


def test_a_cloud_of_ipv6_alone(target, resolves):
    """If there is nothing but IPv6, it is the public VIP, and the names say so."""
    resolves("fd00::254")
    alone = dataclasses.replace(
        target, vips=(), endpoints=(Endpoint("nova", "public", "https://api.x:8774/", "catalogue"),)
    )
    specs = declared.api_probes(alone, ["nova"], rates_of({}))
    assert {spec.vip for spec in specs} == {"public"}
    assert all(spec.name.endswith(" v6") for spec in specs)
    assert declared.networks_of(specs) == ["fd00::254/128"]


# --- nothing else ----------------------------------------------------------------------------------------------------


def test_only_declared_addresses_are_allowed(target, resolves):
    """The prober gets exactly the addresses that are asked, each alone; with none at all, it may ask nobody."""
    found = backends.find(target, ["nova"], Host(HAPROXY))
    specs = declared.api_probes(target, ["nova"], rates_of({}))
    specs += declared.backend_probes(target, found.servers, rates_of({}))
    assert declared.networks_of(specs) == ["127.0.0.10/32", "127.0.0.20/32", "127.0.0.254/32", "127.0.0.9/32"]
    assert declared.networks_of([]) == []


# --- rates and load --------------------------------------------------------------------------------------------------


def guest(number):
    return model.Canary(f"c{number}", "id", "host", f"127.0.1.{number}", "10.0.0.1", "net", "boot", 7, 8)


def test_the_planned_load_is_at_least_what_is_declared(target, resolves, tmp_path):
    """What `rehearse plan` says before anything was looked up covers what the prober is then told to do."""
    plan = load_plan(Small(tmp_path / "small", {"one": "true"}, rates={"icmp": 7, "internal-new": 3}).source)
    rates = rates_of(plan.rates)
    planned = declared.load_planned(plan, target, rates, without=frozenset())
    specs = declared.api_probes(target, plan.services, rates)
    found = backends.find(
        target, plan.services, Host(HAPROXY.replace("    server control-1 127.0.0.20:8774 check\n", ""))
    )
    specs += declared.backend_probes(target, found.servers, rates)
    specs += [spec for number in (1, 2) for spec in declared.canary_probes(guest(number), rates)]
    load = load_of_specs(specs)
    assert load.requests_per_s <= planned.requests_per_s
    assert load.connections_per_s <= planned.connections_per_s
    assert load.packets_per_s <= planned.packets_per_s
    assert load.packets_per_s >= 14
    assert declared.load_planned(plan, target, rates, without=frozenset({"canaries"})).packets_per_s == 0
    assert declared.load_planned(plan, target, rates, without=frozenset({"probes"})).samples_per_s == 0


def test_the_focus_of_a_step(tmp_path):
    """A step's services are sampled faster if they are few, or what the step itself names."""
    small = Small(tmp_path, {"one": "true", "two": "true"}, services=["nova", "glance", "neutron"],
                  defaults={name: {"longest_s": 1} for name in ("nova", "glance", "neutron", "canaries")})  # fmt: skip
    plan = load_plan(small.source)
    few, many = (
        plan.steps[0].model_copy(update={"services": names}) for names in (["nova"], ["nova", "glance", "neutron"])
    )
    assert (plan.focus_of(few), plan.focus_of(many)) == (frozenset({"nova"}), frozenset())
    assert plan.focus_of(many.model_copy(update={"focus": ["glance"]})) == frozenset({"glance"})
    assert plan.focus_of(few.model_copy(update={"focus": []})) == frozenset()
    assert plan.model_copy(update={"focus_most": 3}).focus_of(many) == frozenset({"nova", "glance", "neutron"})


def test_rates_and_load_are_printed(tmp_path, capsys):
    """`rehearse plan` prints every lane's rate with its source, the load of all together, and the cap."""
    options = as_arguments(make_repository(tmp_path))
    assert 0 == cli.main(["plan", "--rate", "icmp=25", *options])
    output = capsys.readouterr().out
    assert "25 Hz  pings of each canary (--rate)" in output
    assert "requests/s (" in output
    assert "cap: 3000 requests and packets/s, 400 new connections/s" in output
    assert 64 == cli.main(["plan", "--rate", "icpm=25", *options])
    assert "'icpm' is no lane with a rate. Known:" in capsys.readouterr().err


def test_a_run_above_the_cap_is_refused(tmp_path, capsys):
    """A plan whose probing would exceed the cap is refused in one sentence with a remedy, before anything is done."""
    small = Small(tmp_path, {"one": "true"})
    words = [
        word for word in small.words("--rate=icmp=500", "--rate=tcp=500", "--rate=udp=500") if "without" not in word
    ]
    runs = len(list(small.reports.iterdir()))
    assert 64 == cli.main(words)
    error = capsys.readouterr().err
    assert "exceed the cap of 3000" in error
    assert "--rate" in error
    assert runs == len(list(small.reports.iterdir()))


# --- the operator's key ----------------------------------------------------------------------------------------------


def test_the_public_half_of_the_operators_key(tmp_path):
    """From the `.pub` beside it, else from ssh-keygen; a key that tells nothing, or none, is no key."""
    private = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f", private], check=True)
    public = private.with_name("id_ed25519.pub")
    beside = public.read_text().strip()
    assert keys.public_key_of(str(private)) == beside
    public.unlink()
    assert keys.public_key_of(str(private)).split()[:2] == beside.split()[:2]
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "a passphrase", "-f", locked], check=True)
    locked.with_name("locked.pub").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nno\n")
    assert [keys.public_key_of(str(path)) for path in (locked, tmp_path / "none", "")] == ["", "", ""]
