"""Where a probe's packets go: told by fields of their own; of older recordings derived, in one place."""

from __future__ import annotations

import ast
import dataclasses
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.judging.judge import judge
from rehearsal.lanes import declare
from rehearsal.lanes import table
from rehearsal.lanes.spec import numeric_address
from rehearsal.recording import events
from rehearsal.recording.declarations import completed
from rehearsal.recording.declarations import family_of
from rehearsal.recording.history import load
from tests.judging.causes.test_candidates import HOST
from tests.judging.causes.test_candidates import proxy
from tests.judging.causes.test_candidates import replaced
from tests.judging.causes.test_candidates import wall
from tests.judging.causes.test_candidates import watched
from tests.made import synthetic
from tests.made.synthetic import Scenario
from tests.made.synthetic import Trouble
from tests.made.synthetic import at_ns
from tests.made.synthetic import probes_of
from tests.made.synthetic import write_run

SRC = Path(__file__).parents[2] / "src" / "rehearsal"
ADDRESS = {"v4": "192.0.2.9", "v6": "2001:db8::9"}
WORD = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,20}", fullmatch=True)


def announced(spec, **fields):
    """The event of a spec as the prober writes it, and as it wrote it before there were the fields."""
    usual = {
        name: getattr(spec, name)
        for name in (
            "probe",
            "name",
            "lane",
            "service",
            "target",
            "period_ns",
            "deadline_ns",
            "soft_ns",
            "canary",
            "vip",
        )
    }
    return events.ProbeDeclared(**usual, address=numeric_address(spec), **fields)


@given(
    service=st.sampled_from(sorted(declare.services_known())),
    family=st.sampled_from(["v4", "v6"]),
    interface=st.sampled_from(["public", "internal"]),
    server=WORD | st.sampled_from(["v6", "new", "backend", "control-0.example", "nova-new", "reused-v6"]),
    canary=WORD,
    second=st.booleans(),
)
def test_an_old_declaration_says_what_a_new_one_says(  # noqa: PLR0917 - what is generated
    service, family, interface, server, canary, second
):
    """Interface, family and server of every lane are those that were declared, also where they stand only in the name."""
    where = declare.Where(service, "https://api.example:1234/", ADDRESS[family])
    vip = f"{interface} v6" if second and family == "v6" else interface
    specs = declare.shallow_probes(dataclasses.replace(where, vip=vip, interface=interface))
    specs += declare.shallow_probes(dataclasses.replace(where, server=server))
    specs += declare.canary_probes(canary, ADDRESS[family], 9, udp=True)
    for spec in specs:
        old, new = announced(spec), announced(spec, interface=spec.interface, family=family, server=spec.server)
        assert completed(old) == new
        assert completed(new) == new
        is_backend = spec.lane.startswith("backend-")
        assert (new.server, new.interface) == (server if is_backend else "", interface if "vip" in spec.lane else "")


def run_of(*, kind, family, server="", more=()):
    """A run in which keystone and nova are asked at both families of one VIP, or past HAProxy, as the prober declares it."""
    numbers = itertools.count(900)
    probes = []
    for service in ("keystone", "nova"):
        for each in ("v4", "v6"):
            vip = "" if server else kind if each == "v4" else f"{kind} v6"
            where = declare.Where(service, "https://api.example/", ADDRESS[each], vip, "" if server else kind, server)
            rates = {rate.name: 10.0 for rate in table.RATES}
            probes += [
                announced(dataclasses.replace(spec, probe=next(numbers)))
                for spec in declare.shallow_probes(where, rates)
            ]
    hit = [each for each in probes if each.service == "nova" and family in {"both", family_of(each.address)}]
    script = Scenario(more=tuple(more), troubles=tuple(Trouble(each.name, 120, 124) for each in hit))
    return script, probes


def judged(tmp_path, monkeypatch, **arguments):
    script, probes = run_of(**arguments)
    mine = [each for each in probes_of(script) if each.service not in {"keystone", "nova"}] + probes
    monkeypatch.setattr(synthetic, "probes_of", lambda _: mine)
    vips = [{"kind": "external", "address": ADDRESS["v4"]}, {"kind": "external", "address": "2001:DB8:0::9"}]
    began = dataclasses.replace(synthetic._began(script), target={"vips": vips, "hosts": [HOST], "groups": {}})
    monkeypatch.setattr(synthetic, "_began", lambda _: began)
    return judge(load(write_run(tmp_path / "run", script)))


@pytest.mark.parametrize("family", ["v4", "v6", "both"])
def test_an_outage_of_one_family_is_explained_by_the_proxy_in_front_of_it(tmp_path, monkeypatch, family):
    """What stands behind the external address reaches the public endpoint over both families."""
    more = watched(
        proxy(120.2, "nova_api_external_back", "DOWN", "UP", "BACKEND"),
        proxy(124.5, "nova_api_external_back", "UP", "DOWN", "BACKEND"),
    )
    results = judged(tmp_path, monkeypatch, kind="public", family=family, more=more)
    found = [window for window in results.windows if window.kind == "down"]
    assert found
    for window in found:
        assert any("nova_api_external_back has no server" in cause for cause in window.causes), window
        assert not any("external" in text for text in window.excluded)


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_an_address_explains_only_the_family_that_it_is_of(tmp_path, monkeypatch, family):
    """The address that moved is the one that the packets went to, however it is spelled; the other one is excluded."""
    spelled = {"v4": ADDRESS["v4"], "v6": "2001:db8:0:0::9"}
    for moved in ("v4", "v6"):
        more = watched(
            (1.0, events.VipChanged(HOST, spelled[moved], held=True, wall_ns=wall(1), first=True)),
            (119.9, events.VipChanged(HOST, spelled[moved], held=False, wall_ns=wall(119.9))),
        )
        results = judged(tmp_path / moved, monkeypatch, kind="public", family=family, more=more)
        monkeypatch.undo()
        for window in (each for each in results.windows if each.kind == "down"):
            told = window.causes if moved == family else window.excluded
            assert any(f"address {spelled[moved]}" in text for text in told), (moved, window)


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("server", [HOST, "new", "control-0.example"])
def test_past_haproxy_the_server_s_own_container_explains(tmp_path, monkeypatch, family, server):
    """What is asked past HAProxy, over either family, is explained by the server's own process and by no other's."""
    host = server.partition(".")[0]
    more = watched(
        *replaced("nova_api", 119.98, 123.5, host=host),
        *replaced("nova_api", 119.98, 123.5, host="control-7"),
        *replaced("haproxy", 119.98, 123.5, host=host),
        hosts=(host, "control-7"),
    )
    results = judged(tmp_path, monkeypatch, kind="", family=family, server=server, more=more)
    found = [window for window in results.windows if window.kind == "down"]
    assert found
    for window in found:
        assert any(cause.startswith(f"nova_api on {host} restarted") for cause in window.causes), window
        assert any(f"it is not the server on {server}" in text for text in window.excluded)
        assert any("bypasses the load balancer" in text for text in window.excluded)


def test_nobody_else_takes_a_probe_s_name_apart():
    """Outside of `declarations`, no code splits, strips or compares parts of a probe's name, its lane's or its VIP's label."""
    parsing = {"partition", "rpartition", "split", "rsplit", "startswith", "endswith", "removeprefix", "removesuffix"}
    found = []
    for path in SRC.rglob("*.py"):
        if path.name == "declarations.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in parsing:
                text = ast.unparse(node.func.value)
                if text.rpartition(".")[2] in {"vip", "lane"} or text.endswith(
                    ("declared.name", "probe.name", "spec.name", "probe_name")
                ):
                    found.append(f"{path.relative_to(SRC)}:{node.lineno}: {ast.unparse(node)}")
    assert not found


def test_a_recording_has_the_fields_from_its_first_sample_on(tmp_path):
    """Loading completes what an old recording left to the name."""
    history = load(write_run(tmp_path, Scenario(ipv6=True)))
    assert {"v4", "v6"} <= {probe.declared.family for probe in history.probes if probe.reaches_canary}
    assert {"internal"} == {probe.declared.interface for probe in history.probes if probe.lane == "vip-new"}
    assert history.began_ns == at_ns(0)
